"""Sets of prompts by name: each gives its find and check contrasts and neutral passages."""

from collections.abc import Mapping
from dataclasses import dataclass

from interlock import grammar
from interlock.contrast import Contrast, Example, Split, System
from interlock.errors import ContrastError
from interlock.files import digest_value

NAMES = ("grammar",)
_LICENCE = "MIT"


@dataclass(frozen=True)
class Sets:
    """What a study asks: lexically disjoint contrasts by split, and passages for capability."""

    splits: Mapping[str, Contrast]
    passages: Contrast


def load(
    name: str, *, per_category: int, passages: int, seed: int, system: System = "template"
) -> Sets:
    """The prompts of a named set.

    Args:
        name: one of `NAMES`.
        per_category: minimal pairs per category and split, at most; a set may hold fewer.
        passages: neutral passages, at most.
        seed: of the draw.
        system: system prompt put before every prompt.

    Raises:
        ContrastError: no set of that name.
    """
    if name not in NAMES:
        raise ContrastError(f"No set of prompts '{name}'. Known: {', '.join(NAMES)}.")
    splits: tuple[Split, ...] = ("find", "check")
    found = {split: _grammar(split, per_category, seed, system) for split in splits}
    return Sets(found, _passages(passages, seed))


def _grammar(split: Split, per_category: int, seed: int, system: System) -> Contrast:
    examples = []
    for pair in grammar.minimal_pairs(split, per_category, seed):
        name = digest_value([pair.harmful.prompt, pair.harmless.prompt])[:12]
        for request, end in ((pair.harmful, "harmful"), (pair.harmless, "harmless")):
            examples.append(
                Example(
                    id=f"{name}-{end}",
                    prompt=request.prompt,
                    category=request.category,
                    expected="refuse" if request.harmful else "comply",
                    topic=request.topic,
                    pair=name,
                )
            )
    return Contrast("grammar", split, tuple(examples), _LICENCE, system)


def _passages(count: int, seed: int) -> Contrast:
    texts = dict.fromkeys(grammar.passages(count, seed))
    examples = tuple(
        Example(f"passage-{number}", text, "neutral", "neutral", f"passage-{number}")
        for number, text in enumerate(texts)
    )
    return Contrast("passages", "check", examples, _LICENCE)
