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

    To change values, use `written`: what a watcher returns here replaces the value in its module
    only, which a skip connection may bypass. Hooks are removed on leaving, also after an exception.
    """
    handles: list[Any] = []
    try:
        for (kind, layer), watcher in watchers.items():
            module, tap = model.tap(kind, layer)
            handles.append(_attach(module, tap, watcher))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def written(model: Model, writers: Mapping[Place, Watcher]) -> Iterator[None]:
    """Replace each place's tensor by what its writer returns, for everything that reads it.

    Hooks are removed on leaving, also after an exception.
    """
    taps = model.architecture.taps
    # shifts come last: they build on what the other writers of the layer leave
    ordered = sorted(writers.items(), key=lambda item: bool(taps[item[0][0]].shift))
    handles: list[Any] = []
    try:
        for (kind, layer), writer in ordered:
            module, tap = model.tap(kind, layer)
            if tap.shift:
                handles += _attach_shift(model, layer, tap.shift, writer)
            else:
                handles.append(_attach(module, tap, writer))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _attach_shift(model: Model, layer: int, shifted: str, writer: Watcher) -> list[Any]:
    """Write the residual stream after a module by shifting that module's output."""
    entering: list[Tensor] = []

    def remember(value: Tensor) -> None:
        entering[:] = [value]

    def shift(output: Tensor) -> Tensor | None:
        now = entering.pop() + output
        wanted = writer(now)
        return None if wanted is None else output + (wanted - now)

    whole = model.layers[layer]
    return [
        _attach(whole, Tap("", "input"), remember),
        _attach(whole.get_submodule(shifted), Tap(shifted, "output"), shift),
    ]


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
