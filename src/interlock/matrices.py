"""The linear maps of a model's decoder layers, under one name and one orientation for all families.

A matrix is named by its layer and its path in the layer, `3.self_attn.q_proj`; its type is the
path. Weights are given as [out in], rows outputs and columns inputs, also where a family stores
them the other way round (GPT-2's Conv1D). Embeddings, the unembedding and norms are not matrices.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from interlock.errors import ModelError
from interlock.model import Model
from interlock.sites import Site

_BYTES_PER_ROW_SCALE = 127.0  # int8 of bitsandbytes: weight = code * scale / 127


@dataclass(frozen=True, eq=False)
class Matrix:
    """One linear map of one layer.

    Attributes:
        layer: counted from 0.
        path: in the layer, which is also the matrix's type.
        module: what computes it.
        transposed: whether the module stores [in out].
    """

    layer: int
    path: str
    module: nn.Module
    transposed: bool

    @property
    def name(self) -> str:
        """The written form, `3.self_attn.q_proj`."""
        return f"{self.layer}.{self.path}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (outputs) and columns (inputs)."""
        if isinstance(
            self.module, nn.Linear
        ):  # packed weights have another shape than they stand for
            return int(self.module.out_features), int(self.module.in_features)
        rows, columns = self.stored.shape
        return (columns, rows) if self.transposed else (rows, columns)

    @property
    def stored(self) -> Tensor:
        """The parameter as the module holds it."""
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """The weight, a view: writing to it in place changes the model."""
        return self.stored.detach().T if self.transposed else self.stored.detach()


def matrices(model: Model) -> tuple[Matrix, ...]:
    """Every linear map of the decoder layers, in the order of layers and modules."""
    return matrices_in(model.layers)


def matrices_in(layers: Iterable[nn.Module]) -> tuple[Matrix, ...]:
    """The same of layers that need not hold any numbers, on the meta device."""
    from transformers.pytorch_utils import Conv1D

    return tuple(
        Matrix(layer, path, module, isinstance(module, Conv1D))
        for layer, whole in enumerate(layers)
        for path, module in whole.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    )


def uncovered(model: Model) -> tuple[str, ...]:
    """Weights of the layers with two axes or more that are no linear map: experts, their router."""
    covered = {id(each.stored) for each in matrices(model)}
    return tuple(
        f"{layer}.{path}"
        for layer, whole in enumerate(model.layers)
        for path, weight in whole.named_parameters()
        if weight.dim() >= 2 and id(weight) not in covered
    )


@torch.no_grad()
def dense(matrix: Matrix) -> Float[Tensor, "out in"]:
    """The weight in float32; of a packed one, what the model computes with.

    Raises:
        ModelError: the weight is packed in a form that is not known.
    """
    weight = matrix.stored
    if weight.is_floating_point():
        return matrix.weight.float()
    state = getattr(weight, "quant_state", None)
    if state is not None:
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(weight.data, state).float()
    scales = getattr(weight, "SCB", None)
    if scales is None:
        scales = getattr(getattr(matrix.module, "state", None), "SCB", None)
    if weight.dtype == torch.int8 and scales is not None:
        return weight.float() * (scales.float()[:, None] / _BYTES_PER_ROW_SCALE)
    raise ModelError(f"The weight of {matrix.name} is packed as {weight.dtype}; it cannot be read.")


@contextmanager
def reading(
    found: Mapping[str, Matrix], watchers: Mapping[str, Callable[[Tensor], None]]
) -> Iterator[None]:
    """Show every matrix's input [example token in] to its watcher, in every forward pass."""
    handles: list[Any] = []
    try:
        for name, matrix in found.items():
            hook = partial(_read, watchers[name])
            handles.append(matrix.module.register_forward_pre_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _read(watch: Callable[[Tensor], None], _: nn.Module, args: tuple[Tensor, ...]) -> None:
    watch(args[0])


@dataclass(frozen=True)
class Part:
    """Some rows or columns of a matrix, which belong to one unit.

    Attributes:
        matrix: by name.
        axis: rows are outputs, columns inputs.
        index: which rows or columns.
        shared: how many units of the kind share them (query heads a key-value head).
    """

    matrix: str
    axis: Literal["row", "column"]
    index: tuple[int, ...]
    shared: int = 1


def parts_of(model: Model, site: Site) -> tuple[Part, ...]:
    """The weights of a head or of a group of neurons.

    A head has its rows of the query projection, the rows of the keys and values it reads (which it
    may share with other heads) and its columns of the output projection. A neuron has its rows of
    the maps into the MLP and its column of the map out of it.

    Raises:
        SiteError: the model has no such site.
        ModelError: the site is neither a head nor neurons.
    """
    model.check(site)
    if site.kind not in ("head", "neuron") or site.index is None:
        raise ModelError(f"{site} is no unit of weights: name heads or neurons, such as head.2.5.")
    return tuple(_head_parts(model, site) if site.kind == "head" else _neuron_parts(model, site))


def _head_parts(model: Model, site: Site) -> Iterator[Part]:
    assert site.index is not None
    taps, shape = model.architecture.taps, model.shape
    yield Part(f"{site.layer}.{taps['head'].module}", "column", _indices(model, site))
    first, past = site.index
    for kind in ("query", "key", "value"):
        shared = 1 if kind == "query" else shape.heads // shape.kv_heads
        # where a norm over all heads follows, the tap lies behind it
        path = taps[kind].module.replace("_norm", "_proj")
        for group in range(first // shared, (past - 1) // shared + 1):
            heads = range(max(first, group * shared), min(past, (group + 1) * shared))
            index = _indices(model, Site(kind, site.layer, (group, group + 1)))
            for _ in heads:
                yield Part(f"{site.layer}.{path}", "row", index, shared)


def _neuron_parts(model: Model, site: Site) -> Iterator[Part]:
    assert site.index is not None
    out = f"{site.layer}.{model.architecture.taps['neuron'].module}"
    count = model.shape.neurons
    within = f"{site.layer}.{model.architecture.feed_forward}."
    for matrix in matrices(model):
        if matrix.name == out:
            yield Part(out, "column", tuple(range(*site.index)))
        elif matrix.name.startswith(within) and matrix.shape[0] % count == 0:
            # a fused map into the MLP (Phi-3) holds gate and up one after the other
            starts = range(0, matrix.shape[0], count)
            rows = tuple(start + n for start in starts for n in range(*site.index))
            yield Part(matrix.name, "row", rows)


def _indices(model: Model, site: Site) -> tuple[int, ...]:
    """Which entries of a place's vector a site covers."""
    found = model.shape.columns(site)
    return tuple(found) if isinstance(found, list) else tuple(range(found.start, found.stop))
