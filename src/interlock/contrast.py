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
System = Literal["template", "none", "helpful"]


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
        system: the system prompt put before each: what the model's own template does by default,
            none at all, or "You are a helpful assistant."
    """

    name: str
    split: Split
    examples: tuple[Example, ...]
    licence: str
    system: System = "template"

    def __post_init__(self) -> None:
        ids = [example.id for example in self.examples]
        if len(set(ids)) != len(ids):
            raise ContrastError(f"{self.name}.{self.split} has two examples of the same id.")

    @cached_property
    def digest(self) -> str:
        """sha256 of the name, split, system prompt and every example."""
        examples = [asdict(each) for each in self.examples]
        return digest_value([self.name, self.split, self.system, examples])

    def expecting(self, expected: Expected) -> tuple[Example, ...]:
        """The examples of which one thing is expected, in order."""
        return tuple(example for example in self.examples if example.expected == expected)

    def pairs(self) -> tuple[tuple[Example, Example], ...]:
        """The minimal pairs, harmful prompt first, in order of the harmful prompts.

        Raises:
            ContrastError: a pair id without exactly one prompt of each kind.
        """
        found: dict[str, list[Example]] = {}
        for example in self.examples:
            if example.pair:
                found.setdefault(example.pair, []).append(example)
        for pair, members in found.items():
            if sorted(each.expected for each in members) != ["comply", "refuse"]:
                raise ContrastError(
                    f"Pair '{pair}' of {self.name} needs one harmful and one harmless prompt; it "
                    f"has {len(members)} prompts."
                )
        harmless = {each.pair: each for each in self.expecting("comply")}
        return tuple((each, harmless[each.pair]) for each in self.expecting("refuse") if each.pair)


def topics(examples: Sequence[Example]) -> tuple[str, ...]:
    """The topic of each example: the clusters that statistics resample."""
    return tuple(example.topic for example in examples)
