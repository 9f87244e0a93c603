"""How many components carry the effect, how stable their choice is, and what the curve encloses.

A curve is the share of the gap that the first k units carry together, for growing k. `carrying` is
the smallest k at which it reaches a share; its interval puts together which units were chosen
(rankings by resampled topics of one split) and on which topics of the other they were measured.

Areas: CPR and CMD of MIB (Mueller et al. 2025, arXiv:2504.13151): the integral of f and of |1 - f|
over the share of units, on any grid; mind that on MIB's own grid 80 % of the weight lies on sets of
a fifth of all units and more.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

from interlock.stats import CONFIDENCE, Estimate, by_group, ratio, resampled_ratios
from interlock.tables import Table, from_rows

ENOUGH = 0.80  # share of the gap
STABLE = 0.80  # mean Jaccard of the chosen sets; Meloux et al. (2025, arXiv:2510.00845)


def carrying(table: Table, share: float = ENOUGH) -> Estimate:
    """The smallest number of units that carry `share` of the gap; infinite if none tried does.

    The interval's ends are sizes that were tried.
    """
    found = table.where(kind="found")
    sizes = np.array(sorted(set(found["size"].tolist())))
    value = _reached(_shares(found.where(draw=0), sizes), sizes, share)
    draws = sorted(set(found["draw"].tolist()))
    pooled = [
        _reached(column, sizes, share)
        for draw in draws[1:] or draws
        for column in _resampled(found.where(draw=draw), sizes).T
    ]
    tail = (1 - CONFIDENCE) / 2
    # quantiles of numbers some of which are infinite: no interpolation
    low, high = np.quantile(pooled, [tail, 1 - tail], method="nearest")
    topics = len(set(found["topic"].tolist()))
    how = f"bootstrap over {topics} topics, selection repeated {len(draws) - 1} times"
    n = len(set(found["example"].tolist()))
    ends = min(float(low), value), max(float(high), value)
    return Estimate(value, *ends, n, topics, how, "units")


def curve(table: Table) -> Table:
    """Per size the share of the gap with its interval, its controls, and the choice's stability."""
    found, random = table.where(kind="found"), table.where(kind="matched random")
    rows = []
    for size in sorted(set(found["size"].tolist())):
        main = found.where(size=size, draw=0)
        own = ratio(main["effect"], main["gap"], main["topic"].tolist(), unit="share of the gap")
        again = _all_resamples(found.where(size=size))
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(again, [tail, 1 - tail]) if len(again) else (own.low, own.high)
        controls = list(_by_draw(random.where(size=size)).values())
        rows.append(
            {
                "size": size,
                "share": own.value,
                "low": min(own.low, float(low)),
                "high": max(own.high, float(high)),
                "control": float(np.mean(controls)) if controls else float("nan"),
                "most_control": max(controls, default=float("nan")),
                "jaccard": stability(table, size),
                "n": own.n,
                "topics": own.clusters,
            }
        )
    about = {
        **table.about,
        "interval": f"{CONFIDENCE:.0%}, bootstrap over topics with the selection repeated, "
        "at least that of the selection as it was",
        "jaccard": "mean over pairs of rankings by resampled topics; "
        f"below {STABLE:g} the choice of units is not stable",
    }
    return from_rows(rows, units={"share": "share of the gap"}, about=about)


def stability(table: Table, size: int) -> float:
    """Mean Jaccard index of the sets of this size between resampled rankings; nan without two."""
    found = table.where(kind="found", size=size)
    sets = {
        int(draw): frozenset(str(found["sites"][rows[0]]).split())
        for draw, rows in by_group(found["draw"].tolist()).items()
    }
    pairs = list(combinations([one for draw, one in sets.items() if draw > 0], 2))
    if not pairs:
        return float("nan")
    return float(np.mean([len(one & two) / len(one | two) for one, two in pairs]))


def areas(sizes: Sequence[float], faithfulness: Sequence[float]) -> tuple[float, float]:
    """CPR and CMD: trapezoids under f and |1 - f| over the share of units.

    Args:
        sizes: shares of all units, growing.
        faithfulness: f at each; where f crosses 1 between two sizes, |1 - f| is that of the ends.
    """
    x, f = np.asarray(sizes, dtype=float), np.asarray(faithfulness, dtype=float)
    return float(np.trapezoid(f, x)), float(np.trapezoid(np.abs(1 - f), x))


def _reached(shares: np.ndarray, sizes: np.ndarray, share: float) -> float:
    enough = np.flatnonzero(shares >= share)
    return float(sizes[enough[0]]) if len(enough) else float("inf")


def _shares(rows: Table, sizes: np.ndarray) -> Float[np.ndarray, " size"]:
    parts = [rows.where(size=int(size)) for size in sizes]
    return np.array([part["effect"].sum() / part["gap"].sum() for part in parts])


def _resampled(rows: Table, sizes: np.ndarray) -> Float[np.ndarray, "size draw"]:
    """Shares at every size under the same resamples of topics."""
    parts = [rows.where(size=int(size)) for size in sizes]
    effects = np.stack([part["effect"] for part in parts]).astype(float)
    gap, topics = parts[0]["gap"].astype(float), parts[0]["topic"].tolist()
    return resampled_ratios(effects, gap, topics)[0]


def _all_resamples(rows: Table) -> Float[np.ndarray, " value"]:
    sizes = np.array(sorted(set(rows["size"].tolist())))
    draws = [draw for draw in sorted(set(rows["draw"].tolist())) if draw > 0]
    found = [_resampled(rows.where(draw=draw), sizes).reshape(-1) for draw in draws]
    return np.concatenate(found) if found else np.zeros(0)


def _by_draw(rows: Table) -> Mapping[int, float]:
    groups = by_group(rows["draw"].tolist())
    return {
        int(draw): float(rows["effect"][members].sum() / rows["gap"][members].sum())
        for draw, members in groups.items()
    }
