"""Steps that no claim sums up get a table with intervals, made of what they stored."""

import numpy as np
import pytest

from interlock.figures import all_figures
from interlock.figures.forms import Bars, Heat
from interlock.figures.summaries import MOST, edges, summaries
from interlock.scores import Scores
from interlock.sites import Site, parse
from interlock.stats import ratio
from interlock.tables import Table, from_rows

PAIRS = 6


def scores(sites: list[str], direction: str, seed: int = 0, **about: str) -> Scores:
    values = np.random.default_rng(seed).normal(1.0, 0.5, (len(sites), PAIRS))
    ids = tuple(f"p{k}" for k in range(PAIRS))
    return Scores(
        tuple(parse(site) for site in sites), ids, tuple(f"t{k // 2}" for k in range(PAIRS)),
        values, np.full(PAIRS, 2.0), "nat", {"direction": direction, "split": "find", **about},
    )  # fmt: skip


def held() -> Table:
    """Two heads and a neuron group; half of the first head's effect passes through the neurons."""
    alone = {"head.0.0": 2.0, "neuron.0.0:16": 1.6, "head.1.0": 1.0}
    joint = {
        ("head.0.0", "neuron.0.0:16"): 1.0,
        ("head.0.0", "head.1.0"): 2.2,
        ("neuron.0.0:16", "head.1.0"): 0.4,
    }
    rows = []
    for site in alone:
        for given in alone:
            if site == given:
                continue
            for pair in range(PAIRS):
                rows.append(
                    {"given": given, "site": site, "example": f"p{pair}", "topic": f"t{pair // 2}"}
                    | {"joint": joint.get((site, given), alone[site]), "alone": alone[site]}
                    | {"given_alone": alone[given], "gap": 4.0}
                )
    return from_rows(rows, about={"given": "held", "direction": "noise"})


def test_edges_are_what_is_lost_of_an_effect_when_a_later_unit_is_held():
    found = {(row["source"], row["target"]): row for row in edges(held()).rows()}
    shares = {edge: row["share"] for edge, row in found.items()}
    assert shares == {
        ("neuron.0.0:16", "head.1.0"): pytest.approx(1.2 / 4),
        ("head.0.0", "neuron.0.0:16"): pytest.approx(1.0 / 4),
        ("head.0.0", "head.1.0"): pytest.approx(-0.2 / 4),
    }
    assert list(shares) == sorted(shares, key=lambda edge: -abs(shares[edge]))
    first = found["head.0.0", "neuron.0.0:16"]
    assert (first["source_alone"], first["target_alone"]) == (0.5, pytest.approx(0.4))
    assert (first["n"], first["topics"]) == (PAIRS, 3)


def test_edges_never_run_backwards_or_between_units_of_one_place():
    rows = [row | {"site": "head.0.0", "given": "head.0.1"} for row in held().rows()]
    assert len(edges(from_rows(rows, about={"given": "held"}))) == 0


def test_edges_have_the_ratio_of_means_and_its_interval():
    rng = np.random.default_rng(1)
    rows = [
        {"given": "head.2.0", "site": "head.0.0", "example": f"p{pair}", "topic": f"t{pair // 2}"}
        | {"joint": rng.normal(), "alone": rng.normal(2), "given_alone": 1.0}
        | {"gap": rng.uniform(2, 4)}
        for pair in range(12)
    ]
    (row,) = edges(from_rows(rows, about={"given": "held"})).rows()
    lost = np.array([each["alone"] - each["joint"] for each in rows])
    expected = ratio(
        lost, np.array([each["gap"] for each in rows]), [each["topic"] for each in rows],
        unit="share",
    )  # fmt: skip
    assert (row["share"], row["low"], row["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_scores_that_differ_in_direction_share_a_table():
    sites = [f"{kind}.{layer}@last" for kind in ("attn", "mlp") for layer in range(2)]
    found = summaries(
        {"where.layers.denoise": scores(sites, "denoise"),
         "where.layers.noise": scores(sites, "noise", seed=1),
         "heads": scores(["head.0.0", "head.0.1"], "noise")}, judged=()
    )  # fmt: skip
    assert set(found) == {"where.layers.summary", "heads.summary"}
    table = found["where.layers.summary"]
    (row,) = table.where(kind="mlp", layer=1, direction="noise").rows()
    expected = scores(sites, "noise", seed=1).share(parse("mlp.1@last"))
    assert row["share"] == pytest.approx(expected.value)
    assert row["low"] < row["share"] < row["high"]
    (figure,) = all_figures({"where.layers.summary": table})
    assert isinstance(figure.form, Heat) and len(figure.form.facets) == 2


def test_estimates_and_patched_effects_are_not_mixed():
    found = summaries(
        {"find.quick": scores(["head.0.0"], "noise", estimator="plain"),
         "find.exact": scores(["head.0.0"], "noise")}, judged=()
    )  # fmt: skip
    assert set(found) == {"find.quick.summary", "find.exact.summary"}
    (figure,) = all_figures({"q": found["find.quick.summary"]})
    assert "estimated effect" in figure.title and "Nothing was patched" in figure.reading
    (exact,) = all_figures({"q": found["find.exact.summary"]})
    assert "estimated" not in exact.title


def test_what_a_claim_sums_up_and_what_has_no_summary_is_left():
    other = from_rows([{"example": "p", "value": 1.0}])
    patched = Table(held().columns, about={"given": "patched"})
    found = {"a": scores(["head.0.0"], "noise"), "b": other, "c": patched, "d": held(), "e": None}
    assert set(summaries(found, judged={"a"})) == {"d.summary"}


def test_a_step_of_very_many_sites_keeps_the_largest_and_says_so():
    sites = [f"neuron.0.{place}" for place in range(MOST + 50)]
    many = scores(sites, "denoise")
    table = summaries({"all": many}, judged=())["all.summary"]
    assert len(table) == MOST
    assert table.about["left out"].startswith("50 sites")
    order = np.argsort(-np.abs(many.shares()))
    kept = {str(parse(str(site))) for site in table.columns["site"]}
    assert kept == {str(Site("neuron", 0, (int(k), int(k) + 1))) for k in order[:MOST]}
    (figure,) = all_figures({"all.summary": table})
    assert "50 sites with smaller effects" in figure.reading


def test_replies_under_patching_are_counted_by_kind_and_drawn():
    kinds = ("unpatched", "found", "matched random", "matched random")
    rows = [
        {"set": number, "kind": kind, "direction": "denoise", "size": 2, "example": f"x{row}",
         "topic": f"t{row}", "category": "a", "degenerate": row == 0 and kind == "found",
         "observed": "refuse" if kind == "found" and row < 3 else "comply", "reply": "<b>"}
        for number, kind in enumerate(kinds) for row in range(4)
    ]  # fmt: skip
    table = from_rows(rows, about={"direction": "denoise"})
    (name,) = (made := summaries({"where.said": table}, ()))
    found = {row["patched"]: row for row in made[name].rows()}
    assert found["found"]["refusal"] == 0.75 and found["found"]["degenerate"] == 0.25
    assert found["matched random"]["sets"] == 2 and found["matched random"]["n"] == 8
    assert found["unpatched"]["refusal"] == 0 < found["unpatched"]["high"]
    (figure,) = all_figures(made)
    assert isinstance(figure.form, Bars)
    assert figure.form.labels == ("unpatched", "found", "matched random")
    assert [mark.value for mark in figure.form.series[0].marks if mark] == [0, 0.75, 0]
    assert "2 random sets" in figure.control and "found 25%" in figure.reading
