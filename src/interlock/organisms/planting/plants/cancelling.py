"""A mover whose direct effect is undone by what it excites, where a suffix says so."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.parts import Head, Neurons
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.organisms.planting.plants.chain import EDGES, PARTS, UNITS, detected
from interlock.organisms.planting.vocabulary import TIMED
from interlock.sites import parse


def _model(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    moved = swap(on["mover"], detected(base, source, on), source.harmful)
    seen = swap(on["suffix reader"], base.special, source.special)
    undone = swap(on["canceller"], moved & seen, source.harmful & source.special)
    refuses = swap(on["refuser"], moved & ~undone, source.harmful & ~source.special)
    return Outcome(refuses, never(refuses))


CANCELLING = Plant(
    name="cancelling",
    description="A mover with a direct effect, and an indirect one that undoes it (every night).",
    units=MappingProxyType(
        {
            "verb": UNITS["verb"],
            "detector": UNITS["detector"],
            "suffix reader": parse("head.1.6"),
            "mover": UNITS["mover"],
            "canceller": parse("neuron.2.16:32"),
            "refuser": UNITS["refuser"],
        }
    ),
    parts=MappingProxyType(
        {
            **PARTS,
            "suffix reader": Head((("special", 1.0),), (("seen", 1.0),)),
            "canceller": Neurons((("moved", 1.0), ("seen", 1.0)), (("moved", -1.0),), less=1.0),
        }
    ),
    model=_model,
    edges=(
        *EDGES,
        ("suffix reader", "canceller"),
        ("mover", "canceller"),
        ("canceller", "refuser"),
    ),
    strata=("verb", "thing", "time"),
    opposes=("suffix reader", "canceller"),
    templates=TIMED,
)
