"""A named table of plain columns: what methods return when the answer is rows, not site effects."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Cell = str | int | float | bool
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Table:
    """Columns of equal length, long rather than wide.

    Attributes:
        columns: name to values; every column has the same length and one type.
        units: what one unit of a numeric column is.
        about: how the table was made, key to text.
    """

    columns: Mapping[str, Sequence[Cell]]
    units: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        assert len(set(lengths.values())) <= 1, f"columns differ in length: {lengths}"

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, column: str) -> np.ndarray:
        """One column as an array."""
        return np.asarray(self.columns[column])

    def rows(self) -> Iterator[dict[str, Cell]]:
        """The rows, one dictionary each."""
        names = list(self.columns)
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(names, values, strict=True))

    def where(self, **equal: Cell) -> "Table":
        """The rows whose named columns equal the given values."""
        keep = np.ones(len(self), dtype=bool)
        for name, value in equal.items():
            keep &= self[name] == value
        kept = np.flatnonzero(keep).tolist()
        columns = {name: [values[row] for row in kept] for name, values in self.columns.items()}
        return Table(columns, self.units, self.about)


def from_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    units: Mapping[str, str] | None = None,
    about: Mapping[str, str] | None = None,
) -> Table:
    """A table of rows that all have the same keys, in the first row's order."""
    names = list(rows[0]) if rows else []
    columns = {name: [row[name] for row in rows] for name in names}
    return Table(columns, units or {}, about or {})


def csv_text(table: Table) -> str:
    """The table as CSV; text that a spreadsheet would run as a formula gets an apostrophe."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows():
        writer.writerow([_safe(value) for value in row.values()])
    return sink.getvalue()


def _safe(value: Cell) -> Cell:
    runs = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if runs else value
