"""How much of a model a set of units is, counted in parameters."""

from collections.abc import Sequence

from interlock.matrices import matrices, parts_of
from interlock.model import Model
from interlock.sites import Site


def parameters_of(model: Model, sites: Sequence[Site]) -> float:
    """Weights of heads and neurons; keys and values that several heads share count in parts.

    Raises:
        SiteError: the model has no such site.
        ModelError: a site is neither a head nor neurons.
    """
    shapes = {each.name: each.shape for each in matrices(model)}
    total = 0.0
    for site in sites:
        for part in parts_of(model, site):
            across = shapes[part.matrix][1 if part.axis == "row" else 0]
            total += len(part.index) * across / part.shared
    return total


def share_of_parameters(model: Model, sites: Sequence[Site]) -> float:
    """The same as a share of all parameters, embeddings included; nan where a site is no unit."""
    if any(site.kind not in ("head", "neuron") or site.index is None for site in sites):
        return float("nan")
    return parameters_of(model, sites) / model.shape.parameters
