"""Batched replies, with or without edits, under a stated decoding policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interlock.activations import forward
from interlock.edits import Edit, edited
from interlock.encoding import Batch, pad_id
from interlock.model import Model

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen; the model's own generation config is not consulted for this.

    Attributes:
        tokens: at most so many new tokens.
        temperature: 0 is greedy; else tokens are drawn from the softmax of logits over it.
        seed: of the draws.
    """

    tokens: int = 64
    temperature: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        """The policy in words."""
        if self.temperature == 0:
            return f"greedy, at most {self.tokens} new tokens"
        return f"temperature {self.temperature:g}, seed {self.seed}, at most {self.tokens} tokens"


@dataclass(frozen=True, eq=False)
class Generated:
    """What a batch replied.

    Attributes:
        tokens: new token ids per row, without the stop token.
        first: the first token per row, a stop token or not.
        finishes: `stop` at a stop token, `length` when cut off.
        logits: at the first new token, [example vocab].
    """

    tokens: tuple[tuple[int, ...], ...]
    first: tuple[int, ...]
    finishes: tuple[Finish, ...]
    logits: Float[Tensor, "example vocab"]


@torch.no_grad()
def generate(
    model: Model, batch: Batch, *, edits: Sequence[Edit] = (), decoding: Decoding | None = None
) -> Generated:
    """Continue every row of a batch; edits act on the prompt, or throughout if they say so.

    Equals: Hugging Face `generate(do_sample=False)` when there are no edits and temperature is 0.
    """
    policy = decoding or Decoding()
    stops = torch.tensor(stop_ids(model), dtype=torch.long, device=model.device)
    with edited(model, edits, batch):
        return _decode(model, batch, policy, stops)


def stop_ids(model: Model) -> list[int]:
    """Token ids that end a reply: the tokenizer's and the generation config's."""
    found: set[int] = set()
    config = model.network.generation_config
    listed = None if config is None else config.eos_token_id
    if listed is not None:
        found.update([listed] if isinstance(listed, int) else listed)
    own = None if model.tokenizer is None else model.tokenizer.eos_token_id
    if isinstance(own, int):
        found.add(own)
    return sorted(found)


def _decode(model: Model, batch: Batch, policy: Decoding, stops: Int[Tensor, " stop"]) -> Generated:
    from transformers import DynamicCache

    cache = DynamicCache(config=model.network.config)
    generator = torch.Generator(device=model.device).manual_seed(policy.seed)
    mask, positions = batch.mask.long(), batch.position_ids
    ids, first, chosen = batch.ids, None, []
    done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    for _ in range(policy.tokens):
        logits = model.network(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        first = logits if first is None else first
        token = _choose(logits, policy, generator).masked_fill(done, pad_id(model))
        chosen.append(token)
        done = done | torch.isin(token, stops)
        if bool(done.all()):
            break
        ids, positions = token[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    logits = forward(model, batch)[:, -1] if first is None else first
    return _generated(chosen, set(stops.tolist()), logits, policy)


def _choose(logits: Tensor, policy: Decoding, generator: torch.Generator) -> Tensor:
    if policy.temperature == 0:
        return logits.argmax(dim=-1)
    odds = (logits.float() / policy.temperature).softmax(dim=-1)
    return torch.multinomial(odds, 1, generator=generator)[:, 0]


def _generated(
    chosen: Sequence[Tensor], stops: set[int], logits: Tensor, policy: Decoding
) -> Generated:
    rows = torch.stack(list(chosen), dim=1).tolist() if chosen else [[] for _ in logits]
    tokens: list[tuple[int, ...]] = []
    finishes: list[Finish] = []
    for row in rows:
        end = next((place for place, token in enumerate(row) if token in stops), None)
        tokens.append(tuple(row[: policy.tokens if end is None else end]))
        finishes.append("length" if end is None else "stop")
    first = tuple(row[0] if row else -1 for row in rows)
    return Generated(tuple(tokens), first, tuple(finishes), logits)
