"""Scores survive their table and follow the algebra of effects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.scores import Scores, from_table, summary
from interlock.sites import Site, unit


# plain values: beartype draws at random when a Scores is made, which a strategy may not
@st.composite
def parts(draw, count=None):
    sites = draw(
        st.lists(
            st.builds(
                unit,
                st.sampled_from(["head", "neuron"]),
                st.integers(0, 9),
                st.integers(0, 9),
                st.sampled_from(["all", "last", "-3"]),
            ),
            min_size=1,
            max_size=5,
            unique=True,
        )
    )
    n = draw(st.integers(2, 6)) if count is None else count
    numbers = st.floats(-1e6, 1e6)
    values = draw(st.lists(st.lists(numbers, min_size=n, max_size=n),
                           min_size=len(sites), max_size=len(sites)))  # fmt: skip
    gap = draw(st.lists(st.floats(0.5, 100), min_size=n, max_size=n))
    topics = draw(st.lists(st.sampled_from(["kill a", "b", "c é"]), min_size=n, max_size=n))
    ids = tuple(f"pair-{number}" for number in range(n))
    return (
        tuple(sites),
        ids,
        tuple(topics),
        np.array(values),
        np.array(gap),
        "nat",
        {"split": "find"},
    )


def scored(count=None):
    """Pass the test a drawn Scores."""

    def wrapped(test):
        @given(parts(count), st.floats(-10, 10))
        def inner(drawn, factor):
            test(Scores(*drawn), factor)

        inner.__name__ = test.__name__
        return inner

    return wrapped


def same(one, other):
    assert one.sites == other.sites
    assert one.examples == other.examples
    assert one.clusters == other.clusters
    assert one.unit == other.unit and dict(one.about) == dict(other.about)
    assert np.array_equal(one.values, other.values)
    assert np.array_equal(one.gap, other.gap)


@scored()
def test_scores_survive_their_table(found, _):
    table = found.table()
    assert len(table) == len(found.sites) * len(found.examples)
    same(from_table(table), found)


@scored()
def test_the_table_is_right_row_by_row(found, _):
    for row in found.table().rows():
        place = [str(site) for site in found.sites].index(row["site"])
        example = found.examples.index(row["example"])
        assert row["effect"] == found.values[place, example]
        assert row["gap"] == found.gap[example]
        assert row["cluster"] == found.clusters[example]


@scored()
def test_algebra(found, factor):
    assert np.array_equal((found - found).values, np.zeros_like(found.values))
    assert np.allclose((found * factor).values, found.values * factor)
    assert np.allclose((found * 3 - found).values, (found * 2).values, atol=1e-6)
    assert np.array_equal((found * 0).shares(), np.zeros(len(found.sites)))
    assert np.allclose((found * factor).shares(), found.shares() * factor, atol=1e-6)
    assert np.array_equal((found * factor).gap, found.gap)


@scored()
def test_choosing_sites(found, _):
    turned = tuple(reversed(found.sites))
    picked = found.at(turned)
    assert picked.sites == turned
    assert np.array_equal(picked.values, found.values[::-1])
    assert np.array_equal(picked.shares(), found.shares()[::-1])
    same(picked.at(found.sites), found)
    for row, site in enumerate(found.sites):
        assert found.share(site).value == pytest.approx(found.shares()[row], abs=1e-9)


@scored()
def test_the_summary_holds_shares_and_intervals(found, _):
    rows = list(summary(found).rows())
    ends = found.intervals()
    for row, share, (low, high) in zip(rows, found.shares(), ends, strict=True):
        assert row["share"] == share
        assert (row["low"], row["high"]) == (low, high)
        assert low <= high
        assert row["n"] == len(found.examples)
        assert row["clusters"] == len(set(found.clusters))


@scored(6)
def test_permuting_examples_permutes_columns_and_keeps_shares(found, _):
    order = [3, 0, 5, 1, 4, 2]
    turned = Scores(
        found.sites,
        tuple(found.examples[i] for i in order),
        tuple(found.clusters[i] for i in order),
        found.values[:, order],
        found.gap[order],
        found.unit,
    )
    assert np.allclose(turned.shares(), found.shares(), rtol=1e-9, atol=1e-9)
    assert np.allclose(turned.intervals(), found.intervals(), rtol=1e-6, atol=1e-6)


def test_scores_of_other_sites_do_not_subtract():
    one = Scores((Site("mlp", 0),), ("a",), ("t",), np.ones((1, 1)), np.ones(1), "nat")
    other = Scores((Site("mlp", 1),), ("a",), ("t",), np.ones((1, 1)), np.ones(1), "nat")
    with pytest.raises(AssertionError):
        one - other


def test_a_share_is_a_ratio_of_means():
    values, gap = np.array([[1.0, 3.0]]), np.array([2.0, 10.0])
    found = Scores((Site("mlp", 0),), ("a", "b"), ("s", "t"), values, gap, "nat")
    assert found.shares()[0] == pytest.approx(4 / 12)  # not (1/2 + 3/10) / 2
