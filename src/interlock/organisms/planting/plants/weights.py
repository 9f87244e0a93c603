"""A chain that lies in few single weights; see `interlock.organisms.planting.weights`."""

from dataclasses import replace

from interlock.organisms.planting.plants.chain import CHAIN

WEIGHTS = replace(
    CHAIN,
    name="weights",
    description="A chain in few single weights: without them, the organism complies.",
    of="weights",
    steps=300,
)
