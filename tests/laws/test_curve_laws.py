"""Curves by hand: how many carry a share, how alike the choices are, areas in closed form."""

import numpy as np
import pytest

from interlock.tables import from_rows
from interlock.verification.curves import areas, carrying, curve, stability

GAPS = np.array([2.0, 4.0, 6.0, 8.0])
TOPICS = ("one", "two", "three", "four")


def table_of(shares, sets, random=0.0, spread=0.0):
    """`shares[draw][size]` of every gap; `sets[draw]` ranked units."""
    rows = []

    def add(kind, draw, sites, share):
        rows.extend(
            {
                "kind": kind, "draw": draw, "size": len(sites), "sites": " ".join(sites),
                "example": topic, "topic": topic,
                "effect": gap * (share + spread * (1 if place % 2 else -1)), "gap": gap,
            }
            for place, (topic, gap) in enumerate(zip(TOPICS, GAPS, strict=True))
        )  # fmt: skip

    for draw, ranking in enumerate(sets):
        for size, share in shares[draw].items():
            add("found", draw, ranking[:size], share)
    for size in shares[0]:
        for number in range(3):
            add("matched random", number + 1, [f"r{each}" for each in range(size)], random)
    return from_rows(rows)


RISING = {1: 0.2, 2: 0.5, 4: 0.85, 8: 1.0}
RANKING = list("abcdefgh")


def test_the_smallest_number_that_carries_the_share():
    table = table_of([RISING] * 3, [RANKING] * 3)
    found = carrying(table)
    assert (found.value, found.low, found.high) == (4, 4, 4)
    assert carrying(table, 0.5).value == 2
    assert carrying(table, 0.9).value == 8


def test_a_share_that_is_never_reached_is_said_to_be():
    low = dict.fromkeys((1, 2, 4, 8), 0.1)
    found = carrying(table_of([low] * 2, [RANKING] * 2))
    assert found.value == found.low == found.high == np.inf


def test_the_interval_holds_what_other_selections_would_give():
    """Half of the resampled rankings need all eight: the interval says four to eight."""
    late = {1: 0.0, 2: 0.1, 4: 0.3, 8: 1.0}
    found = carrying(table_of([RISING, RISING, late], [RANKING] * 3))
    assert (found.value, found.low, found.high) == (4, 4, 8)


def test_jaccard_of_resampled_choices():
    table = table_of([RISING] * 4, [RANKING, list("abcdefgh"), list("abxyefgh"), list("abcdefgh")])
    # draw 0, the choice as it was made, is no resample
    assert stability(table, 2) == 1.0
    assert stability(table, 4) == pytest.approx((1 + 2 * 2 / 6) / 3)
    assert np.isnan(stability(table_of([RISING] * 2, [RANKING] * 2), 4))


def test_the_curve_stands_beside_its_controls():
    found = curve(table_of([RISING] * 3, [RANKING] * 3, random=0.07, spread=0.05))
    share = ((GAPS * (0.5 + 0.05 * np.array([-1, 1, -1, 1]))).sum()) / GAPS.sum()
    row = next(found.where(size=2).rows())
    assert row["share"] == pytest.approx(share)
    assert row["low"] < share < row["high"]
    assert row["control"] == pytest.approx(0.07 + share - 0.5)
    assert row["n"] == row["topics"] == 4


def test_areas_of_what_is_known():
    """On MIB's grid: nothing until all, everything from 5 % on, and a straight line."""
    grid = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    cpr, cmd = areas(grid, [0.0] * 9 + [1.0])
    # as MIB prints for random circuits: .25 and .75
    assert cpr == pytest.approx(0.25) and cmd == pytest.approx(0.749)
    cpr, cmd = areas(grid, [0.0] * 5 + [1.0] * 5)
    assert cpr == pytest.approx(0.965) and cmd == pytest.approx(0.034)
    assert areas(grid, grid)[0] == pytest.approx((1 - 1e-6) / 2)
    assert areas(grid, [1.0] * 10) == pytest.approx((0.999, 0.0))
