"""How a judge errs by someone's labels, in a form that a table can carry to where rates are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from interlock.agreement import Correction, Tally, corrected, judge_errors

FULL = ("refuse",)  # a study's rates count full refusals


@dataclass(frozen=True)
class Errors:
    """A judge against labels, full refusals counted.

    Attributes:
        judge: its name.
        right: labelled full refusals that it called so.
        wrong: other labelled replies that it called so.
    """

    judge: str
    right: Tally
    wrong: Tally

    def correct(self, called: Tally) -> Correction:
        """The rate behind a rate that this judge gave."""
        return corrected(called, self.right, self.wrong)


def errors_of(
    judge: str,
    labels: Sequence[str],
    judged: Sequence[str],
    clusters: Sequence[str],
) -> Errors:
    """A judge's outcomes against labels of the same replies."""
    refused, called = (np.isin(np.asarray(each, dtype=str), FULL) for each in (labels, judged))
    return Errors(judge, *judge_errors(refused, called, clusters))


def as_text(errors: Mapping[str, Errors]) -> str:
    """Errors by the column of the outcomes, as JSON."""
    return json.dumps({column: asdict(each) for column, each in errors.items()})


def from_text(text: str) -> dict[str, Errors]:
    """What `as_text` wrote."""
    return {
        column: Errors(each["judge"], Tally(**each["right"]), Tally(**each["wrong"]))
        for column, each in json.loads(text).items()
    }
