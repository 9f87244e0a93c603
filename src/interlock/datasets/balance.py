"""As many harmless as harmful prompts of every category; what was asked for and what there was."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from interlock.datasets.records import Record
from interlock.datasets.splits import draw_order
from interlock.errors import ContrastError

_Unit = tuple[Record, Record]  # harmful, harmless


@dataclass(frozen=True)
class Drawn:
    """Prompts drawn from one split.

    Attributes:
        records: categories in turn, each harmful prompt before a harmless one, so that every even
            prefix is balanced.
        got: harmful prompts (and as many harmless ones) by category.
        there: harmful and harmless prompts that there were, by category.
    """

    records: list[Record]
    got: dict[str, int]
    there: dict[str, tuple[int, int]]


def require_both(records: Sequence[Record], name: str) -> None:
    """Refuse categories with prompts of one kind only: nothing could be compared in them.

    Raises:
        ContrastError: names them.
    """
    found: dict[str, set[str]] = {}
    for each in records:
        found.setdefault(each.category, set()).add(each.expected)
    for wanted, word in (("refuse", "harmful"), ("comply", "harmless")):
        lacking = sorted(category for category, kinds in found.items() if wanted not in kinds)
        if not lacking:
            continue
        if len(lacking) == len(found):
            raise ContrastError(
                f"{name} has no {word} prompts, so no balanced comparison is possible: join it "
                "with a set that has some (prompts.name=ONE+OTHER)."
            )
        raise ContrastError(
            f"{name} has no {word} prompts in {', '.join(lacking)}, so no balanced comparison is "
            "possible there: choose other categories (prompts.categories), or compare without "
            "them (prompts.columns={category: ''})."
        )


def draw(records: Sequence[Record], per_category: int, seed: int, *, equal: bool) -> Drawn:
    """At most so many harmful and as many harmless prompts of each category, pairs kept whole.

    Args:
        records: of one split.
        per_category: harmful prompts, and harmless ones, at most.
        seed: of the draw.
        equal: cut every category to the smallest, for comparisons across categories.
    """
    by_category: dict[str, list[Record]] = {}
    for each in records:
        by_category.setdefault(each.category, []).append(each)
    units = {name: _units(found, seed) for name, found in sorted(by_category.items())}
    most = min([per_category, *map(len, units.values())]) if equal else per_category
    chosen = {name: found[:most] for name, found in units.items()}
    turns = zip_longest(*chosen.values())
    drawn = [record for turn in turns for unit in turn if unit is not None for record in unit]
    return Drawn(
        drawn,
        {name: len(found) for name, found in chosen.items()},
        {name: _count(found) for name, found in sorted(by_category.items())},
    )


def draw_one_kind(records: Sequence[Record], per_category: int, seed: int, *, equal: bool) -> Drawn:
    """As `draw`, of a set whose prompts are all of one kind, so that nothing can be balanced."""
    by_category: dict[str, list[Record]] = {}
    for each in draw_order(records, seed):
        by_category.setdefault(each.category, []).append(each)
    most = min([per_category, *map(len, by_category.values())]) if equal else per_category
    chosen = {name: list(_in_turn(found))[:most] for name, found in sorted(by_category.items())}
    turns = zip_longest(*chosen.values())
    return Drawn(
        [each for turn in turns for each in turn if each is not None],
        {name: len(found) for name, found in chosen.items()},
        {name: _count(found) for name, found in sorted(by_category.items())},
    )


def _count(records: Sequence[Record]) -> tuple[int, int]:
    harmful = sum(each.expected == "refuse" for each in records)
    return harmful, len(records) - harmful


def _units(records: Sequence[Record], seed: int) -> list[_Unit]:
    """Pairs first, then single prompts side by side, in the order in which they are drawn."""
    ordered = draw_order(records, seed)
    twins = {each.pair: each for each in ordered if each.pair and each.expected == "comply"}
    pairs = [
        (each, twins[each.pair]) for each in ordered if each.pair and each.expected == "refuse"
    ]
    single = [each for each in ordered if not each.pair]
    harmful = _in_turn([each for each in single if each.expected == "refuse"])
    harmless = _in_turn([each for each in single if each.expected == "comply"])
    return [*_by_topic(pairs), *zip(harmful, harmless, strict=False)]


def _in_turn(records: Sequence[Record]) -> Iterator[Record]:
    """Topics in turn, so that a few prompts are of as many topics."""
    topics: dict[str, list[Record]] = {}
    for each in records:
        topics.setdefault(each.topic, []).append(each)
    return (each for turn in zip_longest(*topics.values()) for each in turn if each is not None)


def _by_topic(pairs: Sequence[_Unit]) -> list[_Unit]:
    twins = {harmful.pair: harmless for harmful, harmless in pairs}
    return [(each, twins[each.pair]) for each in _in_turn([harmful for harmful, _ in pairs])]
