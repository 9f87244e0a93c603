"""Where things go, worked out once for both drawers: ranges, reaches, stacks, ticks, cell texts."""

import math
from collections.abc import Iterable, Sequence

from interlock.figures.forms import Axis, Graph, Heat, Lines, Mark, Plane
from interlock.figures.labels import decimal
from interlock.figures.palette import Role

_ROOMY = 10
_BINS = 48
_THIN, _THICK = 1.0, 9.0


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
    if len(heat.columns) > _ROOMY:
        return "\N{MULTIPLICATION SIGN}" if unsure(mark) else ""
    text = decimal(mark.value, heat.places)
    text = text if any(each in "123456789" for each in text) else "0"
    return f"({text})" if unsure(mark) else text


def scaled(heat: Heat) -> bool:
    """Whether a map needs its colour scale: cells that hold no number say nothing without it."""
    return heat.diverging or len(heat.columns) > _ROOMY


def plane_spans(form: Plane) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ranges of both axes of a plane."""
    dots = [dot for group in form.groups for dot in group.dots]
    return span(form.x, [dot.x for dot in dots]), span(form.y, [dot.y for dot in dots])


def row_gap(rows: int) -> float:
    """The share of a page's height between two rows of panels."""
    return min(0.14, 0.42 / rows)


def row_height(heat: Heat) -> int:
    """How high a row of cells is drawn (pixels): maps of few rows are not squeezed flat."""
    if len(heat.rows) > _ROOMY:
        return 24
    return 30 if len(heat.rows) * math.ceil(len(heat.facets) / heat.across) > 3 else 44


def folded(text: str, width: int) -> list[str]:
    """The words of a text in lines of about so many characters."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def ticks(count: int, most: int = 16) -> list[int]:
    """Positions to label when there are too many to label all."""
    return list(range(0, count, max(1, math.ceil(count / most))))


def row_span(form: Lines, row: int) -> tuple[float, float]:
    """The range that all panels of one row share, so that they can be compared."""
    panels = form.panels[row * form.across : (row + 1) * form.across]
    marks = [mark for panel in panels for line in panel.lines for mark in line.marks]
    levels = [Mark(panel.level, panel.level, panel.level) for panel in panels if panel.level]
    return span(panels[0].y, [*marks, *levels])


def colour_range(heat: Heat) -> tuple[float, float]:
    """Ends of the colour scale."""
    marks = (mark for facet in heat.facets for row in facet.cells for mark in row if mark)
    return span(heat.colour, marks)


def bounded(mark: Mark) -> bool:
    """Whether there is an interval to draw."""
    return not (math.isnan(mark.low) and math.isnan(mark.high))


def unsure(mark: Mark) -> bool:
    """Whether the interval includes 0."""
    return mark.low <= 0 <= mark.high


def tone(mark: Mark | None) -> Role:
    """The colour of an effect: for it, against it, or not measured."""
    if mark is None or not math.isfinite(mark.value):
        return "random"
    return "found" if mark.value >= 0 else "first"


def rows_of_graph(graph: Graph) -> list[float]:
    """The height of every node: those of one depth stacked around 0, the largest effect on top."""
    heights = [0.0] * len(graph.nodes)
    for depth in {node.depth for node in graph.nodes}:
        column = [place for place, node in enumerate(graph.nodes) if node.depth == depth]
        column.sort(key=lambda place: -_size(graph.nodes[place].mark))
        for row, place in enumerate(column):
            heights[place] = (len(column) - 1) / 2 - row
    return heights


def stroke(graph: Graph, mark: Mark) -> float:
    """How thick an edge is drawn: by the size of its effect, the largest one thickest."""
    largest = max((_size(arrow.mark) for arrow in graph.arrows), default=0.0) or 1.0
    return _THIN + (_THICK - _THIN) * _size(mark) / largest


def _size(mark: Mark | None) -> float:
    return abs(mark.value) if mark is not None and math.isfinite(mark.value) else 0.0
