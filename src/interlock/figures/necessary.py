"""Figures of whether the units found are needed: ablated as sets, and one by one."""

import numpy as np

from interlock.figures.counts import counted, named, told
from interlock.figures.forms import Axis, Bars, Figure, Line, Lines, Mark, Panel, Series
from interlock.figures.palette import Role
from interlock.tables import Cell, Table

TOP = 20
_SETS: tuple[tuple[str, Role], ...] = (("found", "found"), ("matched random", "random"))
_ROLES: tuple[Role, ...] = ("first", "second", "third")


def sizes(table: Table, name: str) -> Figure:
    """Refusal and NLL against the number of units ablated, the set found beside random sets."""
    ablations = [str(each) for each in dict.fromkeys(table.columns["ablation"])]
    size = Axis("units ablated (count)")
    refusal = tuple(
        Panel(
            f"ablation: {ablation}", size, Axis("refusal (share)", 0.0, 1.0),
            _lines(table.where(ablation=ablation), "refusal"),
        )
        for ablation in ablations
    )  # fmt: skip
    over = tuple(
        Panel(
            "", size, Axis("over-refusal (share)", 0.0, 1.0),
            _lines(table.where(ablation=each), "over_refusal"),
        )
        for each in ablations
    )  # fmt: skip
    rise = tuple(
        Panel(
            "", size, Axis("NLL rise (nat/token)"), _lines(table.where(ablation=each), "nll_rise")
        )
        for each in ablations
    )
    random = table.where(sets="matched random")
    counts = sorted({int(count) for count in random.columns.get("count", ())})
    many = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0] if counts else 0}"
    return Figure(
        named(name),
        "Refusal without the units found",
        "Does refusal fall when the units are taken away, and does anything else break?",
        "From the top: refusal of harmful prompts; refusal of harmless ones; rise of NLL on "
        "neutral text, a sign that the model breaks rather than stops refusing. "
        f"{_not_measured(table)}",
        f"{counted(table, 'replies a point')} {many} matched random sets a size{_asked(random)}.",
        told(table, "interval", "95 %."),
        told(table, "control", "random sets of the same size, matched in kind and layer (grey)."),
        Lines((*refusal, *over, *rise), max(len(ablations), 1), (0.4, 0.3, 0.3)),
        name,
    )


def single(table: Table, name: str) -> Figure:
    """How far refusal falls when each unit is ablated alone."""
    ablations = [str(each) for each in dict.fromkeys(table.columns["ablation"])]
    rows = {(str(row["site"]), str(row["ablation"])): row for row in table.rows()}
    sites = sorted(
        dict.fromkeys(site for site, _ in rows),
        key=lambda site: -max(float(row["fall"]) for key, row in rows.items() if key[0] == site),
    )
    series = tuple(
        Series(
            f"ablation: {ablation}", _ROLES[number % len(_ROLES)],
            tuple(_fall(rows.get((site, ablation))) for site in sites[:TOP]),
        )
        for number, ablation in enumerate(ablations)
    )  # fmt: skip
    return Figure(
        named(name),
        "Each unit ablated alone",
        "Is any one unit needed, or do others take over?",
        f"The {min(TOP, len(sites))} of {len(sites):,} units with the largest fall; "
        "being chosen by this very number, the largest come out somewhat too large. A small fall "
        "of a unit that matters within a set suggests that others stand in for it.",
        counted(table, "replies before and after"),
        told(table, "interval", "95 %."),
        "the same prompts with no unit ablated (0).",
        Bars(tuple(sites[:TOP]), series, Axis("fall of refusal (share of replies)")),
        name,
    )


def _lines(table: Table, value: str) -> tuple[Line, ...]:
    lines = []
    for name, role in _SETS:
        rows = sorted(table.where(sets=name).rows(), key=lambda row: int(row["size"]))
        if rows:
            marks = tuple(_mark(row, value) for row in rows)
            x = tuple(float(row["size"]) for row in rows)
            banded = any(mark.low == mark.low for mark in marks)
            lines.append(Line(name, role, x, marks, band=banded))
    return tuple(lines)


def _mark(row: dict[str, Cell], value: str) -> Mark:
    low, high = (row.get(name, float("nan")) for name in _ends(value))
    note = (
        f"n = {row['n']} replies, {row['count']} sets; "
        f"over-refusal {float(row['over_refusal']):.2f}, degenerate {float(row['degenerate']):.2f}"
    )
    return Mark(float(row[value]), float(low), float(high), note)


def _ends(value: str) -> tuple[str, str]:
    return ("low", "high") if value == "refusal" else (f"{value}_low", f"{value}_high")


def _not_measured(table: Table) -> str:
    """What the panels cannot show, so that a gap is not taken for a zero."""
    names = {"over_refusal": "Refusal of harmless prompts", "nll_rise": "The rise of NLL"}
    bare = [words for value, words in names.items() if _ends(value)[0] not in table.columns]
    said = f"{' and '.join(bare)}: no interval was stored. " if bare else ""
    asked = table.where(sets="matched random")["over_refusal"].astype(float)
    if np.isnan(asked).any():
        said += "Harmless prompts were not asked while random sets were ablated."
    return said


def _asked(random: Table) -> str:
    """How many of the random sets were asked the harmless prompts, where that was stored."""
    if "asked_harmless" not in random.columns or not len(random):
        return ""
    most = int(max(random["asked_harmless"]))
    return f", {most} of them asked harmless prompts too" if most else ""


def _fall(row: dict[str, Cell] | None) -> Mark | None:
    if row is None:
        return None
    note = (
        f"refusal {float(row['refusal']):.2f} left, NLL rise {float(row['nll_rise']):.3f} "
        f"nat/token, n = {row['n']}"
    )
    return Mark(float(row["fall"]), float(row["fall_low"]), float(row["fall_high"]), note)
