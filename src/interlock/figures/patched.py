"""Figure of what the model says while a set of units is patched."""

from interlock.figures.counts import WILSON, named, told
from interlock.figures.forms import Axis, Bars, Figure, Mark, Series
from interlock.tables import Cell, Table

_ASKED = {"denoise": "harmless", "noise": "harmful"}
_QUESTIONS = {
    "denoise": "With the harmful prompts' values in the set found, does it refuse harmless ones?",
    "noise": "With the harmless prompts' values in the set found, does it still refuse?",
}


def said(table: Table, name: str) -> Figure:
    """Refusals by kind of set, of the prompts that were patched."""
    direction = table.about.get("direction", "denoise")
    rows = list(table.rows())
    random = next((int(row["sets"]) for row in rows if row["patched"] == "matched random"), 0)
    broken = ", ".join(f"{row['patched']} {_broken(row)}" for row in rows)
    return Figure(
        named(name),
        f"Replies to {_ASKED[direction]} prompts, patched",
        _QUESTIONS[direction],
        "A bar is the share of whole replies judged a refusal. Only the prompt's tokens are "
        "patched: the tokens of the reply are the model's own, so a reply may open as the other "
        f"prompt's and not go on like it. Replies that are empty or loop: {broken}.",
        f"n = {rows[0]['n']} pairs of prompts in {rows[0]['topics']} topics.",
        told(table, "interval", WILSON),
        f"the same prompts unpatched, and {random} random sets of the same size, kinds and layers.",
        Bars(
            tuple(str(row["patched"]) for row in rows),
            (Series("refusals", "found", tuple(_mark(row) for row in rows)),),
            Axis("refusal rate (share of replies)", 0.0, 1.0),
        ),
        name,
    )


def _broken(row: dict[str, Cell]) -> str:
    value, low, high = (float(row[f"degenerate{end}"]) for end in ("", "_low", "_high"))
    return f"{value:.0%} [{low:.0%}, {high:.0%}]"


def _mark(row: dict[str, Cell]) -> Mark:
    note = f"n = {row['n']}, sets: {row['sets']}"
    return Mark(float(row["refusal"]), float(row["low"]), float(row["high"]), note)
