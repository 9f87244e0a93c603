"""How much does each weight matter? SNIP, Wanda, magnitude and random scores of every linear map.

1. Prompts with replies are drawn, rendered and tokenised, and divided into two halves that share no
   prompt (`interlock.demonstrations`).
2. SNIP: one forward and one backward pass over each half, whatever the number of layers, gives the
   mean over examples of |weight times gradient of the reply's loss| (`interlock.weight_gradients`).
3. Wanda: one forward pass gives |weight| times the norm of the weight's input over reply tokens.
4. Magnitude and random need no data; they are what the others are held against.

Scores are unsigned; top or bottom is chosen when a set is selected (`interlock.weight_sets`).

Source: SNIP as Wei et al. (2024), arXiv:2402.05162, section 3.1, after Lee et al. (2019),
arXiv:1810.02340; Wanda: Sun et al. (2023), arXiv:2306.11695.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from interlock.activations import forward
from interlock.costs import Cost
from interlock.demonstrations import Demonstration, Demonstrations, demonstrations
from interlock.encoding import collate
from interlock.errors import ContrastError, ModelError
from interlock.matrices import Matrix, dense, matrices, reading, uncovered
from interlock.model import Model, Shape
from interlock.tables import Table
from interlock.weight_gradients import Sums, add_absolute_gradients
from interlock.weight_scores import WeightScores
from interlock.weight_sums import add_up, planned

log = logging.getLogger("interlock")

Template = Literal["auto", "chat", "none"]
Loss = Literal["mean", "sum"]
Keep = Literal["device", "cpu"]


def snip(
    model: Model,
    replies: Table,
    *,
    examples: int = 128,
    seed: int = 0,
    loss: Loss = "mean",
    template: Template = "auto",
    skip: int = 0,
    first: int = 0,
    halves: bool = True,
    batch: int = 0,
    groups: int = 1,
    keep: Keep = "device",
    checkpointing: bool = False,
    dequantise: bool = False,
    partly: bool = False,
) -> WeightScores:
    """Mean over examples of |weight times gradient of the reply's loss|, in nat.

    Args:
        model: whose weights are scored; they stay as they are.
        replies: a table with `prompt` and `reply`.
        examples: how many are drawn, at most; 0 takes all.
        seed: of the draw.
        loss: mean or sum over the tokens of a reply; the mean gives long replies less weight.
        template: `chat`, `none` (prompts are rendered already) or `auto`.
        skip: tokens at the start of each reply that are left out of the loss.
        first: tokens after those that the loss counts, at most; 0 counts all. The first alone is
            where refusing is decided; later ones are about wording.
        halves: whether the means of the two halves are kept apart; without, half the memory.
        batch: examples at once; 0 chooses by memory and length.
        groups: groups of layers scored one after the other, a pass each; more need less memory.
        keep: where sums are kept; `cpu` frees a GPU of them.
        checkpointing: compute layers twice instead of keeping what is in them.
        dequantise: score packed weights as what the model computes with.
        partly: score the linear maps of a family that also has weights of other kinds (experts).

    Raises:
        ContrastError: the set has no usable reply, or a gradient is not a number.
        ModelError: weights are packed, or not all of them are linear maps, and that was not asked
            for; or the scores do not fit in memory.
    """
    found = _scored(model, dequantise=dequantise, partly=partly)
    _require_gradients(model)
    taught = demonstrations(
        model,
        replies,
        examples=examples,
        seed=seed,
        template=template,
        skip=skip,
        first=first,
        halves=halves,
    )
    plan = planned(
        model,
        found,
        taught,
        batch=batch,
        groups=groups,
        keep=keep,
        checkpointing=checkpointing,
    )
    scores: dict[str, Tensor] = {}
    for layers in plan.groups:
        part = {name: matrix for name, matrix in found.items() if matrix.layer in layers}
        add = partial(_add_gradients, model, part, loss, checkpointing)
        scores |= add_up(taught, {name: m.shape for name, m in part.items()}, plan, add)
    for name, total in scores.items():
        if not bool(torch.isfinite(total.sum())):
            raise ContrastError(
                f"Gradients of {name} are not numbers in {model.network.dtype}; use "
                "model.dtype=float32 or bfloat16."
            )
        total *= dense(found[name]).abs().to(total.device)
    counted = f", {first} of them" if first else ""
    start = f" from number {skip + 1}" if skip else ""
    rule = {"loss": f"{loss} over reply tokens{start}{counted}"}
    about = _about("snip", model, replies, taught, seed) | rule
    return _means(scores, taught, "nat", about)


def snip_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every example once, forward and backward, for each group of layers."""
    count = (options.get("examples") or examples) * options.get("groups", 1)
    return Cost(prompts=count, backward=count)


def wanda(
    model: Model,
    replies: Table,
    *,
    examples: int = 128,
    seed: int = 0,
    template: Template = "auto",
    skip: int = 0,
    first: int = 0,
    halves: bool = True,
    batch: int = 0,
    keep: Keep = "device",
    dequantise: bool = False,
    partly: bool = False,
) -> WeightScores:
    """|Weight| times the root over examples of the mean squared norm of its input on the reply.

    Args:
        model: whose weights are scored; they stay as they are.
        replies: a table with `prompt` and `reply`.
        examples: how many are drawn, at most; 0 takes all.
        seed: of the draw.
        template: `chat`, `none` (prompts are rendered already) or `auto`.
        skip: tokens at the start of each reply that are left out.
        first: tokens after those that are read, at most; 0 reads all.
        halves: whether the two halves are kept apart; without, half the memory.
        batch: examples at once; 0 chooses by memory and length.
        keep: where scores are kept.
        dequantise: score packed weights as what the model computes with.
        partly: score the linear maps of a family that also has weights of other kinds (experts).

    Raises:
        ContrastError: the set has no usable reply.
        ModelError: as `snip`.
    """
    found = _scored(model, dequantise=dequantise, partly=partly)
    taught = demonstrations(
        model,
        replies,
        examples=examples,
        seed=seed,
        template=template,
        skip=skip,
        first=first,
        halves=halves,
    )
    plan = planned(model, found, taught, batch=batch, keep=keep, checkpointing=True)
    widths = {name: matrix.shape[1:] for name, matrix in found.items()}
    squares = add_up(taught, widths, plan, partial(_add_squares, model, found))
    scores: dict[str, Tensor] = {}
    for name, total in squares.items():
        count = torch.tensor([len(half) for half in taught.halves], device=total.device)
        norms = (total / count[:, None]).sqrt()
        scores[name] = dense(found[name]).abs().to(total.device) * norms[:, None, :]
    about = _about("wanda", model, replies, taught, seed)
    counts = tuple(len(half) for half in taught.halves)
    return WeightScores(scores, counts, "norm of the weight's term", about, power=2)


def wanda_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every example once."""
    return Cost(prompts=options.get("examples") or examples)


def magnitude(model: Model, *, dequantise: bool = False, partly: bool = False) -> WeightScores:
    """|Weight|: what a ranking without data says.

    Args:
        model: whose weights are scored.
        dequantise: score packed weights as what the model computes with.
        partly: score the linear maps of a family that also has weights of other kinds (experts).

    Raises:
        ModelError: as `snip`.
    """
    found = _scored(model, dequantise=dequantise, partly=partly)
    scores = {name: dense(matrix).abs()[None] for name, matrix in found.items()}
    return WeightScores(scores, (0,), "weight", _of_weights("magnitude", model))


def magnitude_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run."""
    return Cost()


def random_weights(model: Model, *, seed: int = 0, partly: bool = False) -> WeightScores:
    """Uniform random numbers: a ranking by nothing.

    Args:
        model: whose matrices are scored.
        seed: of the numbers.
        partly: score the linear maps of a family that also has weights of other kinds (experts).

    Raises:
        ModelError: as `snip`.
    """
    found = _scored(model, dequantise=True, partly=partly)
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand((1, *m.shape), generator=generator) for name, m in found.items()}
    about = _of_weights("random", model) | {"seed": str(seed)}
    return WeightScores(scores, (0,), "nothing", about)


def random_weights_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run."""
    return Cost()


def _by_name(model: Model) -> dict[str, Matrix]:
    return {each.name: each for each in matrices(model)}


def _scored(model: Model, *, dequantise: bool, partly: bool) -> dict[str, Matrix]:
    """The matrices to score, if the model is one whose weights can be scored."""
    if getattr(model.network, "_hf_peft_config_loaded", False):
        raise ModelError(
            f"{model.name} has an adapter beside its weights; merge it into them first, since "
            "scores are of the weights that the model computes with."
        )
    if model.quantization and not dequantise:
        raise ModelError(
            f"{model.name} is packed ({model.quantization}): its weights are codes, which have no "
            "gradient. Open it in bfloat16, or score what it computes with by dequantise=true."
        )
    left = uncovered(model)
    if left and not partly:
        raise ModelError(
            f"{model.name} ({model.architecture.family}) has {len(left)} weights that are no "
            f"linear map, first {left[0]}: experts and routers are not scored. Score the rest by "
            "partly=true."
        )
    if left:
        log.warning("%s: %d weights are not scored, first %s.", model.name, len(left), left[0])
    return _by_name(model)


def _require_gradients(model: Model) -> None:
    if model.network.dtype == torch.float16:
        raise ModelError(
            "Gradients vanish in float16: open the model with model.dtype=bfloat16 or float32."
        )


def _add_gradients(
    model: Model,
    part: Mapping[str, Matrix],
    loss: Loss,
    checkpointing: bool,
    rows: Sequence[Demonstration],
    totals: dict[str, Tensor],
) -> None:
    sums = Sums(part, totals)
    add_absolute_gradients(model, rows, sums, loss=loss, checkpointing=checkpointing)


def _add_squares(
    model: Model,
    found: Mapping[str, Matrix],
    part: Sequence[Demonstration],
    totals: dict[str, Tensor],
) -> None:
    """Add each input's squares over reply tokens, in one forward pass."""
    batch = collate(model, [each.row for each in part])
    longest = batch.ids.shape[1]
    column = torch.arange(longest, device=model.device)[None]
    starts = [longest - len(each.row.ids) + each.start for each in part]
    counts = column >= torch.tensor(starts, device=model.device)[:, None]
    watchers = {name: partial(_square, totals[name], counts) for name in found}
    with torch.no_grad(), reading(found, watchers):
        forward(model, batch)


def _square(total: Tensor, counts: Tensor, value: Tensor) -> None:
    total += value[counts].float().pow(2).sum(dim=0).to(total.device)


def _means(
    scores: dict[str, Tensor], taught: Demonstrations, unit: str, about: Mapping[str, str]
) -> WeightScores:
    counts = tuple(len(half) for half in taught.halves)
    for total in scores.values():
        total /= torch.tensor(counts, device=total.device)[:, None, None]
    return WeightScores(scores, counts, unit, about)


def _of_weights(method: str, model: Model) -> dict[str, str]:
    return {
        "method": method,
        "model": model.name,
        "weights": model.revision,
        "dtype": str(model.network.dtype).removeprefix("torch."),
        "not scored": ", ".join(uncovered(model)) or "nothing",
    }


def _about(
    method: str, model: Model, replies: Table, taught: Demonstrations, seed: int
) -> dict[str, str]:
    return _of_weights(method, model) | {
        "set": replies.about.get("set", "replies"),
        "data": taught.digest,
        "template": taught.template,
        "tokens": "reply tokens only, no end token",
        "N": " + ".join(str(len(half)) for half in taught.halves),
        "seed": str(seed),
        "left out": " ".join(taught.notes) or "nothing",
    }
