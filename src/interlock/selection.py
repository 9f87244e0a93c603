"""From scores to sites: candidates, the top ones, and random sets that match them."""

import logging
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from interlock.model import Shape
from interlock.scores import Scores
from interlock.sites import Site, unit

log = logging.getLogger("interlock")

LAYER_KINDS = ("resid_pre", "attn", "resid_mid", "mlp", "resid_post")


def layer_sites(shape: Shape, positions: Sequence[str]) -> tuple[Site, ...]:
    """Every layer's residual stream, attention and MLP output at each position."""
    return tuple(
        Site(kind, layer, position=position)
        for position in positions
        for layer in range(shape.layers)
        for kind in LAYER_KINDS
        if kind in shape.kinds
    )


def unit_sites(shape: Shape, groups: int) -> tuple[Site, ...]:
    """The units that partition what layers write: every head, and neurons in `groups` a layer."""
    heads = [
        unit("head", layer, head) for layer in range(shape.layers) for head in range(shape.heads)
    ]
    count = min(groups, shape.neurons)
    edges = np.linspace(0, shape.neurons, count + 1).round().astype(int).tolist()
    neurons = [
        Site("neuron", layer, (first, past))
        for layer in range(shape.layers)
        for first, past in pairwise(edges)
    ]
    return tuple(heads + neurons)


def top(count: int, scores: Sequence[Scores]) -> tuple[Site, ...]:
    """The sites with the largest share of the gap in any of the scores, largest first.

    Several scores are several directions of patching: a site that only one of them can see (an OR
    pair is invisible to noising, an AND pair to denoising) still counts.
    """
    sites = scores[0].sites
    assert all(each.sites == sites for each in scores)
    best = np.max([each.shares() for each in scores], axis=0)
    return tuple(sites[row] for row in np.argsort(-best, kind="stable")[:count])


def top_under(
    count: int, scores: Sequence[Scores], weights: Float[np.ndarray, " example"]
) -> tuple[Site, ...]:
    """The top sites when each example counts so many times: of some examples, or of a resample.

    Equals: `top` when every weight is 1.
    """
    assert all(each.sites == scores[0].sites for each in scores)
    shares = [(each.values @ weights) / (each.gap @ weights) for each in scores]
    best = np.max(shares, axis=0)
    return tuple(scores[0].sites[row] for row in np.argsort(-best, kind="stable")[:count])


def matched_sets(
    chosen: Sequence[Site], candidates: Sequence[Site], count: int, seed: int
) -> tuple[tuple[Site, ...], ...]:
    """Random sets with as many units of each kind and layer as `chosen`, none of them chosen.

    Every drawn unit acts at the position of the one it stands for. Where a layer has too few other
    units of a kind, the rest comes from other layers' units of that kind, and if those run out too,
    from any unit that was not chosen. If fewer units are left than were chosen there is no such
    set: none come back, and the log says so.
    """
    generator = np.random.default_rng(seed)
    taken = {site.at("all") for site in chosen}
    spare = [site for site in candidates if site.at("all") not in taken]
    if len(spare) < len(chosen):
        log.warning(
            "No random set can match %d units: only %d others are left.", len(chosen), len(spare)
        )
        return ()
    return tuple(_matched(chosen, spare, generator) for _ in range(count))


def _matched(
    chosen: Sequence[Site], spare: Sequence[Site], generator: np.random.Generator
) -> tuple[Site, ...]:
    drawn: list[Site] = []
    for site in chosen:
        left = [each for each in spare if each not in drawn]
        same_kind = [each for each in left if each.kind == site.kind]
        same_layer = [each for each in same_kind if each.layer == site.layer]
        pool = same_layer or same_kind or left
        drawn.append(pool[int(generator.integers(len(pool)))])
    return tuple(one.at(site.position) for one, site in zip(drawn, chosen, strict=True))
