"""Published numbers beside a study's own: what the same protocol gave others, and gives here."""

from collections.abc import Mapping, Sequence

import numpy as np

from interlock.config import Target
from interlock.long_texts import perplexity
from interlock.stats import Estimate, mean, rate
from interlock.studies.evidence import Value, exact
from interlock.tables import Table, from_rows

TABLE = "published"
_ABOUT = {
    "interval": "95 %: of shares Wilson on n over the design effect, else bootstrap over topics; "
    "of the largest share over suffixes that of the suffix, which was picked for being largest",
    "agrees": "whether the published number lies within the interval; it has an error of its own",
}


def beside(targets: Sequence[Target], values: Mapping[str, Value]) -> Table:
    """One row per published number: it, what this study measured with its interval, and n.

    What could not be measured is not a number, with the reason in `note`.
    """
    return from_rows([_row(each, values.get(each.step)) for each in targets], about=_ABOUT)


def lines(table: Table) -> list[str]:
    """The rows as text, a line each."""
    return [
        f"{row['step']} ({row['at']}): {row['measured']:.3g} [{row['low']:.3g}, "
        f"{row['high']:.3g}], published {row['published']:g}"
        if not row["note"]
        else f"{row['step']} ({row['at']}): {row['note']}, published {row['published']:g}"
        for row in table.rows()
    ]


def _row(target: Target, value: Value | None) -> dict:
    start = {
        "step": target.step,
        "at": ", ".join(f"{name} {cell}" for name, cell in target.at.items()),
        "read": target.reading if target.column == "value" else target.column,
        "published": target.value,
    }
    found = _measured(target, value)
    if isinstance(found, str):
        nothing = {"measured": float("nan"), "low": float("nan"), "high": float("nan")}
        return start | nothing | {"n": 0, "agrees": False, "note": found, "source": target.source}
    return start | {
        "measured": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "agrees": found.low <= target.value <= found.high,
        "note": "",
        "source": target.source,
    }


def _measured(target: Target, value: Value | None) -> Estimate | str:
    if not isinstance(value, Table):
        return "the step did not run"
    if target.reading == "best suffix" and value.about.get("suffixes") == "none":
        return "no file of suffixes was given"
    missing = [name for name in (*target.at, target.column) if name not in value.columns]
    if missing:
        return f"the step's table has no column {missing[0]}"
    rows = value.where(**target.at)
    if not len(rows):
        return "the step has no such row"
    if target.column != "value":
        number = float(rows[target.column][0])
        return exact(number, len(rows), "counted", "share")
    if target.reading == "perplexity":
        return perplexity(rows["value"].tolist())
    if target.reading == "best suffix" and "suffix" in rows.columns:
        suffixes = sorted(set(rows["suffix"].tolist()))
        return max((_mean(rows.where(suffix=s)) for s in suffixes), key=lambda each: each.value)
    return _mean(rows)


def _mean(rows: Table) -> Estimate:
    values, topics = rows["value"].astype(float), rows["topic"].tolist()
    if np.isin(values, (0.0, 1.0)).all():
        return rate(values == 1, topics)
    return mean(values, topics, unit="share")
