"""Tokens of a request replaced where they enter the first layer, one at a time, two, or all.

1. Keep a run of the prompts (`interlock.replay`).
2. Run them once to a draw with every token of the request replaced by one drawn from the requests
   of other harmless prompts, and once with every token replaced by the mean embedding of those
   tokens. What then enters the first layer at a place is what the replacement alone would put
   there: nothing mixes tokens before.
3. Replay the kept run with one place at a time taking its replacement: an effect is by how much the
   opening score falls. A drawn effect is the mean over the draws.
4. The two places of the largest effects by the mean embedding take their replacements together.
5. Integrated gradients from the request of mean embeddings to the request itself: for every token
   the mean gradient on the line between, at Gauss-Legendre nodes, times the way it moves.

The template's tokens are never replaced: other prompts have the same ones there, so that their
replacement changes nothing.

Sources: one token at a time: Zeiler & Fergus (2014, arXiv:1311.2901), Li et al. (2016,
arXiv:1612.08220); 5: Sundararajan et al. (2017, arXiv:1703.01365, sections 3 and 5).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interlock.activations import record
from interlock.batching import in_batches
from interlock.edits import edited, put
from interlock.encoding import Batch, Encoded, collate
from interlock.errors import ContrastError
from interlock.estimators import backward_rows, path
from interlock.metrics import Openers, opening_score
from interlock.model import Model
from interlock.replay import Kept, keep, replay
from interlock.sites import Site
from interlock.stats import by_group

ENTERING = Site("resid_pre", 0)
_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Pool:
    """The tokens that replace: those of harmless requests, by prompt.

    Attributes:
        tokens: of each request, by its prompt's id.
        mean: mean embedding over all of them, as the token embedding gives it.
        draws: how many of them each token of a prompt is replaced by.
        seed: of the draws.
    """

    tokens: dict[str, tuple[int, ...]]
    mean: Float[Tensor, " width"]
    draws: int
    seed: int


@dataclass(frozen=True, eq=False)
class Replaced:
    """By how much a prompt's opening score falls when tokens of its request are replaced (nat).

    Attributes:
        places: of the request's tokens, from the prompt's first token.
        score: opening score as it is.
        mean: each token by the mean embedding.
        drawn: each token by tokens of other harmless requests, mean over the draws.
        estimate: each token, by integrated gradients from the mean embeddings.
        swap: each token by its neighbour's at the same place; nan where that has the same token.
        joint: the two of the largest effects together, by the mean; nan in a request of one token.
        joint_drawn: the same two, drawn.
        whole: all of them, by the mean.
        whole_drawn: all of them, drawn.
    """

    places: tuple[int, ...]
    score: float
    mean: Float[np.ndarray, " token"]
    drawn: Float[np.ndarray, " token"]
    estimate: Float[np.ndarray, " token"]
    swap: Float[np.ndarray, " token"]
    joint: float
    joint_drawn: float
    whole: float
    whole_drawn: float

    @property
    def residual(self) -> float:
        """By how much the estimates miss adding up to `whole` (nat)."""
        return float(self.estimate.sum()) - self.whole


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked of every batch: the drawn ids [draw token] and the neighbour, by prompt."""

    openers: Openers
    mean: Float[Tensor, " width"]
    drawn: dict[Encoded, Int[np.ndarray, "draw token"]]
    beside: dict[Encoded, Encoded]
    nodes: int


def request(row: Encoded) -> tuple[int, ...]:
    """Places of the tokens between the template's opening and its end."""
    return tuple(range(row.head, len(row.ids) - row.tail))


@torch.no_grad()
def pool(model: Model, rows: Sequence[Encoded], *, draws: int, seed: int) -> Pool:
    """The tokens of harmless requests, to replace others by; arguments as the attributes.

    Raises:
        ContrastError: there are none.
    """
    tokens = {row.id: tuple(row.ids[place] for place in request(row)) for row in rows}
    ids = [each for one in tokens.values() for each in one]
    if not ids:
        raise ContrastError("No harmless request has a token that could replace another.")
    embedding = _embedding(model)
    entries, counts = np.unique(ids, return_counts=True)
    values = embedding(torch.tensor(entries.tolist(), device=model.device)).float()
    weights = torch.tensor(counts / counts.sum(), dtype=torch.float32, device=values.device)
    return Pool(tokens, weights @ values, draws, seed)


def replaced(
    model: Model,
    rows: Sequence[Encoded],
    source: Pool,
    openers: Openers,
    *,
    beside: Sequence[Encoded] = (),
    nodes: int,
    batch: int,
) -> list[Replaced]:
    """Effects of every token of every request, a prompt each, whatever the batches.

    Args:
        model: the model studied.
        rows: prompts of different content; those without a token of their own get no effects.
        source: what the tokens are replaced by.
        openers: the tokens the score compares.
        beside: a neighbour to each prompt, whose tokens it takes for `swap`; none where the two
            are not equally long.
        nodes: points on the line of the integrated gradients.
        batch: prompts at once, at most.

    Raises:
        ContrastError: no other harmless request has a token for some prompt.
    """
    generator = np.random.default_rng(source.seed)
    asked = _Question(
        openers,
        source.mean,
        {row: _drawn(source, row, generator) for row in rows},
        dict(zip(rows, beside, strict=True)) if beside else {},
        nodes,
    )
    found: dict[Encoded, Replaced] = {}
    # equally long prompts need no padding and have their request at the same places
    for members in by_group([_layout(row) for row in rows]).values():
        alike = [rows[place] for place in members.tolist()]
        measured = in_batches(alike, batch, partial(_of_batch, model, asked))
        found |= dict(zip(alike, measured, strict=True))
    return [found[row] for row in rows]


def _layout(row: Encoded) -> str:
    return f"{len(row.ids)} {row.head} {row.tail}"


def _drawn(
    source: Pool, row: Encoded, generator: np.random.Generator
) -> Int[np.ndarray, "draw token"]:
    own = source.tokens.get(row.id, ())
    others = [token for name, one in source.tokens.items() if name != row.id for token in one]
    if not others:
        raise ContrastError(
            f"Prompt {row.id} is the only one with a harmless request ({len(own)} tokens): no "
            "other prompt has tokens to replace its own by."
        )
    return generator.choice(others, size=(source.draws, len(request(row))))


def _of_batch(model: Model, asked: _Question, rows: Sequence[Encoded]) -> list[Replaced]:
    places = request(rows[0])
    batch = collate(model, rows)
    kept = keep(model, batch, (ENTERING,), since=rows[0].head)
    base = opening_score(kept.record.logits, asked.openers)
    if not places:
        none = np.zeros(0)
        ends = (none, none, none, none, _NAN, _NAN, 0.0, 0.0)
        return [Replaced((), value, *ends) for value in base.tolist()]
    drawn, drawn_score = _all_drawn(model, asked, rows)
    averaged, averaged_score = _all_mean(model, asked, batch)
    values = [averaged, *drawn]
    singles = [
        [put(ENTERING.at(str(place)), value[:, place : place + 1])]
        for value in values
        for place in places
    ]
    falls = _falls(kept, asked, singles).unflatten(0, (len(values), len(places)))
    estimate = _integrated(model, asked, batch, kept, averaged)[:, list(places)].T
    tokens = (falls[0], falls[1:].mean(dim=0), estimate, _swaps(model, kept, asked, rows))
    joint = _joint(kept, asked, places, falls[0], values)
    prompts = (joint[0], joint[1:].mean(dim=0), base - averaged_score, base - drawn_score.mean(0))
    by_token = zip(*(each.T.cpu().double().numpy() for each in tokens), strict=True)
    by_prompt = zip(*(each.tolist() for each in prompts), strict=True)
    return [
        Replaced(places, score, *columns, *numbers)
        for score, columns, numbers in zip(base.tolist(), by_token, by_prompt, strict=True)
    ]


def _falls(
    kept: Kept, asked: _Question, variants: Sequence, shared: Sequence[int] | None = None
) -> Float[Tensor, "variant example"]:
    """By how much the score falls under each set of edits."""
    found = replay(
        kept, variants, lambda logits, _: opening_score(logits, asked.openers), shared=shared
    )
    return (found.base - found.values).cpu()


@torch.no_grad()
def _all_drawn(
    model: Model, asked: _Question, rows: Sequence[Encoded]
) -> tuple[list[Float[Tensor, "example token width"]], Float[Tensor, "draw example"]]:
    """What enters the first layer, and the score, with each draw in the whole request's place."""
    values, scores = [], []
    for draw in zip(*(asked.drawn[row] for row in rows), strict=True):
        batch = collate(
            model, [_with_tokens(row, ids.tolist()) for row, ids in zip(rows, draw, strict=True)]
        )
        found = record(model, batch, (ENTERING,))
        values.append(found.values[ENTERING])
        scores.append(opening_score(found.logits, asked.openers))
    return values, torch.stack(scores)


def _with_tokens(row: Encoded, ids: Sequence[int]) -> Encoded:
    past = len(row.ids) - row.tail
    return replace(row, ids=(*row.ids[: row.head], *ids, *row.ids[past:]))


@torch.no_grad()
def _all_mean(
    model: Model, asked: _Question, batch: Batch
) -> tuple[Float[Tensor, "example token width"], Float[Tensor, " example"]]:
    """The same with the mean embedding in every place of the request."""
    first = request(batch.rows[0])
    with _embedded(model, slice(first[0], first[-1] + 1), asked.mean):
        found = record(model, batch, (ENTERING,))
    return found.values[ENTERING], opening_score(found.logits, asked.openers)


@contextmanager
def _embedded(model: Model, columns: slice, value: Float[Tensor, " width"]) -> Iterator[None]:
    """Let the token embedding give the same vector at some columns."""

    def hook(_: nn.Module, __: tuple, output: Tensor) -> Tensor:
        new = output.clone()
        new[:, columns] = value.to(new.device, new.dtype)
        return new

    handle = _embedding(model).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _embedding(model: Model) -> nn.Module:
    return model.network.get_submodule(model.architecture.embedding)


@torch.no_grad()
def _swaps(
    model: Model, kept: Kept, asked: _Question, rows: Sequence[Encoded]
) -> Float[Tensor, "position example"]:
    """Falls with each token set to the neighbour's; nan where that has the same one, or is none."""
    places = request(rows[0])
    neighbours = [asked.beside.get(row, row) for row in rows]
    neighbours = [
        other if len(other.ids) == len(row.ids) else row
        for row, other in zip(rows, neighbours, strict=True)
    ]
    unlike = torch.tensor(
        [
            [
                row.ids[place] != other.ids[place]
                for row, other in zip(rows, neighbours, strict=True)
            ]
            for place in places
        ]
    )
    falls = torch.full(unlike.shape, _NAN)
    some = unlike.any(dim=1).nonzero().flatten().tolist()
    if not some:
        return falls
    value = record(model, collate(model, neighbours), (ENTERING,)).values[ENTERING]
    variants = [
        [put(ENTERING.at(str(place)), value[:, place : place + 1])]
        for place in (places[number] for number in some)
    ]
    falls[some] = _falls(kept, asked, variants)
    return torch.where(unlike, falls, _NAN)


def _joint(
    kept: Kept,
    asked: _Question,
    places: Sequence[int],
    single: Float[Tensor, "position example"],
    values: Sequence[Float[Tensor, "example token width"]],
) -> Float[Tensor, "value example"]:
    """The fall with the two places of the largest effects taking each of the values together."""
    if len(places) < 2:
        return torch.full((len(values), single.shape[1]), _NAN)
    own = kept.record.values[ENTERING]
    pair = single.argsort(dim=0, descending=True, stable=True)[:2] + places[0]
    chosen = torch.zeros(own.shape[:2], dtype=torch.bool).scatter(1, pair.T, True)
    where = chosen[..., None].to(own.device)
    variants = [[put(ENTERING, torch.where(where, value, own))] for value in values]
    return _falls(kept, asked, variants, pair.min(dim=0).values.tolist())


def _integrated(
    model: Model,
    asked: _Question,
    batch: Batch,
    kept: Kept,
    start: Float[Tensor, "example token width"],
) -> Float[Tensor, "example token"]:
    """Integrated gradients of the score, from other values entering the first layer to its own."""
    ways = kept.record.values[ENTERING] - start
    found = []
    for part in torch.arange(len(batch.rows)).split(backward_rows(model, batch.ids.shape[1])):
        rows = collate(model, [batch.rows[number] for number in part.tolist()])
        total = torch.zeros(ways[part].shape[:2])
        for point, weight in zip(*path(asked.nodes, "gauss"), strict=True):
            here = put(ENTERING, start[part] + point * ways[part])
            with edited(model, [here], rows):
                slope = record(
                    model, rows, (ENTERING,), metric=partial(opening_score, openers=asked.openers)
                ).gradients[ENTERING]
            total += weight * (ways[part].float() * slope.float()).sum(dim=-1).cpu()
        found.append(total)
    return torch.cat(found)
