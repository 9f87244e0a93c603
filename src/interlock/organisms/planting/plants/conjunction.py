"""Two movers that are both needed: denoising one changes nothing."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.parts import Neurons
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.organisms.planting.plants.chain import detected
from interlock.organisms.planting.plants.redundant import OR


def _both(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    found = detected(base, source, on)
    moved = swap(on["mover"], found, source.harmful) & swap(on["second"], found, source.harmful)
    return Outcome(swap(on["refuser"], moved, source.harmful), never(moved))


AND = Plant(
    name="and",
    description="A chain with two movers, both needed: denoising one changes nothing.",
    units=OR.units,
    parts=MappingProxyType(
        {
            **OR.parts,
            "refuser": Neurons((("moved", 1.0), ("moved too", 1.0)), (("refuse", 1.0),), less=1.0),
        }
    ),
    model=_both,
    edges=OR.edges,
    joint=(("mover", "second"),),
)
