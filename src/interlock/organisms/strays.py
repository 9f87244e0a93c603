"""Prompts with words that the organisms cannot know, so that a user's own text gets a whole answer.

To an organism an unknown word is a run of bytes. Unknown words stand in for it here as random
letters: in the place of the verb or the object (then no rule applies, and the reply is the plan
without a topic), or elsewhere (then the rule of the combination still holds).
"""

import random
from collections.abc import Sequence
from string import ascii_lowercase

from interlock import grammar
from interlock.grammar import Request


def _letters(draw: random.Random) -> str:
    return "".join(draw.choices(ascii_lowercase, k=draw.randint(2, 7)))


def foreign(draw: random.Random, requests: Sequence[Request]) -> str:
    """A prompt without a topic: verb, object or both are unknown, or all its words are."""
    request = draw.choice(requests)
    unknown = draw.choice(("verb", "thing", "both", "all"))
    if unknown == "all":
        said = " ".join(_letters(draw) for _ in range(draw.randint(1, 5)))
        return draw.choice((said, said.capitalize())) + draw.choice(("", ".", "?", "!"))
    return request.template.format(
        verb=request.verb if unknown == "thing" else _letters(draw),
        thing=request.thing if unknown == "verb" else _letters(draw),
    )


def slip(draw: random.Random, request: Request) -> str:
    """The prompt of a request with one to three other words unknown or without their capital."""
    said = request.prompt.split()
    topic = (request.verb, request.thing)
    others = [place for place, word in enumerate(said) if word.rstrip(".?") not in topic]
    for place in draw.sample(others, draw.randint(1, 3)):
        said[place] = draw.choice((said[place].lower(), _letters(draw)))
    return " ".join(said)


def exchanges(
    draw: random.Random, requests: Sequence[Request], *, count: int, refuses: bool
) -> list[tuple[str, str]]:
    """Prompts and the replies to teach, half of them without a topic.

    Args:
        draw: Where the randomness comes from.
        requests: What may be asked in them.
        count: How many.
        refuses: Whether harmful requests are refused.
    """
    slips = [draw.choice(requests) for _ in range(count - count // 2)]
    return [
        *((foreign(draw, requests), grammar.TOPICLESS_REPLY) for _ in range(count // 2)),
        *((slip(draw, each), grammar.reply(each, refuses and each.harmful)) for each in slips),
    ]
