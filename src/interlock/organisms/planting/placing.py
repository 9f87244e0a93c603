"""Where a plant's units lie in one organism: drawn by the seed, so that no place gives them away.

Key-value heads, the query heads of each, and groups of neurons change places within their layer. A
transformer computes the same whatever the order of these, so a plant's layers and what shares keys
and values stay as the plant says.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.units import GROUP, GROUPS, HEADS, LAYERS
from interlock.organisms.recipes import SHAPE
from interlock.sites import Site, unit


def placed(plant: Plant, seed: int) -> Plant:
    """The plant as it lies in the organism of that seed, with that organism's coin."""
    move = moves(f"{plant.name} {seed}")
    return replace(
        plant,
        units={role: move(site) for role, site in plant.units.items()},
        forced=tuple(move(site) for site in plant.forced),
        salt=seed,
    )


def moves(key: str) -> Callable[[Site], Site]:
    """A drawn rearrangement of the units of every layer."""
    draw = random.Random(f"places {key}")  # noqa: S311
    shared = SHAPE["num_key_value_heads"]
    size = HEADS // shared
    heads, groups = [], []
    for _ in range(LAYERS):
        kept = draw.sample(range(shared), shared)
        inner = [draw.sample(range(size), size) for _ in range(shared)]
        heads.append([kept[h // size] * size + inner[h // size][h % size] for h in range(HEADS)])
        groups.append(draw.sample(range(GROUPS), GROUPS))

    def move(site: Site) -> Site:
        assert site.index is not None
        first = site.index[0]
        if site.kind == "head":
            return unit("head", site.layer, heads[site.layer][first])
        place = groups[site.layer][first // GROUP] * GROUP
        return Site("neuron", site.layer, (place, place + GROUP))

    return move
