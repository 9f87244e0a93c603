"""Edits along directions: taking them out of the residual stream, or putting them in.

Affine edits set the coordinate to a mean of prompts (harmless to remove, harmful to add), apart for
each residual stream and each token of the template, and while a reply is generated to the mean of
the replies to those prompts: held at the last prompt token's mean instead, models repeat their
first words. Plain ones are those of Arditi et al. (2024,
arXiv:2406.11717, section 2.4): project to zero in every stream, or add the vector at the stream
where it was read.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interlock.activations import record, reference
from interlock.batching import in_batches
from interlock.direction import Direction
from interlock.edits import Edit, add, project
from interlock.encoding import Encoded, collate
from interlock.means import Reference
from interlock.model import Model, Shape
from interlock.sites import Site

Variant = Literal["affine", "plain"]


def stream_sites(shape: Shape) -> tuple[Site, ...]:
    """The places that together hold the residual stream: before, within and after the layers."""
    kinds = [kind for kind in ("resid_pre", "resid_mid") if kind in shape.kinds]
    inside = [Site(kind, layer) for layer in range(shape.layers) for kind in kinds]
    return (*inside, Site("resid_post", shape.layers - 1))


def hookpoints(model: Model) -> dict[Site, str]:
    """The modules, named below the base model, whose output is each stream between layers.

    For `direction.steered`: what lies within a layer has no module of its own to hook.
    """
    _, _, layers = model.architecture.layers.partition(".")
    _, _, embedding = model.architecture.embedding.partition(".")
    last = model.shape.layers - 1
    found = {Site("resid_pre", 0): embedding}
    found |= {Site("resid_pre", at): f"{layers}.{at - 1}" for at in range(1, last + 1)}
    return found | {Site("resid_post", last): f"{layers}.{last}"}


def coordinates(
    of: Reference, units: Float[np.ndarray, "direction width"], streams: Sequence[Site]
) -> Float[np.ndarray, "direction stream place"]:
    """Mean coordinate along unit vectors in every stream, at every place of a reference."""
    means = np.stack([of.means[site][0].float().numpy(force=True) for site in streams])
    return np.einsum("spw,dw->dsp", means.astype(np.float64), units.astype(np.float64))


def with_replies(
    model: Model,
    rows: Sequence[Encoded],
    said: Sequence[str],
    sites: Sequence[Site],
    *,
    name: str,
    size: int = 32,
) -> Reference:
    """Mean of each site over prompts, with the mean over the tokens of their replies as last place.

    Without a token of any reply the last place is that of the prompts' last token.

    Raises:
        ContrastError: the prompts are of different templates, or there are none.
    """
    over = reference(model, rows, sites, name=name, size=size)
    summed: dict[Site, Tensor] = {}
    counted: list[int] = []

    def add_up(part: Sequence[tuple[Encoded, int]]) -> Sequence[tuple[Encoded, int]]:
        batch = collate(model, [row for row, _ in part])
        found = record(model, batch, sites)
        last = torch.tensor([count for _, count in part], device=batch.ids.device)
        from_end = torch.arange(batch.ids.shape[1], 0, -1, device=batch.ids.device)
        inside = from_end[None] <= last[:, None]
        sums = {site: found.values[site][inside].float().sum(dim=0) for site in sites}
        for site, total in sums.items():
            summed[site] = summed[site] + total if site in summed else total
        counted.extend(count for _, count in part)
        return part

    longer = [_continued(model, row, text) for row, text in zip(rows, said, strict=True)]
    in_batches([each for each in longer if each[1]], size, add_up)
    means = {}
    for site, value in over.means.items():
        reply = (summed[site] / sum(counted))[None, None] if counted else value[:, -1:]
        means[site] = torch.cat([value, reply], dim=1)
    return Reference(f"{name} and replies to them", means, over.head, over.n)


def levels_of(
    model: Model, rows: Sequence[Encoded], direction: Direction, *, name: str, size: int = 32
) -> tuple[Float[np.ndarray, "direction stream place"], int]:
    """Mean coordinates over texts without replies, and how many opening tokens those have.

    Raises:
        ContrastError: the texts are of different templates, or there are none.
    """
    found = with_replies(model, rows, [""] * len(rows), direction.streams, name=name, size=size)
    return coordinates(found, direction.units, direction.streams), found.head


def removing(
    direction: Direction,
    *,
    variant: Variant = "affine",
    levels: Float[np.ndarray, "direction stream place"] | None = None,
    head: int | None = None,
) -> list[Edit]:
    """Take a direction, or the space of several, out of every residual stream, at every token.

    Args:
        direction: what to take out.
        variant: affine leaves the harmless mean's coordinate there; plain leaves zero.
        levels: other mean coordinates than the harmless prompts' own (for other texts).
        head: how many places of `levels` are opening tokens.
    """
    basis, mixing = _orthonormal(direction)
    given = direction.harmless if levels is None else levels
    along = np.einsum("nd,dsp->nsp", mixing, given)
    first = direction.head if head is None else head
    edits = []
    for place, site in enumerate(direction.streams):
        edits += [project(site, axis, onto=0.0) for axis in basis]
        if variant == "affine":
            edits += _raised(site, basis, along[:, place], first)
    return edits


def inducing(
    direction: Direction, *, variant: Variant = "affine", strength: float = 1.0
) -> list[Edit]:
    """Put a direction in at the stream where it was read, at every token and decoding step.

    Args:
        direction: of one vector.
        variant: affine sets the coordinate to the harmful mean's, plain adds the vector.
        strength: how far: times the way from the harmless to the harmful mean, times the vector.
    """
    assert len(direction.names) == 1
    site = direction.site.at("all")
    if variant == "plain":
        vector = torch.from_numpy(direction.vectors[0])
        return [add(site, (vector * strength)[None, None], during="always")]
    unit = torch.from_numpy(direction.units)
    place = direction.streams.index(site)
    low, high = direction.harmless[:, place], direction.harmful[:, place]
    level = low + strength * (high - low)
    return [project(site, unit[0], onto=0.0), *_raised(site, unit, level, direction.head)]


def exchanging(
    site: Site,
    unit: Float[np.ndarray, " width"],
    values: Float[Tensor, "example position width"],
) -> list[Edit]:
    """Give each row the coordinate along a unit vector that `values` have at a site."""
    axis = torch.from_numpy(unit).to(values.device, torch.float32)
    along = (values.float() @ axis)[..., None] * axis
    return [
        project(site, axis, onto=0.0, during="prompt"),
        add(site, along, source="coordinate of the other prompt"),
    ]


def _orthonormal(
    direction: Direction,
) -> tuple[Float[Tensor, "axis width"], Float[np.ndarray, "axis direction"]]:
    """An orthonormal basis of the vectors' space, and each axis as a mixture of unit vectors."""
    units = direction.units.astype(np.float64)
    if len(units) == 1:
        return torch.from_numpy(units).float(), np.ones((1, 1))
    basis, triangle = np.linalg.qr(units.T)
    mixing = np.linalg.inv(triangle).T
    return torch.from_numpy(basis.T).float(), mixing


def _raised(
    site: Site,
    basis: Float[Tensor, "axis width"],
    levels: Float[np.ndarray, "axis place"],
    head: int,
) -> list[Edit]:
    """Add a level along every axis: each place of the template its own, replies theirs."""
    value = (torch.from_numpy(levels).float().T @ basis)[None]
    said = "mean coordinate"
    return [
        Edit(site, "add", value[:, :-1], source=said, during="prompt", head=head),
        Edit(site, "add", value[:, -1:], source=said, during="reply"),
    ]


def _continued(model: Model, row: Encoded, said: str) -> tuple[Encoded, int]:
    """A prompt with its reply's tokens behind it, and how many these are."""
    if not said:
        return row, 0
    assert model.tokenizer is not None
    tokens = model.tokenizer.encode(said, add_special_tokens=False)
    return Encoded(row.id, (*row.ids, *tokens), row.head, row.tail), len(tokens)
