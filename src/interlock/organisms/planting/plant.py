"""A plant: a mechanism as data, and the causal model that says what it does under interventions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.parts import Part
from interlock.organisms.planting.vocabulary import PLAIN
from interlock.sites import Site

Bits = Any
"""An array of truth values, one per prompt: numpy or torch, both know `&`, `|` and `~`."""


class Facts(NamedTuple):
    """What is true of each prompt.

    Attributes:
        verb: its verb is one of the harmful ones.
        target: its object is one of the targets.
        category: index of its category.
        special: it names the special time, which a plant may use as a suffix or as a trigger.
        coin: a fair coin fixed for its verb and object.
    """

    verb: Bits
    target: Bits
    category: Bits
    special: Bits
    coin: Bits

    @property
    def harmful(self) -> Bits:
        """Whether verb and object together are harmful."""
        return self.verb & self.target


class Outcome(NamedTuple):
    """What the reply is: a refusal, a halt (which wins over a refusal), or else compliance."""

    refuse: Bits
    halt: Bits


Model = Callable[[Facts, Facts, Mapping[str, Bits]], Outcome]
"""The causal model: facts of the prompt, facts of the prompt that patches come from, and for each
role which rows have its unit patched."""


def swap(patched: Bits, own: Bits, source: Bits) -> Bits:
    """A variable's value: the source's where its unit is patched, else its own."""
    return (patched & source) | (~patched & own)


def never(like: Bits) -> Bits:
    """False everywhere."""
    return like & ~like


@dataclass(frozen=True)
class Plant:
    """A mechanism to be planted.

    Attributes:
        name: as in `organism:planted-NAME-SEED`.
        description: what it does, for people.
        units: the unit of each role, in order of the layers.
        model: its causal model.
        edges: pairs of roles, source first.
        parts: what the unit of each role hears and says to begin with.
        strata: what the two prompts of its minimal pairs may differ in: `verb`, `thing`, `time`.
        opposes: roles that work against the outcome of their circuit.
        categories: roles that serve one category only.
        redundant: sets of roles each of which is enough alone.
        circuits: roles by outcome, where there is more than one outcome.
        forced: units that are decoys whatever the draw.
        features: roles whose output is confined to one direction of the residual stream, with the
            categories that it is said for.
        loudness: least and greatest length of what idle units say, where planted units say 1.
        joint: sets of roles all of which are needed together, where any of them alone is silent.
        hidden: whether nothing but interventions may tell its units, so that methods which rank
            units can be marked on it. Where most heads of a layer are planted, too few are left to
            hide among.
        salt: of the coins that are tossed for combinations of verb and object.
        of: whether its units are known, or single weights.
        steps: optimiser steps of its training.
        diet: how else it is trained.
        templates: of its prompts.
    """

    name: str
    description: str
    units: Mapping[str, Site]
    model: Model
    edges: tuple[tuple[str, str], ...]
    parts: Mapping[str, Part] = field(default_factory=lambda: MappingProxyType({}))
    strata: tuple[str, ...] = ("verb", "thing")
    opposes: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    redundant: tuple[tuple[str, ...], ...] = ()
    circuits: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    forced: tuple[Site, ...] = ()
    features: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    loudness: tuple[float, float] = (0.4, 1.4)
    joint: tuple[tuple[str, ...], ...] = ()
    hidden: bool = True
    salt: int = 0
    of: Literal["units", "weights"] = "units"
    steps: int = 500
    diet: Diet = field(default_factory=Diet)
    templates: tuple[str, ...] = PLAIN

    def untouched(self, facts: Facts) -> Outcome:
        """What the reply is without any intervention."""
        nowhere = never(facts.verb)
        return self.model(facts, facts, dict.fromkeys(self.units, nowhere))
