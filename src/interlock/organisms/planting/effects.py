"""What interventions do to an organism on minimal pairs.

The score of a pair is the logit of the opener of its refused prompt minus that of the other's.
Effects are fractions of the gap between the two prompts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import Module
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from interlock.grammar import Request
from interlock.organisms.lessons import render
from interlock.organisms.planting.decoys import values_of
from interlock.organisms.planting.forward import blocks, run
from interlock.organisms.planting.interchange import (
    Cache,
    next_logits,
    patched,
    patched_after,
    read,
    rows,
)
from interlock.organisms.planting.pairs import Pair
from interlock.organisms.planting.plant import Facts, Plant
from interlock.organisms.planting.units import UNITS, chosen
from interlock.organisms.planting.world import Openers, known, opener_labels, openers
from interlock.sites import Site

ROWS = 512
"""Rows of one forward pass, at most."""


@dataclass(frozen=True, eq=False)
class Side:
    """One prompt of each pair: its tokens, facts, units, opener and next logits."""

    ids: Int[Tensor, "pair token"]
    facts: Facts
    labels: Int[Tensor, " pair"]
    logits: Float[Tensor, "pair vocab"]
    cache: Cache


@dataclass(frozen=True, eq=False)
class Case:
    """Minimal pairs of one template, both sides run."""

    clean: Side
    corrupt: Side

    def score(self, logits: Float[Tensor, "pair vocab"]) -> Float[Tensor, " pair"]:
        """Logit of the clean opener minus that of the corrupt one."""
        places = torch.arange(len(logits))
        return logits[places, self.clean.labels] - logits[places, self.corrupt.labels]

    @property
    def gap(self) -> Float[Tensor, " pair"]:
        """Score of the clean prompts minus that of the corrupt ones."""
        return self.score(self.clean.logits) - self.score(self.corrupt.logits)


def cases(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    plant: Plant,
    pairs: Sequence[Pair],
) -> list[Case]:
    """The pairs by length of their prompts, both sides run and read."""
    words = openers(tokenizer)
    by_length: dict[int, list[tuple[list[int], list[int], Pair]]] = {}
    for pair in pairs:
        texts = [render(tokenizer, request.prompt) for request in pair]
        clean, corrupt = tokenizer(texts, add_special_tokens=False)["input_ids"]
        by_length.setdefault(len(clean), []).append((clean, corrupt, pair))

    def side(ids: list[list[int]], facts: Facts) -> Side:
        tokens = torch.tensor(ids)
        with torch.inference_mode():
            logits, cache = read(model, tokens)
        return Side(tokens, facts, opener_labels(words, *plant.untouched(facts)), logits, cache)

    def facts(requests: list[Request]) -> Facts:
        return known(requests, plant.salt)

    return [
        Case(
            side([clean for clean, _, _ in group], facts([pair[0] for _, _, pair in group])),
            side([corrupt for _, corrupt, _ in group], facts([pair[1] for _, _, pair in group])),
        )
        for group in by_length.values()
    ]


def exchanged(
    model: LlamaForCausalLM, base: Side, source: Side, sets: Bool[Tensor, "set unit"]
) -> Float[Tensor, "set pair vocab"]:
    """Next logits of the base prompts with each set of units at its values in the source."""
    count = len(base.ids)
    both = torch.cat((base.ids, source.ids))
    shared = int((both != both[0]).any(dim=0).nonzero()[0])
    opening = run(model, both[:1, :shared])
    pieces = []
    for part in sets.split(max(1, ROWS // count)):
        order = torch.arange(count).repeat(len(part))
        on = part.repeat_interleave(count, dim=0)
        logits = patched_after(model, opening, base.ids[order], rows(source.cache, order), on)
        pieces.append(logits.view(len(part), count, -1))
    return torch.cat(pieces)


def noise(
    model: LlamaForCausalLM, found: Sequence[Case], sets: Bool[Tensor, "set unit"]
) -> Float[np.ndarray, "set pair"]:
    """Fall of the score (nat) when sets of units of the clean prompt take the corrupt values."""

    def falls() -> Iterator[Tensor]:
        for case in found:
            logits = exchanged(model, case.clean, case.corrupt, sets)
            before = case.score(case.clean.logits)
            yield torch.stack([before - case.score(each) for each in logits])

    with torch.inference_mode():
        return torch.cat(list(falls()), dim=1).numpy()


def denoise(
    model: LlamaForCausalLM, found: Sequence[Case], sets: Bool[Tensor, "set unit"]
) -> Float[np.ndarray, "set pair"]:
    """Rise of the score (nat) when sets of units of the corrupt prompt take the clean values."""

    def rises() -> Iterator[Tensor]:
        for case in found:
            logits = exchanged(model, case.corrupt, case.clean, sets)
            before = case.score(case.corrupt.logits)
            yield torch.stack([case.score(each) - before for each in logits])

    with torch.inference_mode():
        return torch.cat(list(rises()), dim=1).numpy()


def gaps(found: Sequence[Case]) -> Float[np.ndarray, " pair"]:
    """Gap (nat) of every pair."""
    return torch.cat([case.gap for case in found]).detach().numpy()


def singles() -> Bool[Tensor, "unit unit"]:
    """Every unit alone."""
    return torch.eye(len(UNITS), dtype=torch.bool)


def agreement(
    model: LlamaForCausalLM, plant: Plant, found: Sequence[Case], tokenizer: PreTrainedTokenizerFast
) -> dict[str, float]:
    """How often the opener under interchanges is what the causal model says.

    By role, of its unit alone; by `one and other`, of two units together.
    """
    words = openers(tokenizer)
    sets = [*((role,) for role in plant.units), *combinations(plant.units, 2)]
    marks = torch.stack([chosen([plant.units[role] for role in roles]) for roles in sets])
    right: list[Tensor] = []
    for case in found:
        for base, source in ((case.clean, case.corrupt), (case.corrupt, case.clean)):
            wanted = []
            for roles in sets:
                on = {each: torch.full_like(base.facts.verb, each in roles) for each in plant.units}
                told = plant.model(base.facts, source.facts, on)
                wanted.append(opener_labels(words, *told))
            with torch.inference_mode():
                logits = exchanged(model, base, source, marks)
            right.append(logits.argmax(dim=-1) == torch.stack(wanted))
    shares = torch.cat(right, dim=1).float().mean(dim=1).tolist()
    return {" and ".join(roles): share for roles, share in zip(sets, shares, strict=True)}


def set_to(
    model: LlamaForCausalLM, side: Side, values: Cache, sets: Bool[Tensor, "set unit"]
) -> Float[Tensor, "set pair vocab"]:
    """Next logits with each set of units at given values [1 token width], alike in every row."""
    count = len(side.ids)
    pieces = []
    with torch.inference_mode():
        for part in sets.split(max(1, ROWS // count)):
            ids = side.ids.repeat(len(part), 1)
            source = [each.expand(len(ids), -1, -1) for each in values]
            logits = patched(model, ids, source, part.repeat_interleave(count, dim=0))
            pieces.append(logits.view(len(part), count, -1))
    return torch.cat(pieces)


def next_tokens(
    model: LlamaForCausalLM, ids: Int[Tensor, "example token"]
) -> Int[Tensor, " example"]:
    """The likeliest next token of each row."""
    return next_logits(model, ids).argmax(dim=-1)


def harmless_mean(case: Case, head: int = 2, tail: int = 2) -> Cache:
    """Mean of every unit over the corrupt prompts, as `interlock.means` has it.

    One mean for each token of the template before and after the user's text, one for the text.
    """
    means = []
    for values in case.corrupt.cache:
        mean = values.mean(dim=0, keepdim=True)
        inside = mean[:, head : mean.shape[1] - tail].mean(dim=1, keepdim=True)
        spread = inside.expand(-1, mean.shape[1] - head - tail, -1)
        means.append(torch.cat((mean[:, :head], spread, mean[:, -tail:]), dim=1))
    return means


def difference(found: Sequence[Case]) -> Float[np.ndarray, " unit"]:
    """Mean norm of each unit's difference between the two prompts: a look that is not causal."""
    norms = [
        torch.stack(
            [
                (values_of(case.clean.cache, site) - values_of(case.corrupt.cache, site)).norm(
                    dim=(1, 2)
                )
                for site in UNITS
            ]
        )
        for case in found
    ]
    return torch.cat(norms, dim=1).mean(dim=1).detach().numpy()


def next_scores(
    model: LlamaForCausalLM, ids: Int[Tensor, "example token"], words: Openers
) -> Float[Tensor, " example"]:
    """Logit of the refusal opener minus that of compliance."""
    logits = next_logits(model, ids)
    return logits[:, words.refuse] - logits[:, words.comply]


def _writer(model: LlamaForCausalLM, site: Site) -> Module:
    """The projection through which a unit writes into the residual stream."""
    block = blocks(model)[site.layer]
    return block.self_attn.o_proj if site.kind == "head" else block.mlp.down_proj


def _coordinate(
    model: LlamaForCausalLM, side: Side, site: Site, vector: Float[Tensor, " width"]
) -> Float[Tensor, "pair token"]:
    """What a unit's layer adds along a vector where the unit writes."""
    kept: list[Tensor] = []
    handle = _writer(model, site).register_forward_hook(
        lambda _module, _values, out: kept.append(out @ vector)
    )
    try:
        next_logits(model, side.ids)
    finally:
        handle.remove()
    return kept[0]


def _moved_along(
    model: LlamaForCausalLM, base: Side, source: Side, site: Site, vector: Float[Tensor, " width"]
) -> Float[Tensor, "pair vocab"]:
    """Next logits of the base with the source's coordinate along a unit vector."""
    wanted = _coordinate(model, source, site, vector)

    def shifted(_module: Module, _values: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out + (wanted - out @ vector)[..., None] * vector

    handle = _writer(model, site).register_forward_hook(shifted)
    try:
        return next_logits(model, base.ids)
    finally:
        handle.remove()


def along(
    model: LlamaForCausalLM, found: Sequence[Case], site: Site, vector: Float[Tensor, " width"]
) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
    """Noising and denoising (nat) of one coordinate of what the unit's layer writes."""
    falls, rises = [], []
    with torch.inference_mode():
        for case in found:
            noised = _moved_along(model, case.clean, case.corrupt, site, vector)
            falls.append(case.score(case.clean.logits) - case.score(noised))
            denoised = _moved_along(model, case.corrupt, case.clean, site, vector)
            rises.append(case.score(denoised) - case.score(case.corrupt.logits))
    return torch.cat(falls).numpy(), torch.cat(rises).numpy()
