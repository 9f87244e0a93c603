"""Pairs that a model does not tell apart give no share of a gap, and one category no comparison."""

import logging

import numpy as np
import pytest

from interlock.studies import substrate, where
from interlock.tables import Table, from_rows
from interlock.verdict import RULES, Verdict, decide

PAIRS = 20


def sets(gaps: np.ndarray, topics: int = PAIRS) -> Table:
    """A found set that restores the whole gap of every pair, among random sets that do nothing."""
    rows = [
        {"set": number, "kind": "matched random" if number else "found", "size": 2}
        | {"example": f"p{pair}", "topic": f"t{pair % topics}"}
        | {"effect": 0.0 if number else float(gap), "gap": float(gap)}
        for number in range(101)
        for pair, gap in enumerate(gaps)
    ]
    return from_rows(rows, about={"units": "80", "split": "check"})


def judged(table: Table) -> Verdict:
    return decide(RULES["localised"], where.conclude({"sets": table}).evidence)


def test_pairs_told_apart_support_the_claim_without_a_word(caplog):
    with caplog.at_level(logging.WARNING, "interlock"):
        assert judged(sets(np.full(PAIRS, 9.0))).outcome == "supported"
    assert not caplog.records


def test_pairs_not_told_apart_are_inconclusive_whatever_is_restored_of_their_gap():
    """Restored / gap is exactly 1 here, and means nothing: the gap itself may be 0."""
    gaps = np.where(np.arange(PAIRS) % 2, 1.0, -0.9)
    verdict = judged(sets(gaps))
    assert verdict.outcome == "inconclusive"
    assert "does not separate the pairs" in verdict.reason
    assert "0.05 nat" in verdict.reason
    assert verdict.reason.startswith("share of the gap those units restore could not be measured")


def test_a_gap_the_wrong_way_is_no_gap():
    assert "does not separate the pairs" in judged(sets(np.full(PAIRS, -4.0))).reason


def test_single_pairs_not_told_apart_are_counted(caplog):
    with caplog.at_level(logging.WARNING, "interlock"):
        verdict = judged(sets(np.array([0.0, 0.5, -2.0] + [9.0] * (PAIRS - 3))))
    assert "3 of 20 pairs are hardly separated" in caplog.text
    assert verdict.outcome == "supported"


def test_one_topic_is_too_few_rather_than_not_told_apart():
    verdict = judged(sets(np.full(PAIRS, 9.0), topics=1))
    assert verdict.outcome == "inconclusive" and "independent topics" in verdict.reason


def cells(sources: tuple[str, ...], targets: tuple[str, ...]) -> Table:
    rows = [
        {"source": source, "part": part, "number": 0, "target": target, "size": 2}
        | {"example": f"{target}{pair}", "topic": f"{target}{pair}", "effect": 4.0, "gap": 5.0}
        for source in sources
        for part in ("whole", "first", "second", "own", "matched random")
        for target in targets
        for pair in range(8)
    ]
    return from_rows(rows, about={"split": "check"})


@pytest.mark.parametrize("targets", [("fraud",), ("fraud", "theft")])
def test_one_category_to_compare_is_said_and_no_warning_of_numpy(targets):
    """Warnings are errors in these tests, so an empty mean would fail."""
    findings = substrate.conclude({"matrix": cells(("fraud", "arson"), targets)})
    for name in ("shared", "private", "mixed"):
        verdict = decide(RULES[name], findings.evidence)
        assert verdict.outcome == "inconclusive"
        assert "1 category (fraud)" in verdict.reason and "needs two" in verdict.reason
    assert len(findings.tables["categories.matrix"])


def test_two_categories_are_compared():
    findings = substrate.conclude({"matrix": cells(("fraud", "theft"), ("fraud", "theft"))})
    assert not findings.evidence.missing and "sharing" in findings.evidence.estimates
