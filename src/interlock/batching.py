"""Splitting work into batches; out of memory halves the batch, goes on, and says so."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from interlock.errors import InterlockError

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger("interlock")


def in_batches(
    items: Sequence[Item], size: int, compute: Callable[[Sequence[Item]], Sequence[Result]]
) -> list[Result]:
    """`compute` over batches of at most `size` items, one result per item, in order.

    Raises:
        InterlockError: a single item does not fit in memory.
    """
    results: list[Result] = []
    while len(results) < len(items):
        batch = items[len(results) : len(results) + size]
        try:
            results.extend(compute(batch))
        except (torch.OutOfMemoryError, MemoryError):
            size = _smaller(len(batch))
    return results


def _smaller(size: int) -> int:
    if size == 1:
        raise InterlockError(
            "Out of memory with a single prompt in the batch. Use a smaller model, a device with "
            "more memory, or model.dtype=bfloat16."
        ) from None
    half = size // 2
    log.warning("Out of memory with %d prompts at once; going on with %d.", size, half)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return half
