"""What all plotly charts share: layout, axes, hover texts, intervals; every string made inert."""

import math
from typing import Any

from interlock.figures.forms import Axis, Mark
from interlock.figures.geometry import bounded, folded, reach
from interlock.figures.labels import inert, interval, shortened

Chart = dict[str, Any]

_GRID = "rgba(127,137,147,0.22)"
_ZERO = "rgba(127,137,147,0.65)"
_WIDE = 60  # characters of a title that the narrowest chart has room for
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def page_layout(height: int, **more: object) -> Chart:
    """The layout of a chart so many pixels high."""
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


def drawn_axis(axis: Axis, **more: object) -> Chart:
    """An axis of numbers with its title."""
    return {
        "title": {"text": inert(axis.title), "standoff": 10, "font": {"size": 12.5}},
        "type": "linear",
        "gridcolor": _GRID,
        "zerolinecolor": _ZERO,
        "zerolinewidth": 1,
        "fixedrange": True,
        "automargin": True,
        "tickfont": {"size": 12},
        **more,
    }


def named_axis(axis: Axis, labels: tuple[str, ...], shown: list[int], **more: object) -> Chart:
    """An axis of positions with names, so that no name is read as a number or a date."""
    names = [inert(shortened(labels[place])) for place in shown]
    fixed = {"tickmode": "array", "tickvals": shown, "ticktext": names, "ticks": ""}
    return drawn_axis(axis, **fixed, showgrid=False, zeroline=False, **more)


def finite(value: float) -> float | None:
    """The number, or nothing where JSON has none for it."""
    return value if math.isfinite(value) else None


def hover_text(label: str, mark: Mark) -> str:
    """A mark's label, its numbers and what else is known of it."""
    numbers = interval(mark.value, mark.low, mark.high)
    if not bounded(mark):
        numbers = numbers.split(" [")[0]
    return f"<b>{inert(label)}</b><br>{numbers}<br>{inert(mark.note)}"


def error_bars(marks: list[Mark], ends: tuple[float, float], width: int) -> Chart:
    """The marks' intervals; `width` is that of their caps (pixels)."""
    reaches = [reach(mark, ends) for mark in marks]
    return {
        "type": "data", "symmetric": False, "thickness": 1.5, "width": width, "color": "#3b434b",
        "arrayminus": [down for down, _ in reaches], "array": [up for _, up in reaches],
    }  # fmt: skip


def heading(text: str, x: float, y: float, across: int = 1) -> Chart:
    """A title over one pair of axes, at shares of the page; folded where others stand beside it."""
    lines = [text] if across == 1 else folded(text, _WIDE // across)
    return {
        "text": "<br>".join(map(inert, lines)), "align": "left", "x": x, "y": y,
        "xref": "paper", "yref": "paper", "showarrow": False,
        "xanchor": "left", "yanchor": "bottom", "font": {"size": 12.5},
    }  # fmt: skip


def legend_key(name: str, colour: str) -> Chart:
    """An entry of the legend with nothing drawn for it."""
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": [None], "y": [None],
        "marker": {"symbol": "square", "size": 13, "color": faint(colour, 0.45)},
        "hoverinfo": "skip",
    }  # fmt: skip


def faint(colour: str, opacity: float = 0.16) -> str:
    """A colour of the palette that lets what is behind it through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
