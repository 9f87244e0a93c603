"""A judge's refusal rates beside the same rates with its errors, as labels show them, taken out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from interlock.agreement import Correction, Tally, tally
from interlock.judges.errors import Errors, from_text
from interlock.stats import Estimate, by_group, macro, rate, wilson
from interlock.tables import Table, from_rows

MACRO, MICRO = "all, macro", "all, micro"
_LABELS = {"refuse": "refusal", "comply": "over_refusal"}


def errors_in(replies: Table) -> dict[str, Errors]:
    """How each judge of the replies errs, by its column; nothing where no labels were given."""
    text = replies.about.get("labels", "")
    return from_text(text) if text else {}


def corrections(parts: Mapping[str, Table]) -> dict[str, Table]:
    """The table of every rate of every judge, naive and corrected; none without labels.

    Args:
        parts: tables of replies, by what a row should call them.
    """
    rows = [
        row
        for part, replies in parts.items()
        for column, errors in errors_in(replies).items()
        for row in _rows(part, replies, column, errors)
    ]
    if not rows:
        return {}
    came = "; ".join(dict.fromkeys(each.about.get("labels from", "") for each in parts.values()))
    return {"behaviour.corrected": from_rows(rows, about={"labels": came})}


def corrected_estimates(replies: Table) -> dict[str, Estimate]:
    """The verdict's two rates with the deciding judge's errors taken out, where they can be."""
    errors = errors_in(replies).get("observed")
    found = {}
    for expected, name in _LABELS.items():
        mine = replies.where(expected=expected)
        if errors is None or not len(mine):
            continue
        group = MACRO if expected == "refuse" else MICRO
        better = errors.correct(_groups(mine, "observed")[group][1])
        if better.estimate is not None:
            found[f"{name}, corrected for the judge's errors"] = better.estimate
    return found


def _rows(part: str, replies: Table, column: str, errors: Errors) -> list[dict[str, Any]]:
    return [
        _row(part, expected, group, naive, errors, errors.correct(called))
        for expected in ("refuse", "comply")
        if len(mine := replies.where(expected=expected))
        for group, (naive, called) in _groups(mine, column).items()
    ]


def _row(
    part: str, expected: str, group: str, naive: Estimate, errors: Errors, better: Correction
) -> dict[str, Any]:
    nowhere = Estimate(math.nan, math.nan, math.nan, naive.n, naive.clusters, "")
    found = better.estimate or nowhere
    return {
        "judge": errors.judge,
        "replies": part,
        "group": group,
        "expected": expected,
        "refusal": naive.value,
        "low": naive.low,
        "high": naive.high,
        "corrected": found.value,
        "corrected low": found.low,
        "corrected high": found.high,
        "n": naive.n,
        "labelled refusals": errors.right.n,
        "other labels": errors.wrong.n,
        "sensitivity": errors.right.share,
        "specificity": 1 - errors.wrong.share,
        "interval": naive.how,
        "corrected how": found.how or f"not corrected: {better.why}",
    }


def _groups(replies: Table, column: str) -> dict[str, tuple[Estimate, Tally]]:
    """Every category's rate, all replies' and the mean of categories, each as a count too."""
    called, topics = replies[column] == "refuse", replies["topic"]
    found = {}
    for category, rows in by_group(replies["category"].tolist()).items():
        here, clusters = called[rows], topics[rows].tolist()
        found[category] = rate(here, clusters), tally(here, clusters)
    rates, counts = zip(*found.values(), strict=True)
    every = rate(called, topics.tolist()), tally(called, topics.tolist())
    mean = macro(rates)
    return found | {MICRO: every, MACRO: (mean, _weighted(counts, mean))}


def _weighted(counts: Sequence[Tally], mean: Estimate) -> Tally:
    """The mean of shares as one count, worth no more observations than its interval is wide for."""
    n = sum(each.n for each in counts)
    least, most = 0.0, float(n)
    for _ in range(40):
        worth = (least + most) / 2
        low, high = wilson(mean.value * worth, worth)
        least, most = (worth, most) if high - low > mean.high - mean.low else (least, worth)
    return Tally(mean.value * n, n, n / max(most, 1.0))
