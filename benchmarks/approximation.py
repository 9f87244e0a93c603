"""The default approximation of effects: chosen on half of the organisms, marked on the rest.

Every combination of estimators ranks units by the largest share in either direction. An estimator
may also be asked beside each of the first units that it ranks, patched in turn, which is the only
way to see a backup. On each half
the combination of the highest mean AP is taken (of equal ones that with fewest estimators) and
marked on the other half; beside it the declared default, which every other figure of Interlock
uses. Organisms in which effects cancel are marked apart. On the natural model the mark is Pearson's
correlation with exact effects, signs and all, in the direction in which it is lower.

    python benchmarks/approximation.py [FOLDER of further organisms] [--pairs 64]
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from harness import one_thread, report
from interlock.calibrate.exam import Exam
from interlock.calibrate.marks import agreement, average_precision
from interlock.calibrate.of_units import GIVEN
from interlock.calibrate.subjects import Subject, full, small
from interlock.methods.behaviour import behaviour
from interlock.sites import Site
from interlock.stats import mean as clustered

ALONE = ("plain", "integrated", "dropped", "relevance")
BESIDE = ("integrated beside", "relevance beside")
ESTIMATORS = (*ALONE, *BESIDE)
DEFAULT = ("dropped", "integrated beside")
APART = "cancelling"
WAYS = ("denoise", "noise")
Combination = tuple[str, ...]
COMBINATIONS: tuple[Combination, ...] = tuple(
    chosen for count in (1, 2, 3, 4) for chosen in combinations(ESTIMATORS, count)
)


def marks(subject: Subject, pairs: int) -> dict[Combination, float]:
    """AP of every combination on an organism, or on a natural model the smaller correlation."""
    model = subject.open()
    find, check = subject.questions(pairs, 0)
    exam = Exam(model, find, check, behaviour(model, find, tokens=24))
    shares = {name: _shares(exam, name) for name in ALONE}
    sites = exam.patched(WAYS[0]).sites
    for name in BESIDE:
        estimator = name.split()[0]
        order = np.argsort(-np.abs(shares[estimator]).max(axis=0), kind="stable")[:GIVEN]
        shares[name] = _shares(exam, estimator, tuple(sites[row] for row in order))
    truth, exact = subject.truth(), [exam.patched(way) for way in WAYS]
    found = {}
    for chosen in COMBINATIONS:
        strongest = _strongest(np.stack([shares[name] for name in chosen]))
        if truth is None:
            found[chosen] = min(map(agreement, strongest, [one.shares() for one in exact]))
        else:
            true = np.array([site in truth.units for site in exact[0].sites])
            found[chosen] = average_precision(np.abs(strongest).max(axis=0), true)
    return found


def _shares(
    exam: Exam, estimator: str, beside: tuple[Site, ...] = ()
) -> Float[np.ndarray, "way unit"]:
    """Of the gap, in both directions; beside some units, where some are named."""
    method, nouns = "attribution", (exam.replies,)
    options: dict[str, Any] = {"estimator": estimator}
    if beside:
        method, nouns = "conditional_attribution", (beside, *nouns)
        options["count"] = len(beside)
    return np.stack([exam.ask(method, *nouns, direction=way, **options).shares() for way in WAYS])


def _strongest(
    shares: Float[np.ndarray, "estimator way unit"],
) -> Float[np.ndarray, "way unit"]:
    """Of all estimators the share of largest size, with its sign."""
    first = np.abs(shares).argmax(axis=0)
    return np.take_along_axis(shares, first[None], axis=0)[0]


def best(marked: Sequence[Mapping[Combination, float]]) -> Combination:
    """Highest mean; of equal ones the first, which has fewest estimators."""
    return max(COMBINATIONS, key=lambda chosen: round(mean(marked, chosen), 6))


def mean(marked: Sequence[Mapping[Combination, float]], chosen: Combination) -> float:
    """Mean over organisms."""
    return float(np.mean([one[chosen] for one in marked]))


def interval(
    marked: Sequence[Mapping[Combination, float]], names: Sequence[str], chosen: Combination
) -> list[float]:
    """95 % interval of the mean; organisms of one plant are one cluster."""
    values = np.array([one[chosen] for one in marked])
    found = clustered(values, [name.split("-")[1] for name in names], unit="AP")
    return [round(found.low, 4), round(found.high, 4)]


def worst(marked: Sequence[Mapping[Combination, float]], chosen: Combination) -> float:
    """Least over organisms."""
    return min(one[chosen] for one in marked)


def main() -> None:
    """Mark every organism, choose on one half, print what the other half says."""
    one_thread()
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", nargs="?", type=Path)
    asked.add_argument("--pairs", type=int, default=64)
    given = asked.parse_args()
    subjects = full(given.folder, 0) if given.folder else small()
    known = {}
    for subject in subjects:
        truth = subject.truth()
        if subject.kind == "natural" or (truth is not None and truth.units):
            plant = "" if truth is None else truth.plant
            known[subject.name] = (plant, marks(subject, given.pairs))
            shown = {"+".join(c): round(v, 3) for c, v in known[subject.name][1].items()}
            print(subject.name, shown, flush=True)
    planted = {name: one for name, (plant, one) in known.items() if plant not in ("", APART)}
    apart = [one for plant, one in known.values() if plant == APART]
    natural = [one for plant, one in known.values() if not plant]
    names = sorted(planted)
    halves = [[planted[name] for name in names[start::2]] for start in (0, 1)]
    chosen = [best(half) for half in halves]
    others = [
        (mean(halves[1 - side], chosen[side]), worst(halves[1 - side], chosen[side]))
        for side in (0, 1)
    ]
    report(
        "approximation",
        organisms=len(planted),
        chosen=["+".join(one) for one in chosen],
        mean_ap_on_the_other_half=[round(one, 4) for one, _ in others],
        interval_on_the_other_half=[
            interval([planted[name] for name in names[1 - side :: 2]], names[1 - side :: 2], one)
            for side, one in enumerate(chosen)
        ],
        worst_ap_on_the_other_half=[round(one, 4) for _, one in others],
        default="+".join(DEFAULT),
        default_mean_ap=round(mean(list(planted.values()), DEFAULT), 4),
        default_worst_ap=round(worst(list(planted.values()), DEFAULT), 4),
        cancelling_ap=[round(one[DEFAULT], 4) for one in apart],
        natural_pearson=[round(one[DEFAULT], 4) for one in natural],
    )


if __name__ == "__main__":
    main()
