"""Adding up over the two halves of a set, batch by batch, within the memory there is.

Batches hold examples of like lengths. What sums and a batch take is estimated before anything is
run. Out of memory all the same begins the half again with smaller batches, since a batch may have
been added in part.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from interlock.demonstrations import Demonstration, Demonstrations
from interlock.errors import InterlockError, ModelError
from interlock.matrices import Matrix
from interlock.memory import in_words, look
from interlock.model import Model

log = logging.getLogger("interlock")

Totals = dict[str, Tensor]
Work = Callable[[Sequence[Demonstration], Totals], object]

_TOKENS = 512  # read at once on a CPU, where larger products are no faster
_EXAMPLES = 32  # read at once on a GPU, at most
_ROOM = 0.5  # share of the free memory that a batch may take
_EACH_OUTPUT = 3.0  # numbers kept per token and output of a matrix: itself, its gradient, between
_EACH_LOGIT = 12.0  # bytes per logit: itself, its gradient, between, in float32


@dataclass(frozen=True)
class Plan:
    """How a set is gone through.

    Attributes:
        batch: examples at once.
        groups: layers of each group, which has a pass of its own.
        working: where sums are added up.
        final: where they are kept afterwards.
    """

    batch: int
    groups: tuple[range, ...]
    working: torch.device
    final: torch.device


def planned(
    model: Model,
    found: Mapping[str, Matrix],
    taught: Demonstrations,
    *,
    batch: int = 0,
    groups: int = 1,
    keep: str = "device",
    checkpointing: bool = False,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Plan:
    """A plan that fits in memory, by estimate.

    Args:
        model: that is gone through.
        found: matrices with a sum each.
        taught: the set.
        batch: examples at once; 0 chooses by length and memory.
        groups: of layers.
        keep: `device` (the model's) or `cpu`.
        checkpointing: whether one layer's activations are held at a time.
        shapes: of each sum, where they are not the matrices' own.

    Raises:
        InterlockError: there are fewer layers than groups.
        ModelError: it does not fit.
    """
    layers = model.shape.layers
    if not 1 <= groups <= layers or batch < 0:
        raise InterlockError(
            f"groups={groups}, batch={batch}: {model.name} has {layers} layers to be grouped (1 to "
            f"{layers}), and a batch has 1 example or more (0 chooses)."
        )
    each = -(-layers // groups)
    spans = tuple(range(first, min(first + each, layers)) for first in range(0, layers, each))
    final = torch.device("cpu") if keep == "cpu" else model.device
    working = final if groups == 1 else model.device
    one = _batch_bytes(model, found, taught, layers=1 if checkpointing else layers)
    free = look(model.device).free
    size = batch or _batch_size(model, taught, one, free)
    each_shape = (shapes or {name: matrix.shape for name, matrix in found.items()}).values()
    sums = [4 * len(taught.halves) * prod(shape) for shape in each_shape]
    needed = size * one + 2 * max(sums)
    if final == model.device:
        needed += sum(sums)
    elif working == model.device:
        needed += sum(sums) // groups
    _require(model.name, needed, free, model.device)
    if final != model.device:
        _require(model.name, sum(sums), look(final).free, final)
    return Plan(size, spans, working, final)


def add_up(
    taught: Demonstrations,
    shapes: Mapping[str, tuple[int, ...]],
    plan: Plan,
    work: Work,
) -> Totals:
    """What `work` adds up over each half: by name, a tensor with the half first.

    Args:
        taught: the set.
        shapes: of each sum.
        plan: batch and devices.
        work: adds a batch of examples to the sums it is given.

    Raises:
        ModelError: a single example does not fit in memory.
    """
    halves = len(taught.halves)
    totals = {
        name: torch.zeros((halves, *shape), device=plan.working) for name, shape in shapes.items()
    }
    for number, half in enumerate(taught.halves):
        _over(half, plan.batch, {name: total[number] for name, total in totals.items()}, work)
    return {name: total.to(plan.final) for name, total in totals.items()}


def _over(half: Sequence[Demonstration], size: int, totals: Totals, work: Work) -> None:
    rows = sorted(half, key=lambda each: len(each.row.ids))
    while True:
        try:
            for first in range(0, len(rows), size):
                work(rows[first : first + size], totals)
            return
        except (torch.OutOfMemoryError, MemoryError):
            if size == 1:
                raise ModelError(
                    "Out of memory with a single example in the batch. Use more groups of layers, "
                    "checkpointing=true, keep=cpu or model.dtype=bfloat16."
                ) from None
        size //= 2
        log.warning("Out of memory; beginning again with %d examples at once.", size)
        for total in totals.values():
            total.zero_()


def _batch_size(model: Model, taught: Demonstrations, one: int, free: int) -> int:
    """Examples at once: as many as make products large, and fit."""
    wanted = _TOKENS // _lengths(taught)[0] if model.device.type == "cpu" else _EXAMPLES
    return max(1, min(wanted, int(free * _ROOM) // one))


def _batch_bytes(
    model: Model, found: Mapping[str, Matrix], taught: Demonstrations, *, layers: int
) -> int:
    """Bytes that the pass over one example holds, roughly: outputs of some layers, and logits."""
    tokens, replied = _lengths(taught)
    outputs = sum(matrix.shape[0] for matrix in found.values()) * layers / model.shape.layers
    held = _EACH_OUTPUT * outputs * tokens * model.network.dtype.itemsize
    return max(1, int(held + _EACH_LOGIT * replied * model.shape.vocab))


def _lengths(taught: Demonstrations) -> tuple[int, int]:
    """Tokens of the longest example, and of the longest reply."""
    every = [each for half in taught.halves for each in half]
    return max(len(d.row.ids) for d in every), max(len(d.targets) for d in every)


def _require(name: str, needed: int, free: int, device: torch.device) -> None:
    if needed <= free:
        return
    raise ModelError(
        f"Scores of {name} do not fit in memory: about {in_words(needed)} are needed beside the "
        f"weights, {in_words(free)} are free on {device}. Use halves=false (half of the sums), "
        "keep=cpu with groups=4 (on a GPU), checkpointing=true or a smaller batch."
    )
