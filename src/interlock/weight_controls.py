"""Sets of weights to hold a chosen set against: as many, in the same matrices, chosen by nothing.

A control is disjoint from the chosen set. `random` takes as many weights of each matrix; `matched`
also matches a number that the choice may have favoured, such as |weight| or the SNIP score on
harmless replies: drifts and the damage of removal depend on these, whatever was asked for.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interlock.errors import InterlockError
from interlock.mask import Mask, Packed, packed
from interlock.tables import Table, from_rows
from interlock.weight_scores import WeightScores

_BINS = 64
_MOST_RANKED = 2**20  # values that bin edges are taken from


def random(mask: Mask, *, seed: int) -> Mask:
    """As many weights of every matrix, drawn from those that were not chosen.

    Args:
        mask: the chosen set.
        seed: of the draw.

    Raises:
        InterlockError: more than half of a matrix was chosen, so no other set is as large.
    """
    generator = np.random.default_rng(seed)
    parts: dict[str, Packed] = {}
    for name, part in mask.parts.items():
        chosen = part.weights().ravel()
        spare = np.flatnonzero(~chosen)
        _require_spare(name, part.count(), len(spare))
        flags = np.zeros(len(chosen), dtype=bool)
        flags[generator.choice(spare, part.count(), replace=False, shuffle=False)] = True
        parts[name] = packed(flags, part.shape)
    about = {"set": "random, as many of each matrix", "seed": str(seed), "control of": _title(mask)}
    return Mask(parts, "weight", about)


def matched(mask: Mask, scores: WeightScores, *, seed: int) -> Mask:
    """As many weights of every matrix, with the same distribution of a score.

    Quantiles of the chosen weights' scores, and of all, divide each matrix into bins; from every
    bin as many others are drawn. A bin with too few others gives all it has, and the rest
    comes from the nearest bins; `balance` says how well that went.

    Args:
        mask: the chosen set.
        scores: what to match, |weight| or another score of the same matrices.
        seed: of the draw.

    Raises:
        InterlockError: a matrix without a score, or more than half of a matrix was chosen.
    """
    generator = np.random.default_rng(seed)
    parts: dict[str, Packed] = {}
    for name, part in mask.parts.items():
        values = _values(scores, name)
        chosen = part.weights().ravel()
        _require_spare(name, part.count(), int((~chosen).sum()))
        parts[name] = packed(_drawn(values, chosen, generator), part.shape)
    matched_on = scores.about.get("method", "a score")
    about = {
        "set": f"matched by {matched_on}, as many of each matrix",
        "seed": str(seed),
        "control of": _title(mask),
    }
    return Mask(parts, "weight", about)


def balance(mask: Mask, control: Mask, scores: WeightScores) -> Table:
    """Mean and quartiles of a score in both sets, matrix by matrix, and their difference.

    Column `difference` is that of the means over the standard deviation of the chosen set's.
    """
    rows = []
    for name, part in mask.parts.items():
        values = _values(scores, name)
        first = values[part.weights().ravel()]
        second = values[control.weights(name).ravel()]
        if not len(first) or not len(second):
            continue
        spread = float(first.std()) or 1.0
        rows.append(
            {
                "matrix": name,
                "chosen": float(first.mean()),
                "control": float(second.mean()),
                **{f"chosen q{q}": float(np.quantile(first, q / 100)) for q in (25, 50, 75)},
                **{f"control q{q}": float(np.quantile(second, q / 100)) for q in (25, 50, 75)},
                "difference": float(first.mean() - second.mean()) / spread,
                "n": len(first),
            }
        )
    return from_rows(rows, units={"difference": "standard deviations of the chosen set"})


def _drawn(
    values: Float[np.ndarray, " weight"],
    chosen: Bool[np.ndarray, " weight"],
    generator: np.random.Generator,
) -> Bool[np.ndarray, " weight"]:
    """Flags of as many others as are chosen, bin by bin."""
    flags = np.zeros(len(values), dtype=bool)
    picked = values[chosen]
    if not len(picked):
        return flags
    edges = np.union1d(_edges(picked, generator), _edges(values, generator))
    spare = np.flatnonzero(~chosen)
    place = np.searchsorted(edges, values[spare], side="right")
    order = spare[np.argsort(place, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(edges) + 1))])
    wanted = np.bincount(np.searchsorted(edges, picked, side="right"), minlength=len(edges) + 1)
    taken = _spread(wanted, np.diff(starts))
    for number in np.flatnonzero(taken):
        pool = order[starts[number] : starts[number + 1]]
        flags[generator.choice(pool, taken[number], replace=False, shuffle=False)] = True
    return flags


def _edges(
    values: Float[np.ndarray, " value"], generator: np.random.Generator
) -> Float[np.ndarray, " edge"]:
    """Quantiles that put at least four values into each bin."""
    if len(values) > _MOST_RANKED:
        values = generator.choice(values, _MOST_RANKED)
    count = max(1, min(_BINS, len(values) // 4))
    return np.unique(np.quantile(values, np.linspace(0, 1, count + 1)))


def _spread(
    wanted: Int[np.ndarray, " bin"], there: Int[np.ndarray, " bin"]
) -> Int[np.ndarray, " bin"]:
    """How many to take of each bin: what is wanted, or else from the nearest bins."""
    taken = np.minimum(wanted, there)
    for number in np.flatnonzero(wanted > taken):
        short = int(wanted[number] - min(wanted[number], there[number]))
        for near in np.argsort(np.abs(np.arange(len(there)) - number), kind="stable"):
            more = min(short, int(there[near] - taken[near]))
            taken[near] += more
            short -= more
            if short == 0:
                break
    return taken


def _values(scores: WeightScores, name: str) -> Float[np.ndarray, " weight"]:
    if name not in scores.halves:
        raise InterlockError(f"{name} has no score to be matched by.")
    return torch.Tensor.numpy(scores.mean(name).float().cpu()).ravel()


def _require_spare(name: str, wanted: int, spare: int) -> None:
    if wanted > spare:
        raise InterlockError(
            f"No control of the chosen set: {wanted:,} weights of {name} are chosen and only "
            f"{spare:,} others are left."
        )


def _title(mask: Mask) -> str:
    return mask.about.get("set", "a set")
