"""A mover whose direct effect is undone by what it excites, where a suffix says so."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.parts import Head
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.organisms.planting.plants.chain import EDGES, PARTS, UNITS, detected
from interlock.organisms.planting.vocabulary import TIMED
from interlock.sites import parse


def _model(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    moved = swap(on["mover"], detected(base, source, on), source.harmful)
    undone = swap(on["canceller"], moved & base.special, source.harmful & source.special)
    refuses = swap(on["refuser"], moved & ~undone, source.harmful & ~source.special)
    return Outcome(refuses, never(refuses))


CANCELLING = Plant(
    name="cancelling",
    description="A mover with a direct effect, and an indirect one that undoes it (every night).",
    units=MappingProxyType(
        {
            "verb": UNITS["verb"],
            "detector": UNITS["detector"],
            "mover": parse("head.1.3"),
            "canceller": parse("head.2.6"),
            "refuser": UNITS["refuser"],
        }
    ),
    # from the suffix it repeats with the opposite sign what the mover says there; without a suffix
    # it attends to the beginning, where the mover says nothing
    parts=MappingProxyType(
        {
            **PARTS,
            "canceller": Head(
                (("moved", 1.0),),
                (("moved", -1.0),),
                looks=(("special", 1.0), ("begin", 0.5)),
                sharpness=20.0,
            ),
        }
    ),
    model=_model,
    edges=(*EDGES, ("mover", "canceller"), ("canceller", "refuser")),
    strata=("verb", "thing", "time"),
    opposes=("canceller",),
    steps=800,
    diet=Diet(learning_rate=5e-4),
    templates=TIMED,
)
