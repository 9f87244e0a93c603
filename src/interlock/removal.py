"""Taking units away: the opening score of harmful prompts while sets of units are ablated.

Every set acts on all prompt tokens. A unit that is taken away holds its mean over the pairs'
harmless prompts, or what the pair's own harmless prompt had there (resampling). What is kept can be
asked for by taking everything else away. Answers are exact (`replay`).

Source: mean ablation: Wang et al. (2023, arXiv:2211.00593, section 2); the partner's values: Zhang
& Nanda (2024, arXiv:2309.16042).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from interlock.activations import reference
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.edits import Edit, mean
from interlock.encoding import Pairs, collate
from interlock.exchange import PairRows, effects, read_sides, rows_of, usable_pairs
from interlock.means import Reference
from interlock.measures import opening_scores
from interlock.metrics import Openers, opening_score
from interlock.model import Model
from interlock.replay import keep, replay
from interlock.sites import Site
from interlock.store import each

Ablation = Literal["mean", "resample"]
_SETS = 25  # sets of sites to a shard


@dataclass(frozen=True, eq=False)
class Removal:
    """Pairs that can be compared token by token, and what a unit that is taken away holds.

    Attributes:
        model: the model studied.
        pairs: the encoded pairs.
        dropped: how many pairs could not be aligned.
        openers: the tokens that the score compares.
        before: opening score (nat) of each harmful prompt as it is.
        gap: that, minus the score of its harmless partner.
        means: means over the harmless prompts; None where the partner's own values are taken.
        batch: pairs at once, at most.
    """

    model: Model
    pairs: Pairs
    dropped: int
    openers: Openers
    before: Float[np.ndarray, " example"]
    gap: Float[np.ndarray, " example"]
    means: Reference | None
    batch: int

    @property
    def how(self) -> str:
        """The ablation in words."""
        if self.means is None:
            return "resampled from the pair's harmless prompt"
        return f"mean of {self.means.n} {self.means.name}"


def removal(
    model: Model,
    pairs: Contrast,
    openers: Openers,
    sites: Sequence[Site],
    *,
    ablate: Ablation,
    batch: int,
) -> Removal:
    """What is needed to take any of these sites away.

    Raises:
        ContrastError: no pair can be used, or the prompts are of different templates.
    """
    usable, dropped = usable_pairs(model, pairs, ("all",))
    harmful, harmless = ([row[side] for row in rows_of(usable)] for side in (0, 1))
    means = None
    if ablate == "mean":
        name = f"harmless prompts of {pairs.name}.{pairs.split}"
        means = reference(model, harmless, sites, name=name, size=batch)
    before = opening_scores(model, harmful, openers, size=batch)
    gap = before - opening_scores(model, harmless, openers, size=batch)
    return Removal(model, usable, dropped, openers, before, gap, means, batch)


def scores_without(
    removing: Removal, sets: Sequence[Sequence[Site]], label: str
) -> Float[np.ndarray, "set example"]:
    """Opening score (nat) of every harmful prompt with each set taken away.

    Args:
        removing: as `removal` made it, for sites that include these.
        sets: sites at `@all`; an empty set takes nothing away.
        label: names the shards of this work, unique within a step.
    """
    full = [tuple(one) for one in sets if one]
    parts = [full[start : start + _SETS] for start in range(0, len(full), _SETS)]
    found = each(label, parts, lambda part: _scores(removing, part))
    rows = iter(row for part in found for row in part)
    scores = [next(rows) if one else removing.before.tolist() for one in sets]
    return np.array(scores).reshape(len(sets), len(removing.before))


def _scores(removing: Removal, sets: Sequence[tuple[Site, ...]]) -> list[list[float]]:
    """Scores by set and pair."""
    one = _with_partner if removing.means is None else _with_means
    rows = in_batches(
        rows_of(removing.pairs), removing.batch, lambda part: one(removing, part, sets)
    )
    return [list(column) for column in zip(*rows, strict=True)]


def _with_partner(
    removing: Removal, part: PairRows, sets: Sequence[tuple[Site, ...]]
) -> list[list[float]]:
    touched = tuple(dict.fromkeys(site for one in sets for site in one))
    sides = read_sides(removing.model, part, removing.openers, touched, "noise")
    found = effects(sides, [(one, ()) for one in sets])
    return (sides.score - found.values).T.tolist()


def _with_means(
    removing: Removal, part: PairRows, sets: Sequence[tuple[Site, ...]]
) -> list[list[float]]:
    assert removing.means is not None
    kept = keep(removing.model, collate(removing.model, [pair[0] for pair in part]))
    variants: list[list[Edit]] = [[mean(site, removing.means) for site in one] for one in sets]
    found = replay(kept, variants, lambda logits, _: opening_score(logits, removing.openers))
    return found.values.T.tolist()
