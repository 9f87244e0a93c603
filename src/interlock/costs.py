"""What a step will take, counted before it runs: prompts read, tokens written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Work in units that do not depend on the machine.

    Attributes:
        prompts: prompts run through the model once.
        replies: prompts continued by generation.
        passages: neutral passages run through the model once.
        backward: prompts run backward once (about two forward passes each).
    """

    prompts: int = 0
    replies: int = 0
    passages: int = 0
    backward: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """The work of both."""
        return Cost(
            self.prompts + other.prompts,
            self.replies + other.replies,
            self.passages + other.passages,
            self.backward + other.backward,
        )

    def tokens(self, prompt: int, reply: int, passage: int) -> int:
        """Tokens run through the model, given the typical length of each kind of text."""
        read = (self.prompts + 2 * self.backward) * prompt + self.passages * passage
        return read + self.replies * (prompt + reply)
