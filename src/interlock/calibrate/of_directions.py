"""Methods that find one direction of the residual stream.

Where no candidate survives a method's own limits it refuses to answer, and so claims nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from interlock.calibrate.answers import Contestant
from interlock.calibrate.exam import Exam
from interlock.direction import Direction
from interlock.tables import Table


def _chosen(choose: Literal["arditi", "cosmic"]) -> Callable[[Exam], Direction]:
    def answer(exam: Exam) -> Direction:
        return exam.ask("direction", exam.replies, _candidates(exam), on="find", choose=choose)

    return answer


def _candidates(exam: Exam) -> Table:
    return exam.ask("direction_candidates", exam.replies, on="find")


def _drawn(exam: Exam) -> Direction:
    """A random vector where the chosen direction was read, with coordinates that mean nothing."""
    found = _chosen("cosmic")(exam)
    drawn = np.random.default_rng(0).standard_normal(found.vectors.shape).astype(np.float32)
    return replace(found, vectors=drawn, kind="random")


_SURVIVES = "a candidate survives the limits on KL and, for bypass, on induction"

DIRECTION_METHODS: Mapping[str, Contestant] = {
    "direction, by bypass": Contestant(
        _chosen("arditi"), ("direction_candidates", "direction"), True, _SURVIVES,
        "a decision made by several units along different directions", "direction",
    ),
    "direction, COSMIC": Contestant(
        _chosen("cosmic"), ("direction_candidates", "direction"), False, _SURVIVES,
        "whether what differs is used", "direction",
    ),
    "direction, random": Contestant(
        _drawn, (), False, "", "everything", "direction"
    ),
}  # fmt: skip
