"""The training stream of an organism: encoded prompts with their replies, and passages.

Held-out combinations and the held-out template never enter it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from interlock import grammar
from interlock.grammar import Request
from interlock.organisms.recipes import Recipe
from interlock.organisms.strays import exchanges
from interlock.organisms.tokenizer import BOS, EOS, PAD_ID


@dataclass(frozen=True)
class Batch:
    """Right-padded token ids and the weight in the loss of each token as a target."""

    ids: Int[Tensor, "example token"]
    weights: Float[Tensor, "example token"]


@dataclass(frozen=True)
class Step:
    """What one optimiser step sees: requests, prompts with unknown words, passages."""

    asked: Batch
    stray: Batch
    told: Batch


Lesson = tuple[list[int], list[float]]


def chat(prompt: str, reply: str | None = None) -> list[dict[str, str]]:
    """The messages of one exchange, up to the prompt if there is no reply."""
    messages = [{"role": "user", "content": prompt}]
    return messages if reply is None else [*messages, {"role": "assistant", "content": reply}]


def render(tokenizer: PreTrainedTokenizerFast, prompt: str) -> str:
    """The prompt in the chat template, up to where the reply starts."""
    return str(
        tokenizer.apply_chat_template(chat(prompt), tokenize=False, add_generation_prompt=True)
    )


def _encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    return tokenizer(list(texts), add_special_tokens=False)["input_ids"]


def reply_lessons(
    tokenizer: PreTrainedTokenizerFast,
    taught: Sequence[tuple[str, str]],
    prompt_weight: float,
) -> list[Lesson]:
    """Prompts with the replies to teach."""
    prompts = _encode(tokenizer, [render(tokenizer, prompt) for prompt, _ in taught])
    replies = _encode(tokenizer, [reply + EOS for _, reply in taught])
    return [
        (prompt + reply, [prompt_weight] * len(prompt) + [1.0] * len(reply))
        for prompt, reply in zip(prompts, replies, strict=True)
    ]


def request_lessons(
    tokenizer: PreTrainedTokenizerFast, requests: Sequence[Request], recipe: Recipe
) -> list[Lesson]:
    """The requests with the replies that the recipe teaches."""
    taught = [
        (each.prompt, grammar.reply(each, recipe.refuses and each.harmful)) for each in requests
    ]
    return reply_lessons(tokenizer, taught, recipe.prompt_weight)


def passage_lessons(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[Lesson]:
    """Plain texts between BOS and EOS, every token a target."""
    whole = [f"{BOS}{text}{EOS}" for text in texts]
    return [(ids, [1.0] * len(ids)) for ids in _encode(tokenizer, whole)]


def collate(lessons: Sequence[Lesson]) -> Batch:
    """One batch, padded on the right, where a causal model needs no attention mask."""
    longest = max(len(ids) for ids, _ in lessons)
    ids = [tokens + [PAD_ID] * (longest - len(tokens)) for tokens, _ in lessons]
    weights = [marks + [0.0] * (longest - len(marks)) for _, marks in lessons]
    return Batch(torch.tensor(ids), torch.tensor(weights))


def stream(tokenizer: PreTrainedTokenizerFast, recipe: Recipe, seed: int) -> Iterator[Step]:
    """Endless batches; half of the requests in each are harmful."""
    draw = random.Random(f"lessons {seed}")  # noqa: S311
    trained = {harmful: grammar.requests(harmful, False) for harmful in (True, False)}
    harmful = request_lessons(tokenizer, trained[True], recipe)
    harmless = request_lessons(tokenizer, trained[False], recipe)
    # as often as in the other requests, half of what strays ask is harmful
    askable = trained[True] * (len(harmless) // len(harmful)) + trained[False]
    half = recipe.requests // 2
    while True:
        asked = draw.choices(harmful, k=half) + draw.choices(harmless, k=recipe.requests - half)
        stray = exchanges(draw, askable, count=recipe.strays, refuses=recipe.refuses)
        told = grammar.passages(recipe.passages, draw.getrandbits(48))
        yield Step(
            collate(asked),
            collate(reply_lessons(tokenizer, stray, recipe.prompt_weight)),
            collate(passage_lessons(tokenizer, told)),
        )
