"""Prompts written out with every token shaded, for the page (plotly) and for paper (matplotlib).

A token is a bar as long as its text, so that lines read as text and can be wrapped. Tokens are
others' text: they go through `inert` on the page and `visible` on paper.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from interlock.figures.dressing import Chart, drawn_axis, hover_text, page_layout
from interlock.figures.forms import Axis, Word, Words
from interlock.figures.labels import inert, shortened
from interlock.figures.palette import DIVERGING, SEQUENTIAL, ink

_LINE = 88  # characters
_LONGEST = 24  # characters of one token
_ROW = 22  # pixels
_MONO = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, monospace"


@dataclass(frozen=True)
class _Placed:
    """A word on its line; start and width in characters."""

    word: Word
    text: str
    line: float
    start: int
    width: int


@dataclass(frozen=True)
class _Page:
    """Everything placed: words, headings by their line, and how many lines there are."""

    words: tuple[_Placed, ...]
    headings: tuple[tuple[float, str], ...]
    lines: float


def worded_chart(form: Words) -> Chart:
    """The passages as plotly JSON; every string in it is inert."""
    page = _laid(form)
    low, high = _ends(form)
    stops = DIVERGING if form.diverging else SEQUENTIAL
    layout = page_layout(
        round(page.lines * _ROW) + 70,
        annotations=[_headed(line, text) for line, text in page.headings],
        barmode="overlay",
        showlegend=False,
        xaxis=drawn_axis(Axis(""), range=[0, _LINE], visible=False),
        yaxis=drawn_axis(Axis(""), range=[page.lines, -0.5], visible=False),
        coloraxis={
            "colorscale": [list(stop) for stop in stops], "cmin": low, "cmax": high,
            "colorbar": {
                "title": {"text": inert(form.colour.title), "side": "right"}, "thickness": 10,
                "lenmode": "pixels", "len": 150, "y": 1, "yanchor": "top",
                "outlinewidth": 0, "tickfont": {"size": 11},
            },
        },
    )  # fmt: skip
    bars = {
        "type": "bar", "orientation": "h", "width": 0.86,
        "base": [each.start for each in page.words],
        "x": [each.width - 0.15 for each in page.words],
        "y": [each.line for each in page.words],
        "marker": {"color": [_shade(form, each.word) for each in page.words]},
        "text": [inert(each.text) for each in page.words],
        "textposition": "inside", "insidetextanchor": "middle", "textangle": 0,
        "textfont": {"family": _MONO, "size": 12,
                     "color": [_ink(form, each.word) for each in page.words]},
        "hoverinfo": "text", "hovertext": [_hover(each.word) for each in page.words],
    }  # fmt: skip
    # plotly cannot write text on bars that are coloured by a scale; a point unseen shows the scale
    scale = {
        "type": "scatter", "mode": "markers", "x": [None], "y": [None], "hoverinfo": "skip",
        "marker": {"color": [low], "coloraxis": "coloraxis"},
    }  # fmt: skip
    return {"data": [bars, scale], "layout": layout}


def worded_height(form: Words) -> float:
    """How high the printed figure is, in inches."""
    return 0.8 + 0.17 * _laid(form).lines


def worded_print(sheet: Any, form: Words) -> None:  # noqa: ANN401 - a matplotlib figure
    """The passages on paper."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    page, (low, high) = _laid(form), _ends(form)
    stops = DIVERGING if form.diverging else SEQUENTIAL
    colours = LinearSegmentedColormap.from_list("interlock", list(stops))
    axes = sheet.add_subplot()
    shades = ScalarMappable(Normalize(low, high), colours)
    for each in page.words:
        axes.barh(each.line, each.width - 0.15, 0.86, each.start, color=_shade(form, each.word))
        axes.text(
            each.start + each.width / 2, each.line, each.text, ha="center", va="center",
            fontsize=5.5, family="monospace", color=_ink(form, each.word),
        )  # fmt: skip
    for line, text in page.headings:
        axes.text(0, line, shortened(text, 80), ha="left", va="center", fontsize=7.5)
    axes.set(xlim=(0, _LINE), ylim=(page.lines, -0.5))
    axes.set_axis_off()
    sheet.colorbar(shades, ax=axes, label=form.colour.title, location="bottom", shrink=0.4)


def _laid(form: Words) -> _Page:
    """Passages one below another under their headings, wrapped between tokens."""
    line, words, headings = 0.0, [], []
    last = ""
    for passage in form.passages:
        if passage.heading != last:
            line += 0.4 if headings else 0.0
            headings.append((line, passage.heading))
            last, line = passage.heading, line + 1
        placed = list(_wrapped(passage.words, line))
        words += placed
        line = (placed[-1].line if placed else line) + 1.25
    return _Page(tuple(words), tuple(headings), line)


def _wrapped(words: tuple[Word, ...], line: float) -> Iterator[_Placed]:
    start = 0
    for word in words:
        # a token of spaces alone is shown as one
        text = shortened(word.text.strip(" ") or "\N{OPEN BOX}", _LONGEST)
        width = len(text) + 2
        if start + width > _LINE:
            start, line = 0, line + 1
        yield _Placed(word, text, line, start, width)
        start += width


def _ends(form: Words) -> tuple[float, float]:
    low, high = form.colour.low, form.colour.high
    return (0.0 if low is None else low), (1.0 if high is None else high)


def _share(form: Words, word: Word) -> float:
    """Where a word's number lies between the ends of the colour scale."""
    low, high = _ends(form)
    value = word.mark.value
    if not math.isfinite(value):
        return 0.5 if form.diverging else 0.0
    return min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0)


def _ink(form: Words, word: Word) -> str:
    return ink(_share(form, word), form.diverging)


def _shade(form: Words, word: Word) -> str:
    """A word's colour, as the scale mixes it."""
    share = _share(form, word)
    stops = DIVERGING if form.diverging else SEQUENTIAL
    (low, first), (high, second) = next(pair for pair in pairwise(stops) if share <= pair[1][0])
    part = (share - low) / (high - low)
    mixed = [
        round(
            (1 - part) * int(first[place : place + 2], 16)
            + part * int(second[place : place + 2], 16)
        )
        for place in (1, 3, 5)
    ]
    return "#" + "".join(f"{each:02x}" for each in mixed)


def _hover(word: Word) -> str:
    return hover_text(word.text, word.mark)


def _headed(line: float, text: str) -> Chart:
    return {
        "text": f"<b>{inert(shortened(text, 80))}</b>", "x": 0, "y": line, "xref": "x", "yref": "y",
        "showarrow": False, "xanchor": "left", "yanchor": "middle", "font": {"size": 12.5},
    }  # fmt: skip
