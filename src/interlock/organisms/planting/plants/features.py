"""Known directions of the residual stream: private to a category, mixed over two, shared by all."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from types import MappingProxyType

from interlock import grammar
from interlock.organisms.planting.parts import Head, Neurons
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.organisms.planting.plants.chain import PARTS, UNITS
from interlock.sites import Site

_KINDS = (("violence",), ("hacking",), ("theft", "forgery"), ("weapons", "arson"))
_DETECTORS: Mapping[str, tuple[Site, tuple[str, ...]]] = MappingProxyType(
    {
        f"detector of {' and '.join(names)}": (Site("neuron", 0, (16 * k, 16 * k + 16)), names)
        for k, names in enumerate(_KINDS)
    }
)


def _among(category: Bits, names: tuple[str, ...]) -> Bits:
    places = [list(grammar.CATEGORIES).index(name) for name in names]
    return reduce(or_, [category == place for place in places])


def _model(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    verb = swap(on["verb"], base.verb, source.verb)
    said = [
        swap(
            on[role],
            verb & base.target & _among(base.category, names),
            source.harmful & _among(source.category, names),
        )
        for role, (_, names) in _DETECTORS.items()
    ]
    moved = swap(on["mover"], reduce(or_, said), source.harmful)
    return Outcome(swap(on["refuser"], moved, source.harmful), never(moved))


def _says(names: tuple[str, ...]) -> str:
    return f"detected {' or '.join(names)}"


FEATURES = Plant(
    name="features",
    description="Units that each write one known direction: private, mixed and shared features.",
    units=MappingProxyType(
        {
            "verb": UNITS["verb"],
            **{role: site for role, (site, _) in _DETECTORS.items()},
            "mover": UNITS["mover"],
            "refuser": UNITS["refuser"],
        }
    ),
    parts=MappingProxyType(
        {
            "verb": PARTS["verb"],
            **{
                role: Neurons(
                    (("verb", 1.0), *((f"target of {name}", 1.0) for name in names)),
                    ((_says(names), 1.0),),
                    at="thing",
                    less=1.0,
                )
                for role, (_, names) in _DETECTORS.items()
            },
            "mover": Head(
                tuple((_says(names), 1.0) for _, names in _DETECTORS.values()), (("moved", 1.0),)
            ),
            "refuser": PARTS["refuser"],
        }
    ),
    model=_model,
    edges=(
        *(("verb", role) for role in _DETECTORS),
        *((role, "mover") for role in _DETECTORS),
        ("mover", "refuser"),
    ),
    categories=MappingProxyType(
        {names[0]: (role,) for role, (_, names) in _DETECTORS.items() if len(names) == 1}
    ),
    features=MappingProxyType(
        {
            **{role: names for role, (_, names) in _DETECTORS.items()},
            "mover": tuple(grammar.CATEGORIES),
        }
    ),
    steps=700,
)
