"""Scores without units agree with edits by hand; the verification methods with the same by hand."""

from dataclasses import replace

import numpy as np
import pytest

from interlock.activations import forward, reference
from interlock.edits import edited, mean, put
from interlock.encoding import collate
from interlock.errors import ContrastError
from interlock.exchange import read_sides, rows_of, usable_pairs
from interlock.measures import openers_of
from interlock.methods.curve import curve
from interlock.methods.faithfulness import faithfulness
from interlock.methods.patching import joint, patching
from interlock.methods.sharing import category_matrix, category_sets
from interlock.metrics import opening_score
from interlock.parameters import parameters_of, share_of_parameters
from interlock.removal import removal, scores_without
from interlock.selection import top_under, unit_sites
from interlock.sites import parse
from interlock.verification.circuits import measured

SITES = tuple(parse(text) for text in ("head.0.2", "head.2.1", "neuron.1.32:48"))


@pytest.fixture(scope="module")
def few(contrasts):
    """Four pairs of different categories."""
    find = contrasts.splits["find"]
    kept = [example for pair in find.pairs()[:4] for example in pair]
    return replace(find, examples=tuple(kept))


def by_hand(model, pairs, openers, sites, ablate):
    """Scores with explicit edits in full passes, one pair at a time."""
    usable, _ = usable_pairs(model, pairs, ("all",))
    rows = rows_of(usable)
    means = reference(model, [row[1] for row in rows], sites, name="x") if sites else None
    scores = []
    for row in rows:
        sides = read_sides(model, [row], openers, sites, "noise")
        edits = [
            mean(site, means) if ablate == "mean" else put(site, sides.other.values[site])
            for site in sites
        ]
        batch = collate(model, [row[0]])
        with edited(model, edits, batch):
            scores.append(float(opening_score(forward(model, batch)[:, -1], openers)))
    return np.array(scores)


@pytest.mark.parametrize("ablate", ["mean", "resample"])
def test_scores_are_those_of_edits_by_hand(aligned, few, judged, ablate):
    openers = openers_of(judged)
    removing = removal(aligned, few, openers, SITES, ablate=ablate, batch=3)
    sets = [(), SITES[:1], SITES[1:], SITES]
    found = scores_without(removing, sets, "test")
    for one, scores in zip(sets, found, strict=True):
        assert np.allclose(scores, by_hand(aligned, few, openers, one, ablate), atol=1e-3)
    assert np.abs(found[3] - found[0]).max() > 0.01
    harmless = replace(
        few,
        examples=tuple(
            replace(each, expected="comply" if each.expected == "refuse" else "refuse")
            for each in few.examples
        ),
    )
    other = by_hand(aligned, harmless, openers, (), ablate)
    assert np.allclose(removing.gap, removing.before - other, atol=1e-3)


@pytest.mark.parametrize("ablate", ["mean", "resample"])
def test_circuits_are_measured_as_they_are_defined(aligned, few, judged, ablate):
    table = faithfulness(
        aligned, few, SITES, judged, ablate=ablate, controls=2, subsets=2, greedy=2, beside=1
    )
    found, openers = measured(table), openers_of(judged)
    outside = tuple(site for site in unit_sites(aligned.shape, 12) if site not in SITES)
    cut = frozenset({str(SITES[0])})
    for scores, ablated in (
        (found.model[frozenset()], ()),
        (found.model[cut], SITES[:1]),
        (found.circuit[frozenset()], outside),
        (found.circuit[cut], (*outside, SITES[0])),
        (found.empty, (*outside, *SITES)),
    ):
        assert np.allclose(scores, by_hand(aligned, few, openers, ablated, ablate), atol=2e-3)
    assert len(found.random) == 2
    assert set(found.circuit) == set(found.model) and len(found.circuit) >= 6
    if ablate == "resample":  # everything set to the harmless prompt's values is that prompt
        removing = removal(aligned, few, openers, SITES, ablate=ablate, batch=4)
        assert np.allclose(found.span, removing.gap, atol=0.3)


def test_a_curve_is_joint_patching_of_the_first_units(aligned, few, judged, contrasts):
    check = contrasts.splits["check"]
    check = replace(check, examples=tuple(e for pair in check.pairs()[:3] for e in pair))
    scores = [
        patching(aligned, few, judged, direction=way, places="units", positions=("all",))
        for way in ("denoise", "noise")
    ]
    table = curve(aligned, check, *scores, judged, sizes=(1, 3), resamples=2, controls=1)
    first = top_under(3, scores, np.ones(4))
    one = joint(aligned, check, first, judged, direction="noise", controls=0)
    own = table.where(kind="found", draw=0, size=3)
    assert own["sites"][0] == " ".join(map(str, first))
    assert np.allclose(own["effect"], one["effect"], atol=1e-3)
    assert np.allclose(own["gap"], one["gap"], atol=1e-3)
    assert set(table.where(kind="found")["draw"].tolist()) == {0, 1, 2}
    assert len(set(table.where(kind="matched random", size=1)["sites"].tolist())) == 1
    with pytest.raises(ContrastError, match="rank on one split"):
        curve(aligned, few, *scores, judged)


def test_category_sets_are_those_of_the_category_s_own_pairs(aligned, contrasts, judged):
    find, check = contrasts.splits["find"], contrasts.splits["check"]
    scores = [
        patching(aligned, find, judged, direction=way, places="units", positions=("all",))
        for way in ("denoise", "noise")
    ]
    sets = category_sets(aligned, find, *scores, count=2)
    category = next(iter(set(sets["category"].tolist())))
    inside = {each.id for each in find.expecting("refuse") if each.category == category}
    weights = np.array([float(name in inside) for name in scores[0].examples])
    chosen = sets.where(category=category, part="whole")["site"].tolist()
    assert chosen == [str(site) for site in top_under(2, scores, weights)]
    halves = [sets.where(category=category, part=part, rank=0) for part in ("first", "second")]
    assert sum(int(half["topics"][0]) for half in halves) == int(
        sets.where(category=category, part="whole", rank=0)["topics"][0]
    )
    with pytest.raises(ContrastError, match="found on find"):
        category_matrix(aligned, find, sets, judged)
    table = category_matrix(aligned, check, sets, judged, controls=1)
    cell = table.where(part="whole", source=category)
    one = joint(aligned, check, tuple(map(parse, chosen)), judged, direction="noise", controls=0)
    assert np.allclose(cell["effect"], one["effect"], atol=1e-3)
    assert np.allclose(cell["gap"], one["gap"], atol=1e-3)
    other = {part: table.where(part=part) for part in ("core", "own", "matched random")}
    assert all(len(each) for each in other.values())


def test_what_cannot_be_verified_is_refused_in_one_line(aligned, few, judged):
    with pytest.raises(ContrastError, match="No site was found"):
        faithfulness(aligned, few, (), judged)
    with pytest.raises(ContrastError, match=r"neuron\.1\.0:3 is none of the units"):
        faithfulness(aligned, few, (parse("neuron.1.0:3"),), judged)
    scores = patching(aligned, few, judged, places="units", positions=("all",))
    single = replace(few, examples=few.examples[:2])
    alone = patching(aligned, single, judged, places="units", positions=("all",))
    with pytest.raises(ContrastError, match="not in"):
        category_sets(aligned, single, scores, scores)
    with pytest.raises(ContrastError, match="at least two"):
        category_sets(aligned, single, alone, alone)


def test_parameters_of_units(aligned):
    """All units of a model are its layers' matrices, counted once."""
    layers = sum(
        weight.numel()
        for name, weight in aligned.network.named_parameters()
        if ".layers." in name and weight.dim() == 2
    )
    assert parameters_of(aligned, unit_sites(aligned.shape, 12)) == pytest.approx(layers)
    shape = aligned.shape
    shared = shape.heads // shape.kv_heads
    one = shape.head_width * shape.width * (2 + 2 / shared)
    assert parameters_of(aligned, [parse("head.0.0")]) == pytest.approx(one)
    assert share_of_parameters(aligned, [parse("neuron.0.0")]) == pytest.approx(
        3 * shape.width / shape.parameters
    )
