"""Whether categories of harm share a substrate: the matrix of sets by category, and its numbers."""

from collections.abc import Mapping

from interlock.studies.evidence import Findings, Value, in_row
from interlock.tables import Table, from_rows
from interlock.verdict import RULES, Evidence
from interlock.verification import sharing

_TABLE = "categories.matrix"
_ASKED = RULES["shared"].conditions[0].meaning  # the same for all three rules


def conclude(parts: Mapping[str, Value]) -> Findings:
    """Every cell with its interval; what the rules look at decides, part `matrix` holds it."""
    cells = parts["matrix"]
    assert isinstance(cells, Table)
    control = "random sets of the same size, kinds and layers, none of the found units in them"
    alone = sorted(set(cells["source"].tolist()) & set(cells["target"].tolist()))
    if len(alone) < 2:
        why = (
            f"Units were found for, and pairs to judge are of, {len(alone)} category"
            f"{f' ({alone[0]})' if alone else ''}; comparing categories needs two."
        )
        missing = Evidence({}, control, _TABLE, {_ASKED: why})
        return Findings({_TABLE: sharing.matrix(cells)}, missing)
    estimates = sharing.quantities(cells)
    rows = [{"quantity": name} | in_row(each) for name, each in estimates.items()]
    tables = {
        _TABLE: sharing.matrix(cells),
        "categories.quantities": from_rows(rows, about=cells.about),
    }
    return Findings(tables, Evidence(estimates, control, _TABLE))
