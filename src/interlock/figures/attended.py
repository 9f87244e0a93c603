"""Figures of single prompts: what heads attend to, what moves units, what they respond to."""

import math
from collections.abc import Callable

import numpy as np

from interlock.figures.counts import named
from interlock.figures.forms import Axis, Bars, Figure, Mark, Passage, Series, Word, Words
from interlock.figures.palette import Role
from interlock.stats import by_group
from interlock.tables import Cell, Table

MOST = 120  # words of one prompt that are drawn
_NONE = "none: each number is of one prompt, read exactly, no estimate over prompts."
_NAN = float("nan")


def attention(table: Table, name: str) -> Figure:
    """The prompts' words, shaded by the attention that each head pays them from the last token."""
    left, passages = _passages(table, "head", lambda row: f"{row['weight']:.1%} of attention")
    largest = float(np.max(table["weight"]))
    return Figure(
        named(name),
        "What the heads attend to",
        "From the last prompt token, where the reply is decided, where does each head read?",
        "Each prompt is written out, token by token; darker is more of the head's attention from "
        "its last token. The first token is often where a head rests that has nothing to read."
        f"{_left_out(left)}",
        _counted(table, "head", "heads"),
        _NONE,
        "none here: a weight says where a head reads from, not that it matters; the heads were "
        "chosen by intervention, and parts of all prompts are compared in the table of shares.",
        Words(passages, Axis("attention weight (share)", 0.0, largest or 1.0), diverging=False),
        name,
    )


def moved(table: Table, name: str) -> Figure:
    """The words of each unit's strongest prompts, shaded by how far they move the unit."""
    left, passages = _passages(
        table, "site", lambda row: f"activity {row['activity']:.2f}", "moved"
    )
    bound = float(np.max(np.abs(table["moved"]))) or 1.0
    return Figure(
        named(name),
        "The tokens that move each unit",
        "Which words of its strongest prompts make a unit active?",
        "Orange: the unit's activity falls when this token alone is replaced by the mean token; "
        "blue: it rises. Activity is 0 at the mean harmless prompt and 1 at the mean harmful one. "
        f"Words that are needed together each show the whole fall.{_left_out(left)}",
        _counted(table, "site", "units"),
        _NONE,
        "the same prompt with no token replaced.",
        Words(passages, Axis("fall of activity", -bound, bound)),
        name,
    )


def strongest(table: Table, name: str) -> Figure:
    """The prompts on which each unit is most active."""
    rows = list(table.rows())
    labels = tuple(f"{row['site']} · {row['prompt']}" for row in rows)
    marks = tuple(
        Mark(float(row["activity"]), _NAN, _NAN, f"{row['category']}, expected: {row['expected']}")
        for row in rows
    )
    wanted = table["expected"] == "refuse"
    kinds: tuple[tuple[str, Role, np.ndarray], ...] = (
        ("harmful prompt", "found", wanted),
        ("harmless prompt", "first", ~wanted),
    )
    series = tuple(
        Series(words, role, tuple(
            mark if own else None for mark, own in zip(marks, chosen.tolist(), strict=True)
        ))
        for words, role, chosen in kinds
        if chosen.any()
    )  # fmt: skip
    return Figure(
        named(name),
        "The prompts on which each unit is most active",
        "What do the units respond to?",
        "The strongest prompts of each unit, harmful and harmless together. Activity is 0 at the "
        "mean harmless prompt and 1 at the mean harmful one. Whether a unit is of one category is "
        "for held-out prompts to say, not for this list.",
        _counted(table, "site", "units"),
        _NONE,
        "harmless prompts are ranked among the harmful ones.",
        Bars(labels, series, Axis("activity (1 = mean harmful prompt)")),
        name,
    )


def _passages(
    table: Table, unit: str, told: Callable[[dict[str, Cell]], str], column: str = "weight"
) -> tuple[int, tuple[Passage, ...]]:
    """One passage per unit and prompt, and how many words were left out in all."""
    rows = list(table.rows())
    # all prompts of one unit stand together, whatever the order of the rows
    units = list(dict.fromkeys(str(row[unit]) for row in rows))
    rows.sort(key=lambda row: units.index(str(row[unit])))
    groups = by_group([f"{row[unit]}\0{row['example']}" for row in rows])
    left, passages = 0, []
    for members in groups.values():
        own = [rows[place] for place in members.tolist()]
        sizes = [-abs(float(row[column])) for row in own]
        kept = sorted(np.argsort(sizes, kind="stable")[:MOST].tolist())
        left += len(own) - len(kept)
        words = tuple(_word(own[place], column, told) for place in kept)
        passages.append(Passage(str(own[0][unit]), str(own[0]["category"]), words))
    return left, tuple(passages)


def _word(row: dict[str, Cell], column: str, told: Callable[[dict[str, Cell]], str]) -> Word:
    value = float(row[column])
    assert math.isfinite(value)
    return Word(str(row["token"]), Mark(value, _NAN, _NAN, f"token {row['position']}, {told(row)}"))


def _left_out(count: int) -> str:
    return f" {count:,} tokens with the smallest numbers are not drawn." if count else ""


def _counted(table: Table, column: str, units: str) -> str:
    prompts = len(set(table["example"].tolist()))
    split = table.about.get("split")
    where = f" of {split}" if split else ""
    return f"n = {prompts} prompts{where}, {len(set(table[column].tolist()))} {units}."
