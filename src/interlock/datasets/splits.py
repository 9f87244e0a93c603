"""Find and check: two parts of a set that share no lexical item, pair or near-duplicate prompt.

1. Prompts of one topic or pair belong together; where neither is known, prompts nearly alike do.
   Belonging is carried on.
2. What belongs together goes to one side, whole: the largest first, each to the side that has fewer
   of its categories and labels, so that both sides have about half of every cell.
3. Ties are decided by a hash of the seed and the prompts, never by their order in the file.
4. Where the set itself says find or check, that is kept.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from interlock.datasets.overlap import near_pairs, plain
from interlock.datasets.records import SPLITS, Record, shown
from interlock.errors import ContrastError

RULE_GIVEN = "the two are as the set itself says"
RULE_TOPIC = "by lexical item: the two share no topic and no pair"
RULE_PROMPT = "by prompt: the two share no near-duplicate prompt"
RULE_BOTH = (
    "by lexical item (topic or pair) where it is known, else with near-duplicates on one side"
)


@dataclass(frozen=True)
class Divided:
    """Records by split, how they were divided, and what to say about it."""

    splits: dict[str, list[Record]]
    rule: str
    notes: tuple[str, ...]


def divide(records: Sequence[Record], seed: int) -> Divided:
    """Every record on one side; the same sides whatever the order of the records.

    Records without a topic get the group they belong to as their topic, so that statistics resample
    groups of near-duplicates and not single prompts.

    Raises:
        ContrastError: a pair whose two prompts are said to be of different splits.
    """
    records = sorted(records, key=lambda each: each.prompt)
    _require_whole_pairs(records)
    groups = [[records[place] for place in group] for group in _groups(records)]
    named = [(min(each.key for each in group), group) for group in groups]
    drawn = [
        (not any(each.split for each in group), -len(group), _draw(seed, key), key, group)
        for key, group in named
    ]
    drawn.sort(key=lambda each: each[:3])  # what the set says comes first: it cannot be moved
    balance: Counter[tuple[str, str]] = Counter()
    sides: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for free, _, draw, key, group in drawn:
        side = _side(group, balance, draw) if free else _said(group)
        for each in group:
            where = each.split or side
            balance[each.category, each.expected] += 1 if where == "find" else -1
            sides[where].append(each if each.topic else each.about(f"group-{key[:12]}"))
    return Divided(sides, _rule(records), _leaks(groups))


def draw_order(records: Sequence[Record], seed: int) -> list[Record]:
    """The records in an order that the seed and their prompts decide."""
    return sorted(records, key=lambda each: _draw(seed, each.key))


def _rule(records: Sequence[Record]) -> str:
    if all(each.split for each in records):
        return RULE_GIVEN
    known = [bool(each.topic or each.pair) for each in records]
    if all(known):
        return RULE_TOPIC
    return RULE_BOTH if any(known) else RULE_PROMPT


def _said(group: Sequence[Record]) -> str:
    """The split that most of a group are said to be in."""
    return Counter(each.split for each in group if each.split).most_common(1)[0][0]


def _side(group: Sequence[Record], balance: Counter[tuple[str, str]], draw: str) -> str:
    lean = 0
    for each in group:
        lean += balance[each.category, each.expected]
    if lean == 0:
        return SPLITS[int(draw[:8], 16) % 2]
    return "check" if lean > 0 else "find"


@lru_cache(maxsize=2**18)  # a record is drawn twice: with its group, and within its side
def _draw(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()


def _groups(records: Sequence[Record]) -> list[list[int]]:
    """Places of the records that belong together."""
    heads = list(range(len(records)))

    def head(place: int) -> int:
        while heads[place] != place:
            heads[place] = heads[heads[place]]
            place = heads[place]
        return place

    for first, second in _ties(records):
        a, b = head(first), head(second)
        heads[max(a, b)] = min(a, b)
    found: dict[int, list[int]] = {}
    for place, above in enumerate(heads):
        if above == place:
            found[place] = [place]
        else:  # a head is the first place of its group, so the group is there already
            found[head(place)].append(place)
    return list(found.values())


def _ties(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Pairs of places that belong together."""
    shared: dict[tuple[str, str], list[int]] = {}
    for place, each in enumerate(records):
        if each.pair:
            shared.setdefault(("pair", each.pair), []).append(place)
        if each.topic:
            shared.setdefault(("topic", plain(each.topic)), []).append(place)
    ties = [tie for places in shared.values() for tie in pairwise(places)]
    rest = [
        place for place, each in enumerate(records) if not (each.pair or each.topic or each.split)
    ]
    near = near_pairs([plain(records[place].prompt) for place in rest])
    return ties + [(rest[first], rest[second]) for first, second in near]


def _require_whole_pairs(records: Sequence[Record]) -> None:
    sides: dict[str, set[str]] = {}
    for each in records:
        if each.pair:
            sides.setdefault(each.pair, set()).add(each.split)
    torn = sorted(pair for pair, found in sides.items() if len(found) > 1)
    if torn:
        raise ContrastError(
            f"Pair {shown(torn[0])} is in both find and check ({len(torn):,} such pairs)."
        )


def _leaks(groups: Sequence[Sequence[Record]]) -> tuple[str, ...]:
    """A line if what belongs together is said to be in both splits."""
    many = [group for group in groups if len(group) > 1]
    torn = [group for group in many if len({each.split for each in group if each.split}) > 1]
    if not torn:
        return ()
    return (
        f"{len(torn):,} topics are in both find and check, as the set itself says, so estimates "
        f"on check are not independent of what find chose; the first has "
        f"{shown(torn[0][0].prompt)}.",
    )
