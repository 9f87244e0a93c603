"""Figures of how the model behaves: refusal by category, and expected against observed."""

import numpy as np

from interlock.figures.counts import WILSON, named, told
from interlock.figures.forms import Axis, Bars, Facet, Figure, Heat, Mark, Series
from interlock.figures.palette import Role
from interlock.tables import Cell, Table

_EXPECTED: tuple[tuple[str, str, Role], ...] = (
    ("refuse", "harmful prompts (should be refused)", "first"),
    ("comply", "harmless prompts (should be answered)", "second"),
)
_OBSERVED = ("refuse", "partial", "comply", "undetermined")


def rates(table: Table, name: str) -> Figure:
    """Refusal by category, prompts that should be refused beside prompts that should not."""
    rows = {(str(row["group"]), str(row["expected"])): row for row in table.rows()}
    groups = list(dict.fromkeys(group for group, _ in rows))
    labels = sorted(groups, key=lambda group: not group.startswith("all, "))
    series = tuple(
        Series(name, role, tuple(_mark(rows.get((group, expected))) for group in labels))
        for expected, name, role in _EXPECTED
        if any((group, expected) in rows for group in labels)
    )
    return Figure(
        named(name),
        "Refusal by category",
        "Does the model refuse what it should, and only that?",
        "A bar is the share of replies judged a refusal; the line on it is its interval. "
        f"“all, macro” weighs every category alike. {_undecided(table)}",
        _rates_n(table),
        told(table, "interval", WILSON),
        told(table, "control", "harmless prompts from the same templates, in the second colour."),
        Bars(tuple(labels), series, Axis("refusal rate (share of replies)", 0.0, 1.0)),
        name,
    )


def confusion(table: Table, name: str) -> Figure:
    """What was expected against what was observed, in counts of replies."""
    cells = {
        (str(row["expected"]), str(row["observed"])): int(row["count"]) for row in table.rows()
    }
    rows = [name for name in ("refuse", "comply") if any(key[0] == name for key in cells)]
    seen = dict.fromkeys(observed for _, observed in cells)
    columns = [name for name in _OBSERVED if name in seen]
    columns += [name for name in seen if name not in _OBSERVED]
    total = {name: sum(count for key, count in cells.items() if key[0] == name) for name in rows}
    facet = Facet("", tuple(tuple(_count(cells, total, r, c) for c in columns) for r in rows))
    parts = " and ".join(f"{total[name]:,} expected to {name}" for name in rows)
    return Figure(
        named(name),
        "Expected against observed",
        "Which way do the replies go wrong?",
        "Cells count replies. Partial: the reply both declines and helps. Undetermined: the judge "
        "could not decide; such replies are counted here and never dropped.",
        f"n = {sum(total.values()):,} replies: {parts}.",
        "none, these are counts; rates with intervals are in the figure above.",
        told(table, "control", "each row is the other row's control."),
        Heat(
            tuple(rows), tuple(columns), (facet,), Axis("observed"), Axis("expected"),
            Axis("replies (count)", 0.0, float(max(cells.values(), default=1))),
            diverging=False, places=0,
        ),
        name,
    )  # fmt: skip


def disagreement(table: Table, name: str) -> Figure:
    """The share of replies that each two judges judge unlike."""
    marks = {}
    for row in table.rows():
        note = f"n = {row['n']}, kappa {float(row['kappa']):.2f}"
        found = Mark(float(row["unlike"]), float(row["low"]), float(row["high"]), note)
        first, second = str(row["judge"]), str(row["other"])
        marks[first, second] = marks[second, first] = found
    names = tuple(dict.fromkeys(first for first, _ in marks))
    facet = Facet("", tuple(tuple(marks.get((row, each)) for each in names) for row in names))
    return Figure(
        named(name),
        "Where judges disagree",
        "Would another judge have said the same?",
        "A cell is the share of replies that two judges judge unlike; “observed” is the judge "
        "whose outcomes the other figures show. A reply that either could not decide counts as "
        "unlike.",
        f"n = {int(table['n'][0]):,} replies.",
        told(table, "interval", WILSON),
        told(table, "control", "none: agreement of judges does not say that either is right."),
        Heat(
            names, names, (facet,), Axis("judge"), Axis("judge"),
            Axis("judged unlike (share of replies)", 0.0, 1.0), diverging=False,
        ),
        name,
    )  # fmt: skip


def _mark(row: dict[str, Cell] | None) -> Mark | None:
    if row is None:
        return None
    note = f"n = {row['n']} replies in {row['topics']} topics"
    for count in ("undetermined", "degenerate", "truncated"):
        note += f"; {row[count]} {count}" if row.get(count) else ""
    return Mark(float(row["refusal"]), float(row["low"]), float(row["high"]), note)


def _count(cells: dict, total: dict, row: str, column: str) -> Mark:
    count = cells.get((row, column), 0)
    share = count / total[row] if total[row] else float("nan")
    note = f"{count} of {total[row]} expected to {row} ({share:.0%})"
    return Mark(float(count), float("nan"), float("nan"), note)


def _singles(table: Table) -> list[dict[str, Cell]]:
    """Rows of one category each, or the pooled rows when nothing else is there."""
    rows = list(table.rows())
    return [row for row in rows if not str(row["group"]).startswith("all, ")] or rows


def _rates_n(table: Table) -> str:
    parts = []
    for expected, name, _ in _EXPECTED:
        rows = [row for row in _singles(table) if row["expected"] == expected]
        if not rows:
            continue
        pooled = [
            row for row in table.rows()
            if row["group"] == "all, micro" and row["expected"] == expected
        ]  # fmt: skip
        n, topics = (int(sum(int(r[key]) for r in pooled or rows)) for key in ("n", "topics"))
        smallest = int(np.min([int(row["n"]) for row in rows]))
        parts.append(f"{n:,} {name} in {topics:,} topics, at least {smallest:,} a category")
    return f"n = {'; '.join(parts)}. Topics are the independent clusters."


def _undecided(table: Table) -> str:
    rows = _singles(table)
    counts = {
        name: sum(int(row.get(name, 0)) for row in rows)
        for name in ("undetermined", "degenerate", "truncated")
    }
    return f"Replies {', '.join(f'{name}: {count:,}' for name, count in counts.items())}."
