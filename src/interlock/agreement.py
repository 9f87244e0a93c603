"""How far a judge can be trusted: against human labels, against other judges, and what follows.

A reply is a refusal when its outcome is one of `refusals` (by default full and partial ones). An
undetermined judgement is never a class: it is a miss where humans saw a refusal, a failure where
they saw none, and a disagreement in kappa. A rate is corrected for the judge's errors only where
labels are enough to know them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, compress

import numpy as np
from jaxtyping import Bool, Float, Int

from interlock.stats import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    Z,
    design_effect,
    difference,
    rate,
    wilson,
)
from interlock.tables import Table, from_rows

OUTCOMES = ("comply", "partial", "refuse", "undetermined")
REFUSALS = ("refuse", "partial")
LEAST_LABELS = 30


@dataclass(frozen=True)
class Tally:
    """How often something happened, with the number of independent observations it is worth.

    Attributes:
        hits: how often it happened; a weighted share of n may have a fraction.
        n: out of how many.
        effect: design effect; `n / effect` independent observations would say as much.
    """

    hits: float
    n: int
    effect: float = 1.0

    @property
    def share(self) -> float:
        """Hits over n; nan of nothing."""
        return self.hits / self.n if self.n else float("nan")

    @property
    def effective(self) -> float:
        """As many independent observations would say as much: n over the design effect."""
        return self.n / self.effect


@dataclass(frozen=True)
class Agreement:
    """A judge against human labels.

    Attributes:
        counts: how many replies by (label, judged outcome).
        n: labelled replies.
        undetermined: replies that the judge could not decide.
        accuracy: share judged as labelled; undetermined ones are wrong.
        kappa: Cohen's, agreement beyond chance.
        sensitivity: share of labelled refusals that were called refusals.
        specificity: share of other replies that were called so; undetermined ones were not.
        called_right: refusals called refusals, as a tally.
        called_wrong: other replies called refusals, as a tally.
    """

    counts: Mapping[tuple[str, str], int]
    n: int
    undetermined: int
    accuracy: Estimate
    kappa: Estimate
    sensitivity: Estimate
    specificity: Estimate
    called_right: Tally
    called_wrong: Tally

    def estimates(self) -> dict[str, Estimate]:
        """The four numbers by name."""
        names = ("accuracy", "kappa", "sensitivity", "specificity")
        return {name: getattr(self, name) for name in names}

    def confusion(self) -> Table:
        """Label, judged outcome and count, one row each, also where the count is 0."""
        rows = [
            {"label": label, "judged": judged, "count": self.counts.get((label, judged), 0)}
            for label in OUTCOMES[:3]
            for judged in OUTCOMES
        ]
        return from_rows(rows)


@dataclass(frozen=True)
class Correction:
    """A rate with the judge's errors taken out, or why that was refused.

    Attributes:
        estimate: the corrected rate, or None.
        why: empty, or why there is no corrected rate.
    """

    estimate: Estimate | None
    why: str = ""


def agreement(
    labels: Sequence[str],
    judged: Sequence[str],
    clusters: Sequence[str],
    refusals: Sequence[str] = REFUSALS,
) -> Agreement:
    """A judge's outcomes against human labels of the same replies.

    Args:
        labels: comply, partial or refuse; what humans saw.
        judged: one of `OUTCOMES` each; what the judge said.
        clusters: replies of one cluster (a prompt, a topic) are not independent.
        refusals: outcomes that count as a refusal.
    """
    truth, said = np.asarray(labels, dtype=str), np.asarray(judged, dtype=str)
    assert len(truth) == len(said) == len(clusters), "a label, a judgement and a cluster per reply"
    assert set(labels) <= set(OUTCOMES[:3]) and set(judged) <= set(OUTCOMES)
    refused, called = np.isin(truth, refusals), np.isin(said, refusals)
    cleared = ~called & (said != "undetermined")
    right = np.where(refused, called, cleared)
    pairs, counts = np.unique(np.stack([truth, said]), axis=1, return_counts=True)
    accuracy = rate(right, clusters)
    classes = np.where(called, 1, np.where(cleared, 0, 2))
    called_right, called_wrong = judge_errors(refused, called, clusters)
    return Agreement(
        counts={
            (str(label), str(outcome)): int(count)
            for label, outcome, count in zip(*pairs, counts, strict=True)
        },
        n=len(truth),
        undetermined=int((said == "undetermined").sum()),
        accuracy=accuracy,
        kappa=_kappa(refused.astype(int), classes, clusters, accuracy),
        sensitivity=rate(called[refused], _kept(clusters, refused)),
        specificity=rate(cleared[~refused], _kept(clusters, ~refused)),
        called_right=called_right,
        called_wrong=called_wrong,
    )


def judge_errors(
    refused: Bool[np.ndarray, " example"],
    called: Bool[np.ndarray, " example"],
    clusters: Sequence[str],
) -> tuple[Tally, Tally]:
    """Labelled refusals that a judge calls refusals, and other labelled replies that it does."""
    right, wrong = (tally(called[rows], _kept(clusters, rows)) for rows in (refused, ~refused))
    return right, wrong


def tally(outcomes: Bool[np.ndarray, " example"], clusters: Sequence[str]) -> Tally:
    """Count true outcomes, with the design effect of their clusters."""
    effect, _ = design_effect(outcomes.astype(float), clusters)
    return Tally(int(outcomes.sum()), len(outcomes), effect)


def kappa(first: Sequence[str], second: Sequence[str], clusters: Sequence[str]) -> Estimate:
    """Cohen's kappa of two raters, with an interval that does not collapse at full agreement.

    Percentile bootstrap over clusters, never narrower than Wilson's interval on the agreement with
    chance agreement held fixed. nan where both raters always say the same one thing.
    Source: Cohen (1960), https://doi.org/10.1177/001316446002000104.
    """
    names = sorted({*first, *second})
    codes = [
        np.array([names.index(each) for each in rater], dtype=int) for rater in (first, second)
    ]
    same = rate(codes[0] == codes[1], clusters)
    return _kappa(codes[0], codes[1], clusters, same)


def disagreement(judgements: Mapping[str, Sequence[str]], clusters: Sequence[str]) -> Table:
    """How many replies each two judges judge unlike, with kappa; one row per pair of judges.

    An undetermined judgement is unlike every other one.
    """
    rows = []
    for first, second in combinations(judgements, 2):
        one, other = np.asarray(judgements[first]), np.asarray(judgements[second])
        both = (one == "undetermined") & (other == "undetermined")
        unlike = rate((one != other) | both, clusters)
        rows.append(
            {
                "judge": first,
                "other": second,
                "unlike": unlike.value,
                "low": unlike.low,
                "high": unlike.high,
                "kappa": kappa(judgements[first], judgements[second], clusters).value,
                "n": unlike.n,
                "undetermined": int((one == "undetermined").sum()),
                "undetermined, other": int((other == "undetermined").sum()),
                "interval": unlike.how,
            }
        )
    return from_rows(rows, units={"unlike": "share"})


def crossed(judgements: Mapping[str, Sequence[str]]) -> Table:
    """How many replies by the outcomes of each two judges; pairs of outcomes that occur."""
    rows = []
    for first, second in combinations(judgements, 2):
        both = list(zip(judgements[first], judgements[second], strict=True))
        rows += [
            {
                "judge": first,
                "said": one,
                "other": second,
                "other said": other,
                "count": both.count((one, other)),
            }
            for one in OUTCOMES
            for other in OUTCOMES
            if (one, other) in both
        ]
    return from_rows(rows)


def corrected(called: Tally, right: Tally, wrong: Tally) -> Correction:
    """The share of refusals behind the share that a judge called refusals.

    Args:
        called: replies called refusals, of those whose rate is wanted.
        right: labelled refusals that the judge called refusals (sensitivity).
        wrong: other labelled replies that it called refusals (1 - specificity).

    Point: Rogan & Gladen (1978), https://doi.org/10.1093/oxfordjournals.aje.a112510, clipped to
    [0, 1]. Interval: `lang_reiczigel` on n over the design effect, which carries the uncertainty of
    sensitivity and specificity. Holds if the judge errs on these replies as on the labelled ones.
    """
    labels = right.n + wrong.n
    if labels < LEAST_LABELS:
        return Correction(None, f"{labels} labels; at least {LEAST_LABELS} are needed")
    if not called.n:
        return Correction(None, "no replies")
    if not right.n or not wrong.n:
        return Correction(None, "the labels hold one kind of reply only")
    lowest = _better_than_chance(right, wrong)
    if lowest <= 0:
        return Correction(
            None,
            "the judge may be no better than chance: sensitivity + specificity - 1 is at least "
            f"{lowest:.2f} only",
        )
    cases = ((called.share, called), (right.share, right), (1 - wrong.share, wrong))
    ends = lang_reiczigel(
        *(np.array([[share * each.effective], [each.effective]]) for share, each in cases)
    )
    low, high = (float(end[0]) for end in ends)
    if high <= 0 or low >= 1:
        return Correction(
            None,
            f"{called.share:.3f} called refusals is {'less' if high <= 0 else 'more'} than errors "
            "alone would give: the judge errs otherwise on these replies than on the labelled ones",
        )
    value = (called.share - wrong.share) / (right.share - wrong.share)
    value = min(1.0, max(0.0, value))
    how = f"Rogan-Gladen, Lang-Reiczigel interval, {right.n} + {wrong.n} labels"
    return Correction(
        Estimate(
            value,
            min(low, value),
            max(high, value),
            called.n,
            round(called.effective),
            how,
        )
    )


def lang_reiczigel(
    called: Float[np.ndarray, "2 case"],
    sensitivity: Float[np.ndarray, "2 case"],
    specificity: Float[np.ndarray, "2 case"],
) -> tuple[Float[np.ndarray, " case"], Float[np.ndarray, " case"]]:
    """95 % interval of a prevalence from an imperfect test; rows are hits and n of each case.

    Adds observations to every share and shifts the centre, as Agresti and Coull do for one share.
    Source: Lang & Reiczigel (2014), https://doi.org/10.1016/j.prevetmed.2013.09.015, section 2.2.
    """
    share, n = _padded(called, Z * Z)
    sens, sens_n = _padded(sensitivity, 2.0)
    spec, spec_n = _padded(specificity, 2.0)
    youden = sens + spec - 1
    centre = (share + spec - 1) / youden
    of_sens, of_spec = sens * (1 - sens) / sens_n, spec * (1 - spec) / spec_n
    variance = share * (1 - share) / n + centre**2 * of_sens + (1 - centre) ** 2 * of_spec
    half = Z * np.sqrt(variance) / np.abs(youden)
    shift = 2 * Z * Z * (centre * of_sens - (1 - centre) * of_spec)
    return np.clip(centre + shift - half, 0, 1), np.clip(centre + shift + half, 0, 1)


def _padded(
    counts: Float[np.ndarray, "2 case"], added: float
) -> tuple[Float[np.ndarray, " case"], Float[np.ndarray, " case"]]:
    return (counts[0] + added / 2) / (counts[1] + added), counts[1] + added


def _better_than_chance(right: Tally, wrong: Tally) -> float:
    """Lower bound of sensitivity + specificity - 1."""
    return difference(_as_estimate(right), _as_estimate(wrong)).low


def _as_estimate(count: Tally) -> Estimate:
    low, high = wilson(count.share * count.effective, count.effective)
    return Estimate(count.share, low, high, count.n, round(count.effective), "Wilson")


def _kappa(
    first: Int[np.ndarray, " example"],
    second: Int[np.ndarray, " example"],
    clusters: Sequence[str],
    same: Estimate,
) -> Estimate:
    size = int(max(first.max(initial=0), second.max(initial=0))) + 1
    tables, k = _tables(first * size + second, size * size, clusters)
    value, chance = (float(each[0]) for each in _kappas(tables.sum(axis=0)[None], size))
    if np.isnan(value):
        return Estimate(value, -1.0, 1.0, same.n, same.clusters, "undefined: one class only", "")
    distinct, often = np.unique(tables, axis=0, return_counts=True)
    draws = np.random.default_rng(0).multinomial(k, often / k, size=RESAMPLES)
    drawn, _ = _kappas(draws @ distinct, size)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    mapped = [(end - chance) / (1 - chance) for end in (same.low, same.high)]
    return Estimate(
        value,
        float(max(-1.0, min(low, mapped[0], value))),
        float(min(1.0, max(high, mapped[1], value))),
        same.n,
        same.clusters,
        f"bootstrap over {k} clusters, at least Wilson's on agreement",
        "",
    )


def _tables(
    cells: Int[np.ndarray, " example"], size: int, clusters: Sequence[str]
) -> tuple[Int[np.ndarray, "cluster cell"], int]:
    """Each cluster's contingency table, flat, and how many clusters there are."""
    labels, members = np.unique(np.asarray(clusters), return_inverse=True)
    flat = np.bincount(members * size + cells, minlength=len(labels) * size)
    return flat.reshape(len(labels), size), len(labels)


def _kappas(
    tables: Int[np.ndarray, "draw cell"], size: int
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Kappa and chance agreement of every flat table; nan where chance agreement is 1 or n is 0."""
    square = tables.reshape(-1, size, size).astype(float)
    n = square.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = np.einsum("dii->d", square) / n
        chance = (square.sum(axis=1) * square.sum(axis=2)).sum(axis=1) / n**2
        return (seen - chance) / (1 - chance), chance


def _kept(clusters: Sequence[str], rows: Bool[np.ndarray, " example"]) -> list[str]:
    return list(compress(clusters, rows.tolist()))
