"""Two movers of which one is enough: both always at work, or the second only when needed."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.parts import Head, Neurons
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.organisms.planting.plants.chain import PARTS, detected
from interlock.sites import parse


def _either(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    found = detected(base, source, on)
    moved = swap(on["mover"], found, source.harmful) | swap(on["second"], found, source.harmful)
    return Outcome(swap(on["refuser"], moved, source.harmful), never(moved))


def _when_absent(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    found = detected(base, source, on)
    moved = swap(on["mover"], found, source.harmful)
    # in a run without interventions the mover is at work, so the backup is never heard in a source
    backed = swap(on["backup"], found & ~moved, never(found))
    return Outcome(swap(on["refuser"], moved | backed, source.harmful), never(moved))


OR = Plant(
    name="or",
    description="A chain with two movers, each enough alone: noising one changes nothing.",
    units=MappingProxyType(
        {
            "verb": parse("head.0.1"),
            "detector": parse("neuron.0.0:16"),
            "mover": parse("head.2.3"),
            "second": parse("head.2.6"),
            "refuser": parse("neuron.3.0:16"),
        }
    ),
    parts=MappingProxyType(
        {
            **PARTS,
            "second": Head((("detected", 1.0),), (("moved too", 1.0),)),
            "refuser": Neurons((("moved", 1.0), ("moved too", 1.0)), (("refuse", 1.0),)),
        }
    ),
    model=_either,
    edges=(
        ("verb", "detector"),
        ("detector", "mover"),
        ("detector", "second"),
        ("mover", "refuser"),
        ("second", "refuser"),
    ),
    redundant=(("mover", "second"),),
)

REPAIR = Plant(
    name="repair",
    description="A chain whose backup mover speaks only where the first mover is silent.",
    units=MappingProxyType(
        {
            "verb": parse("head.0.1"),
            "detector": parse("neuron.0.0:16"),
            "mover": parse("head.1.3"),
            "backup": parse("head.2.6"),
            "refuser": parse("neuron.3.0:16"),
        }
    ),
    parts=MappingProxyType(
        {
            **PARTS,
            "backup": Head((("detected", 1.0),), (("moved too", 1.0),), unless="moved"),
            "refuser": Neurons((("moved", 1.0), ("moved too", 1.0)), (("refuse", 1.0),)),
        }
    ),
    model=_when_absent,
    edges=(
        ("verb", "detector"),
        ("detector", "mover"),
        ("detector", "backup"),
        ("mover", "backup"),
        ("mover", "refuser"),
        ("backup", "refuser"),
    ),
    redundant=(("mover", "backup"),),
)
