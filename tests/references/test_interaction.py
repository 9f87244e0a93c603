"""Joint, held and single effects agree with patching by hand; edges and redundancy as they are."""

from dataclasses import replace

import numpy as np
import pytest

from interlock.activations import forward
from interlock.edits import edited, put
from interlock.exchange import read_sides, rows_of, usable_pairs
from interlock.measures import openers_of
from interlock.methods.interaction import interaction
from interlock.methods.patching import patching
from interlock.metrics import opening_score
from interlock.sites import acts_before, parse

SITES = tuple(parse(text) for text in ("head.0.2", "head.2.1", "neuron.1.32:48"))


@pytest.fixture(scope="module")
def few(contrasts):
    """Four pairs of different categories."""
    find = contrasts.splits["find"]
    kept = [example for pair in find.pairs()[:4] for example in pair]
    return replace(find, examples=tuple(kept))


def by_hand(model, pairs, openers, direction, patched, held, sites=SITES):
    """Score changes with explicit edits, one pair at a time."""
    usable, _ = usable_pairs(model, pairs, ("all",))
    changes = []
    for row in rows_of(usable):
        sides = read_sides(model, [row], openers, sites, direction)
        edits = [put(site, sides.other.values[site]) for site in patched]
        edits += [put(site, sides.own.values[site]) for site in held]
        with edited(model, edits, sides.base):
            score = opening_score(forward(model, sides.base)[:, -1], openers)
        changes.append(float(score - sides.score) * (1 if direction == "denoise" else -1))
    return np.array(changes)


def cell(table, given, site, column):
    keep = (table["given"] == str(given)) & (table["site"] == str(site))
    return table[column][keep]


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("given", ["patched", "held"])
def test_effects_are_those_of_patching_by_hand(aligned, few, judged, direction, given):
    pairs, openers = few, openers_of(judged)
    table = interaction(
        aligned, pairs, SITES, judged, direction=direction, given=given, beside="sites"
    )
    for first in SITES:
        for other in SITES:
            if other == first or (given == "held" and not acts_before(other, first)):
                assert not len(cell(table, first, other, "joint"))
                continue
            patched, held = ([other, first], []) if given == "patched" else ([other], [first])
            wanted = by_hand(aligned, pairs, openers, direction, patched, held)
            assert np.allclose(cell(table, first, other, "joint"), wanted, atol=1e-3)
            alone = by_hand(aligned, pairs, openers, direction, [other], [])
            assert np.abs(alone).max() > 1e-3
            assert np.allclose(cell(table, first, other, "alone"), alone, atol=1e-3)
            single = by_hand(aligned, pairs, openers, direction, [first], [])
            assert np.allclose(cell(table, first, other, "given_alone"), single, atol=1e-3)


def test_single_effects_are_the_sweep_s(aligned, few, judged):
    pairs = few
    table = interaction(aligned, pairs, SITES[:1], judged, direction="denoise", count=1)
    sweep = patching(aligned, pairs, judged, places="units", positions=("all",))
    for site in (SITES[1], SITES[2], parse("neuron.3.0:16")):
        row = sweep.sites.index(site)
        assert np.allclose(cell(table, SITES[0], site, "alone"), sweep.values[row], atol=1e-3)
    assert np.allclose(cell(table, SITES[0], SITES[1], "gap"), sweep.gap, atol=1e-3)
    assert len(set(table["site"].tolist())) == len(sweep.sites) - 1  # all but the given one


def test_only_what_comes_before_a_held_site_is_patched(aligned, few, judged):
    """A site that comes after the held one cannot lose anything by it, so it has no row."""
    late, early = parse("head.3.0"), parse("head.0.2")
    table = interaction(
        aligned, few, (early, late), judged,
        direction="denoise", given="held", beside="sites",
    )  # fmt: skip
    assert set(zip(table["given"], table["site"], strict=True)) == {(str(late), str(early))}
    assert not np.allclose(table["joint"], table["alone"], atol=1e-4)
    openers = openers_of(judged)
    alone, held = (
        by_hand(aligned, few, openers, "denoise", [late], kept, sites=(early, late))
        for kept in ([], [early])
    )
    assert np.abs(alone).max() > 1e-3
    assert np.allclose(alone, held, atol=1e-4)
