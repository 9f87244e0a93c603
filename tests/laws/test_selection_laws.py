"""Candidates partition a model; controls match the chosen set and never touch it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.scores import Scores
from interlock.selection import LAYER_KINDS, layer_sites, matched_sets, top, unit_sites
from interlock.sites import Site, unit


@pytest.fixture(scope="module")
def shape(llama):
    """A shape of any size."""

    def sized(layers=4, heads=8, neurons=192):
        return replace(llama.shape, layers=layers, heads=heads, neurons=neurons)

    return sized


def kinds(sites):
    return Counter((site.kind, site.layer) for site in sites)


def touched(site):
    """Every single unit of a site."""
    first, past = site.index
    return {(site.kind, site.layer, each) for each in range(first, past)}


@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 100), st.integers(1, 40))
def test_units_partition_what_layers_write(shape, layers, heads, neurons, groups):
    found = unit_sites(shape(layers, heads, neurons), groups)
    units = [each for site in found for each in touched(site)]
    assert len(units) == len(set(units)) == layers * (heads + neurons)
    assert len(found) == layers * (heads + min(groups, neurons))
    sizes = [site.index[1] - site.index[0] for site in found if site.kind == "neuron"]
    assert max(sizes) - min(sizes) <= 1


def test_layer_sites_are_every_kind_layer_and_position(shape):
    found = layer_sites(shape(), ("last", "post"))
    assert len(found) == len(set(found)) == 2 * 4 * len(LAYER_KINDS)
    assert {site.position for site in found} == {"last", "post"}


@given(st.integers(0, 79), st.integers(0, 10), st.integers(0, 10_000))
def test_controls_match_and_exclude(shape, start, size, seed):
    candidates = unit_sites(shape(), 12)
    generator = np.random.default_rng(start)
    chosen = [candidates[i] for i in generator.choice(len(candidates), size, replace=False)]
    # few enough of a kind and layer that as many others are left
    chosen = [site for site in chosen if kinds(chosen)[site.kind, site.layer] <= 4]
    sets = matched_sets(chosen, candidates, 5, seed)
    assert len(sets) == 5
    for drawn in sets:
        assert kinds(drawn) == kinds(chosen)
        assert len(set(drawn)) == len(drawn)
        assert not set(drawn) & set(chosen)
    assert sets == matched_sets(chosen, candidates, 5, seed)
    if size >= 4 and len(chosen) >= 4:
        assert sets != matched_sets(chosen, candidates, 5, seed + 1)


def test_every_other_unit_is_drawn_about_as_often(shape):
    candidates = unit_sites(shape(1, 8, 12), 12)
    sets = matched_sets([unit("head", 0, 0)], candidates, 2100, 0)
    counts = Counter(drawn[0] for drawn in sets)
    assert set(counts) == {unit("head", 0, head) for head in range(1, 8)}
    assert min(counts.values()) > 230 and max(counts.values()) < 370


def test_a_layer_that_runs_out_is_filled_from_the_kind_and_then_from_anything(shape):
    candidates = unit_sites(shape(2, 4, 8), 4)
    chosen = [unit("head", 0, head) for head in range(3)]
    for drawn in matched_sets(chosen, candidates, 20, 1):
        assert kinds(drawn)["head", 0] == 1
        assert kinds(drawn)["head", 1] == 2
    chosen = [unit("head", layer, head) for layer in (0, 1) for head in range(3)]
    for drawn in matched_sets(chosen, candidates, 20, 1):
        assert len(drawn) == 6 and len(set(drawn)) == 6
        assert not set(drawn) & set(chosen)
        assert sum(site.kind == "head" for site in drawn) == 2


@pytest.mark.parametrize("position", ["last", "post", "-2"])
def test_controls_of_sites_at_a_position_exclude_them_and_act_there(shape, position):
    """`top` of scores at a position gives sites there, and `unit_sites` has them at @all."""
    candidates = unit_sites(shape(), 12)
    chosen = [unit("head", 1, head, position) for head in range(4)]
    taken = {each for site in chosen for each in touched(site)}
    for drawn in matched_sets(chosen, candidates, 30, 0):
        assert not taken & {each for site in drawn for each in touched(site)}
        assert {site.position for site in drawn} == {position}


def made(sites, values):
    values = np.array(values, dtype=float)
    count = values.shape[1]
    ids = tuple(map(str, range(count)))
    return Scores(tuple(sites), ids, ids, values, np.ones(count), "nat")


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=12), st.integers(0, 14))
def test_top_takes_the_largest_first(values, count):
    sites = [unit("head", 0, number) for number in range(len(values))]
    found = top(count, [made(sites, [[value, value] for value in values])])
    picked = [values[site.index[0]] for site in found]
    assert picked == sorted(values, reverse=True)[:count]
    assert len(set(found)) == len(found)


def test_top_keeps_what_one_direction_alone_can_see():
    sites = [unit("head", 0, number) for number in range(4)]
    denoise = made(sites, [[0.9], [0.0], [0.3], [0.1]])
    noise = made(sites, [[0.0], [0.8], [0.2], [0.1]])
    assert top(2, [denoise, noise]) == (sites[0], sites[1])
    assert top(2, [denoise]) == (sites[0], sites[2])
    with pytest.raises(AssertionError):
        top(1, [denoise, made([Site("mlp", 0)] * 4, [[1.0]] * 4)])
