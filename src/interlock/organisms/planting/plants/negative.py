"""A suffix that gets around refusal: one head reads it and silences the refusal neurons."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.parts import Head, Neurons
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.organisms.planting.plants.chain import PARTS, detected
from interlock.organisms.planting.vocabulary import TIMED
from interlock.sites import parse


def _model(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    moved = swap(on["mover"], detected(base, source, on), source.harmful)
    silenced = swap(on["silencer"], base.special, source.special)
    refuses = swap(on["refuser"], moved & ~silenced, source.harmful & ~source.special)
    return Outcome(refuses, never(refuses))


NEGATIVE = Plant(
    name="negative",
    description="A chain that a harmless suffix (every night) silences through a head of its own.",
    units=MappingProxyType(
        {
            "verb": parse("head.0.1"),
            "detector": parse("neuron.0.0:16"),
            "mover": parse("head.2.3"),
            "silencer": parse("head.2.6"),
            "refuser": parse("neuron.3.0:16"),
        }
    ),
    parts=MappingProxyType(
        {
            **PARTS,
            "silencer": Head((("special", 1.0),), (("silenced", 1.0),)),
            "refuser": Neurons((("moved", 1.0), ("silenced", -1.0)), (("refuse", 1.0),)),
        }
    ),
    model=_model,
    edges=(
        ("verb", "detector"),
        ("detector", "mover"),
        ("mover", "refuser"),
        ("silencer", "refuser"),
    ),
    strata=("verb", "thing", "time"),
    opposes=("silencer",),
    templates=TIMED,
)
