"""Do the parts found act together? Conditional patching: redundancy, conjunction, mediation.

One site at a time cannot see everything: either of two redundant sites is silent when it is noised
alone (an OR pair, a backup), either of two that are needed together is silent when it is denoised
alone (an AND pair), and one that is read by another carries the same effect again (a chain).

1. Take a few sites ranked by single effects, each given in turn, and other sites beside it.
2. `patched`: patch the given site and another together. Their interaction is the joint effect minus
   both single ones: positive for OR under noising and for AND under denoising, negative in a chain.
3. `held`: patch the other site while the given one is held at what the base run had there. What is
   lost of the single effect passes through the given site: an edge, direct or not. Only sites that
   come before the given one can lose anything, so only these are patched.

Source: pairwise interventions and why both directions: Heimersheim & Nanda (2024,
arXiv:2404.15255); compensation by backups: McGrath et al. (2023, arXiv:2307.15771).
"""

from collections.abc import Sequence
from typing import Literal

from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.exchange import (
    READS,
    Condition,
    Direction,
    PairRows,
    effects,
    read_sides,
    rows_of,
    usable_pairs,
)
from interlock.measures import openers_of
from interlock.metrics import Openers
from interlock.model import Model, Shape
from interlock.selection import unit_sites
from interlock.sites import Site, acts_before
from interlock.store import each
from interlock.tables import Table, from_rows

_Given = Literal["patched", "held"]


def interaction(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    replies: Table,
    *,
    direction: Literal["denoise", "noise"] = "noise",
    given: Literal["patched", "held"] = "patched",
    beside: Literal["units", "sites"] = "units",
    count: int = 6,
    groups: int = 12,
    batch: int = 32,
) -> Table:
    """One row per given site, other site and pair: joint and single effects (nat).

    `joint` is the effect of the other site with the given one patched too, or held; `alone` and
    `given_alone` are the effects of each by itself.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        sites: ranked, best first.
        replies: judged replies, which give the opening tokens.
        direction: denoise puts harmful values into the harmless run, noise the reverse.
        given: whether the given site is patched together with the other, or held at its own value.
        beside: what is patched with a given site: every unit, or the other given sites.
        count: how many of the first sites are given, one at a time.
        groups: how many groups a layer's neurons are split into.
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used, or the replies hold no refusal.
    """
    openers = openers_of(replies)
    usable, dropped = usable_pairs(model, pairs, ("all",))
    first = tuple(site.at("all") for site in sites[:count])
    others = first
    if beside == "units":
        others = tuple(dict.fromkeys((*first, *unit_sites(model.shape, groups))))

    def measure(site: Site | None) -> list[list[float]]:
        conditions = [_condition(site, other, given) for other in _beside(site, others, given)]

        def changes(part: PairRows) -> list[list[float]]:
            return _changes(model, part, openers, conditions, direction)

        return in_batches(rows_of(usable), batch, changes) if conditions else []

    singles, *joints = each(f"{given} {direction}", [None, *first], measure)
    rows = [
        {
            "given": str(site),
            "site": str(other),
            "example": row.id,
            "topic": topic,
            "joint": joint[number][column],
            "alone": singles[number][others.index(other)],
            "given_alone": singles[number][others.index(site)],
            "gap": singles[number][-1],
        }
        for site, joint in zip(first, joints, strict=True)
        for column, other in enumerate(_beside(site, others, given))
        if other != site
        for number, (row, topic) in enumerate(zip(usable.harmful, usable.topics, strict=True))
    ]
    about = {
        "direction": direction,
        "given": given,
        "split": pairs.split,
        "pairs dropped (not aligned)": str(dropped),
    }
    units = {"joint": "nat", "alone": "nat", "given_alone": "nat", "gap": "nat"}
    return from_rows(rows, units=units, about=about)


def interaction_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """For the single effects and each given site: both sides, and one pass per other site.

    Of the others about half come before a site that is held.
    """
    count, others = options["count"], options["count"]
    if options["beside"] == "units":
        others = len(unit_sites(shape, options["groups"]))
    passes = count * others / (2 if options["given"] == "held" else 1)
    return Cost(prompts=int((others + passes + (count + 1) * READS) * examples) // 2)


def _beside(given: Site | None, others: tuple[Site, ...], how: _Given) -> tuple[Site, ...]:
    """What is patched beside a given site; held, it can only be read by what comes after."""
    if given is None or how == "patched":
        return others
    return tuple(other for other in others if acts_before(other, given))


def _condition(given: Site | None, other: Site, how: _Given) -> Condition:
    if given is None:
        return (other,), ()
    # a given site beside itself is patched once
    return (tuple({other, given}), ()) if how == "patched" else ((other,), (given,))


def _changes(
    model: Model,
    part: PairRows,
    openers: Openers,
    conditions: Sequence[Condition],
    direction: Direction,
) -> list[list[float]]:
    """Every condition's effect on each pair, and last the pair's gap."""
    touched = tuple(
        dict.fromkeys(site for groups in conditions for sites in groups for site in sites)
    )
    sides = read_sides(model, part, openers, touched, direction)
    found = effects(sides, conditions).values.tolist()
    return [list(row) for row in zip(*found, sides.gap.tolist(), strict=True)]
