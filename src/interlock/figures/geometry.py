"""Where things go, worked out once for both drawers: ranges, reaches, stacks, ticks, cell texts."""

import math
from collections.abc import Iterable, Sequence

from interlock.figures.forms import Axis, Heat, Lines, Mark
from interlock.figures.labels import decimal

_ROOMY = 10
_BINS = 48


def span(axis: Axis, marks: Iterable[Mark], zero: bool = True) -> tuple[float, float]:
    """The axis' range: its own ends, else what holds every finite value and interval."""
    values = [
        value for mark in marks for value in (mark.value, mark.low, mark.high)
        if math.isfinite(value)
    ] or [0.0, 1.0]  # fmt: skip
    low, high = min(values), max(values)
    low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
    room = 0.06 * ((high - low) or 1.0)
    return (
        axis.low if axis.low is not None else (low - room if low < 0 or not zero else 0.0),
        axis.high if axis.high is not None else high + room,
    )


def reach(mark: Mark, ends: tuple[float, float]) -> tuple[float, float]:
    """How far the interval reaches below and above the value; past the range when unbounded."""
    if not math.isfinite(mark.value):
        return 0.0, 0.0
    wide = 2 * (ends[1] - ends[0])
    down, up = mark.value - mark.low, mark.high - mark.value
    return tuple(  # type: ignore[return-value]
        0.0 if math.isnan(side) else min(max(side, 0.0), wide) for side in (down, up)
    )


def stacked(
    values: Sequence[float], ends: tuple[float, float]
) -> tuple[list[float], list[int], float]:
    """Dots that fall into one bin, set on each other: bin centres, heights from 1, bin width."""
    width = (ends[1] - ends[0]) / _BINS
    heights: dict[int, int] = {}
    centres, tops = [], []
    for value in values:
        place = math.floor((value - ends[0]) / width)
        heights[place] = heights.get(place, 0) + 1
        centres.append(ends[0] + (place + 0.5) * width)
        tops.append(heights[place])
    return centres, tops, width


def cell_text(heat: Heat, mark: Mark | None) -> str:
    """A cell's number; in brackets (a cross where cells are narrow) if its interval holds 0."""
    if mark is None or not math.isfinite(mark.value):
        return ""
    unsure = mark.low <= 0 <= mark.high
    if len(heat.columns) > _ROOMY:
        return "\N{MULTIPLICATION SIGN}" if unsure else ""
    text = decimal(mark.value, heat.places)
    return f"({text})" if unsure else text


def ticks(count: int, most: int = 16) -> list[int]:
    """Positions to label when there are too many to label all."""
    return list(range(0, count, max(1, math.ceil(count / most))))


def row_span(form: Lines, row: int) -> tuple[float, float]:
    """The range that all panels of one row share, so that they can be compared."""
    panels = form.panels[row * form.across : (row + 1) * form.across]
    marks = [mark for panel in panels for line in panel.lines for mark in line.marks]
    return span(panels[0].y, marks)


def colour_range(heat: Heat) -> tuple[float, float]:
    """Ends of the colour scale."""
    marks = (mark for facet in heat.facets for row in facet.cells for mark in row if mark)
    return span(heat.colour, marks)
