"""One pass in which rows join where they first differ from the kept run.

A row that is edited in layer l holds before it what the kept run held: it joins the running rows as
they reach layer l. Columns before the first edit are read from the kept keys and values and not run
again. In the last layer only the last column matters: its attention output and MLP are computed for
that column alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from interlock.lens import lens
from interlock.replay.keeping import Heard, Kept, attention_of, listening, remembering
from interlock.replay.placing import Placed
from interlock.taps import Place, Watcher, attached, written


@dataclass(frozen=True, eq=False)
class Row:
    """One edited run of one prompt.

    Attributes:
        variant: number of the set of edits.
        example: number of the prompt in the kept batch.
        edits: those that change anything.
        first: first column that they change.
        depth: layers that it shares with the kept run.
    """

    variant: int
    example: int
    edits: tuple[Placed, ...]
    first: int
    depth: int


@dataclass(frozen=True)
class _Stretch:
    """Rows side by side under the same edit.

    Attributes:
        edit: the edit.
        rows: their numbers in the running batch.
        examples: the prompt of each.
    """

    edit: Placed
    rows: slice
    examples: tuple[int, ...]

    def write(self, tensor: Tensor, tokens: int) -> None:
        self.edit.write(tensor, self.rows, self.examples, tokens)


@torch.no_grad()
def run(kept: Kept, rows: Sequence[Row]) -> Float[Tensor, "row vocab"]:
    """Logits of rows ordered by depth, at the last column."""
    first = min(row.first for row in rows)
    examples = [row.example for row in rows]
    calls = _Calls(kept, examples, first)
    stretches = _stretches(rows)
    joins = _joins(rows, len(kept.streams))
    stream, count = None, 0
    for depth in range(rows[0].depth, len(kept.streams)):
        final = depth == len(kept.calls)
        if final and stream is not None:
            stream = stream[:, -1:]
        column = kept.tokens - 1 if final else first
        if joins[depth] > count:
            fresh = _picked(kept.streams[depth], examples[count : joins[depth]])
            fresh = fresh[:, column - kept.since :]
            stream = fresh.clone() if stream is None else torch.cat([stream, fresh])
        assert stream is not None
        count = joins[depth]
        for stretch in stretches.get(("stream", depth), ()):
            stretch.write(stream, kept.tokens)
        if not final:
            stream = _layer(kept, depth, stream, calls, stretches)
    assert stream is not None
    return lens(kept.model, stream)[:, -1]


def _layer(
    kept: Kept,
    depth: int,
    stream: Tensor,
    calls: "_Calls",
    stretches: Mapping[Place, Sequence[_Stretch]],
) -> Tensor:
    """What leaves a layer that the running rows enter."""
    model, layer = kept.model, kept.model.layers[depth]
    writers: dict[Place, Watcher] = {
        place: partial(_write, found, kept.tokens)
        for place, found in stretches.items()
        if place[1] == depth and place[0] != "stream"
    }
    args, kwargs = calls.of(depth, len(stream))
    cache = calls.prefix(depth, len(stream))
    with ExitStack() as hooks:
        hooks.enter_context(remembering(attention_of(model, layer), cache, calls.causal))
        if depth == len(kept.calls) - 1 and stream.shape[1] > 1:
            hooks.enter_context(_last_column_only(kept, depth))
        hooks.enter_context(written(model, writers))
        output = layer(stream, *args, **kwargs)
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def _last_column_only(kept: Kept, depth: int) -> Iterator[None]:
    """Narrow what the heads are mixed from, and what the MLP reads, to the last column.

    Keys and values are made of all columns before that. The skip connections repeat the one column;
    the other columns that come out are meaningless and not used.
    """
    model = kept.model
    feed_forward = model.layers[depth].get_submodule(model.architecture.feed_forward)
    with attached(model, {("head", depth): _narrowed}), listening(feed_forward, _narrowed_input):
        yield


def _narrowed(value: Tensor) -> Tensor:
    return value[:, -1:]


def _narrowed_input(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    if args:
        return (_narrowed(args[0]), *args[1:]), kwargs
    return args, kwargs | {"hidden_states": _narrowed(kwargs["hidden_states"])}


def _write(stretches: Sequence[_Stretch], tokens: int, tensor: Tensor) -> Tensor:
    new = tensor.clone()
    for stretch in stretches:
        stretch.write(new, tokens)
    return new


def _joins(rows: Sequence[Row], depths: int) -> list[int]:
    """How many rows have joined by each depth."""
    counts = [0] * depths
    for row in rows:
        counts[row.depth] += 1
    for depth in range(1, depths):
        counts[depth] += counts[depth - 1]
    return counts


def _stretches(rows: Sequence[Row]) -> dict[Place, list[_Stretch]]:
    """By place (those on the stream between two layers under `stream`), in the order of action."""
    groups: dict[int, list[int]] = {}
    edits: dict[int, Placed] = {}
    for number, row in enumerate(rows):
        for edit in row.edits:
            groups.setdefault(id(edit), []).append(number)
            edits[id(edit)] = edit
    found: dict[Place, list[_Stretch]] = {}
    for key, numbers in groups.items():
        edit = edits[key]
        for start, past in _side_by_side(numbers):
            examples = tuple(row.example for row in rows[start:past])
            stretch = _Stretch(edit, slice(start, past), examples)
            site = edit.edit.site
            place = (site.kind, site.layer)
            if site.kind in ("resid_pre", "resid_post"):
                place = ("stream", edit.depth)
            found.setdefault(place, []).append(stretch)
    for place, group in found.items():
        if place[0] == "stream":  # what leaves a layer is changed before what enters the next
            group.sort(key=lambda each: each.edit.edit.site.kind == "resid_pre")
    return found


def _side_by_side(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = numbers[0]
    for before, after in zip(numbers, (*numbers[1:], None), strict=True):
        if after != before + 1:
            yield start, before + 1
            if after is not None:
                start = after


class _Prefix:
    """A layer's cache that is read only: the kept columns before the rows' own."""

    def __init__(self, heard: Heard, examples: Sequence[int], columns: int) -> None:
        self.heard, self.examples, self.columns = heard, examples, columns

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple:
        """Kept and new keys and values [row head token width]; nothing is stored."""
        if self.columns == 0:
            return keys, values
        return self._joined(self.heard.keys, keys), self._joined(self.heard.values, values)

    def _joined(self, kept: Tensor | None, new: Tensor) -> Tensor:
        assert kept is not None
        before = _picked(kept[:, :, : self.columns], self.examples)
        return torch.cat([before.to(new.device), new], dim=2)


class _Calls:
    """The kept layers' arguments, cut to the rows and columns of a pass."""

    def __init__(self, kept: Kept, examples: Sequence[int], first: int) -> None:
        self.kept, self.examples, self.first = kept, examples, first
        self.cut_before: dict[int, Any] = {}

    def of(self, depth: int, rows: int) -> tuple[tuple, dict]:
        """Arguments after the hidden states, for the first `rows` rows."""
        call = self.kept.calls[depth]
        args = tuple(_first(self._cut(value), rows) for value in call.args)
        return args, {name: _first(self._cut(value), rows) for name, value in call.kwargs.items()}

    def prefix(self, depth: int, rows: int) -> _Prefix:
        """The cache of a layer for the first `rows` rows."""
        return _Prefix(self.kept.caches[depth], self.examples[:rows], self.first)

    @cached_property
    def causal(self) -> Tensor | None:
        """The mask that sdpa makes itself when the queries are all columns; none for the last."""
        tokens = self.kept.tokens
        if self.first == tokens - 1:
            return None
        full = torch.ones(tokens, tokens, dtype=torch.bool, device=self.kept.batch.ids.device)
        return full.tril()[None, None, self.first :]

    def _cut(self, value: Any) -> Any:  # noqa: ANN401
        # most layers share their arguments
        if id(value) not in self.cut_before:
            self.cut_before[id(value)] = self._cut_now(value)
        return self.cut_before[id(value)]

    def _cut_now(self, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, tuple | list):
            return tuple(self._cut_now(each) for each in value)
        if isinstance(value, dict):
            return {name: self._cut_now(each) for name, each in value.items()}
        if not isinstance(value, Tensor):
            return value
        tokens = self.kept.tokens
        if value.dim() == 4 and value.shape[-2:] == (tokens, tokens):
            return self._of_rows(value[:, :, self.first :])
        if value.dim() in (2, 3) and value.shape[1] == tokens:
            return self._of_rows(value[:, self.first :])
        if value.dim() == 1 and len(value) == tokens:
            return value[self.first :]
        return value

    def _of_rows(self, value: Tensor) -> Tensor:
        return value if len(value) == 1 else _picked(value, self.examples)  # one row serves all


def _first(value: Any, rows: int) -> Any:  # noqa: ANN401
    if isinstance(value, Tensor):
        return value if value.dim() < 2 or len(value) == 1 else value[:rows]
    if isinstance(value, tuple):
        return tuple(_first(each, rows) for each in value)
    if isinstance(value, dict):
        return {name: _first(each, rows) for name, each in value.items()}
    return value


def _picked(value: Tensor, examples: Sequence[int]) -> Tensor:
    """The rows of these prompts."""
    if len(value) == 1:
        return value.expand(len(examples), *value.shape[1:])
    index = torch.tensor(examples, device=value.device)
    return value.index_select(0, index)
