"""Where refusal is carried: layer and unit effects, and whether a small set restores it."""

import logging
from collections.abc import Mapping

import numpy as np

from interlock.scores import Scores, summary
from interlock.sites import parse
from interlock.stats import CONFIDENCE, by_group, mean, permutation_p, ratio
from interlock.studies.evidence import Findings, Value, count_topics, exact, unseparated
from interlock.studies.verifying import verified
from interlock.tables import Table, from_rows
from interlock.verdict import RULES, Evidence

log = logging.getLogger("interlock")

_ALIKE = 0.1  # of the mean gap, below which a pair is hardly separated
_CONTROL = "random sets of the same size, kinds and layers, none of the found units in them"
_ABOUT = {
    "interval": f"{CONFIDENCE:.0%}, bootstrap of the ratio of means over topics",
    "control": "each pair is its own control: the other prompt differs in one word",
}


def conclude(parts: Mapping[str, Value], size: int = 5) -> Findings:
    """Effects by layer and unit, the found set beside its controls; part `sets` decides.

    Every other part adds to the report: scores by layer or by unit, and tables that verify the set
    (`studies.verifying`).
    """
    scores = {name: part for name, part in parts.items() if isinstance(part, Scores)}
    layers, units = (
        [row for each in scores.values() if _by_unit(each) == by_unit for row in _rows(each)]
        for by_unit in (False, True)
    )
    sets = parts["sets"]
    assert isinstance(sets, Table)
    compared = _sets(sets)
    tables = {"where.sets": compared}
    if layers:
        tables["where.layers"] = from_rows([_layer_row(row) for row in layers], about=_ABOUT)
    if units:
        tables["where.units"] = from_rows(units, about=_ABOUT)
    return Findings(tables | verified(parts, size), _evidence(sets, compared))


def _by_unit(scores: Scores) -> bool:
    return scores.sites[0].index is not None


def _rows(scores: Scores) -> list[dict]:
    found = summary(scores)
    order = np.argsort(-found["share"], kind="stable")
    ranks = np.empty(len(order), dtype=int)
    ranks[order] = np.arange(1, len(order) + 1)
    return [
        {
            "site": row["site"],
            "direction": scores.about["direction"],
            "share": row["share"],
            "low": row["low"],
            "high": row["high"],
            "n": row["n"],
            "topics": row["clusters"],
            "rank": int(rank),
            "split": scores.about["split"],
        }
        for row, rank in zip(found.rows(), ranks, strict=True)
    ]


def _layer_row(row: dict) -> dict:
    site = parse(row["site"])
    place = {"kind": site.kind, "layer": site.layer, "position": site.position}
    return place | {key: value for key, value in row.items() if key not in ("site", "rank")}


def _sets(joint: Table) -> Table:
    rows = []
    for number, members in by_group(joint["set"].tolist()).items():
        found = ratio(
            joint["effect"][members],
            joint["gap"][members],
            joint["topic"][members].tolist(),
            unit="share of the gap",
        )
        rows.append(
            {
                "set": f"matched random {number}" if int(number) else "found",
                "kind": str(joint["kind"][members[0]]),
                "size": int(joint["size"][members[0]]),
                "restored": found.value,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "topics": found.clusters,
            }
        )
    return from_rows(
        rows,
        units={"restored": "share of the gap"},
        about={**joint.about, **_ABOUT, "control": _CONTROL},
    )


def _evidence(joint: Table, compared: Table) -> Evidence:
    found = joint.where(kind="found")
    restored = ratio(
        found["effect"], found["gap"], found["topic"].tolist(), unit="share of the gap"
    )
    controls = compared.where(kind="matched random")["restored"]
    p_value = permutation_p(restored.value, controls) if len(controls) else 1.0
    size = int(found["size"][0]) / int(joint.about["units"])
    estimates = {
        "restored": restored,
        "size": exact(size, int(joint.about["units"]), "counted", "share of all units"),
        "p_matched": exact(
            p_value, len(controls), f"permutation, {len(controls)} matched random sets", "p"
        ),
        "topics": count_topics(found),
    }
    control = f"{len(controls)} random sets of the same size, kinds and layers"
    apart = _apart(found)
    if apart:
        estimates.pop("restored")
    return Evidence(estimates, control, "where.sets", apart)


def _apart(found: Table) -> dict[str, str]:
    """Why no share of the gap means anything: the model does not tell the two prompts apart.

    Single pairs that it hardly tells apart are counted in the log; they stay in the means.
    """
    gap = mean(found["gap"].astype(float), found["topic"].tolist(), unit="nat")
    alike = int((found["gap"] < _ALIKE * gap.value).sum()) if gap.value > 0 else gap.n
    if alike:
        log.warning(
            "%d of %d pairs are hardly separated: the model's opening scores of their two prompts "
            "differ by less than %.0f %% of the mean gap, or the wrong way.",
            alike,
            gap.n,
            100 * _ALIKE,
        )
    why = unseparated(found)
    return {RULES["localised"].conditions[0].meaning: why} if why else {}
