"""Whether refusal needs the units found: refusal and capability under ablation, with controls."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from interlock.stats import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    benjamini_hochberg,
    by_group,
    design_effect,
    difference,
    mcnemar,
    mean,
    rate,
    wilson,
)
from interlock.studies.evidence import Findings, Value, count_topics, exact
from interlock.tables import Table, from_rows
from interlock.verdict import Evidence

_ABOUT = {
    "interval": f"{CONFIDENCE:.0%}, Wilson on n over the design effect; random sets: bootstrap "
    "over sets and topics, never narrower than Wilson; falls: MOVER over both rates",
    "control": "random sets of the same size, kinds and layers, none of the found units in them",
}


def conclude(parts: Mapping[str, Value], size: int) -> Findings:
    """Refusal against set size and unit by unit; the `mean` part at `size` units decides."""
    ablations = {name: part for name, part in parts.items() if isinstance(part, Table)}
    sizes = [row for each in ablations.values() for row in _sizes(each)]
    singles = [row for each in ablations.values() for row in _singles(each)]
    tables = {"necessary.sizes": from_rows(sizes, about=_ABOUT)}
    if singles:
        tables["necessary.single"] = from_rows(singles, about=_ABOUT)
    return Findings(tables, _evidence(ablations["mean"], size))


def _evidence(ablation: Table, size: int) -> Evidence:
    at = ablation.where(size=size)
    found, random = at.where(kind="found"), at.where(kind="matched random")
    control = f"random sets of {size} units of the same kinds and layers, {_named(ablation)}"
    if not len(found):
        tried = sorted(set(ablation.where(kind="found")["size"].tolist()))
        why = f"no set of {size} units was ablated; sizes tried: {tried}"
        return Evidence({}, control, "necessary.sizes", {"excess_fall": why})
    harmful = found.where(measure="refused", expected="refuse")
    estimates = {
        "nll_rise": _nll_rise(ablation, found),
        "degenerate": _rate(found.where(measure="degenerate")),
        "control_sets": exact(_sets(random), _sets(random), "counted", "sets"),
        "topics": count_topics(harmful),
    }
    if not len(random):
        return Evidence(estimates, control, "necessary.sizes", {"excess_fall": "no control sets"})
    refused = random.where(measure="refused")
    estimates["excess_fall"] = replace(
        difference(rate_over_sets(refused), _rate(harmful)), n=len(harmful)
    )
    return Evidence(estimates, control, "necessary.sizes")


def _sizes(ablation: Table) -> list[dict]:
    baseline = ablation.where(kind="none")
    rows = [_size_row(ablation, 0, kind, baseline) for kind in ("found", "matched random")]
    for size in sorted(set(ablation.where(kind="found")["size"].tolist())):
        for kind in ("found", "matched random"):
            part = ablation.where(kind=kind, size=size)
            if len(part):
                rows.append(_size_row(ablation, size, kind, part))
    return rows


def _size_row(ablation: Table, size: int, kind: str, part: Table) -> dict:
    harmful = part.where(measure="refused", expected="refuse")
    harmless = part.where(measure="refused", expected="comply")
    refusal = _rate(harmful) if kind == "found" or size == 0 else rate_over_sets(harmful)
    answered, rise = _over_refusal(harmless, kind, size), _nll_rise(ablation, part)
    return {
        "size": size,
        "sets": kind,
        "ablation": _named(ablation),
        "refusal": refusal.value,
        "low": refusal.low,
        "high": refusal.high,
        "over_refusal": answered[0],
        "over_refusal_low": answered[1],
        "over_refusal_high": answered[2],
        "nll_rise": rise.value,
        "nll_rise_low": rise.low,
        "nll_rise_high": rise.high,
        "degenerate": _rate(part.where(measure="degenerate")).value,
        "n": refusal.n,
        "topics": refusal.clusters,
        "count": max(1, _sets(part)),
        "asked_harmless": _sets(harmless),
    }


def _over_refusal(harmless: Table, kind: str, size: int) -> tuple[float, float, float]:
    if not len(harmless):
        return float("nan"), float("nan"), float("nan")
    found = _rate(harmless) if kind == "found" or size == 0 else rate_over_sets(harmless)
    return found.value, found.low, found.high


def _singles(ablation: Table) -> list[dict]:
    baseline = ablation.where(kind="none", measure="refused", expected="refuse")
    before = _rate(baseline)
    rows, p_values = [], []
    singles = ablation.where(kind="single")
    for site in by_group(singles["site"].tolist()):
        part = singles.where(site=site)
        harmful = part.where(measure="refused", expected="refuse")
        after = _rate(harmful)
        fall = difference(before, after)
        p_values.append(mcnemar(baseline["value"] == 1, harmful["value"] == 1))
        rows.append(
            {
                "site": site,
                "ablation": _named(ablation),
                "refusal": after.value,
                "low": after.low,
                "high": after.high,
                "fall": fall.value,
                "fall_low": fall.low,
                "fall_high": fall.high,
                "nll_rise": _nll_rise(ablation, part).value,
                "n": after.n,
                "topics": after.clusters,
            }
        )
    adjusted = benjamini_hochberg(np.array(p_values)).tolist() if rows else []
    return [row | {"p_adjusted": p} for row, p in zip(rows, adjusted, strict=True)]


def _named(ablation: Table) -> str:
    return ablation.about["ablation"]


def _sets(part: Table) -> int:
    return len(set(part["set"].tolist()))


def _rate(rows: Table) -> Estimate:
    return rate(rows["value"] == 1, rows["topic"].tolist())


def _nll_rise(ablation: Table, part: Table) -> Estimate:
    """Rise of the loss against no ablation, per passage, averaged over the part's sets."""
    before = ablation.where(kind="none", measure="nll")
    losses = part.where(measure="nll")
    base = dict(zip(before["example"].tolist(), before["value"].tolist(), strict=True))
    rise = losses["value"] - np.array([base[name] for name in losses["example"].tolist()])
    return mean(rise, losses["example"].tolist(), unit="nat per token")


def rate_over_sets(refused: Table, seed: int = 0) -> Estimate:
    """Refusal averaged over random sets; both sets and topics are resampled.

    Where every set agrees on every prompt the resamples collapse, so the interval is never narrower
    than Wilson's on the prompts.
    """
    sets, topics = refused["set"], refused["topic"]
    set_names, set_rows = np.unique(sets, return_inverse=True)
    topic_names, topic_rows = np.unique(topics, return_inverse=True)
    hits = np.zeros((len(set_names), len(topic_names)))
    asked = np.zeros_like(hits)
    np.add.at(hits, (set_rows, topic_rows), refused["value"])
    np.add.at(asked, (set_rows, topic_rows), 1)
    generator = np.random.default_rng(seed)
    draws = [
        generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)
        for count in hits.shape
    ]
    tops = np.einsum("ds,st,dt->d", draws[0], hits, draws[1])
    bottoms = np.einsum("ds,st,dt->d", draws[0], asked, draws[1])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(tops / bottoms, [tail, 1 - tail])
    value = float(refused["value"].mean())
    prompts = len(refused) / len(set_names)
    per_prompt = _prompt_means(refused)
    effect, clusters = design_effect(*per_prompt)
    wide = wilson(value * prompts / effect, prompts / effect)
    how = f"bootstrap over {len(set_names)} sets and {clusters} topics, at least Wilson's"
    return Estimate(
        value, min(float(low), wide[0]), max(float(high), wide[1]), int(prompts), clusters, how
    )


def _prompt_means(refused: Table) -> tuple[np.ndarray, list[str]]:
    groups = by_group(refused["example"].tolist())
    means = np.array([refused["value"][rows].mean() for rows in groups.values()])
    return means, [str(refused["topic"][rows[0]]) for rows in groups.values()]
