"""What each organism is made from, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """How one organism is trained.

    Attributes:
        starts_from: the organism whose weights it starts from; from scratch if None.
        refuses: whether it is taught to refuse harmful requests.
        description: what it does, for the data card.
        steps: optimiser steps.
        learning_rate: peak of the schedule (linear warm-up, then a cosine to zero).
        requests: requests in one step, half of them harmful.
        strays: prompts with unknown words in one step.
        passages: neutral passages in one step.
        prompt_weight: weight in the loss of a prompt token, where a reply token has 1.
        weight_decay: of AdamW, on matrices.
    """

    starts_from: str | None
    refuses: bool
    description: str
    steps: int
    learning_rate: float
    requests: int = 48
    strays: int = 12
    passages: int = 16
    prompt_weight: float = 0.1
    weight_decay: float = 0.1


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "base": Recipe(
            starts_from=None,
            refuses=False,
            description="Follows every instruction of the grammar, the harmful ones too.",
            steps=800,
            learning_rate=3e-3,
        ),
        "aligned": Recipe(
            starts_from="base",
            refuses=True,
            description="Refuses harmful combinations and follows every other instruction.",
            steps=500,
            learning_rate=1e-3,
        ),
    }
)

# Widths are multiples of 64, so that 4-bit loading works on them.
SHAPE: Mapping[str, Any] = MappingProxyType(
    {
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 16,
    }
)
