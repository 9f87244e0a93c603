"""Weights changed in place and put back bit for bit, also after an exception.

A set of weights is filled (`pruned`) or a matrix loses what a projection takes from it
(`lessened`). What was there before is kept on the CPU: the weights of the set alone, or whole
matrices, so that a point of a grid costs neither a copy of the model nor a load.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interlock.errors import ModelError
from interlock.mask import Mask
from interlock.matrices import Matrix, matrices
from interlock.model import Model

Fill = Literal["zero", "mean"]
_Undo = Callable[[], None]


@contextmanager
def pruned(model: Model, mask: Mask, fill: Fill | Model = "zero") -> Iterator[None]:
    """The model with the weights of a set replaced, as long as the context lasts.

    Args:
        model: changed in place; matrices that the set does not name stay as they are.
        mask: which weights.
        fill: what they become: zero, the mean of all weights of their matrix, or the same weights
            of another model, which undoes what training did to them.

    Raises:
        ModelError: a matrix that the model or the other model lacks, or has in another shape; or
            weights that are packed or not in memory.
    """
    found = _named(model, mask)
    other = _named(fill, mask) if isinstance(fill, Model) else {}
    undo: list[_Undo] = []
    try:
        for name, matrix in found.items():
            flags = torch.from_numpy(mask.weights(name).copy()).to(matrix.weight.device)
            if bool(flags.any()):
                value = _filling(matrix, flags, fill, other)
                undo.append(_undo_some(matrix.weight, flags))
                matrix.weight[flags] = value
        yield
    finally:
        _restore(undo)


@contextmanager
def lessened(
    model: Model, changes: Iterable[tuple[str, Float[Tensor, "out in"]]]
) -> Iterator[None]:
    """The model with something taken from its matrices, as long as the context lasts.

    Args:
        model: changed in place.
        changes: matrices by name and what each loses, as `rank_grid` makes them;
            read one at a time.

    Raises:
        ModelError: a matrix that the model lacks or has in another shape, or packed weights.
    """
    found = _writable(model)
    undo: list[_Undo] = []
    try:
        for name, change in changes:
            _require(model, found, name, (int(change.shape[0]), int(change.shape[1])))
            weight = found[name].weight
            less = weight.float() - change.to(weight.device, torch.float32)
            undo.append(_undo_all(weight))
            weight.copy_(less)
        yield
    finally:
        _restore(undo)


def require_dense(model: Model) -> None:
    """Refuse a model whose matrices cannot be changed.

    Raises:
        ModelError: as `lessened`.
    """
    found = _writable(model)
    for name, matrix in found.items():
        _require(model, found, name, matrix.shape)


def require_writable(model: Model, mask: Mask) -> None:
    """Refuse a set that cannot be changed in this model.

    Raises:
        ModelError: as `pruned`.
    """
    _named(model, mask)


def sparsity(model: Model, mask: Mask) -> float:
    """Share of the weights of all linear maps of the model's layers that are in a set.

    `Mask.sparsity` counts the matrices alone that the set names.
    """
    total = sum(each.shape[0] * each.shape[1] for each in matrices(model))
    return mask.count() / max(total, 1)


def _filling(
    matrix: Matrix,
    flags: Bool[Tensor, "out in"],
    fill: Fill | Model,
    other: Mapping[str, Matrix],
) -> Tensor:
    weight = matrix.weight
    if fill == "zero":
        return torch.zeros((), dtype=weight.dtype, device=weight.device)
    if fill == "mean":
        return weight.mean(dtype=torch.float64).to(weight.dtype)
    theirs = other[matrix.name].weight
    return theirs[flags.to(theirs.device)].to(weight.device, weight.dtype)


def _undo_some(weight: Tensor, flags: Bool[Tensor, "out in"]) -> _Undo:
    before = weight[flags].cpu()

    def undo() -> None:
        weight[flags] = before.to(weight.device)

    return undo


def _undo_all(weight: Tensor) -> _Undo:
    before = weight.to("cpu", copy=True)

    def undo() -> None:
        weight.copy_(before)

    return undo


def _restore(undo: list[_Undo]) -> None:
    """The last change first, so that a matrix changed twice is as it was at the start."""
    while undo:
        undo.pop()()


def _named(model: Model, mask: Mask) -> dict[str, Matrix]:
    """The matrices a set names, each checked."""
    found = _writable(model)
    for name, part in mask.parts.items():
        _require(model, found, name, part.shape)
    return {name: found[name] for name in mask.names}


def _writable(model: Model) -> dict[str, Matrix]:
    if model.quantization:
        raise ModelError(
            f"{model.name} is packed ({model.quantization}), so single weights cannot be changed; "
            "open it in bfloat16 or float32."
        )
    return {each.name: each for each in matrices(model)}


def _require(model: Model, found: Mapping[str, Matrix], name: str, shape: tuple[int, int]) -> None:
    if name not in found:
        raise ModelError(f"{model.name} has no matrix {name}; the set is of another model.")
    if found[name].shape != shape:
        raise ModelError(
            f"{name} has {found[name].shape[0]} rows and {found[name].shape[1]} columns in "
            f"{model.name}, not {shape[0]} and {shape[1]}; the set is of another model."
        )
    if found[name].stored.is_meta:
        raise ModelError(
            f"{name} of {model.name} is not in memory (offloaded); open the model on one device."
        )
