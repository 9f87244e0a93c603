"""One subject put to every contestant; what comes back is plain JSON, and kept in the cache."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.calibrate.answers import Answer, UnitAnswer
from interlock.calibrate.contestants import CONTESTANTS
from interlock.calibrate.exam import Exam
from interlock.calibrate.marking import (
    against_direction,
    against_exact,
    against_plant,
    against_weights,
    by_unit,
    claims,
    coverage,
    null_claims,
)
from interlock.calibrate.subjects import Subject
from interlock.calibrate.verdicts import JUDGES
from interlock.direction import Direction
from interlock.errors import InterlockError
from interlock.files import digest_files, digest_value, read_json, write_json
from interlock.methods.behaviour import behaviour
from interlock.model import Model
from interlock.organisms.threads import one_thread
from interlock.organisms.truth import Truth
from interlock.scores import Scores
from interlock.sources import cache_folder
from interlock.weight_scores import WeightScores

_REPEATS = 40  # subsamples for coverage
_SHUFFLES = 13  # exact null runs per model with a gap
_DRAWN = 24  # topics in a subsample
SIZES = (8, 16, 32)  # pairs with which whole studies are judged again
_BOTH = "both directions"  # the contestant that exchanged labels are exact for


@dataclass(frozen=True)
class Order:
    """What is asked of every subject.

    Attributes:
        methods: names of contestants.
        pairs: how many minimal pairs are marked.
        seed: of pairs and subsamples.
        verdicts: whether whole studies are judged too.
    """

    methods: tuple[str, ...]
    pairs: int
    seed: int
    verdicts: bool = True


def examine(subject: Subject, order: Order) -> dict[str, Any]:
    """The marks of every method on one subject; read from the cache if nothing has changed.

    Raises:
        InterlockError: the subject cannot be opened.
    """
    memory = cache_folder() / "calibrate" / f"{_key(subject, order)}.json"
    with suppress(InterlockError):  # a damaged cache is computed again
        if memory.is_file():
            return read_json(memory)
    with one_thread(), _silent():
        found = _examined(subject, order)
    with suppress(InterlockError):  # a cache that cannot be written only costs time
        write_json(memory, found)
    return found


@contextmanager
def _silent() -> Iterator[None]:
    """Without notices that are for whoever studies one model."""
    log = logging.getLogger("interlock")
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


def _examined(subject: Subject, order: Order) -> dict[str, Any]:
    model, truth = subject.open(), subject.truth()
    find, check = subject.questions(order.pairs, order.seed)
    exam = Exam(model, find, check, behaviour(model, find, tokens=24))
    asked = [name for name in order.methods if subject.has(CONTESTANTS[name].of)]
    covered = _Covered(order.seed)
    methods = {name: _answered(exam, name, subject, truth, covered) for name in asked}
    decidable = {
        rule: true
        for rule, judge in JUDGES.items()
        if (true := judge.true(subject, truth)) is not None
    }
    return {
        "name": subject.name,
        "kind": subject.kind,
        "plant": "" if truth is None else truth.plant,
        "weights": model.revision,
        "pairs": len(check.pairs()),
        "methods": methods,
        "shuffles": _shuffles(exam, subject, order.seed) if _BOTH in asked else [0, 0],
        "verdicts": _verdicts(exam, decidable) if order.verdicts else {},
        "smaller": _smaller(model, subject, decidable, order) if order.verdicts else {},
    }


def _answered(
    exam: Exam, name: str, subject: Subject, truth: Truth | None, covered: "_Covered"
) -> dict[str, Any]:
    exam.bill()
    try:
        answer = CONTESTANTS[name].answer(exam)
    except InterlockError as error:  # a method that refuses to answer claims nothing
        return {"refused": str(error), "claim": None}
    bill = exam.bill()
    marks = _marks(exam, answer, subject, truth)
    found: dict[str, Any] = {
        "marks": {mark: value for mark, value in marks.items() if math.isfinite(value)},
        "claim": claims(answer),
        "passes": bill.passes,
        "seconds": bill.seconds,
    }
    if subject.kind != "null" and CONTESTANTS[name].causal and isinstance(answer, UnitAnswer):
        found["covered"] = covered.by(answer)
    return found


def _marks(exam: Exam, answer: Answer, subject: Subject, truth: Truth | None) -> dict[str, float]:
    if truth is None:
        if subject.kind == "natural" and isinstance(answer, UnitAnswer):
            return against_exact(answer, exam.patched("denoise"), exam.patched("noise"))
        return {}
    if isinstance(answer, UnitAnswer):
        return against_plant(answer, truth, exam.check)
    if isinstance(answer, Direction):
        return against_direction(exam, answer, subject.vector(), truth.layer)
    if truth.weights:
        return against_weights(answer, subject.weights())
    if isinstance(answer, WeightScores):
        return by_unit(exam, answer, truth, exam.patched("denoise").sites)
    return {}


class _Covered:
    """How many intervals held what the whole run says; scores of several answers count once."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._known: list[tuple[Scores, tuple[int, int]]] = []

    def by(self, answer: UnitAnswer) -> list[int]:
        """Intervals that held, and how many there were."""
        parts = [self._one(scores) for scores in answer.scores]
        return [sum(held for held, _ in parts), sum(of for _, of in parts)]

    def _one(self, scores: Scores) -> tuple[int, int]:
        for known, found in self._known:
            if known is scores:
                return found
        found = coverage(scores, _DRAWN, _REPEATS, self.seed)
        self._known.append((scores, found))
        return found


def _shuffles(exam: Exam, subject: Subject, seed: int) -> list[int]:
    """Claims and runs of both directions under exchanged labels, from effects already measured."""
    if subject.kind == "null":
        return [0, 0]
    # every model's own coins: the same ones for all would be one draw many times over
    first = int(digest_value(["shuffles", subject.name, seed])[:8], 16)
    seeds = range(first, first + _SHUFFLES)
    found = null_claims(exam.patched("denoise"), exam.patched("noise"), seeds)
    return [sum(found), len(found)]


def _verdicts(exam: Exam, decidable: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """By rule, the verdict and whether its claim is true."""
    found = {}
    for rule, true in decidable.items():
        try:
            outcome = JUDGES[rule].outcome(exam)
        except InterlockError:
            outcome = "inconclusive"  # as a study reports a step that could not run
        found[rule] = {"outcome": outcome, "true": true}
    return found


def _smaller(
    model: Model, subject: Subject, decidable: Mapping[str, bool], order: Order
) -> dict[str, dict[str, dict[str, Any]]]:
    """The verdicts of the same studies with fewer pairs, by number of pairs."""
    asked = {rule: true for rule, true in decidable.items() if JUDGES[rule].smaller}
    found = {}
    for pairs in (size for size in SIZES if size < order.pairs and asked):
        find, check = subject.questions(pairs, order.seed)
        exam = Exam(model, find, check, behaviour(model, find, tokens=24))
        found[str(pairs)] = _verdicts(exam, asked)
    return found


def _key(subject: Subject, order: Order) -> str:
    package = Path(__file__).parents[1]
    sources = digest_files(package.rglob("*.py"), package)
    weights = "" if subject.folder is None else _weights(subject.folder)
    return digest_value([vars(subject) | {"folder": weights}, vars(order), sources])


def _weights(folder: Path) -> str:
    return digest_files(sorted(folder.glob("*.safetensors")), folder)


def known(methods: Sequence[str]) -> tuple[str, ...]:
    """The contestants of these names, all of them if none is named.

    Raises:
        InterlockError: no such contestant.
    """
    unknown = [name for name in methods if name not in CONTESTANTS]
    if unknown:
        listed = ", ".join(CONTESTANTS)
        raise InterlockError(f"No method '{unknown[0]}' to calibrate. Known: {listed}.")
    return tuple(methods) or tuple(CONTESTANTS)
