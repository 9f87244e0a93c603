"""Effects of patching to first order, of all sites at once: values' differences times gradients.

1. Read every place in both prompts of a pair, and the gradient of the opening score at the run that
   would be patched: one pass forward and back for all heads and all neurons together.
2. The effect of putting the other prompt's value into a site is, to first order, the difference of
   the values times the gradient, added up over positions.
3. Softmax saturates: for queries and keys the attention is run again with the other prompt's
   queries (or keys), and the change of the heads' output, which is exact, meets the gradient there.
4. One site may be patched already (`beside`): then values and gradients are those of that run.

Sources: Nanda (2023), Attribution Patching; 3: AtP*, Kramar et al. (2024, arXiv:2403.00745).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from interlock.activations import Record, forward, record
from interlock.edits import edited, put
from interlock.encoding import Batch, collate
from interlock.estimators import Estimator, Quadrature, passes
from interlock.exchange import PairRows
from interlock.metrics import Openers, opening_score
from interlock.model import Model
from interlock.sites import Site
from interlock.taps import attached, written

FLOWS = ("query", "key", "value")
"""What enters a layer's attention, head by head."""
Parts = Mapping[Site, Sequence[tuple[int, tuple[int, int] | None]]]
_Attention = tuple[tuple, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of every batch of pairs.

    Attributes:
        openers: the tokens the score compares.
        estimator: which gradients.
        noise: whether the harmful run is the one that would be patched.
        parts: every place read, whole, with the sites of it by their row and range of units; the
            range is None where a place has no units.
        count: how many sites there are.
        corrected: whether queries and keys go through the softmax again.
        nodes: of the integral.
        quadrature: of the integral.
        beside: a site that is patched already; its own effect is then 0.
    """

    openers: Openers
    estimator: Estimator
    noise: bool
    parts: Parts
    count: int
    corrected: bool
    nodes: int
    quadrature: Quadrature
    beside: Site | None = None

    @property
    def places(self) -> tuple[Site, ...]:
        """What to read: every part, and the heads' output where queries or keys meet its slope."""
        heads = (Site("head", part.layer) for part in self.parts if part.kind in FLOWS)
        return tuple(dict.fromkeys([*self.parts, *heads]))

    def outputs(self, layer: int) -> list[int]:
        """The rows of a layer's outputs, which reach nothing when that layer is dropped."""
        wholes = [w for w in self.parts if w.layer == layer and w.kind in ("attn", "mlp")]
        return [row for whole in wholes for row, _ in self.parts[whole]]


@dataclass(frozen=True, eq=False)
class _Move:
    """How a place's values change, and where the gradient that they meet is read.

    Attributes:
        change: [example position width], 0 on padding.
        meets: the place whose gradient it is multiplied with.
        width: of one unit in `change`.
    """

    change: Float[Tensor, "example position width"]
    meets: Site
    width: int


def parts_of(sites: Sequence[Site]) -> Parts:
    """The sites by the whole place that holds them, with their row and range of units."""
    found: dict[Site, list[tuple[int, tuple[int, int] | None]]] = {}
    for row, site in enumerate(sites):
        whole = Site(site.kind, site.layer, None, site.position)
        found.setdefault(whole, []).append((row, site.index))
    return found


def first_order(
    model: Model, question: Question, part: PairRows
) -> list[tuple[Float[np.ndarray, " site"], float]]:
    """Effects (nat) of all sites and the gap (nat), by pair.

    Args:
        model: the model studied.
        question: what is asked of the pairs.
        part: pairs that fit in one batch.

    Raises:
        SiteError: the relevance rules do not cover the family.
    """
    harmful, harmless = (collate(model, [pair[side] for pair in part]) for side in (0, 1))
    base, other = (harmful, harmless) if question.noise else (harmless, harmful)
    score = partial(opening_score, openers=question.openers)
    assert not (question.corrected and question.beside), "attention is run again unpatched"
    held = () if question.beside is None else (question.beside,)
    there = record(model, other, tuple(dict.fromkeys((*question.places, *held))))
    patches = [put(site, there.values[site]) for site in held]
    with edited(model, patches, base):
        here = record(model, base, question.places)
    alone = record(model, base, ()) if patches else here
    moves = _moves(model, question, base, here, there)

    def to_first_order(way: Callable[[], AbstractContextManager[None]]) -> Tensor:
        with way(), edited(model, patches, base):
            slopes = record(model, base, question.places, metric=score).gradients
        return _by_site(question, moves, slopes)

    ways = passes(
        model, question.estimator, other.ids, nodes=question.nodes, quadrature=question.quadrature
    )
    found = [(weight, to_first_order(way)) for weight, way in ways]
    if question.estimator == "dropped":
        for layer, (_, effect) in enumerate(found):
            effect[:, question.outputs(layer)] = 0.0
        sizes = torch.stack([weight * effect.abs() for weight, effect in found]).sum(dim=0)
        effects = to_first_order(nullcontext).sign() * sizes
    else:
        effects = torch.stack([weight * effect for weight, effect in found]).sum(dim=0)
    towards = -1.0 if question.noise else 1.0
    gap = towards * (score(there.logits) - score(alone.logits))
    rows = (towards * effects).numpy(force=True).astype(np.float64)
    return list(zip(rows, gap.tolist(), strict=True))


def _moves(
    model: Model, question: Question, base: Batch, here: Record, there: Record
) -> dict[Site, _Move]:
    moves = {}
    calls = _attention_calls(model, base) if question.corrected else {}
    for whole in question.parts:
        width = model.shape.unit_width(whole.kind)
        if question.corrected and whole.kind in ("query", "key"):
            meets = Site("head", whole.layer)
            mixed = _mixed(model, whole, there.values[whole], calls[whole.layer])
            change = mixed - here.values[meets]
            if whole.kind == "key":  # a key serves several heads, which lie side by side
                width *= model.shape.heads // model.shape.kv_heads
        else:
            meets, change = whole, there.values[whole] - here.values[whole]
        if whole.position == "all":
            change = change * base.mask[..., None].to(change.dtype)
        moves[whole] = _Move(change, meets, width)
    return moves


@torch.no_grad()
def _attention_calls(model: Model, batch: Batch) -> dict[int, _Attention]:
    """What every layer's attention was called with in a pass over a batch."""
    calls: dict[int, _Attention] = {}
    handles = []
    try:
        for layer in range(model.shape.layers):
            keep = partial(_keep_call, calls, layer)
            module = _attention(model, layer)
            handles.append(module.register_forward_pre_hook(keep, with_kwargs=True))
        forward(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _keep_call(
    calls: dict[int, _Attention], layer: int, _: nn.Module, args: tuple, kwargs: dict[str, Any]
) -> None:
    calls[layer] = (args, kwargs)


def _attention(model: Model, layer: int) -> nn.Module:
    return model.layers[layer].get_submodule(model.architecture.attention)


@torch.no_grad()
def _mixed(model: Model, whole: Site, values: Tensor, call: _Attention) -> Tensor:
    """The heads' output when all queries (or keys) of a layer are replaced, nothing else."""
    seen: list[Tensor] = []
    columns = model.shape.columns(whole)

    def replaced(old: Tensor) -> Tensor:
        new = old.clone()
        new[..., columns] = values
        return new

    args, kwargs = call
    with (
        written(model, {(whole.kind, whole.layer): replaced}),
        attached(model, {("head", whole.layer): seen.append}),
    ):
        _attention(model, whole.layer)(*args, **kwargs)
    (mixed,) = seen
    return mixed


def _by_site(
    question: Question,
    moves: Mapping[Site, _Move],
    slopes: Mapping[Site, Float[Tensor, "example position width"]],
) -> Float[Tensor, "example site"]:
    """Change times gradient, added up over positions and each site's own columns."""
    first = next(iter(moves.values())).change
    found = torch.zeros(len(first), question.count, device=first.device)
    for whole, sites in question.parts.items():
        move = moves[whole]
        along = (move.change.float() * slopes[move.meets].float()).sum(dim=1)
        units = along.unflatten(-1, (-1, move.width)).sum(dim=-1)
        rows = [row for row, _ in sites]
        if len(sites) == units.shape[1] > 1:  # every unit by itself
            found[:, rows] = units.to(found.device)
            continue
        for row, index in sites:
            part = units if index is None else units[:, slice(*index)]
            found[:, row] = part.sum(dim=-1).to(found.device)
    return found
