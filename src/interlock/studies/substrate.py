"""Whether categories of harm share a substrate: the matrix of sets by category, and its numbers."""

from collections.abc import Mapping

from interlock.studies.evidence import Findings, Value
from interlock.tables import Table, from_rows
from interlock.verdict import Evidence
from interlock.verification import sharing

_TABLE = "categories.matrix"


def conclude(parts: Mapping[str, Value]) -> Findings:
    """Every cell with its interval; what the rules look at decides, part `matrix` holds it."""
    cells = parts["matrix"]
    assert isinstance(cells, Table)
    estimates = sharing.quantities(cells)
    rows = [
        {
            "quantity": name,
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "unit": each.unit,
            "n": each.n,
            "how": each.how,
        }
        for name, each in estimates.items()
    ]
    tables = {
        _TABLE: sharing.matrix(cells),
        "categories.quantities": from_rows(rows, about=cells.about),
    }
    control = "random sets of the same size, kinds and layers, none of the found units in them"
    return Findings(tables, Evidence(estimates, control, _TABLE))
