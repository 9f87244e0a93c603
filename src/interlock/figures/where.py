"""Figures of where refusal happens: layers, single units, and the set found among random sets."""

from collections.abc import Sequence

import numpy as np

from interlock.figures.counts import BOOTSTRAP, counted, told
from interlock.figures.forms import Axis, Bars, Cloud, Facet, Figure, Heat, Mark, Series
from interlock.figures.labels import decimal
from interlock.figures.palette import Role
from interlock.stats import permutation_p
from interlock.tables import Cell, Table

TOP = 20
_KINDS = ("resid_pre", "attn", "resid_mid", "mlp", "resid_post")
_POSITIONS = ("slot", "post", "last", "all")
_POSITION_WORDS = {
    "last": "last prompt token",
    "post": "template tokens after the prompt",
    "slot": "the tokens that differ",
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


def layers(table: Table) -> Figure:
    """Heat maps of layers by kind, one facet per position and direction."""
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
        "where-layers",
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
        "where.layers",
    )  # fmt: skip


def units(table: Table) -> Figure:
    """The units with the largest effect, both directions side by side."""
    shown, split = table, "the prompts that also ranked them, so the largest come out too large"
    if "split" in table.columns and len(kept := table.where(split="check")):
        shown, split = kept, "the check split, which took no part in the ranking"
    ranks: dict[str, int] = {}
    for row in shown.rows():
        site = str(row["site"])
        ranks[site] = min(int(row["rank"]), ranks.get(site, int(row["rank"])))
    sites = sorted(ranks, key=lambda site: ranks[site])
    marks = {(str(row["site"]), str(row["direction"])): _mark(row) for row in shown.rows()}
    series = tuple(
        Series(
            f"{direction}: {words}", role,
            tuple(marks.get((site, direction)) for site in sites[:TOP]),
        )
        for direction, words, role in _DIRECTIONS
        if any(key[1] == direction for key in marks)
    )  # fmt: skip
    return Figure(
        "where-units",
        f"The {min(TOP, len(sites))} units with the largest effect",
        "Which heads and groups of neurons carry the decision, one at a time?",
        f"The first {min(TOP, len(sites))} of {len(sites):,} units by rank; estimates from "
        f"{split}. {_GAP}",
        counted(shown, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        told(table, "control", _CONTROL),
        Bars(tuple(sites[:TOP]), series, Axis(_SHARE)),
        "where.units",
    )


def sets(table: Table) -> Figure:
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
        "where-sets",
        "The set found, among matched random sets",
        "Do the units found restore refusal, and would any units of the same kind do so?",
        f"A dot is one random set, in bins so that dots stack; hover for its own numbers. {beaten}",
        f"{counted(table, 'pairs of prompts')} {len(random)} matched random sets.",
        told(table, "interval", f"{BOOTSTRAP} Drawn for the set found; hover for the others."),
        told(table, "control", "random sets of as many units, matched in kind and layer."),
        Cloud(random, found, Axis("restored share of the gap (1 = whole gap)")),
        "where.sets",
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
