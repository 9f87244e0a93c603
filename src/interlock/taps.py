"""Attaching functions to the places where sites are read and written; always taken off again."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from interlock.architectures import Tap
from interlock.model import Model

Place = tuple[str, int]
Watcher = Callable[[Tensor], Tensor | None]


@contextmanager
def attached(model: Model, watchers: Mapping[Place, Watcher]) -> Iterator[None]:
    """Call each watcher with its place's tensor [example token width] in every forward pass.

    A watcher that returns a tensor replaces the value. Hooks are removed on leaving, also after an
    exception.
    """
    handles = []
    try:
        for (kind, layer), watcher in watchers.items():
            module, tap = model.tap(kind, layer)
            handles.append(_attach(module, tap, watcher))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _attach(module: nn.Module, tap: Tap, watcher: Watcher) -> Any:  # noqa: ANN401 - torch handle
    if tap.side == "input":

        def before(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
            if args:
                value = watcher(args[0])
                return None if value is None else ((value, *args[1:]), kwargs)
            value = watcher(kwargs["hidden_states"])
            return None if value is None else (args, kwargs | {"hidden_states": value})

        return module.register_forward_pre_hook(before, with_kwargs=True)

    def after(_: nn.Module, __: tuple, output: Any) -> Any:  # noqa: ANN401
        if isinstance(output, tuple):
            value = watcher(output[0])
            return None if value is None else (value, *output[1:])
        return watcher(output)

    return module.register_forward_hook(after)
