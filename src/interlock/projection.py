"""A direction taken out of the weights: a copy of a model that cannot write along it.

Every matrix that writes to the residual stream (embeddings, the heads' and the neurons' output
maps, and their biases) loses its part along the direction, and the embedding gets one constant
coordinate back. Equals: `steering.removing` with one level everywhere, as hooks.

Source: Arditi et al. (2024, arXiv:2406.11717, section 2.4 and appendix E), who leave the biases
out and the coordinate at zero.
"""

import copy
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from interlock.activations import record
from interlock.encoding import collate, from_ids
from interlock.errors import ModelError, SiteError
from interlock.model import Model
from interlock.sites import Site


@torch.no_grad()
def projected(model: Model, direction: Float[Tensor, " width"], *, onto: float = 0.0) -> Model:
    """A copy of the model in memory whose residual stream has one coordinate along a direction.

    The unembedding keeps its weights where it shared the embedding's. Nothing is written to disk.

    Args:
        model: stays as it is.
        direction: of any length.
        onto: the coordinate that every token keeps in every layer.

    Raises:
        ModelError: the weights are packed (4-bit or 8-bit), so they cannot be edited in place.
        SiteError: a norm lies between a matrix and the stream, or experts write to it.
    """
    _require_plain(model)
    edited = replace(model, network=_untied(model))
    unit = direction.to(model.device, torch.float64) / direction.double().norm().to(model.device)
    embedding = edited.network.get_submodule(model.architecture.embedding)
    scale = _scale(edited, unit)
    for table in _tables(edited):
        _take_out(table, unit, dim=1)
    for layer in range(model.shape.layers):
        for kind in ("head", "neuron"):
            _take_out_of(edited.tap(kind, layer)[0], unit)
    rows = embedding.weight
    assert isinstance(rows, Tensor)
    rows.copy_((rows.double() + onto / scale * unit).to(rows.dtype))
    return edited


def _require_plain(model: Model) -> None:
    if model.quantization:
        raise ModelError(
            f"{model.name} is packed ({model.quantization}): a direction cannot be taken out of "
            "packed weights. Open it without quantization, or take it out while it runs."
        )
    entry = model.architecture
    if "neuron" not in entry.taps or not (entry.adds_up("head") and entry.adds_up("neuron")):
        raise SiteError(
            f"{entry.family}: what its matrices write reaches the residual stream through a norm "
            "or a choice of experts, so no edit of weights takes a direction out. Take it out "
            "while the model runs (steering.removing)."
        )


def _untied(model: Model) -> "nn.Module":
    """A copy of the network whose unembedding has weights of its own."""
    network = copy.deepcopy(model.network)
    head = network.get_output_embeddings()
    embedding = network.get_submodule(model.architecture.embedding)
    if head is not None and head.weight is embedding.weight:
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        network.config.tie_word_embeddings = False
    return network


def _tables(model: Model) -> list[Tensor]:
    """The tables of vectors that are added up before the first layer: of tokens, of positions."""
    found = [each for each in _outside_layers(model) if isinstance(each, nn.Embedding)]
    return [each.weight for each in found]


def _outside_layers(model: Model) -> list[nn.Module]:
    inside = set(model.layers.modules())
    return [each for each in model.network.modules() if each not in inside]


def _take_out(matrix: Tensor, unit: Float[Tensor, " width"], dim: int) -> None:
    """Remove the part along a unit vector, in float64, from the axis that is the stream's."""
    wide = matrix.double().movedim(dim, -1)
    wide = wide - (wide @ unit)[..., None] * unit
    matrix.copy_(wide.movedim(-1, dim).to(matrix.dtype))


def _take_out_of(projection: nn.Module, unit: Float[Tensor, " width"]) -> None:
    weight, bias = projection.weight, getattr(projection, "bias", None)
    assert isinstance(weight, Tensor)
    # Conv1D (GPT-2) stores its weight the other way round
    _take_out(weight, unit, dim=0 if hasattr(projection, "in_features") else 1)
    if isinstance(bias, Tensor):
        _take_out(bias, unit, dim=0)


def _scale(model: Model, unit: Float[Tensor, " width"]) -> float:
    """How many times the embedding enters the stream: families scale it, and not all in one place.

    Measured: one token's embedding is moved along the direction and the stream is read.
    """
    rows = model.network.get_submodule(model.architecture.embedding).weight
    assert isinstance(rows, Tensor)
    batch, site = collate(model, from_ids([[0]])), Site("resid_pre", 0)
    kept = rows[0].clone()
    before = record(model, batch, [site]).values[site][0, -1].double()
    step = float(kept.double().norm()) or 1.0
    rows[0] += (step * unit).to(rows.dtype)
    after = record(model, batch, [site]).values[site][0, -1].double()
    rows[0] = kept
    return float((after - before) @ unit) / step
