"""Which units restore the behaviour together? Forward selection by joint effect.

Units ranked one by one may repeat each other, all in one circuit, and leave another circuit out.

1. Candidates come in an order, such as that of their single effects.
2. In each round every candidate is patched together with all units taken so far, and the one with
   the largest joint effect is taken; of equal ones the first. Of an effect beyond a pair's gap only
   the gap counts, so that too much on some pairs does not hide too little on others.
3. It ends when no candidate adds `LEAST` of the gap, or after a number of rounds.

A unit that does nothing beside what was taken so far is not taken, also if it does something
together with a third: parts of an AND are found by what reads them, not by this search.

Source: forward stepwise selection: Hastie, Tibshirani & Friedman (2009, section 3.3.2); effects as
in `patching`.
"""

from typing import Literal

import numpy as np

from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.exchange import READS, joint_effects, usable_pairs
from interlock.measures import openers_of
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.selection import unit_sites
from interlock.sites import Site
from interlock.store import each
from interlock.tables import Table

LEAST = 0.01  # share of the gap that another unit must add
_TYPICAL = 20  # candidates, where a cost is counted before they are found


def search(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    replies: Table,
    *,
    direction: Literal["denoise", "noise"] = "denoise",
    rounds: int = 8,
    groups: int = 12,
    batch: int = 32,
) -> Scores:
    """What would be missing (nat) of the joint effect without a unit and all taken after it.

    So the top units by it are those taken, in their order. Then come the other candidates in the
    order given, and all further units; theirs is 0.

    Args:
        model: the model studied.
        pairs: minimal pairs of the split that sites are found on.
        sites: the candidates, best first.
        replies: judged replies, which give the opening tokens.
        direction: as in `patching`.
        rounds: most units that are taken, at least one.
        groups: how many groups a layer's neurons are split into.
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used, the replies hold no refusal, or there is no candidate.
    """
    if not sites:
        raise ContrastError("No site was found, so there is no set to search.")
    candidates = tuple(dict.fromkeys(site.at("all") for site in sites))
    openers = openers_of(replies)
    usable, dropped = usable_pairs(model, pairs, ("all",))
    taken: list[Site] = []
    gap = np.zeros(len(usable.harmful))
    before = [gap]
    for number in range(min(rounds, len(candidates))):
        left = [site for site in candidates if site not in taken]
        (found,) = each(
            f"search {direction} {number}",
            [[(*taken, site) for site in left]],
            lambda sets: joint_effects(model, usable, openers, sets, direction, batch),
        )
        effect, gaps = np.moveaxis(np.array(found), 2, 0)
        gap = gaps[0]
        effect = np.minimum(effect, gap)
        best = int(effect.sum(axis=1).argmax())
        if not effect[best].sum() - before[-1].sum() >= LEAST * abs(gap.sum()):
            break
        taken.append(left[best])
        before.append(effect[best])
    order = _order(taken, candidates, unit_sites(model.shape, groups))
    values = np.zeros((len(order), len(usable.harmful)))
    for row, reached in enumerate(before[:-1]):
        values[row] = before[-1] - reached
    about = {
        "direction": direction,
        "taken": " ".join(map(str, taken)),
        "candidates": str(len(candidates)),
        "pairs dropped (not aligned)": str(dropped),
        "split": pairs.split,
        "metric": "opening score (nat)",
    }
    ids = tuple(row.id for row in usable.harmful)
    return Scores(order, ids, usable.topics, values, gap, "nat of opening score", about)


def search_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per round, candidate left and pair, and per round both sides."""
    rounds = min(options["rounds"], _TYPICAL)
    sets = sum(_TYPICAL - number for number in range(rounds))
    return Cost(prompts=(sets + READS * rounds) * examples // 2)


def _order(
    taken: list[Site], candidates: tuple[Site, ...], units: tuple[Site, ...]
) -> tuple[Site, ...]:
    return tuple(dict.fromkeys([*taken, *candidates, *units]))
