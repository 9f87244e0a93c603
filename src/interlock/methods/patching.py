"""Where is the behaviour carried? Activation patching between minimal pairs, both ways.

The clean prompt is the harmful one (it is refused), the corrupt prompt its harmless partner.

1. Read every candidate site in both prompts of a pair, in one pass each.
2. Denoise: run the harmless prompt with one site set to its value in the harmful prompt; the effect
   is the rise of the opening score. Noise: run the harmful prompt with one site set to its harmless
   value; the effect is the fall.
3. The gap is the harmful minus the harmless score, without patching. Effects are reported as ratio
   of means to the gap, never as parts of a whole: sites in a chain carry the same effect again.
4. Every batch also patches nothing but a site's own value; the largest score change is the noise
   floor.

Source: Zhang & Nanda (2024, arXiv:2309.16042) for pairs and metric; Heimersheim & Nanda (2024,
arXiv:2404.15255) for the two directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from interlock.activations import Record, forward, record
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.edits import edited, put
from interlock.encoding import Batch, Encoded, Pairs, collate, encode_pairs
from interlock.errors import ContrastError
from interlock.measures import openers_of
from interlock.metrics import Openers, opening_score
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.selection import layer_sites, matched_sets, unit_sites
from interlock.sites import Site
from interlock.store import each
from interlock.tables import Table, from_rows

Direction = Literal["denoise", "noise"]
_SHARD, _CHUNK = 32, 64  # pairs and sites to a shard
_READS = 3  # passes before the first patch: both sides, and a site put back
_ENDS = ("last", "post")  # comparable in any pair; other positions need equally long prompts


@dataclass(frozen=True, eq=False)
class _Sides:
    """A batch of pairs: the run that is patched, and what the other side's run held."""

    base: Batch
    source: Record
    base_score: Tensor
    gap: Tensor
    floor: float


def patching(
    model: Model,
    pairs: Contrast,
    replies: Table,
    *,
    direction: Direction = "denoise",
    places: Literal["layers", "units"] = "layers",
    positions: tuple[str, ...] = ("last",),
    groups: int = 12,
    batch: int = 32,
) -> Scores:
    """Effect (nat of opening score) of patching each site alone, per pair.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        replies: judged replies, which give the opening tokens.
        direction: denoise puts harmful values into the harmless run, noise the reverse.
        places: `layers` is residual stream, attention and MLP output of every layer; `units` is
            every head and every group of neurons.
        positions: positions to patch, each apart. Beside `last` and `post` only pairs of equal
            length that have the position are used; the others are counted in `about`.
        groups: how many groups a layer's neurons are split into (units only).
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used, or the replies hold no refusal.
    """
    openers = openers_of(replies)
    usable, dropped = _usable(model, pairs, positions)
    sites = _sites(model.shape, places, positions, groups)
    shards = [
        (site_part, row)
        for row in range(0, len(usable.harmful), _SHARD)
        for site_part in _chunks(sites, _CHUNK)
    ]
    found = each(
        f"patching {direction}",
        shards,
        lambda shard: _patch_shard(model, usable, openers, shard, direction, batch),
    )
    values, gap, floor = _assembled(found, len(sites), len(usable.harmful))
    about = {
        "direction": direction,
        "noise floor": f"{floor:.2g} nat",
        "pairs dropped (not aligned)": str(dropped),
        "split": pairs.split,
        "metric": "opening score (nat)",
    }
    ids = tuple(row.id for row in usable.harmful)
    return Scores(sites, ids, usable.topics, values, gap, "nat of opening score", about)


def patching_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per site and pair, and per chunk of sites three: both sides and the noise floor."""
    sites = _sites(shape, options["places"], options["positions"], options["groups"])
    reads = _READS * len(_chunks(sites, _CHUNK))
    return Cost(prompts=(len(sites) + reads) * examples // 2)


def joint(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    replies: Table,
    *,
    direction: Direction = "denoise",
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
    usable, dropped = _usable(model, pairs, ("all",))
    candidates = unit_sites(model.shape, groups)
    sets = (sites, *matched_sets(sites, candidates, controls, seed))
    found = each(
        "joint patching",
        sets,
        lambda each_set: _patch_set(model, usable, openers, each_set, direction, batch),
    )
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
        "units": str(len(candidates)),
        "pairs dropped (not aligned)": str(dropped),
        "sites": " ".join(map(str, sites)),
    }
    return from_rows(rows, units={"effect": "nat", "gap": "nat"}, about=about)


def joint_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Four passes per pair and set."""
    return Cost(prompts=(_READS + 1) * (options["controls"] + 1) * examples // 2)


def _usable(model: Model, pairs: Contrast, positions: Sequence[str]) -> tuple[Pairs, int]:
    encoded = encode_pairs(model, pairs)
    if all(position in _ENDS for position in positions):
        return encoded, 0
    kept = encoded.only_aligned().with_positions(positions)
    if not kept.harmful:
        raise ContrastError(
            f"None of the {len(encoded.harmful)} pairs of {pairs.name}.{pairs.split} has two "
            "equally long prompts under this tokenizer; patch at @last or @post instead."
        )
    return kept, len(encoded.harmful) - len(kept.harmful)


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
    batch: int,
) -> dict:
    (first_site, sites), first_pair = shard
    rows = list(zip(pairs.harmful, pairs.harmless, strict=True))[first_pair : first_pair + _SHARD]

    def effects(part: Sequence[tuple[Encoded, Encoded]]) -> list[tuple[list[float], float, float]]:
        sides = _read(model, part, openers, sites, direction)
        found = [_effect(model, sides, openers, [site], direction) for site in sites]
        columns = torch.stack(found, dim=1).tolist()
        floors = [sides.floor] * len(part)
        return list(zip(columns, sides.gap.tolist(), floors, strict=True))

    found = in_batches(rows, batch, effects)
    return {
        "site": first_site,
        "pair": first_pair,
        "effects": [row[0] for row in found],
        "gap": [row[1] for row in found],
        "floor": max(row[2] for row in found),
    }


def _patch_set(
    model: Model,
    pairs: Pairs,
    openers: Openers,
    sites: Sequence[Site],
    direction: Direction,
    batch: int,
) -> list[tuple[float, float]]:
    rows = list(zip(pairs.harmful, pairs.harmless, strict=True))

    def effects(part: Sequence[tuple[Encoded, Encoded]]) -> list[tuple[float, float]]:
        sides = _read(model, part, openers, sites, direction)
        found = _effect(model, sides, openers, sites, direction)
        return list(zip(found.tolist(), sides.gap.tolist(), strict=True))

    return in_batches(rows, batch, effects)


@torch.no_grad()
def _read(
    model: Model,
    part: Sequence[tuple[Encoded, Encoded]],
    openers: Openers,
    sites: Sequence[Site],
    direction: Direction,
) -> _Sides:
    harmful, harmless = (collate(model, [pair[side] for pair in part]) for side in (0, 1))
    clean, corrupt = record(model, harmful, sites), record(model, harmless, sites)
    gap = opening_score(clean.logits, openers) - opening_score(corrupt.logits, openers)
    base, own, other = (
        (harmless, corrupt, clean) if direction == "denoise" else (harmful, clean, corrupt)
    )
    score = opening_score(own.logits, openers)
    with edited(model, [put(sites[0], own.values[sites[0]])], base):
        same = opening_score(forward(model, base)[:, -1], openers)
    return _Sides(base, other, score, gap, float((same - score).abs().max()))


@torch.no_grad()
def _effect(
    model: Model,
    sides: _Sides,
    openers: Openers,
    sites: Sequence[Site],
    direction: Direction,
) -> Tensor:
    edits = [put(site, sides.source.values[site]) for site in sites]
    with edited(model, edits, sides.base):
        patched = opening_score(forward(model, sides.base)[:, -1], openers)
    change = patched - sides.base_score
    return change if direction == "denoise" else -change


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
