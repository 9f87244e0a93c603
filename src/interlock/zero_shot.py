"""Zero-shot questions with given answers, put to a model in memory by lm-eval, an optional package.

The data of a task are read when the questions are asked for, before anything is measured; the same
ones are then put to the model under every change. Right is lm-eval's own `acc`: the answer of the
highest likelihood is the right one, neither normalised by length nor behind a chat template.

Source: lm-evaluation-harness, github.com/EleutherAI/lm-evaluation-harness; the six tasks and the
limit of 200 questions are those of Wei et al. (2024), arXiv:2402.05162, section 4.1 and code.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from interlock.errors import InterlockError, MissingPackageError
from interlock.model import Model
from interlock.sources import first_line

SIX = ("boolq", "rte", "hellaswag", "winogrande", "arc_challenge", "openbookqa")
"""Those of Wei et al. (2024), whose mean accuracy stands for utility."""
_RIGHT = "acc"
_UNSEEDED = ("random_seed", "numpy_random_seed", "torch_random_seed")


@dataclass(frozen=True, eq=False)
class Questions:
    """Tasks with their data.

    Attributes:
        tasks: lm-eval's own objects, by name.
        limit: questions of each, at most; the first ones.
    """

    tasks: Mapping[str, Any]
    limit: int


@dataclass(frozen=True)
class Answer:
    """What was made of a question: its task, its number there, and 1 if it was answered rightly."""

    task: str
    number: str
    right: float


def require_package() -> None:
    """Refuse to go on without lm-eval.

    Raises:
        MissingPackageError: it is not installed.
    """
    if find_spec("lm_eval") is None:
        raise MissingPackageError("Zero-shot tasks need lm-eval: pip install 'interlock[lm-eval]'.")


def questions_of(names: Sequence[str], limit: int) -> Questions:
    """Tasks by their names in lm-eval, with their data.

    Args:
        names: such as `SIX`; groups of tasks are none.
        limit: questions of each, at most.

    Raises:
        MissingPackageError: lm-eval is not installed.
        InterlockError: a task is not known, or its data are neither here nor to be fetched.
    """
    require_package()
    manager: Any = import_module("lm_eval.tasks").TaskManager()
    unknown = [name for name in names if name not in manager.all_subtasks]
    if unknown:
        raise InterlockError(
            f"No zero-shot task '{unknown[0]}' in lm-eval; those of Wei et al. are "
            f"{', '.join(SIX)}."
        )
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = manager.load([name])["tasks"][name]
        except Exception as error:  # whatever its libraries raise where a file cannot be had
            raise InterlockError(
                f"The data of the zero-shot task '{name}' cannot be had "
                f"({type(error).__name__}: {first_line(error)}). Where there is a network, "
                f"`lm_eval --model dummy --tasks {name} --limit 1` puts them into HF_HOME; or "
                "leave the task out of zero_shot."
            ) from None
    return Questions(found, limit)


def answers(model: Model, questions: Questions, *, size: int) -> list[Answer]:
    """Every question put to the model as it is now, edited or not.

    Args:
        model: weights stay as they are, and its tokenizer too.
        questions: of `questions_of`.
        size: texts at once, at most.

    Raises:
        InterlockError: a task is not judged by accuracy.
    """
    wrapping: Any = import_module("lm_eval.models.huggingface")
    wrapped = wrapping.HFLM(
        pretrained=model.network,
        tokenizer=copy.deepcopy(model.tokenizer),  # it may be given another padding token
        batch_size=size,
    )
    found: Any = import_module("lm_eval").simple_evaluate(
        model=wrapped,
        tasks=list(questions.tasks.values()),
        num_fewshot=0,
        limit=questions.limit,
        bootstrap_iters=0,
        log_samples=True,
        **dict.fromkeys(_UNSEEDED),
    )
    return [_answer(task, sample) for task in questions.tasks for sample in found["samples"][task]]


def _answer(task: str, sample: Mapping[str, Any]) -> Answer:
    if _RIGHT not in sample:
        raise InterlockError(
            f"The zero-shot task '{task}' is not judged by accuracy ({_RIGHT}); leave it out."
        )
    return Answer(task, str(sample["doc_id"]), float(sample[_RIGHT]))
