"""Heads and neurons as sets of weights: their summed scores, and the rows and columns they are."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from interlock.errors import InterlockError
from interlock.mask import Mask, Packed, Unit, packed
from interlock.matrices import matrices, parts_of
from interlock.model import Model
from interlock.sites import Site
from interlock.weight_scores import WeightScores


def unit_scores(
    model: Model, scores: WeightScores, sites: Sequence[Site], *, per_weight: bool = False
) -> Float[np.ndarray, " site"]:
    """The sum of the scores of each unit's weights, or their mean.

    A row that several heads share (keys and values of grouped queries) counts in parts.

    Args:
        model: whose units they are.
        scores: of its matrices.
        sites: heads and groups of neurons.
        per_weight: the mean over a unit's weights instead of the sum.

    Raises:
        SiteError: the model has no such unit.
    """
    rows = {name: scores.mean(name).sum(dim=1).double().cpu().numpy() for name in scores.names}
    columns = {name: scores.mean(name).sum(dim=0).double().cpu().numpy() for name in scores.names}
    found = []
    for site in sites:
        total, weight = 0.0, 0.0
        for part in parts_of(model, site):
            name = part.matrix
            if name not in scores.halves:
                continue
            sums, across = (rows, columns) if part.axis == "row" else (columns, rows)
            total += float(sums[name][list(part.index)].sum()) / part.shared
            weight += len(part.index) * len(across[name]) / part.shared
        found.append(total / weight if per_weight else total)
    return np.array(found)


def mask_of(model: Model, sites: Sequence[Site]) -> Mask:
    """The weights of units, as whole rows and columns.

    Rows that several heads share are in the set only if all of those heads are.

    Raises:
        SiteError: the model has no such unit.
        InterlockError: heads and neurons are mixed, or no unit is named.
    """
    kinds = {site.kind for site in sites}
    if len(kinds) != 1 or any(site.index is None for site in sites):
        raise InterlockError("A set of units names heads or neurons, at least one, as head.2.5.")
    unit: Unit = "head" if kinds == {"head"} else "neuron"
    shapes = {each.name: each.shape for each in matrices(model)}
    counted: dict[str, np.ndarray] = {}
    axes: dict[str, str] = {}
    for site in _single(sites):
        for part in parts_of(model, site):
            length = shapes[part.matrix][0 if part.axis == "row" else 1]
            counts = counted.setdefault(part.matrix, np.zeros(length))
            counts[list(part.index)] += 1 / part.shared
            axes[part.matrix] = part.axis
    parts: dict[str, Packed] = {}
    for name, shape in shapes.items():
        if name not in counted:
            parts[name] = packed(np.zeros(shape[0], dtype=bool), shape, "row")
        elif axes[name] == "row":
            parts[name] = packed(counted[name] > 1 - 1e-9, shape, "row")
        else:
            parts[name] = packed(counted[name] > 1 - 1e-9, shape, "column")
    names = ", ".join(str(site) for site in sites[:8]) + (" ..." if len(sites) > 8 else "")
    return Mask(parts, unit, {"set": f"{len(sites)} units: {names}", "weights": model.revision})


def top_units(
    model: Model, scores: WeightScores, sites: Sequence[Site], count: int
) -> tuple[Site, ...]:
    """The units whose weights' scores sum to most, largest first; ties in the order given.

    Raises:
        InterlockError: more units are asked for than there are, or none.
    """
    if not 1 <= count <= len(sites):
        raise InterlockError(f"{count} units cannot be taken of {len(sites)}.")
    order = np.argsort(-unit_scores(model, scores, sites), kind="stable")
    return tuple(sites[place] for place in order[:count].tolist())


def _single(sites: Sequence[Site]) -> list[Site]:
    """Every head or neuron by itself, once."""
    found: dict[Site, None] = {}
    for site in sites:
        assert site.index is not None
        for number in range(*site.index):
            found[Site(site.kind, site.layer, (number, number + 1))] = None
    return list(found)
