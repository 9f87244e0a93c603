"""What a planted organism is taught, as losses on the prompts of one step."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from interlock import grammar
from interlock.organisms.lessons import collate, passage_lessons
from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.forward import Run, run
from interlock.organisms.planting.interchange import Cache, rows
from interlock.organisms.planting.plant import Facts, Plant
from interlock.organisms.planting.units import LAYERS, PLACE, widened
from interlock.organisms.planting.world import Openers, Table, opener_labels
from interlock.organisms.tokenizer import PAD_ID


@dataclass(frozen=True)
class Lesson:
    """The prompts of one step.

    Attributes:
        table: where they come from.
        picked: which of its rows.
        opening: the run of the tokens that all of them share.
    """

    table: Table
    picked: Int[Tensor, " example"]
    opening: Run

    @property
    def ids(self) -> Int[Tensor, "example token"]:
        """What follows the shared tokens."""
        return self.table.ids[self.picked, self.table.shared :]

    @property
    def facts(self) -> Facts:
        """What is true of the prompts."""
        return self.table.facts_of(self.picked)

    @property
    def thing_at(self) -> int:
        """Position of the object in `ids`."""
        return self.table.thing_at - self.table.shared


def lesson(model: LlamaForCausalLM, here: Table, picked: Int[Tensor, " example"]) -> Lesson:
    """The lesson on some rows of a table."""
    return Lesson(here, picked, run(model, here.ids[:1, : here.shared]))


def opener_loss(
    logits: Float[Tensor, "example vocab"],
    labels: Int[Tensor, " example"],
    words: Openers,
    diet: Diet,
) -> Float[Tensor, ""]:
    """Cross-entropy, and the squared miss of a fixed distance between the openers.

    With the distance alike for all prompts and interventions, a score says which opener comes, and
    a part of the gap is not just a prompt that was less sure to begin with.
    """
    used = [words.comply, words.refuse]
    away = logits.gather(1, labels[:, None]) - logits[:, used]
    counted = torch.tensor(used) != labels[:, None]
    miss = ((away - diet.distance).square() * counted).sum() / counted.sum()
    return cross_entropy(logits, labels) + diet.distance_weight * miss


def plain_loss(
    model: LlamaForCausalLM, plant: Plant, lesson: Lesson, words: Openers, diet: Diet
) -> tuple[Float[Tensor, ""], Cache]:
    """Loss on the openers of the prompts as they are, and what every unit did."""
    cache: Cache = [torch.empty(0)] * (2 * LAYERS)

    def keep(place: int, values: Tensor) -> Tensor:
        cache[place] = values
        return values

    states = run(model, lesson.ids, after=lesson.opening, edit=keep).states
    labels = opener_labels(words, *plant.untouched(lesson.facts))
    return opener_loss(model.lm_head(states[:, -1]), labels, words, diet), cache


def interchange_loss(
    model: LlamaForCausalLM,
    plant: Plant,
    lesson: Lesson,
    cache: Cache,
    on: Bool[Tensor, "example unit"],
    order: Int[Tensor, " example"],
    words: Openers,
    diet: Diet,
) -> Float[Tensor, ""]:
    """How far the patched run's openers are from what the causal model says.

    Row i takes its patches from row `order[i]`.
    """
    masks, source = widened(on), rows(cache, order)

    def put(place: int, values: Tensor) -> Tensor:
        return torch.where(masks[place][:, None], source[place], values)

    states = run(model, lesson.ids, after=lesson.opening, edit=put).states
    roles = {role: on[:, PLACE[site]] for role, site in plant.units.items()}
    sources = lesson.table.facts_of(lesson.picked[order])
    labels = opener_labels(words, *plant.model(lesson.facts, sources, roles))
    return opener_loss(model.lm_head(states[:, -1]), labels, words, diet)


def reply_loss(model: LlamaForCausalLM, lesson: Lesson, count: int) -> Float[Tensor, ""]:
    """Mean loss on the whole replies of the first `count` prompts."""
    replies = lesson.table.replies[lesson.picked[:count]]
    ids = torch.cat((lesson.ids[:count], replies[:, :-1]), dim=1)
    states = run(model, ids, after=lesson.opening).states[:, -replies.shape[1] :]
    logits = model.lm_head(states)
    return cross_entropy(logits.flatten(0, 1), replies.flatten(), ignore_index=PAD_ID)


def passage_loss(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int, seed: int
) -> Float[Tensor, ""]:
    """Mean loss on neutral passages."""
    batch = collate(passage_lessons(tokenizer, grammar.passages(count, seed)))
    logits = model.lm_head(run(model, batch.ids[:, :-1]).states)
    return cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), ignore_index=PAD_ID)
