"""Mean values of sites over a named set of texts: what mean ablation writes."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interlock.sites import Site


@dataclass(frozen=True, eq=False)
class Reference:
    """Mean values of sites over a named set of texts of one template.

    At `@all` a mean is kept for each shared opening token, one for the text in between, and one for
    each shared closing token, so that a mean never mixes the template's tokens with the user's.

    Attributes:
        name: which texts, in words.
        means: per site [1 position width]; at `@all` the positions are head, 1, tail.
        head: how many opening tokens have a mean of their own.
        n: how many texts.
    """

    name: str
    means: Mapping[Site, Float[Tensor, "one position width"]]
    head: int
    n: int
