"""Is the set found the mechanism? What is left of the score with it alone, without it, and parts.

For a set C of units in the model M, F(X) is the opening score of the harmful prompts while every
unit outside X is ablated, and F(M - K) while only K is.

1. Measure F(C - K) and F(M - K) for subsets K of C: none, all, every single unit, random subsets,
   and a greedy search for the K on which the two differ most (the worst case of completeness).
2. For minimality, measure F(C - K - v) for every unit v, with K empty and with K each of the first
   units alone: v may be idle only because another unit does the same.
3. Measure F(R) and F(M - R) for random sets R of the same kinds and layers.

`verification.circuits` makes faithfulness, completeness, minimality and necessity of it.

Source: Wang et al. (2023, arXiv:2211.00593, sections 4 and 4.1); faithfulness as a share and the
complement: Marks et al. (2025, arXiv:2403.19647, section 4); random circuits: Shi et al. (2024,
arXiv:2410.13032).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.measures import openers_of
from interlock.model import Model, Shape
from interlock.removal import Removal, removal, scores_without
from interlock.selection import matched_sets, unit_sites
from interlock.sites import Site
from interlock.tables import Table, from_rows

_Set = frozenset[Site]
_TYPICAL = 5  # units of a set, where a cost is counted before one is found


def faithfulness(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    replies: Table,
    *,
    ablate: Literal["mean", "resample"] = "resample",
    controls: int = 100,
    subsets: int = 10,
    greedy: int = 5,
    beside: int = 4,
    groups: int = 12,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per ablated set and pair: the harmful prompt's opening score (nat).

    Column `part` is `circuit` for F(C - K), `model` for F(M - K), `random circuit` and `random
    model` for F(R) and F(M - R); `without` names K, empty for none.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split, not the one the sites were found on.
        sites: the set found.
        replies: judged replies, which give the opening tokens.
        ablate: to the mean of these pairs' harmless prompts, or to the pair's own harmless prompt.
        controls: how many matched random sets.
        subsets: how many random subsets K.
        greedy: most units that the greedy search puts into K.
        beside: how many of the first units are tried as K for minimality.
        groups: how many groups a layer's neurons were split into.
        batch: pairs at once, at most.
        seed: of the random sets and subsets.

    Raises:
        ContrastError: no pair can be used, the replies hold no refusal, no site was found, or
            a site is none of the units.
    """
    if not sites:
        raise ContrastError("No site was found, so there is no set to verify.")
    chosen = tuple(dict.fromkeys(site.at("all") for site in sites))
    candidates = unit_sites(model.shape, groups)
    _require_units(candidates, chosen)
    openers = openers_of(replies)
    removing = removal(model, pairs, openers, candidates, ablate=ablate, batch=batch)
    asked = _Asked(removing, chosen, frozenset(candidates))
    asked.measure(_subsets(chosen, subsets, beside, seed), "subsets")
    asked.search(greedy)
    random = matched_sets(chosen, candidates, controls, seed)
    complements = [asked.all - set(one) for one in random]
    alone, less = (
        scores_without(removing, [_ordered(one) for one in group], label)
        for group, label in ((complements, "random circuits"), (random, "without random sets"))
    )
    rows = [
        row for (part, cut), found in asked.found.items() for row in asked.rows(part, cut, found)
    ]
    for number, (first, second) in enumerate(zip(alone, less, strict=True)):
        rows += asked.rows("random circuit", frozenset(), first, number)
        rows += asked.rows("random model", frozenset(), second, number)
    about = {
        "ablation": removing.how,
        "acts on": "prompt tokens",
        "sites": " ".join(map(str, chosen)),
        "units": str(len(candidates)),
        "pairs dropped (not aligned)": str(removing.dropped),
        "split": pairs.split,
    }
    return from_rows(rows, units={"score": "nat of opening score"}, about=about)


def faithfulness_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per set and pair, the means and the gap once; for a set of five units."""
    size = _TYPICAL
    cuts = 2 + size * (1 + options["beside"]) + options["subsets"]
    cuts += sum(size - step for step in range(min(options["greedy"], size)))
    sets = 2 * (cuts + options["controls"])
    once = 2 + int(options["ablate"] == "mean")
    return Cost(prompts=(sets + once) * examples // 2)


@dataclass
class _Asked:
    """Sets measured so far, by part and K."""

    removing: Removal
    chosen: tuple[Site, ...]
    all: _Set
    found: dict[tuple[str, _Set], np.ndarray] = field(default_factory=dict)

    def measure(self, cuts: Iterable[_Set], label: str) -> None:
        """Both F(C - K) and F(M - K) for every K not measured yet."""
        new = [cut for cut in dict.fromkeys(cuts) if ("circuit", cut) not in self.found]
        outside = self.all - set(self.chosen)
        circuit = scores_without(
            self.removing, [_ordered(outside | cut) for cut in new], f"circuit {label}"
        )
        whole = scores_without(self.removing, [_ordered(cut) for cut in new], f"model {label}")
        for cut, first, second in zip(new, circuit, whole, strict=True):
            self.found["circuit", cut], self.found["model", cut] = first, second

    def search(self, most: int) -> None:
        """Greedy search for the K on which circuit and model differ most."""
        cut: _Set = frozenset()
        for step in range(min(most, len(self.chosen))):
            tried = [cut | {site} for site in self.chosen if site not in cut]
            self.measure(tried, f"greedy {step}")
            cut = max(tried, key=self._difference)

    def _difference(self, cut: _Set) -> float:
        return abs(float((self.found["circuit", cut] - self.found["model", cut]).mean()))

    def rows(self, part: str, cut: _Set, scores: np.ndarray, number: int = 0) -> list[dict]:
        pairs = self.removing.pairs
        without = " ".join(map(str, _ordered(cut)))
        return [
            {
                "part": part,
                "without": without,
                "number": number,
                "example": row.id,
                "topic": topic,
                "category": category,
                "score": score,
            }
            for row, topic, category, score in zip(
                pairs.harmful, pairs.topics, pairs.categories, scores.tolist(), strict=True
            )
        ]


def _subsets(chosen: Sequence[Site], count: int, beside: int, seed: int) -> list[_Set]:
    """None, all, every single unit, every unit with each of the first ones, random subsets."""
    cuts = [frozenset[Site](), frozenset(chosen)]
    cuts += [frozenset({site}) for site in chosen]
    cuts += [frozenset({site, other}) for other in chosen[:beside] for site in chosen]
    generator = np.random.default_rng(seed)
    for _ in range(count):
        kept = generator.random(len(chosen)) < 0.5
        cuts.append(frozenset(site for site, inside in zip(chosen, kept, strict=True) if inside))
    return cuts


def _require_units(candidates: Sequence[Site], chosen: Sequence[Site]) -> None:
    known = set(candidates)
    for site in chosen:
        if site not in known:
            raise ContrastError(
                f"{site} is none of the units that layers are split into; give sites found with "
                "the same `groups`, so that the units outside the set are known."
            )


def _ordered(sites: Iterable[Site]) -> tuple[Site, ...]:
    return tuple(sorted(sites, key=lambda site: (site.layer, site.kind, site.index or (0, 0))))
