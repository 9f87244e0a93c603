"""Figures of whether refusal sits in few weights: scores, sets, and what breaks without them."""

import math

from interlock.figures.counts import counted, named, told
from interlock.figures.forms import (
    Axis,
    Dot,
    Dots,
    Facet,
    Figure,
    Heat,
    Line,
    Lines,
    Mark,
    Panel,
    Plane,
)
from interlock.figures.labels import decimal
from interlock.figures.palette import Role
from interlock.tables import Cell, Table

_ACROSS = 3  # shares by utility drawn side by side, at most
_PANELS: tuple[tuple[str, Axis], ...] = (
    ("refusal", Axis("refusal (share)", 0.0, 1.0)),
    ("compliance", Axis("answers (share)", 0.0, 1.0)),
    ("nll_rise", Axis("NLL rise (nat/token)")),
    ("degenerate", Axis("degenerate (share)", 0.0, 1.0)),
)
_HEIGHTS = (0.28, 0.24, 0.24, 0.24)
_NONE, _FOUND, _RANDOM = "none", "found", "random"
_SETS: tuple[tuple[str, str, Role], ...] = (
    (_FOUND, "weights found", "found"),
    (_RANDOM, "random weights, mean of sets", "random"),
)
_EXACT = "none: every weight is counted, nothing is sampled."

Row = dict[str, Cell]
Rows = list[Row]


def scores(table: Table, name: str) -> Figure:
    """The mean score of a weight by layer and type of matrix, beside that of any weight."""
    whole = sum(int(row["weights"]) for row in table.rows())
    marks = {_place(row): _relative(row, whole) for row in table.rows()}
    method = told(table, "method", "the score")
    return Figure(
        named(name),
        f"Where large scores lie: {method}, {told(table, 'set', 'no data')}",
        "In which layers and kinds of matrices do single weights matter most?",
        f"A cell is the mean score ({method}, {told(table, 'loss', 'no loss')}) of the weights of "
        "one matrix over the mean of all weights scored: 1 is an average weight. A large score "
        "says that a weight matters on these replies, not that refusal needs it.",
        f"n = {whole:,} weights, scored on {told(table, 'N', 'no')} replies.",
        "none: a map of scores, not of effects; sets chosen by them are judged by taking them out.",
        "the mean of all weights scored (1).",
        _map(table, marks, Axis("score of a weight (average = 1)", 0.0)),
        name,
    )


def alike(table: Table, name: str) -> Figure | None:
    """How far two sets of weights agree, by layer and type of matrix, beside random sets."""
    rows = [row for row in table.rows() if int(row["first"]) + int(row["second"])]
    if not rows:
        return None
    chance = [_by_chance(row) for row in rows]
    marks = {_place(row): _agreement(row, by) for row, by in zip(rows, chance, strict=True)}
    above = sum(float(row["jaccard"]) > high for row, (_, high) in zip(rows, chance, strict=True))
    ends = min(low for low, _ in chance), max(high for _, high in chance)
    first, second = (sum(int(row[key]) for row in rows) for key in ("first", "second"))
    return Figure(
        named(name),
        "Where two sets of weights agree",
        "Are the weights that matter for one kind of reply the ones that matter for the other?",
        "Jaccard index: the weights in both sets over those in either, matrix by matrix; 1 is the "
        "same set, 0 nothing in common. Far above chance says that what refuses also does other "
        "work, which is lost when it is taken out.",
        f"n = {first:,} and {second:,} weights.",
        _EXACT,
        f"random sets of the same sizes have {decimal(ends[0], 3)} to {decimal(ends[1], 3)} (95 % "
        f"of draws, hypergeometric); {above} of {len(rows)} matrices lie above their own range.",
        _map(table, marks, Axis("Jaccard", 0.0, 1.0)),
        name,
    )


def brittleness(table: Table, name: str) -> Figure | None:
    """Refusal and what else breaks against the share of weights (or directions) taken out."""
    found = _drawn(table, _FOUND)
    if not found:
        return None
    before = _drawn(table, _NONE)
    columns = _columns(found)
    what = _what(table)
    size = Axis(f"{what} taken out (%)")
    panels = tuple(
        Panel(title if not row else "", size, axis, _lines(table, before, kept, measure))
        for row, (measure, axis) in enumerate(_PANELS)
        for title, kept in columns
    )
    many = {int(row["count"]) for row in _drawn(table, _RANDOM)}
    mixed = "Points of every p, in order of what they take out. " if _mixed(found) else ""
    return Figure(
        named(name),
        f"What goes with the {what} taken out",
        f"How few {what} does it take to break refusal, and does anything else break with it?",
        "From the top: refusal of harmful prompts; answers to harmless ones; rise of NLL on "
        "neutral text; replies that fall apart, which count as neither refusal nor answer. "
        f"{mixed}{_chosen(table)}",
        f"{counted(table, 'harmful prompts a point')} {_span(many)} random sets a point.",
        _interval(table),
        f"{told(table, 'control', 'random sets of as many weights of each matrix')} (grey).",
        Lines(panels, len(columns), _HEIGHTS),
        name,
    )


def pareto(table: Table, name: str) -> Figure | None:
    """Refusal left against capability lost: one dot a set."""
    found = _drawn(table, _FOUND)
    if not found:
        return None
    front = [row for row in found if not any(_beats(other, row) for other in found)]
    front.sort(key=lambda row: float(row["nll_rise"]))
    beaten = [row for row in found if row not in front]
    groups = (
        Dots("nothing taken out", "first", _dots(_drawn(table, _NONE))),
        Dots("found, no other takes more and breaks less", "found", _dots(front), joined=True),
        Dots("found, another takes more and breaks less", "second", _dots(beaten)),
        Dots("random sets of as many weights, mean", "random", _dots(_drawn(table, _RANDOM))),
    )
    return Figure(
        named(name, "pareto"),
        "Refusal against capability",
        "Can refusal be taken away and leave the rest of the model as it was?",
        "Refusal that goes while NLL on neutral text stays is a dot at the bottom left: refusal "
        "sits apart. Dots that fall only as they move right say that the model breaks.",
        f"{counted(table, 'harmful prompts a dot')}",
        _interval(table),
        f"{told(table, 'control', 'random sets of as many weights of each matrix')} (grey).",
        Plane(
            tuple(group for group in groups if group.dots),
            Axis("NLL rise on neutral text (nat/token)"),
            Axis("refusal of harmful prompts (share)", 0.0, 1.0),
        ),
        name,
    )


def _interval(table: Table) -> str:
    return f"{told(table, 'interval', '95 %').removesuffix('.')}."


def _map(table: Table, marks: dict[tuple[str, int], Mark], colour: Axis) -> Heat:
    layers = sorted({int(layer) for layer in table.columns["layer"]})
    types = tuple(dict.fromkeys(str(each) for each in table.columns["type"]))
    cells = tuple(tuple(marks.get((each, layer)) for layer in layers) for each in types)
    return Heat(
        types, tuple(str(layer) for layer in layers), (Facet("", cells),), Axis("layer (index)"),
        Axis("matrix"), colour, diverging=False,
    )  # fmt: skip


def _place(row: Row) -> tuple[str, int]:
    return str(row["type"]), int(row["layer"])


def _relative(row: Row, whole: int) -> Mark:
    share, weights = float(row["share"]), int(row["weights"])
    note = (
        f"{share:.2%} of all scores in {weights:,} weights ({weights / whole:.2%}); mean "
        f"{float(row['mean']):.3g}, largest {float(row['largest']):.3g}"
    )
    return Mark(share / (weights / whole), math.nan, math.nan, note)


def _agreement(row: Row, chance: tuple[float, float]) -> Mark:
    note = (
        f"{int(row['both']):,} of {int(row['first']):,} and {int(row['second']):,} weights; by "
        f"chance {decimal(chance[0], 3)} to {decimal(chance[1], 3)}"
    )
    return Mark(float(row["jaccard"]), math.nan, math.nan, note)


def _by_chance(row: Row) -> tuple[float, float]:
    """What 95 % of pairs of random sets of these sizes have as their Jaccard index."""
    from scipy.stats import hypergeom

    first, second = int(row["first"]), int(row["second"])
    both = hypergeom.ppf([0.025, 0.975], int(row["weights"]), first, second)
    low, high = (both / (first + second - both)).tolist()
    return low, high


def _drawn(table: Table, sets: str) -> Rows:
    """The rows of one kind of set, those that take out least first."""
    if "part" in table.columns:  # sets that were not chosen by shares form no curve
        return []
    rows = table.where(sets=sets).rows()
    return sorted(rows, key=_share)


def _what(table: Table) -> str:
    return "directions" if "ranks" in table.columns else "weights"


def _chosen(table: Table) -> str:
    if "ranks" in table.columns:
        return f"Left are {told(table, 'fill', 'projected weights')}."
    return (
        f"The weights: {told(table, 'choose', 'chosen')}, by "
        f"{told(table, 'safety scores', 'scores')}; they become {told(table, 'fill', 'zero')}."
    )


def _share(row: Row) -> float:
    """Share of the weights, or of the directions, that a set takes out."""
    return float(row["share"] if "ranks" in row else row["sparsity"])


def _size(row: Row) -> str:
    return (
        f"{int(row['ranks']):,} directions"
        if "ranks" in row
        else f"{int(row['weights']):,} weights"
    )


def _mixed(found: Rows) -> bool:
    return len({float(row["p"]) for row in found}) > _ACROSS


def _columns(found: Rows) -> list[tuple[str, tuple[float, ...]]]:
    """The shares by utility that are drawn together, with a title: one each if they are few."""
    shares = tuple(sorted({float(row["p"]) for row in found}))
    if _mixed(found):
        return [("", shares)]
    return [(f"spared: top {_percent(p)} by utility" if p >= 0 else "", (p,)) for p in shares]


def _lines(table: Table, before: Rows, kept: tuple[float, ...], measure: str) -> tuple[Line, ...]:
    lines = []
    for sets, title, role in _SETS:
        rows = [row for row in _drawn(table, sets) if float(row["p"]) in kept]
        if rows:
            rows = [*before, *rows]
            x = tuple(round(100 * _share(row), 3) for row in rows)
            words = title.replace("weights", _what(table))
            lines.append(Line(words, role, x, tuple(_mark(row, measure) for row in rows)))
    return tuple(lines)


def _dots(rows: Rows) -> tuple[Dot, ...]:
    return tuple(Dot(_said(row), _mark(row, "nll_rise"), _mark(row, "refusal")) for row in rows)


def _mark(row: Row, measure: str) -> Mark:
    value, low, high = (float(row[f"{measure}{end}"]) for end in ("", "_low", "_high"))
    note = f"{_size(row)}; n = {row['n']}"
    sets = int(row["count"])
    return Mark(value, low, high, f"{_said(row)}: {note}" + (f", {sets} sets" if sets > 1 else ""))


def _said(row: Row) -> str:
    """Which set a row is of."""
    if row["sets"] == _NONE:
        return "nothing taken out"
    shares = ((key, float(row[key])) for key in ("p", "q"))
    told = ", ".join(f"{key} = {_percent(share)}" for key, share in shares if share >= 0)
    return f"{row['sets']}, {told}" if told else str(row["sets"])


def _beats(one: Row, other: Row) -> bool:
    """Whether a set takes at least as much refusal at no more loss, and either is better."""
    mine, theirs = ((float(row["refusal"]), float(row["nll_rise"])) for row in (one, other))
    return mine != theirs and mine[0] <= theirs[0] and mine[1] <= theirs[1]


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _span(values: set[int]) -> str:
    if not values:
        return "No"
    return f"{min(values)}" if len(values) == 1 else f"{min(values)} to {max(values)}"
