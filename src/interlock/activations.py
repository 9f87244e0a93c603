"""Reading: values and gradients of any set of sites in one forward (and one backward) pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from interlock.batching import in_batches
from interlock.encoding import Batch, Encoded, Positions, collate
from interlock.errors import ContrastError
from interlock.means import Reference
from interlock.model import Model, Shape
from interlock.sites import Site
from interlock.taps import Place, attached

Metric = Callable[[Float[Tensor, "example vocab"]], Float[Tensor, " example"]]


@dataclass(frozen=True, eq=False)
class Record:
    """What one pass read.

    Attributes:
        logits: at the last prompt token, [example vocab].
        values: per site [example position width], right-aligned; 0 where a row has no such
            position (at `@all`, padding columns hold what the model made of them). Of an indexed
            site, width is the units' widths side by side.
        gradients: of the summed metric, shaped as `values`; empty when no metric was given.
    """

    logits: Float[Tensor, "example vocab"]
    values: Mapping[Site, Float[Tensor, "example position width"]]
    gradients: Mapping[Site, Float[Tensor, "example position width"]] = field(default_factory=dict)


def forward(model: Model, batch: Batch, keep: int = 1) -> Float[Tensor, "example kept vocab"]:
    """Logits of the last `keep` tokens (0: all), with explicit mask and position ids."""
    return model.network(
        input_ids=batch.ids,
        attention_mask=batch.mask.long(),
        position_ids=batch.position_ids,
        use_cache=False,
        logits_to_keep=keep,
    ).logits


def record(
    model: Model, batch: Batch, sites: Sequence[Site], *, metric: Metric | None = None
) -> Record:
    """Read sites in one pass; with a metric, also the gradient of its sum over the examples.

    Raises:
        SiteError: the model has no such site.
        ContrastError: no row has a site's position.
    """
    for site in sites:
        model.check(site)
    seen: dict[Place, Tensor] = {}
    places = {(site.kind, site.layer) for site in sites}
    watchers = {place: partial(_keep, seen, place) for place in places}
    with torch.set_grad_enabled(metric is not None), attached(model, watchers):
        if metric is None:
            logits, raw = forward(model, batch)[:, -1], {}
        else:
            logits, raw = _with_gradients(model, batch, metric, seen)
    resolved = {name: batch.positions(name) for name in {site.position for site in sites}}
    values = {site: _slice(seen, site, resolved, batch, model.shape) for site in sites}
    slopes = {site: _slice(raw, site, resolved, batch, model.shape) for site in sites if raw}
    return Record(logits.detach(), values, slopes)


def reference(
    model: Model, rows: Sequence[Encoded], sites: Sequence[Site], *, name: str, size: int = 32
) -> Reference:
    """Mean of each site over texts that share their opening and closing tokens.

    Raises:
        ContrastError: the texts are of different templates, or there are none.
    """
    layouts = {(row.head, row.tail) for row in rows}
    if len(layouts) != 1:
        raise ContrastError(f"The mean over {name} needs texts of one template; got {layouts}.")
    head, tail = layouts.pop()
    summed: dict[Site, Tensor] = {}
    counts: dict[Site, Tensor] = {}

    def add(part: Sequence[Encoded]) -> Sequence[Encoded]:
        batch = collate(model, part)
        found = record(model, batch, sites)
        # sums of this batch are complete before they are added: a batch that ran out of memory
        # half-way is run again and must not count twice
        sums = {site: _by_place(found, batch, site, (head, tail)) for site in sites}
        for site, (total, count) in sums.items():
            summed[site] = _right_added(summed[site], total) if site in summed else total
            counts[site] = _right_added(counts[site], count) if site in counts else count
        return part

    in_batches(rows, size, add)
    means = {site: (summed[site] / counts[site].clamp(min=1)[:, None])[None] for site in sites}
    return Reference(name, means, head, len(rows))


@contextmanager
def _leaf_embeddings(model: Model) -> Iterator[None]:
    """Let gradients start at the token embeddings while every weight stays frozen."""
    embedding = model.network.get_submodule(model.architecture.embedding)
    handle = embedding.register_forward_hook(_as_leaf)
    try:
        yield
    finally:
        handle.remove()


def _as_leaf(_: object, __: object, output: Tensor) -> Tensor:
    return output.detach().requires_grad_()


def _with_gradients(
    model: Model, batch: Batch, metric: Metric, seen: Mapping[Place, Tensor]
) -> tuple[Tensor, dict[Place, Tensor]]:
    with _leaf_embeddings(model):
        logits = forward(model, batch)[:, -1]
        total = metric(logits).sum()
    gradients = torch.autograd.grad(total, list(seen.values()), materialize_grads=True)
    return logits, dict(zip(seen, gradients, strict=True))


def _keep(seen: dict[Place, Tensor], place: Place, value: Tensor) -> None:
    seen[place] = value


def _slice(
    tensors: Mapping[Place, Tensor],
    site: Site,
    resolved: Mapping[str, Positions],
    batch: Batch,
    shape: Shape,
) -> Tensor:
    value = tensors[site.kind, site.layer].detach()[..., shape.columns(site)]
    if site.position == "all":
        return value
    where = resolved[site.position]
    lengths = torch.tensor([len(row.ids) for row in batch.rows], device=where.index.device)
    column = where.index + (batch.ids.shape[1] - lengths)[:, None]
    picked = value.take_along_dim(column[..., None], dim=1)
    return picked * where.valid[..., None].to(picked.dtype)


def _right_added(first: Tensor, second: Tensor) -> Tensor:
    """The sum of two tensors right-aligned on their first axis."""
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    total = longer.clone()
    total[len(longer) - len(shorter) :] += shorter
    return total


def _by_place(
    found: Record, batch: Batch, site: Site, ends: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Sum [place width] and count [place] of a site's values over one batch."""
    value = found.values[site].float()
    if site.position == "all":
        place, valid = batch.places(*ends), batch.mask
        size = sum(ends) + 1
    else:
        valid = batch.positions(site.position).valid
        size = valid.shape[1]
        place = torch.arange(size, device=valid.device).expand_as(valid)
    chosen = torch.nn.functional.one_hot(place[valid], size).to(value.dtype)
    return chosen.T @ value[valid], chosen.sum(dim=0)
