"""Faithfulness, completeness, minimality, sufficiency and necessity of a set of units.

F(X) is the mean score with every unit outside X ablated; C the set, M the model, 0 the empty set.
Shares are ratios of means, with bootstrap intervals over topics:

- faithfulness, which is sufficiency: (F(C) - F(0)) / (F(M) - F(0)); above 1 where negative units
  were left out (Marks et al. 2025, arXiv:2403.19647; MIB, arXiv:2504.13151);
- lost: F(M) - F(C) in nat (Wang et al. 2023, arXiv:2211.00593, section 4, whose sign it keeps);
- completeness: faithfulness of what is outside, (F(M - C) - F(0)) / (F(M) - F(0)), low when nothing
  was missed; necessity is 1 minus that;
- incompleteness: the largest |F(C - K) - F(M - K)| over the subsets K tried, over F(M) - F(0);
- minimality of a unit v: the largest |F(C - K - v) - F(C - K)| over the K tried, over F(M) - F(0);
  Wang et al. ask for at least 1 %.

The worst K is chosen by the numbers that it is then estimated from, which exaggerates: both largest
values are upper readings.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interlock.stats import CONFIDENCE, Estimate, by_group, mean, permutation_p, ratio
from interlock.tables import Table, from_rows

_SHARE = "share of F(M) - F(0)"

Scores = Float[np.ndarray, " example"]
Cut = frozenset[str]
NOTHING: Cut = frozenset()


@dataclass(frozen=True)
class Measured:
    """Scores of every pair with sets ablated.

    Attributes:
        sites: the set C, as text.
        circuit: F(C - K) of each pair, by K.
        model: F(M - K) of each pair, by K.
        topics: of each pair.
        random: F(R) and F(M - R) of each pair, for matched random sets R.
    """

    sites: tuple[str, ...]
    circuit: Mapping[Cut, Scores]
    model: Mapping[Cut, Scores]
    topics: tuple[str, ...]
    random: tuple[tuple[Scores, Scores], ...] = ()

    @property
    def empty(self) -> Scores:
        """F(0): everything ablated."""
        return self.circuit[frozenset(self.sites)]

    @property
    def span(self) -> Scores:
        """F(M) - F(0), of each pair."""
        return self.model[NOTHING] - self.empty

    def share(self, values: Scores) -> Estimate:
        """Ratio of means to F(M) - F(0), with its interval over topics."""
        return ratio(values, self.span, self.topics, unit=_SHARE)


def measured(table: Table) -> Measured:
    """The scores in a table of `methods.faithfulness`."""
    sites = tuple(table.about["sites"].split())
    parts: dict[str, dict[Cut, Scores]] = {"circuit": {}, "model": {}}
    topics: tuple[str, ...] = ()
    for part, found in parts.items():
        rows = table.where(part=part)
        for without, members in by_group(rows["without"].tolist()).items():
            found[frozenset(str(without).split())] = rows["score"][members].astype(float)
            topics = tuple(rows["topic"][members].tolist())
    return Measured(sites, parts["circuit"], parts["model"], topics, _random(table))


def faithfulness(found: Measured) -> Estimate:
    """Share of the span that the set alone gives: sufficiency."""
    return found.share(found.circuit[NOTHING] - found.empty)


def lost(found: Measured) -> Estimate:
    """F(M) - F(C) in nat."""
    values = found.model[NOTHING] - found.circuit[NOTHING]
    return mean(values, found.topics, unit="nat of opening score")


def completeness(found: Measured) -> Estimate:
    """Share of the span that is left without the set; low when nothing was missed."""
    return found.share(found.model[frozenset(found.sites)] - found.empty)


def necessity(found: Measured) -> Estimate:
    """Share of the span that goes with the set: 1 - `completeness`."""
    return found.share(found.model[NOTHING] - found.model[frozenset(found.sites)])


def incompleteness(found: Measured) -> tuple[Cut, Estimate]:
    """The subset K tried on which circuit and model differ most, and by how much."""
    both = [cut for cut in found.circuit if cut in found.model]
    worst = max(both, key=lambda cut: abs(float(_difference(found, cut).mean())))
    return worst, _absolute(found, _difference(found, worst))


def minimality(found: Measured) -> Mapping[str, tuple[Cut, Estimate]]:
    """For every unit, the K tried with which its own removal changes most, and by how much."""
    answers = {}
    for site in found.sites:
        changes = {
            cut: found.circuit[cut] - found.circuit[cut | {site}]
            for cut in found.circuit
            if site not in cut and cut | {site} in found.circuit
        }
        best = max(changes, key=lambda cut: abs(float(changes[cut].mean())))
        answers[site] = best, _absolute(found, changes[best])
    return answers


def quantiles(
    found: Measured, at: Sequence[float] = (0.05, 0.5, 0.95)
) -> Float[np.ndarray, " quantile"]:
    """Quantiles over pairs of each pair's own faithfulness: a mean may describe none of them.

    Pairs that the model does not tell apart (span of 0 or less) have none.
    """
    told = found.span > 0
    if not told.any():
        return np.full(len(at), np.nan)
    own = (found.circuit[NOTHING] - found.empty)[told] / found.span[told]
    return np.quantile(own, at)


def summary(table: Table) -> Table:
    """Every metric with its interval, beside matched random sets where they say anything."""
    found = measured(table)
    worst, off = incompleteness(found)
    low, middle, high = quantiles(found).tolist()
    rows = [
        _row("faithfulness", faithfulness(found), _controls(found, "alone"), larger=True),
        _row("necessity", necessity(found), _controls(found, "less"), larger=True),
        _row("completeness", completeness(found), 1 - _controls(found, "less"), larger=False),
        _row("lost", lost(found)),
        _row("incompleteness", off, where=worst),
        *(
            _row(f"minimality of {site}", value, where=cut)
            for site, (cut, value) in minimality(found).items()
        ),
    ]
    about = {
        **table.about,
        "interval": f"{CONFIDENCE:.0%}, bootstrap of the ratio of means over topics",
        "control": "random sets of the same size, kinds and layers, none of the found units in "
        "them; p is the share of sets at least as extreme",
        "faithfulness of single pairs, 5 / 50 / 95 %": f"{low:.3f} / {middle:.3f} / {high:.3f}",
    }
    return from_rows(rows, about=about)


def _random(table: Table) -> tuple[tuple[Scores, Scores], ...]:
    sides = []
    for part in ("random circuit", "random model"):
        rows = table.where(part=part)
        groups = by_group(rows["number"].tolist())
        sides.append([rows["score"][members].astype(float) for members in groups.values()])
    return tuple(zip(*sides, strict=True))


def _difference(found: Measured, cut: Cut) -> Scores:
    return found.circuit[cut] - found.model[cut]


def _absolute(found: Measured, values: Scores) -> Estimate:
    """The size of a change as a share of the span, its sign put aside before it is resampled."""
    return found.share(values if values.mean() >= 0 else -values)


def _controls(found: Measured, which: str) -> Float[np.ndarray, " control"]:
    """Faithfulness (`alone`) or necessity (`less`) of every random set."""
    spans = float(found.span.sum())
    if which == "alone":
        values = [(alone - found.empty).sum() for alone, _ in found.random]
    else:
        values = [(found.model[NOTHING] - less).sum() for _, less in found.random]
    return np.array(values) / spans


def _row(
    metric: str,
    found: Estimate,
    controls: Float[np.ndarray, " control"] | None = None,
    *,
    larger: bool = True,
    where: Iterable[str] = (),
) -> dict:
    control, p = float("nan"), float("nan")
    if controls is not None and len(controls):
        control = float(controls.mean())
        sign = 1 if larger else -1
        p = permutation_p(sign * found.value, sign * controls)
    return {
        "metric": metric,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "unit": found.unit,
        "n": found.n,
        "topics": found.clusters,
        "control": control,
        "p": p,
        "where": " ".join(sorted(where)),
    }
