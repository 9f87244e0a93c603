"""Each metric of a circuit equals a hand-worked toy: units whose joint score is a small formula."""

from itertools import chain, combinations

import numpy as np
import pytest

from interlock.tables import from_rows
from interlock.verification.circuits import (
    NOTHING,
    completeness,
    faithfulness,
    incompleteness,
    lost,
    measured,
    minimality,
    necessity,
    quantiles,
    summary,
)

UNITS = ("head.0.0", "head.0.1", "head.0.2", "head.0.3", "head.0.4")
A, B, C, D, E = UNITS
GAINS = np.array([1.0, 1.0, 2.0, 4.0])  # of the pairs; a ratio of means weighs them so
TOPICS = ("one", "one", "two", "three")


def subsets(of):
    return (frozenset(each) for each in chain.from_iterable(
        combinations(of, size) for size in range(len(of) + 1)
    ))  # fmt: skip


def table_of(score, chosen, random=()):
    """What the method would measure: `score(kept units)`, times each pair's gain, plus 3."""

    def rows(part, cut, kept, number=0):
        return [
            {"part": part, "without": " ".join(sorted(cut)), "number": number, "example": str(pair),
             "topic": topic, "category": "x", "score": 3.0 + gain * score(frozenset(kept))}
            for pair, (gain, topic) in enumerate(zip(GAINS, TOPICS, strict=True))
        ]  # fmt: skip

    found = []
    for cut in subsets(chosen):
        found += rows("circuit", cut, set(chosen) - cut)
        found += rows("model", cut, set(UNITS) - cut)
    for number, drawn in enumerate(random):
        found += rows("random circuit", NOTHING, drawn, number)
        found += rows("random model", NOTHING, set(UNITS) - set(drawn), number)
    return from_rows(found, about={"sites": " ".join(chosen)})


def additive(kept):
    """A carries 6, B carries 2, C works against it by 2, D carries 2; together 8."""
    return 6 * (A in kept) + 2 * (B in kept) - 2 * (C in kept) + 2 * (D in kept)


def redundant(kept):
    """A and B are a copy of each other: 8 with either; D adds 2."""
    return 8 * (A in kept or B in kept) + 2 * (D in kept)


def test_shares_of_an_additive_score():
    found = measured(table_of(additive, (A, B)))
    assert faithfulness(found).value == pytest.approx(8 / 8)  # C's -2 and D's +2 are both outside
    assert completeness(found).value == pytest.approx(0 / 8)
    assert necessity(found).value == pytest.approx(8 / 8)
    assert lost(found).value == pytest.approx(0.0)
    found = measured(table_of(additive, (A,)))
    assert faithfulness(found).value == pytest.approx(6 / 8)
    assert completeness(found).value == pytest.approx(2 / 8)
    assert necessity(found).value == pytest.approx(6 / 8)
    assert lost(found).value == pytest.approx((8 - 6) * GAINS.mean())


def test_a_negative_unit_left_out_makes_it_more_than_whole():
    found = measured(table_of(additive, (A, B, D)))
    assert faithfulness(found).value == pytest.approx(10 / 8)
    assert lost(found).value == pytest.approx(-2 * GAINS.mean())


def test_necessity_misses_a_copy_and_completeness_finds_it():
    """C = {A, D}: faithful, but B does what A does, so the model without A is as before."""
    found = measured(table_of(redundant, (A, D)))
    assert faithfulness(found).value == pytest.approx(1.0)
    assert necessity(found).value == pytest.approx(2 / 10)
    assert completeness(found).value == pytest.approx(8 / 10)
    cut, worst = incompleteness(found)
    # F(C - A) = 2 while F(M - A) = 10; taking D too gives 0 and 8: alike, the first is met first
    assert A in cut
    assert worst.value == pytest.approx(8 / 10)


def test_a_complete_circuit_of_an_additive_score_is_off_by_what_it_lacks():
    _cut, worst = incompleteness(measured(table_of(additive, (A, B))))
    assert worst.value == pytest.approx(0.0)
    _cut, worst = incompleteness(measured(table_of(additive, (A, B, D))))
    assert worst.value == pytest.approx(2 / 8)


def test_minimality_needs_a_subset_that_shows_the_unit():
    """Of two copies each is idle while the other is there, and needed once it is not."""
    found = minimality(measured(table_of(redundant, (A, B, E))))
    assert found[A][0] == frozenset({B}) or B in found[A][0]
    assert found[A][1].value == pytest.approx(8 / 10)
    assert found[B][1].value == pytest.approx(8 / 10)
    assert found[E][1].value == pytest.approx(0.0)  # a unit that does nothing
    alone = measured(table_of(redundant, (A, B)))
    assert (alone.circuit[NOTHING] - alone.circuit[frozenset({A})] == 0).all()


def test_shares_are_ratios_of_means_and_pairs_are_shown_apart():
    """Half of the pairs have no mechanism at all: the mean describes none of them."""
    table = table_of(additive, (A,))
    scores = table["score"].copy()
    whole = [
        part == "circuit" and not cut
        for part, cut in zip(table["part"], table["without"], strict=True)
    ]
    flat = np.isin(table["example"], ["0", "1"]) & np.array(whole)
    scores[flat] = 3.0
    changed = from_rows(
        [row | {"score": float(score)} for row, score in zip(table.rows(), scores, strict=True)],
        about=table.about,
    )
    found = measured(changed)
    assert faithfulness(found).value == pytest.approx(6 / 8 * 6 / 8)  # gains 2 and 4 of 8
    assert quantiles(found, (0.0, 1.0)) == pytest.approx([0.0, 6 / 8])


def test_intervals_lie_about_the_share_and_widen_with_unlike_topics():
    estimate = faithfulness(measured(table_of(additive, (A,))))
    assert estimate.low == pytest.approx(6 / 8) and estimate.high == pytest.approx(6 / 8)
    assert estimate.clusters == 3 and estimate.n == 4


def test_the_summary_stands_beside_random_sets():
    found = summary(table_of(additive, (A, B), random=((C,), (D,), (E,))))
    rows = {row["metric"]: row for row in found.rows()}
    assert rows["faithfulness"]["control"] == pytest.approx((-2 + 2 + 0) / 3 / 8)
    assert rows["faithfulness"]["p"] == pytest.approx(1 / 4)
    # without C 10 are left, without D 6, without E 8
    assert rows["necessity"]["control"] == pytest.approx((-2 + 2 + 0) / 3 / 8)
    assert rows["necessity"]["p"] == rows["completeness"]["p"] == pytest.approx(1 / 4)
    assert rows["completeness"]["control"] == pytest.approx((10 + 6 + 8) / 3 / 8)
    assert {f"minimality of {A}", f"minimality of {B}", "lost", "incompleteness"} <= set(rows)
    worse = summary(table_of(additive, (D,), random=((A,), (B,), (E,))))
    ranks = {row["metric"]: row["p"] for row in worse.rows()}
    assert ranks["faithfulness"] == pytest.approx(3 / 4)  # A does better, B as well
