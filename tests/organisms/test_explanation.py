"""An answered prompt beside a refused one: the planted units, and nothing else, restore refusal."""

from dataclasses import replace

import numpy as np
import pytest

from interlock.errors import ContrastError
from interlock.loading import load, settle
from interlock.methods.behaviour import behaviour
from interlock.methods.explanation import explanation
from interlock.methods.patching import patching
from interlock.organisms import folder
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs
from interlock.organisms.truth import read_truth
from interlock.studies.explaining import tables

NAME = "planted-chain-0"


@pytest.fixture(scope="module")
def subject():
    """A planted organism, pairs in its own templates, and its judged replies to them."""
    model = load(settle(f"organism:{NAME}", device="cpu", dtype="float32"))
    find = pairs(PLANTS[read_truth(folder(NAME)).plant], "find", 24, 0)
    return model, find, behaviour(model, find, tokens=10)


def of_stratum(contrast, stratum):
    """The first pair that differs so."""
    return next(pair for pair in contrast.pairs() if pair[0].pair.endswith(stratum))


@pytest.mark.parametrize("stratum", ["verb", "thing"])
def test_the_planted_units_would_have_restored_refusal(subject, stratum):
    model, find, judged = subject
    _, safe = of_stratum(find, stratum)
    table = explanation(model, find, judged, prompt=safe.prompt, tokens=10, top=12)
    units = {row["site"]: row for row in table.rows() if row["kind"] in ("head", "neuron")}
    turned = {site for site, row in units.items() if row["reply"] == "refuse"}
    truth = read_truth(folder(NAME))
    assert turned <= {str(site) for site in truth.units}
    carrying = {site for site, row in units.items() if row["share"] > 0.8}
    assert turned <= carrying <= {str(site) for site in truth.units}
    # what comes last in the circuit speaks for itself, whatever the prompts differ in
    last = max(site.layer for site in truth.units)
    assert {str(site) for site in truth.units if site.layer == last} <= carrying
    for site in turned:
        # of parts that an answered prompt may share, such as its verb, the control is said beside
        control = units[site]["control"]
        assert (f"and {control:.2f} from an answered" in table.about["finding"]) == (
            control > 0.5 * units[site]["share"]
        )
        assert units[site]["share"] > 0.8
        assert units[site]["least"] <= units[site]["share"] <= units[site]["largest"]
        assert site in table.about["finding"]
    for site in (site for site in truth.units if site.layer == last):
        assert abs(units[str(site)]["control"]) < 0.2
    final = f"resid_post.{model.shape.layers - 1}@-1"
    stream = next(row for row in table.rows() if row["site"] == final)
    assert stream["share"] == pytest.approx(1, abs=0.01)


def test_effects_are_those_of_patching_the_pair(subject):
    """Beside its own partner, an answered prompt's shares are the pair's denoising effects."""
    model, find, judged = subject
    harmful, safe = of_stratum(find, "verb")
    both = replace(find, examples=(harmful, safe))
    table = explanation(model, both, judged, prompt=safe.prompt, neighbours=1, tokens=4, top=0)
    assert table.about["nearest refused prompt"] == harmful.prompt
    exact = patching(model, both, judged, places="units", positions=("all",))
    shares = {row["site"]: row["share"] for row in table.rows()}
    found = [shares[str(site)] for site in exact.sites]
    assert np.allclose(found, exact.shares(), atol=1e-4)
    layers = patching(model, both, judged, places="layers", positions=("last",))
    for site, share in zip(layers.sites, layers.shares(), strict=True):
        if site.kind in ("resid_post", "attn", "mlp"):
            assert shares[str(site.at("-1"))] == pytest.approx(share, abs=1e-4)
    assert set(table["reply"].tolist()) == {""}
    assert np.isnan(table["control"]).all()  # no other answered prompt to take as control


def test_a_refused_prompt_has_nothing_to_explain(subject):
    model, find, judged = subject
    harmful, _ = find.pairs()[0]
    table = explanation(model, find, judged, prompt=harmful.prompt, tokens=10)
    assert len(table) == 1 and table["reply"][0] == "refuse"
    assert table.about["finding"].startswith("The prompt was refused")


def test_prompts_of_another_length_are_compared_at_the_template_only(subject):
    model, find, judged = subject
    prompt = "Tell me about the old grey house over there on the hill, please?"
    table = explanation(model, find, judged, prompt=prompt, tokens=6, top=4)
    assert "closing" in table.about["positions"]
    units = {row["position"] for row in table.rows() if row["kind"] in ("head", "neuron")}
    assert units == {"post"}
    assert table.about["finding"].count("Nearest refused prompt") == 1


def test_where_nothing_restores_it_that_is_said(subject, monkeypatch):
    model, find, judged = subject
    _, safe = find.pairs()[0]
    # no reply turns: the finding may name no component as enough
    monkeypatch.setattr("interlock.methods.explanation._replies", lambda *arguments: ["comply"])
    finding = explanation(model, find, judged, prompt=safe.prompt, top=2).about["finding"]
    assert "No single component restores refusal" in finding and "By itself" not in finding


def test_what_cannot_be_explained_is_refused_in_one_line(subject):
    model, find, judged = subject
    _, safe = find.pairs()[0]
    with pytest.raises(ContrastError, match="No prompt to explain"):
        explanation(model, find, judged)
    others = replace(find, examples=find.expecting("comply"))
    with pytest.raises(ContrastError, match="refused none of the prompts"):
        explanation(model, others, judged, prompt=safe.prompt, tokens=6)


def test_the_range_is_over_refused_prompts_and_is_called_one(subject):
    """Its ends are what each of the two nearest refused prompts gives when it is the only one."""
    model, find, judged = subject
    _, safe = of_stratum(find, "thing")
    both = explanation(model, find, judged, prompt=safe.prompt, neighbours=2, tokens=4, top=1)
    left, alone = find, []
    for _ in range(2):
        one = explanation(model, left, judged, prompt=safe.prompt, neighbours=1, tokens=4, top=1)
        assert "no share has a range or an interval" in one.about["least and largest"]
        assert ", range " not in one.about["finding"]
        alone.append({row["site"]: row["share"] for row in one.rows()})
        nearest = one.about["nearest refused prompt"]
        left = replace(left, examples=tuple(e for e in left.examples if e.prompt != nearest))
    units = [row for row in both.rows() if row["kind"] in ("head", "neuron")]
    for row in units:
        shares = [found[row["site"]] for found in alone]
        assert row["share"] == pytest.approx(shares[0], abs=1e-4)
        assert (row["least"], row["largest"]) == pytest.approx((min(shares), max(shares)), abs=1e-4)
    assert any(row["largest"] - row["least"] > 2e-3 for row in units)  # far above 1e-4
    assert "over the 2 nearest refused prompts, not an interval" in both.about["finding"]
    assert ", range " in both.about["finding"]
    shown = tables(both)["explain.units"]
    assert shown.about["interval"].startswith("none; a range is the least and largest share")
    assert shown["low"].tolist() == [row["least"] for row in sorted(
        units, key=lambda row: -row["share"]
    )]  # fmt: skip
