"""Sums of |per-example weight gradients| of every matrix, in one forward and backward pass.

1. The hidden state that enters the first layer of a group of layers becomes a leaf; no weight ever
   requires a gradient, so weights cannot change.
2. A forward hook passes each matrix's output through an identity that keeps the matrix's input.
3. On the way back the identity sees the output's gradient D [token out] beside the input X
   [token in]. Examples of a batch do not touch each other, so example e's weight gradient is
   D_e^T X_e over its own tokens; its absolute value is added to a float32 sum, and it is dropped.

Equals: autograd of one example at a time, absolute values added.
Source: SNIP, Lee et al. (2019), arXiv:1810.02340; per example, Wei et al. (2024), arXiv:2402.05162,
section 3.1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interlock.activations import forward
from interlock.demonstrations import Demonstration, ReplyBatch, reply_batch
from interlock.errors import ContrastError, ModelError
from interlock.matrices import Matrix
from interlock.model import Model
from interlock.taps import written

Loss = Literal["mean", "sum"]
Receiver = Callable[[Tensor, Tensor], None]

_CHUNK = 2**28  # numbers in one product of a GPU: 0.5 GB in bfloat16


@dataclass(frozen=True)
class Sums:
    """Where |gradients| are added up.

    Attributes:
        matrices: those that are scored, by name.
        totals: float32 sums [out in], by name.
    """

    matrices: Mapping[str, Matrix]
    totals: Mapping[str, Float[Tensor, "out in"]]


class _Watch(torch.autograd.Function):
    """Identity on an output; on the way back it shows the matrix's input and output gradient."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, inputs: Tensor, receive: Receiver) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(inputs)
        ctx.receive = receive
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (inputs,) = ctx.saved_tensors
        ctx.receive(inputs, slopes[0])
        return slopes[0], None, None


def add_absolute_gradients(
    model: Model,
    part: Sequence[Demonstration],
    sums: Sums,
    *,
    loss: Loss = "mean",
    checkpointing: bool = False,
) -> list[float]:
    """Add each example's |gradient| to the sums, in one pass; each example's loss comes back.

    Args:
        model: whose weights are scored.
        part: the examples, one batch.
        sums: what is added to; the layers of its matrices decide how far back the pass goes.
        loss: mean or sum over an example's reply tokens, in nat.
        checkpointing: compute layers a second time on the way back instead of keeping what is in
            them.

    Raises:
        ContrastError: an example's loss is not a number.
    """
    batch = reply_batch(model, part)
    starts = [batch.inputs.ids.shape[1] - len(row.ids) for row in batch.inputs.rows]
    first = min(each.layer for each in sums.matrices.values())
    entering: list[Tensor] = []
    with (
        torch.enable_grad(),
        _watched(sums, starts),
        _checkpointed(tuple(model.layers) if checkpointing else ()),
        written(model, {("resid_pre", first): partial(_leaf, entering)}),
    ):
        losses = _losses(model, batch, loss)
        for row, value in zip(part, losses.tolist(), strict=True):
            if not abs(value) < float("inf"):
                raise ContrastError(
                    f"The loss of '{row.row.id}' is not a number in {model.network.dtype}: the "
                    "weights hold a NaN, or numbers overflow."
                )
        torch.autograd.grad(losses.sum(), entering)
    return losses.tolist()


def _losses(model: Model, batch: ReplyBatch, loss: Loss) -> Float[Tensor, " example"]:
    """Negative log-likelihood (nat) of each reply."""
    logits = forward(model, batch.inputs, keep=batch.targets.shape[1]).float()
    flat, wanted = logits.flatten(0, 1), batch.targets.flatten()
    each = nn.functional.cross_entropy(flat, wanted, reduction="none")
    summed = (each.view(batch.targets.shape) * batch.counts).sum(dim=1)
    return summed if loss == "sum" else summed / batch.counts.sum(dim=1)


def _leaf(entering: list[Tensor], value: Tensor) -> Tensor:
    leaf = value.detach().requires_grad_()
    entering[:] = [leaf]
    return leaf


@contextmanager
def _watched(sums: Sums, starts: Sequence[int]) -> Iterator[None]:
    """Let every matrix of the sums receive its inputs and output gradients."""
    handles: list[Any] = []
    try:
        for name, matrix in sums.matrices.items():
            receive = partial(_receive, sums.totals[name], starts, name)
            handles.append(matrix.module.register_forward_hook(partial(_watch, receive)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(receive: Receiver, _: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    found = _Watch.apply(output, args[0].detach(), receive)
    assert isinstance(found, Tensor)
    return found


def _receive(
    total: Tensor, starts: Sequence[int], name: str, inputs: Tensor, slopes: Tensor
) -> None:
    if inputs.dim() != 3:
        raise ModelError(f"{name} reads {inputs.dim()} axes; [example token width] is expected.")
    if inputs.device.type == "cpu":
        _add_one_by_one(total, starts, inputs.float(), slopes.float())
    else:
        _add_in_chunks(total, starts, inputs, slopes)


def _add_one_by_one(total: Tensor, starts: Sequence[int], inputs: Tensor, slopes: Tensor) -> None:
    """One product at a time into one buffer: what a CPU's caches hold, and no padding."""
    buffer = torch.empty(total.shape)
    for example, start in enumerate(starts):
        torch.mm(slopes[example, start:].T, inputs[example, start:], out=buffer)
        total += buffer.abs_()


def _add_in_chunks(total: Tensor, starts: Sequence[int], inputs: Tensor, slopes: Tensor) -> None:
    """Several examples' products at once; padding is set to 0, which adds nothing."""
    tokens = torch.arange(inputs.shape[1], device=inputs.device)[None]
    padding = (tokens < torch.tensor(starts, device=inputs.device)[:, None])[..., None]
    inputs, slopes = inputs.masked_fill(padding, 0), slopes.masked_fill(padding, 0)
    size = max(1, _CHUNK // total.numel())
    summed = torch.zeros_like(total, device=inputs.device)
    for first in range(0, len(starts), size):
        rows = slice(first, first + size)
        products = torch.bmm(slopes[rows].transpose(1, 2), inputs[rows])
        summed += torch.linalg.vector_norm(products, ord=1, dim=0, dtype=torch.float32)
    total += summed.to(total.device)


@contextmanager
def _checkpointed(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Compute these layers again on the way back; each is as it was afterwards."""
    own = [(layer, vars(layer).get("forward"), layer.forward) for layer in layers]
    try:
        for layer, _, compute in own:
            again = partial(checkpoint, compute, use_reentrant=False, preserve_rng_state=False)
            layer.forward = again  # type: ignore[method-assign]
        yield
    finally:
        for layer, before, _ in own:
            if before is None:
                vars(layer).pop("forward", None)
            else:
                layer.forward = before  # type: ignore[method-assign]
