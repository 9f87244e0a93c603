"""One detector for each category of harm, before a mover and refusal neurons that all share."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from types import MappingProxyType

from interlock import grammar
from interlock.organisms.planting.parts import Neurons
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.organisms.planting.plants.chain import PARTS
from interlock.sites import Site, parse

_DETECTORS: Mapping[str, Site] = MappingProxyType(
    {
        f"detector of {name}": Site("neuron", 0, (16 * place, 16 * place + 16))
        for place, name in enumerate(grammar.CATEGORIES)
    }
)


def _model(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    verb = swap(on["verb"], base.verb, source.verb)
    said = [
        swap(
            on[role],
            verb & base.target & (base.category == place),
            source.harmful & (source.category == place),
        )
        for place, role in enumerate(_DETECTORS)
    ]
    moved = swap(on["mover"], reduce(or_, said), source.harmful)
    return Outcome(swap(on["refuser"], moved, source.harmful), never(moved))


CATEGORIES = Plant(
    name="categories",
    description="A chain with one group of detector neurons for each category of harm.",
    units=MappingProxyType(
        {
            "verb": parse("head.0.1"),
            **_DETECTORS,
            "mover": parse("head.2.3"),
            "refuser": parse("neuron.3.0:16"),
        }
    ),
    parts=MappingProxyType(
        {
            **{role: part for role, part in PARTS.items() if role != "detector"},
            **{
                f"detector of {name}": Neurons(
                    (("verb", 1.0), (f"target of {name}", 1.0)),
                    (("detected", 1.0),),
                    at="thing",
                    less=1.0,
                )
                for name in grammar.CATEGORIES
            },
        }
    ),
    model=_model,
    edges=(
        *(("verb", role) for role in _DETECTORS),
        *((role, "mover") for role in _DETECTORS),
        ("mover", "refuser"),
    ),
    categories=MappingProxyType(
        {name: (f"detector of {name}",) for name in grammar.CATEGORIES},
    ),
    steps=900,
)
