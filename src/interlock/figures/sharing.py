"""Figures of whether all categories of harm share one mechanism."""

from interlock.figures.counts import BOOTSTRAP, counted, named, told
from interlock.figures.forms import Axis, Facet, Figure, Heat, Mark
from interlock.figures.labels import decimal
from interlock.tables import Cell, Table

_PARTS: tuple[tuple[str, str], ...] = (
    ("whole", "everything found on a category"),
    ("own", "its own part: without the core"),
)
_CORE = "core of all"


def matrix(table: Table, name: str) -> Figure | None:
    """What is lost of every category's gap when another category's units are ablated."""
    targets = tuple(dict.fromkeys(str(each) for each in table.columns["target"]))
    parts = [(part, words) for part, words in _PARTS if len(table.where(part=part))]
    if not parts:
        return None
    marks = {
        (str(row["part"]), str(row["source"]), str(row["target"])): _mark(row)
        for row in table.rows()
        if not int(row["number"])
    }
    sources = tuple(dict.fromkeys(source for part, source, _ in marks if part == parts[0][0]))
    core = any(part == "core" for part, _, _ in marks)
    rows = (*sources, _CORE) if core else sources
    facets = tuple(
        Facet(
            words,
            tuple(
                tuple(marks.get(_key(part, source, target)) for target in targets)
                for source in rows
            ),
        )
        for part, words in parts
    )
    bound = max([1.0, *(abs(mark.value) for mark in marks.values())])
    return Figure(
        named(name),
        "One mechanism for all categories, or one each",
        "Do the units found on one category carry the refusal of the others?",
        "Rows: the category that units were found on. Columns: the category that they are measured "
        "on, on other prompts. A cell is the share of the column's gap that goes when the row's "
        "units are ablated. Even rows speak for one shared mechanism, a lone diagonal for one "
        "each; private detectors before a shared rest are even on the left and a diagonal on "
        "the right. The core is what most categories' sets have in common. Numbers in brackets, or "
        "a cross: the interval includes 0.",
        counted(table, "pairs a column"),
        told(table, "interval", BOOTSTRAP),
        _control(table),
        Heat(
            rows, targets, facets, Axis("measured on"), Axis("found on"),
            Axis("share of the gap that goes", -bound, bound), across=len(facets),
        ),
        name,
    )  # fmt: skip


def _key(part: str, source: str, target: str) -> tuple[str, str, str]:
    if source == _CORE:
        return ("core", "", target) if part == "whole" else (part, source, target)
    return part, source, target


def _mark(row: dict[str, Cell]) -> Mark:
    note = f"{row['size']} units; n = {row['n']} pairs in {row['topics']} topics"
    return Mark(float(row["share"]), float(row["low"]), float(row["high"]), note)


def _control(table: Table) -> str:
    random = table.where(part="matched random")
    if not len(random):
        return "none: no random set of the same kinds and layers could be drawn."
    shares = random["share"]
    sets = len(set(zip(random["source"].tolist(), random["number"].tolist(), strict=True)))
    return (
        f"{sets} random sets of the same size, kinds and layers take {decimal(shares.mean())} of "
        f"the gap on average, {decimal(shares.max())} at most."
    )
