"""Planted detectors are named by their own category, nothing else is; the word moves the mover."""

import numpy as np
import pytest
import torch

from interlock.activations import forward, record
from interlock.edits import edited, put
from interlock.encoding import collate, encode_pairs
from interlock.errors import ContrastError
from interlock.loading import load, settle
from interlock.methods.behaviour import behaviour
from interlock.methods.neurons import unit_lens, unit_prompts, unit_tokens
from interlock.methods.patching import patching
from interlock.methods.selectivity import unit_categories, unit_selectivity
from interlock.organisms import folder
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs
from interlock.organisms.truth import read_truth
from interlock.sites import Site, parse
from interlock.tables import from_rows

CATEGORIES, CHAIN = "planted-categories-0", "planted-chain-0"
EVERY = 999  # units


def opened(name):
    return load(settle(f"organism:{name}", device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def effects():
    """Effects of every unit by split and direction, on the organism of one detector a category."""
    model, truth = opened(CATEGORIES), read_truth(folder(CATEGORIES))
    found = {split: pairs(PLANTS[truth.plant], split, 36, 0) for split in ("find", "check")}
    judged = behaviour(model, found["find"], tokens=6)
    scores = {
        split: [
            patching(model, contrast, judged, direction=way, places="units", positions=("all",))
            for way in ("denoise", "noise")
        ]
        for split, contrast in found.items()
    }
    return model, truth, found, scores


@pytest.fixture(scope="module")
def named(effects):
    model, _, contrasts, scores = effects
    first = unit_categories(model, contrasts["find"], *scores["find"], count=EVERY)
    return first, unit_selectivity(model, contrasts["check"], first, *scores["check"])


def test_detectors_are_named_by_their_own_category_on_held_out_prompts(effects, named):
    _, truth, _, _ = effects
    rows = {row["site"]: row for row in named[1].rows()}
    for category, detectors in truth.categories.items():
        for site in detectors:
            row = rows[str(site)]
            assert row["named"] == category, row
            assert row["low"] > 0 and row["difference"] > row["null_high"]


def test_no_other_unit_is_named(effects, named):
    _, truth, _, _ = effects
    detectors = {str(site) for sites in truth.categories.values() for site in sites}
    rows = [row for row in named[1].rows() if row["site"] not in detectors]
    assert len(rows) > 50
    assert [row for row in rows if row["named"]] == []


def test_exchanged_categories_name_nothing(effects, named):
    """Every detector called after the next category: held-out prompts do not bear it out."""
    model, truth, contrasts, scores = effects
    names = list(truth.categories)
    following = dict(zip(names, [*names[1:], names[0]], strict=True))
    wrong = from_rows(
        [row | {"category": following[row["category"]]} for row in named[0].rows()],
        about=named[0].about,
    )
    table = unit_selectivity(model, contrasts["check"], wrong, *scores["check"])
    assert set(table["named"].tolist()) == {""}


def test_selectivity_is_the_difference_of_shares_by_hand(effects, named):
    _, _, contrasts, scores = effects
    row = next(named[1].rows())
    found = scores["check"][["denoise", "noise"].index(row["direction"])]
    category = {each.id: each.category for each in contrasts["check"].examples}
    values = found.values[found.sites.index(parse(row["site"]))]
    sums = np.zeros((2, 2))
    for example, value, gap in zip(found.examples, values, found.gap, strict=True):
        sums[int(category[example] == row["category"])] += value, gap
    outside, inside = sums[:, 0] / sums[:, 1]
    assert row["inside"] == pytest.approx(inside) and row["outside"] == pytest.approx(outside)
    assert row["difference"] == pytest.approx(inside - outside)


def test_names_are_not_judged_on_the_prompts_that_gave_them(effects, named):
    model, _, contrasts, scores = effects
    with pytest.raises(ContrastError, match="named on find, the split this step judges"):
        unit_selectivity(model, contrasts["find"], named[0], *scores["find"])


def test_a_category_that_is_not_there_names_nothing(effects, named):
    model, _, contrasts, scores = effects
    absent = from_rows(
        [row | {"category": "absent"} for row in named[0].rows()], about=named[0].about
    )
    table = unit_selectivity(model, contrasts["check"], absent, *scores["check"])
    assert set(table["named"].tolist()) == {""} and set(table["n"].tolist()) == {0}


@pytest.fixture(scope="module")
def chain():
    truth = read_truth(folder(CHAIN))
    return opened(CHAIN), pairs(PLANTS[truth.plant], "check", 12, 0), truth


def role(truth, name) -> Site:
    return next(parse(site) for site, known in truth.roles.items() if known == name)


def test_strongest_prompts_of_a_detector_are_harmful(chain):
    model, contrast, truth = chain
    table = unit_prompts(model, contrast, (role(truth, "detector"),), prompts=6)
    assert set(table["expected"].tolist()) == {"refuse"}
    assert (np.diff(table["activity"]) <= 0).all()


def test_activity_is_0_and_1_at_the_mean_harmless_and_harmful_prompt(chain):
    model, contrast, truth = chain
    table = unit_prompts(model, contrast, truth.units, prompts=EVERY)
    for site in truth.units:
        for expected, wanted in (("comply", 0), ("refuse", 1)):
            rows = table.where(site=str(site), expected=expected)
            assert rows["activity"].mean() == pytest.approx(wanted, abs=1e-4)


def test_a_movers_strongest_token_is_the_word_that_decides(chain):
    """The harm is in verb and object together: no other token moves the mover as much."""
    model, contrast, truth = chain
    table = unit_tokens(model, contrast, (role(truth, "mover"),), prompts=2)
    encoded = {row.id: row for row in encode_pairs(model, contrast).harmful}
    asked = {each.id: each for each in contrast.examples}
    for example in set(table["example"].tolist()):
        rows = table.where(example=example)
        strongest = int(rows["position"][int(rows["moved"].argmax())])
        word = model.tokenizer.decode([encoded[example].ids[strongest]]).strip()
        assert word in asked[example].topic or strongest in encoded[example].slot
        assert rows["moved"].max() > 0.5


def test_moved_is_the_fall_of_activity_by_hand(chain):
    model, contrast, truth = chain
    site = role(truth, "mover")
    table = unit_tokens(model, contrast, (site,), prompts=1)
    encoded = encode_pairs(model, contrast).only_aligned()
    row = next(table.rows())
    place = site.at(str(row["at"]))

    def values(rows):
        return record(model, collate(model, rows), [place]).values[place][:, -1]

    def embedded(rows):
        seen = record(model, collate(model, rows), [Site("resid_pre", 0)]).values
        both = [
            seen[Site("resid_pre", 0)][number, -len(one.ids) :][one.head : len(one.ids) - one.tail]
            for number, one in enumerate(rows)
        ]
        return torch.cat(both).mean(dim=0)

    harmful, harmless = values(encoded.harmful).mean(dim=0), values(encoded.harmless).mean(dim=0)
    line = (harmful - harmless) / (harmful - harmless).square().sum()
    batch = collate(model, [one for one in encoded.harmful if one.id == row["example"]])
    blank = embedded([*encoded.harmful, *encoded.harmless])[None, None]
    before = values(batch.rows)
    with edited(model, [put(Site("resid_pre", 0, position=str(row["position"])), blank)], batch):
        after = record(model, batch, [place]).values[place][:, -1]
    assert row["moved"] == pytest.approx(float((before - after) @ line), abs=1e-4)


def test_the_last_units_lens_is_what_its_exchange_does_to_the_logits(chain):
    """In the last layer, at the last token, the lens is the model: patching gives the same."""
    model, contrast, truth = chain
    site = max(truth.units, key=lambda each: each.layer)
    assert site.layer == model.shape.layers - 1
    table = unit_lens(model, contrast, (site,), tokens=3)
    assert set(table["at"].tolist()) == {"last"}
    encoded = encode_pairs(model, contrast).only_aligned()
    batch, other = collate(model, encoded.harmful), collate(model, encoded.harmless)
    place = site.at("last")
    value = record(model, other, [place]).values[place]
    with torch.no_grad():
        before = forward(model, batch)[:, -1]
        with edited(model, [put(place, value)], batch):
            lost = before - forward(model, batch)[:, -1]
    lost = (lost - lost.mean(dim=-1, keepdim=True)).mean(dim=0)
    ranked = lost.argsort(descending=True)
    words = [model.tokenizer.decode([token]) for token in ranked[:3].tolist()]
    assert table.where(does="raises")["token"].tolist() == words
    assert table["change"][0] == pytest.approx(float(lost[ranked[0]]), abs=1e-3)
    assert (table["low"] <= table["change"]).all() and (table["change"] <= table["high"]).all()


def test_units_without_a_share_of_the_stream_are_told(tiny):
    model = tiny("gemma2")
    assert not model.architecture.adds_up("head")
    with pytest.raises(ContrastError, match="write through a norm"):
        unit_lens(model, pairs(PLANTS["chain"], "check", 2, 0), (parse("head.0.0"),))


def test_no_unit_to_describe_is_told(chain):
    model, contrast, _ = chain
    with pytest.raises(ContrastError, match="No head or group of neurons"):
        unit_prompts(model, contrast, (Site("mlp", 0),))
