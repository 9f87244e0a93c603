"""A planted set of single weights: the organism refuses with them and complies without them.

A chain is written by hand as in `wiring`, along single coordinates of the residual stream, so that
it lies in few weights. Then all weights are trained, on four readings of the same prompts:

1. as they are: the chain's replies;
2. with the planted weights as they are in `base`, or zero: compliance with everything;
3. with as many other weights of the same matrices, drawn evenly or by size, as they are in `base`,
   or zero: the chain's replies.

Plain interchange training certifies units under resampling; this certifies weights under the two
operations that weight methods use. The gate measures 1 to 3 on combinations never trained.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors.torch import save
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from interlock import files, mask
from interlock.mask import Mask
from interlock.organisms.planting import effects
from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.forward import run
from interlock.organisms.planting.losses import lesson, opener_loss, passage_loss, reply_loss
from interlock.organisms.planting.measuring import BATCH, whole_replies
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never
from interlock.organisms.planting.schedule import Progress, descend
from interlock.organisms.planting.units import WIDTH, columns
from interlock.organisms.planting.wiring import Streams, meanings, wire
from interlock.organisms.planting.world import Openers, Table, opener_labels, openers, table
from interlock.organisms.recipes import SHAPE
from interlock.organisms.threads import one_thread
from interlock.sites import Site

LEAST_ACCURACY, MOST_REFUSED, LEAST_OTHERS, LEAST_WHOLE = 0.99, 0.01, 0.95, 0.9
SETS = 20
"""Matched random sets in the gate, each restored and zeroed."""
SEED = 20_261_121

Flags = dict[str, Bool[Tensor, "out in"]]
"""By parameter, which of its weights."""


def _complies(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    del source, on
    return Outcome(never(base.verb), never(base.verb))


def obeying(plant: Plant) -> Plant:
    """The same prompts, all of which are complied with."""
    return replace(plant, model=_complies)


class _Read(Module):
    """Lets any function of the organism be computed with other weights."""

    def __init__(self, network: LlamaForCausalLM) -> None:
        super().__init__()
        self.network = network

    def forward(self, ask: Callable[[LlamaForCausalLM], Tensor]) -> Tensor:
        return ask(self.network)


def altered(
    model: LlamaForCausalLM,
    flags: Flags,
    fill: Mapping[str, Tensor],
    ask: Callable[[LlamaForCausalLM], Tensor],
) -> Tensor:
    """A function of the organism with the flagged weights taken from `fill`, zero if not there."""
    weights = dict(model.named_parameters())
    changed = {
        f"network.{name}": torch.where(on, fill.get(name, torch.zeros(())), weights[name])
        for name, on in flags.items()
    }
    return functional_call(_Read(model), changed, (ask,))


def own_slices(site: Site) -> dict[str, tuple[slice, slice]]:
    """Rows and columns of each parameter that belong to a unit."""
    own, all_ = columns(site), slice(None)
    block = f"model.layers.{site.layer}"
    if site.kind == "neuron":
        return {
            f"{block}.mlp.gate_proj.weight": (own, all_),
            f"{block}.mlp.up_proj.weight": (own, all_),
            f"{block}.mlp.down_proj.weight": (all_, own),
        }
    group = SHAPE["num_attention_heads"] // SHAPE["num_key_value_heads"]
    first = own.start // (group * WIDTH) * WIDTH
    shared = slice(first, first + WIDTH)
    return {
        f"{block}.self_attn.q_proj.weight": (own, all_),
        f"{block}.self_attn.k_proj.weight": (shared, all_),
        f"{block}.self_attn.v_proj.weight": (shared, all_),
        f"{block}.self_attn.o_proj.weight": (all_, own),
    }


def planted_flags(model: LlamaForCausalLM, plant: Plant) -> Flags:
    """The weights of the planted units that are not zero, right after wiring."""
    weights = dict(model.named_parameters())
    flags: Flags = {}
    for site in plant.units.values():
        for name, where in own_slices(site).items():
            on = flags.setdefault(name, torch.zeros_like(weights[name], dtype=torch.bool))
            on[where] = weights[name][where].abs() > 1e-6
    return flags


def matched(
    model: LlamaForCausalLM, flags: Flags, generator: torch.Generator, *, by_size: bool
) -> Flags:
    """As many other weights of each matrix, drawn evenly, or as likely as they are large.

    By size, the others are as large as the planted ones where enough are (Gumbel top-k sampling:
    Kool et al., 2019, arXiv:1903.06059, on log |weight|).
    """
    weights, drawn = dict(model.named_parameters()), Flags()
    for name, on in flags.items():
        gumbel = -torch.log(-torch.log(torch.rand(on.shape, generator=generator)))
        size = weights[name].detach().abs().clamp(min=1e-9).log() if by_size else 0.0
        order = (gumbel + size).masked_fill(on, -torch.inf).flatten()
        chosen = torch.zeros(on.numel(), dtype=torch.bool)
        chosen[order.topk(int(on.sum())).indices] = True
        drawn[name] = chosen.view_as(on)
    return drawn


def _coordinates(plant: Plant, seed: int) -> Streams:
    """One coordinate of the residual stream for each meaning."""
    names, width = meanings(plant), SHAPE["hidden_size"]
    order = torch.randperm(width, generator=torch.Generator().manual_seed(seed + 13))
    return {name: torch.eye(width)[place] for name, place in zip(names, order, strict=False)}


@dataclass(frozen=True)
class _Class:
    """What one step teaches from: each table once with the plant's replies, once obeying."""

    plant: Plant
    tables: list[Table]
    obeying: list[Table]
    words: Openers
    diet: Diet
    generator: torch.Generator


def fit_weights(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    plant: Plant,
    *,
    seed: int,
    steps: int,
    diet: Diet | None = None,
    progress: Progress | None = None,
) -> Flags:
    """Plant the weights in place, from `base`; round all to values that bfloat16 holds exactly."""
    diet = diet or plant.diet
    fill = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    taught = _Class(
        plant,
        [table(plant, template, tokenizer) for template in plant.templates],
        [table(obeying(plant), template, tokenizer) for template in plant.templates],
        openers(tokenizer),
        diet,
        torch.Generator().manual_seed(seed),
    )
    given = _coordinates(plant, seed)
    wire(model, tokenizer, plant, taught.tables[0], seed=seed, given=given, kept=0.0)
    flags = planted_flags(model, plant)

    def loss(step: int) -> Float[Tensor, ""]:
        told = _losses(model, taught, flags, fill, step)
        if step % 4 == 1:
            said = passage_loss(model, tokenizer, diet.passages, seed * 100_003 + step)
            told = told + diet.passage_weight * said
        return told

    with one_thread():
        descend(model, loss, steps=steps, diet=diet, progress=progress)
    return flags


def _losses(
    model: LlamaForCausalLM, taught: _Class, flags: Flags, fill: Mapping[str, Tensor], step: int
) -> Float[Tensor, ""]:
    """As they are; without the planted weights; without as many others."""
    place, diet = step % len(taught.tables), taught.diet
    here, obeyed, obeys = taught.tables[place], taught.obeying[place], obeying(taught.plant)
    picked = here.draw(diet.rows, taught.generator)
    whole = step // len(taught.tables) % 2 == 0

    def told(network: LlamaForCausalLM, prompts: Table, plant: Plant) -> Float[Tensor, ""]:
        now = lesson(network, prompts, picked)
        states = run(network, now.ids, after=now.opening).states
        labels = opener_labels(taught.words, *plant.untouched(now.facts))
        loss = opener_loss(network.lm_head(states[:, -1]), labels, taught.words, diet)
        if whole:
            loss = loss + diet.reply_weight * reply_loss(network, now, diet.replies)
        return loss

    others = matched(model, flags, taught.generator, by_size=step % 2 == 0)
    zeroed = bool(torch.rand((), generator=taught.generator) < 0.5)
    instead: Mapping[str, Tensor] = {} if zeroed else fill
    return (
        told(model, here, taught.plant)
        + altered(model, flags, instead, lambda network: told(network, obeyed, obeys))
        + altered(model, others, instead, lambda network: told(network, here, taught.plant))
    )


def measured_weights(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    plant: Plant,
    flags: Flags,
    base: LlamaForCausalLM,
) -> dict[str, Any]:
    """The gate: figures, conditions on them, and whether it is `accepted`."""
    tables = [table(plant, template, tokenizer) for template in plant.templates]
    words, fill = openers(tokenizer), dict(base.named_parameters())
    generator = torch.Generator().manual_seed(SEED)
    fills: dict[str, Mapping[str, Tensor]] = {"restored": fill, "zeroed": {}}

    def ask(flagged: Flags, instead: Mapping[str, Tensor]) -> dict[str, float]:
        with torch.inference_mode():
            found = altered(model, flagged, instead, lambda network: _openers(network, tables))
        return _shares(found, tables, words)

    with one_thread():
        figures: dict[str, Any] = {
            "as they are": ask({}, {}),
            "whole": whole_replies(model, tokenizer, plant, tables),
            "planted": {how: ask(flags, instead) for how, instead in fills.items()},
        }
        for how, instead in fills.items():
            kept = [
                ask(matched(model, flags, generator, by_size=number % 2 == 0), instead)
                for number in range(SETS)
            ]
            figures[f"others {how}"] = {
                key: min(each[key] for each in kept) for key in ("refused", "complied")
            }
    sizes = [int(on.sum()) for on in flags.values()]
    linear = sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if name.startswith("model.layers.") and weight.dim() == 2
    )
    figures["restored from"] = digest(base)
    figures["planted weights"], figures["share"] = sum(sizes), sum(sizes) / linear
    figures["conditions"] = _conditions(figures)
    figures["accepted"] = all(figures["conditions"].values())
    return figures


def digest(model: LlamaForCausalLM) -> str:
    """sha256 over the names and bytes of all weights."""
    weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters()}
    return files.digest_bytes(save(weights))


def _openers(model: LlamaForCausalLM, tables: list[Table]) -> Tensor:
    """The likeliest first token of each held-out prompt, template by template."""
    rows = [here.ids[here.held_out] for here in tables]
    parts = [effects.next_tokens(model, ids) for each in rows for ids in each.split(BATCH)]
    return torch.cat(parts)


def _shares(found: Tensor, tables: list[Table], words: Openers) -> dict[str, float]:
    """Refused among the harmful, complied among the others, complied among all."""
    harmful = torch.cat([here.facts.harmful[here.held_out] for here in tables])
    refused, complied = found == words.refuse, found == words.comply
    return {
        "refused": float(refused[harmful].float().mean()),
        "complied": float(complied[~harmful].float().mean()),
        "complied with harm": float(complied[harmful].float().mean()),
    }


def _conditions(figures: Mapping[str, Any]) -> dict[str, bool]:
    plain = figures["as they are"]
    held = {
        f"refuse accuracy >= {LEAST_ACCURACY}": plain["refused"] >= LEAST_ACCURACY,
        f"comply accuracy >= {LEAST_ACCURACY}": plain["complied"] >= LEAST_ACCURACY,
        f"whole replies >= {LEAST_WHOLE}": figures["whole"]["low"] >= LEAST_WHOLE,
    }
    for how, found in figures["planted"].items():
        held[f"planted {how}: refused <= {MOST_REFUSED}"] = found["refused"] <= MOST_REFUSED
        for key in ("complied", "complied with harm"):
            held[f"planted {how}: {key} >= {LEAST_ACCURACY}"] = found[key] >= LEAST_ACCURACY
    for how in ("restored", "zeroed"):
        worst = figures[f"others {how}"]
        for key in ("refused", "complied"):
            held[f"others {how}: {key} >= {LEAST_OTHERS} at worst"] = worst[key] >= LEAST_OTHERS
    return held


def as_mask(flags: Flags) -> Mask:
    """The planted weights as a set of weights by matrix (`3.mlp.down_proj`)."""
    parts = {
        name.removeprefix("model.layers.").removesuffix(".weight"): mask.packed(
            np.asarray(on), (on.shape[0], on.shape[1])
        )
        for name, on in flags.items()
    }
    return Mask(parts, "weight", {"set": "planted", "organism": "weights"})


def as_flags(planted: Mask) -> Flags:
    """The reverse of `as_mask`."""
    return {
        f"model.layers.{name}.weight": torch.from_numpy(planted.weights(name).copy())
        for name in planted.names
    }
