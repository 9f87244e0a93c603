"""Where is the behaviour carried? Activation patching between minimal pairs, both ways.

The clean prompt is the harmful one (it is refused), the corrupt prompt its harmless partner.

1. Read every candidate site in both prompts of a pair, in one pass each.
2. Denoise: run the harmless prompt with one site set to its value in the harmful prompt; the effect
   is the rise of the score (`metric`). Noise: run the harmful prompt with one site set to its
   harmless value; the effect is the fall. Effects are exact; `replay` runs only the layers and
   tokens that a patch can change.
3. The gap is the harmful minus the harmless score, without patching. Effects are reported as ratio
   of means to the gap, never as parts of a whole: sites in a chain carry the same effect again.
4. Every batch also holds an unpatched row, and one site is set to its own value; the largest score
   change is the noise floor.

Source: Zhang & Nanda (2024, arXiv:2309.16042) for pairs and metric; Heimersheim & Nanda (2024,
arXiv:2404.15255) for the two directions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.encoding import Pairs
from interlock.exchange import (
    READS,
    Direction,
    Metric,
    PairRows,
    effects,
    joint_effects,
    read_sides,
    rows_of,
    usable_pairs,
)
from interlock.measures import openers_of
from interlock.metrics import Openers
from interlock.model import Model, Shape
from interlock.parameters import share_of_parameters
from interlock.scores import Scores
from interlock.selection import layer_sites, matched_sets, unit_sites
from interlock.sites import Site
from interlock.store import each
from interlock.tables import Table, from_rows

_SHARD, _CHUNK = 32, 256  # pairs and sites to a shard
_SETS = 25  # sets of sites to a shard
_METRICS: Mapping[Metric, str] = {
    "opening": "opening score (nat)",
    "logit_difference": "logit difference of the two replies' first tokens (nat)",
    "kl": "KL divergence from the run the values come from (nat)",
}
_UNITS: Mapping[Metric, str] = {
    "opening": "nat of opening score",
    "logit_difference": "nat of logit difference",
    "kl": "nat of KL divergence",
}


def patching(
    model: Model,
    pairs: Contrast,
    replies: Table,
    *,
    direction: Literal["denoise", "noise"] = "denoise",
    places: Literal["layers", "units"] = "layers",
    positions: tuple[str, ...] = ("last",),
    metric: Literal["opening", "logit_difference", "kl"] = "opening",
    groups: int = 12,
    batch: int = 32,
) -> Scores:
    """Effect (nat) of patching each site alone, per pair.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        replies: judged replies, which give the opening tokens.
        direction: denoise puts harmful values into the harmless run, noise the reverse.
        places: `layers` is residual stream, attention and MLP output of every layer; `units` is
            every head and every group of neurons.
        positions: positions to patch, each apart. Beside `last` and `post` only pairs of equal
            length that have the position are used; the others are counted in `about`.
        metric: what an effect is a change of: `opening`, the model's opening score;
            `logit_difference`, between the first tokens of the pair's two replies; `kl`, the
            divergence from the run the values come from, which sees every change of the next token.
        groups: how many groups a layer's neurons are split into (units only).
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used, or the replies hold no refusal.
    """
    openers = openers_of(replies)
    usable, dropped = usable_pairs(model, pairs, positions)
    sites = _sites(model.shape, places, positions, groups)
    shards = [
        (site_part, row)
        for row in range(0, len(usable.harmful), _SHARD)
        for site_part in _chunks(sites, _CHUNK)
    ]
    found = each(
        f"patching {direction}",
        shards,
        lambda shard: _patch_shard(model, usable, openers, shard, direction, metric, batch),
    )
    values, gap, floor = _assembled(found, len(sites), len(usable.harmful))
    about = {
        "direction": direction,
        "noise floor": f"{floor:.2g} nat",
        "pairs dropped (not aligned)": str(dropped),
        "split": pairs.split,
        "metric": _METRICS[metric],
    }
    if metric == "logit_difference":
        about["pairs whose replies open alike"] = str(int((gap == 0).sum()))
    ids = tuple(row.id for row in usable.harmful)
    return Scores(sites, ids, usable.topics, values, gap, _UNITS[metric], about)


def patching_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Per site and pair the layers from the site on, and per chunk of sites a few whole passes."""
    sites = _sites(shape, options["places"], options["positions"], options["groups"])
    passes = sum(shape.layers - site.layer for site in sites) / shape.layers
    reads = READS * len(_chunks(sites, _CHUNK))
    return Cost(prompts=math.ceil((passes + reads) * examples / 2))


def joint(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    replies: Table,
    *,
    direction: Literal["denoise", "noise"] = "denoise",
    controls: int = 100,
    groups: int = 12,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """Effect of patching a whole set at once, beside random sets of the same kinds and layers.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split, not the one the sites were found on.
        sites: the set found.
        replies: judged replies, which give the opening tokens.
        direction: as in `patching`.
        controls: how many matched random sets.
        groups: how many groups a layer's neurons were split into.
        batch: pairs at once, at most.
        seed: of the random sets.

    Raises:
        ContrastError: no pair can be used, or the replies hold no refusal.
    """
    openers = openers_of(replies)
    usable, dropped = usable_pairs(model, pairs, ("all",))
    candidates = unit_sites(model.shape, groups)
    sets = (sites, *matched_sets(sites, candidates, controls, seed))
    shards = each(
        "joint patching",
        [sets[start : start + _SETS] for start in range(0, len(sets), _SETS)],
        lambda part: joint_effects(model, usable, openers, part, direction, batch),
    )
    found = [effects for shard in shards for effects in shard]
    rows = [
        {
            "set": number,
            "kind": "matched random" if number else "found",
            "size": len(sets[number]),
            "example": row.id,
            "topic": topic,
            "effect": effect,
            "gap": gap,
        }
        for number, pair_effects in enumerate(found)
        for row, topic, (effect, gap) in zip(
            usable.harmful, usable.topics, pair_effects, strict=True
        )
    ]
    about = {
        "direction": direction,
        "split": pairs.split,
        "units": str(len(candidates)),
        "pairs dropped (not aligned)": str(dropped),
        "sites": " ".join(map(str, sites)),
        "share of parameters": f"{share_of_parameters(model, sites):.6g}",
    }
    return from_rows(rows, units={"effect": "nat", "gap": "nat"}, about=about)


def joint_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per pair and set, and per shard of sets both sides and the noise floor."""
    sets = options["controls"] + 1
    return Cost(prompts=(sets + READS * math.ceil(sets / _SETS)) * examples // 2)


def _sites(shape: Shape, places: str, positions: Sequence[str], groups: int) -> tuple[Site, ...]:
    if places == "layers":
        return layer_sites(shape, positions)
    units = unit_sites(shape, groups)
    return tuple(site.at(position) for position in positions for site in units)


def _chunks(sites: Sequence[Site], size: int) -> list[tuple[int, tuple[Site, ...]]]:
    return [(start, tuple(sites[start : start + size])) for start in range(0, len(sites), size)]


def _patch_shard(
    model: Model,
    pairs: Pairs,
    openers: Openers,
    shard: tuple[tuple[int, tuple[Site, ...]], int],
    direction: Direction,
    metric: Metric,
    batch: int,
) -> dict:
    (first_site, sites), first_pair = shard
    rows = rows_of(pairs)[first_pair : first_pair + _SHARD]

    def of_pairs(part: PairRows) -> list[tuple[list[float], float, float]]:
        sides = read_sides(model, part, openers, sites, direction, metric)
        found = effects(sides, [((site,), ()) for site in sites])
        floors = [found.floor] * len(part)
        return list(zip(found.values.T.tolist(), sides.gap.tolist(), floors, strict=True))

    found = in_batches(rows, batch, of_pairs)
    return {
        "site": first_site,
        "pair": first_pair,
        "effects": [row[0] for row in found],
        "gap": [row[1] for row in found],
        "floor": max(row[2] for row in found),
    }


def _assembled(
    found: Sequence[dict], sites: int, pairs: int
) -> tuple[np.ndarray, np.ndarray, float]:
    values, gap = np.zeros((sites, pairs)), np.zeros(pairs)
    for shard in found:
        part = np.array(shard["effects"]).T
        rows, columns = shard["site"], shard["pair"]
        values[rows : rows + part.shape[0], columns : columns + part.shape[1]] = part
        gap[columns : columns + part.shape[1]] = shard["gap"]
    return values, gap, max(shard["floor"] for shard in found)
