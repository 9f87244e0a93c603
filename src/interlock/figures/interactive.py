"""A figure as plotly JSON: plain dictionaries of finite numbers and inert text."""

import math

from interlock.figures.dressing import (
    Chart,
    drawn_axis,
    error_bars,
    faint,
    finite,
    heading,
    hover_text,
    legend_key,
    named_axis,
    page_layout,
)
from interlock.figures.forms import (
    Axis,
    Bars,
    Cloud,
    Dot,
    Figure,
    Graph,
    Heat,
    Line,
    Lines,
    Panel,
    Plane,
    Words,
)
from interlock.figures.geometry import (
    bounded,
    cell_text,
    colour_range,
    folded,
    plane_spans,
    reach,
    row_gap,
    row_height,
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
from interlock.figures.labels import inert, shortened
from interlock.figures.palette import DIVERGING, ROLES, SEQUENTIAL, SIGNS
from interlock.figures.worded import worded_chart


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
        case Graph():
            return _graph(figure.form)
        case Plane():
            return _plane(figure.form)
        case Words():
            return worded_chart(figure.form)


def _bars(form: Bars) -> Chart:
    ends = span(form.axis, [mark for each in form.series for mark in each.marks if mark])
    data: list[Chart] = []
    for series in form.series:
        placed = [(place, mark) for place, mark in enumerate(series.marks) if mark]
        marks = [mark for _, mark in placed]
        data.append(
            {
                "type": "bar", "orientation": "h", "name": inert(series.name),
                "y": [place for place, _ in placed],
                "x": [finite(mark.value) for mark in marks],
                **({"error_x": error_bars(marks, ends, 4)} if any(map(bounded, marks)) else {}),
                "marker": {"color": ROLES[series.role], "opacity": 0.78},
                "hoverinfo": "text", "textposition": "none",
                "hovertext": [hover_text(form.labels[place], mark) for place, mark in placed],
            }
        )  # fmt: skip
    count = len(form.labels)
    layout = page_layout(
        96 + (14 + 15 * len(form.series)) * count,
        barmode="group",
        bargap=0.28,
        bargroupgap=0.06,
        showlegend=True,
        xaxis=drawn_axis(form.axis, range=list(ends)),
        yaxis=named_axis(
            Axis(""), form.labels, list(range(count)), range=[count - 0.5, -0.5]
        ),
    )  # fmt: skip
    if form.band is not None:
        ends = {"x0": max(form.band.low, ends[0]), "x1": min(form.band.high, ends[1])}
        layout["shapes"] = [
            {
                "type": "rect", "xref": "x", "yref": "paper", **ends, "y0": 0, "y1": 1,
                "fillcolor": faint(ROLES["random"], 0.3), "line": {"width": 0}, "layer": "below",
            }
        ]  # fmt: skip
        data.append(legend_key(inert(form.band.name), ROLES["random"]))
    return {"data": data, "layout": layout}


def _heat(form: Heat) -> Chart:
    down = math.ceil(len(form.facets) / form.across)
    low, high = colour_range(form)
    tall = row_height(form) * len(form.rows)
    height = down * (tall + 44) + 60
    inner = height - 34 - 52
    layout = page_layout(height, annotations=[], margin={"l": 8, "r": 8, "t": 34, "b": 52})
    layout["coloraxis"] = {
        "colorscale": [list(stop) for stop in (DIVERGING if form.diverging else SEQUENTIAL)],
        "cmin": low, "cmax": high, "showscale": scaled(form),
        "colorbar": {
            "title": {"text": "<br>".join(map(inert, folded(form.colour.title, inner // 8))),
                      "side": "right"}, "thickness": 10,
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
        layout[f"xaxis{key}"] = named_axis(
            form.x if last else Axis(""), form.columns, ticks(len(form.columns), 32 // form.across),
            domain=[left, right], anchor=f"y{key}", showticklabels=last,
            range=[-0.5, len(form.columns) - 0.5],
        )  # fmt: skip
        titled = form.y if down == 1 and not column else Axis("")
        layout[f"yaxis{key}"] = named_axis(
            titled, form.rows, list(range(len(form.rows))),
            domain=[max(0.0, top - tall / inner), top], anchor=f"x{key}",
            showticklabels=column == 0, range=[len(form.rows) - 0.5, -0.5],
        )  # fmt: skip
        layout["annotations"].append(heading(facet.title, left, top, form.across))
        data.append(_heat_trace(form, number, key))
    return {"data": data, "layout": layout}


def _heat_trace(form: Heat, number: int, key: str) -> Chart:
    cells = form.facets[number].cells
    prefix = f"{form.facets[number].title} · " if form.facets[number].title else ""
    return {
        "type": "heatmap", "coloraxis": "coloraxis", "xaxis": f"x{key}", "yaxis": f"y{key}",
        "z": [[finite(mark.value) if mark else None for mark in row] for row in cells],
        "text": [[cell_text(form, mark) for mark in row] for row in cells],
        "texttemplate": "%{text}", "textfont": {"size": 11}, "xgap": 2, "ygap": 2,
        "hoverinfo": "text", "hoverongaps": False,
        "hovertext": [
            [
                hover_text(f"{prefix}{row}, {column}", mark) if mark else ""
                for column, mark in zip(form.columns, marks, strict=True)
            ]
            for row, marks in zip(form.rows, cells, strict=True)
        ],
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
        "hoverinfo": "text", "hovertext": [hover_text("matched random", mark) for mark in shown],
    }  # fmt: skip
    marks = [mark for _, mark in form.found]
    names = [name for name, _ in form.found]
    middle = sum(ends) / 2
    found = {
        "type": "scatter", "mode": "markers+text", "name": "found, with its interval",
        "x": [finite(mark.value) for mark in marks],
        "y": [-step * (number + 1) for number in range(len(marks))],
        "error_x": error_bars(marks, ends, 6),
        "marker": {"color": ROLES["found"], "size": 13, "symbol": "diamond"},
        "text": [inert(shortened(name)) for name in names],
        "textposition": [
            "bottom left" if mark.value > middle else "bottom right" for mark in marks
        ],
        "cliponaxis": False, "hoverinfo": "text",
        "hovertext": [hover_text(name, mark) for name, mark in form.found],
    }  # fmt: skip
    top = max(heights, default=1)
    count = Axis("random sets (count)")
    layout = page_layout(
        300, xaxis=drawn_axis(form.axis, range=list(ends)),
        yaxis=drawn_axis(
            count, range=[-step * (len(marks) + 1.1), top * 1.12 + 1],
            tickvals=[0, *(value for value in ticks(top + 1, 5) if value)], showgrid=False,
        ),
    )  # fmt: skip
    return {"data": [dots, found], "layout": layout}


def _lines(form: Lines) -> Chart:
    layout = page_layout(140 + 170 * len(form.heights), annotations=[], shapes=[])
    gap, width = row_gap(len(form.heights)), 1 / form.across
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
        layout[f"xaxis{key}"] = drawn_axis(
            panel.x if last else Axis(""), domain=[left, right], anchor=f"y{key}",
            tickmode="array", tickvals=[sizes[place] for place in ticks(len(sizes))],
            showgrid=False, zeroline=False,
        )  # fmt: skip
        layout[f"yaxis{key}"] = drawn_axis(
            panel.y if column == 0 else Axis(""), domain=[bottom, top], anchor=f"x{key}",
            range=list(ends),
        )  # fmt: skip
        if panel.level is not None:
            layout["shapes"].append(_level(panel.level, key))
        if panel.title:
            layout["annotations"].append(heading(panel.title, left, top, form.across))
        data += [
            trace for line in panel.lines for trace in _line(ends, panel, line, key, number == 0)
        ]
    folds = max((note["text"].count("<br>") for note in layout["annotations"]), default=0)
    titles = 16 * (1 + folds)  # pixels, under the legend
    inside = layout["height"] - layout["margin"]["b"] - titles - 40
    layout["legend"] |= {"y": 1 + (titles + 8) / inside}
    layout["margin"] |= {"t": titles + 40}
    return {"data": data, "layout": layout}


def _level(height: float, key: str) -> Chart:
    return {
        "type": "line", "xref": f"x{key} domain", "yref": f"y{key}", "x0": 0, "x1": 1,
        "y0": height, "y1": height,
        "line": {"color": ROLES["random"], "width": 1.5, "dash": "dash"},
    }  # fmt: skip


def _line(
    ends: tuple[float, float], panel: Panel, line: Line, key: str, legend: bool
) -> list[Chart]:
    where = panel.x.title.split(" (")[0]
    place = {"xaxis": f"x{key}", "yaxis": f"y{key}", "type": "scatter", "legendgroup": line.name}
    colour = ROLES[line.role]
    drawn = {
        **place, "mode": "lines+markers", "name": inert(line.name), "showlegend": legend,
        "x": list(line.x), "y": [finite(mark.value) for mark in line.marks],
        "line": {"color": colour, "width": 2.5}, "marker": {"color": colour, "size": 8},
        "cliponaxis": False, "hoverinfo": "text",
        "hovertext": [
            hover_text(f"{line.name} · {where} {x:g}", mark)
            for x, mark in zip(line.x, line.marks, strict=True)
        ],
    }  # fmt: skip
    if not line.band:
        return [drawn]
    if len(line.marks) == 1:
        drawn["error_y"] = error_bars(list(line.marks), ends, 4)
    reaches = [reach(mark, ends) for mark in line.marks]
    low = [mark.value - down for mark, (down, _) in zip(line.marks, reaches, strict=True)]
    high = [mark.value + up for mark, (_, up) in zip(line.marks, reaches, strict=True)]
    edge = [finite(value) for value in (*high, *reversed(low))]
    band = {
        **place, "mode": "lines", "x": [*line.x, *reversed(line.x)], "y": edge, "fill": "toself",
        "line": {"width": 0}, "fillcolor": faint(colour), "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    return [band, drawn]


def _graph(form: Graph) -> Chart:
    heights = rows_of_graph(form)
    data: list[Chart] = []
    for arrow in form.arrows:
        ends = [form.nodes[place] for place in (arrow.source, arrow.target)]
        rows = [heights[arrow.source], heights[arrow.target]]
        line = {
            "color": faint(ROLES[tone(arrow.mark)], 0.75), "width": stroke(form, arrow.mark),
            "dash": "dot" if unsure(arrow.mark) else "solid",
        }  # fmt: skip
        # edges often cross in their middle, seldom at a third of their way
        middle = {"x": [None, (2 * ends[0].depth + ends[1].depth) / 3, None],
                  "y": [None, (2 * rows[0] + rows[1]) / 3, None]}  # fmt: skip
        data.append(
            {"type": "scatter", "mode": "lines", "x": [node.depth for node in ends], "y": rows,
             "line": line, "hoverinfo": "skip", "showlegend": False}
        )  # fmt: skip
        data.append(
            {"type": "scatter", "mode": "markers", **middle, "showlegend": False,
             "marker": {"size": 7, "color": ROLES[tone(arrow.mark)]}, "hoverinfo": "text",
             "hovertext": ["", hover_text(" → ".join(node.name for node in ends), arrow.mark), ""]}
        )  # fmt: skip
    data.append(_nodes(form, heights))
    data += [legend_key(name, ROLES[role]) for name, role in SIGNS]
    depths = [node.depth for node in form.nodes]
    shown = sorted({math.floor(depth) for depth in depths})
    tall = max(heights, default=0.0) - min(heights, default=0.0)
    layout = page_layout(
        150 + round(52 * (tall + 1)),
        xaxis=drawn_axis(
            form.depth, range=[min(depths) - 0.4, max(depths) + 0.4], tickmode="array",
            tickvals=[shown[place] for place in ticks(len(shown))], zeroline=False,
        ),
        yaxis=drawn_axis(
            Axis(""), range=[min(heights) - 0.9, max(heights) + 0.9], showticklabels=False,
            showgrid=False, zeroline=False,
        ),
    )  # fmt: skip
    return {"data": data, "layout": layout}


def _nodes(form: Graph, heights: list[float]) -> Chart:
    return {
        "type": "scatter", "mode": "markers+text", "showlegend": False, "cliponaxis": False,
        "x": [node.depth for node in form.nodes], "y": heights,
        "text": [inert(shortened(node.name)) for node in form.nodes],
        # heads and neurons of one layer lie close together: their names must not
        "textposition": [f"{_side(node.depth)} center" for node in form.nodes],
        "marker": {
            "size": 17, "color": [ROLES[tone(node.mark)] for node in form.nodes],
            "line": {"width": 1.5, "color": "#ffffff"},
        },
        "hoverinfo": "text",
        "hovertext": [
            hover_text(node.name, node.mark) if node.mark else f"<b>{inert(node.name)}</b>"
            for node in form.nodes
        ],
    }  # fmt: skip


def _side(depth: float) -> str:
    """Where a node's name is written: above in a layer's first half, below in its second."""
    return "top" if depth % 1 < 0.5 else "bottom"


def _plane(form: Plane) -> Chart:
    across, up = plane_spans(form)
    data: list[Chart] = []
    for group in form.groups:
        marks = [dot.x for dot in group.dots], [dot.y for dot in group.dots]
        data.append(
            {
                "type": "scatter", "mode": "lines+markers" if group.joined else "markers",
                "name": inert(group.name), "cliponaxis": False, "hoverinfo": "text",
                "x": [finite(mark.value) for mark in marks[0]],
                "y": [finite(mark.value) for mark in marks[1]],
                "error_x": error_bars(marks[0], across, 3), "error_y": error_bars(marks[1], up, 3),
                "line": {"color": ROLES[group.role], "width": 2, "dash": "dot"},
                "marker": {"color": ROLES[group.role], "size": 9},
                "hovertext": [_twice(form, dot) for dot in group.dots],
            }
        )  # fmt: skip
    layout = page_layout(
        380, showlegend=True, xaxis=drawn_axis(form.x, range=list(across)),
        yaxis=drawn_axis(form.y, range=list(up)),
    )  # fmt: skip
    return {"data": data, "layout": layout}


def _twice(form: Plane, dot: Dot) -> str:
    """What hovering over a dot says: its name and both numbers."""
    axes = ((form.x, dot.x), (form.y, dot.y))
    return "<br>".join(hover_text(f"{dot.name} · {axis.title}", mark) for axis, mark in axes)
