"""Tables with intervals for steps that no claim of a study sums up, so that a report can show them.

What a step stores is one row per prompt. A claim's tables say what that amounts to; a step that is
in no claim would be left as rows nobody can read. These summaries are made once, when the run ends,
from what the steps stored, and are stored beside it: nothing is run again.
"""

from collections.abc import Container, Mapping, Sequence

import numpy as np

from interlock.figures import signals, words
from interlock.scores import Scores, summary
from interlock.sites import acts_before, parse
from interlock.stats import CONFIDENCE, by_group, ratio
from interlock.tables import Table, from_rows
from interlock.verification import bands, circuits, curves, patched, sharing

MOST = 2000  # sites of one step that are summed up
_INTERVAL = f"{CONFIDENCE:.0%}, bootstrap of the ratio of means over topics"
_INTERACTION = {"given", "site", "joint", "alone", "given_alone", "gap"}
_CURVE = {"kind", "draw", "size", "sites", "effect", "gap"}
_MATRIX = {"source", "part", "number", "target", "effect", "gap"}
_CIRCUIT = {"part", "without", "number", "score"}
_SIGNAL = {"layers", "position", "harmful", "harmless"}
_WORDS = {"side", "token", "mean", "drawn", "joint", "whole"}
_PATCHED = {"set", "direction", "observed", "degenerate", "reply"}
_BANDS = {"band", "layers", "position", "source", "effect", "gap"}


def summaries(found: Mapping[str, object], judged: Container[str]) -> dict[str, Table]:
    """A summary for every step that has one, by name.

    Args:
        found: what each step returned, by its id.
        judged: the ids of steps that a claim sums up already.
    """
    left = {name: value for name, value in found.items() if name not in judged}
    scores = {name: value for name, value in left.items() if isinstance(value, Scores)}
    tables = {
        f"{name}.summary": made
        for name, value in left.items()
        if isinstance(value, Table) and len(value) and (made := _of_table(value)) is not None
    }
    summed = {f"{_name(group)}.summary": _of_scores(scores, group) for group in _groups(scores)}
    return summed | _edges(left) | tables | _words(left)


def _words(found: Mapping[str, object]) -> dict[str, Table]:
    """Words by their part in the prompt, and ranked, of steps that replaced tokens of pairs."""
    mine = {
        name: value
        for name, value in found.items()
        if isinstance(value, Table) and value.columns.keys() >= _WORDS and "split" in value.about
    }
    made = {"parts": words.shares, "ranked": words.ranked}
    return {
        f"{name}.{part}": table
        for name, value in mine.items()
        for part, make in made.items()
        if len(table := make(value))
    }


def _edges(found: Mapping[str, object]) -> dict[str, Table]:
    """One table of edges for the steps whose ids differ in their last part alone."""
    held: dict[str, dict[str, Table]] = {}
    for name, value in found.items():
        if isinstance(value, Table) and _holds(value):
            held.setdefault(name.rpartition(".")[0] or name, {})[name] = value
    made = {_name(list(group)): edges(*group.values()) for group in held.values()}
    return {f"{name}.summary": table for name, table in made.items()}


def _holds(table: Table) -> bool:
    return set(table.columns) >= _INTERACTION and table.about.get("given") == "held"


def _of_table(table: Table) -> Table | None:
    columns = set(table.columns)
    if columns >= _CURVE:
        return curves.curve(table)
    if columns >= _MATRIX:
        return sharing.matrix(table)
    if columns >= _BANDS:
        return bands.summary(table)
    if columns >= _PATCHED:
        return patched.summary(table)
    if columns >= _SIGNAL:
        return signals.signal(table)
    return circuits.summary(table) if columns >= _CIRCUIT else None


def edges(*tables: Table) -> Table:
    """What is lost of a unit's effect when a later one is held: one row per edge, largest first.

    Args:
        tables: of `methods.interaction` with the given site held, a direction each.
    """
    rows = [row for table in tables for row in _edge_rows(table)]
    rows.sort(key=lambda row: -abs(row["share"]))
    about = {key: text for table in tables for key, text in table.about.items()}
    if len(tables) > 1:
        about.pop("direction", None)
    about["interval"] = _INTERVAL
    return from_rows(rows, units={"share": "share of the gap"}, about=about)


def _edge_rows(table: Table) -> list[dict]:
    columns = {name: table[name] for name in ("given", "site", "joint", "alone", "given_alone")}
    gap, topics = table["gap"], table["topic"]
    named = zip(columns["site"].tolist(), columns["given"].tolist(), strict=True)
    rows = []
    for edge, members in by_group([f"{source}->{target}" for source, target in named]).items():
        source, target = edge.split("->")
        if not acts_before(parse(source), parse(target)):
            continue
        own = topics[members].tolist()
        through, before, after = (
            ratio(values[members], gap[members], own, unit="share of the gap")
            for values in (
                columns["alone"] - columns["joint"], columns["alone"], columns["given_alone"],
            )
        )  # fmt: skip
        row = {"source": source, "target": target, "direction": table.about.get("direction", "")}
        row |= {"share": through.value, "low": through.low, "high": through.high, "n": through.n}
        row["topics"] = through.clusters
        for end, each in (("source", before), ("target", after)):
            row |= {
                f"{end}_alone": each.value,
                f"{end}_alone_low": each.low,
                f"{end}_alone_high": each.high,
            }
        rows.append(row)
    return rows


def _groups(scores: Mapping[str, Scores]) -> list[list[str]]:
    """Steps that differ in direction or position alone go into one table."""
    groups: dict[tuple, list[str]] = {}
    for name, one in scores.items():
        indexed = one.sites[0].index is not None
        told = ("estimator", "metric", "along")
        kind = (indexed, one.unit, one.about.get("split"), *(one.about.get(key) for key in told))
        # a dotted id says what belongs together: where.layers.denoise, where.layers.noise
        groups.setdefault((*kind, name.rpartition(".")[0] or name), []).append(name)
    return list(groups.values())


def _name(group: Sequence[str]) -> str:
    return group[0].rpartition(".")[0] if len(group) > 1 else group[0]


def _of_scores(scores: Mapping[str, Scores], group: Sequence[str]) -> Table:
    rows, about = [], {"interval": _INTERVAL}
    for name in group:
        largest, left = _largest(scores[name])
        for key, text in scores[name].about.items():
            about.setdefault(key, text)
        if left:
            about["left out"] = f"{left:,} sites with smaller effects were left out of this table."
        rows += _rows(largest, name)
    about.pop("direction", None)
    return from_rows(rows, units={"share": "share of the gap"}, about=about)


def _largest(scores: Scores) -> tuple[Scores, int]:
    """The sites with the largest shares, and how many are left out."""
    if len(scores.sites) <= MOST:
        return scores, 0
    chosen = np.argsort(-np.abs(scores.shares()), kind="stable")[:MOST]
    kept = [scores.sites[place] for place in sorted(chosen.tolist())]
    return scores.at(kept), len(scores.sites) - MOST


def _rows(scores: Scores, name: str) -> list[dict]:
    found = summary(scores)
    order = np.argsort(-found["share"], kind="stable")
    ranks = np.empty(len(order), dtype=int)
    ranks[order] = np.arange(1, len(order) + 1)
    rows = []
    for row, rank in zip(found.rows(), ranks.tolist(), strict=True):
        site = parse(str(row["site"]))
        place = {"kind": site.kind, "layer": site.layer, "position": site.position}
        rows.append(
            (place if site.index is None else {"site": row["site"]})
            | {"direction": scores.about.get("direction", name)}
            | {key: row[key] for key in ("share", "low", "high", "n")}
            | {"topics": row["clusters"], "rank": rank}
            | {"split": scores.about.get("split", "")}
        )
    return rows
