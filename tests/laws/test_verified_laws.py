"""The criteria of the Llama-3 study and the tables beside a found set, from tables made by hand."""

import numpy as np
import pytest

from interlock.scores import Scores
from interlock.sites import unit
from interlock.studies import substrate, where
from interlock.tables import from_rows
from interlock.verdict import RULES, decide
from interlock.verification.original import Original, criteria

TOPICS = tuple(f"t{number}" for number in range(20))
GAP = 10.0


def joint_of(found, random, *, parameters="0.03", sets=4):
    """A set that restores `found` of every gap, beside random ones that restore `random`."""
    rows = [
        {"set": number, "kind": "matched random" if number else "found", "size": 5,
         "example": topic, "topic": topic, "effect": GAP * (random if number else found),
         "gap": GAP}
        for number in range(sets + 1) for topic in TOPICS
    ]  # fmt: skip
    about = {"units": "100", "split": "check", "share of parameters": parameters}
    return from_rows(rows, about=about)


def effects_of(shares, *, split="check", signed=False):
    """Heads with these shares of every gap; with `signed`, of alternating sign by topic."""
    sign = np.where(np.arange(len(TOPICS)) % 2, -1.0, 1.0) if signed else np.ones(len(TOPICS))
    values = GAP * np.outer(shares, sign)
    sites = tuple(unit("head", 0, number) for number in range(len(shares)))
    about = {"direction": "denoise", "split": split}
    return Scores(sites, TOPICS, TOPICS, values, np.full(len(TOPICS), GAP), "nat", about)


def ablation_of(before, after, random, *, sizes=(5,)):
    """Refusal of the first prompts: so many before, with the set ablated, and with random sets."""
    counts = [("none", 0, 0, before)]
    for size in sizes:
        counts += [("found", size, 0, after)]
        counts += [("matched random", size, number, random) for number in range(3)]
    rows = [
        {"kind": kind, "size": size, "set": number, "site": "", "example": topic, "topic": topic,
         "expected": "refuse", "measure": "refused", "value": float(place < refused)}
        for kind, size, number, refused in counts for place, topic in enumerate(TOPICS)
    ]  # fmt: skip
    return from_rows(rows)


def by_name(table):
    return {row["criterion"]: row for row in table.rows()}


def test_every_criterion_of_a_clear_case_is_met():
    found = Original(
        joint_of(0.95, 0.1), effects_of([0.3] * 12 + [0.01] * 8), ablation_of(20, 2, 20), 5
    )
    rows = by_name(criteria(found))
    assert [row["met"] for row in rows.values()] == [True] * 5
    assert rows["share of the parameters"]["found"] == pytest.approx(0.03)
    assert rows["share of the effect that 5 units restore"]["control"] == pytest.approx(0.1)
    assert rows["heads above 10%"]["found"] == 12
    assert rows["fall of refusal, 5 units"]["found"] == pytest.approx(0.9)
    assert rows["fall of refusal, 5 units"]["p"] == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("joint", "effects", "ablation", "name"),
    [
        (joint_of(0.95, 0.1, parameters="0.06"), [0.3] * 12, (20, 2, 20), "share of the param"),
        (joint_of(0.7, 0.1), [0.3] * 12, (20, 2, 20), "share of the effect"),
        (joint_of(0.95, 0.9), [0.3] * 12, (20, 2, 20), "share of the effect"),  # any set does it
        (joint_of(0.95, 0.1), [0.3] * 9, (20, 2, 20), "heads above"),
        (joint_of(0.95, 0.1), [0.3] * 12, (20, 16, 20), "fall of refusal"),
        (joint_of(0.95, 0.1), [0.3] * 12, (20, 2, 5), "fall of refusal"),  # so do random sets
    ],
)
def test_each_criterion_fails_by_itself_or_by_its_control(joint, effects, ablation, name):
    found = Original(joint, effects_of(effects), ablation_of(*ablation), 5)
    rows = by_name(criteria(found))
    assert not next(row["met"] for key, row in rows.items() if key.startswith(name))
    others = [row["met"] for key, row in rows.items() if not key.startswith((name, "the same"))]
    assert all(others)


def test_effects_without_a_sign_of_their_own_count_no_head():
    rows = by_name(criteria(Original(joint_of(0.9, 0.1), effects_of([0.3] * 12, signed=True))))
    assert rows["heads above 10%"]["found"] == 0 and rows["heads above 10%"]["control"] > 0


def test_a_fall_is_also_told_as_a_share_of_what_was_refused():
    rows = by_name(criteria(Original(joint_of(0.9, 0.1), None, ablation_of(10, 5, 10), 5)))
    assert rows["fall of refusal, 5 units"]["found"] == pytest.approx(0.25)
    relative = next(row for key, row in rows.items() if key.startswith("the same"))
    assert relative["found"] == pytest.approx(0.5) and "50%" in relative["criterion"]


def test_what_was_not_measured_is_left_out():
    assert len(criteria(Original(joint_of(0.9, 0.1)))) == 2
    missing = Original(joint_of(0.9, 0.1), None, ablation_of(20, 2, 20, sizes=(10,)), 5)
    assert len(criteria(missing)) == 2


def test_the_claim_s_tables_hold_the_criteria_of_the_judged_split_only():
    parts = {"sets": joint_of(0.9, 0.1), "units": effects_of([0.3] * 12, split="find")}
    rows = by_name(where.conclude(parts).tables["where.original"])
    assert "heads above 10%" not in rows
    parts["effects"] = effects_of([0.3] * 12)
    assert by_name(where.conclude(parts).tables["where.original"])["heads above 10%"]["met"]


def curve_of(direction, shares):
    """The first units carry these shares of every gap, whatever is resampled."""
    rows = [
        {"kind": kind, "draw": draw, "size": size,
         "sites": " ".join(f"head.0.{number}" for number in range(size)),
         "parameters": 0.01 * size, "example": topic, "topic": topic,
         "effect": GAP * (share if kind == "found" else 0.05), "gap": GAP}
        for kind, draws in (("found", (0, 1, 2)), ("matched random", (1, 2)))
        for draw in draws for size, share in shares.items() for topic in TOPICS
    ]  # fmt: skip
    return from_rows(rows, about={"direction": direction, "units": "50"})


def test_how_many_carry_it_stands_beside_the_set():
    parts = {
        "sets": joint_of(0.9, 0.1),
        "curve": curve_of("denoise", {1: 0.5, 2: 0.9}),
        "without": curve_of("noise", {1: 0.1, 2: 0.2}),
    }
    tables = where.conclude(parts).tables
    alone, removed = tables["where.carrying"].rows()
    assert (alone["units"], alone["number"]) == ("restored alone", 2)
    assert alone["share of units"] == pytest.approx(0.04)
    assert alone["share of parameters"] == pytest.approx(0.02)
    assert alone["jaccard"] == 1
    assert (removed["units"], removed["number"]) == ("removed", np.inf)
    assert np.isnan(removed["share of parameters"]) and removed["largest tried"] == 2
    curve = tables["where.sizes"]
    assert curve.where(units="restored alone", size=2)["share"][0] == pytest.approx(0.9)
    assert curve.where(units="removed", size=2)["control"][0] == pytest.approx(0.05)


def test_a_category_matrix_decides_by_the_declared_rules():
    generator = np.random.default_rng(0)
    names, parts = ("a", "b", "c"), ("whole", "first", "second", "own", "matched random")
    sets = [(part, name, 0) for part in parts[:-1] for name in names] + [("core", "", 0)]
    sets += [("matched random", name, number) for name in names for number in range(7)]
    rows = [
        {"source": source, "part": part, "number": number, "size": 2,
         "target": target, "example": f"{target}{row}", "topic": f"{target}{row}",
         "effect": GAP * (part not in ("own", "matched random")) + generator.normal(0, 0.1),
         "gap": GAP}
        for part, source, number in sets for target in names for row in range(6)
    ]  # fmt: skip
    found = substrate.conclude({"matrix": from_rows(rows)})
    outcomes = {name: decide(RULES[name], found.evidence).outcome for name in
                ("shared", "private", "mixed")}  # fmt: skip
    assert outcomes == {"shared": "supported", "private": "not supported", "mixed": "not supported"}
    assert found.evidence.table in found.tables
    assert len(found.tables["categories.matrix"]) == len(sets) * len(names)
