"""Methods that score single weights, or choose a set of them.

On organisms with planted weights they are marked weight by weight; on organisms with planted units
scores are summed over each unit's weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

from interlock import weight_sets
from interlock.calibrate.answers import Contestant
from interlock.calibrate.exam import Exam
from interlock.mask import Mask
from interlock.weight_scores import WeightScores

FIRST = 1  # reply tokens that decide between refusing and complying
P, Q = 0.1, 0.1  # of the drift study (`reference/attribution.md`)


def _snip(exam: Exam, which: str, **options: Any) -> WeightScores:  # noqa: ANN401
    replies = exam.own.safety if which == "safety" else exam.own.utility
    return exam.ask("snip", replies, on="", examples=0, **options)


def _by_snip(**options: Any) -> Callable[[Exam], WeightScores]:  # noqa: ANN401
    return lambda exam: _snip(exam, "safety", **options)


def _difference(skip: int) -> Callable[[Exam], Mask]:
    """Utility with `skip` reply tokens left out: those decide, and are shared with refusing."""

    def answer(exam: Exam) -> Mask:
        safety, utility = _snip(exam, "safety"), _snip(exam, "utility", skip=skip)
        return weight_sets.difference(safety, utility, p=P, q=Q)

    return answer


def _wanda(exam: Exam) -> WeightScores:
    return exam.ask("wanda", exam.own.safety, on="", examples=0)


_GATE = (
    "weights that decide, where refusing is certain: their gradient is nearly nothing; and that "
    "nobody reads what a unit writes: absolute values, weight by weight, do not cancel"
)
_SET = "weights that also decide to comply: they are in the utility set too"

WEIGHT_METHODS: Mapping[str, Contestant] = {
    "SNIP": Contestant(_by_snip(), ("snip",), False, "", _GATE, "weights"),
    "SNIP, first token": Contestant(_by_snip(first=FIRST), ("snip",), False, "", _GATE, "weights"),
    "Wanda": Contestant(_wanda, ("wanda",), False, "", "what an input's size means", "weights"),
    "magnitude": Contestant(
        lambda exam: exam.ask("magnitude", on=""), ("magnitude",), False, "", "everything but size",
        "weights",
    ),
    "set difference": Contestant(
        _difference(0), ("snip", "set_difference"), False, f"p = {P:g}, q = {Q:g}", _SET, "weights"
    ),
    "set difference, without the opening": Contestant(
        _difference(3), ("snip", "set_difference"), False,
        f"p = {P:g}, q = {Q:g}, utility without its first 3 tokens", _SET, "weights",
    ),
}  # fmt: skip
