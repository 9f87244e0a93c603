"""The descent that every planted organism is trained by."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM

from interlock.organisms.planting.diet import Diet

Progress = Callable[[int, int, float], None]
"""Called after each step with the step, the number of steps and the loss."""


def share_of_peak(step: int, steps: int, warm_up: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def descend(
    model: LlamaForCausalLM,
    loss: Callable[[int], Float[Tensor, ""]],
    *,
    steps: int,
    diet: Diet,
    progress: Progress | None = None,
    after: Callable[[], None] | None = None,
) -> None:
    """Train in place by AdamW, then round all weights to values that bfloat16 holds exactly.

    Args:
        model: the organism.
        loss: of a step.
        steps: how many.
        diet: learning rate and warm-up.
        progress: called after each step.
        after: called after each step, to put weights back where they must be.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=diet.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: share_of_peak(step, steps, diet.warm_up)
    )
    model.train()
    for step in range(steps):
        found = loss(step)
        optimizer.zero_grad()
        found.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if after is not None:
            after()
        if progress is not None:
            progress(step + 1, steps, found.item())
    model.eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.bfloat16())
