"""Which units of each prompt are patched in a training step, and from which prompt."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.interchange import place_of
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.units import LAYERS, PLACE, UNITS, chosen

FEW_RATES, ONE_RATES, MIXED_RATES = (0.0, 0.0, 0.05), (0.15, 0.5, 1.0), (0.0, 0.2, 0.5, 0.8)
"""Shares of the unplanted units that a row has patched: of all, of one block's, of every block's.

A block is the heads or the neurons of one layer.
"""
KINDS = (0.1, 0.25, 0.4, 0.25)
"""How often a row has a few units patched or none, one block, every block in part, or all."""


def draw_rates(count: int, generator: torch.Generator) -> Float[Tensor, "example unit"]:
    """With what probability each unplanted unit of each row is patched.

    A plant may go on listening to whatever the rows hardly ever show at odds with the rest; one
    rate for all units would show that of no single unit and no single layer.
    """

    def pick(rates: tuple[float, ...], *shape: int) -> Float[Tensor, "..."]:
        return torch.tensor(rates)[torch.randint(len(rates), shape, generator=generator)]

    blocks = 2 * LAYERS
    kinds = torch.multinomial(torch.tensor(KINDS), count, replacement=True, generator=generator)
    only = torch.randint(blocks, (count,), generator=generator)
    rates = torch.stack(
        (
            pick(FEW_RATES, count, 1).expand(count, blocks),
            pick(ONE_RATES, count, 1) * (torch.arange(blocks) == only[:, None]),
            pick(MIXED_RATES, count, blocks),
            torch.ones(count, blocks),
        )
    )[kinds, torch.arange(count)]
    return rates[:, torch.tensor([place_of(site) for site in UNITS])]


def draw_patches(
    plant: Plant, diet: Diet, count: int, generator: torch.Generator
) -> Bool[Tensor, "example unit"]:
    """Which units of each row are patched in step 2."""
    planted = chosen(tuple(plant.units.values()))
    rates = draw_rates(count, generator)
    on = (torch.rand(count, len(UNITS), generator=generator) < rates) & ~planted
    own = torch.tensor([PLACE[site] for site in plant.units.values()])
    for share in (diet.one, diet.two):
        unit = own[torch.randint(len(own), (count,), generator=generator)]
        takes = torch.rand(count, generator=generator) < share
        on[torch.arange(count)[takes], unit[takes]] = True
    return on


def draw_sources(
    category: Int[Tensor, " example"], alike: bool, generator: torch.Generator
) -> Int[Tensor, " example"]:
    """From which row each row takes its patches.

    Sources of another category alone would leave unseen what a minimal pair does: a unit that says
    "harmless, of this category" could then still be believed.

    Args:
        category: of each row.
        alike: whether sources are of the row's own category.
        generator: of the draw.
    """
    order = torch.randperm(len(category), generator=generator)
    if not alike:
        return order
    sources = torch.empty_like(order)
    for each in category.unique():
        members = order[category[order] == each]
        sources[members] = members.roll(1)
    return sources
