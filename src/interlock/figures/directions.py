"""Figures of whether one direction carries refusal: where it was looked for, and what it does."""

from interlock.figures.counts import BOOTSTRAP, WILSON, counted, named, told
from interlock.figures.forms import (
    Axis,
    Bars,
    Facet,
    Figure,
    Heat,
    Line,
    Lines,
    Mark,
    Panel,
    Series,
)
from interlock.figures.labels import decimal, interval
from interlock.figures.palette import Role
from interlock.sites import parse
from interlock.tables import Cell, Table

_SCORED: tuple[tuple[str, str], ...] = (
    ("bypass", "bypass: harmful prompts with it taken out"),
    ("induce", "induce: harmless prompts with it put in"),
)
_ASKED = {"removed": "taken out", "induced": "put in"}
_VARIANTS = ("affine", "plain")
_KINDS: tuple[tuple[str, str, Role], ...] = (
    ("found", "the direction found", "found"),
    ("random", "random directions, mean", "random"),
)
_WAYS: tuple[tuple[str, str, Role], ...] = (
    ("denoise", "denoise: harmful coordinate into the harmless run", "first"),
    ("noise", "noise: harmless coordinate into the harmful run", "second"),
)


def scores(table: Table, name: str) -> Figure:
    """Opening score with every candidate taken out, and put in, by layer and token."""
    facets = tuple(Facet(title, _cells(table, measure, with_kl=True)) for measure, title in _SCORED)
    values = [
        abs(float(value)) for measure, _ in _SCORED for value in table.columns[measure]
    ]  # fmt: skip
    bound = max([1.0, *values])
    return Figure(
        named(name, "scores"),
        "Candidates for one direction",
        "At which layer and token does a direction exist that turns refusal off, and on?",
        "Opening score: above 0 the model opens a refusal, below 0 an answer. A direction that "
        "carries refusal is blue on the left (taken out, harmful prompts are answered) and orange "
        f"on the right (put in, harmless prompts are refused). {_chosen(table)} Rows are tokens of "
        "the chat template, counted from the end of the prompt. Numbers in brackets, or a cross: "
        "the interval includes 0.",
        _candidates_n(table),
        told(table, "interval", BOOTSTRAP),
        told(table, "control", f"without any edit: {told(table, 'before', 'not recorded')}."),
        Heat(
            _tokens(table), _layers(table), facets, Axis("layer (its input)"), Axis("token"),
            Axis("opening score (nat)", -bound, bound), across=2,
        ),
        name,
    )  # fmt: skip


def moved(table: Table, name: str) -> Figure:
    """How far harmless prompts' next token moves with every candidate taken out."""
    return Figure(
        named(name, "moved"),
        "What taking a candidate out does to harmless prompts",
        "Does taking the direction out leave everything else as it is?",
        "KL divergence of the next token after harmless prompts; a candidate above the limit is "
        f"refused. A candidate survives with {told(table, 'survives', 'limits not recorded')}.",
        _candidates_n(table),
        told(table, "interval", BOOTSTRAP),
        "the same prompts without any edit (0).",
        Heat(
            _tokens(table), _layers(table), (Facet("", _cells(table, "kl")),),
            Axis("layer (its input)"), Axis("token"), Axis("KL (nat)", 0.0), diverging=False,
            places=4,
        ),
        name,
    )  # fmt: skip


def changed(table: Table, name: str) -> Figure:
    """Prompts that turn to the other side, beside random directions."""
    rows = {
        (str(row["does"]), str(row["variant"]), str(row["directions"])): row for row in table.rows()
    }
    kept = [
        (does, variant)
        for does in _ASKED
        for variant in _VARIANTS
        if (does, variant, "found") in rows
    ]
    series = tuple(
        Series(title, role, tuple(_changed(rows.get((*key, kind))) for key in kept))
        for kind, title, role in _KINDS
        if any((*key, kind) in rows for key in kept)
    )
    sets = max((int(row["count"]) for key, row in rows.items() if key[2] == "random"), default=0)
    return Figure(
        named(name),
        "The direction taken out, and put in",
        "Do refusals go without the direction, and come with it?",
        "Taken out: share of the refused harmful prompts that are answered. Put in: share of the "
        "answered harmless prompts that are refused. Replies that fall apart count as neither. "
        "Affine sets the coordinate to the mean of the other kind of prompt; plain projects to "
        "zero, which is no neutral place, and adds the vector.",
        f"{counted(table, 'prompts a bar')} {sets} random directions (affine only).",
        told(table, "interval", WILSON),
        told(table, "control", "random directions of the same norm (grey)."),
        Bars(
            tuple(f"{_ASKED[does]}, {variant}" for does, variant in kept), series,
            Axis("prompts that turn to the other side (share)", 0.0, 1.0),
        ),
        name,
    )  # fmt: skip


def unseen(table: Table, name: str) -> Figure:
    """Refusals of a category that go without the direction of the others."""
    return Figure(
        named(name),
        "Categories that the direction has not seen",
        "Does the direction of all other categories carry this one's refusal too?",
        "A bar is the share of a category's refusals that go when the direction fitted without "
        "that category is taken out (affine). Layer and token were chosen with all categories.",
        counted(table, "refused prompts a category"),
        told(table, "interval", WILSON),
        "the same prompts with nothing taken out, all of them refused (0).",
        Bars(
            tuple(str(category) for category in table.columns["category"]),
            (Series("refusals that go", "found", tuple(_mark(row) for row in table.rows())),),
            Axis("refusals that go (share)", 0.0, 1.0),
        ),
        name,
    )


def streams(table: Table, name: str) -> Figure:
    """The share of the gap that the coordinate along the direction carries, by layer."""
    lines = []
    for way, title, role in _WAYS:
        rows = sorted(table.where(direction=way).rows(), key=_depth)
        if rows:
            marks = tuple(_mark(row, "share", str(row["stream"])) for row in rows)
            lines.append(Line(title, role, tuple(_depth(row) for row in rows), marks))
    return Figure(
        named(name),
        "The refusal signal, layer by layer",
        "Where along the layers does the coordinate along this direction carry the decision?",
        "Each prompt of a pair gets its partner's coordinate along the direction at one place of "
        "the residual stream, at all tokens; all else stays. 1 is the whole gap, 0 no effect. "
        "Whole numbers are a layer's input, halves lie between its attention and its MLP, the "
        "last is the output.",
        counted(table, "pairs of prompts"),
        BOOTSTRAP,
        "each pair is its own control: the other prompt differs in one word.",
        Lines(
            (Panel("", Axis("layer (index)"), Axis("share of the gap"), tuple(lines)),),
            1,
            (1.0,),
        ),
        name,
    )


def cosines(table: Table, name: str) -> Figure | None:
    """Cosine between the directions of every two categories, with the ceiling on the diagonal."""
    rows = [row for row in table.rows() if row["measure"] in ("cosine", "ceiling")]
    marks = {(str(row["of"]), str(row["on"])): _mark(row) for row in rows}
    marks |= {(second, first): mark for (first, second), mark in marks.items()}
    names = tuple(dict.fromkeys(first for first, _ in marks))
    if len(names) < 2:
        return None
    cells = tuple(tuple(marks.get((row, column)) for column in names) for row in names)
    return Figure(
        named(name, "cosines"),
        "How alike the categories' directions are",
        "One direction for all categories of harm, or several?",
        "Cosine between the difference in means of two categories. The diagonal is the ceiling: "
        "the cosine of two halves of one category, which noise alone keeps below 1. "
        f"{_filled(table)} Numbers in brackets, or a cross: the interval includes 0.",
        counted(_only(table, ("cosine", "ceiling")), "prompts a cell"),
        told(table, "interval", BOOTSTRAP),
        "the ceiling on the diagonal.",
        Heat(
            names, names, (Facet("", cells),), Axis("category"), Axis("category"),
            Axis("cosine", -1.0, 1.0),
        ),
        name,
    )  # fmt: skip


def crossed(table: Table, name: str) -> Figure | None:
    """What taking one category's direction, or several axes, takes from every category."""
    rows = [row for row in table.rows() if row["measure"] == "removed"]
    if not rows:
        return None
    marks = {(str(row["of"]), str(row["on"])): _mark(row) for row in rows}
    of = tuple(dict.fromkeys(str(row["of"]) for row in rows))
    on = tuple(dict.fromkeys(str(row["on"]) for row in rows))
    on = (*(each for each in on if each != "all"), *(each for each in on if each == "all"))
    cells = tuple(tuple(marks.get((row, column)) for column in on) for row in of)
    bound = max([1.0, *(abs(mark.value) for mark in marks.values())])
    return Figure(
        named(name, "crossed"),
        "One category's direction, taken out of another's prompts",
        "Is the direction of one category enough for the others?",
        "Share of a category's gap (opening score of its harmful prompts above the harmless ones) "
        "that goes; 1 is the whole gap, above 1 the prompts are answered more readily than "
        "harmless ones. Lower rows: the first axes of all categories' directions together.",
        counted(_only(table, ("removed",)), "harmful prompts a column"),
        told(table, "interval", BOOTSTRAP),
        "the same prompts with nothing taken out (0).",
        Heat(
            of, on, (Facet("", cells),), Axis("measured on"), Axis("taken out"),
            Axis("share of the gap that goes", -bound, bound),
        ),
        name,
    )  # fmt: skip


def _cells(
    table: Table, measure: str, *, with_kl: bool = False
) -> tuple[tuple[Mark | None, ...], ...]:
    marks = {}
    for row in table.rows():
        value, low, high = (float(row[f"{measure}{end}"]) for end in ("", "_low", "_high"))
        note = str(row["site"])
        if with_kl:
            note += f"; KL {float(row['kl']):.3g} nat"
        note += "; survives" if row["arditi_survives"] else "; does not survive"
        marks[int(row["position"]), int(row["layer"])] = Mark(value, low, high, note)
    layers, places = _numbers(table, "layer"), _numbers(table, "position")
    return tuple(tuple(marks.get((place, layer)) for layer in layers) for place in places)


def _numbers(table: Table, column: str) -> list[int]:
    return sorted({int(value) for value in table.columns[column]})


def _tokens(table: Table) -> tuple[str, ...]:
    return tuple(str(place) for place in _numbers(table, "position"))


def _layers(table: Table) -> tuple[str, ...]:
    return tuple(str(layer) for layer in _numbers(table, "layer"))


def _chosen(table: Table) -> str:
    """Which candidate each way of choosing takes, as `methods.directions` does."""
    said = []
    for choose, measure, sign in (("arditi", "bypass", 1), ("cosmic", "cosmic", -1)):
        if f"{choose}_survives" not in table.columns or measure not in table.columns:
            continue
        alive = table.where(**{f"{choose}_survives": True})
        best = (sign * alive[measure]).argmin() if len(alive) else None
        took = "none survives" if best is None else f"{alive['site'][best]}"
        said.append(f"{took} by {choose} ({len(alive)} of {len(table)} survive)")
    return f"Chosen: {'; '.join(said)}." if said else ""


def _candidates_n(table: Table) -> str:
    fitted, validated = (told(table, key, "?") for key in ("fitted on", "validated on"))
    return f"n = {len(table):,} candidates; fitted on {fitted}; judged on {validated}."


def _changed(row: dict[str, Cell] | None) -> Mark | None:
    if row is None:
        return None
    note = ""
    for key, words in (("nll_rise", "NLL rise"), ("degenerate", "degenerate")):
        if float(row[key]) == float(row[key]):
            note += f"; {words} {decimal(float(row[key]), 3)}"
    return _mark(row, more=note)


def _mark(row: dict[str, Cell], value: str = "value", more: str = "") -> Mark:
    note = f"n = {row['n']} in {row['topics']} topics"
    if more:
        note = f"{more}; {note}" if not more.startswith(";") else f"{note}{more}"
    return Mark(float(row[value]), float(row["low"]), float(row["high"]), note)


def _depth(row: dict[str, Cell]) -> float:
    site = parse(str(row["stream"]))
    return site.layer + {"resid_pre": 0.0, "resid_mid": 0.5}.get(site.kind, 1.0)


def _filled(table: Table) -> str:
    """How many directions the categories fill, beside what noise alone would."""
    rows = {str(row["of"]): row for row in table.where(measure="dimensions").rows()}
    if "categories" not in rows:
        return ""

    def told_of(row: dict[str, Cell]) -> str:
        return interval(*(float(row[key]) for key in ("value", "low", "high")))

    text = f"The categories fill {told_of(rows['categories'])} dimensions"
    if "dealt at random" in rows:
        text += f" (the same prompts dealt at random: {told_of(rows['dealt at random'])})"
    return f"{text}."


def _only(table: Table, measures: tuple[str, ...]) -> Table:
    keep = [value in measures for value in table.columns["measure"]]
    columns = {
        name: [value for value, kept in zip(values, keep, strict=True) if kept]
        for name, values in table.columns.items()
    }
    return Table(columns, table.units, table.about)
