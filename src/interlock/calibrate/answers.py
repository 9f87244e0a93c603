"""What a method says of a model, and a method as it is marked.

A method may rank units, find a direction of the residual stream, score weights or choose a set of
them; each kind of answer has marks of its own (`marking`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from interlock.calibrate.exam import Exam
from interlock.direction import Direction
from interlock.mask import Mask
from interlock.scores import Decision, Scores
from interlock.sites import Edge, Site
from interlock.weight_scores import WeightScores

Of = Literal["units", "direction", "weights"]
"""What an answer speaks of: whole heads and groups of neurons, one direction, single weights."""


@dataclass(frozen=True, eq=False)
class UnitAnswer:
    """What a method says of an organism's units.

    Attributes:
        sites: the units.
        ranking: a number per unit, larger is more important.
        decisions: in, out or undetermined per unit; None where the method has no rule.
        scores: the per-pair scores that the answer's intervals come from.
        signs: 1 or -1 per unit: whether its value of one prompt brings that prompt's reply; 0
            where its effect is too small to say.
        interactions: (given, other) units that act together, with their interaction.
        edges: which unit is read by which, where the method says so.
    """

    sites: tuple[Site, ...]
    ranking: Float[np.ndarray, " unit"]
    decisions: tuple[Decision, ...] | None
    scores: tuple[Scores, ...] = ()
    signs: Float[np.ndarray, " unit"] | None = None
    interactions: Mapping[frozenset[Site], float] | None = None
    edges: tuple[Edge, ...] | None = None


@dataclass(frozen=True)
class Contestant:
    """A method as it is marked.

    Attributes:
        answer: asks the exam and forms the answer.
        methods: the registered methods it uses; a report shows its marks beside their results.
        causal: whether it intervenes.
        rule: its decision rule in words; empty without one.
        blind: what it is known not to see.
        of: what it speaks of, which decides the organisms that it is marked on.
    """

    answer: Callable[[Exam], "Answer"]
    methods: tuple[str, ...]
    causal: bool
    rule: str
    blind: str
    of: Of = "units"


Answer = UnitAnswer | Direction | WeightScores | Mask
