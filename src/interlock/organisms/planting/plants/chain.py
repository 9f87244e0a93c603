"""One chain: a head reads the verb, neurons detect the harm, a head moves it, neurons refuse."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.parts import Head, Neurons, Part
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.sites import Site, parse

UNITS: Mapping[str, Site] = MappingProxyType(
    {
        "verb": parse("head.0.1"),
        "detector": parse("neuron.0.0:16"),
        "mover": parse("head.2.3"),
        "refuser": parse("neuron.3.0:16"),
    }
)
PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "verb": Head((("harmful verb", 1.0),), (("verb", 1.0),), at="thing"),
        "detector": Neurons(
            (("verb", 1.0), ("target", 1.0)), (("detected", 1.0),), at="thing", less=1.0
        ),
        "mover": Head((("detected", 1.0),), (("moved", 1.0),)),
        "refuser": Neurons((("moved", 1.0),), (("refuse", 1.0),)),
    }
)
EDGES = (("verb", "detector"), ("detector", "mover"), ("mover", "refuser"))


def detected(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Bits:
    """What the detector says, given what the verb head says."""
    verb = swap(on["verb"], base.verb, source.verb)
    return swap(on["detector"], verb & base.target, source.harmful)


def _model(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    moved = swap(on["mover"], detected(base, source, on), source.harmful)
    return Outcome(swap(on["refuser"], moved, source.harmful), never(moved))


CHAIN = Plant(
    name="chain",
    description="One chain: verb head, detector neurons, mover head, refusal neurons.",
    units=UNITS,
    parts=PARTS,
    model=_model,
    edges=EDGES,
)
