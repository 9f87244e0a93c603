"""The circuit drawing: components as nodes by layer, effects through them as edges."""

from interlock.figures.counts import BOOTSTRAP, counted, named, told
from interlock.figures.forms import Arrow, Axis, Figure, Graph, Mark, Node
from interlock.sites import Site, parse
from interlock.tables import Cell, Table

MOST = 24  # edges drawn
LEAST = 0.02  # share of the gap, below which an edge is not drawn
_AS_STRONG = 0.9  # of an edge's share, from where on the edges of a path account for it
_DEPTHS = {"resid_pre": 0.0, "resid_mid": 0.45, "mlp": 0.6, "neuron": 0.6, "resid_post": 0.9}

Edge = dict[str, Cell]


def drawing(table: Table, name: str) -> Figure | None:
    """The edges of a table of `source`, `target` and share, the largest first."""
    edges = _strongest(table)
    if not edges:
        return None
    plain = [edge for edge in edges if not _explained(edge, edges)]
    shown = [edge for edge in plain if abs(float(edge["share"])) >= LEAST][:MOST] or plain[:1]
    names = tuple(
        dict.fromkeys(str(row[end]) for row in shown for end in ("source", "target"))
    )  # fmt: skip
    # a unit is coloured by the direction in which it does more alone
    alone: dict[str, Mark | None] = {}
    for row in table.rows():
        for end in ("source", "target"):
            one, other = _alone(row, end), alone.get(str(row[end]))
            alone[str(row[end])] = max(one, other, key=_size) if one and other else one or other
    nodes = tuple(Node(each, _depth(parse(each)), alone[each]) for each in names)
    arrows = tuple(
        Arrow(names.index(str(row["source"])), names.index(str(row["target"])), _mark(row))
        for row in shown
    )
    return Figure(
        named(name),
        "The circuit",
        "Which components act through which?",
        f"{len(shown)} of {len(edges):,} edges between the units examined; "
        f"{_left_out(edges, shown)}An edge runs from left to right: what is lost of the left "
        "unit's effect when the right one is held still, as a share of the gap"
        f"{_of_ways(table)}. Thicker is more; dotted: the interval includes 0. A dot's colour is "
        "the sign of the unit's effect alone. Whether an edge is direct, or passes through parts "
        "not shown, it does not say, and shares along a chain are the same effect again.",
        counted(table, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        told(table, "control", "each pair is its own control: the other prompt differs in a word."),
        Graph(nodes, arrows, Axis("layer (index)")),
        name,
    )


def _strongest(table: Table) -> list[Edge]:
    """Every edge once, in the direction of patching that shows more of it, largest first."""
    edges: dict[tuple[str, str], Edge] = {}
    for row in sorted(table.rows(), key=lambda row: -abs(float(row["share"]))):
        edges.setdefault((str(row["source"]), str(row["target"])), row)
    return list(edges.values())


def _explained(edge: Edge, edges: list[Edge]) -> bool:
    """Whether two other edges lead the same way, each about as strong."""
    enough = _AS_STRONG * abs(float(edge["share"]))
    strong = [each for each in edges if each is not edge and abs(float(each["share"])) >= enough]
    first = {each["target"] for each in strong if each["source"] == edge["source"]}
    return any(each["source"] in first and each["target"] == edge["target"] for each in strong)


def _left_out(edges: list[Edge], shown: list[Edge]) -> str:
    """What is not drawn, and why."""
    short = sum(_explained(each, edges) for each in edges)
    small = len(edges) - len(shown) - short
    reasons = [
        f"{count:,} {why}"
        for count, why in ((short, "where a path of edges as strong leads too"), (small, "smaller"))
        if count
    ]
    return f"not drawn: {', '.join(reasons)}. " if reasons else "none left out. "


def _of_ways(table: Table) -> str:
    """Which direction of patching a share is of, where there are two."""
    ways = dict.fromkeys(table.columns.get("direction", ()))
    if len(ways) < 2:
        return ""
    return (
        f", {' or '.join(map(str, ways))} whichever shows more of it (either of two that stand in "
        "for each other is silent in one of them)"
    )


def _depth(site: Site) -> float:
    return site.layer + _DEPTHS.get(site.kind, 0.15)


def _mark(row: dict[str, Cell]) -> Mark:
    way = f"{row['direction']}, " if row.get("direction") else ""
    note = f"{way}n = {row['n']} pairs in {row['topics']} topics"
    return Mark(float(row["share"]), float(row["low"]), float(row["high"]), note)


def _alone(row: dict[str, Cell], end: str) -> Mark | None:
    keys = [f"{end}_alone{part}" for part in ("", "_low", "_high")]
    if any(key not in row for key in keys):
        return None
    value, low, high = (float(row[key]) for key in keys)
    return Mark(value, low, high, "its effect alone (share of the gap)")


def _size(mark: Mark) -> float:
    return abs(mark.value)
