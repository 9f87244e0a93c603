"""A figure for paper, drawn by matplotlib: the same bytes for the same figure, no text parsed."""

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from interlock.figures.forms import Bars, Cloud, Figure, Graph, Heat, Lines, Mark, Plane, Words
from interlock.figures.geometry import (
    bounded,
    cell_text,
    colour_range,
    plane_spans,
    reach,
    row_span,
    rows_of_graph,
    scaled,
    span,
    stacked,
    stroke,
    ticks,
    tone,
    unsure,
)
from interlock.figures.labels import shortened, visible
from interlock.figures.palette import DIVERGING, ROLES, SEQUENTIAL, SIGNS, ink
from interlock.figures.worded import worded_height, worded_print

Format = Literal["png", "svg", "pdf"]

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "text.usetex": False,
    "svg.hashsalt": "interlock",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "grid.color": "#d9dee2",
    "grid.linewidth": 0.6,
}
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "interlock"},
    "pdf": {"CreationDate": None, "Creator": "interlock", "Producer": None},
}
_WIDE = 7.0


def draw(figure: Figure, form: Format = "pdf") -> bytes:
    """The figure as a file of the given format."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Page

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # labels come from models: a script that the font lacks is drawn as boxes, not an error
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        page = Page(figsize=(_WIDE, _height(figure)), layout="constrained")
        _fill(page, figure)
        page.suptitle(visible(figure.title), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        buffer = io.BytesIO()
        page.savefig(buffer, format=form, dpi=200, metadata=_METADATA[form])
    return buffer.getvalue()


def _height(figure: Figure) -> float:
    match figure.form:
        case Bars(labels, series):
            return 1.1 + (0.12 + 0.16 * len(series)) * len(labels)
        case Heat(rows=rows, facets=facets, across=across):
            return 1.0 + math.ceil(len(facets) / across) * (0.3 * len(rows) + 0.35)
        case Cloud():
            return 2.8
        case Lines(heights=heights):
            return 1.2 + 1.5 * len(heights)
        case Graph():
            rows = rows_of_graph(figure.form)
            return 1.6 + 0.5 * (max(rows, default=0.0) - min(rows, default=0.0) + 1)
        case Plane():
            return 4.2
        case Words():
            return worded_height(figure.form)


def _fill(page: Any, figure: Figure) -> None:  # noqa: ANN401 - a matplotlib figure
    match figure.form:
        case Bars():
            _bars(page, figure.form)
        case Heat():
            _heat(page, figure.form)
        case Cloud():
            _cloud(page, figure.form)
        case Lines():
            _lines(page, figure.form)
        case Graph():
            _graph(page, figure.form)
        case Plane():
            _plane(page, figure.form)
        case Words():
            worded_print(page, figure.form)


def _errors(marks: Sequence[Mark], ends: tuple[float, float]) -> list[list[float]]:
    reaches = [reach(mark, ends) for mark in marks]
    return [[down for down, _ in reaches], [up for _, up in reaches]]


def _bars(page: Any, form: Bars) -> None:  # noqa: ANN401
    axes = page.add_subplot()
    ends = span(form.axis, [mark for each in form.series for mark in each.marks if mark])
    thick = 0.76 / len(form.series)
    for number, series in enumerate(form.series):
        placed = [(place, mark) for place, mark in enumerate(series.marks) if mark]
        marks = [mark for _, mark in placed]
        shift = (number - (len(form.series) - 1) / 2) * thick
        axes.barh(
            [place + shift for place, _ in placed], [mark.value for mark in marks], thick * 0.92,
            xerr=_errors(marks, ends) if any(map(bounded, marks)) else None,
            color=ROLES[series.role], label=visible(series.name),
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#22272b"},
        )  # fmt: skip
    if form.band is not None:
        axes.axvspan(
            form.band.low, form.band.high, color=ROLES["random"], alpha=0.3, linewidth=0,
            label=visible(form.band.name), zorder=0,
        )  # fmt: skip
    axes.set(xlim=ends, ylim=(len(form.labels) - 0.5, -0.5), xlabel=form.axis.title)
    axes.set_yticks(range(len(form.labels)), [shortened(label) for label in form.labels])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    page.legend(loc="outside lower left", ncols=1)


def _heat(page: Any, form: Heat) -> None:  # noqa: ANN401
    from matplotlib.colors import LinearSegmentedColormap

    stops = DIVERGING if form.diverging else SEQUENTIAL
    colours = LinearSegmentedColormap.from_list("interlock", list(stops))
    low, high = colour_range(form)
    down = math.ceil(len(form.facets) / form.across)
    grid = page.subplots(down, form.across, squeeze=False, sharex=True, sharey=True)
    shown = ticks(len(form.columns), 18 // form.across)
    image = None
    for axes, facet in zip(grid.flat, form.facets, strict=False):
        values = [[mark.value if mark else math.nan for mark in row] for row in facet.cells]
        image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
        axes.set_title(visible(facet.title), fontsize=8, loc="left")
        axes.set_xticks(shown, [shortened(form.columns[place]) for place in shown])
        axes.set_yticks(range(len(form.rows)), [shortened(row) for row in form.rows])
        axes.tick_params(length=0)
        _write_cells(axes, form, facet.cells, (low, high))
    for axes in grid.flat[len(form.facets) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel(form.x.title)
    if len(form.facets) == 1:
        grid[0][0].set_ylabel(form.y.title)
    if image is not None and scaled(form):
        page.colorbar(image, ax=grid, label=form.colour.title, shrink=0.9, aspect=30)


def _write_cells(axes: Any, form: Heat, cells: tuple, ends: tuple[float, float]) -> None:  # noqa: ANN401
    for row, marks in enumerate(cells):
        for column, mark in enumerate(marks):
            text = cell_text(form, mark)
            if text:
                fraction = (mark.value - ends[0]) / ((ends[1] - ends[0]) or 1.0)
                colour = ink(fraction, form.diverging)
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _cloud(page: Any, form: Cloud) -> None:  # noqa: ANN401
    axes = page.add_subplot()
    ends = span(form.axis, [*form.random, *(mark for _, mark in form.found)])
    values = [mark.value for mark in form.random if math.isfinite(mark.value)]
    centres, heights, _ = stacked(values, ends)
    step = max(1.0, 0.16 * max(heights, default=1))
    axes.scatter(centres, heights, s=14, color=ROLES["random"], label="one matched random set")
    for number, (name, mark) in enumerate(form.found):
        low, high = reach(mark, ends)
        axes.errorbar(
            [mark.value], [-step * (number + 1)], xerr=[[low], [high]], fmt="D", capsize=3,
            color=ROLES["found"], ecolor="#22272b", label=f"found: {shortened(name)}",
        )  # fmt: skip
    top = max(heights, default=1)
    axes.set(
        xlim=ends, ylim=(-step * (len(form.found) + 1.1), top * 1.12 + 1),
        xlabel=form.axis.title, ylabel="random sets (count)",
    )  # fmt: skip
    axes.set_yticks([0, *(value for value in ticks(top + 1, 5) if value)])
    axes.grid(axis="x")
    page.legend(loc="outside lower left", ncols=2)


def _lines(page: Any, form: Lines) -> None:  # noqa: ANN401
    grid = page.subplots(
        len(form.heights), form.across, squeeze=False, sharex="col",
        gridspec_kw={"height_ratios": list(form.heights)},
    )  # fmt: skip
    for number, (axes, panel) in enumerate(zip(grid.flat, form.panels, strict=True)):
        ends = row_span(form, number // form.across)
        for line in panel.lines:
            values = [mark.value for mark in line.marks]
            colour = ROLES[line.role]
            down, up = _errors(line.marks, ends)
            label = visible(line.name) if number == 0 else None
            alone = line.band and len(values) == 1
            axes.errorbar(line.x, values, yerr=[down, up] if alone else None, fmt="-o",
                          color=colour, markersize=4, capsize=2, label=label)  # fmt: skip
            if line.band:
                low = [value - each for value, each in zip(values, down, strict=True)]
                high = [value + each for value, each in zip(values, up, strict=True)]
                axes.fill_between(line.x, low, high, color=colour, alpha=0.16, linewidth=0)
        if panel.level is not None:
            axes.axhline(panel.level, color=ROLES["random"], linewidth=1, linestyle="--")
        axes.set_ylim(*ends)
        axes.set_title(shortened(panel.title, 84 // form.across), fontsize=8.5, loc="left")
        sizes = sorted({x for line in panel.lines for x in line.x})
        axes.set_xticks([sizes[place] for place in ticks(len(sizes))])
        axes.set_ylabel(panel.y.title if number % form.across == 0 else "")
        axes.grid(axis="y")
    for axes in grid[-1]:
        axes.set_xlabel(form.panels[-1].x.title)
    page.legend(loc="outside lower left", ncols=2)


def _graph(page: Any, form: Graph) -> None:  # noqa: ANN401
    from matplotlib.lines import Line2D

    axes = page.add_subplot()
    heights = rows_of_graph(form)
    for arrow in form.arrows:
        places = (arrow.source, arrow.target)
        axes.plot(
            [form.nodes[place].depth for place in places], [heights[place] for place in places],
            ":" if unsure(arrow.mark) else "-", color=ROLES[tone(arrow.mark)], alpha=0.75,
            linewidth=stroke(form, arrow.mark) / 2, zorder=1,
        )  # fmt: skip
    for node, height in zip(form.nodes, heights, strict=True):
        axes.scatter([node.depth], [height], s=70, color=ROLES[tone(node.mark)], zorder=2)
        axes.annotate(
            shortened(node.name), (node.depth, height), xytext=(0, 6), fontsize=7, ha="center",
            textcoords="offset points",
        )  # fmt: skip
    depths = sorted({math.floor(node.depth) for node in form.nodes})
    axes.set_xticks([depths[place] for place in ticks(len(depths))])
    axes.set_yticks([])
    axes.margins(y=0.25)
    axes.set_xlim(min(depths) - 0.3, max(node.depth for node in form.nodes) + 0.3)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(form.depth.title)
    shown = [Line2D([], [], color=ROLES[role], linewidth=3) for _, role in SIGNS]
    page.legend(shown, [name for name, _ in SIGNS], loc="outside lower left", ncols=2)


def _plane(page: Any, form: Plane) -> None:  # noqa: ANN401
    axes = page.add_subplot()
    across, up = plane_spans(form)
    for group in form.groups:
        wide, high = [dot.x for dot in group.dots], [dot.y for dot in group.dots]
        axes.errorbar(
            [mark.value for mark in wide], [mark.value for mark in high],
            xerr=_errors(wide, across), yerr=_errors(high, up), color=ROLES[group.role],
            fmt="o:" if group.joined else "o", markersize=5, capsize=2, elinewidth=1,
            label=visible(group.name),
        )  # fmt: skip
    axes.set(xlim=across, ylim=up, xlabel=form.x.title, ylabel=form.y.title)
    axes.grid()
    page.legend(loc="outside lower left", ncols=2)
