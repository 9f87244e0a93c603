"""How many dimensions? Directions of single categories compared, crossed, and taken out together.

1. `cosine`: between the categories' own differences in means, on prompts that no direction was
   fitted on; beside it the ceiling, the cosine of two halves of one category.
2. `dimensions`: the participation ratio of the matrix of these differences (1: all categories share
   one direction; as many as there are categories: none shares any), beside the same with the
   prompts dealt to the categories at random, which is what noise alone leaves of one direction.
3. `removed`: the share of a category's gap that goes when the direction of another is taken out,
   and when the first 1, 2, 3... axes of all categories' directions are taken out together.

`direction_interchange` asks how much of the gap between the two prompts of a pair is carried by the
coordinate along the direction, stream by stream.

Sources: several directions: Wollschläger et al. (2025, arXiv:2502.17420); participation ratio: Gao
et al. (2017, doi:10.1101/214262); interchange: Geiger et al. (2021, arXiv:2106.02997).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from interlock.activations import forward, record
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.direction import Direction
from interlock.edits import edited
from interlock.encoding import Encoded, collate, encode
from interlock.errors import ContrastError
from interlock.exchange import PairRows, rows_of, usable_pairs
from interlock.measures import openers_of, opening_scores
from interlock.metrics import Openers, opening_score
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.stats import Estimate, ratio
from interlock.steering import exchanging, removing, stream_sites
from interlock.store import each
from interlock.tables import Table, from_rows

_DRAWS, _HALVES = 200, 20
_MOST_AXES = 6
_LEAST = 2  # topics of a category

Sides = dict[str, tuple[np.ndarray, np.ndarray]]
"""By category: states of its harmful and of its harmless prompts, [prompt width]."""


def dimensions(
    model: Model,
    contrast: Contrast,
    replies: Table,
    direction: Direction,
    *,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per comparison of categories: a value with its interval, and what it is of.

    Args:
        model: the model studied.
        contrast: prompts of the split that no direction was fitted on.
        replies: judged replies, which give the opening tokens.
        direction: one vector per category (`categories: each`).
        batch: prompts at once, at most.
        seed: of resamples and permutations.

    Raises:
        ContrastError: fewer than two of the direction's categories have prompts here.
    """
    openers = openers_of(replies)
    sides, topics = _states(model, contrast, direction, batch)
    rows = [*_cosines(sides, topics, seed), *_participation(sides, topics, seed)]
    rows += _removed(model, contrast, openers, direction, sorted(sides), batch)
    about = {
        "site": str(direction.site),
        "split": contrast.split,
        "categories left out": ", ".join(sorted(set(direction.names) - set(sides))) or "none",
        "removed": "share of the category's gap in opening score that goes, affine",
        "interval": f"95 %; cosines and dimensions: {_DRAWS} bootstrap draws of topics",
    }
    return from_rows(rows, about=about)


def dimensions_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """States once, then half the prompts under about 12 edits."""
    return Cost(prompts=2 * examples + 12 * (examples // 2))


def direction_interchange(
    model: Model,
    pairs: Contrast,
    replies: Table,
    direction: Direction,
    *,
    way: Literal["denoise", "noise"] = "denoise",
    batch: int = 32,
) -> Scores:
    """Effect (nat) of giving a prompt its partner's coordinate along the direction, by stream.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        replies: judged replies, which give the opening tokens.
        direction: of one vector.
        way: denoise gives the harmless prompt the harmful one's coordinate, noise the reverse.
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used, or the direction has several vectors.
    """
    if len(direction.names) != 1:
        raise ContrastError("direction_interchange takes a direction of one vector.")
    openers = openers_of(replies)
    usable, dropped = usable_pairs(model, pairs, ("all",))
    sites = stream_sites(model.shape)
    unit = direction.units[0]

    @torch.no_grad()
    def effects(part: PairRows) -> list[list[float]]:
        sides = [collate(model, [pair[side] for pair in part]) for side in (0, 1)]
        harmful, harmless = (record(model, side, sites) for side in sides)
        high, low = (opening_score(side.logits, openers) for side in (harmful, harmless))
        base, other, before = (
            (sides[1], harmful, low) if way == "denoise" else (sides[0], harmless, high)
        )
        columns = []
        for site in sites:
            with edited(model, exchanging(site, unit, other.values[site]), base):
                after = opening_score(forward(model, base)[:, -1], openers)
            columns.append(after - before if way == "denoise" else before - after)
        return torch.stack([*columns, high - low], dim=1).tolist()

    found = np.array(in_batches(rows_of(usable), batch, effects)).T
    about = {
        "direction": way,
        "along": f"{direction.kind} at {direction.site}",
        "pairs dropped (not aligned)": str(dropped),
        "split": pairs.split,
        "metric": "opening score (nat)",
    }
    ids = tuple(row.id for row in usable.harmful)
    unit_name = "nat of opening score"
    return Scores(sites, ids, usable.topics, found[:-1], found[-1], unit_name, about)


def direction_interchange_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Both sides once, and one side once per stream."""
    return Cost(prompts=examples + (examples // 2) * len(stream_sites(shape)))


def _states(
    model: Model, contrast: Contrast, direction: Direction, batch: int
) -> tuple[Sides, dict[str, tuple[list[str], list[str]]]]:
    """States at the direction's site by category, and their topics; too small categories go."""
    sides: Sides = {}
    topics = {}
    for name in direction.names:
        kinds = []
        for kind in ("refuse", "comply"):
            every = contrast.expecting(kind)
            own = [example for example in every if example.category == name]
            kinds.append(own or (list(every) if kind == "comply" else []))
        if min(len({example.topic for example in kind}) for kind in kinds) < _LEAST:
            continue
        harmful, harmless = (
            _read(model, encode(model, kind, contrast.system), direction, batch) for kind in kinds
        )
        sides[name] = (harmful, harmless)
        topics[name] = tuple([example.topic for example in kind] for kind in kinds)
    if len(sides) < 2:
        raise ContrastError(
            f"Dimensions need two categories with {_LEAST} topics each in {contrast.name}."
            f"{contrast.split}; of {', '.join(direction.names)} only {', '.join(sides) or 'none'} "
            "has them."
        )
    return sides, topics


def _read(
    model: Model, rows: Sequence[Encoded], direction: Direction, batch: int
) -> Float[np.ndarray, "prompt width"]:
    def states(part: Sequence[Encoded]) -> list[np.ndarray]:
        found = record(model, collate(model, part), [direction.site]).values[direction.site]
        return list(found[:, -1].float().numpy(force=True))

    return np.stack(in_batches(rows, batch, states)).astype(np.float64)


def _differences(sides: Sides) -> Float[np.ndarray, "category width"]:
    return np.stack([high.mean(axis=0) - low.mean(axis=0) for high, low in sides.values()])


def _cosine(first: Float[np.ndarray, " width"], second: Float[np.ndarray, " width"]) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def participation(differences: Float[np.ndarray, "category width"]) -> float:
    """How many directions the rows fill: (sum of s^2)^2 over the sum of s^4, s singular values.

    Rows are taken at length 1, so that each category counts alike. 1 when all rows are parallel.
    """
    rows = differences / np.linalg.norm(differences, axis=1, keepdims=True)
    squared = np.linalg.svd(rows, compute_uv=False) ** 2
    return float(squared.sum() ** 2 / (squared**2).sum())


def _resampled(
    rows: Float[np.ndarray, "prompt width"], topics: Sequence[str], draw: np.random.Generator
) -> Float[np.ndarray, "prompt width"]:
    """The prompts of topics drawn with replacement."""
    labels, members = np.unique(np.asarray(topics), return_inverse=True)
    chosen = draw.integers(len(labels), size=len(labels))
    return rows[np.concatenate([np.flatnonzero(members == label) for label in chosen])]


def _draws(sides: Sides, topics: dict, seed: int) -> list[Float[np.ndarray, "category width"]]:
    draw = np.random.default_rng(seed)
    return [
        _differences(
            {
                name: (
                    _resampled(high, topics[name][0], draw),
                    _resampled(low, topics[name][1], draw),
                )
                for name, (high, low) in sides.items()
            }
        )
        for _ in range(_DRAWS)
    ]


def _cosines(sides: Sides, topics: dict, seed: int) -> list[dict]:
    names, differences = list(sides), _differences(sides)
    draws = _draws(sides, topics, seed)
    rows = []
    for first in range(len(names)):
        rows.append(_ceiling(names[first], sides[names[first]], topics[names[first]], seed))
        for second in range(first + 1, len(names)):
            value = _cosine(differences[first], differences[second])
            resampled = [_cosine(one[first], one[second]) for one in draws]
            rows.append(
                _row("cosine", names[first], names[second], value, resampled, topics, names)
            )
    return rows


def _ceiling(
    name: str,
    sides: tuple[np.ndarray, np.ndarray],
    topics: tuple[list[str], list[str]],
    seed: int,
) -> dict:
    """Cosine of the differences of two random halves of a category's topics."""
    draw = np.random.default_rng(seed)
    found = [_halves(sides, topics, draw) for _ in range(_HALVES)]
    return _row("ceiling", name, name, float(np.mean(found)), found, {name: topics}, [name])


def _halves(
    sides: tuple[np.ndarray, np.ndarray],
    topics: tuple[list[str], list[str]],
    draw: np.random.Generator,
) -> float:
    means = []
    for rows, own in zip(sides, topics, strict=True):
        part = _half(own, draw)
        means.append((rows[part].mean(axis=0), rows[~part].mean(axis=0)))
    (first_high, second_high), (first_low, second_low) = means
    return _cosine(first_high - first_low, second_high - second_low)


def _half(topics: Sequence[str], draw: np.random.Generator) -> np.ndarray:
    """Which prompts are in the first half of the topics."""
    labels, members = np.unique(np.asarray(topics), return_inverse=True)
    order = draw.permutation(len(labels))
    return (order < len(labels) // 2)[members]


def _participation(sides: Sides, topics: dict, seed: int) -> list[dict]:
    names = list(sides)
    value = participation(_differences(sides))
    drawn = [participation(one) for one in _draws(sides, topics, seed)]
    dealt = [participation(_differences(one)) for one in _dealt(sides, seed)]
    return [
        _row("dimensions", "categories", "all", value, drawn, topics, names),
        _row("dimensions", "dealt at random", "all", float(np.mean(dealt)), dealt, topics, names),
    ]


def _dealt(sides: Sides, seed: int) -> list[Sides]:
    """The same prompts with their categories exchanged at random, kinds and sizes kept."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(_DRAWS):
        mixed = [_shuffled([pair[kind] for pair in sides.values()], draw) for kind in (0, 1)]
        found.append(dict(zip(sides, zip(*mixed, strict=True), strict=True)))
    return found


def _shuffled(parts: Sequence[np.ndarray], draw: np.random.Generator) -> list[np.ndarray]:
    whole = np.concatenate(list(parts))[draw.permutation(sum(map(len, parts)))]
    ends: Int[np.ndarray, " part"] = np.cumsum([len(part) for part in parts])
    return list(np.split(whole, ends[:-1].tolist()))


def _row(
    measure: str,
    of: str,
    on: str,
    value: float,
    draws: Sequence[float],
    topics: dict,
    names: Sequence[str],
) -> dict:
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    own = [topics[name] for name in names if name in (of, on)] or [topics[name] for name in names]
    prompts = sum(len(kind) for both in own for kind in both)
    count = len({topic for both in own for kind in both for topic in kind})
    return {
        "measure": measure,
        "of": of,
        "on": on,
        "value": value,
        "low": min(low, value),
        "high": max(high, value),
        "n": prompts,
        "topics": count,
    }


def _removed(
    model: Model,
    contrast: Contrast,
    openers: Openers,
    direction: Direction,
    names: Sequence[str],
    batch: int,
) -> list[dict]:
    """Share of each category's gap that goes with each direction, and with several at once."""
    harmful = [each for each in contrast.expecting("refuse") if each.category in names]
    rows = encode(model, harmful, contrast.system)
    harmless = encode(model, contrast.expecting("comply"), contrast.system)
    before = opening_scores(model, rows, openers, size=batch)
    gap = before - opening_scores(model, harmless, openers, size=batch).mean()
    axes = min(len(direction.names), _MOST_AXES, direction.vectors.shape[1])
    taken: list[tuple[str, Direction]] = [(name, direction.only(name)) for name in names]
    taken += [(f"first {count} axes", direction.spanning(count)) for count in range(1, axes + 1)]

    def fall(one: tuple[str, Direction]) -> list[float]:
        edits = removing(one[1])
        return (before - opening_scores(model, rows, openers, edits=edits, size=batch)).tolist()

    falls = each("dimensions", taken, fall)
    category = np.array([example.category for example in harmful])
    topic = np.array([example.topic for example in harmful])
    found = []
    for (of, _), lost in zip(taken, falls, strict=True):
        every = np.ones(len(category), dtype=bool)
        parts = {"all": every} | {name: category == name for name in names}
        for on, inside in parts.items():
            estimate = ratio(
                np.array(lost)[inside], gap[inside], topic[inside].tolist(), unit="share of the gap"
            )
            found.append(_estimated("removed", of, on, estimate))
    return found


def _estimated(measure: str, of: str, on: str, found: Estimate) -> dict:
    return {
        "measure": measure,
        "of": of,
        "on": on,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "topics": found.clusters,
    }
