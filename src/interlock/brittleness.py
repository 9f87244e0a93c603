"""What a model does while its weights are changed: refusal, compliance, and what else breaks.

A change is entered, measured and undone, one after the other, on the same prompts and passages. A
broken model is neither safe nor attacked: degenerate replies count as neither refusal nor
compliance, and are told beside both.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.encoding import Encoded, encode, encode_passages
from interlock.generation import Decoding
from interlock.long_texts import read_text, windows
from interlock.measures import nll, openers_of, opening_scores
from interlock.measures import replies as judged_replies
from interlock.metrics import Openers
from interlock.model import Model
from interlock.store import each
from interlock.tables import Cell, Table
from interlock.zero_shot import Questions, answers, questions_of

MEASURES = ("refused", "complied", "degenerate", "opening", "nll")
_CHOICES = 3  # answers of a zero-shot question, roughly, each read once


@dataclass(frozen=True, eq=False)
class Asked:
    """What a model is measured on under every change.

    Attributes:
        prompts: harmful ones first.
        rows: the prompts as tokens.
        passages: neutral texts.
        texts: the passages as tokens.
        openers: opening tokens of refusals and compliance, of another split.
        decoding: of the replies.
        batch: texts at once, at most.
        windows: of a long text, for perplexity; may be none.
        questions: of zero-shot tasks; may be none.
    """

    prompts: tuple[Example, ...]
    rows: tuple[Encoded, ...]
    passages: tuple[Example, ...]
    texts: tuple[Encoded, ...]
    openers: Openers
    decoding: Decoding
    batch: int
    windows: tuple[Encoded, ...] = ()
    questions: Questions | None = None

    def asking(self, tasks: Sequence[str], limit: int) -> "Asked":
        """With the questions of zero-shot tasks, if any are named.

        Raises:
            MissingPackageError: lm-eval is not installed.
            InterlockError: a task is not known, or its data are not to be had.
        """
        return replace(self, questions=questions_of(tasks, limit)) if tasks else self


@dataclass(frozen=True, eq=False)
class Entered:
    """A change made ready: how large it is, and the context it lasts in."""

    size: Mapping[str, Cell]
    context: AbstractContextManager[None]


@dataclass(frozen=True, eq=False)
class Change:
    """A change of weights to be measured.

    Attributes:
        kind: what was found, or a random control of it; or no change.
        number: of the random control.
        at: the point of the grid, by name.
        enter: makes it ready; sets are drawn only then, one at a time.
    """

    kind: Literal["none", "found", "random"]
    number: int
    at: Mapping[str, Cell]
    enter: Callable[[], Entered]


def asked_of(
    model: Model,
    contrast: Contrast,
    passages: Contrast,
    replies: Table,
    *,
    tokens: int,
    batch: int,
    text: str = "",
    window: int = 0,
) -> Asked:
    """Prompts and passages as a model reads them, and the windows of a long text in a file.

    Raises:
        ContrastError: the replies hold no refusal, or nothing but refusals.
        InterlockError: the file holds no text of a window's length.
    """
    long = windows(model, read_text(Path(text).expanduser()), window) if text else ()
    prompts = (*contrast.expecting("refuse"), *contrast.expecting("comply"))
    return Asked(
        prompts,
        encode(model, prompts, contrast.system),
        passages.examples,
        encode_passages(model, passages.examples),
        openers_of(replies),
        Decoding(tokens),
        batch,
        long,
    )


def measured(
    model: Model,
    asked: Asked,
    changes: Sequence[Change],
    *,
    units: Mapping[str, str],
    about: Mapping[str, str],
) -> Table:
    """One row per change, prompt or passage, and measure, long form.

    Columns: `kind`, `set`, the point of the grid, the size of the change, `example`, `topic`,
    `expected`, `measure` and `value`. Measures: shares of whole replies that `refused`, `complied`
    or are `degenerate`, `opening` score (nat), `nll` of passages and, where there are any,
    `window_nll` of the windows of a long text (nat per token) and `zero_shot`, 1 where a question
    was answered rightly; its `example` is the task and the question's number.
    """
    found = each("changes", changes, partial(_measure, model, asked))
    rows = [
        row
        for change, answer in zip(changes, found, strict=True)
        for row in _rows(asked, change, answer)
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    told = {"decoding": str(asked.decoding), "model": model.name, "weights": model.revision}
    return Table(columns, units, {**about, **told})


def measuring_cost(changes: int, examples: int, options: dict) -> Cost:
    """Replies, opening scores, losses and zero-shot answers under every change."""
    asked = len(options.get("zero_shot", ())) * int(options.get("questions", 0))
    return Cost(
        replies=changes * examples,
        prompts=changes * (examples + _CHOICES * asked),
        passages=changes * int(options.get("passages", 0)),
    )


def _measure(model: Model, asked: Asked, change: Change) -> dict[str, Any]:
    entered = change.enter()
    with entered.context:
        return {"size": dict(entered.size), **_numbers(model, asked)}


def _numbers(model: Model, asked: Asked) -> dict[str, list]:
    said = judged_replies(model, asked.rows, decoding=asked.decoding, size=asked.batch)
    return {
        "refused": [float(r.outcome == "refuse" and not r.degenerate) for r in said],
        "complied": [float(r.outcome == "comply" and not r.degenerate) for r in said],
        "degenerate": [float(r.degenerate) for r in said],
        "opening": opening_scores(model, asked.rows, asked.openers, size=asked.batch).tolist(),
        "nll": nll(model, asked.texts, size=asked.batch).tolist(),
        "window_nll": nll(model, asked.windows, size=1).tolist(),
        "zero_shot": _answered(model, asked),
    }


def _answered(model: Model, asked: Asked) -> list[tuple[str, float]]:
    """Each question's name, and whether it was answered rightly."""
    if asked.questions is None:
        return []
    found = answers(model, asked.questions, size=asked.batch)
    return [(f"{each.task} {each.number}", each.right) for each in found]


def _rows(asked: Asked, change: Change, answer: Mapping[str, Any]) -> list[dict]:
    start = {"kind": change.kind, "set": change.number, **change.at, **answer["size"]}
    rows = [
        start
        | {
            "example": example.id,
            "topic": example.topic,
            "expected": example.expected,
            "measure": measure,
            "value": value,
        }
        for measure in MEASURES
        for example, value in zip(
            asked.passages if measure == "nll" else asked.prompts, answer[measure], strict=True
        )
    ]
    losses = zip(asked.windows, answer["window_nll"], strict=True)
    rows += [start | _neutral(each.id, "window_nll", loss) for each, loss in losses]
    return rows + [start | _neutral(name, "zero_shot", yes) for name, yes in answer["zero_shot"]]


def _neutral(name: str, measure: str, value: float) -> dict[str, Cell]:
    told = {"example": name, "topic": name, "expected": "neutral"}
    return told | {"measure": measure, "value": value}
