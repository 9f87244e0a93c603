"""The sweep of every layer x 3 at the last position as TransformerLens and nnsight do it.

One patched pass for each site, with the values of the other prompt read before: their documented
way. Neither is among the project's dependencies; where one can be imported (such as with
`pip install --target FOLDER --no-deps transformer-lens nnsight` and what they need, and FOLDER in
PYTHONPATH), it is timed in the process of `benchmarks/sweep.py`, on the same weights and prompts.
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from interlock import organisms
from interlock.model import Model

PEERS = ("transformer_lens", "nnsight")
Answer = Callable[[Tensor], Tensor]
Sweep = Callable[[], Tensor]


def there() -> list[str]:
    """The peers that can be imported here."""
    return [name for name in PEERS if importlib.util.find_spec(name) is not None]


def prepared(name: str, model: Model, ids: Tensor, other: Tensor, answer: Answer) -> Sweep:
    """A peer's sweep, with the other prompt's values read already.

    Args:
        name: one of `PEERS`.
        model: a Llama.
        ids: of the prompt that is patched [1 token].
        other: of the prompt that values come from [1 token].
        answer: from logits [1 vocab] to what is reported.
    """
    make = {"transformer_lens": transformer_lens, "nnsight": nnsight}[name]
    return make(model, ids, other, answer)


def transformer_lens(model: Model, ids: Tensor, other: Tensor, answer: Answer) -> Sweep:
    """`run_with_hooks`, a hook for each site."""
    from transformer_lens.model_bridge import (  # pyright: ignore[reportMissingImports]
        TransformerBridge,
    )
    from transformers import AutoTokenizer

    bridge = TransformerBridge.boot_transformers(
        model.name,
        hf_model=model.network,
        device="cpu",
        tokenizer=AutoTokenizer.from_pretrained(organisms.folder("base")),
    )
    _, source = bridge.run_with_cache(other)
    names = [
        f"blocks.{layer}.{hook}"
        for layer in range(model.shape.layers)
        for hook in ("hook_resid_post", "hook_attn_out", "hook_mlp_out")
    ]

    def put(old: Tensor, hook: object, value: Tensor) -> Tensor:
        changed = old.clone()
        changed[:, -1] = value[:, -1]
        return changed

    @torch.no_grad()
    def sweep() -> Tensor:
        found = []
        for name in names:
            hooks = [(name, partial(put, value=source[name]))]
            found.append(answer(bridge.run_with_hooks(ids, fwd_hooks=hooks)[:, -1]))
        return torch.cat(found)

    return sweep


def nnsight(model: Model, ids: Tensor, other: Tensor, answer: Answer) -> Sweep:
    """A trace for each site."""
    from nnsight import NNsight  # pyright: ignore[reportMissingImports]

    traced: Any = NNsight(model.network)
    layers = traced.model.layers
    saved: list[list[Tensor]] = []
    with torch.no_grad(), traced.trace(other, use_cache=False):
        for layer in range(model.shape.layers):
            attn = layers[layer].self_attn.output[0].save()
            mlp = layers[layer].mlp.output.save()
            post = layers[layer].output.save()
            saved.append([post, attn, mlp])

    def one(layer: int, kind: int) -> Tensor:
        value = saved[layer][kind]
        with traced.trace(ids, use_cache=False, logits_to_keep=1):
            if kind == 1:
                layers[layer].self_attn.output[0][:, -1] = value[:, -1]
            elif kind == 2:
                layers[layer].mlp.output[:, -1] = value[:, -1]
            else:
                layers[layer].output[:, -1] = value[:, -1]
            logits = traced.output.logits.save()
        return answer(logits[:, -1])

    @torch.no_grad()
    def sweep() -> Tensor:
        return torch.cat(
            [one(layer, kind) for layer in range(model.shape.layers) for kind in range(3)]
        )

    return sweep
