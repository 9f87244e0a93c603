"""How far can approximate effects be trusted? The first ones and a random sample, patched exactly.

1. Take the sites with the largest approximate effects, and a random sample of all the others.
2. Patch each of them exactly.
3. Report the agreement of the two, and of the sampled sites how many carry an effect that the
   approximation ranked low: their share of the sample, with Clopper and Pearson's upper bound,
   bounds the share of all unchecked sites that were missed.

Source: Kramar et al. (2024, AtP*, arXiv:2403.00745, section 3.3).
"""

import numpy as np
from jaxtyping import Float

from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.exchange import (
    READS,
    Direction,
    PairRows,
    effects,
    read_sides,
    rows_of,
    usable_pairs,
)
from interlock.measures import openers_of
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.sites import Site
from interlock.stats import CONFIDENCE
from interlock.store import each
from interlock.tables import Table, from_rows

_SHARD = 16  # sites to a shard


def approximation(
    model: Model,
    pairs: Contrast,
    scores: Scores,
    replies: Table,
    *,
    top: int = 20,
    sample: int = 60,
    threshold: float = 0.15,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per checked site: its approximate and its exact share of the gap, with an interval.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        scores: the approximate effects, from a step that does attribution.
        replies: judged replies, which give the opening tokens.
        top: how many of the first sites to check.
        sample: how many of the others, at random.
        threshold: share of the gap that counts as an effect.
        batch: pairs at once, at most.
        seed: of the sample.

    Raises:
        ContrastError: no pair can be used, the replies hold no refusal, or the scores are not of a
            direction of patching.
    """
    direction: Direction = "noise" if scores.about.get("direction") == "noise" else "denoise"
    if scores.about.get("direction") != direction:
        raise ContrastError("scores: needs a step that does attribution, in one direction.")
    drawn = _drawn(scores, top, sample, seed)
    exact = _exact(model, pairs, tuple(drawn), replies, direction, batch)
    shares, intervals = exact.shares(), exact.intervals()
    decisions = exact.decisions(threshold)
    approximate = scores.at(list(drawn)).shares()
    rows = [
        {
            "site": str(site),
            "drawn": drawn[site],
            "approximate": float(approximate[row]),
            "share": float(shares[row]),
            "low": float(intervals[row, 0]),
            "high": float(intervals[row, 1]),
            "decision": decisions[row],
            "n": len(exact.examples),
            "topics": len(set(exact.clusters)),
        }
        for row, site in enumerate(drawn)
    ]
    sampled = [row for row in rows if row["drawn"] == "sample"]
    missed = sum(row["decision"] == "in" for row in sampled)
    about = {
        "estimator": scores.about.get("estimator", ""),
        "direction": direction,
        "split": pairs.split,
        "sites": str(len(scores.sites)),
        "missed": f"{missed} of {len(sampled)} sampled sites carry over {threshold:.0%} of the gap",
        "missed at most": f"{missed_at_most(missed, len(sampled)):.4f}",
        "pearson": f"{_pearson(approximate, shares):.4f}",
        "same sign": f"{_same_sign(approximate, shares, threshold)}",
    }
    return from_rows(rows, units={"share": "share of the gap"}, about=about)


def approximation_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per checked site and pair, and three per shard of sites."""
    sites = options["top"] + options["sample"]
    return Cost(prompts=(sites + READS * -(-sites // _SHARD)) * examples // 2)


def missed_at_most(missed: int, sampled: int) -> float:
    """Upper bound of the share of unchecked sites with an effect, one-sided, at 95 %.

    `1 - .05 ** (1 / n)` when none of n was. Source: Clopper & Pearson (1934),
    https://doi.org/10.1093/biomet/26.4.404.
    """
    if sampled == 0 or missed == sampled:
        return 1.0
    from scipy import stats as scipy_stats

    return float(scipy_stats.beta.ppf(CONFIDENCE, missed + 1, sampled - missed))


def _drawn(scores: Scores, top: int, sample: int, seed: int) -> dict[Site, str]:
    """The sites to check: the largest in size, then a sample of the others."""
    order = np.argsort(-np.abs(scores.shares()), kind="stable")
    first, rest = order[:top], order[top:]
    draw = np.random.default_rng(seed)
    others = draw.choice(rest, size=min(sample, len(rest)), replace=False)
    found = {scores.sites[row]: "top" for row in first}
    return found | {scores.sites[row]: "sample" for row in sorted(others)}


def _exact(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    replies: Table,
    direction: Direction,
    batch: int,
) -> Scores:
    openers = openers_of(replies)
    usable, _ = usable_pairs(model, pairs, tuple({site.position for site in sites}))

    def patched(part: tuple[Site, ...]) -> dict[str, list]:
        def of_pairs(rows: PairRows) -> list[tuple[list[float], float]]:
            sides = read_sides(model, rows, openers, part, direction)
            changes = effects(sides, [((site,), ()) for site in part])
            return list(zip(changes.values.T.tolist(), sides.gap.tolist(), strict=True))

        found = in_batches(rows_of(usable), batch, of_pairs)
        return {"effects": [row for row, _ in found], "gap": [gap for _, gap in found]}

    shards = [sites[start : start + _SHARD] for start in range(0, len(sites), _SHARD)]
    found = each(f"approximation {direction}", shards, patched)
    values: Float[np.ndarray, "site example"] = np.concatenate(
        [np.array(shard["effects"]).T for shard in found]
    )
    ids = tuple(row.id for row in usable.harmful)
    gap = np.array(found[0]["gap"])
    return Scores(sites, ids, usable.topics, values, gap, "nat of opening score")


def _pearson(first: Float[np.ndarray, " site"], second: Float[np.ndarray, " site"]) -> float:
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _same_sign(
    first: Float[np.ndarray, " site"], second: Float[np.ndarray, " site"], threshold: float
) -> str:
    """Of the sites with an exact effect over the threshold, how many have the same sign."""
    large = np.abs(second) > threshold
    same = int((np.sign(first[large]) == np.sign(second[large])).sum())
    return f"{same} of {int(large.sum())} sites with an effect"
