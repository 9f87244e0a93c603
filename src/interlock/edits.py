"""Writing: set, add, zero, mean, resample, project or scale sites; always restored.

Values are [example position width] where the first two axes may be 1, and are right-aligned with a
site's positions; a value with fewer positions than the site is stretched by repeating its leftmost.
So one vector acts everywhere. A mean over prompts of one template is stretched in the middle
instead: opening tokens, the user's text, closing tokens each get their own (`Reference`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from interlock.encoding import Batch
from interlock.means import Reference
from interlock.model import Model
from interlock.sites import Site
from interlock.taps import Place, written

During = Literal["prompt", "always", "reply"]
Value = Float[Tensor, "example position width"]


@dataclass(frozen=True, eq=False)
class Edit:
    """One change at one site.

    Attributes:
        site: where.
        action: set to `value`; add `value`; scale by `factor`; or project out the unit vector
            `value`, leaving the coordinate `factor` along it.
        value: right-aligned [example position width]; None for scale.
        factor: of scale and project.
        source: where the value comes from, in words.
        during: on prompt tokens only, on every generated token as well, or on generated ones only.
        head: how many of the value's positions are aligned with the prompt's first tokens.
    """

    site: Site
    action: Literal["set", "add", "scale", "project"]
    value: Value | None = None
    factor: float = 1.0
    source: str = ""
    during: During = "prompt"
    head: int = 0


def put(site: Site, value: Value, *, source: str = "given", during: During = "prompt") -> Edit:
    """Set a site to a value."""
    return Edit(site, "set", value, source=source, during=during)


def add(site: Site, value: Value, *, source: str = "given", during: During = "prompt") -> Edit:
    """Add a value to a site."""
    return Edit(site, "add", value, source=source, during=during)


def zero(site: Site, *, during: During = "prompt") -> Edit:
    """Set a site to zero."""
    return scale(site, 0.0, during=during)


def scale(site: Site, factor: float, *, during: During = "prompt") -> Edit:
    """Multiply a site by a factor. Equals: `zero` when the factor is 0."""
    return Edit(site, "scale", None, factor, f"times {factor:g}", during)


def mean(site: Site, of: Reference) -> Edit:
    """Set a site's prompt positions to its mean over a named reference set."""
    head = of.head if site.position == "all" else 0
    return Edit(site, "set", of.means[site], source=f"mean of {of.n} {of.name}", head=head)


def resample(site: Site, values: Value, rows: Sequence[int], *, source: str) -> Edit:
    """Set a site to what other prompts had there: row i takes row `rows[i]` of `values`."""
    return Edit(site, "set", values[list(rows)], source=f"resampled from {source}")


def project(
    site: Site,
    direction: Float[Tensor, " width"],
    *,
    onto: float = 0.0,
    during: During = "always",
) -> Edit:
    """Replace the coordinate along a direction by `onto` (affine; 0 removes the direction).

    Source: Arditi et al. (2024, section 2.4) for 0; Marshall et al. (2024,
    https://arxiv.org/abs/2411.09003) for the harmless mean. Equals: the identity when `onto` is the
    coordinate that is already there.
    """
    unit = direction / direction.norm()
    return Edit(site, "project", unit[None, None], onto, "direction", during)


@contextmanager
def edited(model: Model, edits: Sequence[Edit], batch: Batch) -> Iterator[None]:
    """Apply edits in every forward pass of `batch`, or of what is generated from it.

    Which tokens a pass sees is read from its `position_ids`, so prompt, cached and generated tokens
    are told apart without counting steps. Edits of one place act in the order given. Nothing of the
    model is changed and the hooks are removed on leaving, also after an exception.

    Raises:
        SiteError: the model has no such site.
        ContrastError: no row has a site's position.
    """
    for edit in edits:
        model.check(edit.site)
    span = _Span(batch)
    groups: dict[Place, list[_Placed]] = {}
    for edit in edits:
        placed = _Placed(edit, span, model.shape.columns(edit.site))
        groups.setdefault((edit.site.kind, edit.site.layer), []).append(placed)
    writers = {place: partial(_apply, group) for place, group in groups.items()}
    handle = model.network.register_forward_pre_hook(span.observe, with_kwargs=True)
    try:
        with written(model, writers):
            yield
    finally:
        handle.remove()


class _Span:
    """Which tokens of a batch's rows the current pass runs over."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        device = batch.ids.device
        self.lengths = torch.tensor([len(row.ids) for row in batch.rows], device=device)
        self.ends = self.lengths - 1
        self.tokens = batch.ids.shape[1]
        self.decoding = False

    def observe(self, _: object, __: tuple, kwargs: dict[str, Any]) -> None:
        positions = kwargs.get("position_ids")
        assert positions is not None, "pass position_ids: edits are placed by them"
        assert len(positions) == len(self.lengths), "this batch has other rows than the edits'"
        self.ends, self.tokens = positions[:, -1], positions.shape[1]
        self.decoding = bool((self.ends >= self.lengths).all())

    def columns(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Columns of absolute positions in this pass, and which of them it has."""
        column = self.tokens - 1 - (self.ends[:, None] - index)
        inside = (column >= 0) & (column < self.tokens)
        return column.clamp(0, self.tokens - 1), inside


class _Placed:
    """An edit with its columns and positions in a batch worked out."""

    def __init__(self, edit: Edit, span: _Span, columns: slice | list[int]) -> None:
        self.edit, self.span, self.columns = edit, span, columns
        self.where = None
        if edit.site.position != "all":
            self.where = span.batch.positions(edit.site.position)

    def write(self, tensor: Tensor) -> None:
        """Change `tensor` [example token width] in place, where the edit acts in this pass."""
        part, value = tensor[..., self.columns], self.edit.value
        if self.span.decoding:
            if self.edit.during == "prompt":
                return
            new = altered(part, self.edit, None if value is None else value[:, -1:])
        elif self.edit.during == "reply":
            return
        elif self.where is None:
            new = self._changed_everywhere(part)
        else:
            new = self._changed_at(part)
        tensor[..., self.columns] = new

    def _changed_everywhere(self, part: Tensor) -> Tensor:
        batch = self.span.batch
        assert self.span.tokens == batch.ids.shape[1], "edits at @all need the whole prompt at once"
        return altered(part, self.edit, stretched(self.edit, batch))

    def _changed_at(self, part: Tensor) -> Tensor:
        """The slice with only the edit's positions changed."""
        assert self.where is not None
        column, inside = self.span.columns(self.where.index)
        old = part.take_along_dim(column[..., None], dim=1)
        new = altered(old, self.edit, right_aligned(self.edit.value, old.shape[1]))
        keep = inside & self.where.valid
        rows = torch.arange(len(part), device=part.device)[:, None].expand_as(column)
        changed = part.clone()
        changed[rows[keep], column[keep]] = new[keep]
        return changed


def _apply(group: Sequence[_Placed], tensor: Tensor) -> Tensor:
    changed = tensor.clone()
    for placed in group:
        placed.write(changed)
    return changed


def stretched(edit: Edit, batch: Batch) -> Value | None:
    """The value of an edit at `@all`, with one entry (or one in all) per column of a batch."""
    value = edit.value
    if value is None or value.shape[1] == 1:
        return value
    if edit.head == 0 and value.shape[1] == batch.ids.shape[1]:
        return value
    place = batch.places(edit.head, value.shape[1] - edit.head - 1)
    return value.expand(len(place), -1, -1).take_along_dim(place[..., None], dim=1)


def right_aligned(value: Tensor | None, positions: int) -> Tensor | None:
    """The value with as many positions: cut on the left, or its leftmost repeated."""
    if value is None or value.shape[1] in (1, positions):
        return value
    missing = positions - value.shape[1]
    if missing < 0:
        return value[:, -positions:]
    return torch.cat([value[:, :1].expand(-1, missing, -1), value], dim=1)


def altered(old: Tensor, edit: Edit, value: Tensor | None) -> Tensor:
    """The edited form of a slice [example position width]; the value broadcasts against it."""
    if edit.action == "scale":
        return old * edit.factor
    assert value is not None
    value = value.to(old.device, old.dtype)
    if edit.action == "set":
        return value.expand_as(old)
    if edit.action == "add":
        return old + value
    along = (old * value).sum(dim=-1, keepdim=True)
    return old + (edit.factor - along) * value
