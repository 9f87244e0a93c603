"""Where refusal can be read in the residual stream: harmful beside harmless prompts, by layer."""

from interlock.figures.counts import BOOTSTRAP, counted, named, told
from interlock.figures.forms import Axis, Figure, Line, Lines, Mark, Panel
from interlock.figures.labels import decimal
from interlock.figures.palette import Role
from interlock.stats import CONFIDENCE, by_group, mean
from interlock.tables import Cell, Table, from_rows

HALF = 0.5  # of the largest difference, from where on the signal is said to be there
_SIDES: tuple[tuple[str, Role], ...] = (("harmful", "found"), ("harmless", "first"))
_DIFFERENCE = "difference"
# of a position of several tokens the last is read
_PLACES = {
    "last": "the last prompt token",
    "slot": "the last token that differs",
    "rest": "the last token of the user's text",
}


def signal(table: Table) -> Table:
    """Means of both kinds of prompt and of their paired difference, by position and layer.

    Args:
        table: of `methods.signal`, a row per layer, position and pair.
    """
    rows = []
    position, layers, topics = (table[name] for name in ("position", "layers", "topic"))
    columns = {name: table[name].astype(float) for name, _ in _SIDES}
    keys = zip(position.tolist(), layers.tolist(), strict=True)
    for members in by_group(["\0".join(map(str, key)) for key in keys]).values():
        own = topics[members].tolist()
        sides = {name: values[members] for name, values in columns.items()}
        sides[_DIFFERENCE] = sides["harmful"] - sides["harmless"]
        for name, values in sides.items():
            found = mean(values, own, unit="")
            rows.append(
                {
                    "position": str(position[members[0]]),
                    "layers": int(layers[members[0]]),
                    "prompts": name,
                    "value": found.value,
                    "low": found.low,
                    "high": found.high,
                    "n": found.n,
                    "topics": found.clusters,
                }
            )
    about = {**table.about, "interval": f"{CONFIDENCE:.0%}, bootstrap over topics"}
    return from_rows(rows, units={"value": table.about.get("unit", "")}, about=about)


def drawing(table: Table, name: str) -> Figure:
    """Both kinds of prompt by layer, a panel to a position, and their difference below."""
    positions = list(dict.fromkeys(table["position"].tolist()))
    layers, unit = Axis("layers passed (count)"), told(table, "unit", "")
    both = tuple(
        Panel(
            _place(position), layers, Axis(f"signal ({unit})"),
            tuple(_line(table, position, side, role) for side, role in _SIDES), 0.0,
        )
        for position in positions
    )  # fmt: skip
    apart = tuple(
        Panel("", layers, Axis("difference"), (_line(table, position, _DIFFERENCE, "third"),), 0.0)
        for position in positions
    )
    lensed = "lens" in told(table, "reading", "")
    return Figure(
        named(name),
        "Refusal read from the residual stream, by "
        + ("the logit lens" if lensed else "projection"),
        "After which layer can refusal be read, and at which token?",
        f"{_read_as(table, lensed)} Left end: the embeddings; right end: after the last layer. "
        f"Below: harmful minus harmless, pair by pair. {words(table)}{_unread(table)} What can be "
        "read at a place is not thereby used there; the maps of effects say what is.",
        counted(table, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        "the harmless prompt of the same pair, which differs in a word.",
        Lines((*both, *apart), len(positions), (0.6, 0.4)),
        name,
    )


def words(table: Table) -> str:
    """From which layer on the two kinds of prompt differ, position by position, in words."""
    said = []
    for position in dict.fromkeys(table["position"].tolist()):
        rows = _rows(table, position, _DIFFERENCE)
        place = _place(position)
        clear = [row for row in rows if _clear(row)]
        if not clear:
            said.append(f"At {place} no layer tells harmful from harmless prompts.")
            continue
        most = max(clear, key=lambda row: abs(float(row["value"])))
        enough = HALF * abs(float(most["value"]))
        first = next(row for row in clear if abs(float(row["value"])) >= enough)
        said.append(
            f"At {place} the difference is largest after {most['layers']} layers "
            f"({decimal(float(most['value']))}) and half of that from {first['layers']} on."
        )
    return " ".join(said)


def _unread(table: Table) -> str:
    """Positions that were asked for and that no pair has, such as those of unequal prompts."""
    lost = told(table, "positions that no pair has", "")
    return f" No pair has a comparable token at {lost}." if lost else ""


def _place(position: str) -> str:
    return _PLACES.get(position, f"token {position}")


def _clear(row: dict[str, Cell]) -> bool:
    return not float(row["low"]) <= 0 <= float(row["high"])


def _read_as(table: Table, lensed: bool) -> str:
    if lensed:
        return (
            "The opening score if the model ended after so many layers: above 0 it would open a "
            "refusal, below 0 an answer; at the last prompt token the right end is the model's "
            "own. At other tokens no reply begins, so compare the two kinds of prompt only."
        )
    return (
        f"The {told(table, 'reading', 'coordinate along the direction')}: 0 is the mean harmless "
        "prompt and 1 the mean harmful one there, on the prompts that it was fitted on."
    )


def _rows(table: Table, position: str, prompts: str) -> list[dict[str, Cell]]:
    found = table.where(position=position, prompts=prompts).rows()
    return sorted(found, key=lambda row: int(row["layers"]))


def _line(table: Table, position: str, prompts: str, role: Role) -> Line:
    rows = _rows(table, position, prompts)
    name = f"{prompts} prompts" if prompts != _DIFFERENCE else "harmful minus harmless"
    marks = tuple(
        Mark(
            float(row["value"]), float(row["low"]), float(row["high"]),
            f"n = {row['n']} pairs in {row['topics']} topics",
        )
        for row in rows
    )  # fmt: skip
    return Line(name, role, tuple(float(row["layers"]) for row in rows), marks)
