"""The small interval bar beside a number: where its parts lie, in per cent of its width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from interlock.figures.labels import decimal
from interlock.verdict import Condition


@dataclass(frozen=True)
class IntervalBar:
    """Places in per cent of the width.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
        threshold: the rule's edge, when there is one.
        accept: start and width of the part that the rule asks for.
        ends: what the bar's two ends stand for.
        words: the bar for those who do not see it.
    """

    value: float
    low: float
    high: float
    threshold: float | None
    accept: tuple[float, float] | None
    ends: tuple[str, str]
    words: str


def interval_bar(
    estimate: tuple[float, float, float],
    condition: Condition | None,
    *,
    share: bool,
    beside: Sequence[float] = (),
) -> IntervalBar | None:
    """The bar of (value, low, high), or None when there is no value to draw.

    A share is drawn on 0 to 1, so that bars can be compared; other units on what they need, and
    what the estimates `beside` them need.
    """
    value, low, high = estimate
    if not math.isfinite(value) or math.isnan(low) or math.isnan(high):
        return None
    threshold = condition.threshold if condition else None
    scale = _scale([*estimate, *beside, *([] if threshold is None else [threshold])], share)
    edge = accept = None
    if condition is not None:
        edge = _per_cent(condition.threshold, scale)
        accept = (edge, round(100 - edge, 2)) if condition.side == "at least" else (0.0, edge)
    value, low, high = (_per_cent(each, scale) for each in estimate)
    ends = (f"{scale[0]:.3g}".replace("-", "\N{MINUS SIGN}"), f"{scale[1]:.3g}")
    said = [decimal(each, 3) for each in estimate]
    words = f"{said[0]}, interval {said[1]} to {said[2]}"
    return IntervalBar(value, low, high, edge, accept, ends, words)


def _scale(values: list[float], share: bool) -> tuple[float, float]:
    known = [value for value in values if math.isfinite(value)]
    lowest, highest = min(0.0, *known), max(0.0, *known)
    if share and lowest >= 0 and highest <= 1:
        return 0.0, 1.0
    room = 0.15 * ((highest - lowest) or 1.0)
    return lowest - (room if lowest < 0 else 0.0), highest + room


def _per_cent(value: float, scale: tuple[float, float]) -> float:
    if math.isinf(value):
        return 100.0 if value > 0 else 0.0
    place = (value - scale[0]) / (scale[1] - scale[0])
    return round(100 * min(max(place, 0.0), 1.0), 2)
