"""The circuit drawing: components as nodes by layer, effects through them as edges."""

from interlock.figures.counts import BOOTSTRAP, counted, named, told
from interlock.figures.forms import Arrow, Axis, Figure, Graph, Mark, Node
from interlock.sites import Site, parse
from interlock.tables import Cell, Table

MOST = 24  # edges drawn
_DEPTHS = {"resid_pre": 0.0, "resid_mid": 0.45, "mlp": 0.6, "neuron": 0.6, "resid_post": 0.9}


def drawing(table: Table, name: str) -> Figure | None:
    """The edges of a table of `source`, `target` and share, the largest first."""
    edges = sorted(table.rows(), key=lambda row: -abs(float(row["share"])))
    if not edges:
        return None
    shown = edges[:MOST]
    names = tuple(
        dict.fromkeys(str(row[end]) for row in shown for end in ("source", "target"))
    )  # fmt: skip
    alone = {str(row[end]): _alone(row, end) for row in edges for end in ("source", "target")}
    nodes = tuple(Node(each, _depth(parse(each)), alone[each]) for each in names)
    arrows = tuple(
        Arrow(names.index(str(row["source"])), names.index(str(row["target"])), _mark(row))
        for row in shown
    )
    return Figure(
        named(name),
        "The circuit",
        "Which components act through which?",
        f"The {len(shown)} of {len(edges):,} edges with the largest effect. An edge runs from left "
        "to right: what is lost of the left unit's effect when the right one is held still, as a "
        "share of the gap. Thicker is more; dotted: the interval includes 0. A dot's colour is "
        "the sign of the unit's effect alone. Whether an edge is direct, or passes through parts "
        "not shown, it does not say, and shares along a chain are the same effect again.",
        counted(table, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        told(table, "control", "each pair is its own control: the other prompt differs in a word."),
        Graph(nodes, arrows, Axis("layer (index)")),
        name,
    )


def _depth(site: Site) -> float:
    return site.layer + _DEPTHS.get(site.kind, 0.15)


def _mark(row: dict[str, Cell]) -> Mark:
    note = f"n = {row['n']} pairs in {row['topics']} topics"
    return Mark(float(row["share"]), float(row["low"]), float(row["high"]), note)


def _alone(row: dict[str, Cell], end: str) -> Mark | None:
    keys = [f"{end}_alone{part}" for part in ("", "_low", "_high")]
    if any(key not in row for key in keys):
        return None
    value, low, high = (float(row[key]) for key in keys)
    return Mark(value, low, high, "its effect alone (share of the gap)")
