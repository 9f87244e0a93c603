"""Figures of how many components carry an effect."""

import math

from interlock.figures.counts import BOOTSTRAP, counted, named, told
from interlock.figures.forms import Axis, Figure, Line, Lines, Mark, Panel
from interlock.tables import Cell, Table

ENOUGH = 0.80  # share of the gap, drawn as a level
_RANDOM = "matched random"

Rows = list[dict[str, Cell]]


def carried(table: Table, name: str) -> Figure:
    """The share of the gap that the first units carry together, and how stable their choice is."""
    ways = _ways(table)
    size = Axis("units together (count)")
    shares = tuple(
        Panel(way, size, Axis("share of the gap"), _lines(rows), ENOUGH)
        for way, rows in ways.items()
    )
    alike = tuple(
        Panel("", size, Axis("Jaccard", 0.0, 1.0), _alike(rows)) for rows in ways.values()
    )
    stable = any(panel.lines for panel in alike)
    return Figure(
        named(name),
        "How many components carry the effect",
        "How many units does it take, and would other prompts have chosen the same ones?",
        "Units are taken in the order of their effect on other prompts; the dashed line is "
        f"{ENOUGH:.0%} of the gap. "
        + ("Lower panels: how alike the sets are that resampled prompts choose (1: the same); "
           "below 0.8 the choice is not stable. " if stable else "")
        + "Effects do not add up: units in a chain carry the same effect again.",
        counted(table, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        told(table, "control", "random sets of as many units, matched in kind and layer (grey)."),
        Lines(
            (*shares, *alike) if stable else shares,
            len(ways),
            (0.66, 0.34) if stable else (1.0,),
        ),
        name,
    )  # fmt: skip


def _ways(table: Table) -> dict[str, Rows]:
    """Rows by how the units were taken: removed from the model, or restored alone."""
    ways: dict[str, Rows] = {}
    for row in table.rows():
        ways.setdefault(str(row.get("units", "")), []).append(row)
    return {way: sorted(rows, key=lambda row: int(row["size"])) for way, rows in ways.items()}


def _lines(rows: Rows) -> tuple[Line, ...]:
    found = Line("found", "found", _sizes(rows), tuple(_mark(row) for row in rows))
    kept = [row for row in rows if math.isfinite(float(row["control"]))]
    if not kept:
        return (found,)
    name = f"{_RANDOM}: mean, shaded to the largest"
    return found, Line(name, "random", _sizes(kept), tuple(_control(row) for row in kept))


def _alike(rows: Rows) -> tuple[Line, ...]:
    kept = [row for row in rows if math.isfinite(float(row["jaccard"]))]
    if not kept:
        return ()
    marks = tuple(Mark(float(row["jaccard"]), math.nan, math.nan) for row in kept)
    return (Line("choice of units", "third", _sizes(kept), marks, band=False),)


def _sizes(rows: Rows) -> tuple[float, ...]:
    return tuple(float(row["size"]) for row in rows)


def _mark(row: dict[str, Cell]) -> Mark:
    note = f"n = {row['n']} pairs in {row['topics']} topics"
    return Mark(float(row["share"]), float(row["low"]), float(row["high"]), note)


def _control(row: dict[str, Cell]) -> Mark:
    mean, most = float(row["control"]), float(row["most_control"])
    return Mark(mean, mean, most, "mean of the random sets, to the largest of them")
