"""The files in the Llama-3 study's form: the numbers are those of the tables they are made from."""

import json

import numpy as np
import pytest

from interlock.contrast import Contrast, Example
from interlock.scores import Scores
from interlock.sites import Site, parse
from interlock.studies.original_files import ablation_results, patching_results
from interlock.tables import from_rows

NAMES = ("one", "two", "three", "four")


def pairs():
    examples = [
        Example(f"{name}-{end}", f"{end} {name}", "theft", expected, name, name)
        for name in NAMES
        for end, expected in (("harmful", "refuse"), ("harmless", "comply"))
    ]
    return Contrast("made", "check", tuple(examples), "MIT")


def scores(sites, shares, gap=(2.0, 4.0, 6.0, 8.0)):
    """Effects that are `shares` (site by pair) of each pair's gap."""
    gaps = np.array(gap)
    ids = tuple(f"{name}-harmful" for name in NAMES)
    about = {"direction": "denoise", "split": "check"}
    return Scores(tuple(sites), ids, NAMES, np.array(shares) * gaps, gaps, "nat", about)


def test_components_are_ranked_by_the_pairs_they_carry():
    layers = scores(
        [Site("attn", 3, position="last"), Site("resid_post", 1, position="last")],
        [[0.9, 0.1, 0.9, 0.1], [1.0, 1.0, 1.0, 1.0]],
    )
    units = scores([parse("head.2.5"), parse("neuron.1.0:16")], [[0.6, 0.6, 0.6, 0.0], [0.0] * 4])
    found = patching_results([layers, units], pairs())
    ranked = found["combined_analysis"]["ranked_components"]
    assert [(row["site"], row["frequency"], row["percentage"]) for row in ranked] == [
        ("resid_post.1@last", 4, 100.0), ("head.2.5", 3, 75.0), ("attn.3@last", 2, 50.0),
        ("neuron.1.0:16", 0, 0.0),
    ]  # fmt: skip
    assert [row["component"] for row in ranked] == ["residual", "attention", "attention", "mlp"]
    assert ranked[1]["head"] == 5 and ranked[3]["neurons"] == [0, 16]
    share = (0.9 * 2 + 0.1 * 4 + 0.9 * 6 + 0.1 * 8) / 20
    assert ranked[2]["share"] == pytest.approx(share)
    assert ranked[2]["share_low"] <= share <= ranked[2]["share_high"]
    first = found["all_experiments"][0]
    assert first == {
        "category": "theft", "pair_id": "one", "harmful_prompt": "harmful one",
        "harmless_prompt": "harmless one", "num_experiments": 4,
    }  # fmt: skip


def test_pairs_that_are_not_told_apart_count_for_no_component():
    found = patching_results(
        [scores([Site("attn", 0)], [[1.0] * 4], (2.0, -2.0, 0.0, 2.0))], pairs()
    )
    (row,) = found["combined_analysis"]["ranked_components"]
    assert row["frequency"] == 2 and row["percentage"] == 50.0
    nothing = patching_results([scores([Site("attn", 0)], [[1.0] * 4], (0.0,) * 4)], pairs())
    assert nothing["combined_analysis"]["ranked_components"][0]["share"] is None
    json.dumps(nothing, allow_nan=False)


def test_rates_of_ablations_are_those_of_their_rows():
    refused = {
        ("none", 0, 0, ""): [1, 1, 1, 0],
        ("single", 1, 0, "head.0.1"): [1, 1, 0, 0],
        ("single", 1, 1, "head.0.2"): [1, 1, 1, 1],
        ("found", 2, 0, ""): [0, 0, 0, 1],
        ("matched random", 2, 0, ""): [1, 1, 1, 0],
        ("matched random", 2, 1, ""): [1, 0, 1, 0],
    }
    rows = [
        {"kind": kind, "size": size, "set": number, "site": site, "example": name, "topic": name,
         "expected": "refuse", "measure": "refused", "value": float(value)}
        for (kind, size, number, site), values in refused.items()
        for name, value in zip(NAMES, values, strict=True)
    ]  # fmt: skip
    table = from_rows(rows, about={"sites": "head.0.1 head.0.2 head.0.3", "ablation": "zero"})
    found = ablation_results([table])
    assert found["baseline_refusal_rate"] == 0.75
    single, other, both = found["ablation_experiments"]
    assert single["ablated_components"] == ["head.0.1"] and single["refusal_rate"] == 0.5
    assert single["refusal_rate_change"] == 0.25 and single["num_changed_behaviors"] == 1
    assert other["refusal_rate_change"] == -0.25
    assert both["ablated_components"] == ["head.0.1", "head.0.2"]
    assert both["num_ablated"] == 2 and both["num_changed_behaviors"] == 4
    assert both["refusal_interval"][0] < both["refusal_rate"] < both["refusal_interval"][1]
    (control,) = found["controls"]
    assert control["refusal_rate"] == pytest.approx(5 / 8) and control["sets"] == 2
