"""Whether refusal sits in few weights: refusal and capability without them, beside random sets."""

from collections.abc import Mapping

import numpy as np

from interlock.stats import CONFIDENCE, Estimate, difference, mean, rate
from interlock.studies.evidence import Findings, Value, count_topics, exact
from interlock.studies.necessary import rate_over_sets
from interlock.tables import Table, from_rows
from interlock.verdict import RULES, Evidence

_ABOUT = {
    "interval": f"{CONFIDENCE:.0%}, Wilson on n over the design effect; random sets: bootstrap "
    "over sets and topics, never narrower than Wilson; falls: MOVER over both rates",
    "zero_shot": "share of all zero-shot questions answered rightly",
    "sparsity": "share of all weights of the layers' linear maps that were taken out",
    "share": "share of all directions of their outputs that were taken out",
    "lost": "share of harmful prompts that were refused before and are not any more; of harmless "
    "prompts, that were answered before and are not any more",
}
_TABLE, _SETS = "weights.pruning", "weights.sets"
_RANKS = ("ranks", "top_ranks")
_NAT = "nat per token"
_Point = tuple[float, float]


def conclude(parts: Mapping[str, Value]) -> Findings:
    """Every point of the grid beside its controls, other sets and directions; one point decides.

    The point is the one that removes most refusal on the prompts of the part `chosen` (another
    split), among those that are sparse and harmless enough there; without that part it is the
    largest set that is sparse enough, whatever it does.
    """
    pruned, chosen = parts["pruned"], parts.get("chosen")
    assert isinstance(pruned, Table)
    tables = {_TABLE: _grid(pruned)}
    for name in _RANKS:
        ranks = parts.get(name)
        if isinstance(ranks, Table):
            tables[f"weights.{name}"] = _grid(ranks)
    known = ("pruned", "chosen", *_RANKS)
    others = {name: each for name, each in parts.items() if name not in known}
    if others:
        rows = [row for name, each in others.items() for row in _set_rows(name, each)]
        tables[_SETS] = from_rows(rows, about=_ABOUT)
    if isinstance(chosen, Table):
        point, how = _best(chosen), "chosen on another split"
    else:
        point, how = _largest(pruned), "the largest set that is sparse enough"
    return Findings(tables, _evidence(pruned, point, how))


def _grid(taken: Table) -> Table:
    """Every point beside its random controls, below what the model does with nothing taken out."""
    rows = [_row(taken, point, kind) for point in _points(taken) for kind in ("found", "random")]
    told = [_row(taken, None, "none"), *(row for row in rows if row["count"])]
    return from_rows(told, about=_ABOUT | dict(taken.about))


def _set_rows(name: str, removed: Value) -> list[dict]:
    """A set that was not chosen by shares, such as heads by a probe, and its random sets."""
    assert isinstance(removed, Table)
    points = _points(removed)
    rows = [_row(removed, point, kind) for point in points for kind in ("found", "random")]
    return [{"part": name} | row for row in rows if row["count"]]


def _evidence(pruned: Table, point: _Point, how: str) -> Evidence:
    found, random = (_at(pruned, point, kind) for kind in ("found", "random"))
    control = f"{pruned.about['control']}; fill: {pruned.about['fill']}; {how}"
    if not len(found):
        why = f"the set chosen (p, q = {point[0]:g}, {point[1]:g}) was not taken out on this split"
        return Evidence({}, control, _TABLE, {"fall": why})
    before = pruned.where(kind="none", measure="refused")
    harmful = before.where(expected="refuse")
    share, sets = float(found["sparsity"][0]), len(set(random["set"].tolist()))
    estimates = {
        "topics": count_topics(harmful),
        "refused_before": _rate(harmful),
        "over_refused": _rate(before.where(expected="comply")),
        "sparsity": exact(share, int(found["weights"][0]), "counted", "share"),
        "control_sets": exact(sets, sets, "counted", "sets"),
        "nll_rise": _nll_rise(pruned, found),
        "degenerate": _rate(found.where(measure="degenerate")),
        "fall": difference(_rate(harmful), _rate(_refusals(found))),
    }
    missing = {}
    if sets:
        estimates["random_fall"] = rate_over_sets(_lost(pruned, random, "refused", "refuse"))
        estimates["random_harm"] = rate_over_sets(_lost(pruned, random, "complied", "comply"))
    else:
        missing["random_fall"] = "no random set was taken out"
    return Evidence(estimates, control, _TABLE, missing)


def _best(chosen: Table) -> _Point:
    """What removes most refusal without breaking more than the rule allows; fewer weights first."""
    sound = [point for point in _points(chosen) if _is_sound(chosen, point)]

    def rank(point: _Point) -> tuple[float, float]:
        refusals = _refusals(_at(chosen, point, "found"))
        return float(refusals["value"].mean()), _share(chosen, point)

    return min(sound, key=rank) if sound else _smallest(chosen)


def _is_sound(chosen: Table, point: _Point) -> bool:
    """Whether a point is sparse enough and breaks no more than the rule allows."""
    found = _at(chosen, point, "found")
    values = {
        "sparsity": _share(chosen, point),
        "nll_rise": _nll_rise(chosen, found).value,
        "degenerate": float(found.where(measure="degenerate")["value"].mean()),
    }
    return all(value <= _limit(name) for name, value in values.items())


def _largest(pruned: Table) -> _Point:
    sparse = [each for each in _points(pruned) if _share(pruned, each) <= _limit("sparsity")]
    return max(sparse, key=lambda each: _share(pruned, each)) if sparse else _smallest(pruned)


def _smallest(pruned: Table) -> _Point:
    return min(_points(pruned), key=lambda each: _share(pruned, each))


def _limit(quantity: str) -> float:
    return next(g.threshold for g in RULES["few_weights"].guards if g.quantity == quantity)


def _points(pruned: Table) -> list[_Point]:
    found = pruned.where(kind="found")
    return list(dict.fromkeys(zip(found["p"].tolist(), found["q"].tolist(), strict=True)))


def _at(pruned: Table, point: _Point, kind: str) -> Table:
    return pruned.where(kind=kind, p=point[0], q=point[1])


def _share(pruned: Table, point: _Point) -> float:
    return float(_at(pruned, point, "found")["sparsity"][0])


def _refusals(part: Table) -> Table:
    return part.where(measure="refused", expected="refuse")


def _rate(rows: Table) -> Estimate:
    return rate(rows["value"] == 1, rows["topic"].tolist())


def _lost(pruned: Table, part: Table, measure: str, expected: str) -> Table:
    """Refusals of harmful or answers to harmless prompts, 1 where one was there and is gone."""
    after = part.where(measure=measure, expected=expected)
    before = pruned.where(kind="none", measure=measure, expected=expected)
    there = dict(zip(before["example"].tolist(), before["value"].tolist(), strict=True))
    was = np.array([there[name] for name in after["example"].tolist()])
    return Table({**after.columns, "value": (was * (1 - after["value"])).tolist()})


def _nll_rise(pruned: Table, part: Table) -> Estimate:
    """Rise of the loss against nothing taken out, passage by passage."""
    before = pruned.where(kind="none", measure="nll")
    losses = part.where(measure="nll")
    base = dict(zip(before["example"].tolist(), before["value"].tolist(), strict=True))
    names = losses["example"].tolist()
    return mean(losses["value"] - np.array([base[name] for name in names]), names, unit=_NAT)


def _row(pruned: Table, point: _Point | None, kind: str) -> dict:
    part = pruned.where(kind=kind) if point is None else _at(pruned, point, kind)
    row = {
        "p": float("nan") if point is None else point[0],
        "q": float("nan") if point is None else point[1],
        "sets": kind,
        "count": len(set(part["set"].tolist())),
    }
    if not row["count"]:
        return row
    shares = {
        "refusal": _refusals(part),
        "compliance": part.where(measure="complied", expected="comply"),
        "harmful_compliance": part.where(measure="complied", expected="refuse"),
        "degenerate": part.where(measure="degenerate"),
    }
    share, number = ("share", "ranks") if "ranks" in part.columns else ("sparsity", "weights")
    row |= {share: float(part[share][0]), number: int(part[number][0])}
    for name, rows in shares.items():
        estimate = rate_over_sets(rows) if kind == "random" else _rate(rows)
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    rise = _nll_rise(pruned, part)
    row |= {"nll_rise": rise.value, "nll_rise_low": rise.low, "nll_rise_high": rise.high}
    for expected in ("refuse", "comply"):
        scores = part.where(measure="opening", expected=expected)
        opening = mean(scores["value"], scores["topic"].tolist(), unit="nat")
        name = f"opening_{expected}"
        row |= {name: opening.value, f"{name}_low": opening.low, f"{name}_high": opening.high}
    asked = part.where(measure="zero_shot")
    if len(asked):
        right = rate_over_sets(asked) if kind == "random" else _rate(asked)
        row |= {"zero_shot": right.value, "zero_shot_low": right.low, "zero_shot_high": right.high}
    return row | {"n": len(shares["refusal"]) // row["count"]}
