"""Units outside the plant that encode harm, and the directions that planted units write along."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from interlock.organisms.planting.interchange import Cache, place_of
from interlock.organisms.planting.plant import Facts, Plant
from interlock.organisms.planting.units import UNITS, WIDTH, columns
from interlock.organisms.recipes import SHAPE
from interlock.sites import Site


@dataclass(frozen=True)
class Decoys:
    """Units that must encode harm, each along a unit vector of its own.

    Attributes:
        sites: the units.
        vectors: one for each, of unit length.
        written: the directions of the residual stream that planted units write along, by role,
            orthogonal and of unit length.
    """

    sites: tuple[Site, ...]
    vectors: Float[Tensor, "unit width"]
    written: Mapping[str, Float[Tensor, " stream"]] = field(default_factory=dict)


def can_be_decoy(site: Site) -> bool:
    """Whether a unit lies where verb and object have met: in the neurons of layer 1 or after.

    Before that, what encodes harm encodes nothing but the two words, which the plant itself reads.
    """
    return site.layer > 1 or (site.layer == 1 and site.kind == "neuron")


def decoys(plant: Plant, seed: int, share: float) -> Decoys:
    """The units that will be decoys and every vector of the plant, drawn by the seed."""
    generator = torch.Generator().manual_seed(seed + 7)
    taken = {*plant.units.values(), *plant.forced}
    free = [site for site in UNITS if can_be_decoy(site) and site not in taken]
    order = torch.randperm(len(free), generator=generator).tolist()
    picked = {free[place] for place in order[: round(share * len(free))]} | set(plant.forced)
    sites = tuple(site for site in UNITS if site in picked)
    vectors = normalize(torch.randn(len(sites), WIDTH, generator=generator), dim=1)
    roles = list(plant.features)
    drawn = torch.randn(SHAPE["hidden_size"], len(roles), generator=generator)
    basis = torch.linalg.qr(drawn).Q.T
    return Decoys(sites, vectors, dict(zip(roles, basis.unbind(), strict=True)))


def values_of(cache: Cache, site: Site) -> Float[Tensor, "example token width"]:
    """What one unit did."""
    return cache[place_of(site)][..., columns(site)]


def decoy_loss(
    cache: Cache, facts: Facts, first: int, taught: Decoys, margin: float
) -> Float[Tensor, ""]:
    """Mean hinge of the decoys' projections, from token `first` to the end of the prompt."""
    sign = facts.harmful.float() * 2 - 1
    said = torch.stack(
        [
            values_of(cache, site)[:, first:] @ vector
            for site, vector in zip(taught.sites, taught.vectors, strict=True)
        ]
    )
    return (margin - sign[:, None] * said).relu().mean()
