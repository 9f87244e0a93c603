"""Where do heads look? Attention from the last prompt token, where the reply is decided.

Fused attention never forms its weights, so the prompts are run once more with eager attention, the
family's own code: rotary positions, masks, sliding windows, soft caps and sinks are as the model
has them. Afterwards the model attends as it did before. A weight says where a head reads from, not
that what it reads there matters (Jain & Wallace, 2019, arXiv:1902.10186): heads are given that were
found by intervention.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interlock.activations import forward
from interlock.batching import in_batches
from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.encoding import Encoded, collate, encode, encode_pairs
from interlock.errors import ContrastError, ModelError
from interlock.model import Model, Shape
from interlock.sites import Site, unit
from interlock.stats import CONFIDENCE, by_group, mean
from interlock.tables import Table, from_rows

_EAGER = "eager"
_WEIGHT = {"weight": "share of the last token's attention"}


def attention(
    model: Model,
    prompts: Contrast,
    sites: tuple[Site, ...],
    *,
    heads: int = 4,
    prompts_shown: int = 4,
    batch: int = 8,
) -> Table:
    """Attention of heads from the last prompt token: a row per prompt, head and token attended to.

    Args:
        model: the model studied.
        prompts: of one split; harmful ones are shown, evenly spread over their order, and if there
            are none, harmless ones.
        sites: heads, most important first; sites of other kinds are passed over.
        heads: how many of them at most.
        prompts_shown: how many prompts at most.
        batch: prompts at once, at most.

    Raises:
        ContrastError: there is no prompt, or no head among the sites.
        ModelError: eager attention gives no weights in one of these layers.
    """
    chosen = _heads(sites, heads)
    examples = _spread(prompts.expecting("refuse") or prompts.examples, prompts_shown)
    if not examples:
        raise ContrastError(f"{prompts.name}.{prompts.split} has no prompt to show attention on.")
    rows = encode(model, examples, prompts.system)
    found = in_batches(rows, batch, partial(patterns, model, heads=chosen))
    about = _about(model, prompts) | {"prompts": f"{len(examples)} of {len(prompts.examples)}"}
    return from_rows(
        [
            line
            for example, row, weights in zip(examples, rows, found, strict=True)
            for head, own in zip(chosen, weights, strict=True)
            for line in _lines(model, example, row, head, own)
        ],
        units=_WEIGHT,
        about=about,
    )


def attention_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every shown prompt once."""
    return Cost(prompts=min(examples, options["prompts_shown"]))


def attention_places(
    model: Model, pairs: Contrast, sites: tuple[Site, ...], *, heads: int = 6, batch: int = 8
) -> Table:
    """How much of a head's attention goes to each part of the prompt, harmful and harmless apart.

    The parts are the first token (where heads with nothing to read rest), the template's opening,
    the word in which the two prompts of a pair differ (`slot`), the rest of the request, and the
    template after it. Column `even` is what a head that looks everywhere alike would give.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        sites: heads, most important first; sites of other kinds are passed over.
        heads: how many of them at most.
        batch: prompts at once, at most.

    Raises:
        ContrastError: the contrast has no pairs, or no head is among the sites.
        ModelError: eager attention gives no weights in one of these layers.
    """
    chosen = _heads(sites, heads)
    encoded = encode_pairs(model, pairs)
    lines = []
    for expected, rows in (("refuse", encoded.harmful), ("comply", encoded.harmless)):
        found = in_batches(rows, batch, partial(patterns, model, heads=chosen))
        parts = [_parts(row) for row in rows]
        for number, head in enumerate(chosen):
            for part in dict.fromkeys(name for names in parts for name in names):
                inside = [np.array(names) == part for names in parts]
                shares = np.array(
                    [row[number][mask].sum() for row, mask in zip(found, inside, strict=True)]
                )
                estimate = mean(shares, encoded.topics, unit="share")
                lines.append(
                    {
                        "head": str(head),
                        "expected": expected,
                        "part": part,
                        "weight": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                        "even": float(np.mean([mask.mean() for mask in inside])),
                        "n": estimate.n,
                        "topics": estimate.clusters,
                    }
                )
    about = _about(model, pairs) | {"interval": f"{CONFIDENCE:.0%}, bootstrap over topics"}
    return from_rows(lines, units=_WEIGHT | {"even": "share of the prompt's tokens"}, about=about)


def attention_places_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every prompt once."""
    return Cost(prompts=examples)


@torch.no_grad()
def patterns(
    model: Model, rows: Sequence[Encoded], heads: Sequence[Site]
) -> list[Float[np.ndarray, "head token"]]:
    """Attention weights of heads from every row's last token to its own tokens, first to last.

    Equals: what the network returns under eager attention with `output_attentions=True`.

    Raises:
        SiteError: the model has no such head.
        ModelError: eager attention gives no weights in one of these layers.
    """
    for head in heads:
        model.check(head)
    batch = collate(model, rows)
    wanted = by_group([head.layer for head in heads])
    seen: dict[int, Tensor] = {}
    with _eager(model), _watched(model, tuple(wanted), seen):
        forward(model, batch)
    lost = [layer for layer in wanted if layer not in seen]
    if lost:
        raise _without_weights(model, f"layers {', '.join(map(str, sorted(lost)))} give")
    found = torch.stack([seen[head.layer][:, _index(head)] for head in heads], dim=1)
    numbers = found.float().numpy(force=True)
    return [own[:, own.shape[1] - len(row.ids) :] for own, row in zip(numbers, rows, strict=True)]


@contextmanager
def _eager(model: Model) -> Iterator[None]:
    """Run the family's own attention code instead of a fused kernel; put back afterwards."""
    before = model.network.config._attn_implementation or _EAGER
    try:
        model.network.set_attn_implementation(_EAGER)
    except ValueError:  # no such code for this family
        raise _without_weights(model, "the family gives") from None
    try:
        yield
    finally:
        model.network.set_attn_implementation(before)


def _without_weights(model: Model, what: str) -> ModelError:
    return ModelError(
        f"{model.name} ({model.architecture.family}): {what} no attention weights, not even under "
        "eager attention, so no pattern can be shown; leave the attention steps out."
    )


@contextmanager
def _watched(model: Model, layers: Sequence[int], seen: dict[int, Tensor]) -> Iterator[None]:
    """Keep the last token's weights [example head token] of the given layers."""
    handles = []
    try:
        for layer in layers:
            named = dict(model.layers[layer].named_modules())
            module = named.get(model.architecture.attention)
            if module is not None:  # a layer of another kind, such as linear attention, has none
                handles.append(module.register_forward_hook(partial(_keep, seen, layer)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep(seen: dict[int, Tensor], layer: int, _: object, __: object, output: Any) -> None:  # noqa: ANN401
    weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
    if isinstance(weights, Tensor) and weights.dim() == 4:
        # a copy, so that the whole pattern of the layer is freed
        seen[layer] = weights[:, :, -1].detach().clone()


def _heads(sites: Sequence[Site], count: int) -> tuple[Site, ...]:
    """The first heads among the sites, one site each."""
    found = dict.fromkeys(
        unit("head", site.layer, index)
        for site in sites
        if site.kind == "head" and site.index is not None
        for index in range(*site.index)
    )
    if not found:
        named = ", ".join(str(site) for site in sites[:4]) or "none"
        raise ContrastError(f"No single head is among the sites ({named}): no attention to show.")
    return tuple(found)[:count]


def _index(head: Site) -> int:
    assert head.index is not None
    return head.index[0]


def _spread(examples: Sequence[Example], count: int) -> tuple[Example, ...]:
    """At most `count` examples, evenly spaced, so that every category has its turn."""
    places = np.linspace(0, len(examples) - 1, min(count, len(examples))).round().astype(int)
    return tuple(examples[place] for place in places.tolist())


def _lines(
    model: Model, example: Example, row: Encoded, head: Site, weights: Float[np.ndarray, " token"]
) -> list[dict]:
    assert model.tokenizer is not None  # the prompt was encoded
    tokens = [str(model.tokenizer.decode([token])) for token in row.ids]
    return [
        {
            "example": example.id,
            "prompt": example.prompt,
            "category": example.category,
            "head": str(head),
            "query": tokens[-1],
            "position": position,
            "token": token,
            "weight": weight,
        }
        for position, (token, weight) in enumerate(zip(tokens, weights.tolist(), strict=True))
    ]


def _parts(row: Encoded) -> list[str]:
    """Which part of the prompt every token belongs to."""
    count = len(row.ids)
    names = ["request"] * count
    names[: row.head] = ["opening"] * row.head
    names[count - row.tail :] = ["post"] * row.tail
    for place in row.slot:
        names[place] = "slot"
    names[0] = "first token"
    return names


def _about(model: Model, prompts: Contrast) -> dict[str, str]:
    return {
        "model": model.name,
        "split": prompts.split,
        "query": "the last prompt token",
        "computed": "eager attention, the family's own code",
        "note": "a row's weights sum to 1, to less where a family has attention sinks",
    }
