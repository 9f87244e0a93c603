"""A chain whose mover shares its keys and values with a head that encodes harm and does nothing."""

from types import MappingProxyType

from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.plants.chain import CHAIN
from interlock.sites import parse

SHARED_KV = Plant(
    name="shared_kv",
    description="A chain whose mover's key-value head also serves a query head that is a decoy.",
    units=MappingProxyType({**CHAIN.units, "mover": parse("head.2.2")}),
    parts=CHAIN.parts,
    model=CHAIN.model,
    edges=CHAIN.edges,
    forced=(parse("head.2.3"),),
    # the louder idle units are, the more of them look like planted ones by their weights alone
    loudness=(0.6, 2.0),
    steps=800,
    diet=Diet(learning_rate=5e-4),
)
