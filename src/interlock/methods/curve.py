"""How many components carry the effect? The best 1, 2, 3, ... units together, selection repeated.

1. Rank units by the effects found on another split, both directions.
2. Patch the first 1, 2, 3, ... of them together: removing them (noise) or restoring them (denoise).
3. Do it again for rankings by resampled topics of the other split: which units come first depends
   on the prompts, and a curve of one ranking hides that.
4. Do the same with random sets of the same kinds and layers.

`verification.curves` reads off how many carry a share, and how alike the rankings are.

Source: bootstrap of the selection: Meloux et al. (2025, arXiv:2510.00845).
"""

from typing import Literal

import numpy as np

from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.exchange import READS, joint_effects, usable_pairs
from interlock.measures import openers_of
from interlock.model import Model, Shape
from interlock.parameters import share_of_parameters
from interlock.scores import Scores
from interlock.selection import matched_sets, top_under, unit_sites
from interlock.sites import Site
from interlock.store import each
from interlock.tables import Table, from_rows

_SETS = 25  # sets of sites to a shard


def curve(
    model: Model,
    pairs: Contrast,
    denoise: Scores,
    noise: Scores,
    replies: Table,
    *,
    direction: Literal["denoise", "noise"] = "noise",
    sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 7, 10, 15, 20),
    resamples: int = 20,
    controls: int = 5,
    groups: int = 12,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per set and pair: effect (nat) of the first units together, beside the gap.

    Column `draw` is 0 for the ranking by all prompts, and counts the resampled ones and the random
    sets from 1; `parameters` is the share of the model's parameters that a set has.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split, not the one the effects are from.
        denoise: effects of every unit on the other split.
        noise: the same the other way round; a unit's larger share ranks it.
        replies: judged replies, which give the opening tokens.
        direction: noise removes the units, denoise restores them alone.
        sizes: how many of the first units to take together; larger ones than there are units are
            left away.
        resamples: rankings by resampled topics.
        controls: matched random sets per size.
        groups: how many groups a layer's neurons were split into.
        batch: pairs at once, at most.
        seed: of resamples and random sets.

    Raises:
        ContrastError: the effects are of this very split, no pair can be used, or the replies hold
            no refusal.
    """
    if pairs.split == denoise.about.get("split"):
        raise ContrastError(
            f"These effects were measured on {pairs.split}, the split this step judges; rank on "
            "one split and judge on the other."
        )
    usable, dropped = usable_pairs(model, pairs, ("all",))
    kept = tuple(size for size in sizes if size <= len(denoise.sites))
    rankings = _rankings(denoise, noise, max(kept), resamples, seed)
    wanted = [
        ("found", draw, ranking[:size]) for draw, ranking in enumerate(rankings) for size in kept
    ]
    candidates = unit_sites(model.shape, groups)
    wanted += [
        ("matched random", number + 1, drawn)
        for size in kept
        for number, drawn in enumerate(
            matched_sets(rankings[0][:size], candidates, controls, seed + size)
        )
    ]
    # resampled rankings often agree: every set is measured once, whatever its order
    sets = list(dict.fromkeys(frozenset(chosen) for _, _, chosen in wanted))
    openers = openers_of(replies)
    shards = each(
        f"curve {direction}",
        [sets[start : start + _SETS] for start in range(0, len(sets), _SETS)],
        lambda part: joint_effects(
            model, usable, openers, [tuple(one) for one in part], direction, batch
        ),
    )
    measured = dict(zip(sets, (row for shard in shards for row in shard), strict=True))
    large = {one: share_of_parameters(model, tuple(one)) for one in sets}
    rows = [
        {
            "kind": kind,
            "draw": draw,
            "size": len(chosen),
            "sites": " ".join(map(str, chosen)),
            "parameters": large[frozenset(chosen)],
            "example": row.id,
            "topic": topic,
            "effect": effect,
            "gap": gap,
        }
        for kind, draw, chosen in wanted
        for row, topic, (effect, gap) in zip(
            usable.harmful, usable.topics, measured[frozenset(chosen)], strict=True
        )
    ]
    about = {
        "direction": direction,
        "found on": denoise.about.get("split", ""),
        "split": pairs.split,
        "units": str(len(denoise.sites)),
        "pairs dropped (not aligned)": str(dropped),
    }
    units = {"effect": "nat", "gap": "nat", "parameters": "share of all parameters"}
    return from_rows(rows, units=units, about=about)


def curve_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per set and pair if no two rankings agree, and per shard of sets both sides."""
    sets = len(options["sizes"]) * (1 + options["resamples"] + options["controls"])
    return Cost(prompts=(sets + READS * -(-sets // _SETS)) * examples // 2)


def _rankings(
    denoise: Scores, noise: Scores, count: int, resamples: int, seed: int
) -> list[tuple[Site, ...]]:
    """The first units by all examples, and by every resample of topics."""
    labels, members = np.unique(np.asarray(denoise.clusters), return_inverse=True)
    generator = np.random.default_rng(seed)
    times = generator.multinomial(
        len(labels), np.full(len(labels), 1 / len(labels)), size=resamples
    )
    weights = np.vstack([np.ones(len(members)), times[:, members].astype(float)])
    return [
        tuple(site.at("all") for site in top_under(count, (denoise, noise), row)) for row in weights
    ]
