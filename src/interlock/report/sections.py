"""The page's sections: tables by the question they answer, drawn where a figure is known."""

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from interlock.figures import Figure, chart
from interlock.figures.bars import interval_bar
from interlock.figures.labels import decimal
from interlock.report.verdicts import View, number, row_of
from interlock.tables import Table, csv_text

ROWS = 400
LONG = 200  # what is said of a table in more characters is left to its file
OPEN_ROWS = 16  # a table without a figure is open if it is this short
_SHOWN_ELSEWHERE = ("behaviour.measures", "behaviour.replies")
_SECTIONS = {
    "behaviour": ("Behaviour", "What the model says when asked, judged against what it should."),
    "where": ("Where", "Which layers and units carry the decision to refuse."),
    "necessary": ("Necessary", "What happens to refusal, and to all else, without those units."),
    "direction": (
        "Direction", "Whether one direction of the residual stream carries refusal, or several."
    ),
    "categories": (
        "Categories", "Whether all categories of harm share one mechanism, or have one each."
    ),
    "weights": ("Weights", "Whether refusal sits in few weights, and what goes with them."),
    "explain": (
        "Explained", "One prompt beside the nearest ones that the model treated the other way."
    ),
    "steps": ("Further steps", "What steps found that no claim of this study sums up."),
}  # fmt: skip
_TITLES = {
    "behaviour.calibration": "Opening score against replies",
    "behaviour.openers": "Tokens that open refusals",
    "where.approximation": "Approximate effects, checked exactly",
    "where.bands.quantities": "What the rules on early, middle and late layers look at",
    "where.carrying": "How many units carry enough of the effect",
    "where.metrics": "The set found as a circuit: alone, removed, and in parts",
    "where.original": "The original study's criteria, each with its control",
    "categories.quantities": "What the rules on categories look at",
    "weights.pruning": "What goes with the weights taken out",
    "weights.ranks": "What goes with directions of the weights' outputs",
    "weights.top_ranks": "What goes with the directions that refusals use most",
}


def anchors_of(figures: Iterable[Figure], tables: Mapping[str, Table]) -> dict[str, str]:
    """Table name to the element that shows it."""
    found = {name: f"table-{_anchor(name)}" for name in tables}
    if "behaviour.replies" in found:
        found["behaviour.replies"] = "behaviour"
    # the first figure of a table holds its numbers
    first = {figure.table: f"figure-{figure.id}" for figure in reversed(list(figures))}
    return found | first


def _anchor(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", name)


def sections_of(figures: Sequence[Figure], tables: Mapping[str, Table]) -> list[View]:
    """Every section that has something to show, in reading order."""
    drawn = {figure.table: figure.id for figure in reversed(figures)}
    named = {name: _section(name) for name in tables}
    sections = []
    for key, (title, lead) in _SECTIONS.items():
        mine = [name for name, section in named.items() if section == key]
        mine.sort(key=lambda name: name.endswith(".summary"))  # what a claim rests on comes first
        if mine:
            others = [name for name in mine if name not in drawn and name not in _SHOWN_ELSEWHERE]
            sections.append(
                {
                    "id": _anchor(key), "title": title, "lead": lead,
                    "measures": _measures(tables) if key == "behaviour" else [],
                    "figures": [
                        _figure(each, tables, drawn[each.table])
                        for each in figures
                        if each.table in mine
                    ],
                    "others": [_told(name, tables[name]) for name in others if len(tables[name])],
                    **_replies(tables if key == "behaviour" else {}),
                }
            )  # fmt: skip
    return sections


def _section(name: str) -> str:
    key = name.split(".")[0]
    return key if key in _SECTIONS else "steps"


def _figure(figure: Figure, tables: Mapping[str, Table], first: str) -> View:
    drawing = chart(figure)
    return {
        "figure": figure,
        "json": _json_block(drawing),
        "height": drawing["layout"]["height"],
        "table": _table(figure.table, tables[figure.table]) if figure.id == first else None,
        "first": first,
    }


def _measures(tables: Mapping[str, Table]) -> list[View]:
    if "behaviour.measures" not in tables:
        return []
    views = []
    for row in tables["behaviour.measures"].rows():
        ends = (number(row["value"]), number(row["low"]), number(row["high"]))
        unit = str(row["unit"])
        views.append(row_of(str(row["measure"]), ends, None, unit) | {"unit": unit, "n": row["n"]})
    return views


def _replies(tables: Mapping[str, Table]) -> View:
    if "behaviour.replies" not in tables:
        return {"replies": [], "replies_csv": ""}
    table = tables["behaviour.replies"]
    groups: dict[bool, list] = {False: [], True: []}
    for row in table.rows():
        groups[row["expected"] == row["observed"]].append(row)
    titles = ("Replies that were not as expected", "Replies as expected")
    return {
        "replies": [
            {"title": title, "total": len(rows), "rows": rows[:ROWS]}
            for title, rows in zip(titles, groups.values(), strict=True)
            if rows
        ],
        "replies_csv": _csv(table),
    }


def _table(name: str, table: Table) -> View:
    rows = [
        [_cell(cell) for cell in row.values()]
        for row, _ in zip(table.rows(), range(ROWS), strict=False)
    ]
    columns = [
        {
            "title": f"{column} ({table.units[column]})" if column in table.units else column,
            "numeric": all(isinstance(cell, int | float) for cell in values),
        }
        for column, values in table.columns.items()
    ]
    return {
        "name": name, "anchor": _anchor(name), "columns": columns, "rows": rows, "bars": [],
        "bars_at": -1,
        "total": len(table), "left_out": len(table) - len(rows), "csv": _csv(table),
    }  # fmt: skip


def _told(name: str, table: Table) -> View:
    """A table that has no figure: its intervals drawn beside its numbers, and what it is of."""
    bars = _bars(table)
    return _table(name, table) | {
        "heading": _TITLES.get(name) or f"Step {name.removesuffix('.summary')}",
        "bars": bars,
        "bars_at": list(table.columns).index("high") if bars else -1,
        "open": bool(bars) and len(table) <= OPEN_ROWS,
        "about": [(key, text) for key, text in table.about.items() if len(str(text)) < LONG],
    }


def _bars(table: Table) -> list[Any]:
    """An interval bar per row, on one scale unless the rows differ in unit."""
    names = list(table.columns)
    if "low" not in names or "high" not in names or not names.index("low"):
        return []
    value = names[names.index("low") - 1]
    ends = [(number(row[value]), number(row["low"]), number(row["high"])) for row in table.rows()]
    apart = "unit" in names
    beside = [] if apart else [each for row in ends for each in row if math.isfinite(each)]
    return [
        interval_bar(row, None, share=str(unit).startswith("share"), beside=beside)
        for row, unit in zip(
            ends[:ROWS], table.columns["unit"] if apart else [""] * len(ends), strict=False
        )
    ]


def _cell(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        whole = math.isfinite(cell) and cell == int(cell) and abs(cell) >= 2
        return decimal(cell, 0 if whole else 3)
    return str(cell)


def _csv(table: Table) -> str:
    """The whole table as a data link."""
    data = base64.b64encode(csv_text(table).encode("utf-8", "backslashreplace"))
    return f"data:text/csv;charset=utf-8;base64,{data.decode()}"


def _json_block(value: View) -> Markup:
    """JSON that cannot end or escape the script element that holds it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704
