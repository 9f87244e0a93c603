"""Does SNIP find planted weights? Its ranking of single weights and of units, on known organisms.

`planted-weights-0` refuses by a known set of single weights. Every weight of the layers' linear
maps is ranked by a score, and the ranking is held against the set: AUROC, precision among as many
weights as were planted, and enrichment (that precision over the share planted). Scores are of the
organism's own replies to the prompts of `find`: SNIP on refusals (`safety`), on answers
(`utility`), safety minus utility, each over the whole reply, over its first token alone, and for
utility also over the reply without its first three; beside them magnitude and random numbers. Set
differences are sets, not rankings: their size, precision, recall and enrichment are told.

Intervals are of a bootstrap over topics of the prompts (the organism, its training and its set of
planted weights are held fixed: other organisms may differ by more); a resample holds fewer
distinct replies, so that sizes of sets can lie beside their value. On the organisms whose units
are known, unit scores (sums over heads and groups of neurons) are ranked: AUROC and average
precision, without interval, an organism each.

The last line is JSON.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from harness import one_thread, report
from interlock import datasets, mask
from interlock.errors import InterlockError
from interlock.loading import load, settle
from interlock.mask import Mask
from interlock.methods.behaviour import behaviour
from interlock.methods.salience import magnitude, random_weights, snip
from interlock.model import Model
from interlock.organisms import folder
from interlock.organisms.truth import read_truth
from interlock.own_replies import sorted_out
from interlock.selection import unit_sites
from interlock.stats import auroc, expanded
from interlock.tables import Table
from interlock.weight_scores import WeightScores
from interlock.weight_sets import difference
from interlock.weight_units import unit_scores

NAME = "planted-weights-0"
UNITS = ("planted-chain-0", "planted-and-0", "planted-or-0", "planted-repair-0")
PAIRS = 24  # of each category
DRAWS = 20
GROUPS = 12  # of neurons a layer, as the plants have them
SHARES = ((0.01, 0.01), (0.02, 0.01), (0.02, 0.02), (0.05, 0.05), (0.1, 0.1))
PARTS: Mapping[str, tuple[int, int]] = {"whole": (0, 0), "first": (0, 1), "without 3": (3, 0)}
"""Reply tokens left out at the start, and tokens counted after those (0: all)."""


def own(model: Model) -> tuple[Table, Table]:
    """Refusals and answers, each with the topic of its prompt."""
    found = datasets.load("grammar", per_category=PAIRS, passages=1, seed=0)
    asked = found.splits["find"]
    sets = sorted_out(behaviour(model, asked, tokens=24))
    topics = {each.id: each.topic for each in asked.examples}
    return with_topics(sets.safety, topics), with_topics(sets.utility, topics)


def with_topics(replies: Table, topics: Mapping[str, str]) -> Table:
    """The replies with a column of topics."""
    named = [topics[str(name)] for name in replies.columns["id"]]
    return Table({**replies.columns, "topic": named}, about=replies.about)


def drawn(replies: Table, generator: np.random.Generator) -> Table:
    """As many topics, drawn with replacement, with all of their replies."""
    topics, members = np.unique(replies["topic"], return_inverse=True)
    picked = generator.integers(len(topics), size=len(topics))
    rows = np.concatenate([np.flatnonzero(members == each) for each in picked]).tolist()
    columns = {name: [cells[row] for row in rows] for name, cells in replies.columns.items()}
    return Table(columns, {}, replies.about)


def scored(model: Model, replies: Table, part: str) -> WeightScores:
    """SNIP over a part of each reply."""
    skip, first = PARTS[part]
    return snip(model, replies, examples=0, halves=False, skip=skip, first=first)


def every_score(model: Model, safety: Table, utility: Table) -> dict[str, WeightScores]:
    """Scores of both sets over every part that is asked about."""
    found = {f"safety {part}": scored(model, safety, part) for part in ("whole", "first")}
    return found | {f"utility {part}": scored(model, utility, part) for part in PARTS}


def flat(scores: WeightScores) -> np.ndarray:
    """Scores of every weight over their mean, so that two kinds can be subtracted."""
    whole = torch.cat([scores.mean(name).flatten() for name in scores.names]).double().numpy()
    return whole / whole.mean()


def rankings(scores: Mapping[str, WeightScores]) -> dict[str, np.ndarray]:
    """Every ranking of all weights by name."""
    single = {name: flat(each) for name, each in scores.items()}
    differences = {
        f"{mine} - {theirs}": single[mine] - single[theirs]
        for mine, theirs in (
            ("safety whole", "utility whole"),
            ("safety whole", "utility without 3"),
            ("safety first", "utility first"),
            ("safety first", "utility without 3"),
        )
    }
    return single | differences


def marks(ranking: np.ndarray, planted: np.ndarray) -> dict[str, float]:
    """How a ranking of all weights does against the planted ones."""
    count = int(planted.sum())
    first = np.argpartition(-ranking, count)[:count]
    precision = float(planted[first].mean())
    return {
        "auroc": auroc(ranking, planted),
        "precision": precision,
        "enrichment": precision / float(planted.mean()),
    }


def sets(scores: Mapping[str, WeightScores], planted: np.ndarray) -> dict[str, dict]:
    """The set differences of several shares, for both utility sets and the first token."""
    found: dict[str, dict] = {}
    for mine in ("safety whole", "safety first"):
        for theirs in ("utility whole", "utility without 3"):
            a, b = scores[mine], scores[theirs]
            for p, q in SHARES:
                try:
                    chosen = flags(difference(a, b, p=p, q=q), a)
                except InterlockError:  # an empty difference is an answer here
                    chosen = np.zeros_like(planted)
                hits = int((chosen & planted).sum())
                precision = hits / max(int(chosen.sum()), 1)
                found[f"{mine}, {theirs}, p={p:g}, q={q:g}"] = {
                    "weights": int(chosen.sum()),
                    "precision": precision,
                    "recall": hits / int(planted.sum()),
                    "enrichment": precision / float(planted.mean()),
                }
    return found


def flags(chosen: Mask, scores: WeightScores) -> np.ndarray:
    """Which of all weights are in a set, in the order of the scores."""
    parts = []
    for name in scores.names:
        shape = tuple(scores.halves[name].shape[1:])
        there = chosen.parts.get(name)
        parts.append(np.zeros(shape, bool) if there is None else np.asarray(there.weights()))
    return np.concatenate([each.ravel() for each in parts])


def with_intervals(
    measure: Callable[[Table, Table], Mapping[str, Mapping[str, float]]],
    safety: Table,
    utility: Table,
    clusters: int,
) -> dict[str, dict[str, list[float]]]:
    """[value, low, high] of every mark: percentile interval over resampled topics."""
    value = measure(safety, utility)
    generator = np.random.default_rng(0)
    draws = [measure(drawn(safety, generator), drawn(utility, generator)) for _ in range(DRAWS)]
    ends = expanded(clusters)
    return {
        name: {
            mark: [
                round(float(number), 4),
                *np.quantile([draw[name][mark] for draw in draws], ends).round(4).tolist(),
            ]
            for mark, number in marked.items()
        }
        for name, marked in value.items()
    }


def average_precision(ranking: np.ndarray, planted: np.ndarray) -> float:
    """Mean precision at each planted unit; ties in the order given."""
    right = planted[np.argsort(-ranking, kind="stable")]
    return float((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean())


def opened(name: str) -> Model:
    """An organism on the CPU."""
    return load(settle(f"organism:{name}", device="cpu", dtype="float32"))


def units(names: Sequence[str]) -> dict[str, dict]:
    """AUROC and average precision of unit scores on organisms whose units are known."""
    found: dict[str, dict] = {}
    for name in names:
        if not (folder(name) / "truth.json").is_file():
            continue
        model, truth = opened(name), read_truth(folder(name))
        safety, utility = own(model)
        sites = unit_sites(model.shape, GROUPS)
        planted = np.array([site in truth.units for site in sites])
        whole = {part: scored(model, safety, part) for part in ("whole", "first")}
        numbers = {
            "safety": unit_scores(model, whole["whole"], sites),
            "safety, first token": unit_scores(model, whole["first"], sites),
            "utility": unit_scores(model, scored(model, utility, "whole"), sites),
            "magnitude": unit_scores(model, magnitude(model), sites),
        }
        found[name] = {
            kind: {
                "auroc": round(auroc(ranking, planted), 4),
                "average precision": round(average_precision(ranking, planted), 4),
            }
            for kind, ranking in numbers.items()
        } | {"planted units": int(planted.sum()), "units": len(sites)}
    return found


def main() -> None:
    """Rank, mark, resample, and print one line of JSON."""
    one_thread()
    model = opened(NAME)
    truth = mask.load(folder(NAME) / "truth.safetensors")
    planted = flags(truth, magnitude(model))
    safety, utility = own(model)
    topics = len(set(safety["topic"].tolist()))

    def marked(one: Table, two: Table) -> dict[str, dict[str, float]]:
        scores = every_score(model, one, two)
        found = {name: marks(each, planted) for name, each in rankings(scores).items()}
        return found | sets(scores, planted)

    without_data = {"magnitude": magnitude(model), "random": random_weights(model)}
    report(
        "planted_weights",
        organism=NAME,
        model_sha256=model.revision,
        planted=int(planted.sum()),
        weights=len(planted),
        base_rate=round(float(planted.mean()), 5),
        replies=[len(safety), len(utility)],
        topics=topics,
        draws=DRAWS,
        interval="95 % over topics of the prompts; one organism",
        marks=with_intervals(marked, safety, utility, topics)
        | {
            name: {mark: [round(number, 4)] for mark, number in marks(flat(each), planted).items()}
            for name, each in without_data.items()
        },
        units=units(UNITS),
    )


if __name__ == "__main__":
    main()
