"""A figure as plotly JSON: plain dictionaries of finite numbers and inert text."""

import math
from typing import Any

from interlock.figures.forms import Axis, Bars, Cloud, Figure, Heat, Line, Lines, Mark
from interlock.figures.geometry import (
    cell_text,
    colour_range,
    reach,
    row_span,
    span,
    stacked,
    ticks,
)
from interlock.figures.labels import inert, interval, shortened
from interlock.figures.palette import DIVERGING, ROLES, SEQUENTIAL

Chart = dict[str, Any]

_GRID = "rgba(127,137,147,0.22)"
_ZERO = "rgba(127,137,147,0.65)"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def chart(figure: Figure) -> Chart:
    """`{"data": [...], "layout": {...}}` for `Plotly.newPlot`; every string in it is inert."""
    match figure.form:
        case Bars():
            return _bars(figure.form)
        case Heat():
            return _heat(figure.form)
        case Cloud():
            return _cloud(figure.form)
        case Lines():
            return _lines(figure.form)


def _layout(height: int, **more: object) -> Chart:
    return {
        "height": height,
        "autosize": True,
        "dragmode": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 13, "color": "#5b6670"},
        "margin": {"l": 8, "r": 16, "t": 34, "b": 48},
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "#1b2329", "bordercolor": "#1b2329", "align": "left",
            "font": {"color": "#ffffff", "size": 13},
        },
        "legend": {
            "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom",
            "itemclick": False, "itemdoubleclick": False, "traceorder": "normal",
        },
        **more,
    }  # fmt: skip


def _axis(axis: Axis, **more: object) -> Chart:
    return {
        "title": {"text": inert(axis.title), "standoff": 10},
        "type": "linear",
        "gridcolor": _GRID,
        "zerolinecolor": _ZERO,
        "zerolinewidth": 1,
        "fixedrange": True,
        "automargin": True,
        "tickfont": {"size": 12},
        **more,
    }


def _labelled(axis: Axis, labels: tuple[str, ...], shown: list[int], **more: object) -> Chart:
    """An axis of positions with names, so that no name is read as a number or a date."""
    names = [inert(shortened(labels[place])) for place in shown]
    fixed = {"tickmode": "array", "tickvals": shown, "ticktext": names, "ticks": ""}
    return _axis(axis, **fixed, showgrid=False, zeroline=False, **more)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _hover(label: str, mark: Mark) -> str:
    numbers = interval(mark.value, mark.low, mark.high)
    if math.isnan(mark.low) and math.isnan(mark.high):
        numbers = numbers.split(" [")[0]
    return f"<b>{inert(label)}</b><br>{numbers}<br>{inert(mark.note)}"


def _errors(marks: list[Mark], ends: tuple[float, float], width: int) -> Chart:
    reaches = [reach(mark, ends) for mark in marks]
    return {
        "type": "data", "symmetric": False, "thickness": 1.5, "width": width, "color": "#3b434b",
        "arrayminus": [down for down, _ in reaches], "array": [up for _, up in reaches],
    }  # fmt: skip


def _bars(form: Bars) -> Chart:
    ends = span(form.axis, [mark for each in form.series for mark in each.marks if mark])
    data = []
    for series in form.series:
        placed = [(place, mark) for place, mark in enumerate(series.marks) if mark]
        marks = [mark for _, mark in placed]
        data.append(
            {
                "type": "bar", "orientation": "h", "name": inert(series.name),
                "y": [place for place, _ in placed],
                "x": [_finite(mark.value) for mark in marks],
                "error_x": _errors(marks, ends, 4),
                "marker": {"color": ROLES[series.role], "opacity": 0.78},
                "hoverinfo": "text", "textposition": "none",
                "hovertext": [_hover(form.labels[place], mark) for place, mark in placed],
            }
        )  # fmt: skip
    count = len(form.labels)
    layout = _layout(
        96 + (14 + 15 * len(form.series)) * count,
        barmode="group",
        bargap=0.28,
        bargroupgap=0.06,
        showlegend=True,
        xaxis=_axis(form.axis, range=list(ends)),
        yaxis=_labelled(
            Axis(""), form.labels, list(range(count)), range=[count - 0.5, -0.5]
        ),
    )  # fmt: skip
    return {"data": data, "layout": layout}


def _heat(form: Heat) -> Chart:
    down = math.ceil(len(form.facets) / form.across)
    low, high = colour_range(form)
    tall = 30 * len(form.rows)
    height = down * (tall + 44) + 60
    inner = height - 34 - 52
    layout = _layout(height, annotations=[], margin={"l": 8, "r": 8, "t": 34, "b": 52})
    layout["coloraxis"] = {
        "colorscale": [list(stop) for stop in (DIVERGING if form.diverging else SEQUENTIAL)],
        "cmin": low, "cmax": high, "showscale": form.diverging,
        "colorbar": {
            "title": {"text": inert(form.colour.title), "side": "right"}, "thickness": 10,
            "outlinewidth": 0, "len": 1, "tickfont": {"size": 11},
        },
    }  # fmt: skip
    data = []
    for number, facet in enumerate(form.facets):
        row, column = divmod(number, form.across)
        key = "" if number == 0 else str(number + 1)
        top = 1 - row * (tall + 44) / inner
        width = 1 / form.across
        left, right = column * width + (0.012 if column else 0), (column + 1) * width - 0.012
        last = number + form.across >= len(form.facets)
        layout[f"xaxis{key}"] = _labelled(
            form.x if last else Axis(""), form.columns, ticks(len(form.columns), 32 // form.across),
            domain=[left, right], anchor=f"y{key}", showticklabels=last,
            range=[-0.5, len(form.columns) - 0.5],
        )  # fmt: skip
        layout[f"yaxis{key}"] = _labelled(
            form.y if len(form.facets) == 1 else Axis(""), form.rows, list(range(len(form.rows))),
            domain=[max(0.0, top - tall / inner), top], anchor=f"x{key}",
            showticklabels=column == 0, range=[len(form.rows) - 0.5, -0.5],
        )  # fmt: skip
        layout["annotations"].append(_heading(facet.title, left, top))
        data.append(_heat_trace(form, number, key))
    return {"data": data, "layout": layout}


def _heat_trace(form: Heat, number: int, key: str) -> Chart:
    cells = form.facets[number].cells
    prefix = f"{form.facets[number].title} · " if form.facets[number].title else ""
    return {
        "type": "heatmap", "coloraxis": "coloraxis", "xaxis": f"x{key}", "yaxis": f"y{key}",
        "z": [[_finite(mark.value) if mark else None for mark in row] for row in cells],
        "text": [[cell_text(form, mark) for mark in row] for row in cells],
        "texttemplate": "%{text}", "textfont": {"size": 11}, "xgap": 2, "ygap": 2,
        "hoverinfo": "text", "hoverongaps": False,
        "hovertext": [
            [
                _hover(f"{prefix}{row}, {column}", mark) if mark else ""
                for column, mark in zip(form.columns, marks, strict=True)
            ]
            for row, marks in zip(form.rows, cells, strict=True)
        ],
    }  # fmt: skip


def _heading(text: str, x: float, y: float) -> Chart:
    return {
        "text": inert(text), "x": x, "y": y, "xref": "paper", "yref": "paper", "showarrow": False,
        "xanchor": "left", "yanchor": "bottom", "font": {"size": 12.5},
    }  # fmt: skip


def _cloud(form: Cloud) -> Chart:
    ends = span(form.axis, [*form.random, *(mark for _, mark in form.found)])
    shown = [mark for mark in form.random if math.isfinite(mark.value)]
    centres, heights, _ = stacked([mark.value for mark in shown], ends)
    step = max(1.0, 0.16 * max(heights, default=1))
    dots = {
        "type": "scatter", "mode": "markers", "name": "one matched random set",
        "x": centres, "y": heights,
        "marker": {"color": ROLES["random"], "size": 8, "line": {"width": 0}, "opacity": 0.85},
        "hoverinfo": "text", "hovertext": [_hover("matched random", mark) for mark in shown],
    }  # fmt: skip
    marks = [mark for _, mark in form.found]
    names = [name for name, _ in form.found]
    middle = sum(ends) / 2
    found = {
        "type": "scatter", "mode": "markers+text", "name": "found, with its interval",
        "x": [_finite(mark.value) for mark in marks],
        "y": [-step * (number + 1) for number in range(len(marks))],
        "error_x": _errors(marks, ends, 6),
        "marker": {"color": ROLES["found"], "size": 13, "symbol": "diamond"},
        "text": [inert(shortened(name)) for name in names],
        "textposition": [
            "bottom left" if mark.value > middle else "bottom right" for mark in marks
        ],
        "cliponaxis": False, "hoverinfo": "text",
        "hovertext": [_hover(name, mark) for name, mark in form.found],
    }  # fmt: skip
    top = max(heights, default=1)
    count = Axis("random sets (count)")
    layout = _layout(
        300, xaxis=_axis(form.axis, range=list(ends)),
        yaxis=_axis(
            count, range=[-step * (len(marks) + 1.1), top * 1.12 + 1],
            tickvals=[0, *(value for value in ticks(top + 1, 5) if value)], showgrid=False,
        ),
    )  # fmt: skip
    return {"data": [dots, found], "layout": layout}


def _lines(form: Lines) -> Chart:
    layout = _layout(460, annotations=[])
    gap, width = 0.14, 1 / form.across
    data = []
    for number, panel in enumerate(form.panels):
        row, column = divmod(number, form.across)
        key = "" if number == 0 else str(number + 1)
        top = 1.0 - sum(form.heights[:row]) - (gap / 2 if row else 0)
        bottom = 1 - sum(form.heights[: row + 1]) + (gap / 2 if row + 1 < len(form.heights) else 0)
        left = column * width + (0.05 if column else 0)
        right = (column + 1) * width - (0.03 if column + 1 < form.across else 0)
        ends = row_span(form, row)
        sizes = sorted({x for line in panel.lines for x in line.x})
        last = row + 1 == len(form.heights)
        layout[f"xaxis{key}"] = _axis(
            panel.x if last else Axis(""), domain=[left, right], anchor=f"y{key}",
            tickmode="array", tickvals=sizes, showgrid=False, zeroline=False,
        )  # fmt: skip
        layout[f"yaxis{key}"] = _axis(
            panel.y if column == 0 else Axis(""), domain=[bottom, top], anchor=f"x{key}",
            range=list(ends),
        )  # fmt: skip
        if panel.title:
            layout["annotations"].append(_heading(panel.title, left, top))
        data += [trace for line in panel.lines for trace in _line(ends, line, key, number == 0)]
    layout["legend"] |= {"y": 1.09}
    layout["margin"] |= {"t": 56}
    return {"data": data, "layout": layout}


def _line(ends: tuple[float, float], line: Line, key: str, legend: bool) -> list[Chart]:
    place = {"xaxis": f"x{key}", "yaxis": f"y{key}", "type": "scatter", "legendgroup": line.name}
    colour = ROLES[line.role]
    drawn = {
        **place, "mode": "lines+markers", "name": inert(line.name), "showlegend": legend,
        "x": list(line.x), "y": [_finite(mark.value) for mark in line.marks],
        "line": {"color": colour, "width": 2.5}, "marker": {"color": colour, "size": 8},
        "cliponaxis": False, "hoverinfo": "text",
        "hovertext": [
            _hover(f"{line.name}, {x:g} units", mark)
            for x, mark in zip(line.x, line.marks, strict=True)
        ],
    }  # fmt: skip
    if not line.band:
        return [drawn]
    if len(line.marks) == 1:
        drawn["error_y"] = _errors(list(line.marks), ends, 4)
    reaches = [reach(mark, ends) for mark in line.marks]
    low = [mark.value - down for mark, (down, _) in zip(line.marks, reaches, strict=True)]
    high = [mark.value + up for mark, (_, up) in zip(line.marks, reaches, strict=True)]
    edge = [_finite(value) for value in (*high, *reversed(low))]
    band = {
        **place, "mode": "lines", "x": [*line.x, *reversed(line.x)], "y": edge, "fill": "toself",
        "line": {"width": 0}, "fillcolor": _faint(colour), "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    return [band, drawn]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"
