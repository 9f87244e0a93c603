"""The ground-truth card in words: what it says, what it cannot say, and a file that is none."""

import json

import pytest

from interlock.errors import InterlockError
from interlock.ground_truth import beside, read_card

MARK = {"mean": 0.987, "low": 0.96, "high": 1.0, "worst": 0.91, "worst_at": "planted-or-0", "n": 7}
ROW = {
    "methods": ["patching"],
    "causal": True,
    "blind": "redundant parts",
    "marks": {"ap": MARK},
    "nulls": {"claimed": 1, "runs": 120, "high": 0.0457},
    "coverage": {"held": 460, "of": 500, "value": 0.92, "low": 0.9, "high": 0.94},
}
CARD = {
    "suite": "small",
    "pairs": 64,
    "date": "2026-01-02",
    "methods": {
        "noising": ROW,
        "conditional": ROW | {"methods": ["patching", "interaction"]},
        "probe": ROW | {"methods": ["probe"], "causal": False},
    },
    "verdicts": {
        "localised": {"right": 4, "wrong": 1, "inconclusive": 2, "nulls": 9, "nulls_supported": 0}
    },
}


def test_a_claim_gets_its_rule_its_methods_and_the_suite():
    rule, method, suite = beside(CARD, "localised", {"patching"})
    assert "right 4, wrong 1, inconclusive 2 of 7" in rule and "0 of 9 nulls" in rule
    assert method.startswith("noising: average precision 0.99 [0.96, 1.00], worst 0.91, on 7")
    assert "1 of 120 nulls (at most 4.6%)" in method and "held 92% [0.90, 0.94]" in method
    assert method.endswith("Blind to redundant parts")
    assert "small" in suite and "64 pairs" in suite and "2026-01-02" in suite


SMALLER = {
    "16": {"right": 3, "wrong": 0, "inconclusive": 4, "nulls": 9, "nulls_supported": 1},
    "32": {"right": 6, "wrong": 0, "inconclusive": 1, "nulls": 9, "nulls_supported": 0},
}


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (
            16,
            "with your 16 this protocol finds what is there in 3 of 7 organisms and claims it in 1",
        ),
        (
            40,
            "with 32 pairs, the nearest below your 40, this protocol finds what is there in 6 of 7",
        ),
        (64, "with your 64 this protocol finds what is there in 4 of 7"),
        (900, "with 64 pairs, the nearest below your 900, this protocol finds what is there in 4"),
    ],
)
def test_the_positive_control_is_of_the_user_s_own_size(pairs, said):
    card = CARD | {"smaller": {"localised": SMALLER}}
    told = [each for each in beside(card, "localised", {"patching"}, pairs) if "positive" in each]
    assert len(told) == 1 and said in told[0]


def test_there_is_no_positive_control_below_the_smallest_size():
    card = CARD | {"smaller": {"localised": SMALLER}}
    assert not any("positive" in each for each in beside(card, "localised", {"patching"}, 15))
    assert not any("positive" in each for each in beside(card, "necessary", {"patching"}, 99))


def test_a_method_counts_only_with_all_it_needs():
    names = [line.split(":")[0] for line in beside(CARD, "", {"patching", "interaction"})]
    assert names[:2] == ["noising", "conditional"]


def test_directions_and_weights_are_told_by_their_own_marks():
    one = MARK | {"n": 2}
    rows = {
        "bypass": ROW | {"methods": ["direction"], "marks": {"interchange": one}, "nulls": None},
        "SNIP": ROW
        | {
            "methods": ["snip"],
            "causal": False,
            "marks": {"ap": MARK, "weights_auroc": one, "enrichment": one | {"mean": 17.3}},
        },
    }
    bypass, snip, _ = beside(CARD | {"methods": rows}, "", {"direction", "snip"})
    assert bypass.startswith("bypass: carries 0.99 of what the planted direction carries, on 2")
    assert "AUROC 0.99 of single planted weights, on 2; its first" in snip
    assert "planted 17.30 times as often as all, on 2" in snip


def test_a_baseline_is_never_named_as_support():
    assert not any(line.startswith("probe") for line in beside(CARD, "", {"probe", "patching"}))


def test_what_is_not_on_the_card_is_said():
    assert beside(CARD, "one direction", {"directions"}) == (
        "none of these methods is on the ground-truth card yet",
    )
    assert beside({}, "localised", {"patching"}) == (
        "no ground-truth card; make one with `interlock calibrate`",
    )


def test_unknown_ends_are_left_out():
    alone = ROW | {"marks": {"ap": MARK | {"low": None, "high": None, "n": 1}}}
    _, method, _ = beside(CARD | {"methods": {"noising": alone}}, "localised", {"patching"})
    assert "0.99, worst" in method


def test_the_card_that_ships_says_something_of_every_rule_and_causal_method():
    card = read_card()
    assert card, "no ground_truth.json; run benchmarks/calibrate.py"
    kinds = [organism["kind"] for organism in card["organisms"]]
    assert kinds.count("planted") >= 2 and "natural" in kinds and kinds.count("null") >= 2
    assert len(beside(card, "localised", {"patching", "joint"})) >= 5
    of_units = [row for row in card["methods"].values() if row["causal"] and "ap" in row["marks"]]
    assert len(of_units) >= 9 and all(row["nulls"]["runs"] for row in of_units)
    (snip,) = [line for line in beside(card, "few_weights", {"snip"}) if line.startswith("SNIP:")]
    assert "of single planted weights" in snip and "times as often as all" in snip
    assert (
        "of what the planted direction carries"
        in beside(card, "one_direction", {"direction", "direction_candidates"})[0]
    )


def test_a_file_that_is_no_card(tmp_path):
    path = tmp_path / "card.json"
    path.write_text(json.dumps({"suite": 1}))
    with pytest.raises(InterlockError, match="is not a ground-truth card"):
        read_card(path)
    assert read_card(tmp_path / "absent.json") == {}
