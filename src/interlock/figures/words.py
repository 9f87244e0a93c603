"""Which words of a request make the model refuse: words of prompts shaded, and words ranked.

The rows are those of `methods.token_effects`: a prompt and token each.
"""

import math
from collections.abc import Sequence

import numpy as np

from interlock.figures.counts import BOOTSTRAP, counted, named, told
from interlock.figures.forms import Axis, Bars, Figure, Mark, Passage, Series, Word, Words
from interlock.figures.labels import decimal
from interlock.figures.palette import Role
from interlock.scores import LEAST_GAP
from interlock.stats import CONFIDENCE, Estimate, by_group, mean, ratio
from interlock.tables import Cell, Table, from_rows

PAIRS = 6  # pairs of prompts that are written out
MOST = 60  # words of one prompt that are drawn
RANKED = 24  # words in the ranking that is drawn
LEAST = 4  # topics that a word's interval needs
_NAN = float("nan")
_MEAN, _DRAWN, _ESTIMATE = "the mean", "drawn tokens", "estimated"
_BY: dict[str, tuple[str, Role]] = {
    "mean": (_MEAN, "found"), "drawn": (_DRAWN, "second"), "estimate": (_ESTIMATE, "random"),
}  # fmt: skip
_JOINT = {"mean": ("joint", "whole"), "drawn": ("joint_drawn", "whole_drawn")}
_SLOT, _NEXT, _REST = "slot", "strongest other", "each of the rest"
_BOTH, _WHOLE, _BEYOND = "two strongest together", "whole request", "beyond their sum"
# harmful prompts, and those they are beside
_SIDES = (("harmful", "harmless"), ("refused", "answered"))
_DISTINCT = "Effects are no shares of a whole: words that are needed together each take it whole."


def shares(table: Table) -> Table:
    """Effects by a word's part in the prompt, over the gap between the prompts of a pair.

    One row per side, part and replacement, with intervals over topics. The strongest other word and
    the two strongest are chosen by the effect of the mean embedding. Empty where the score hardly
    tells the prompts of the pairs apart, so that there is nothing to share.
    """
    rows = []
    if not _gap(table).low >= LEAST_GAP:
        return from_rows(rows)
    for side in _SIDES[0]:
        prompts = _prompts(table, side)
        for column, (by, _) in _BY.items():
            for part in (_SLOT, _NEXT, _REST, _BOTH, _BEYOND, _WHOLE):
                values = [_part(each, part, column) for each in prompts]
                kept = [place for place, value in enumerate(values) if math.isfinite(value)]
                if not kept:
                    continue
                found = ratio(
                    np.array([values[place] for place in kept]),
                    np.array([float(prompts[place][0]["gap"]) for place in kept]),
                    [str(prompts[place][0]["topic"]) for place in kept],
                    unit="share of the gap",
                )
                rows.append(
                    {
                        "side": side,
                        "part": part,
                        "replaced": by,
                        "share": found.value,
                        "low": found.low,
                        "high": found.high,
                        "n": found.n,
                        "topics": found.clusters,
                    }
                )
    about = {**table.about, "interval": f"{CONFIDENCE:.0%}, bootstrap of the ratio over topics"}
    return from_rows(rows, units={"share": "share of the gap"}, about=about)


def ranked(table: Table) -> Table:
    """Words pooled over the harmful prompts by their mean effect (nat), largest first.

    A word of fewer than `LEAST` topics has no interval. Beside it the mean effect of the same word
    in the harmless prompts.
    """
    harmful, harmless = _SIDES[0]
    own, other = (_spelled(table.where(side=side)) for side in (harmful, harmless))
    elsewhere = by_group([word for word, _ in other])
    rows = []
    for word, members in by_group([word for word, _ in own]).items():
        values = [own[place][1] for place in members.tolist()]
        found = mean(
            np.array([float(row["mean"]) for row in values]),
            [str(row["topic"]) for row in values],
            unit="nat",
        )
        told_apart = found.clusters >= LEAST
        there = [float(other[place][1]["mean"]) for place in elsewhere.get(word, ())]
        rows.append(
            {
                "word": word,
                "effect": found.value,
                "low": found.low if told_apart else _NAN,
                "high": found.high if told_apart else _NAN,
                "n": found.n,
                "topics": found.clusters,
                "drawn": float(np.mean([float(row["drawn"]) for row in values])),
                "harmless": float(np.mean(there)) if there else _NAN,
                "harmless_n": len(there),
            }
        )
    rows.sort(key=lambda row: -row["effect"])
    about = {
        **table.about,
        "interval": f"{CONFIDENCE:.0%}, bootstrap over topics; none under {LEAST} topics",
    }
    units = {"effect": "nat", "drawn": "nat", "harmless": "nat"}
    return from_rows(rows, units=units, about=about)


def shaded(table: Table, name: str) -> Figure | None:
    """Prompts of pairs, or one prompt and its neighbour, with every word shaded by its effect."""
    sides = next((pair for pair in _SIDES if pair[0] in table.columns["side"]), None)
    if sides is None:
        return None
    shown = _shown(table, sides)
    left = sum(max(0, len(rows) - MOST) for rows in shown)
    passages = tuple(_passage(rows) for rows in shown)
    bound = max(abs(word.mark.value) for each in passages for word in each.words) or 1.0
    single = sides != _SIDES[0]
    finding = told(table, "finding", "") if single else _unapart(table)
    return Figure(
        named(name),
        "The words that make the model refuse",
        "Which words of a request does the refusal hang on?",
        f"{finding + ' ' if finding else ''}"
        "Orange: the opening score falls, away from refusal, when this word alone is replaced by "
        "the mean of harmless requests' words; blue: it rises. The template's tokens are the same "
        f"in every prompt and left out. {_DISTINCT}{_dropped(left)}",
        _read(table, shown, single),
        "none: each number is of one prompt, read exactly, no estimate over prompts.",
        "the nearest prompt that the model treated the other way."
        if single
        else "below each harmful prompt, its harmless partner, which differs in one word.",
        Words(passages, Axis("fall of the score (nat)", -bound, bound)),
        name,
    )


def by_part(table: Table, name: str) -> Figure:
    """The shares of `shares`: harmful prompts, with harmless ones beside them."""
    parts = list(dict.fromkeys(table["part"].tolist()))
    labels = tuple(f"{part}, {side}" for side in _SIDES[0] for part in parts)
    series = tuple(
        Series(f"replaced by {by}" if by != _ESTIMATE else _ESTIMATE, role, marks)
        for by, role in _BY.values()
        if any(
            marks := tuple(_found(table, side, part, by) for side in _SIDES[0] for part in parts)
        )
    )
    return Figure(
        named(name),
        "How much of the refusal hangs on each word",
        "Does one word decide, or do words decide together?",
        "Fall of the opening score with a word replaced, over the gap between the prompts of a "
        "pair. Slot: the word in which the two differ; beyond their sum: the two strongest "
        f"together minus each alone. {_DISTINCT} {words(table)} A drawn token may itself be out of "
        f"place, which moves the score as well. {_estimated(table)}",
        counted(table, "prompts"),
        told(table, "interval", BOOTSTRAP),
        "the harmless prompts of the same pairs, their words replaced likewise.",
        Bars(labels, series, Axis("fall of the score (share of the gap)")),
        name,
    )


def ranking(table: Table, name: str) -> Figure:
    """The words of `ranked` with the largest effects."""
    rows = list(table.rows())[:RANKED]
    marks = tuple(
        Mark(
            float(row["effect"]), float(row["low"]), float(row["high"]),
            f"n = {row['n']} in {row['topics']} topics",
        )
        for row in rows
    )  # fmt: skip
    beside = tuple(
        Mark(float(row["harmless"]), _NAN, _NAN, f"n = {row['harmless_n']}")
        if int(row["harmless_n"])
        else None
        for row in rows
    )
    left = len(table) - len(rows)
    more = f" {left:,} words with smaller effects are in the table." if left else ""
    return Figure(
        named(name),
        "Words by how much refusals hang on them",
        "Which words, over all prompts, make the model refuse?",
        "Mean fall of the opening score with the word replaced by the mean of harmless requests' "
        f"words. A word of fewer than {LEAST} topics has no interval: nothing is claimed of it in "
        f"other prompts.{more}",
        counted(table, "places of a word"),
        told(table, "interval", BOOTSTRAP),
        "the same word in the harmless prompts, where it is in any.",
        Bars(
            tuple(str(row["word"]) or "\N{OPEN BOX}" for row in rows),
            (
                Series("in harmful prompts", "found", marks),
                *([Series("in harmless prompts", "first", beside)] if any(beside) else []),
            ),
            Axis("fall of the score (nat)"),
        ),
        name,
    )


def words(table: Table) -> str:
    """What the shares of harmful prompts say, in words."""
    found = {str(row["part"]): row for row in table.where(side=_SIDES[0][0], replaced=_MEAN).rows()}
    said = [f"{part} {_ends(found[part])}" for part in (_SLOT, _NEXT, _REST) if part in found]
    text = f"Of the gap of harmful prompts: {', '.join(said)}." if said else ""
    if _BEYOND not in found:
        return text
    beyond = found[_BEYOND]
    sum_up = "as far as can be told each acts by itself"
    if float(beyond["high"]) < 0:
        sum_up = "in part each needs the other"
    if float(beyond["low"]) > 0:
        sum_up = "in part each stands in for the other"
    return (
        f"{text} The two strongest words take {_ends(found[_BOTH])} together; less what each takes "
        f"alone that is {_ends(beyond)}: {sum_up}."
    )


def _ends(row: dict[str, Cell]) -> str:
    value, low, high = (decimal(float(row[end])) for end in ("share", "low", "high"))
    return f"{value} [{low}, {high}]"


def _gap(table: Table) -> Estimate:
    """Mean gap of the pairs (nat)."""
    first = [rows[0] for rows in _prompts(table, _SIDES[0][0])]
    gaps = np.array([float(row["gap"]) for row in first])
    return mean(gaps, [str(row["topic"]) for row in first], unit="nat")


def _prompts(table: Table, side: str) -> list[list[dict[str, Cell]]]:
    """The rows of every prompt of one side, in order."""
    rows = list(table.where(side=side).rows())
    groups = by_group([str(row["example"]) for row in rows])
    return [[rows[place] for place in members.tolist()] for members in groups.values()]


def _part(rows: Sequence[dict[str, Cell]], part: str, column: str) -> float:
    """One number of a prompt's words (nat); nan where it has none."""
    values = np.array([float(row[column]) for row in rows])
    order = np.argsort([-float(row["mean"]) for row in rows], kind="stable").tolist()
    slot = [place for place in order if rows[place]["part"] == _SLOT]
    others = [place for place in order if rows[place]["part"] != _SLOT]
    if part == _SLOT:
        return float(values[slot[0]]) if slot else _NAN
    if part == _NEXT:
        return float(values[others[0]]) if others else _NAN
    if part == _REST:
        return float(values[others[1:]].mean()) if others[1:] else _NAN
    if column not in _JOINT:
        return float(values.sum()) if part == _WHOLE else _NAN
    joint, whole = (float(rows[0][each]) for each in _JOINT[column])
    if part == _BEYOND:
        return joint - float(values[order[:2]].sum())
    return joint if part == _BOTH else whole


def _spelled(table: Table) -> list[tuple[str, dict[str, Cell]]]:
    return [(str(row["token"]).strip(), row) for row in table.rows()]


def _shown(table: Table, sides: tuple[str, str]) -> list[list[dict[str, Cell]]]:
    """Prompts to write out: the pair of each category with the largest score, harmful first."""
    first = sorted(_prompts(table, sides[0]), key=lambda rows: -float(rows[0]["score"]))
    beside = {str(rows[0]["pair"]): rows for rows in _prompts(table, sides[1])}
    if sides != _SIDES[0]:
        return [*first, *beside.values()]
    categories: dict[str, int] = {}
    kept = []
    for rows in first:
        seen = categories.setdefault(str(rows[0]["category"]), 0)
        categories[str(rows[0]["category"])] += 1
        kept.append((seen, rows))
    # one of each category before a second of any
    chosen = [rows for _, rows in sorted(kept, key=lambda each: each[0])[:PAIRS]]
    return [
        rows
        for own in chosen
        for rows in (own, beside.get(str(own[0]["pair"])))
        if rows is not None
    ]


def _passage(rows: Sequence[dict[str, Cell]]) -> Passage:
    sizes = [-abs(float(row["mean"])) for row in rows]
    kept = sorted(np.argsort(sizes, kind="stable")[:MOST].tolist())
    head = rows[0]
    score = f"score {decimal(float(head['score']), 1)} nat"
    title = " · ".join(filter(None, (str(head["category"]), str(head["side"]))))
    return Passage(title, score, tuple(_word(rows[place]) for place in kept))


def _word(row: dict[str, Cell]) -> Word:
    note = f"nat; drawn {decimal(float(row['drawn']))}, estimated {decimal(float(row['estimate']))}"
    if math.isfinite(float(row["swap"])):
        note += f", the other prompt's word there {decimal(float(row['swap']))}"
    return Word(str(row["token"]), Mark(float(row["mean"]), _NAN, _NAN, note))


def _unapart(table: Table) -> str:
    """What is said where there is no gap."""
    gap = _gap(table)
    if gap.low >= LEAST_GAP:
        return ""
    ends = f"{decimal(gap.value)} nat [{decimal(gap.low)}, {decimal(gap.high)}]"
    return f"The score does not tell harmful from harmless prompts: their mean gap is {ends}."


def _dropped(count: int) -> str:
    return f" {count:,} tokens with the smallest numbers are not drawn." if count else ""


def _read(table: Table, shown: Sequence, single: bool) -> str:
    if single:
        return f"n = {len(shown)} prompts."
    count = len(set(table["pair"].tolist()))
    split = told(table, "split", "these prompts")
    pairs = sum(rows[0]["side"] == _SIDES[0][0] for rows in shown)
    return f"n = {pairs} of the {count} pairs of {split}, the largest score of each category."


def _found(table: Table, side: str, part: str, by: str) -> Mark | None:
    for row in table.where(side=side, part=part, replaced=by).rows():
        note = f"n = {row['n']} prompts in {row['topics']} topics"
        return Mark(float(row["share"]), float(row["low"]), float(row["high"]), note)
    return None


def _estimated(table: Table) -> str:
    agree, missed = told(table, "estimates", ""), told(table, "estimates' sum", "")
    said = ["Estimated: by integrated gradients, which share out what words do together"]
    said += [agree] if agree else []
    said += [f"their sum {missed}"] if missed else []
    return f"{'; '.join(said)}."
