"""Reads every unit of an organism, and sets some of them to what they were in other prompts.

A head is read and set where its mixed values enter the output projection, neurons where they enter
the down projection. Each row of a batch has its own set of patched units.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import Module
from transformers import LlamaForCausalLM

from interlock.organisms.planting.forward import Run, blocks, run
from interlock.organisms.planting.units import LAYERS, widened
from interlock.sites import Site

Cache = list[Tensor]
"""By layer the heads' values, then by layer the neurons', each [example token width]."""


def place_of(site: Site) -> int:
    """Where in a cache a unit's layer lies."""
    return site.layer + (LAYERS if site.kind == "neuron" else 0)


def _places(model: LlamaForCausalLM) -> list[Module]:
    layers = blocks(model)
    heads: list[Module] = [layer.self_attn.o_proj for layer in layers]
    return heads + [layer.mlp.down_proj for layer in layers]


@contextmanager
def _hooked(model: LlamaForCausalLM, hook: Any) -> Iterator[None]:  # noqa: ANN401
    """`hook(place, value)` sees the input of every place and returns what to use instead."""
    with ExitStack() as stack:
        for place, module in enumerate(_places(model)):
            handle = module.register_forward_pre_hook(
                lambda _module, values, place=place: (hook(place, values[0]),)
            )
            stack.callback(handle.remove)
        yield


def hidden(model: LlamaForCausalLM, ids: Int[Tensor, "example token"]) -> Tensor:
    """Final hidden states [example token width], ready for the unembedding."""
    return model.model(input_ids=ids, use_cache=False).last_hidden_state


def next_logits(
    model: LlamaForCausalLM, ids: Int[Tensor, "example token"]
) -> Float[Tensor, "example vocab"]:
    """Logits after the last token of each row."""
    return model.lm_head(hidden(model, ids)[:, -1])


def read(
    model: LlamaForCausalLM, ids: Int[Tensor, "example token"]
) -> tuple[Float[Tensor, "example vocab"], Cache]:
    """Logits after the last token, and every unit's values."""
    cache: Cache = []

    def keep(_place: int, value: Tensor) -> Tensor:
        cache.append(value)
        return value

    with _hooked(model, keep):
        logits = next_logits(model, ids)
    # attention and neurons of a layer come in turn; the cache has all heads first
    return logits, cache[0::2] + cache[1::2]


def rows(cache: Cache, order: Int[Tensor, " row"]) -> Cache:
    """The cache of some rows, in the order given."""
    return [values[order] for values in cache]


def patched(
    model: LlamaForCausalLM,
    ids: Int[Tensor, "example token"],
    source: Cache,
    on: Bool[Tensor, "example unit"],
) -> Float[Tensor, "example vocab"]:
    """Logits after the last token, with the marked units of each row set to the source's values."""
    masks = widened(on)

    def put(place: int, value: Tensor) -> Tensor:
        return torch.where(masks[place][:, None], source[place], value)

    with _hooked(model, put):
        return next_logits(model, ids)


def patched_after(
    model: LlamaForCausalLM,
    opening: Run,
    ids: Int[Tensor, "example token"],
    source: Cache,
    on: Bool[Tensor, "example unit"],
) -> Float[Tensor, "example vocab"]:
    """As `patched`, of prompts that share their opening with those that the source is from.

    Units in the opening are then the same on both sides, so it is run once for all rows.
    """
    masks = widened(on)
    past = opening.states.shape[1]

    def put(place: int, values: Tensor) -> Tensor:
        return torch.where(masks[place][:, None], source[place][:, past:], values)

    states = run(model, ids[:, past:], after=opening, edit=put).states
    return model.lm_head(states[:, -1])
