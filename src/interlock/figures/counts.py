"""How many observations and independent topics stand behind a table, and its name, in words."""

import numpy as np

from interlock.tables import Table

BOOTSTRAP = "95 %, percentile bootstrap that resamples whole topics."
WILSON = (
    "95 %, Wilson on n over the design effect (prompts of one topic are not independent); "
    "MOVER for the category mean."
)


def counted(table: Table, unit: str) -> str:
    """`n` of a table's rows (a range when they differ), and the topics they form."""
    parts = [f"n = {_span(table, 'n')} {unit}"]
    if "topics" in table.columns:
        parts.append(f"in {_span(table, 'topics')} topics (independent clusters)")
    return f"{' '.join(parts)}."


def named(table: str, view: str = "") -> str:
    """A figure's stable name: its table's, and which of several views of it this is."""
    return "-".join(part for part in (*table.split("."), view) if part)


def told(table: Table, key: str, default: str) -> str:
    """What the table's maker says about `key`, or what holds by default."""
    return str(table.about.get(key) or default)


def _span(table: Table, column: str) -> str:
    values = np.unique(table[column]) if column in table.columns else np.array([])
    if not len(values):
        return "?"
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
