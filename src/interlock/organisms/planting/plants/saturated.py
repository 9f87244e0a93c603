"""A chain whose mover's attention is all on one token or all on another, far from any middle."""

from types import MappingProxyType

from interlock.organisms.planting.parts import Head
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.plants.chain import CHAIN

SATURATED = Plant(
    name="saturated",
    description="A chain whose mover's attention is saturated: its gradient is nearly nothing.",
    units=CHAIN.units,
    # every object says the same, so that only where the mover attends tells it about harm
    parts=MappingProxyType(
        {
            **CHAIN.parts,
            "mover": Head(
                (("object", 1.0),),
                (("moved", 1.0),),
                looks=(("detected", 1.0), ("begin", 0.5)),
                sharpness=30.0,
            ),
        }
    ),
    model=CHAIN.model,
    edges=CHAIN.edges,
)
