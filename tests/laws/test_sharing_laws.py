"""Category matrices made by hand: shared, private, mixed, nothing, and a half-made finding."""

import numpy as np
import pytest

from interlock.tables import Table, from_rows
from interlock.verification.sharing import matrix, quantities, sharing

CATEGORIES = ("a", "b", "c", "d")
TOPICS = 6


def table_of(effects, *, noise=0.02, seed=0, topics=TOPICS, controls=5) -> Table:
    """A table in which set (part, source) takes `effects(part, source, target)` of every gap."""
    generator = np.random.default_rng(seed)
    sets = [(part, name, 0) for name in CATEGORIES for part in ("whole", "first", "second", "own")]
    sets += [("core", "", 0)] + [
        ("matched random", name, number) for name in CATEGORIES for number in range(controls)
    ]
    rows = [
        {
            "source": source,
            "part": part,
            "number": number,
            "size": 3,
            "target": target,
            "example": f"{target}{topic}",
            "topic": f"{target}{topic}",
            "effect": (effects(part, source, target) + noise * generator.normal()) * (8.0 + topic),
            "gap": 8.0 + topic,
        }
        for part, source, number in sets
        for target in CATEGORIES
        for topic in range(topics)
    ]
    return from_rows(rows)


def shared(part, source, target):
    return {"own": 0.0, "matched random": 0.0}.get(part, 1.0)


def private(part, source, target):
    found = part not in ("core", "matched random") and source == target
    return 1.0 if found else 0.0


def detectors(part, source, target):
    """Own detectors before a shared rest: any whole set works, own parts on their own only."""
    return private(part, source, target) if part == "own" else shared(part, source, target)


def half_shared(part, source, target):
    if part in ("own", "matched random", "core"):
        return 0.0
    return 1.0 if source == target else 0.65


def nothing(part, source, target):
    return 0.0


@pytest.mark.parametrize(
    ("effects", "substrate"),
    [
        (shared, "shared"),
        (private, "private"),
        (detectors, "mixed"),
        (half_shared, "mixed"),
        (nothing, "undetermined"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_kind_is_told(effects, substrate):
    assert sharing(table_of(effects)).substrate == substrate


def test_numbers_are_those_of_the_matrix_by_hand():
    def effects(part, source, target):
        if part == "whole":
            return 0.8 if source == target else 0.3
        if part in ("first", "second"):
            return 0.6 if source == target else 0.1
        return 0.4 if part == "own" and source == target else 0.05

    found = quantities(table_of(effects, noise=0.0))
    wanted = {
        "own": 0.8, "cross": 0.3, "ceiling": 0.6 / 0.8, "sharing": (0.3 / 0.8) / (0.6 / 0.8),
        "private": 0.35, "apart": 0.5, "random": 0.05, "p_rows": 1 / 24,
        "categories": 4, "topics": 24, "control_sets": 20,
    }  # fmt: skip
    for name, value in wanted.items():
        assert found[name].value == pytest.approx(value), name
        assert found[name].low <= found[name].value + 1e-9 >= 0, name


def test_rows_that_are_alike_are_no_evidence_for_the_diagonal():
    assert quantities(table_of(shared, noise=0.0))["p_rows"].value == 1.0


def test_every_cell_has_the_ratio_of_means_and_an_interval_over_its_topics():
    table = table_of(detectors, noise=0.2)
    found = matrix(table)
    cell = found.where(part="own", source="a", target="a")
    rows = table.where(part="own", source="a", target="a")
    assert cell["share"][0] == pytest.approx(rows["effect"].sum() / rows["gap"].sum())
    assert cell["low"][0] < cell["share"][0] < cell["high"][0]
    assert cell["n"][0] == cell["topics"][0] == TOPICS


def test_an_unreproducible_finding_concludes_nothing():
    """Sets found on half the topics do nothing: what was found is chance, whatever the whole do."""

    def effects(part, source, target):
        return 0.02 if part in ("first", "second") else private(part, source, target)

    found = sharing(table_of(effects))
    assert found.substrate == "undetermined"
    assert "guard not met" in found.verdicts[1].reason


def test_few_topics_conclude_nothing():
    assert sharing(table_of(shared, topics=3)).substrate == "undetermined"
    wide = quantities(table_of(shared, topics=1))["own"]
    assert np.isneginf(wide.low) and np.isposinf(wide.high)


def test_few_random_sets_conclude_nothing():
    found = sharing(table_of(shared, controls=4))
    assert found.substrate == "undetermined"
    assert "matched random sets: lower bound at least 20" in found.verdicts[0].reason


def test_intervals_cover():
    """The interval of `own` holds the truth in about 95 of 100 tables of noisy topics."""
    held = 0
    for seed in range(40):
        found = quantities(table_of(half_shared, noise=0.5, seed=seed))["own"]
        held += found.low <= 1.0 <= found.high
    assert held >= 35
