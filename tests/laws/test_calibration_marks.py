"""Marks against brute force, nulls that are exact, coverage that is what it says."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from interlock import stats
from interlock.calibrate.marking import _claims_shuffled, coverage
from interlock.calibrate.marks import agreement, average_precision, f1, precision_at_truth
from interlock.calibrate.of_units import reduced
from interlock.scores import Scores
from interlock.sites import Edge, unit

UNITS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=6).filter(
    lambda rows: any(true for _, true in rows)
)


def every_order(rows):
    """The orders that sort by score, ties in every way."""
    groups = [
        [row for row in rows if row[0] == score]
        for score in sorted({score for score, _ in rows}, reverse=True)
    ]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [true for part in parts for _, true in part]


@given(UNITS)
def test_precision_at_truth_is_the_mean_over_all_orders_of_ties(rows):
    scores, true = (np.array(column) for column in zip(*rows, strict=True))
    count = true.sum()
    wanted = np.mean([np.mean(order[:count]) for order in every_order(rows)])
    assert precision_at_truth(scores.astype(float), true) == pytest.approx(wanted)


@given(UNITS)
def test_average_precision_is_the_sum_over_thresholds(rows):
    scores, true = (np.array(column) for column in zip(*rows, strict=True))
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        kept = [t for s, t in rows if s >= threshold]
        recall = sum(kept) / true.sum()
        total += (recall - before) * sum(kept) / len(kept)
        before = recall
    assert average_precision(scores.astype(float), true) == pytest.approx(total)


def test_average_precision_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    assert average_precision(scores, np.array([True, False, True, False])) == pytest.approx(5 / 6)
    assert average_precision(scores, np.array([False, False, False, True])) == pytest.approx(1 / 4)
    assert np.isnan(average_precision(scores, np.zeros(4, dtype=bool)))


def test_f1_by_hand():
    assert f1([1, 2, 3], [2, 3, 4, 5]) == pytest.approx(4 / 7)
    assert f1([], []) == 1.0 and f1([1], []) == 0.0


def test_agreement_is_pearson():
    draw = np.random.default_rng(0)
    first, second = draw.standard_normal((2, 20))
    assert agreement(first, second) == pytest.approx(scipy_stats.pearsonr(first, second).statistic)
    assert np.isnan(agreement(first, np.ones(20)))


def scores(values, gap, clusters=None):
    sites = tuple(unit("head", 0, index) for index in range(len(values)))
    names = tuple(f"pair {column}" for column in range(len(gap)))
    return Scores(sites, names, tuple(clusters or names), np.array(values), np.array(gap), "nat")


def test_decisions_go_by_the_interval_and_need_a_gap():
    draw = np.random.default_rng(1)
    gap = 5 + draw.standard_normal(64)
    rows = [0.8 * gap, -0.5 * gap, 0.0 * gap, 0.15 * gap + draw.standard_normal(64)]
    assert scores(rows, gap).decisions() == ("in", "in", "out", "undetermined")
    assert set(scores([np.array(row) / 20 for row in rows], gap / 20).decisions()) == {
        "undetermined"
    }
    assert set(scores(rows, gap).at(scores(rows, gap).sites[:1]).decisions()) == {"in"}


def test_exchanged_labels_claim_nothing_where_plain_ones_claim_much():
    draw = np.random.default_rng(2)
    gap = 6 + draw.standard_normal(64)
    strong = scores([0.9 * gap, 0.4 * gap], gap)
    assert set(strong.decisions()) == {"in"}
    assert sum(_claims_shuffled(strong, strong, seed) for seed in range(200)) <= 4


def test_exchanged_labels_equal_a_real_run_on_exchanged_prompts(aligned, contrasts, judged):
    """The exact null from stored effects is what patching the exchanged pairs gives."""
    from interlock.methods.patching import patching
    from interlock.organisms.planting.pairs import shuffled

    pairs = contrasts.splits["find"]
    options = {"places": "units", "positions": ("all",)}
    plain = {
        d: patching(aligned, pairs, judged, direction=d, **options) for d in ("denoise", "noise")
    }
    turned = shuffled(pairs, seed=5)
    real = patching(aligned, turned, judged, direction="denoise", **options)
    kept = {example.id: example for example in pairs.examples}
    by_pair = {kept[name].pair: column for column, name in enumerate(plain["noise"].examples)}
    swapped = 0
    for column, name in enumerate(real.examples):
        place = by_pair[kept[name].pair]
        if kept[name].expected == "refuse":
            assert np.allclose(real.values[:, column], plain["denoise"].values[:, place], atol=1e-3)
            assert real.gap[column] == pytest.approx(plain["denoise"].gap[place], abs=1e-3)
        else:
            swapped += 1
            assert np.allclose(real.values[:, column], -plain["noise"].values[:, place], atol=1e-3)
            assert real.gap[column] == pytest.approx(-plain["denoise"].gap[place], abs=1e-3)
    assert 0 < swapped < len(real.examples)


def test_coverage_is_near_nominal_for_normal_effects_and_counts_every_interval():
    draw = np.random.default_rng(3)
    gap = 5 + 0.5 * draw.standard_normal(200)
    rows = [share * gap + draw.standard_normal(200) for share in (0.5, 0.2, 0.0)]
    held, of = coverage(scores(rows, gap), n=24, repeats=150, seed=0)
    assert of == 2 * 150  # the site without an effect is not counted
    assert 0.9 <= held / of <= 0.985


def test_coverage_sees_intervals_that_are_too_narrow(monkeypatch):
    draw = np.random.default_rng(4)
    gap = 5 + 0.5 * draw.standard_normal(200)
    found = scores([0.5 * gap + draw.standard_normal(200)], gap)
    monkeypatch.setattr("interlock.scores.expanded", lambda clusters: (0.25, 0.75))
    held, of = coverage(found, n=24, repeats=100, seed=0)
    assert held / of < 0.7


def test_expanded_quantiles_are_student_s():
    """For a normal bootstrap distribution they give the t interval with variance over n - 1."""
    n = 12
    low, high = stats.expanded(n)
    reach = scipy_stats.norm.ppf(high)
    assert low + high == pytest.approx(1)
    assert reach == pytest.approx(scipy_stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1)))
    assert stats.expanded(100_000)[0] == pytest.approx(0.025, abs=1e-4)


def test_edges_that_another_path_explains_are_left_out():
    a, b, c, d = (unit("head", layer, 0) for layer in range(4))
    chain = {Edge(a, b), Edge(b, c), Edge(a, c), Edge(a, d), Edge(b, d), Edge(c, d)}
    assert set(reduced(chain)) == {Edge(a, b), Edge(b, c), Edge(c, d)}
    assert set(reduced({Edge(a, c), Edge(b, c)})) == {Edge(a, c), Edge(b, c)}
