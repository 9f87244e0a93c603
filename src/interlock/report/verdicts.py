"""A verdict as the page shows it: its estimates drawn against the rule, its guards, its control."""

import math
import re
from collections.abc import Mapping
from typing import Any

from interlock.figures.bars import interval_bar
from interlock.figures.labels import decimal
from interlock.stats import Estimate
from interlock.verdict import RULES, Condition

_STATES = {"met": "rule met", "failed": "excluded", "open": "undecided"}

View = dict[str, Any]


def card(verdict: Mapping[str, Any], anchors: Mapping[str, str]) -> View:
    """One verdict; `anchors` say which element shows a table."""
    conditions = _declared(verdict)
    # what the rule does not look at is in the tables, unless it was worded to stand here
    estimates = {
        name: estimate
        for name, estimate in verdict["estimates"].items()
        if name in conditions or not conditions or not name.isidentifier()
    }
    rows = [_estimate(name, each, conditions.get(name)) for name, each in estimates.items()]
    ways = dict.fromkeys(row["how"] for row in rows if not row["guard"])
    return {
        **{key: verdict[key] for key in ("claim", "outcome", "reason", "rule", "control", "table")},
        "notes": verdict.get("notes", ()),
        "ground_truth": verdict.get("ground_truth", ()),
        "decisive": [row for row in rows if not row["guard"]],
        "guards": [row for row in rows if row["guard"]],
        "how": "; ".join(way for way in ways if way) or "not stated",
        "href": anchors.get(verdict["table"], ""),
    }


def _declared(verdict: Mapping[str, Any]) -> dict[str, tuple[Condition, bool]]:
    """Each quantity's condition, with the threshold that the verdict's own rule states."""
    found = {}
    for rule in (rule for rule in RULES.values() if rule.claim == verdict["claim"]):
        for condition in (*rule.conditions, *rule.guards):
            words = str(condition).removesuffix(f"{condition.threshold:g}")
            pattern = r"(?:^|; |Only if )" + re.escape(words) + r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)"
            stated = re.search(pattern, verdict["rule"])
            if stated:
                known = Condition(
                    condition.quantity, condition.side, float(stated[1]), condition.meaning
                )
                found[condition.quantity] = (known, condition in rule.guards)
    return found


def _estimate(name: str, plain: Mapping[str, Any], declared: tuple[Condition, bool] | None) -> View:
    value, low, high = (number(plain[key]) for key in ("value", "low", "high"))
    condition, guard = declared or (None, False)
    n, clusters = plain["n"], plain["clusters"]
    unit = str(plain["unit"])
    row = row_of(
        name if condition is None else condition.meaning, (value, low, high), condition, unit
    )
    row |= {
        "guard": guard,
        "n": f"n = {n:,}" + (f" in {clusters:,} topics" if clusters != n else ""),
        "unit": "" if unit == "share" else unit,
        "how": str(plain["how"]),
        "state": "",
    }
    if condition is not None and not math.isnan(value):
        state = condition.state(Estimate(value, low, high, n, clusters, plain["how"], unit))
        row["state"] = ("met" if state == "met" else "not met") if guard else _STATES[state]
        row["needed"] = f"{condition.side} {condition.threshold:g}"
    return row


def row_of(
    label: str, ends: tuple[float, float, float], condition: Condition | None, unit: str
) -> View:
    """An estimate (value, low, high) as text, with its bar."""
    _, low, high = ends
    whole = all(math.isfinite(each) and each == int(each) and abs(each) >= 2 for each in ends)
    texts = [decimal(each, 0 if whole else 3) for each in ends]
    return {
        "label": label, "value": texts[0], "low": texts[1], "high": texts[2],
        "exact": low == high, "needed": "",
        "bar": interval_bar(ends, condition, share=unit == "share"),
    }  # fmt: skip


def number(value: object) -> float:
    """A JSON value as a number; what is no number has none."""
    return float(value) if isinstance(value, int | float) else math.nan
