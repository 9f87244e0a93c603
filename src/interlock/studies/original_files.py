"""A run's effects and ablations under the file names of the Llama-3 refusal study, and in its form.

`02_patching_results.json` and `03_ablation_results.json` have the keys that study's own scripts
write (github.com/weissv/abstract), so that what reads those reads these; every rate and share
stands beside its interval and n, and controls lie apart under a key of their own. `dashboard.html`
leads to the report.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from interlock.config import Study
from interlock.contrast import Contrast
from interlock.files import write_text
from interlock.run import Run
from interlock.scores import Scores
from interlock.sites import Site
from interlock.stats import by_group, rate
from interlock.studies.evidence import Value
from interlock.studies.necessary import rate_over_sets
from interlock.tables import Table

PATCHING, ABLATION, DASHBOARD = (
    "02_patching_results.json", "03_ablation_results.json", "dashboard.html",
)  # fmt: skip
_HALF = 0.5  # share of a pair's own gap from which a component counts as causal in that pair
_NAMES = {"attn": "attention", "head": "attention", "neuron": "mlp", "mlp": "mlp"}
_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>Report</title>'
    '<meta http-equiv="refresh" content="0; url=report.html"><a href="report.html">Report</a>\n'
)


def write(
    current: Run, study: Study, values: Mapping[str, Value], contrasts: Mapping[str, Contrast]
) -> None:
    """Write those of the files that a study's steps have something for."""
    effects = _effects(study, values)
    if effects:
        pairs = contrasts[f"pairs.{effects[0].about['split']}"]
        current.save_json(PATCHING, patching_results(effects, pairs))
    ablations = [values[s.id] for s in study.steps if s.do == "ablation" and s.id in values]
    tables = [each for each in ablations if isinstance(each, Table)]
    if tables:
        current.save_json(ABLATION, ablation_results(tables))
    if effects or tables:
        write_text(current.folder / DASHBOARD, _PAGE)


def _effects(study: Study, values: Mapping[str, Value]) -> list[Scores]:
    """What putting harmful values into the harmless run does, on the split that is judged."""
    found = [values[s.id] for s in study.steps if s.do == "patching" and s.id in values]
    scores = [
        each
        for each in found
        if isinstance(each, Scores) and each.about.get("direction") == "denoise"
    ]
    judged = [each for each in scores if each.about.get("split") == "check"]
    return judged or scores


def patching_results(effects: list[Scores], pairs: Contrast) -> dict[str, Any]:
    """Every pair with how many components were patched in it, and the components, ranked.

    A component's frequency is the number of pairs in which it carries at least half of the gap.

    Args:
        effects: of denoising, by layer or by unit, of the same split.
        pairs: that split.
    """
    partners = {harmful.id: (harmful, harmless) for harmful, harmless in pairs.pairs()}
    patched: dict[str, int] = {}
    for scores in effects:
        for name in scores.examples:
            patched[name] = patched.get(name, 0) + len(scores.sites)
    components = [row for scores in effects for row in _components(scores)]
    components.sort(key=lambda row: (-row["percentage"], -(row["share"] or 0.0)))
    return {
        "all_experiments": [
            {
                "category": partners[name][0].category,
                "pair_id": partners[name][0].pair,
                "harmful_prompt": partners[name][0].prompt,
                "harmless_prompt": partners[name][1].prompt,
                "num_experiments": count,
            }
            for name, count in patched.items()
        ],
        "combined_analysis": {
            "ranked_components": components,
            "frequency": f"pairs in which it carries at least {_HALF:.0%} of the pair's own gap",
            "share": "ratio of means to the gap, with its interval over topics",
            "split": pairs.split,
        },
    }


def _components(scores: Scores) -> list[dict[str, Any]]:
    told = scores.gap > 0
    own = scores.values[:, told] / scores.gap[told] >= _HALF
    # a gap of nothing at all has no shares
    with np.errstate(divide="ignore", invalid="ignore"):
        shares, ends = scores.shares(), scores.intervals()
    return [
        _named(site)
        | {
            "frequency": int(own[row].sum()),
            "percentage": 100.0 * int(own[row].sum()) / len(scores.examples),
            "share": _finite(shares[row]),
            "share_low": _finite(ends[row, 0]),
            "share_high": _finite(ends[row, 1]),
            "n": len(scores.examples),
        }
        for row, site in enumerate(scores.sites)
    ]


def _finite(value: float) -> float | None:
    """JSON has neither nan nor infinity."""
    return float(value) if np.isfinite(value) else None


def _named(site: Site) -> dict[str, Any]:
    component = {
        "layer": site.layer,
        "component": _NAMES.get(site.kind, "residual"),
        "site": str(site),
    }
    if site.index is not None:
        first, past = site.index
        component |= {"head": first} if site.kind == "head" else {"neurons": [first, past]}
    return component


def ablation_results(tables: list[Table]) -> dict[str, Any]:
    """Refusal before, and under every ablation of single units and of the first ones together."""
    before = _refused(tables[0]).where(kind="none")
    return {
        "baseline_refusal_rate": float(before["value"].mean()),
        "baseline_interval": _interval(before),
        "n": len(before),
        "ablation_experiments": [row for table in tables for row in _experiments(table)],
        "controls": [row for table in tables for row in _controls(table)],
    }


def _refused(table: Table) -> Table:
    return table.where(measure="refused", expected="refuse")


def _interval(rows: Table) -> list[float]:
    found = rate(rows["value"] == 1, rows["topic"].tolist())
    return [found.low, found.high]


def _experiments(table: Table) -> list[dict[str, Any]]:
    refused = _refused(table)
    before = refused.where(kind="none")
    ranked = table.about["sites"].split()
    found = []
    for kind, key in (("single", "site"), ("found", "size")):
        part = refused.where(kind=kind)
        for name, members in by_group(part[key].tolist()).items():
            rows = Table({title: part[title][members].tolist() for title in part.columns})
            sites = [str(name)] if kind == "single" else ranked[: int(name)]
            after = float(rows["value"].mean())
            row = {
                "refusal_rate": after,
                "refusal_interval": _interval(rows),
                "refusal_rate_change": float(before["value"].mean()) - after,
                "ablated_components": sites,
                "num_changed_behaviors": int(np.sum(rows["value"] != before["value"])),
                "ablation": table.about["ablation"],
            }
            if kind == "found":
                row |= {"num_ablated": int(name), "ablation_type": "cumulative"}
            found.append(row)
    return found


def _controls(table: Table) -> list[dict[str, Any]]:
    random = _refused(table).where(kind="matched random")
    rows = []
    for size in sorted(set(random["size"].tolist())):
        found = rate_over_sets(random.where(size=size))
        rows.append(
            {
                "num_ablated": int(size),
                "sets": len(set(random.where(size=size)["set"].tolist())),
                "refusal_rate": found.value,
                "refusal_interval": [found.low, found.high],
                "ablation": table.about["ablation"],
            }
        )
    return rows
