"""Statistics against scipy, brute force and numbers worked out by hand."""

import math
import random

import numpy as np
import pytest
import reference_checks as checks
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

import naive
from interlock import stats
from interlock.metrics import Openers, find_openers, opening_score, token_nll
from interlock.stats import Estimate

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_is_scipys(drawn):
    successes, n = drawn
    wanted = scipy_stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert stats.wilson(successes, n) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


@given(st.floats(0.5, 300), st.integers(0, 1000).map(lambda thousandths: thousandths / 1000))
def test_wilson_solves_the_score_equation(n, share):
    wanted = naive.wilson(share * n, n, stats.Z)
    assert stats.wilson(share * n, n) == pytest.approx(wanted, abs=1e-9)


@given(counts)
def test_wilson_holds_its_share_and_mirrors(drawn):
    successes, n = drawn
    low, high = stats.wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    mirrored = stats.wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_wilson_by_hand():
    assert stats.wilson(0, 0) == (0.0, 1.0)
    assert stats.wilson(0, 32)[0] == 0.0
    assert stats.wilson(32, 32)[1] == 1.0
    assert stats.wilson(0, 10) == pytest.approx((0, 3.8415 / 13.8415), abs=1e-4)
    assert stats.wilson(41, 41)[0] == pytest.approx(41 / 44.8415, abs=1e-4)


def test_design_effect_by_hand():
    """Topics that agree within, or that all say the same, count once each."""
    agree = np.array([1.0, 1.0, 0.0, 0.0])
    assert stats.design_effect(agree, ["a", "a", "b", "b"]) == (2.0, 2)
    assert stats.design_effect(np.ones(6), ["a", "a", "b", "b", "c", "c"]) == (2.0, 3)
    # [1, .5] and the added topics 1 and 0: means 1, .5, 1, 0 around .625, each of 2 outcomes:
    # between 2 * (.375^2 + .125^2 + .375^2 + .625^2) / 3 = .45833, within .5 / 4 = .125
    # correlation (.45833 - .125) / (.45833 + .125) = 4/7, effect 1 + (2 - 1) * 4/7
    found, k = stats.design_effect(np.array([1.0, 1.0, 1.0, 0.0]), ["a", "a", "b", "b"])
    assert (found, k) == (pytest.approx(1 + 4 / 7), 2)
    assert stats.design_effect(np.array([1.0, 0.0]), ["a", "b"]) == (1.0, 2)


def test_design_effect_finds_a_known_correlation():
    generator = np.random.default_rng(0)
    size, topics, correlation = 5, 4000, 0.3
    shared = generator.normal(size=(topics, 1)) * math.sqrt(correlation)
    outcomes = shared + generator.normal(size=(topics, size)) * math.sqrt(1 - correlation)
    names = [str(topic) for topic in range(topics) for _ in range(size)]
    found, _ = stats.design_effect(outcomes.reshape(-1), names)
    assert found == pytest.approx(1 + (size - 1) * correlation, abs=0.08)


def test_rate_divides_n_by_the_design_effect():
    outcomes = np.array([True, True, False, False])
    found = stats.rate(outcomes, ["a", "a", "b", "b"])
    assert (found.value, found.n, found.clusters) == (0.5, 4, 2)
    assert (found.low, found.high) == pytest.approx(naive.wilson(1, 2, stats.Z))
    apart = stats.rate(outcomes, ["a", "b", "c", "d"])
    assert (apart.low, apart.high) == pytest.approx(naive.wilson(2, 4, stats.Z))


def covered(found, truth):
    return found.low <= truth <= found.high


@pytest.mark.parametrize(("n", "p"), [(41, 0.05), (41, 0.5), (32, 0.95), (96, 0.02), (20, 0.3)])
def test_rate_covers_a_share_near_0(n, p):
    """Exactly, over every possible count. Wald's interval covers .87 at n = 41, p = .05."""
    names = [str(number) for number in range(n)]
    total = 0.0
    for hits in range(n + 1):
        found = stats.rate(np.arange(n) < hits, names)
        total += covered(found, p) * scipy_stats.binom.pmf(hits, n, p)
    assert total >= 0.93


@pytest.mark.parametrize("p", [0.5, 0.8, 0.9])
def test_rate_covers_clustered_outcomes_where_plain_wilson_does_not(p):
    generator = np.random.default_rng(1)
    topics, size, correlation, runs = 40, 8, 0.4, 300
    names = [str(topic) for topic in range(topics) for _ in range(size)]
    strength = 1 / correlation - 1
    good = plain = 0
    for _ in range(runs):
        own = generator.beta(p * strength, (1 - p) * strength, size=topics)
        outcomes = generator.random((topics, size)) < own[:, None]
        good += covered(stats.rate(outcomes.reshape(-1), names), p)
        low, high = stats.wilson(float(outcomes.sum()), topics * size)
        plain += low <= p <= high
    assert good / runs >= 0.90
    assert plain / runs <= 0.80


def test_rate_covers_clustered_outcomes_near_1():
    """The organisms' gate: 96 topics of 8 replies that mostly agree; often all of them refuse."""
    generator = np.random.default_rng(5)
    topics, size, p, correlation, runs = 96, 8, 0.99, 0.9, 200
    names = [str(topic) for topic in range(topics) for _ in range(size)]
    strength = 1 / correlation - 1
    good = 0
    for _ in range(runs):
        own = generator.beta(p * strength, (1 - p) * strength, size=topics)
        outcomes = generator.random((topics, size)) < own[:, None]
        good += covered(stats.rate(outcomes.reshape(-1), names), p)
    assert good / runs >= 0.90


def test_macro_does_not_collapse_where_every_rate_is_1():
    ones = stats.rate(np.ones(16, dtype=bool), [str(i) for i in range(16)])
    found = stats.macro([ones] * 6)
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(1 - (1 - ones.low) / math.sqrt(6))
    assert 0.85 < found.low < 0.97
    assert (found.n, found.clusters) == (96, 96)


def test_macro_covers():
    """Six categories of unlike rates, 16 prompts each; its low end, which rules read, is safe."""
    generator = np.random.default_rng(2)
    shares = np.array([0.99, 0.95, 0.9, 1.0, 0.85, 0.97])
    by_count = [stats.rate(np.arange(16) < hits, [str(i) for i in range(16)]) for hits in range(17)]
    inside = above = 0
    for drawn in generator.binomial(16, shares, size=(1000, 6)):
        found = stats.macro([by_count[hits] for hits in drawn])
        inside += covered(found, shares.mean())
        above += found.low > shares.mean()
    assert inside >= 900
    assert above <= 30


def test_difference_by_hand():
    """MOVER: 0.7 [.6, .8] minus 0.2 [.1, .3] is 0.5 -+ sqrt(.1^2 + .1^2)."""
    first, second = (Estimate(v, v - 0.1, v + 0.1, 40, 20, "x") for v in (0.7, 0.2))
    found = stats.difference(first, second)
    half = math.sqrt(0.02)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    other = stats.difference(second, first)
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize(("p", "q"), [(0.95, 0.4), (0.99, 0.9), (0.5, 0.5)])
def test_difference_covers(p, q):
    """Exactly, over every possible pair of counts of 41."""
    names, n = [str(i) for i in range(41)], 41
    by_count = [stats.rate(np.arange(n) < hits, names) for hits in range(n + 1)]
    chance = [scipy_stats.binom.pmf(range(n + 1), n, share) for share in (p, q)]
    total = sum(
        chance[0][one] * chance[1][other]
        for one in range(n + 1)
        for other in range(n + 1)
        if covered(stats.difference(by_count[one], by_count[other]), p - q)
    )
    assert total >= 0.935


numbers = st.lists(st.floats(-100, 100), min_size=3, max_size=12)


def test_bootstrap_is_the_naive_one():
    """Quantiles over 2,000 draws agree with a plain bootstrap of other draws."""
    generator = np.random.default_rng(4)
    values = generator.normal(3, 2, size=30)
    weights = generator.uniform(1, 4, size=30)
    topics = [str(i % 11) for i in range(30)]
    found = stats.ratio(values, weights, topics, unit="x")
    draws = naive.bootstrap(values, weights, topics, 4000, random.Random(5))
    assert found.value == pytest.approx(values.sum() / weights.sum())
    width = draws[3900] - draws[100]
    assert found.low == pytest.approx(draws[100], abs=0.1 * width)
    assert found.high == pytest.approx(draws[3900], abs=0.1 * width)
    assert found.clusters == 11


@given(numbers)
def test_a_mean_is_a_ratio_to_one(values):
    array = np.array(values)
    names = [str(i) for i in range(len(values))]
    found = stats.mean(array, names, unit="x")
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    assert stats.mean(array, ["one"] * len(values), unit="x").low == -np.inf


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=25))
def test_auroc_is_the_share_of_pairs(drawn):
    scores = np.array([float(score) for score, _ in drawn])
    positive = np.array([flag for _, flag in drawn])
    if positive.all() or not positive.any():
        assert math.isnan(stats.auroc(scores, positive))
    else:
        assert stats.auroc(scores, positive) == pytest.approx(naive.auroc(scores, positive))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_is_the_exact_binomial(drawn):
    before, after = (np.array(side) for side in zip(*drawn, strict=True))
    assert stats.mcnemar(before, after) == pytest.approx(naive.mcnemar(before, after))


def test_mcnemar_by_hand():
    before = np.array([True] * 10 + [False] * 2)
    assert stats.mcnemar(before, before) == 1.0
    after = np.array([False] * 5 + [True] * 5 + [False] * 2)
    assert stats.mcnemar(before, after) == pytest.approx(2 / 2**5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_is_its_definition(p_values):
    found = stats.benjamini_hochberg(np.array(p_values))
    assert found.tolist() == pytest.approx(naive.adjusted(p_values))
    assert found.tolist() == pytest.approx(
        scipy_stats.false_discovery_control(p_values, method="bh").tolist()
    )


def test_permutation_p_counts_the_observed_one():
    controls = np.array([0.1, 0.2, 0.3, 0.4])
    assert stats.permutation_p(0.5, controls) == pytest.approx(1 / 5)
    assert stats.permutation_p(0.3, controls) == pytest.approx(3 / 5)
    assert stats.permutation_p(-1.0, controls) == 1.0
    assert stats.permutation_p(9.0, np.zeros(99)) == pytest.approx(0.01)


def test_detectable_difference_by_hand():
    assert stats.detectable_difference(100) == pytest.approx(
        (1.96 + 0.8416) * 0.1 / math.sqrt(2), abs=1e-3
    )
    assert stats.detectable_difference(0) == stats.detectable_difference(1) == 1.0


def test_opening_score_by_hand():
    checks.opening_score_by_hand()


@given(st.integers(0, 1000))
def test_opening_score_is_the_log_odds_of_probabilities(seed):
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(seed)) * 3
    found = opening_score(logits, Openers((1, 4), (2, 3, 9), 1.0, 5))
    assert float(found) == pytest.approx(
        naive.opening_score(logits[0], (1, 4), (2, 3, 9)), abs=1e-4
    )
    swapped = opening_score(logits, Openers((2, 3, 9), (1, 4), 1.0, 5))
    assert float(swapped) == pytest.approx(-float(found), abs=1e-5)


def test_opening_score_rises_with_refusal_only():
    logits = torch.zeros(1, 6, requires_grad=True)
    opening_score(logits, Openers((1,), (2,), 1.0, 2)).sum().backward()
    assert logits.grad.tolist() == [[0, 1, -1, 0, 0, 0]]


def test_openers_by_hand():
    tokens = [5, 5, 5, 6, 6, 7, 7, 8]
    refused = np.array([True, True, True, True, False, False, False, False])
    found = find_openers(tokens, refused)
    # 5 opens 3 of 4 refusals; 6 one of each kind
    assert (found.refusal, found.compliance) == ((5,), (6, 7, 8))
    scores = np.array([0.75] * 3 + [0.0] * 2 + [-0.5] * 2 + [-0.25])
    assert found.auroc == pytest.approx(naive.auroc(scores, refused))


def test_token_nll_is_cross_entropy_row_by_row():
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(3, 7, 11, generator=generator) * 2
    ids = torch.randint(11, (3, 7), generator=generator)
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[0, :3] = mask[2, :5] = False
    found = token_nll(logits, ids, mask)
    for row, pad in enumerate((3, 0, 5)):
        wanted = torch.nn.functional.cross_entropy(logits[row, pad:-1], ids[row, pad + 1 :])
        assert float(wanted) > 1
        assert float(found[row]) == pytest.approx(float(wanted), abs=1e-5)
