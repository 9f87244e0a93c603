"""Forward selection takes what patching by hand would, and finds a circuit that rankings miss."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from interlock import organisms
from interlock.activations import forward
from interlock.calibrate.exam import Exam
from interlock.calibrate.subjects import planted
from interlock.edits import edited, put
from interlock.errors import ContrastError
from interlock.exchange import read_sides, rows_of, usable_pairs
from interlock.measures import openers_of
from interlock.methods.behaviour import behaviour
from interlock.methods.search import LEAST, search
from interlock.metrics import opening_score
from interlock.selection import top
from interlock.sites import parse

SITES = tuple(
    parse(text) for text in ("neuron.1.32:48", "head.0.2", "head.2.1", "head.0.3", "head.0.1")
)


@pytest.fixture(scope="module")
def few(contrasts):
    """Six pairs of different categories."""
    find = contrasts.splits["find"]
    return replace(find, examples=tuple(one for pair in find.pairs()[:6] for one in pair))


def joint_by_hand(model, pairs, openers, direction, sites):
    """Score changes and gaps with explicit edits, one pair at a time."""
    usable, _ = usable_pairs(model, pairs, ("all",))
    changes, gaps = [], []
    for row in rows_of(usable):
        sides = read_sides(model, [row], openers, SITES, direction)
        with edited(model, [put(site, sides.other.values[site]) for site in sites], sides.base):
            score = opening_score(forward(model, sides.base)[:, -1], openers)
        changes.append(float(score - sides.score) * (1 if direction == "denoise" else -1))
        gaps.append(float(sides.gap))
    return np.array(changes), np.array(gaps)


def greedy_by_hand(model, pairs, openers, direction, rounds):
    """The units taken, and after each how much is restored of every pair."""
    taken, reached = [], [np.zeros(len(pairs.pairs()))]
    _, gap = joint_by_hand(model, pairs, openers, direction, SITES[:1])
    for _ in range(rounds):
        tried = {}
        for site in SITES:
            if site not in taken:
                effect, _ = joint_by_hand(model, pairs, openers, direction, [*taken, site])
                tried[site] = np.minimum(effect, gap)
        best = max(tried, key=lambda site: tried[site].sum())
        if tried[best].sum() - reached[-1].sum() < LEAST * gap.sum():
            break
        taken.append(best)
        reached.append(tried[best])
    return taken, reached


@pytest.mark.parametrize(("direction", "rounds"), product(("denoise", "noise"), (2, 5)))
def test_it_takes_what_patching_by_hand_would(aligned, few, judged, direction, rounds):
    found = search(aligned, few, SITES, judged, direction=direction, rounds=rounds)
    taken, reached = greedy_by_hand(aligned, few, openers_of(judged), direction, rounds)
    assert taken and found.about["taken"].split() == [str(site) for site in taken]
    wanted = reached[-1] - np.array(reached[:-1])
    assert np.allclose(found.values[: len(taken)], wanted, atol=1e-3)
    assert not found.values[len(taken) :].any()


def test_the_top_are_those_taken_then_the_other_candidates(aligned, few, judged):
    found = search(aligned, few, SITES, judged, rounds=2)
    first = [parse(text) for text in found.about["taken"].split()]
    left = [site for site in SITES if site not in first]
    assert top(5, [found]) == (*first, *left)
    assert len(found.sites) == 80


def test_without_candidates_it_says_so(aligned, few, judged):
    with pytest.raises(ContrastError, match="No site was found"):
        search(aligned, few, (), judged)


def test_two_circuits_are_both_found():
    """The first two units by what each restores alone leave one circuit out."""
    (subject,) = planted([organisms.folder("planted-kill_switch-0")])
    model = subject.open()
    find, check = subject.questions(48, 0)
    exam = Exam(model, find, check, behaviour(model, find, tokens=8))
    alone = [exam.patched(direction, on="find") for direction in ("denoise", "noise")]
    found = exam.ask("search", top(20, alone), exam.replies, on="find")
    truth = subject.truth()
    assert truth is not None
    assert all(set(top(2, [found])) & set(units) for units in truth.circuits.values())
    restored = {}
    for name, scores in (("alone", alone[0]), ("together", found)):
        joint = exam.ask("joint", top(2, [scores]), exam.replies, controls=0)
        restored[name] = joint["effect"].sum() / joint["gap"].sum()
    assert restored["alone"] < 0.75 and restored["together"] > 0.95
