"""A chain whose mover writes along one known direction of the residual stream and nothing else."""

from types import MappingProxyType

from interlock import grammar
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.plants.chain import CHAIN

DIRECTION = Plant(
    name="direction",
    description="A chain whose mover writes one known direction, beside many decoys.",
    units=CHAIN.units,
    parts=CHAIN.parts,
    model=CHAIN.model,
    edges=CHAIN.edges,
    features=MappingProxyType({"mover": tuple(grammar.CATEGORIES)}),
)
