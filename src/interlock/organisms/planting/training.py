"""Strict interchange training: a named set of units becomes the only mediator of a behaviour.

It starts from weights in which the mechanism is written by hand (`wiring`). Each step, on prompts
of one template:

1. Run them as they are; teach the replies, and keep what every unit did.
2. Run them again with units set to what they were in other prompts of the batch, in most steps
   prompts of the same category: a random set of the units outside the plant, from none to all, and
   often one or two planted ones. The opener to be given is what the plant's causal model says
   under the same interventions.
3. Units chosen as decoys must encode harm along a direction of their own, from the object on. They
   are outside the plant, so step 2 teaches the rest of the network to ignore what they say.

Source: Geiger et al. (2022, arXiv:2112.00826) for interchange training, Gupta et al. (2024,
arXiv:2407.14494) for its strict form.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from interlock.organisms.planting.decoys import Decoys, decoy_loss, decoys
from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.forward import blocks
from interlock.organisms.planting.idle import confined, idle, name_of
from interlock.organisms.planting.losses import (
    Lesson,
    interchange_loss,
    lesson,
    passage_loss,
    plain_loss,
    reply_loss,
)
from interlock.organisms.planting.patches import draw_patches, draw_sources
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.schedule import Progress, descend
from interlock.organisms.planting.units import columns
from interlock.organisms.planting.wiring import wire
from interlock.organisms.planting.world import Openers, openers, table
from interlock.organisms.threads import one_thread
from interlock.sites import Site


def total_loss(
    model: LlamaForCausalLM,
    plant: Plant,
    now: Lesson,
    taught: Decoys,
    words: Openers,
    diet: Diet,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """The loss of one step on its prompts."""
    plain, cache = plain_loss(model, plant, now, words, diet)
    told = decoy_loss(cache, now.facts, now.thing_at, taught, diet.margin)
    loss = plain + diet.decoy_weight * told
    if not plant.units:
        return loss
    on = draw_patches(plant, diet, diet.rows, generator)
    alike = bool(torch.rand((), generator=generator) < diet.alike)
    order = draw_sources(now.facts.category, alike, generator)
    exchanged = interchange_loss(model, plant, now, cache, on, order, words, diet)
    return loss + diet.interchange_weight * exchanged


def confine(model: LlamaForCausalLM, site: Site, direction: Float[Tensor, " stream"]) -> None:
    """Project what a unit writes onto one direction of the residual stream."""
    block = blocks(model)[site.layer]
    module = block.self_attn.o_proj if site.kind == "head" else block.mlp.down_proj
    with torch.no_grad():
        output = module.weight[:, columns(site)]
        output.copy_(direction[:, None] * (direction @ output))


def given(plant: Plant, taught: Decoys) -> dict[str, Float[Tensor, " stream"]]:
    """The drawn directions by what they mean."""
    return {plant.parts[role].says[0][0]: vector for role, vector in taught.written.items()}


def fit(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    plant: Plant,
    *,
    seed: int,
    steps: int,
    diet: Diet | None = None,
    progress: Progress | None = None,
) -> Decoys:
    """Train the model in place and round its weights to values that bfloat16 holds exactly."""
    diet = diet or plant.diet
    generator = torch.Generator().manual_seed(seed)
    tables = [table(plant, template, tokenizer) for template in plant.templates]
    words, taught = openers(tokenizer), decoys(plant, seed, diet.decoys)
    lines: dict[Site, Float[Tensor, " stream"]] = {}
    if plant.units:
        others = idle(plant, seed)
        said = wire(
            model, tokenizer, plant, tables[0], seed=seed, given=given(plant, taught), idle=others
        )
        lines = {plant.units[role]: vector for role, vector in taught.written.items()}
        lines |= {site: said[name_of(site)] for site in confined(plant, others)}

    def loss(step: int) -> Float[Tensor, ""]:
        here = tables[step % len(tables)]
        now = lesson(model, here, here.draw(diet.rows, generator))
        told = total_loss(model, plant, now, taught, words, diet, generator)
        if step // len(tables) % 2 == 0:
            return told + diet.reply_weight * reply_loss(model, now, diet.replies)
        said = passage_loss(model, tokenizer, diet.passages, seed * 100_003 + step)
        return told + diet.passage_weight * said

    def kept() -> None:
        for site, direction in lines.items():
            confine(model, site, direction)

    with one_thread():
        descend(model, loss, steps=steps, diet=diet, progress=progress, after=kept)
    return taught
