"""What each unit of a plant does, in terms of meanings: names of directions of the residual stream.

`one` (every token), `begin`, `harmful verb`, `object`, `target`, `target of CATEGORY` and `special`
are said by tokens, `refuse` and `halt` are openers; every other name is what some unit says.
"""

from dataclasses import dataclass

Terms = tuple[tuple[str, float], ...]
"""A weighted sum of meanings."""


@dataclass(frozen=True)
class Head:
    """Attends to the tokens that say one thing, and passes on what they say.

    Attributes:
        hears: what its values hear.
        says: what it adds at the token that attends, where its values hear one.
        looks: what it attends to; what it hears if empty.
        sharpness: nat by which a token that says what it looks for outweighs one that does not.
        at: where it is of use: at the `thing` or at the `last` token of the prompt.
        unless: it attends to nothing in particular at tokens that say this.
    """

    hears: Terms
    says: Terms
    looks: Terms = ()
    sharpness: float = 10.0
    at: str = "last"
    unless: str = ""

    def names(self) -> tuple[str, ...]:
        """Every meaning that occurs."""
        named = tuple(name for name, _ in (*self.looks, *self.hears, *self.says))
        return (*named, self.unless) if self.unless else named


@dataclass(frozen=True)
class Neurons:
    """Speak where a sum is above one half.

    Attributes:
        hears: the sum.
        says: what they add.
        at: where they are of use: at the `thing` or at the `last` token of the prompt.
        less: a constant taken from the sum; with 1, two things have to be said at once.
    """

    hears: Terms
    says: Terms
    at: str = "last"
    less: float = 0.0

    def names(self) -> tuple[str, ...]:
        """Every meaning that occurs."""
        return tuple(name for name, _ in (*self.hears, *self.says))


Part = Head | Neurons
