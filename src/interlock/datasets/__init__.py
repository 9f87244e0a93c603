"""Sets of prompts by name or file: each gives its find and check contrasts and neutral passages.

1. The set is gathered: found by name (shipped, in a folder, on the hub) or file, read, labelled,
   paired, and held against what is published (`gathering`, `registry`, `reading`, `columns`,
   `pairs`, `duplicates`).
2. It is divided into find and check by lexical item, pair and near-duplicate (`splits`, `overlap`).
3. As many harmful as harmless prompts of each category are drawn from either part (`balance`); the
   look-alikes, which are all harmless, may be a study's only prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from interlock.contrast import Contrast, Example, Split, System
from interlock.datasets import grammar_set
from interlock.datasets.collecting import without_collecting
from interlock.datasets.gathering import GRAMMAR as GRAMMAR
from interlock.datasets.gathering import NAMES as NAMES
from interlock.datasets.gathering import Source as Source
from interlock.datasets.gathering import check as check
from interlock.datasets.gathering import gather as gather
from interlock.datasets.overlap import Overlap, between
from interlock.datasets.records import SPLITS, Gathered, Record, listed, shown
from interlock.errors import ContrastError

Numbers = Mapping[str, Mapping[str, int]]
_NOWHERE = Source()


@dataclass(frozen=True)
class Sets:
    """What a study asks: lexically disjoint contrasts by split, and passages for capability.

    Attributes:
        splits: contrasts by split.
        passages: neutral text.
        lookalikes: harmless prompts with a harmful word in an innocent sense.
        asked: harmful prompts, and harmless ones, asked for: split to category to number.
        got: as `asked`, what there was.
        rule: how find and check were kept apart.
        notes: what was left out, cut short or is unlike the published set, a line each.
    """

    splits: Mapping[str, Contrast]
    passages: Contrast
    lookalikes: Contrast
    asked: Numbers = field(default_factory=dict)
    got: Numbers = field(default_factory=dict)
    rule: str = grammar_set.RULE
    notes: tuple[str, ...] = ()


def load(  # noqa: PLR0913 - a keyword for each setting of a study's prompts
    name: str,
    *,
    per_category: int,
    passages: int,
    seed: int,
    system: System = "template",
    source: Source = _NOWHERE,
    categories: Sequence[str] = (),
    equal: bool = False,
    lookalikes: int = 88,
) -> Sets:
    """The prompts of a named set, of sets joined by `+`, or of a file.

    Args:
        name: one of `NAMES`, several joined by `+`, a file, or what to call the files of `source`.
        per_category: harmful prompts and harmless ones (minimal pairs where the set has them) per
            category and split, at most; a set may hold fewer.
        passages: neutral passages, at most.
        seed: of the draw.
        system: system prompt put before every prompt.
        source: files, columns and labels.
        categories: those to take; all if none is named.
        equal: cut every category of a split to its smallest, for comparisons across categories.
        lookalikes: harmless prompts that look harmful, at most.

    Raises:
        ContrastError: no set of that name, a file that cannot be read as one, or prompts that
            allow no balanced comparison.
    """
    from interlock.datasets import built_in

    check(name, source)
    alike = built_in.lookalikes(lookalikes, seed, system)
    if name == GRAMMAR:
        if categories:
            raise ContrastError(f"{GRAMMAR} is taken whole: categories cannot be chosen.")
        return _grammar(per_category, passages, alike, seed, system)
    gathered = gather(name, source)
    records = chosen(gathered, categories)
    alone = name in built_in.EXPECTED and not (source.harmful or source.harmless)
    make = alone_of if alone else contrasts_of
    contrasts, found = make(gathered, records, per_category, seed, equal=equal)
    neutral, short = built_in.passages(passages, seed)
    splits = {
        split: Contrast(gathered.name, split, examples, gathered.licence, system)
        for split, examples in contrasts.items()
    }
    notes = (*gathered.notes, *found.notes, *short)
    return Sets(splits, neutral, alike, found.asked, found.got, found.rule, notes)


@dataclass(frozen=True)
class Balanced:
    """What was asked for and got, how the splits were made, and what to say about it.

    Attributes:
        asked: harmful prompts, and harmless ones, asked for: split to category to number.
        got: as `asked`, what there was.
        rule: how find and check were kept apart.
        leaked: prompts of check that are, or nearly are, in find.
        notes: a line each.
    """

    asked: Numbers
    got: Numbers
    rule: str
    leaked: Overlap
    notes: tuple[str, ...]


def chosen(gathered: Gathered, categories: Sequence[str]) -> list[Record]:
    """The records of some categories.

    Raises:
        ContrastError: a category that the set does not have.
    """
    there = dict.fromkeys(sorted(each.category for each in gathered.records))
    unknown = [name for name in categories if name not in there]
    if unknown:
        raise ContrastError(
            f"{gathered.name} has no category {listed(unknown)}. Its categories: "
            f"{listed(list(there), most=50)}."
        )
    if not categories:
        return list(gathered.records)
    return [each for each in gathered.records if each.category in categories]


@without_collecting()
def contrasts_of(
    gathered: Gathered, records: Sequence[Record], per_category: int, seed: int, *, equal: bool
) -> tuple[dict[Split, tuple[Example, ...]], Balanced]:
    """Balanced examples by split, and what there was of each.

    Raises:
        ContrastError: no balanced comparison is possible, or one split would be empty.
    """
    from interlock.datasets.balance import draw, require_both
    from interlock.datasets.splits import divide

    require_both(records, gathered.name)
    divided = divide(records, seed)
    drawn = {
        split: draw(divided.splits[split], per_category, seed, equal=equal) for split in SPLITS
    }
    names = sorted({each.category for each in records})
    asked = {split: dict.fromkeys(names, per_category) for split in SPLITS}
    got = {
        split: {name: found.got.get(name, 0) for name in names} for split, found in drawn.items()
    }
    there = {
        split: {name: found.there.get(name, (0, 0)) for name in names}
        for split, found in drawn.items()
    }
    for split, found in drawn.items():
        if not found.records:
            raise ContrastError(
                f"{gathered.name} has too few unlike prompts for both find and check: nothing is "
                f"left for {split}"
                + (" at equal numbers" if equal else "")
                + ". A column of topics or pairs tells what may be kept apart."
            )
    examples: dict[Split, tuple[Example, ...]] = {
        split: tuple(_example(each) for each in drawn[split].records) for split in SPLITS
    }
    leaked = between(*([each.prompt for each in examples[split]] for split in ("check", "find")))
    notes = (
        *divided.notes,
        *_short(gathered.name, per_category, got, there),
        *_leaks(gathered.name, leaked),
    )
    return examples, Balanced(asked, got, divided.rule, leaked, notes)


@without_collecting()
def alone_of(
    gathered: Gathered, records: Sequence[Record], per_category: int, seed: int, *, equal: bool
) -> tuple[dict[Split, tuple[Example, ...]], Balanced]:
    """As `contrasts_of`, of a set of ours whose prompts are all of one kind."""
    from interlock.datasets.balance import draw_one_kind
    from interlock.datasets.splits import divide

    divided = divide(records, seed)
    drawn = {
        split: draw_one_kind(divided.splits[split], per_category, seed, equal=equal)
        for split in SPLITS
    }
    examples: dict[Split, tuple[Example, ...]] = {
        split: tuple(_example(each) for each in drawn[split].records) for split in SPLITS
    }
    names = sorted({each.category for each in records})
    got = {
        split: {name: found.got.get(name, 0) for name in names} for split, found in drawn.items()
    }
    asked = {split: dict.fromkeys(names, per_category) for split in SPLITS}
    kind = "harmless" if records[0].expected == "comply" else "harmful"
    notes = [*divided.notes, f"{gathered.name}: all prompts are {kind}, so there are no pairs."]
    for split, numbers in got.items():
        fewer = [f"{name} {count:,}" for name, count in numbers.items() if count < per_category]
        if fewer:
            notes.append(
                f"{gathered.name}.{split}: asked for {per_category:,} {kind} prompts of each "
                f"category; got {', '.join(fewer)}."
            )
    leaked = between(*([each.prompt for each in examples[split]] for split in ("check", "find")))
    return examples, Balanced(asked, got, divided.rule, leaked, tuple(notes))


def _leaks(name: str, leaked: Overlap) -> list[str]:
    """A line if prompts of check are nearly in find, which unlike topics do not rule out."""
    if not leaked.exact + leaked.near:
        return []
    first, second = (shown(each) for each in leaked.examples[0])
    return [
        f"{name}: {leaked.exact + leaked.near:,} of {leaked.prompts:,} prompts of check are nearly "
        f"in find, such as {first} and {second}."
    ]


def _example(record: Record) -> Example:
    end = "harmful" if record.expected == "refuse" else "harmless"
    return Example(
        id=f"{record.key[:12]}-{end}",
        prompt=record.prompt,
        category=record.category,
        expected=record.expected,
        topic=record.topic,
        pair=record.pair,
    )


def _short(
    name: str,
    asked: int,
    got: Numbers,
    there: Mapping[str, Mapping[str, tuple[int, int]]],
) -> list[str]:
    """A line for each split in which some category has fewer than asked for."""
    lines = []
    for split, numbers in got.items():
        fewer = [
            f"{category} {count:,} (of {there[split][category][0]:,} harmful, "
            f"{there[split][category][1]:,} harmless)"
            for category, count in numbers.items()
            if count < asked
        ]
        if fewer:
            lines.append(
                f"{name}.{split}: asked for {asked:,} harmful and as many harmless prompts of each "
                f"category; got {', '.join(fewer)}."
            )
    return lines


def _grammar(
    per_category: int, passages: int, lookalikes: Contrast, seed: int, system: System
) -> Sets:
    splits: dict[str, Contrast] = {
        split: grammar_set.contrast(split, per_category, seed, system) for split in SPLITS
    }
    got = {split: grammar_set.got(found) for split, found in splits.items()}
    asked = {split: dict.fromkeys(numbers, per_category) for split, numbers in got.items()}
    notes = tuple(
        f"{GRAMMAR}.{split}: asked for {per_category:,} minimal pairs of each category; got "
        + ", ".join(f"{name} {count:,}" for name, count in numbers.items())
        + "."
        for split, numbers in got.items()
        if min(numbers.values()) < per_category
    )
    neutral = grammar_set.passages(passages, seed)
    return Sets(splits, neutral, lookalikes, asked, got, grammar_set.RULE, notes)
