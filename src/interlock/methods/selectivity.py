"""Is a unit of one category of harm? Named on one split, where the other split bears it out.

A unit is named by what it does, not by what can be read from it: a group of neurons that intervenes
in nothing still tells apart what the words before it say. So selectivity is the difference between
the effect (share of the gap) on one category's pairs and on all others'. The category is chosen on
one split (`unit_categories`); on the other (`unit_selectivity`) the difference has an interval over
topics and a null of permuted categories, adjusted over the units by Benjamini & Hochberg.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.selection import top
from interlock.sites import parse
from interlock.stats import (
    CONFIDENCE,
    Estimate,
    benjamini_hochberg,
    by_group,
    difference,
    permutation_p,
    ratio,
)
from interlock.tables import Table, from_rows

_ALPHA = 1 - CONFIDENCE
_SHARE = "share of the gap"


def unit_categories(
    model: Model, pairs: Contrast, denoise: Scores, noise: Scores, *, count: int = 12
) -> Table:
    """The category on which each top unit does more than on the others, and by which patching.

    Args:
        model: the model studied.
        pairs: the pairs that were scored.
        denoise: effects of every unit, harmful values put into the harmless run.
        noise: the same the other way round; a unit's larger share ranks it.
        count: units at most.

    Raises:
        ContrastError: the scores are of other prompts, or of fewer than two categories.
    """
    scores = {"denoise": denoise, "noise": noise}
    found = {name: _Categories(pairs, each) for name, each in scores.items()}
    rows = []
    for rank, site in enumerate(top(count, (denoise, noise)), start=1):
        # an OR pair is invisible to noising, an AND pair to denoising
        way = max(scores, key=lambda name: _whole(scores[name], str(site)))
        values = scores[way].values[scores[way].sites.index(site)]
        apart = {name: found[way].apart(values, name) for name in found[way].names}
        best = max(apart, key=lambda name: apart[name])
        row = {"site": str(site), "rank": rank, "direction": way, "category": best}
        rows.append(row | {"difference": apart[best], "n": len(values)})
    about = {"split": pairs.split, "model": model.name}
    return from_rows(rows, units={"difference": _SHARE}, about=about)


def unit_categories_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run: the effects are known."""
    return Cost()


def unit_selectivity(
    model: Model,
    pairs: Contrast,
    categories: Table,
    denoise: Scores,
    noise: Scores,
    *,
    least: float = 0.15,
    permutations: int = 999,
    seed: int = 0,
) -> Table:
    """Whether the category found for each unit holds on other prompts; `named` is empty if not.

    Named means: the lower end of the effect on the category is over `least`, that of the difference
    to the other categories is over 0, and the adjusted p of permuted categories is at most .05.

    Args:
        model: the model studied.
        pairs: the pairs that were scored, of the other split than the categories were found on.
        categories: as `unit_categories` made them.
        denoise: effects of the same units on these pairs.
        noise: the same the other way round.
        least: the share of the gap that a unit must carry on its category.
        permutations: of the topics' categories.
        seed: of the permutations.

    Raises:
        ContrastError: the categories were found on this very split, the scores are of other
            prompts, a unit has no score, or there are fewer than two categories.
    """
    if categories.about.get("split") == pairs.split:
        raise ContrastError(
            f"These units were named on {pairs.split}, the split this step judges; name them on "
            "one split and judge the names on the other."
        )
    scores = {"denoise": denoise, "noise": noise}
    found = {name: _Categories(pairs, each) for name, each in scores.items()}
    rows = []
    for number, row in enumerate(categories.rows()):
        way = str(row["direction"])
        values = _values(scores[way], str(row["site"]))
        draw = np.random.default_rng([seed, number])
        judged = found[way].judged(values, str(row["category"]), permutations, draw)
        rows.append({key: row[key] for key in ("site", "rank", "direction", "category")} | judged)
    p_values = np.array([row["p"] for row in rows])
    for row, adjusted in zip(rows, benjamini_hochberg(p_values).tolist(), strict=True):
        holds = row["inside_low"] > least and row["low"] > 0 and adjusted <= _ALPHA
        row["p_adjusted"] = adjusted
        row["named"] = row["category"] if holds else ""
    about = {
        "categories found on": categories.about.get("split", ""),
        "split": pairs.split,
        "named": f"over {least:g} of the gap on its category, above the others, p <= {_ALPHA:.2f}",
        "null": f"{permutations} permutations of the topics' categories",
        "interval": f"{CONFIDENCE:.0%}, MOVER over bootstraps over topics",
        "model": model.name,
    }
    shares = ("inside", "outside", "difference", "null_high")
    return from_rows(rows, units=dict.fromkeys(shares, _SHARE), about=about)


def unit_selectivity_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run: the effects are known."""
    return Cost()


def _whole(scores: Scores, site: str) -> float:
    return float(_values(scores, site).sum() / scores.gap.sum())


def _values(scores: Scores, site: str) -> Float[np.ndarray, " example"]:
    place = parse(site)
    if place not in scores.sites:
        raise ContrastError(f"{site} was named but has no score on {scores.about.get('split')}.")
    return scores.values[scores.sites.index(place)]


class _Categories:
    """The categories of scored pairs, and how effects differ between them."""

    def __init__(self, pairs: Contrast, scores: Scores) -> None:
        known = {example.id: example.category for example in pairs.expecting("refuse")}
        unknown = [name for name in scores.examples if name not in known]
        if unknown:
            raise ContrastError(
                f"{len(unknown)} of the {len(scores.examples)} scored pairs are not in "
                f"{pairs.name}.{pairs.split}; score the units on the same pairs."
            )
        self.labels = np.array([known[name] for name in scores.examples])
        self.names: tuple[str, ...] = tuple(dict.fromkeys(self.labels.tolist()))
        if len(self.names) < 2:
            raise ContrastError(
                f"{pairs.name}.{pairs.split} has pairs of {len(self.names)} category; telling "
                "categories apart needs two. Use more prompts."
            )
        self.gap, self.topics = scores.gap, scores.clusters
        self.cells = _Cells(self.labels.tolist(), scores.clusters)

    def apart(self, values: Float[np.ndarray, " example"], category: str) -> float:
        """Share of the gap on a category's pairs less that on all others."""
        inside = self.labels == category
        return _share(values, self.gap, inside) - _share(values, self.gap, ~inside)

    def judged(
        self,
        values: Float[np.ndarray, " example"],
        category: str,
        permutations: int,
        draw: np.random.Generator,
    ) -> dict[str, float | int]:
        """Inside, outside, their difference with its interval, and the permutation null."""
        mask = self.labels == category
        if not mask.any():
            nothing = dict.fromkeys(
                ("inside", "inside_low", "inside_high", "outside", "difference"), float("nan")
            )
            ends = {"low": -np.inf, "high": np.inf, "null_high": float("nan"), "p": 1.0}
            return nothing | ends | {"n": 0, "topics": 0}
        inside, outside = (self._estimate(values, part) for part in (mask, ~mask))
        between = difference(inside, outside)
        null = self.cells.null(values, self.gap, category, permutations, draw)
        return {
            "inside": inside.value,
            "inside_low": inside.low,
            "inside_high": inside.high,
            "outside": outside.value,
            "difference": between.value,
            "low": between.low,
            "high": between.high,
            "null_high": float(np.quantile(null, CONFIDENCE)),
            "p": permutation_p(between.value, null),
            "n": int(mask.sum()),
            "topics": inside.clusters,
        }

    def _estimate(
        self, values: Float[np.ndarray, " example"], mask: Bool[np.ndarray, " example"]
    ) -> Estimate:
        topics = [topic for topic, kept in zip(self.topics, mask.tolist(), strict=True) if kept]
        return ratio(values[mask], self.gap[mask], topics, unit=_SHARE)


@dataclass(frozen=True)
class _Cells:
    """Topics of one category each: what a permutation of the categories moves as one."""

    labels: Sequence[str]
    topics: Sequence[str]

    def null(
        self,
        values: Float[np.ndarray, " example"],
        gap: Float[np.ndarray, " example"],
        category: str,
        count: int,
        draw: np.random.Generator,
    ) -> Float[np.ndarray, " permutation"]:
        """The difference of shares when as many cells, drawn at random, are called the category."""
        groups: Mapping[str, np.ndarray] = by_group(
            [f"{label}\0{topic}" for label, topic in zip(self.labels, self.topics, strict=True)]
        )
        sums = np.array([[values[rows].sum(), gap[rows].sum()] for rows in groups.values()])
        own = sum(name.startswith(f"{category}\0") for name in groups)
        whole = sums.sum(axis=0)
        found = []
        for _ in range(count):
            inside = sums[draw.permutation(len(sums))[:own]].sum(axis=0)
            outside = whole - inside
            found.append(inside[0] / inside[1] - outside[0] / outside[1])
        return np.array(found)


def _share(
    values: Float[np.ndarray, " example"],
    gap: Float[np.ndarray, " example"],
    mask: Bool[np.ndarray, " example"],
) -> float:
    return float(values[mask].sum() / gap[mask].sum())
