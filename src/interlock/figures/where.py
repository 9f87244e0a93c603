"""Figures of where refusal happens: layers, single units, and the set found among random sets."""

from collections.abc import Sequence

import numpy as np

from interlock.figures.counts import BOOTSTRAP, counted, named, told
from interlock.figures.forms import Axis, Band, Bars, Cloud, Facet, Figure, Heat, Mark, Series
from interlock.figures.labels import decimal
from interlock.figures.palette import Role
from interlock.stats import permutation_p
from interlock.tables import Cell, Table

TOP = 20
_KINDS = ("resid_pre", "attn", "resid_mid", "mlp", "resid_post")
_MAPPED = ("attn", "mlp", "resid_post")
_POSITIONS = ("slot", "rest", "post", "last", "all")
_POSITION_WORDS = {
    "last": "last prompt token",
    "post": "template tokens after the prompt",
    "slot": "the tokens that differ",
    "rest": "the user's text after them",
    "all": "all positions",
}
_DIRECTIONS: tuple[tuple[str, str, Role], ...] = (
    ("denoise", "harmful value into the harmless run: does refusal appear?", "first"),
    ("noise", "harmless value into the harmful run: does refusal go?", "second"),
)
_SHARE = "share of the gap (1 = whole gap)"
_CONTROL = (
    "0 and 1 are the unpatched runs of the same pairs; whether an effect is beyond chance is "
    "judged against matched random sets."
)
_GAP = (
    "The gap is the opening score of harmful minus harmless prompts; 1 is the whole gap, "
    "0 no effect, below 0 the wrong way."
)


def layers(table: Table, name: str) -> Figure | None:
    """Heat maps of layers by kind, one facet per named position and direction."""
    table = _at(table, named=True)
    if not len(table):
        return None
    kinds = _known(table, "kind", _KINDS)
    numbers = sorted({int(layer) for layer in table["layer"].tolist()})
    positions = _known(table, "position", _POSITIONS)
    directions = _known(table, "direction", tuple(name for name, _, _ in _DIRECTIONS))
    marks = {
        (row["position"], row["direction"], row["kind"], int(row["layer"])): _mark(row)
        for row in table.rows()
    }
    facets = tuple(
        Facet(
            f"{_POSITION_WORDS.get(position, position)} · {direction}",
            tuple(
                tuple(marks.get((position, direction, kind, layer)) for layer in numbers)
                for kind in kinds
            ),
        )
        for position in positions
        for direction in directions
    )
    bound = max([1.0, *(abs(mark.value) for mark in marks.values() if np.isfinite(mark.value))])
    return Figure(
        named(name),
        "Where the gap is carried, layer by layer",
        "At which layer, and at which tokens, is the decision to refuse present?",
        "Denoise puts the harmful prompt's value into the harmless run (does it restore refusal: "
        "sufficient); noise does the reverse (does it remove refusal: necessary). "
        f"{_GAP} Numbers in brackets, or a cross: the interval includes 0.",
        counted(table, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        told(table, "control", _CONTROL),
        Heat(
            kinds, tuple(str(layer) for layer in numbers), facets, Axis("layer (index)"),
            Axis("kind of site"), Axis(_SHARE, -bound, bound), across=len(directions),
        ),
        name,
    )  # fmt: skip


def positions(table: Table, name: str) -> Figure | None:
    """Maps of position by layer, one facet per kind and direction, of single prompt tokens."""
    table = _at(table, named=False)
    if not len(table):
        return None
    kinds = _known(table, "kind", _KINDS)
    # a layer's output is the next one's input: shown once
    kinds = tuple(kind for kind in kinds if kind in _MAPPED) or kinds
    numbers = sorted({int(layer) for layer in table["layer"].tolist()})
    places = sorted({str(place) for place in table["position"].tolist()}, key=_along)
    directions = _known(table, "direction", tuple(name for name, _, _ in _DIRECTIONS))
    marks = {
        (row["kind"], row["direction"], str(row["position"]), int(row["layer"])): _mark(row)
        for row in table.rows()
    }
    facets = tuple(
        Facet(
            f"{kind} · {direction}",
            tuple(
                tuple(marks.get((kind, direction, place, layer)) for layer in numbers)
                for place in places
            ),
        )
        for kind in kinds
        for direction in directions
    )
    bound = max([1.0, *(abs(mark.value) for mark in marks.values() if np.isfinite(mark.value))])
    return Figure(
        named(name, "positions"),
        "Where the gap is carried, token by token",
        "From which token to which does the decision travel, and in which layers?",
        "Rows are single tokens of the prompt, first to last: offsets from 0 count from its "
        "start, negative ones from its end (-1 is the token before the reply); prompts of "
        "different templates have different words there. Denoise puts the "
        f"harmful prompt's value there into the harmless run; noise does the reverse. {_GAP} "
        "Numbers in brackets, or a cross: the interval includes 0.",
        counted(table, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        told(table, "control", _CONTROL),
        Heat(
            tuple(places), tuple(str(layer) for layer in numbers), facets, Axis("layer (index)"),
            Axis("prompt token (offset)"), Axis(_SHARE, -bound, bound), across=len(directions),
        ),
        name,
    )  # fmt: skip


def units(table: Table, name: str) -> Figure | None:
    """The units with the largest effect, both directions side by side, before all the others."""
    if "taken" in table.about:
        return _taken(table, name)
    ranking, shown = table, table
    split = "the prompts that also ranked them, so the largest come out too large"
    if "split" in table.columns and len(kept := table.where(split="check")):
        shown, ranked = kept, table.where(split="find")
        ranking = ranked if len(ranked) else kept
        if len(ranked):
            split = "the check split, which took no part in the ranking"
    ranks: dict[str, int] = {}
    for row in ranking.rows():
        site = str(row["site"])
        ranks[site] = min(int(row["rank"]), ranks.get(site, int(row["rank"])))
    measured = {str(site) for site in shown.columns["site"]}
    sites = sorted(ranks.keys() & measured, key=lambda site: (ranks[site], site))
    marks = {(str(row["site"]), str(row["direction"])): _mark(row) for row in shown.rows()}
    series = tuple(
        Series(
            f"{direction}: {words}", role,
            tuple(marks.get((site, direction)) for site in sites[:TOP]),
        )
        for direction, words, role in _DIRECTIONS
        if any(key[1] == direction for key in marks)
    )  # fmt: skip
    others = _others(shown, set(sites[:TOP]))
    return Figure(
        named(name),
        f"The {min(TOP, len(sites))} units with the largest {_effect(table)}",
        "Which heads and groups of neurons carry the decision, one at a time?",
        f"The first {min(TOP, len(sites))} of {len(sites):,} units by rank; estimates from "
        f"{split}. {_by_estimate(table)}{told(shown, 'left out', '')} {_GAP}",
        counted(shown, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        _unit_control(others, told(table, "control", _CONTROL)),
        Bars(tuple(sites[:TOP]), series, Axis(_SHARE), others),
        name,
    )


def _taken(table: Table, name: str) -> Figure | None:
    """The units of a search, in the order in which they were taken; none if none was."""
    taken = table.about["taken"].split()
    if not taken:
        return None
    rows = {str(row["site"]): row for row in table.rows()}
    marks = tuple(_mark(rows[site]) for site in taken)
    series = tuple(
        Series(f"{direction}: {words}", role, marks)
        for direction, words, role in _DIRECTIONS
        if direction in table.columns["direction"]
    )
    split = str(next(iter(rows.values())).get("split", "find"))
    return Figure(
        named(name),
        "The units that restore refusal together",
        "Which units, taken one after the other, bring most of it back?",
        f"{len(taken)} of {table.about.get('candidates', 'the')} candidates were taken, on the "
        f"{split} split: each is the one that restores most beside those above it. A bar is what "
        "would be missing without it and all below it, so what it adds is the difference to the "
        f"next bar. What the set does on other prompts, the verdict says. {_GAP}",
        counted(table, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        "every other candidate, patched in its place; the set is held against random ones",
        Bars(tuple(taken), series, Axis(_SHARE)),
        name,
    )  # fmt: skip


def _effect(table: Table) -> str:
    return "estimated effect" if "estimator" in table.about else "effect"


def _by_estimate(table: Table) -> str:
    if "estimator" not in table.about:
        return ""
    return f"Nothing was patched: effects are estimated by gradients ({table.about['estimator']}). "


def _others(table: Table, shown: set[str]) -> Band | None:
    """What the middle 95 % of the units that are not shown do."""
    rest = [float(row["share"]) for row in table.rows() if str(row["site"]) not in shown]
    if len(rest) < TOP:
        return None
    low, high = np.quantile(rest, [0.025, 0.975]).tolist()
    return Band("the middle 95 % of all other units", low, high)


def _unit_control(others: Band | None, told: str) -> str:
    if others is None:
        return told
    ends = f"{decimal(others.low)} to {decimal(others.high)}"
    return f"the middle 95 % of all other units lie at {ends} (shaded); {told}"


def checked(table: Table, name: str) -> Figure:
    """Effects estimated by gradients beside the same effects measured by patching."""
    rows = sorted(table.where(drawn="top").rows(), key=lambda row: -abs(float(row["approximate"])))
    rows = rows[:TOP]
    estimated = tuple(
        Mark(float(row["approximate"]), float("nan"), float("nan"), "not patched") for row in rows
    )
    sampled = len(table) - len(table.where(drawn="top"))
    return Figure(
        named(name),
        "Estimated effects, checked by patching",
        "Can the quick estimates be believed, and what did they miss?",
        f"The first {len(rows)} sites by their estimate ({told(table, 'estimator', '?')}). Of "
        f"the others {sampled} were drawn at random: {told(table, 'missed', 'not recorded')}; at "
        f"most {told(table, 'missed at most', '?')} of all others do (one-sided 95 %). Correlation "
        f"of estimate and effect: {told(table, 'pearson', '?')}.",
        counted(table, "pairs of prompts"),
        told(table, "interval", f"{BOOTSTRAP} Drawn for the patched effects; estimates have none."),
        "the same sites patched exactly.",
        Bars(
            tuple(str(row["site"]) for row in rows),
            (
                Series("patched", "found", tuple(_mark(row) for row in rows)),
                Series("estimated", "random", estimated),
            ),
            Axis(_SHARE),
        ),
        name,
    )


def sets(table: Table, name: str) -> Figure:
    """The set found among matched random sets."""
    random = tuple(
        _mark(row, "restored", name="set") for row in table.where(kind="matched random").rows()
    )
    found = tuple(
        (str(row["set"]), _mark(row, "restored")) for row in table.where(kind="found").rows()
    )
    values = np.array([mark.value for mark in random], dtype=float)
    beaten = " ".join(
        f"{name.capitalize()}: {decimal(mark.value)}, above {int((values < mark.value).sum())} of "
        f"{len(values)} matched sets (p = {permutation_p(mark.value, values):.3f})."
        for name, mark in found
    )
    return Figure(
        named(name),
        "The set found, among matched random sets",
        "Do the units found restore refusal, and would any units of the same kind do so?",
        f"A dot is one random set, in bins so that dots stack; hover for its own numbers. {beaten}",
        f"{counted(table, 'pairs of prompts')} {len(random)} matched random sets.",
        told(table, "interval", f"{BOOTSTRAP} Drawn for the set found; hover for the others."),
        told(table, "control", "random sets of as many units, matched in kind and layer."),
        Cloud(random, found, Axis("restored share of the gap (1 = whole gap)")),
        name,
    )


def _mark(row: dict[str, Cell], value: str = "share", name: str = "") -> Mark:
    note = f"n = {row['n']} pairs"
    if "topics" in row:
        note += f" in {row['topics']} topics"
    if name:
        note = f"{row[name]}; {note}"
    return Mark(float(row[value]), float(row["low"]), float(row["high"]), note)


def _known(table: Table, column: str, order: Sequence[str]) -> tuple[str, ...]:
    """The column's distinct values: those of `order` first, then any others as they come."""
    seen = dict.fromkeys(str(value) for value in table.columns[column])
    return (
        *(value for value in order if value in seen),
        *(value for value in seen if value not in order),
    )


def _at(table: Table, *, named: bool) -> Table:
    """The rows at positions with a name, or at single tokens counted by an offset."""
    if "position" not in table.columns:
        return table
    keep = [_offset(str(place)) != named for place in table.columns["position"]]
    columns = {
        name: [value for value, kept in zip(values, keep, strict=True) if kept]
        for name, values in table.columns.items()
    }
    return Table(columns, table.units, table.about)


def _offset(position: str) -> bool:
    return position.removeprefix("-").isdigit()


def _along(position: str) -> tuple[bool, int]:
    """Offsets from the start first, then those from the end, each in the prompt's order."""
    return position.startswith("-"), int(position)
