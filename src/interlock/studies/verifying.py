"""What stands beside a found set: curves over its size, the circuit's metrics, the criteria asked.

Printed in full, deciding nothing: the rule looks at the set itself.
"""

from collections.abc import Mapping

import numpy as np

from interlock.scores import Scores
from interlock.studies.evidence import Value
from interlock.tables import Table, from_rows
from interlock.verification import circuits, curves
from interlock.verification.original import Original, criteria

_DOES = {"denoise": "restored alone", "noise": "removed"}


def verified(parts: Mapping[str, Value], size: int) -> dict[str, Table]:
    """The tables that the parts of a `localised` claim allow, by name.

    Args:
        parts: of the claim; `sets` must be there.
        size: of the ablated set whose fall of refusal is compared with the original's criterion.
    """
    tables = {name: part for name, part in parts.items() if isinstance(part, Table)}
    found = _curves([tables[name] for name in ("curve", "without") if name in tables])
    if "circuit" in tables:
        found["where.metrics"] = circuits.summary(tables["circuit"])
    if "approximation" in tables:
        found["where.approximation"] = tables["approximation"]
    effects = _effects(parts, tables["sets"].about.get("split", ""))
    original = Original(tables["sets"], effects, tables.get("ablation"), size)
    return found | {"where.original": criteria(original)}


def _curves(measured: list[Table]) -> dict[str, Table]:
    """Share by number of units, and how many carry enough, for every way the units were taken."""
    if not measured:
        return {}
    points, reached, about = [], [], {}
    for table in measured:
        does = _DOES[table.about["direction"]]
        drawn = curves.curve(table)
        points += [{"units": does} | row for row in drawn.rows()]
        reached.append({"units": does} | _carrying(table))
        about |= drawn.about
    about.pop("direction", "")
    return {
        "where.sizes": from_rows(points, units={"share": "share of the gap"}, about=about),
        "where.carrying": from_rows(reached, about=about),
    }


def _carrying(table: Table) -> dict:
    found = curves.carrying(table)
    own = table.where(kind="found", draw=0)
    reached = own.where(size=int(found.value)) if np.isfinite(found.value) else own.where(size=0)
    none = float("nan")
    return {
        "share asked for": curves.ENOUGH,
        "number": found.value,
        "low": found.low,
        "high": found.high,
        "largest tried": int(own["size"].max()),
        "share of units": found.value / int(table.about["units"]),
        "share of parameters": float(reached["parameters"][0]) if len(reached) else none,
        "jaccard": curves.stability(table, int(found.value)) if len(reached) else none,
        "n": found.n,
        "topics": found.clusters,
        "how": found.how,
    }


def _effects(parts: Mapping[str, Value], split: str) -> Scores | None:
    """Denoising effects of single units, where they were measured on the split that is judged."""
    known = [
        part
        for part in parts.values()
        if isinstance(part, Scores)
        and part.sites[0].index is not None
        and part.about.get("split") == split
        and part.about.get("direction") == "denoise"
    ]
    return known[0] if known else None
