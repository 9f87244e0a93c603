"""One substrate for all categories of harm, one for each, or both: from a category matrix.

A[i, j] is the share of category j's gap that goes when what was found on category i is ablated.

- own: mean of A[j, j]; cross: mean of A[i, j] over i != j; ceiling: the same as own for sets that
  were found on half of a category's topics, over own: how well the finding reproduces itself.
- sharing: cross over own, over the ceiling; 1 where another category's set does as well as one's
  own found again.
- private: what a category's own part (its set without the core) takes from itself beyond what it
  takes from the others, as a share of the gap.
- p_rows: share of the permutations of the sets over the categories with a diagonal at least as
  large as the true one. Where it does not matter on which category a set was found, all are alike.

Intervals resample topics within every category; the sets are held fixed, and the halves say how
much these would move.

The rules, in `verdict.RULES`, follow DESIGN section 7 (monolithic / modular), with the private
parts beside: a shared rest behind private detectors passes for shared by its whole sets, and is
mixed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, permutations
from math import factorial
from typing import Literal

import numpy as np
from jaxtyping import Float

from interlock.stats import CONFIDENCE, RESAMPLES, Estimate, by_group, permutation_p
from interlock.tables import Table, from_rows
from interlock.verdict import RULES, Evidence, Verdict, decide

Substrate = Literal["shared", "private", "mixed", "undetermined"]

_SUBSTRATES: tuple[Substrate, ...] = ("shared", "private", "mixed")
_MOST = 5040  # permutations of rows; all of them up to seven categories


@dataclass(frozen=True)
class Sharing:
    """What a category matrix says: which of the three, by which verdict, from which numbers."""

    substrate: Substrate
    verdicts: tuple[Verdict, ...]
    estimates: Mapping[str, Estimate]


def matrix(table: Table) -> Table:
    """A[i, j] with its interval, for every set of a table of `methods.category_matrix`."""
    draws = _Draws(table)
    rows = []
    for (part, source, number), found in draws.by_set().items():
        for place, target in enumerate(draws.targets):
            size = draws.sizes[place]
            low, high = draws.interval(found.drawn[place], [size])
            rows.append(
                {
                    "part": part,
                    "source": source,
                    "number": number,
                    "size": found.size,
                    "target": target,
                    "share": float(found.value[place]),
                    "low": low,
                    "high": high,
                    "n": int((table["target"] == target).sum() // len(draws.by_set())),
                    "topics": size,
                }
            )
    about = {**table.about, "interval": f"{CONFIDENCE:.0%}, bootstrap over the category's topics"}
    return from_rows(rows, units={"share": "share of the gap"}, about=about)


def sharing(table: Table, seed: int = 0) -> Sharing:
    """Shared, private or mixed: the declared rules applied to a table of `category_matrix`."""
    estimates = quantities(table, seed)
    evidence = Evidence(
        estimates, "random sets of the same size, kinds and layers", "category matrix"
    )
    verdicts = tuple(decide(RULES[name], evidence) for name in _SUBSTRATES)
    return Sharing(which(verdicts), verdicts, estimates)


def which(verdicts: tuple[Verdict, ...]) -> Substrate:
    """The one of shared, private and mixed that is supported, in this order; else undetermined."""
    supported: list[Substrate] = [
        name
        for name, verdict in zip(_SUBSTRATES, verdicts, strict=True)
        if verdict.outcome == "supported"
    ]
    return supported[0] if supported else "undetermined"


def quantities(table: Table, seed: int = 0) -> Mapping[str, Estimate]:
    """Every number that the rules look at."""
    draws = _Draws(table, seed)
    order = [name for name in draws.targets if ("whole", name, 0) in draws.by_set()]
    places = [draws.targets.index(name) for name in order]
    blocks = {
        part: draws.block(part, order, places) for part in ("whole", "first", "second", "own")
    }
    inside, outside = np.eye(len(order), dtype=bool), ~np.eye(len(order), dtype=bool)
    own, cross = blocks["whole"][inside].mean(axis=0), blocks["whole"][outside].mean(axis=0)
    halves = (blocks["first"][inside].mean(axis=0) + blocks["second"][inside].mean(axis=0)) / 2
    private = blocks["own"][inside].mean(axis=0) - blocks["own"][outside].mean(axis=0)
    shared = cross / halves  # cross over own, over halves over own
    point = blocks["whole"][..., 0]
    p, tried = _row_p(point, seed)
    estimates = {
        "own": draws.estimate(own, places, "share of the gap"),
        "cross": draws.estimate(cross, places, "share of the gap"),
        "ceiling": draws.estimate(halves / own, places, "share of own"),
        "sharing": draws.estimate(shared, places, "share of what own sets found again do"),
        "private": draws.estimate(private, places, "share of the gap"),
        "apart": draws.estimate(np.maximum(private, 1 - shared), places, "share"),
        "p_rows": _counted(p, tried, f"{tried} permutations of rows", "p"),
        "categories": _counted(len(order), len(order), "counted", "categories"),
        "topics": _counted(
            sum(draws.sizes[place] for place in places), len(table), "counted", "topics"
        ),
    }
    random = [
        found.drawn_all for key, found in draws.by_set().items() if key[0] == "matched random"
    ]
    drawn = len(random)
    estimates["control_sets"] = _counted(drawn, drawn, "counted", "sets")
    if random:
        level = np.mean([values[places].mean(axis=0) for values in random], axis=0)
        estimates["random"] = draws.estimate(level, places, "share of the gap")
    else:
        how = "no random set could be matched"
        estimates["random"] = Estimate(float("nan"), -np.inf, np.inf, 0, 0, how)
    return estimates


@dataclass(frozen=True, eq=False)
class _Set:
    """A set's share of every category's gap: the estimate, and under every resample."""

    size: int
    value: Float[np.ndarray, " target"]
    drawn: Float[np.ndarray, "target draw"]

    @property
    def drawn_all(self) -> Float[np.ndarray, "target all"]:
        """The estimate first, then the resamples."""
        return np.concatenate([self.value[:, None], self.drawn], axis=1)


class _Draws:
    """Every set's effects under the same resamples of topics within categories."""

    def __init__(self, table: Table, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.targets: list[str] = list(by_group(table["target"].tolist()))
        self._weights: dict[str, dict[str, np.ndarray]] = {}
        self.sizes: list[int] = []
        for target in self.targets:
            topics = sorted(set(table.where(target=target)["topic"].tolist()))
            count = len(topics)
            drawn = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
            self._weights[target] = dict(zip(topics, drawn.T.astype(float), strict=True))
            self.sizes.append(count)
        self._sets = self._read(table)

    def by_set(self) -> Mapping[tuple[str, str, int], _Set]:
        """Every set by part, source and number."""
        return self._sets

    def block(
        self, part: str, order: list[str], places: list[int]
    ) -> Float[np.ndarray, "source target all"]:
        """A part's matrix: the estimate first, then the resamples."""
        return np.stack([self._sets[part, name, 0].drawn_all[places] for name in order])

    def estimate(self, values: Float[np.ndarray, " all"], places: list[int], unit: str) -> Estimate:
        """An estimate of its value and resamples."""
        sizes = [self.sizes[place] for place in places]
        low, high = self.interval(values[1:], sizes)
        how = f"bootstrap over {sum(sizes)} topics within {len(sizes)} categories"
        return Estimate(float(values[0]), low, high, sum(sizes), sum(sizes), how, unit)

    def interval(self, drawn: Float[np.ndarray, " draw"], sizes: list[int]) -> tuple[float, float]:
        """Expanded percentile interval for strata of so many topics each."""
        free = sum(sizes) - len(sizes)
        if free < 1 or min(sizes) < 2:
            return -np.inf, np.inf
        from scipy import stats as scipy_stats

        # a stratum's resamples vary too little by (size - 1) / size; see `stats.expanded`
        wider = float(np.sqrt(np.mean([size / (size - 1) for size in sizes])))
        reach = wider * scipy_stats.t.ppf(0.5 + CONFIDENCE / 2, free)
        tail = float(scipy_stats.norm.cdf(-reach))
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return float(low), float(high)

    def _read(self, table: Table) -> dict[tuple[str, str, int], _Set]:
        columns = {name: table[name] for name in ("effect", "gap", "topic", "target", "size")}
        keys = zip(
            table["part"].tolist(), table["source"].tolist(), table["number"].tolist(), strict=True
        )
        groups: dict[tuple[str, str, int], list[int]] = {}
        for row, key in enumerate(keys):
            groups.setdefault(key, []).append(row)
        found = {}
        for key, members in groups.items():
            value, drawn = [], []
            for target in self.targets:
                rows = [row for row in members if columns["target"][row] == target]
                effect, gap = columns["effect"][rows], columns["gap"][rows]
                weights = np.stack([self._weights[target][t] for t in columns["topic"][rows]])
                value.append(effect.sum() / gap.sum())
                drawn.append((effect @ weights) / (gap @ weights))
            size = int(columns["size"][members[0]])
            found[key] = _Set(size, np.array(value), np.stack(drawn))
        return found


def _row_p(block: Float[np.ndarray, "source target"], seed: int) -> tuple[float, int]:
    """Permutation value of the diagonal against other assignments of rows to columns."""
    count = len(block)
    columns = np.arange(count)
    observed = float(block[columns, columns].mean())
    if factorial(count) <= _MOST:
        # the identity comes first and is the observed one
        orders = list(islice(permutations(range(count)), 1, None))
    else:
        generator = np.random.default_rng(seed)
        orders = [tuple(generator.permutation(count)) for _ in range(_MOST)]
    # a hair below, so that equal sums in another order count as equal
    means = np.array([block[list(order), columns].mean() for order in orders]) + 1e-12
    return permutation_p(observed, means), len(orders) + 1


def _counted(value: float, n: int, how: str, unit: str) -> Estimate:
    return Estimate(value, value, value, n, n, how, unit)
