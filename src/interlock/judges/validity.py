"""What a judge is worth: against human labels of some replies, and as shipped with the package.

The shipped numbers were measured on replies of other models than the one under study. They travel
with every rate that the rules produce, and say so; only labels of the same kind of reply can say
more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import compress
from typing import Any, Literal

import numpy as np

from interlock.agreement import (
    REFUSALS,
    Agreement,
    Correction,
    Tally,
    agreement,
    corrected,
    judge_errors,
    tally,
)
from interlock.errors import InterlockError
from interlock.files import read_json
from interlock.judges import DEFAULT, judge_named
from interlock.judges.specs import parse_spec
from interlock.refusals import Outcome
from interlock.stats import Estimate, by_group, rate

FILE = "validity.json"
Counts = Literal["full or partial", "full"]
_NAMES = ("accuracy", "kappa", "sensitivity", "specificity")


@dataclass(frozen=True)
class Checked:
    """A judge against human labels, over some replies.

    Attributes:
        agreement: over the labelled replies.
        labelled: share of labelled replies that are labelled refusals.
        naive: share of all replies that the judge calls refusals.
        corrected: that share with the judge's errors, as labelled here, taken out.
        transferred: the same by labels of the other groups alone, if there are any: whether the
            judge's errors travel from model to model. Often they do not.
        unlabelled: replies without a label.
    """

    agreement: Agreement
    labelled: Estimate
    naive: Estimate
    corrected: Correction
    transferred: Correction | None
    unlabelled: int

    def plain(self) -> dict[str, Any]:
        """As JSON values; an undefined number is None."""
        return {
            **{name: _number(e.value) for name, e in self.agreement.estimates().items()},
            "intervals": {
                name: [_number(e.low), _number(e.high)]
                for name, e in self.agreement.estimates().items()
            },
            "n": self.agreement.n,
            "undetermined": self.agreement.undetermined,
            "unlabelled": self.unlabelled,
            "confusion": list(self.agreement.confusion().rows()),
            "refusal_rate": {
                "labels": _plain(self.labelled),
                "naive": _plain(self.naive),
                "corrected": _correction(self.corrected),
                "corrected_by_other_models": _correction(self.transferred),
            },
        }


def check(
    judged: Sequence[str],
    labels: Sequence[Outcome | None],
    clusters: Sequence[str],
    others: tuple[Tally, Tally] | None = None,
    refusals: Sequence[str] = REFUSALS,
) -> Checked:
    """A judge's outcomes against labels, some of which may be missing.

    Args:
        judged: outcomes of all replies.
        labels: what humans said; None where they said nothing.
        clusters: replies of one cluster are not independent.
        others: the judge's errors on labelled replies of other groups, as `judge_errors` has them.
        refusals: outcomes that count as a refusal.
    """
    rows = [number for number, label in enumerate(labels) if label is not None]
    known = [label for label in labels if label is not None]
    own = agreement(known, [judged[row] for row in rows], [clusters[row] for row in rows], refusals)
    called = np.isin(np.asarray(judged, dtype=str), refusals)
    counts = tally(called, clusters)
    return Checked(
        own,
        rate(np.isin(np.asarray(known, dtype=str), refusals), [clusters[row] for row in rows]),
        rate(called, clusters),
        corrected(counts, own.called_right, own.called_wrong),
        corrected(counts, *others) if others else None,
        len(labels) - len(known),
    )


def check_by_group(
    judged: Sequence[str],
    labels: Sequence[Outcome | None],
    clusters: Sequence[str],
    groups: Sequence[str],
    refusals: Sequence[str] = REFUSALS,
) -> dict[str, Checked]:
    """Each group's own agreement, and what the labels of all other groups would have made of it."""
    numbers = {name: str(number) for number, name in enumerate(dict.fromkeys(clusters))}
    clusters = [numbers[each] for each in clusters]  # sorted many times, so short
    known = np.array([label is not None for label in labels], dtype=bool)
    refused = np.isin(np.array([label or "" for label in labels], dtype=str), refusals)
    called = np.isin(np.asarray(judged, dtype=str), refusals)
    found = {}
    for group, rows in by_group(groups).items():
        mine: list[int] = rows.tolist()
        rest = known.copy()
        rest[rows] = False
        clusters_there = list(compress(clusters, rest.tolist()))
        found[group] = check(
            [judged[row] for row in mine],
            [labels[row] for row in mine],
            [clusters[row] for row in mine],
            judge_errors(refused[rest], called[rest], clusters_there) if rest.any() else None,
            refusals,
        )
    return found


@cache
def shipped(judge: str = DEFAULT) -> Mapping[str, Any] | None:
    """What was measured of a judge for this package, or None; see `benchmarks/validity.py`."""
    with resources.as_file(resources.files("interlock") / "refusals" / FILE) as path:
        try:
            found = read_json(path)
        except InterlockError:
            return None
    return found if isinstance(found, dict) and found.get("judge") == judge else None


def statement(judge: str = DEFAULT, counts: Counts = "full or partial") -> str:
    """One sentence on what a judge is worth, for protocols and tables.

    Args:
        judge: its name.
        counts: which replies the rates beside the sentence count as refusals.
    """
    found = shipped(judge)
    if found is None:
        return f"judge '{judge}': no human labels were compared with it; read the replies"
    numbers = found["definitions"][counts]
    total, models = numbers["all"], numbers["models"]
    said = ", ".join(
        f"{name} {total[name]:.3f} [{total['intervals'][name][0]:.3f}, "
        f"{total['intervals'][name][1]:.3f}]"
        for name in _NAMES
    )
    name, worst = min(models.items(), key=lambda each: each[1]["accuracy"])
    stale = found["judge_digest"] != judge_named(judge).digest
    changed = "; the rules have changed since this was measured" if stale else ""
    return (
        f"judge '{judge}' against human labels of {total['n']:,} {found['data']} replies of "
        f"{len(models)} other models ({counts} refusals; {found['development']}): {said}; "
        f"accuracy {worst['accuracy']:.3f} on the worst of them, {name}{changed}. Not validated on "
        "this model: read the replies, or label some and run `interlock judge validate`"
    )


def statements(specs: Iterable[str]) -> str:
    """A sentence for the default judge and for every other one that specs name, for a protocol."""
    names = dict.fromkeys([DEFAULT, *(parse_spec(spec).name for spec in specs)])
    return "; ".join(statement(name, "full") for name in names)


def digests(specs: Iterable[str]) -> dict[str, str]:
    """What decides the judgements of judges other than the default one, by name."""
    named = [judge_named(spec) for spec in dict.fromkeys(specs) if spec != DEFAULT]
    return {judge.name: judge.digest for judge in named}


def _correction(found: Correction | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"why_not": found.why} if found.estimate is None else _plain(found.estimate)


def _plain(found: Estimate) -> dict[str, Any]:
    return {
        "value": _number(found.value),
        "low": _number(found.low),
        "high": _number(found.high),
        "n": found.n,
        "interval": found.how,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
