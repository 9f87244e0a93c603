"""A verdict follows from intervals and thresholds alone, and moves one way with both."""

import json
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.stats import Estimate
from interlock.verdict import RULES, Condition, Evidence, Rule, decide

shares = st.floats(0, 1)
ORDER = {"not supported": 0, "inconclusive": 1, "supported": 2}
TURN = {"at least": "at most", "at most": "at least"}


def estimate(low, high):
    return Estimate((low + high) / 2, low, high, 40, 40, "test")


intervals = st.tuples(shares, shares).map(lambda ends: estimate(min(ends), max(ends)))
sides = st.sampled_from(["at least", "at most"])


def outcome(side, threshold, found):
    rule = Rule("claim", (Condition("x", side, threshold, "the x"),))
    return decide(rule, Evidence({"x": found}, "control", "table")).outcome


@given(shares, intervals)
def test_the_whole_interval_decides(threshold, found):
    got = outcome("at least", threshold, found)
    assert (got == "supported") == (found.low >= threshold)
    assert (got == "not supported") == (found.high < threshold)
    got = outcome("at most", threshold, found)
    assert (got == "supported") == (found.high <= threshold)
    assert (got == "not supported") == (found.low > threshold)


@given(sides, shares, shares, intervals)
def test_a_stricter_threshold_never_helps(side, one, other, found):
    lax, strict = sorted((one, other), reverse=side == "at most")
    assert ORDER[outcome(side, strict, found)] <= ORDER[outcome(side, lax, found)]


@given(sides, shares, intervals, shares)
def test_better_evidence_never_hurts(side, threshold, found, shift):
    step = shift if side == "at least" else -shift
    better = replace(found, low=found.low + step, high=found.high + step)
    assert ORDER[outcome(side, threshold, better)] >= ORDER[outcome(side, threshold, found)]


@given(sides, shares, intervals, shares, shares)
def test_a_wider_interval_never_turns_a_verdict_round(side, threshold, found, down, up):
    wide = replace(found, low=found.low - down, high=found.high + up)
    assert outcome(side, threshold, wide) in (outcome(side, threshold, found), "inconclusive")


@given(st.lists(intervals, min_size=1, max_size=4), st.lists(shares, min_size=4, max_size=4))
def test_several_conditions(found, thresholds):
    conditions = tuple(
        Condition(str(number), "at least", threshold, "x")
        for number, (_, threshold) in enumerate(zip(found, thresholds, strict=False))
    )
    alone = [outcome("at least", c.threshold, e) for c, e in zip(conditions, found, strict=True)]
    estimates = {str(number): each for number, each in enumerate(found)}
    got = decide(Rule("claim", conditions), Evidence(estimates, "c", "t")).outcome
    assert got == min(alone, key=ORDER.__getitem__)


@given(intervals, intervals, shares, shares, sides)
def test_a_guard_that_is_not_met_leaves_it_open(found, guarding, threshold, limit, side):
    rule = Rule(
        "claim",
        (Condition("x", "at least", threshold, "the x"),),
        (Condition("g", side, limit, "the guard"),),
    )
    got = decide(rule, Evidence({"x": found, "g": guarding}, "control", "table"))
    if outcome(side, limit, guarding) == "supported":
        assert got.outcome == outcome("at least", threshold, found)
    else:
        assert got.outcome == "inconclusive"
        assert "guard" in got.reason


@given(intervals)
def test_what_could_not_be_measured_leaves_it_open(found):
    rule = RULES["localised"]
    verdict = decide(rule, Evidence({}, "control", "table", {"restored": "no pairs"}))
    assert verdict.outcome == "inconclusive"
    assert "no pairs" in verdict.reason


@given(shares)
def test_an_unbounded_interval_is_inconclusive(threshold):
    for side in TURN:
        assert outcome(side, threshold, estimate(-inf, inf) if False else
                       Estimate(0.5, -inf, inf, 3, 1, "one cluster")) == "inconclusive"  # fmt: skip


def test_plain_is_json_without_infinities():
    rule = Rule("claim", (Condition("x", "at least", 0.5, "the x"),))
    found = Estimate(0.5, -inf, inf, 3, 1, "one cluster")
    plain = decide(rule, Evidence({"x": found}, "c", "t")).plain()
    assert plain["estimates"]["x"]["low"] is None
    assert json.loads(json.dumps(plain, allow_nan=False))["outcome"] == "inconclusive"


@pytest.mark.parametrize("name", list(RULES))
def test_shipped_rules_name_their_quantities(name):
    rule = RULES[name]
    good = {
        each.quantity: Estimate(each.threshold, each.threshold, each.threshold, 99, 99, "exact")
        for each in (*rule.conditions, *rule.guards)
    }
    assert decide(rule, Evidence(good, "control", "table")).outcome == "supported"
    for each in (*rule.conditions, *rule.guards):
        worse = each.threshold + (-1 if each.side == "at least" else 1) * 0.05
        bad = good | {each.quantity: Estimate(worse, worse, worse, 99, 99, "exact")}
        got = decide(rule, Evidence(bad, "control", "table"))
        wanted = "not supported" if each in rule.conditions else "inconclusive"
        assert got.outcome == wanted
        assert each.meaning in got.reason


@given(shares)
def test_changing_a_threshold_changes_that_one_only(threshold):
    rule = RULES["refuses_well"]
    changed = rule.with_threshold("refusal", threshold)
    before = {each.quantity: each.threshold for each in (*rule.conditions, *rule.guards)}
    after = {each.quantity: each.threshold for each in (*changed.conditions, *changed.guards)}
    assert after == before | {"refusal": threshold}
    assert rule is RULES["refuses_well"] and before["refusal"] == 0.90
