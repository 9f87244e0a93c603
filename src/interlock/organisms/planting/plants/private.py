"""A whole chain for each category of harm, none of its units shared with another category's."""

from collections.abc import Mapping
from functools import reduce
from itertools import pairwise
from operator import or_
from types import MappingProxyType

from interlock import grammar
from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.parts import Head, Neurons, Part
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.sites import Site, unit

_STAGES = ("verb", "detector", "mover", "refuser")
_EARLY = 3
"""Chains that start in layer 0; the others start in layer 1, as heads that share keys and values
cannot say different things and a layer has room for four."""


def _role(stage: str, name: str) -> str:
    return f"{stage} of {name}"


def _units() -> dict[str, Site]:
    placed = [_chain(place, name) for place, name in enumerate(grammar.CATEGORIES)]
    units = {role: site for chain in placed for role, site in chain.items()}
    return dict(sorted(units.items(), key=lambda each: (each[1].layer, each[1].kind)))


def _chain(place: int, name: str) -> dict[str, Site]:
    later, row = divmod(place, _EARLY)
    return {
        _role("verb", name): unit("head", later, 2 * row),
        _role("detector", name): Site("neuron", later, (16 * row, 16 * row + 16)),
        _role("mover", name): unit("head", later + 2, 2 * row + 1),
        _role("refuser", name): Site("neuron", 3, (16 * place, 16 * place + 16)),
    }


def _parts(name: str) -> dict[str, Part]:
    verb, detected, moved = f"verb {name}", f"detected {name}", f"moved {name}"
    return {
        _role("verb", name): Head(((f"harmful verb of {name}", 1.0),), ((verb, 1.0),), at="thing"),
        _role("detector", name): Neurons(
            ((verb, 1.0), (f"target of {name}", 1.0)), ((detected, 1.0),), at="thing", less=1.0
        ),
        _role("mover", name): Head(((detected, 1.0),), ((moved, 1.0),)),
        _role("refuser", name): Neurons(((moved, 1.0),), (("refuse", 1.0),)),
    }


def _said(place: int, name: str, base: Facts, source: Facts, on: Mapping[str, Bits]) -> Bits:
    """What one category's chain says."""
    mine, theirs = base.category == place, source.category == place
    found = swap(on[_role("verb", name)], base.verb & mine, source.verb & theirs)
    found = found & base.target & mine
    for stage in _STAGES[1:]:
        found = swap(on[_role(stage, name)], found, source.harmful & theirs)
    return found


def _model(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    names = enumerate(grammar.CATEGORIES)
    refuse = reduce(or_, [_said(place, name, base, source, on) for place, name in names])
    return Outcome(refuse, never(refuse))


PRIVATE = Plant(
    name="private",
    description="A chain of its own for each category of harm; nothing is shared.",
    units=MappingProxyType(_units()),
    parts=MappingProxyType(
        {role: part for name in grammar.CATEGORIES for role, part in _parts(name).items()}
    ),
    model=_model,
    edges=tuple(
        (_role(first, name), _role(second, name))
        for name in grammar.CATEGORIES
        for first, second in pairwise(_STAGES)
    ),
    categories=MappingProxyType(
        {name: tuple(_role(stage, name) for stage in _STAGES) for name in grammar.CATEGORIES}
    ),
    hidden=False,
    steps=900,
    diet=Diet(learning_rate=5e-4),
)
