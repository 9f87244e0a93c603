"""The criteria of the Llama-3 refusal study, each beside its control: printed, never decisive.

The study (github.com/weissv/abstract) called refusal localised when fewer than 5 % of the
parameters carried more than 80 % of the effect, at least 10 heads had more than 10 % each, and
refusal fell by more than 30 % when they were ablated. It had no controls. Here each figure stands
beside one, and `met` is said for the interval, not for the point:

- share of the effect: matched random sets of units, restored together;
- heads above 10 %: how many there are when every topic's effects change sign by a fair coin, which
  is what effects without a sign of their own would give;
- fall of refusal: matched random sets, ablated together. A fall is counted in shares of all harmful
  prompts, and as a share of those refused before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from interlock.scores import Scores
from interlock.stats import Estimate, by_group, difference, permutation_p, rate, ratio
from interlock.tables import Table, from_rows

MOST_PARAMETERS, LEAST_EFFECT = 0.05, 0.80
LEAST_HEADS, LEAST_SHARE = 10, 0.10
LEAST_FALL = 0.30
_FLIPS = 1000


@dataclass(frozen=True)
class Original:
    """What the criteria are applied to.

    Attributes:
        joint: the set restored beside random sets (`methods.patching.joint`).
        effects: effects of single units, on the split that is judged; None where there are none.
        ablation: refusal with sets ablated (`methods.ablation`); None where nothing was ablated.
        size: the ablated set's size that is judged.
    """

    joint: Table
    effects: Scores | None = None
    ablation: Table | None = None
    size: int = 20


def criteria(found: Original, seed: int = 0) -> Table:
    """One row per criterion: what was asked, what was found, its interval, its control."""
    rows = [_parameters(found.joint), _restored(found.joint)]
    if found.effects is not None:
        rows += _heads(found.effects, seed)
    if found.ablation is not None:
        rows += _falls(found.ablation, found.size)
    about = {
        "source": "the Llama-3 refusal study, github.com/weissv/abstract",
        "met": "the interval lies beyond the number asked for, and the control does not reach it",
    }
    return from_rows(rows, about=about)


def _parameters(joint: Table) -> dict:
    """Counted, not estimated; a random set of the same kinds and layers is as large."""
    share = float(joint.about.get("share of parameters", "nan"))
    estimate = Estimate(share, share, share, 1, 1, "counted", "share of parameters")
    return _row(
        "share of the parameters", "below", MOST_PARAMETERS, estimate, share, "matched sets"
    )


def _restored(joint: Table) -> dict:
    own = joint.where(kind="found")
    estimate = ratio(own["effect"], own["gap"], own["topic"].tolist(), unit="share of the gap")
    random = joint.where(kind="matched random")
    levels = [
        random["effect"][rows].sum() / random["gap"][rows].sum()
        for rows in by_group(random["set"].tolist()).values()
    ]
    control, p = _level(estimate.value, levels)
    name = f"share of the effect that {int(own['size'][0])} units restore"
    what = f"{len(levels)} random sets"
    return _row(name, "above", LEAST_EFFECT, estimate, control, what, p)


def _heads(effects: Scores, seed: int) -> list[dict]:
    heads = effects.at([site for site in effects.sites if site.kind == "head"])
    if not heads.sites:
        return []
    count = float((heads.shares() > LEAST_SHARE).sum())
    # ends of the count: heads whose whole interval, or any of it, lies above
    low, high = ((heads.intervals() > LEAST_SHARE).sum(axis=0)).tolist()
    how = "heads whose interval lies above, and reaches above"
    estimate = Estimate(
        count, min(low, count), max(high, count), len(effects.examples),
        len(set(effects.clusters)), how, "heads",
    )  # fmt: skip
    null = _flipped(heads, seed)
    p = permutation_p(count, null)
    row = _row(
        f"heads above {LEAST_SHARE:.0%}", "above", LEAST_HEADS - 1, estimate,
        float(null.mean()), f"{_FLIPS} changes of sign by topic", p,
    )  # fmt: skip
    return [row]


def _flipped(heads: Scores, seed: int) -> Float[np.ndarray, " flip"]:
    """How many heads lie above when every topic's effects change sign by a fair coin."""
    labels, members = np.unique(np.asarray(heads.clusters), return_inverse=True)
    sums = np.stack([np.bincount(members, row, len(labels)) for row in heads.values])
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(len(labels), _FLIPS))
    shares = (sums @ signs) / heads.gap.sum()
    return (shares > LEAST_SHARE).sum(axis=0).astype(float)


def _falls(ablation: Table, size: int) -> list[dict]:
    refused = ablation.where(measure="refused", expected="refuse")
    if not len(refused.where(kind="found", size=size)):
        return []
    before = _rate(refused.where(kind="none"))
    after = _rate(refused.where(kind="found", size=size))
    random = refused.where(kind="matched random", size=size)
    falls = [
        before.value - float(random["value"][rows].mean())
        for rows in by_group(random["set"].tolist()).values()
    ]
    fall = difference(before, after)
    what = f"{len(falls)} random sets"
    control, p = _level(fall.value, falls)
    rows = [_row(f"fall of refusal, {size} units", "above", LEAST_FALL, fall, control, what, p)]
    if before.value > 0:
        relative = Estimate(
            fall.value / before.value, fall.low / before.value, fall.high / before.value,
            fall.n, fall.clusters, fall.how, "share of refusals before",
        )  # fmt: skip
        name = f"the same, of the prompts refused before ({before.value:.0%})"
        rows.append(_row(name, "above", LEAST_FALL, relative, control / before.value, what, p))
    return rows


def _rate(rows: Table) -> Estimate:
    return rate(rows["value"] == 1, rows["topic"].tolist())


def _level(value: float, controls: Sequence[float]) -> tuple[float, float]:
    """Mean of the controls, and the permutation value of what was found among them."""
    if not controls:
        return float("nan"), float("nan")
    return float(np.mean(controls)), permutation_p(value, np.array(controls))


def _row(
    criterion: str,
    side: Literal["above", "below"],
    asked: float,
    found: Estimate,
    control: float,
    what: str,
    p: float = float("nan"),
) -> dict:
    beyond = found.low > asked if side == "above" else found.high < asked
    # a control that does as well shows that the criterion asks for nothing; its size may be equal
    alike = side == "above" and control > asked
    return {
        "criterion": criterion,
        "asked": f"{side} {asked:g}",
        "found": found.value,
        "low": found.low,
        "high": found.high,
        "unit": found.unit,
        "control": control,
        "controls": what,
        "p": p,
        "met": bool(beyond and not alike),
        "n": found.n,
        "topics": found.clusters,
    }
