"""Where is the behaviour carried, at the cost of a few passes? Attribution patching.

1. Read every site in both prompts of a pair, and the gradient of the opening score at the run that
   would be patched: one pass forward and back for all heads and all neurons together.
2. The effect of putting the other prompt's value into a site is, to first order, the difference of
   the values times the gradient, added up over positions.
3. `estimator` says which gradient (`interlock.estimators`): plain, integrated along the inputs, the
   mean size over gradients that drop one layer each, or by relevance rules.
4. Softmax saturates: for queries and keys the attention is run again with the other prompt's
   queries (or keys), and the change of the heads' output, which is exact, meets the gradient there.

Equals: exact patching on a linear model. Approximations are to be checked: `approximation`.

Sources: Nanda (2023), Attribution Patching; AtP*: Kramar et al. (2024, arXiv:2403.00745, section 3,
for 4 and dropping); EAP-IG: Hanna et al. (2024, arXiv:2403.17806); RelP: Rezaei Jafari et al.
(2025, arXiv:2508.21258).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from interlock.activations import Record, forward, record
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.encoding import Batch, collate
from interlock.errors import ContrastError
from interlock.estimators import Estimator, Quadrature, passes
from interlock.exchange import PairRows, rows_of, usable_pairs
from interlock.measures import openers_of
from interlock.memory import room
from interlock.metrics import Openers, opening_score
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.selection import layer_sites, unit_sites
from interlock.sites import Site, unit
from interlock.tables import Table
from interlock.taps import attached, written

_FLOWS = ("query", "key", "value")
Attention = tuple[tuple, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class _Question:
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
    """

    openers: Openers
    estimator: Estimator
    noise: bool
    parts: Mapping[Site, Sequence[tuple[int, tuple[int, int] | None]]]
    count: int
    corrected: bool
    nodes: int
    quadrature: Quadrature

    @property
    def places(self) -> tuple[Site, ...]:
        """What to read: every part, and the heads' output where queries or keys meet its slope."""
        heads = (Site("head", part.layer) for part in self.parts if part.kind in _FLOWS)
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


def attribution(
    model: Model,
    pairs: Contrast,
    replies: Table,
    *,
    estimator: Literal["plain", "integrated", "dropped", "relevance"] = "relevance",
    direction: Literal["denoise", "noise"] = "denoise",
    places: Literal["layers", "units", "neurons", "attention"] = "units",
    positions: tuple[str, ...] = ("all",),
    corrected: bool = True,
    nodes: int = 5,
    quadrature: Literal["gauss", "midpoint"] = "gauss",
    groups: int = 12,
    batch: int = 32,
) -> Scores:
    """Approximate effect (nat of opening score) of patching each site alone, per pair.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        replies: judged replies, which give the opening tokens.
        estimator: which gradients; dropped has one pass a layer, integrated one a node.
        direction: denoise puts harmful values into the harmless run, noise the reverse.
        places: `layers` as in patching; `units` every head and group of neurons; `neurons` every
            head and every single neuron; `attention` every query, key and value head.
        positions: positions to patch, each apart; queries and keys at `all` only.
        corrected: whether queries and keys go through the softmax again (attention only).
        nodes: points on the path of the integral.
        quadrature: Gauss-Legendre or midpoints.
        groups: how many groups a layer's neurons are split into (units only).
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used, the replies hold no refusal, or positions do not fit.
        SiteError: the relevance rules do not cover the family.
    """
    if places == "attention" and positions != ("all",):
        raise ContrastError("attribution: queries, keys and values are scored at @all only.")
    # the path of inputs needs prompts of one length, whatever position is asked about
    needed = (*positions, "all") if estimator == "integrated" else positions
    usable, dropped = usable_pairs(model, pairs, needed)
    sites = _sites(model.shape, places, positions, groups)
    question = _Question(
        openers_of(replies), estimator, direction == "noise", _parts(sites), len(sites),
        corrected and places == "attention", nodes, quadrature,
    )  # fmt: skip
    rows = rows_of(usable)
    size = min(batch, _fitting(model, max(len(each.ids) for pair in rows for each in pair)))
    found = in_batches(rows, size, partial(_effects, model, question))
    values = np.stack([row for row, _ in found], axis=1)
    about = {
        "estimator": _described(estimator, nodes, quadrature),
        "direction": direction,
        "pairs dropped (not aligned)": str(dropped),
        "split": pairs.split,
        "metric": "opening score (nat), to first order",
    }
    ids = tuple(row.id for row in usable.harmful)
    gap = np.array([each for _, each in found])
    return Scores(sites, ids, usable.topics, values, gap, "nat of opening score", about)


def attribution_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Both sides forward; forward and back once for every gradient."""
    each = {"integrated": options["nodes"], "dropped": shape.layers + 1}
    count = each.get(options["estimator"], 1)
    return Cost(prompts=examples + count * examples // 2, backward=count * examples // 2)


def _fitting(model: Model, tokens: int) -> int:
    """How many prompts at once, by what every layer keeps of a token until it goes backward."""
    shape = model.shape
    kept = shape.layers * (12 * shape.width + 5 * shape.neurons) + 3 * shape.vocab
    item = next(model.network.parameters()).element_size()
    return max(1, room(model.device) // (tokens * kept * item))


def _described(estimator: str, nodes: int, quadrature: str) -> str:
    return f"integrated, {nodes} {quadrature} nodes" if estimator == "integrated" else estimator


def _sites(shape: Shape, places: str, positions: Sequence[str], groups: int) -> tuple[Site, ...]:
    if places == "layers":
        return layer_sites(shape, positions)
    if places == "attention":
        return tuple(
            unit(kind, layer, index)
            for layer in range(shape.layers)
            for kind in _FLOWS
            for index in range(shape.units(kind))
        )
    count = shape.neurons if places == "neurons" else groups
    return tuple(site.at(position) for position in positions for site in unit_sites(shape, count))


def _parts(
    sites: Sequence[Site],
) -> dict[Site, list[tuple[int, tuple[int, int] | None]]]:
    """The sites by the whole place that holds them."""
    found: dict[Site, list[tuple[int, tuple[int, int] | None]]] = {}
    for row, site in enumerate(sites):
        whole = Site(site.kind, site.layer, None, site.position)
        found.setdefault(whole, []).append((row, site.index))
    return found


def _effects(
    model: Model, question: _Question, part: PairRows
) -> list[tuple[Float[np.ndarray, " site"], float]]:
    """Effects of all sites and the gap, by pair."""
    harmful, harmless = (collate(model, [pair[side] for pair in part]) for side in (0, 1))
    base, other = (harmful, harmless) if question.noise else (harmless, harmful)
    score = partial(opening_score, openers=question.openers)
    there, here = (record(model, side, question.places) for side in (other, base))
    moves = _moves(model, question, base, here, there)

    def to_first_order(way: Callable[[], AbstractContextManager[None]]) -> Tensor:
        with way():
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
    gap = towards * (score(there.logits) - score(here.logits))
    rows = (towards * effects).numpy(force=True).astype(np.float64)
    return list(zip(rows, gap.tolist(), strict=True))


def _moves(
    model: Model, question: _Question, base: Batch, here: Record, there: Record
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
def _attention_calls(model: Model, batch: Batch) -> dict[int, Attention]:
    """What every layer's attention was called with in a pass over a batch."""
    calls: dict[int, Attention] = {}
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
    calls: dict[int, Attention], layer: int, _: nn.Module, args: tuple, kwargs: dict[str, Any]
) -> None:
    calls[layer] = (args, kwargs)


def _attention(model: Model, layer: int) -> nn.Module:
    return model.layers[layer].get_submodule(model.architecture.attention)


@torch.no_grad()
def _mixed(model: Model, whole: Site, values: Tensor, call: Attention) -> Tensor:
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
    question: _Question,
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
