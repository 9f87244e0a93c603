"""The question put to a model: prompts that should be refused beside ones that should not.

A contrast never holds a model, nor tokens fitted to one. Selection of sites sees its `find` part,
estimates and verdicts see its `check` part, and no method is handed both.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from interlock.errors import ContrastError
from interlock.files import digest_value

Expected = Literal["refuse", "comply", "neutral"]
Split = Literal["find", "check", "fit"]


@dataclass(frozen=True)
class Example:
    """One prompt and what ought to happen.

    Attributes:
        id: stable and unique within its contrast.
        prompt: the user's words, without any chat template.
        category: kind of harm, or of harmless look-alike.
        expected: what the model ought to do; `neutral` is a passage, not a request.
        topic: the lexical item the prompt is about; prompts of one topic are not independent.
        pair: id shared by the two prompts of a minimal pair, empty when unpaired.
    """

    id: str
    prompt: str
    category: str
    expected: Expected
    topic: str
    pair: str = ""


@dataclass(frozen=True)
class Contrast:
    """Examples of one split of one named set of prompts.

    Attributes:
        name: of the set.
        split: what the examples may be used for.
        examples: the prompts.
        licence: of the prompts.
    """

    name: str
    split: Split
    examples: tuple[Example, ...]
    licence: str

    def __post_init__(self) -> None:
        ids = [example.id for example in self.examples]
        if len(set(ids)) != len(ids):
            raise ContrastError(f"{self.name}.{self.split} has two examples of the same id.")

    @cached_property
    def digest(self) -> str:
        """sha256 of the name, split and every example."""
        return digest_value([self.name, self.split, [asdict(each) for each in self.examples]])

    def expecting(self, expected: Expected) -> tuple[Example, ...]:
        """The examples of which one thing is expected, in order."""
        return tuple(example for example in self.examples if example.expected == expected)

    def pairs(self) -> tuple[tuple[Example, Example], ...]:
        """The minimal pairs, harmful prompt first, in order of the harmful prompts.

        Raises:
            ContrastError: a pair id without exactly one prompt of each kind.
        """
        harmless = {each.pair: each for each in self.expecting("comply") if each.pair}
        harmful = {each.pair: each for each in self.expecting("refuse") if each.pair}
        if set(harmless) != set(harmful):
            odd = sorted(set(harmless) ^ set(harmful))[0]
            raise ContrastError(f"Pair '{odd}' of {self.name} lacks one of its two prompts.")
        return tuple((each, harmless[pair]) for pair, each in harmful.items())


def topics(examples: Sequence[Example]) -> tuple[str, ...]:
    """The topic of each example: the clusters that statistics resample."""
    return tuple(example.topic for example in examples)
