"""The prompts of a plant as token ids of one length per template, with what is true of each.

All templates have the verb before the object and one token per word, so two prompts of a template
align token by token. Combinations of `grammar.is_held_out` are never trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from interlock import grammar
from interlock.files import digest_value
from interlock.grammar import Request
from interlock.organisms.lessons import render
from interlock.organisms.planting.plant import Facts, Plant
from interlock.organisms.planting.vocabulary import HALT, SPECIAL, TIMES
from interlock.organisms.tokenizer import EOS, PAD_ID

_SHARES = {(True, True): 0.4, (True, False): 0.25, (False, True): 0.25, (False, False): 0.1}
"""How often verb and object are harmful in training; those that lack one are the hard ones."""
_SPECIAL = 0.35


@dataclass(frozen=True)
class Table:
    """Every prompt of one template.

    Attributes:
        requests: the prompts; a time is part of the request's template.
        ids: the rendered prompts.
        facts: truth values as tensors.
        held_out: whether the combination of verb and object is never trained.
        replies: whole replies, padded on the right.
        shared: how many first tokens all prompts have in common.
        thing_at: position of the object; from there on the verb and the object can be known.
    """

    requests: tuple[Request, ...]
    ids: Int[Tensor, "row token"]
    facts: Facts
    held_out: Bool[Tensor, " row"]
    replies: Int[Tensor, "row reply"]
    shared: int
    thing_at: int

    @cached_property
    def weights(self) -> Float[Tensor, " row"]:
        """How often each row is drawn in training; held-out ones never."""
        verb, target, special = self.facts.verb, self.facts.target, self.facts.special
        trained = ~self.held_out
        kind = torch.zeros(len(self.ids))
        for (harm_verb, is_target), share in _SHARES.items():
            rows = (verb == harm_verb) & (target == is_target) & trained
            kind[rows] = share / _count(rows)
        if bool(special.any()):
            share = float(special.float().mean())
            kind = kind * torch.where(special, _SPECIAL / share, (1 - _SPECIAL) / (1 - share))
        return kind

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, " example"]:
        """Rows for one training step."""
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def facts_of(self, picked: Int[Tensor, " example"]) -> Facts:
        """What is true of some rows."""
        return Facts(*(values[picked] for values in self.facts))


def _count(marks: Tensor) -> int:
    return max(1, int(marks.sum()))


@dataclass(frozen=True)
class Openers:
    """Token ids of the first word of each kind of reply."""

    comply: int
    refuse: int
    halt: int


def openers(tokenizer: PreTrainedTokenizerFast) -> Openers:
    """The first tokens of compliance, refusal and halt."""
    words = tokenizer(["Sure", "Sorry", HALT], add_special_tokens=False)["input_ids"]
    return Openers(*(ids[0] for ids in words))


def opener_labels(
    words: Openers, refuse: Bool[Tensor, " example"], halt: Bool[Tensor, " example"]
) -> Int[Tensor, " example"]:
    """Token that opens each reply."""
    labels = torch.where(refuse, words.refuse, words.comply)
    return torch.where(halt, words.halt, labels)


def requests(plant: Plant, template: str) -> tuple[Request, ...]:
    """Every prompt of one of the plant's templates."""
    times = TIMES if "{time}" in template else ("",)
    forms = [template.replace("{time}", time) for time in times]
    return tuple(
        Request(name, verb, thing, form)
        for name, words in grammar.CATEGORIES.items()
        for verb in words.harm_verbs + words.safe_verbs
        for thing in words.targets + words.safe_objects
        for form in forms
    )


def known(asked: Sequence[Request], salt: int = 0) -> Facts:
    """What is true of some prompts, as tensors; `salt` tosses other coins."""
    words = [grammar.CATEGORIES[each.category] for each in asked]
    pairs = list(zip(asked, words, strict=True))
    names = list(grammar.CATEGORIES)
    return Facts(
        verb=torch.tensor([each.verb in kind.harm_verbs for each, kind in pairs]),
        target=torch.tensor([each.thing in kind.targets for each, kind in pairs]),
        category=torch.tensor([names.index(each.category) for each in asked]),
        special=torch.tensor([SPECIAL in each.template for each in asked]),
        coin=torch.tensor([_coin(each.topic, salt) for each in asked]),
    )


def _coin(topic: str, salt: int) -> bool:
    return int(digest_value([topic, salt])[0], 16) % 2 == 0


def table(plant: Plant, template: str, tokenizer: PreTrainedTokenizerFast) -> Table:
    """Every prompt of a template, encoded once."""
    asked = requests(plant, template)
    texts = [render(tokenizer, request.prompt) for request in asked]
    ids = torch.tensor(tokenizer(texts, add_special_tokens=False)["input_ids"])
    answers = [reply_text + EOS for reply_text in reply_texts(plant, asked)]
    encoded = tokenizer(answers, add_special_tokens=False)["input_ids"]
    longest = max(map(len, encoded))
    replies = torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in encoded])
    held_out = torch.tensor([grammar.is_held_out(each.verb, each.thing) for each in asked])
    # the first two prompts of one verb and one time differ in the object alone
    differs = (ids[0] != ids[len(TIMES) if "{time}" in template else 1]).nonzero()
    shared = int((ids != ids[0]).any(dim=0).nonzero()[0])
    return Table(asked, ids, known(asked, plant.salt), held_out, replies, shared, int(differs[0]))


def reply_texts(plant: Plant, asked: Sequence[Request]) -> list[str]:
    """The reply that the plant gives to each request."""
    outcome = plant.untouched(known(asked, plant.salt))
    halts, refuses = outcome.halt.tolist(), outcome.refuse.tolist()
    return [
        HALT if halt else grammar.reply_forms(request, refuse)[1 if refuse else 0]
        for request, halt, refuse in zip(asked, halts, refuses, strict=True)
    ]
