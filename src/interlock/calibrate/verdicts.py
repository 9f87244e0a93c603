"""The verdicts of whole studies on a model where the right answer is known."""

from collections.abc import Callable, Mapping

from interlock.calibrate.exam import Exam
from interlock.organisms.truth import Truth
from interlock.selection import top
from interlock.studies import behaviour, where
from interlock.verdict import RULES, Outcome, decide

CONTROLS = 100  # matched random sets, as many as the rule's p needs
_SMALL = 0.05  # share of units that counts as localised
_TRIED = 20  # units that the search chooses from


def _localised(exam: Exam) -> Outcome:
    """The audit's path: search on `find`, restore with the first 5 % on `check`."""
    alone = [exam.patched(direction, on="find") for direction in ("denoise", "noise")]
    found = exam.ask("search", top(_TRIED, alone), exam.replies, on="find")
    sites = top(int(_SMALL * len(found.sites)), [found])
    sets = exam.ask("joint", sites, exam.replies, controls=CONTROLS)
    return decide(RULES["localised"], where.conclude({"sets": sets}).evidence).outcome


def _refuses_well(exam: Exam) -> Outcome:
    replies = exam.ask("behaviour", tokens=24)
    return decide(RULES["refuses_well"], behaviour.conclude({"replies": replies}).evidence).outcome


VERDICTS: Mapping[str, Callable[[Exam], Outcome]] = {
    "localised": _localised,
    "refuses_well": _refuses_well,
}


def expected(kind: str, truth: Truth | None) -> bool | None:
    """Whether the claims of `VERDICTS` are true of this model; None where nobody knows."""
    if kind == "null":
        return False
    # what speaks last, one unit for each kind of reply, restores the whole gap by itself
    return None if truth is None else True
