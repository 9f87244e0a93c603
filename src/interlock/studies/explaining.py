"""What an explanation of one prompt shows in the report: streams and components, then units."""

from interlock.tables import Cell, Table, from_rows

_LAYERS, _UNITS = "explain.layers", "explain.units"
_UNIT_KINDS = ("head", "neuron")
_ENDS = {"least": "low", "largest": "high"}


def tables(found: Table) -> dict[str, Table]:
    """Sites by layer and position, and heads and groups of neurons; none for a refused prompt."""
    rows = [_ranged(row) for row in found.rows() if row["site"]]
    rows.sort(key=lambda row: -float(row["share"]))
    compared = int(found.about.get("refused prompts compared", 0))
    more = {"direction": "denoise", "n": compared, "topics": compared}
    about = {
        **found.about,
        "interval": "none; " + found.about.get("least and largest", ""),
        "control": "the same sites set to what the nearest other answered prompt holds",
    }
    parts = {
        _LAYERS: [row | more for row in rows if row["kind"] not in _UNIT_KINDS],
        _UNITS: [
            row | more | {"rank": rank}
            for rank, row in enumerate((r for r in rows if r["kind"] in _UNIT_KINDS), start=1)
        ],
    }
    return {
        name: from_rows(part, units=found.units, about=about)
        for name, part in parts.items()
        if part
    }


def _ranged(row: dict[str, Cell]) -> dict[str, Cell]:
    """The row with the ends of its range where figures look for ends."""
    return {_ENDS.get(name, name): value for name, value in row.items()}
