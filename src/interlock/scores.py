"""Scores: one number per site and example, with the gap that makes effects comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from interlock.sites import Site, parse
from interlock.stats import Estimate, by_group, expanded, mean, ratio, resampled_ratios
from interlock.tables import Table

Decision = Literal["in", "out", "undetermined"]

THRESHOLD = 0.15  # share of the gap that a site must carry to count
LEAST_GAP = 1.0  # nat of opening score between the prompts of a pair


@dataclass(frozen=True)
class Scores:
    """Effects of sites, kept per example so that the prompts can always be resampled.

    Attributes:
        sites: the places scored, one row each.
        examples: example (or pair) ids, one column each.
        clusters: the independent unit each example belongs to (its topic).
        values: effect of each site on each example, in `unit`.
        gap: what a full effect would be on each example; `share` divides by it.
        unit: unit of `values` and `gap`.
        about: how the scores were made, key to text.
    """

    sites: tuple[Site, ...]
    examples: tuple[str, ...]
    clusters: tuple[str, ...]
    values: Float[np.ndarray, "site example"]
    gap: Float[np.ndarray, " example"]
    unit: str
    about: Mapping[str, str] = field(default_factory=dict)

    def share(self, site: Site) -> Estimate:
        """The site's effect as a share of the gap: ratio of means, interval over clusters."""
        row = self.values[self.sites.index(site)]
        return ratio(row, self.gap, self.clusters, unit="share of the gap")

    def shares(self) -> Float[np.ndarray, " site"]:
        """Every site's effect as a share of the gap, in the order of `sites`."""
        return self.values.sum(axis=1) / self.gap.sum()

    def intervals(self) -> Float[np.ndarray, "site end"]:
        """Low and high end of every site's share, all sites under the same resamples."""
        draws, clusters = resampled_ratios(self.values, self.gap, self.clusters)
        return np.quantile(draws, expanded(clusters), axis=1).T

    def decisions(
        self, threshold: float = THRESHOLD, least_gap: float = LEAST_GAP
    ) -> tuple[Decision, ...]:
        """Whether each site carries the effect: by its interval, not by significance.

        In: the whole interval of its share lies beyond +-`threshold` of the gap. Out: the whole
        interval lies within. Undetermined: it spans a threshold, or the prompts of a pair are not
        told apart to begin with (lower bound of the mean gap under `least_gap`), so that there is
        nothing to share.
        """
        gap = mean(self.gap, self.clusters, unit=self.unit)
        if not gap.low >= least_gap:
            return ("undetermined",) * len(self.sites)
        return tuple(_decided(low, high, threshold) for low, high in self.intervals())

    def at(self, sites: Sequence[Site]) -> "Scores":
        """The scores of some of the sites, in the order given."""
        rows = [self.sites.index(site) for site in sites]
        return replace(self, sites=tuple(sites), values=self.values[rows])

    def __sub__(self, other: "Scores") -> "Scores":
        """Site-wise difference; both must score the same sites on the same examples."""
        assert self.sites == other.sites and self.examples == other.examples
        return replace(self, values=self.values - other.values)

    def __mul__(self, factor: float) -> "Scores":
        """Effects scaled by a number; the gap stays."""
        return replace(self, values=self.values * factor)

    def table(self) -> Table:
        """The long form: one row per site and example."""
        count = len(self.examples)
        columns = {
            "site": [str(site) for site in self.sites for _ in range(count)],
            "example": list(self.examples) * len(self.sites),
            "cluster": list(self.clusters) * len(self.sites),
            "effect": self.values.reshape(-1).tolist(),
            "gap": self.gap.tolist() * len(self.sites),
        }
        return Table(columns, {"effect": self.unit, "gap": self.unit}, self.about)


def _decided(low: float, high: float, threshold: float) -> Decision:
    if low > threshold or high < -threshold:
        return "in"
    return "out" if -threshold < low and high < threshold else "undetermined"


def from_table(table: Table) -> Scores:
    """The scores that `Scores.table` wrote."""
    groups = by_group(table["site"].tolist())
    first = next(iter(groups.values()))
    effects = table["effect"]
    values = np.stack([effects[rows] for rows in groups.values()])
    return Scores(
        sites=tuple(parse(text) for text in groups),
        examples=tuple(table["example"][first].tolist()),
        clusters=tuple(table["cluster"][first].tolist()),
        values=values.astype(float),
        gap=table["gap"][first].astype(float),
        unit=table.units["effect"],
        about=table.about,
    )


def summary(scores: Scores) -> Table:
    """One row per site: share of the gap, its interval, and n."""
    shares, ends = scores.shares(), scores.intervals()
    columns = {
        "site": [str(site) for site in scores.sites],
        "share": shares.tolist(),
        "low": ends[:, 0].tolist(),
        "high": ends[:, 1].tolist(),
        "n": [len(scores.examples)] * len(scores.sites),
        "clusters": [len(set(scores.clusters))] * len(scores.sites),
    }
    return Table(columns, {"share": "share of the clean-corrupt gap"}, scores.about)
