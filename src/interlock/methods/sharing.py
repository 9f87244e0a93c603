"""Do all categories of harm share one substrate? Ablate what was found on one, measure on another.

1. On one split, rank units for every category by the effects on that category's pairs alone: on all
   its topics, and on two halves of them (`category_sets`).
2. Units in the sets of more than half of the categories are the core; what a category's set has
   besides is its own part.
3. On the other split, ablate every category's set, its halves' sets, its own part, the core and
   random sets, and measure the fall on the pairs of every category (`category_matrix`).

Whole sets alone cannot tell a shared mechanism from private detectors in front of a shared rest:
either way one category's set takes the others' refusal with it. The own parts can.
`verification.sharing` decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.measures import openers_of
from interlock.model import Model, Shape
from interlock.removal import Removal, removal, scores_without
from interlock.scores import Scores
from interlock.selection import matched_sets, top_under, unit_sites
from interlock.sites import Site, parse
from interlock.stats import by_group
from interlock.tables import Table, from_rows

_TYPICAL = 6  # categories, where a cost is counted before any is known


def category_sets(
    model: Model, pairs: Contrast, denoise: Scores, noise: Scores, *, count: int = 5, seed: int = 0
) -> Table:
    """The top units of every category, from all its topics and from each half of them.

    Args:
        model: the model studied.
        pairs: the pairs that were scored.
        denoise: effects of every unit, harmful values put into the harmless run.
        noise: the same the other way round; a unit's larger share ranks it.
        count: units to a set.
        seed: of the halves.

    Raises:
        ContrastError: the scores are of other prompts, or fewer than two categories have two
            topics.
    """
    groups = _examples_by_category(pairs, denoise)
    generator = np.random.default_rng(seed)
    rows = []
    for category, members in groups.items():
        for part, kept in _parts(members, denoise.clusters, generator).items():
            weights = np.zeros(len(denoise.examples))
            weights[kept] = 1
            chosen = top_under(count, (denoise, noise), weights)
            rows += [
                {
                    "category": category,
                    "part": part,
                    "rank": rank,
                    "site": str(site.at("all")),
                    "examples": len(kept),
                    "topics": len({denoise.clusters[row] for row in kept}),
                }
                for rank, site in enumerate(chosen)
            ]
    about = {"split": pairs.split, "units to a set": str(count), "model": model.name}
    return from_rows(rows, about=about)


def category_sets_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run: the effects are known."""
    return Cost()


def category_matrix(
    model: Model,
    pairs: Contrast,
    sets: Table,
    replies: Table,
    *,
    ablate: Literal["mean", "resample"] = "resample",
    controls: int = 8,
    groups: int = 12,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per ablated set and pair: the fall of the score (nat) beside the pair's gap.

    Column `source` is the category that a set was found on, `target` that of the pair; `part` is
    `whole`, `first`, `second` (halves), `own`, `core` or `matched random`.

    Args:
        model: the model studied.
        pairs: minimal pairs of the other split than the sets were found on.
        sets: as `category_sets` made them.
        replies: judged replies, which give the opening tokens.
        ablate: to the mean of these pairs' harmless prompts, or to the pair's own harmless prompt.
        controls: matched random sets for every category.
        groups: how many groups a layer's neurons were split into.
        batch: pairs at once, at most.
        seed: of the random sets.

    Raises:
        ContrastError: the sets were found on this very split, no pair can be used, or the replies
            hold no refusal.
    """
    if sets.about.get("split") == pairs.split:
        raise ContrastError(
            f"These sets were found on {pairs.split}, the split this step judges; find them on one "
            "split and judge them on the other."
        )
    found = _sets_of(sets)
    named = [*found, *_split_up(found), *_random(model.shape, found, controls, groups, seed)]
    touched = tuple(dict.fromkeys(site for one in named for site in one.sites))
    removing = removal(model, pairs, openers_of(replies), touched, ablate=ablate, batch=batch)
    scores = scores_without(removing, [one.sites for one in named], "category sets")
    rows = [
        row
        for one, without in zip(named, scores, strict=True)
        for row in _rows(one, removing, removing.before - without)
    ]
    about = {
        "ablation": removing.how,
        "acts on": "prompt tokens",
        "found on": sets.about.get("split", ""),
        "split": pairs.split,
        "pairs dropped (not aligned)": str(removing.dropped),
        **{f"{one.part} {one.source}".strip(): " ".join(map(str, one.sites))
           for one in named if one.part in ("whole", "own", "core")},
    }  # fmt: skip
    return from_rows(rows, units={"effect": "nat", "gap": "nat"}, about=about)


def category_matrix_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per set and pair: five sets of each of six categories, the core, and controls."""
    sets = _TYPICAL * (4 + options["controls"]) + 1
    once = 2 + int(options["ablate"] == "mean")
    return Cost(prompts=(sets + once) * examples // 2)


@dataclass(frozen=True)
class _Named:
    """A set of units, the category it was found on, and which part of that finding it is."""

    source: str
    part: str
    sites: tuple[Site, ...]
    number: int = 0


def _examples_by_category(pairs: Contrast, scores: Scores) -> Mapping[str, np.ndarray]:
    """Columns of the scores by category, for categories of at least two topics."""
    category = {example.id: example.category for example in pairs.expecting("refuse")}
    unknown = [name for name in scores.examples if name not in category]
    if unknown:
        raise ContrastError(
            f"{len(unknown)} of the {len(scores.examples)} scored pairs are not in "
            f"{pairs.name}.{pairs.split}; score the units on the same pairs."
        )
    groups = by_group([category[name] for name in scores.examples])
    large = {
        name: members
        for name, members in groups.items()
        if len({scores.clusters[row] for row in members}) > 1
    }
    if len(large) < 2:
        raise ContrastError(
            f"{len(large)} of {len(groups)} categories of {pairs.name}.{pairs.split} have two "
            "topics; comparing categories needs at least two of them. Use more prompts."
        )
    return large


def _parts(
    members: np.ndarray, clusters: Sequence[str], generator: np.random.Generator
) -> Mapping[str, list[int]]:
    """A category's columns: all, and those of two halves of its topics."""
    topics = sorted({clusters[int(row)] for row in members})
    shuffled = [topics[place] for place in generator.permutation(len(topics))]
    first = set(shuffled[: len(shuffled) // 2])
    return {
        "whole": members.tolist(),
        "first": [row for row in members.tolist() if clusters[row] in first],
        "second": [row for row in members.tolist() if clusters[row] not in first],
    }


def _sets_of(table: Table) -> list[_Named]:
    found: dict[tuple[str, str], list[Site]] = {}
    for row in table.rows():
        key = (str(row["category"]), str(row["part"]))
        found.setdefault(key, []).append(parse(str(row["site"])))
    return [_Named(category, part, tuple(sites)) for (category, part), sites in found.items()]


def _split_up(found: Sequence[_Named]) -> list[_Named]:
    """The core, and what every category's set has besides."""
    whole = [one for one in found if one.part == "whole"]
    sites = dict.fromkeys(site for one in whole for site in one.sites)
    core = tuple(site for site in sites if 2 * sum(site in one.sites for one in whole) > len(whole))
    own = [
        _Named(one.source, "own", tuple(site for site in one.sites if site not in core))
        for one in whole
    ]
    return [*own, _Named("", "core", core)]


def _random(
    shape: Shape, found: Sequence[_Named], count: int, groups: int, seed: int
) -> list[_Named]:
    candidates = unit_sites(shape, groups)
    whole = [one for one in found if one.part == "whole"]
    everything = {site for one in whole for site in one.sites}
    # random sets hold no unit that was found on any category
    spare = [site for site in candidates if site not in everything]
    return [
        _Named(one.source, "matched random", drawn, number)
        for place, one in enumerate(whole)
        for number, drawn in enumerate(matched_sets(one.sites, spare, count, seed + place))
    ]


def _rows(one: _Named, removing: Removal, effects: np.ndarray) -> list[dict]:
    pairs = removing.pairs
    return [
        {
            "source": one.source,
            "part": one.part,
            "number": one.number,
            "size": len(one.sites),
            "target": category,
            "example": row.id,
            "topic": topic,
            "effect": effect,
            "gap": gap,
        }
        for row, topic, category, effect, gap in zip(
            pairs.harmful,
            pairs.topics,
            pairs.categories,
            effects.tolist(),
            removing.gap.tolist(),
            strict=True,
        )
    ]
