"""Whether refusal is mediated by one direction: taken out, put in, in an unseen category."""

from collections.abc import Mapping

import numpy as np

from interlock.scores import Scores, summary
from interlock.sites import parse
from interlock.stats import CONFIDENCE, Estimate, by_group, macro, mean, rate
from interlock.studies.evidence import Findings, Value, count_topics, exact
from interlock.tables import Table, from_rows
from interlock.verdict import Evidence

_ABOUT = {
    "interval": f"{CONFIDENCE:.0%}, Wilson on n over the design effect",
    "control": "random directions with the spread that prompts of one kind have, at the same norm",
    "removed": "share of the refused harmful prompts that are answered with it taken out",
    "induced": "share of the answered harmless prompts that are refused with it put in",
}
_STREAMS = {"interval": f"{CONFIDENCE:.0%}, bootstrap of the ratio of means over topics"}
# not the ids of the steps themselves, whose rows would be overwritten
_CHANGED, _UNSEEN = "direction.changed", "direction.unseen"
_ASKED = {"removed": "refuse", "induced": "comply"}


def conclude(parts: Mapping[str, Value]) -> Findings:
    """Effects beside random directions; `effects` and `transfer` decide, others add tables."""
    effects = parts["effects"]
    assert isinstance(effects, Table)
    tables = {_CHANGED: from_rows(_effects(effects), about=_ABOUT | dict(effects.about))}
    transfer = parts.get("transfer")
    if isinstance(transfer, Table):
        rows = _by_category(transfer)
        tables[_UNSEEN] = from_rows(rows, about=_ABOUT | dict(transfer.about))
    carried = [row for part in parts.values() if isinstance(part, Scores) for row in _streams(part)]
    if carried:
        tables["direction.streams"] = from_rows(carried, about=_STREAMS)
    return Findings(tables, _evidence(effects, transfer))


def _evidence(effects: Table, transfer: Value | None) -> Evidence:
    found = effects.where(kind="found")
    before = found.where(does="none", measure="refused")
    harmful, harmless = before.where(expected="refuse"), before.where(expected="comply")
    sets = len(set(effects.where(kind="random", does="removed")["number"].tolist()))
    estimates = {
        "topics": count_topics(harmful),
        "refused_before": _share(harmful),
        "over_refused": _share(harmless),
        "control_sets": exact(sets, sets, "counted", "random directions"),
        "nll_rise": _nll_rise(found),
        "degenerate": _share(found.where(does="removed", variant="affine", measure="degenerate")),
    }
    missing = {}
    for does in ("removed", "induced"):
        estimate = _changed(effects, does, "affine", "found")
        if estimate is None:
            missing[does] = "no prompt was treated as it should before, so none can change"
        else:
            estimates[does] = estimate
        control = _changed(effects, does, "affine", "random")
        if control is not None:
            estimates[f"random_{does}"] = control
        else:
            missing.setdefault(f"random_{does}", "no random direction was tried")
    carried = _transfer(transfer) if isinstance(transfer, Table) else None
    if carried is None:
        missing["transfer"] = "no category could be held out (see the notices of the run)"
    else:
        estimates["transfer"] = carried
    return Evidence(estimates, f"{sets} {_ABOUT['control']}", _CHANGED, missing)


def _share(rows: Table) -> Estimate:
    return rate(rows["value"] == 1, rows["topic"].tolist())


def _changed(effects: Table, does: str, variant: str, kind: str) -> Estimate | None:
    """Share of the prompts treated as they should that turn to the other side, in whole replies."""
    asked = _ASKED[does]
    before = effects.where(does="none", measure="refused", expected=asked)
    wanted = 1.0 if asked == "refuse" else 0.0
    well = set(before["example"][before["value"] == wanted].tolist())
    part = effects.where(does=does, variant=variant, kind=kind, expected=asked)
    refused, broken = (part.where(measure=name) for name in ("refused", "degenerate"))
    if not well or not len(refused):
        return None
    kept = np.isin(refused["example"], sorted(well))
    turned = (refused["value"] != wanted) & (broken["value"] == 0)
    return rate(turned[kept], refused["topic"][kept].tolist())


def _effects(effects: Table) -> list[dict]:
    rows = []
    for does in _ASKED:
        for kind in ("found", "random"):
            for variant in ("affine", "plain"):
                estimate = _changed(effects, does, variant, kind)
                if estimate is None:
                    continue
                part = effects.where(does=does, variant=variant, kind=kind)
                row = {"does": does, "variant": variant, "directions": kind}
                rows.append(row | _told(estimate) | _beside(effects, part))
    return rows


def _beside(effects: Table, part: Table) -> dict:
    harmless = part.where(measure="refused", expected="comply")
    broken = part.where(measure="degenerate")
    rise = float("nan")
    if len(part.where(measure="nll")):
        rise = _rise(effects.where(kind="found"), part).value
    return {
        "harmless_refused": float(harmless["value"].mean()) if len(harmless) else float("nan"),
        "degenerate": float(broken["value"].mean()) if len(broken) else float("nan"),
        "nll_rise": rise,
        "count": len(set(part["number"].tolist())),
    }


def _nll_rise(found: Table) -> Estimate:
    return _rise(found, found.where(does="removed", variant="affine"))


def _rise(found: Table, part: Table) -> Estimate:
    """Rise of the loss against no edit, passage by passage."""
    before, after = (each.where(measure="nll") for each in (found.where(does="none"), part))
    base = dict(zip(before["example"].tolist(), before["value"].tolist(), strict=True))
    names = after["example"].tolist()
    rise = after["value"] - np.array([base[name] for name in names])
    return mean(rise, names, unit="nat per token")


def _rates(transfer: Table) -> dict[str, Estimate]:
    """Share of each category's refusals that go without a direction of its own."""
    found = {}
    for category, rows in by_group(transfer["category"].tolist()).items():
        refused = rows[transfer["before"][rows] == "refuse"]
        if len(refused):
            gone = ~np.isin(transfer["after"][refused], ["refuse", "degenerate"])
            found[category] = rate(gone, transfer["topic"][refused].tolist())
    return found


def _transfer(transfer: Table) -> Estimate | None:
    rates = _rates(transfer)
    return macro(list(rates.values())) if len(rates) > 1 else None


def _by_category(transfer: Table) -> list[dict]:
    return [{"category": name} | _told(each) for name, each in _rates(transfer).items()]


def _streams(scores: Scores) -> list[dict]:
    return [
        {
            "direction": scores.about["direction"],
            "stream": row["site"],
            "layer": parse(str(row["site"])).layer,
            "share": row["share"],
            "low": row["low"],
            "high": row["high"],
            "n": row["n"],
            "topics": row["clusters"],
        }
        for row in summary(scores).rows()
    ]


def _told(found: Estimate) -> dict:
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "topics": found.clusters,
    }
