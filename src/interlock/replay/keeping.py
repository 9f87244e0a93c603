"""An unpatched run, kept so that edited runs can begin in its middle.

One ordinary forward pass. Kept are what entered every layer, the keys and values of every layer
(after norms and rotation, of all columns, so that a layer with a sliding window needs nothing of
its own: its mask is kept too), and the other arguments of every layer.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from interlock.activations import Record, record
from interlock.encoding import Batch
from interlock.memory import room
from interlock.model import Model
from interlock.sites import Site

_CACHES = ("past_key_values", "layer_past")  # what attention modules call their cache
_MASKED = ("sdpa", "eager")  # implementations that take a mask of any shape


class Heard:
    """A cache that keeps what it is given and hands it back: of one layer, in one pass."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple:
        """Keep keys and values [example head token width]."""
        self.keys, self.values = keys.detach(), values.detach()
        return keys, values


@dataclass(frozen=True)
class Call:
    """How a layer was called, apart from what entered it.

    Attributes:
        args: positional arguments after the hidden states.
        kwargs: the others.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Kept:
    """A run without edits, as far as edited ones share it.

    Attributes:
        model: the model that ran.
        batch: the prompts.
        record: the sites asked for, and the logits.
        since: first column of `streams`.
        streams: what entered each layer, and last what left the last one [example column width].
        calls: each layer's other arguments.
        caches: each layer's keys and values of all columns.
        room: bytes that a chunk of edited rows may take.
        slow: why edits of this run need a full pass each; empty where they do not.
    """

    model: Model
    batch: Batch
    record: Record
    since: int
    streams: tuple[Float[Tensor, "example column width"], ...]
    calls: tuple[Call, ...]
    caches: tuple[Heard, ...]
    room: int = 0
    slow: str = ""

    @property
    def tokens(self) -> int:
        """Columns of the batch."""
        return self.batch.ids.shape[1]


@torch.no_grad()
def keep(model: Model, batch: Batch, sites: Sequence[Site] = (), *, since: int = 0) -> Kept:
    """Run a batch once without edits, read sites on the way, and keep what `replay` needs.

    Args:
        model: the model.
        batch: the prompts.
        sites: read into `record`, as by `activations.record`.
        since: no edit will act before this column; less is kept then.

    Raises:
        SiteError: the model has no such site.
        ContrastError: no row has a site's position.
    """
    slow = _unable(model)
    if slow:
        return Kept(model, batch, record(model, batch, sites), since, (), (), (), slow=slow)
    streams: list[Tensor] = []
    calls: list[Call] = []
    caches = tuple(Heard() for _ in model.layers)
    with ExitStack() as hooks:
        for layer, cache in zip(model.layers, caches, strict=True):
            hooks.enter_context(listening(layer, partial(_hear, streams, calls, since)))
            hooks.enter_context(remembering(attention_of(model, layer), cache))
        last = model.layers[-1].register_forward_hook(partial(_end, streams, since))
        hooks.callback(last.remove)
        found = record(model, batch, sites)
    if any(cache.keys is None for cache in caches):
        slow = "its attention keeps no keys and values that others could read"
        return Kept(model, batch, found, since, (), (), (), slow=slow)
    return Kept(
        model, batch, found, since, tuple(streams), tuple(calls), caches, room(model.device)
    )


def attention_of(model: Model, layer: nn.Module) -> nn.Module:
    """A layer's attention module."""
    return layer.get_submodule(model.architecture.attention)


@contextmanager
def remembering(attention: nn.Module, cache: object, mask: Tensor | None = None) -> Iterator[None]:
    """Let an attention module read and write this cache, under this mask if it is given none."""
    handle = attention.register_forward_pre_hook(partial(_given, cache, mask), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def listening(layer: nn.Module, hear: Any) -> Iterator[None]:  # noqa: ANN401 - a torch hook
    """Call a hook with a layer's arguments."""
    handle = layer.register_forward_pre_hook(hear, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _given(
    cache: object, mask: Tensor | None, _: nn.Module, args: tuple, kwargs: dict
) -> tuple[tuple, dict]:
    name = next((each for each in _CACHES if each in kwargs), _CACHES[0])
    given = {name: cache}
    if mask is not None and kwargs.get("attention_mask") is None:
        stream = args[0] if args else kwargs["hidden_states"]
        given["attention_mask"] = mask.to(stream.device)  # layers may lie on several devices
    return args, kwargs | given


def _hear(
    streams: list[Tensor], calls: list[Call], since: int, _: nn.Module, args: tuple, kwargs: dict
) -> None:
    named = "hidden_states" in kwargs
    stream = kwargs["hidden_states"] if named else args[0]
    rest = {name: value for name, value in kwargs.items() if name != "hidden_states"}
    streams.append(_from(stream, since))
    calls.append(Call(args if named else args[1:], rest))


def _end(streams: list[Tensor], since: int, _: nn.Module, __: object, output: Any) -> None:  # noqa: ANN401
    streams.append(_from(output[0] if isinstance(output, tuple) else output, since))


def _from(stream: Tensor, since: int) -> Tensor:
    # a view would hold on to all columns
    return stream.detach()[:, since:].clone() if since else stream.detach()


def _unable(model: Model) -> str:
    """Why this model's runs cannot be entered in the middle; empty where they can."""
    kind = getattr(model.network.config, "_attn_implementation", "eager")
    if kind not in _MASKED:
        return f"attention implementation {kind} takes no mask of our own"
    for number, layer in enumerate(model.layers):
        try:
            attention_of(model, layer)
        except AttributeError:
            return f"layer {number} has no {model.architecture.attention} (linear attention)"
    return ""
