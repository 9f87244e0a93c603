"""Which columns of which rows an edit changes, and with what: edits worked out for a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interlock.edits import Edit, altered, right_aligned, stretched
from interlock.replay.keeping import Kept

_FAR_REACHING = ("resid_pre", "key", "value")  # in the last layer: read from other columns


@dataclass(frozen=True, eq=False)
class Placed:
    """An edit of one kept run.

    Attributes:
        edit: what is done.
        depth: layers that the run has behind it when the edit can act first.
        first: per example the first column it changes; the number of columns where it changes none.
        span: first and past-last column, the same in every row; None where rows differ.
        index: else the columns [example position], right-aligned.
        valid: which of them there are.
        value: right-aligned with span or index [example position width], both may be 1.
        units: columns of the place's tensor.
    """

    edit: Edit
    depth: int
    first: tuple[int, ...]
    span: tuple[int, int] | None
    index: Tensor | None
    valid: Tensor | None
    value: Tensor | None
    units: slice | list[int]

    def write(self, tensor: Tensor, rows: slice, examples: Sequence[int], tokens: int) -> None:
        """Change some rows of `tensor` [row column width], whose columns are a run's last ones."""
        value = self._value_of(examples, tensor)
        if self.span is None:
            self._write_ragged(tensor, rows, examples, value, tokens)
            return
        # counted from the end: the tensor may hold the last columns only
        first, past = self.span
        start = max(first - tokens, -tensor.shape[1])
        where = slice(start, past - tokens or None)
        if value is not None and value.shape[1] > 1:
            value = value[:, start + tokens - first :]
        old = tensor[rows, where, self.units]
        tensor[rows, where, self.units] = altered(old, self.edit, value)

    def _write_ragged(
        self,
        tensor: Tensor,
        rows: slice,
        examples: Sequence[int],
        value: Tensor | None,
        tokens: int,
    ) -> None:
        assert self.index is not None and self.valid is not None
        column = self.index[list(examples)] - tokens
        row, place = (self.valid[list(examples)] & (column >= -tensor.shape[1])).nonzero().T
        columns = (column[row, place] + tensor.shape[1]).to(tensor.device)
        part = tensor[rows]  # a view
        units = part[..., self.units]
        picked = (row.to(tensor.device), columns)
        if value is not None:
            wide = value.expand(len(examples), column.shape[1], -1)
            value = wide[picked[0], place.to(tensor.device)][:, None]
        units = units.clone()
        units[picked] = altered(units[picked][:, None], self.edit, value)[:, 0]
        part[..., self.units] = units

    def _value_of(self, examples: Sequence[int], like: Tensor) -> Tensor | None:
        if self.value is None:
            return None
        value = self.value.to(like.device, like.dtype)
        if len(value) == 1:
            return value
        if list(examples) == list(range(examples[0], examples[0] + len(examples))):
            return value[examples[0] : examples[0] + len(examples)]
        return value[list(examples)]


@dataclass(frozen=True, eq=False)
class _Columns:
    """The columns that a named position covers.

    Attributes:
        span: as in `Placed`.
        index: as in `Placed`, of any position but `all`.
        valid: likewise.
        first: per example the first of them that is not shared; the number of columns if none is.
        last: the same where only the last column counts.
    """

    span: tuple[int, int] | None
    index: Tensor | None
    valid: Tensor | None
    first: tuple[int, ...]
    last: tuple[int, ...]


class Placing:
    """Works out edits for one kept run; what a named position covers is worked out once.

    Args:
        kept: the run.
        shared: per prompt how many first tokens hold already what the edits would set.
    """

    def __init__(self, kept: Kept, shared: Sequence[int]) -> None:
        self.kept = kept
        self.pads = [kept.tokens - len(row.ids) for row in kept.batch.rows]
        self.known = [pad + count for pad, count in zip(self.pads, shared, strict=True)]
        self.found: dict[str, _Columns] = {}

    def place(self, edit: Edit) -> Placed:
        """An edit's columns and values.

        Raises:
            SiteError: the model has no such site.
            ContrastError: no row has the site's position.
        """
        site, shape = edit.site, self.kept.model.shape
        self.kept.model.check(site)
        if site.position not in self.found:
            self.found[site.position] = self._columns(site.position)
        columns = self.found[site.position]
        last_only = site.layer == shape.layers - 1 and site.kind not in _FAR_REACHING
        if columns.index is None:
            value = stretched(edit, self.kept.batch)
        else:
            value = right_aligned(edit.value, columns.index.shape[1])
        return Placed(
            edit=edit,
            depth=site.layer + (site.kind == "resid_post"),
            first=columns.last if last_only else columns.first,
            span=columns.span,
            index=columns.index,
            valid=columns.valid,
            value=value,
            units=shape.columns(site),
        )

    def _columns(self, name: str) -> _Columns:
        tokens = self.kept.tokens
        if name == "all":
            first = tuple(self.known)
            last = tuple(max(start, tokens - 1) for start in first)
            return _Columns((0, tokens), None, None, first, last)
        where = self.kept.batch.positions(name)
        index = where.index.cpu() + torch.tensor(self.pads)[:, None]
        valid = where.valid.cpu()
        counted = valid & (index >= torch.tensor(self.known)[:, None])
        first = torch.where(counted, index, tokens).min(dim=1).values
        last = torch.where(counted & (index == tokens - 1), index, tokens).min(dim=1).values
        return _Columns(
            _span(index, valid), index, valid, tuple(first.tolist()), tuple(last.tolist())
        )


def _span(index: Tensor, valid: Tensor) -> tuple[int, int] | None:
    """First and past-last column, where all rows have the same ones side by side."""
    first = index[0]
    same = bool(valid.all()) and bool((index == first).all())
    if not same or not bool((first[1:] - first[:-1] == 1).all()):
        return None
    return int(first[0]), int(first[-1]) + 1
