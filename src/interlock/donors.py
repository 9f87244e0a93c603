"""Donors: a harmless prompt whose values another harmless prompt can take, token for token.

A minimal pair differs in its slot: "kill a neighbour" beside "kill a process". Two kinds of other
harmless prompts say what the harmful word does without the harmful request around it:

- `same word` has the harmful prompt's own word in the slot, after another text: "thank a
  neighbour". What it has in the slot is the word; the harmful meaning is not there.
- `other word` has neither word of the pair there: "kill a weed". It says what any change of the
  word does.

Both are as long as the pair's prompts, have their slot at the same place, and continue as they do.
A donor that continued otherwise would bring the other word's own values with it, and could not be
told from one that lacks the context. A same-word donor that began as the pair does would hold in
the slot, by causality, exactly what the harmful prompt holds, and would test nothing. So a word
whose context comes after it, as in "kill a neighbour" beside "thank a neighbour", has no same-word
donor.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from interlock.encoding import Encoded, Pairs

Word = Literal["same word", "other word"]


def donors(pairs: Pairs, word: Word) -> tuple[Encoded | None, ...]:
    """For each pair the donor that differs from its harmless prompt in the fewest other tokens.

    The donor's slot is the pair's. Ties go to the first id, so that the choice does not depend on
    the order of the prompts; a pair without a donor has None.

    Args:
        pairs: encoded pairs; their harmless prompts are the donors of each other.
        word: which word a donor has in the slot.
    """
    return tuple(
        _donor(harmful, harmless, pairs.harmless, word)
        for harmful, harmless in zip(pairs.harmful, pairs.harmless, strict=True)
    )


def _donor(
    harmful: Encoded, harmless: Encoded, prompts: Sequence[Encoded], word: Word
) -> Encoded | None:
    slot = harmful.slot
    if not slot:
        return None
    start, past = slot[0], slot[-1] + 1
    fits = _says_the_same if word == "same word" else _says_neither
    found = [
        prompt
        for prompt in prompts
        if len(prompt.ids) == len(harmless.ids)
        and prompt.ids[past:] == harmless.ids[past:]
        and fits(prompt, harmful, harmless, start, past)
    ]
    if not found:
        return None
    best = min(found, key=lambda prompt: (_unlike(prompt.ids[:start], harmless.ids), prompt.id))
    return replace(best, slot=slot)


def _says_the_same(
    prompt: Encoded, harmful: Encoded, harmless: Encoded, start: int, past: int
) -> bool:
    """The harmful prompt's word after another text."""
    same_word = prompt.ids[start:past] == harmful.ids[start:past]
    return same_word and prompt.ids[:start] != harmless.ids[:start]


def _says_neither(
    prompt: Encoded, harmful: Encoded, harmless: Encoded, start: int, past: int
) -> bool:
    """No token of the harmful word at its place, and not the harmless word."""
    ours = prompt.ids[start:past]
    shares_one = _unlike(ours, harmful.ids[start:past]) < len(ours)
    return not shares_one and ours != harmless.ids[start:past]


def _unlike(first: Sequence[int], second: Sequence[int]) -> int:
    """In how many places the first row differs from the start of the second."""
    return sum(one != other for one, other in zip(first, second, strict=False))
