"""Figures: what the tables of a run show, drawn for a page (plotly) or for paper (matplotlib)."""

from collections.abc import Callable, Mapping

from interlock.figures import (
    attended,
    bands,
    behaviour,
    circuit,
    curves,
    directions,
    necessary,
    patched,
    sharing,
    signals,
    weights,
    where,
    words,
)
from interlock.figures.forms import Figure
from interlock.figures.interactive import chart
from interlock.figures.printed import draw
from interlock.tables import Table

Maker = Callable[[Table, str], Figure | None]

# in reading order: the columns that a table of any name has, and what is drawn of it then
_MAKERS: tuple[tuple[str, tuple[Maker, ...]], ...] = (
    ("group expected refusal low high n topics", (behaviour.rates,)),
    ("expected observed count", (behaviour.confusion,)),
    ("judge other unlike kappa low high", (behaviour.disagreement,)),
    ("kind layer position direction share low high", (where.layers, where.positions)),
    ("band layers position source share low high", (bands.bands,)),
    ("direction prompts patched sets refusal low high degenerate", (patched.said,)),
    ("position layers prompts value low high", (signals.drawing,)),
    ("site direction share low high rank", (where.units,)),
    ("site drawn approximate share low high", (where.checked,)),
    ("set kind restored low high", (where.sets,)),
    ("head example position token weight", (attended.attention,)),
    ("site rank activity expected example prompt", (attended.strongest,)),
    ("site example position token moved", (attended.moved,)),
    ("example position token side mean drawn estimate swap", (words.shaded,)),
    ("side part replaced share low high", (words.by_part,)),
    ("word effect low high topics harmless", (words.ranking,)),
    ("size share low high control most_control jaccard", (curves.carried,)),
    ("source target part number share low high", (sharing.matrix,)),
    ("source target share low high", (circuit.drawing,)),
    ("size sets ablation refusal low high", (necessary.sizes,)),
    ("site ablation fall fall_low fall_high", (necessary.single,)),
    ("site layer position bypass induce kl arditi_survives", (directions.scores, directions.moved)),
    ("does variant directions value low high", (directions.changed,)),
    ("category value low high n topics", (directions.unseen,)),
    ("direction stream share low high", (directions.streams,)),
    ("measure of on value low high", (directions.cosines, directions.crossed)),
    (
        "p q sets count sparsity refusal compliance nll_rise degenerate",
        (weights.brittleness, weights.pareto),
    ),
    (
        "p q sets count share ranks refusal compliance nll_rise degenerate",
        (weights.brittleness, weights.pareto),
    ),
    ("layer type mean largest share weights", (weights.scores,)),
    ("layer type first second both weights jaccard", (weights.alike,)),
)

__all__ = ["Figure", "all_figures", "chart", "draw", "drawable"]


def all_figures(tables: Mapping[str, Table]) -> tuple[Figure, ...]:
    """The figures that the tables allow, in reading order; a missing or empty table gives none."""
    found = []
    known = {name: _place(table) for name, table in tables.items() if len(table)}
    for place, (_, makers) in enumerate(_MAKERS):
        mine = [name for name, at in known.items() if at == place]
        found += [make(tables[name], name) for name in mine for make in makers]
    return tuple(figure for figure in found if figure is not None)


def drawable(table: Table) -> bool:
    """Whether there is a figure of tables with these columns."""
    return _place(table) is not None


def _place(table: Table) -> int | None:
    """The first kind of table whose columns this one has."""
    for place, (columns, _) in enumerate(_MAKERS):
        if table.columns.keys() >= set(columns.split()):
            return place
    return None
