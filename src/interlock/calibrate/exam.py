"""One model put to every method: the questions, and what each method cost.

Pairs of `find` give the opening tokens and serve selection; everything that is marked is measured
on `check`. A method that was run for one contestant is not run again for another.
"""

import importlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from interlock.contrast import Contrast
from interlock.encoding import encode
from interlock.methods import METHODS
from interlock.model import Model
from interlock.own_replies import OwnReplies, sorted_out
from interlock.scores import Scores
from interlock.tables import Table


@dataclass(frozen=True)
class Bill:
    """What one call of a method took.

    Attributes:
        passes: forward passes over a prompt, as tokens run through each layer, by pair it was
            asked about; what runs backward is not counted.
        seconds: wall-clock time.
    """

    passes: float
    seconds: float


@dataclass
class Exam:
    """A model with its questions; answers are kept by method and options.

    Attributes:
        model: the model examined.
        find: pairs for selection and for the opening tokens.
        check: pairs for everything that is marked.
        replies: judged replies to `find`.
        bills: what each answer took, by method and options.
    """

    model: Model
    find: Contrast
    check: Contrast
    replies: Table
    bills: dict[str, Bill] = field(default_factory=dict)
    _answers: dict[str, Any] = field(default_factory=dict)
    _used: list[str] = field(default_factory=list)
    _asked: list[tuple] = field(default_factory=list)

    @cached_property
    def own(self) -> OwnReplies:
        """The model's refusals to harmful prompts of `find` and its answers to harmless ones.

        Raises:
            ContrastError: it never refuses one, or never answers one.
        """
        return sorted_out(self.replies)

    def ask(self, method: str, *nouns: Any, on: str = "check", **options: Any) -> Any:  # noqa: ANN401
        """A method's answer, run the first time it is asked for.

        Args:
            method: name of a registered method.
            nouns: what it takes beside the model and the prompts.
            on: `check`, `find`, or "" for a method that takes no prompts.
            options: of the method.
        """
        self._asked.append(nouns)  # told apart by identity, which only what lives on keeps
        key = f"{method} {on} {sorted(options.items())} {_written(nouns)}"
        if key not in self._answers:
            module, name = METHODS[method].function.split(":")
            function = getattr(importlib.import_module(f"interlock.methods.{module}"), name)
            given = [self.check if on == "check" else self.find] if on else []
            started = time.perf_counter()
            with counted(self.model) as work:
                self._answers[key] = function(self.model, *given, *nouns, **options)
            seconds = time.perf_counter() - started
            asked = self.find if on == "find" else self.check
            whole = sum(len(row.ids) for row in encode(self.model, asked.examples))
            # tokens of both prompts of each pair make two passes
            passes = 2 * sum(work) / (whole * self.model.shape.layers)
            self.bills[key] = Bill(passes, seconds)
        self._used.append(key)
        return self._answers[key]

    def patched(self, direction: str, on: str = "check") -> Scores:
        """Exact effects of every unit in one direction."""
        options = {"direction": direction, "places": "units", "positions": ("all",)}
        return self.ask("patching", self.replies, on=on, **options)

    def bill(self) -> Bill:
        """What everything took that was asked since the last bill, also where it was kept."""
        used = [self.bills[key] for key in dict.fromkeys(self._used)]
        self._used.clear()
        return Bill(sum(each.passes for each in used), sum(each.seconds for each in used))


@contextmanager
def counted(model: Model) -> Iterator[list[int]]:
    """Count the tokens, padding among them, that run through each layer of a model."""
    work: list[int] = []

    def count(_: object, args: tuple, kwargs: dict[str, Any]) -> None:
        states = args[0] if args else kwargs["hidden_states"]
        work.append(states.shape[0] * states.shape[1])

    with ExitStack() as handles:
        for layer in model.layers:
            handle = layer.register_forward_pre_hook(count, with_kwargs=True)
            handles.callback(handle.remove)
        yield work


def _written(nouns: tuple) -> str:
    """Sites by their text, everything else by which object it is."""
    return " ".join(
        " ".join(map(str, noun)) if isinstance(noun, tuple) else f"{type(noun).__name__} {id(noun)}"
        for noun in nouns
    )
