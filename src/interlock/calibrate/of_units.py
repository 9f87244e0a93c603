"""Methods that rank heads and groups of neurons, and decide which are part of the mechanism.

An answer gives every unit a number to be ranked by and, where the method has a decision rule, in,
out or undetermined.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from interlock.calibrate.answers import Contestant, UnitAnswer
from interlock.calibrate.exam import Exam
from interlock.scores import THRESHOLD, Decision, Scores
from interlock.sites import Edge, Site, acts_before, parse
from interlock.stats import Estimate, by_group, ratio
from interlock.tables import Table

GIVEN = 6  # units that the conditional pass takes in turn
PROBED = 0.9  # held-out accuracy of a probe that counts
MEDIATED = 0.5  # share of an effect that must pass through a unit for an edge to it

_SHARE_RULE = f"interval of the share of the gap beyond {THRESHOLD:.0%}"


def _denoise(exam: Exam) -> UnitAnswer:
    return _by_share([exam.patched("denoise")])


def _noise(exam: Exam) -> UnitAnswer:
    return _by_share([exam.patched("noise")])


def _both(exam: Exam) -> UnitAnswer:
    return _by_share([exam.patched("denoise"), exam.patched("noise")])


def _conditional(exam: Exam) -> UnitAnswer:
    """Both directions, then every unit beside the first few, and those beside each other."""
    alone = _both(exam)
    if alone.decisions is not None and set(alone.decisions) == {"undetermined"}:
        return alone  # the model does not tell the prompts apart: nothing to look for
    order = np.argsort(-alone.ranking, kind="stable")[:GIVEN]
    first = tuple(alone.sites[row] for row in order)

    def ask(direction: str, given: str, beside: str) -> Table:
        return exam.ask(
            "interaction", first, exam.replies,
            direction=direction, given=given, beside=beside, count=GIVEN,
        )  # fmt: skip

    together = [ask("noise", "patched", "units"), ask("denoise", "patched", "sites")]
    held = [ask(direction, "held", "sites") for direction in ("denoise", "noise")]
    interactions: dict[frozenset[Site], Estimate] = {}
    for table in together:
        for pair, estimate in _interactions(table).items():
            known = interactions.get(pair)
            if known is None or estimate.value > known.value:
                interactions[pair] = estimate
    ranking, decisions = alone.ranking.copy(), list(alone.decisions or ())
    for pair, estimate in interactions.items():
        for row in (alone.sites.index(site) for site in pair):
            ranking[row] = max(ranking[row], estimate.value)
            if estimate.low > THRESHOLD:
                decisions[row] = "in"
    edges = reduced({edge for table in held for edge in _mediated(table)})
    return replace(
        alone,
        ranking=ranking,
        decisions=tuple(decisions),
        interactions={pair: estimate.value for pair, estimate in interactions.items()},
        edges=edges,
    )


def _knockout(ablate: str) -> Callable[[Exam], UnitAnswer]:
    return lambda exam: _by_share([exam.ask("knockout", exam.replies, ablate=ablate)])


def _attribution(*estimators: str) -> Callable[[Exam], UnitAnswer]:
    """Approximate effects by one or several estimators, both directions, the largest of all."""

    def answer(exam: Exam) -> UnitAnswer:
        return _by_share(
            [
                exam.ask("attribution", exam.replies, estimator=estimator, direction=direction)
                for estimator in estimators
                for direction in ("denoise", "noise")
            ]
        )

    return answer


def _approximation(exam: Exam) -> UnitAnswer:
    """Gradients that drop one layer each, and integrated ones beside each of the first few units.

    Chosen on half of the organisms, marked on the rest: `benchmarks/approximation.py`.
    """
    alone = _attribution("integrated")(exam)
    order = np.argsort(-alone.ranking, kind="stable")[:GIVEN]
    first = tuple(alone.sites[row] for row in order)
    beside = [
        exam.ask(
            "conditional_attribution", first, exam.replies,
            estimator="integrated", direction=direction, count=GIVEN,
        )
        for direction in ("denoise", "noise")
    ]  # fmt: skip
    return _by_share([*_attribution("dropped")(exam).scores, *beside])


def _direct_logit(exam: Exam) -> UnitAnswer:
    return _by_share([exam.ask("direct_logit", exam.replies)])


def _probe(exam: Exam) -> UnitAnswer:
    scores = exam.ask("probe")
    decisions: tuple[Decision, ...] = tuple(
        "in" if low > PROBED else "out" if high < PROBED else "undetermined"
        for low, high in scores.intervals()
    )
    return UnitAnswer(scores.sites, scores.shares(), decisions, (scores,))


def _unruled(method: str) -> Callable[[Exam], UnitAnswer]:
    def answer(exam: Exam) -> UnitAnswer:
        scores = exam.ask(method)
        return UnitAnswer(scores.sites, scores.shares(), None, (scores,))

    return answer


UNIT_METHODS: Mapping[str, Contestant] = {
    "denoising": Contestant(
        _denoise, ("patching",), True, _SHARE_RULE, "parts that are needed together (AND)"
    ),
    "noising": Contestant(
        _noise, ("patching",), True, _SHARE_RULE, "redundant parts (OR, backups)"
    ),
    "both directions": Contestant(
        _both, ("patching",), True, _SHARE_RULE,
        "a backup that acts only when its primary is gone",
    ),
    "both, and conditional": Contestant(
        _conditional, ("patching", "interaction"), True,
        f"{_SHARE_RULE}, of a single effect or of an interaction",
        f"three or more redundant parts; backups of none of the first {GIVEN} units",
    ),
    "mean ablation": Contestant(
        _knockout("mean"), ("ablation",), True, _SHARE_RULE,
        "redundant parts; parts whose mean over harmless prompts is not neutral",
    ),
    "zero ablation": Contestant(
        _knockout("zero"), ("ablation",), True, _SHARE_RULE,
        "redundant parts; zero is far from anything the model has seen",
    ),
    "attribution patching": Contestant(
        _attribution("plain"), ("attribution",), True, _SHARE_RULE,
        "saturated attention and scores; effects that cancel",
    ),
    "integrated gradients": Contestant(
        _attribution("integrated"), ("attribution",), True, _SHARE_RULE,
        "effects off the path of inputs",
    ),
    "attribution with dropped layers": Contestant(
        _attribution("dropped"), ("attribution",), True, _SHARE_RULE,
        "saturation; sizes are biased upwards",
    ),
    "relevance": Contestant(
        _attribution("relevance"), ("attribution",), True, _SHARE_RULE,
        "what norms and gates do themselves; mixtures of experts",
    ),
    "approximation": Contestant(
        _approximation, ("attribution", "conditional_attribution", "approximation"), True,
        _SHARE_RULE, "what no gradient sees, alone or beside one of the first units",
    ),
    "direct logit attribution": Contestant(
        _direct_logit, ("direct_logit",), False, _SHARE_RULE, "all but the last step of a circuit"
    ),
    "probe": Contestant(
        _probe, ("probe",), False, f"interval of held-out accuracy above {PROBED:.0%}",
        "whether what it decodes is used",
    ),
    "activation difference": Contestant(
        _unruled("activation_difference"), ("activation_difference",), False, "",
        "whether what differs is used",
    ),
    "random": Contestant(_unruled("random"), ("random",), False, "", "everything"),
}  # fmt: skip


def _by_share(scores: Sequence[Scores]) -> UnitAnswer:
    """Rank by the largest share in either direction; in by any, out by all."""
    shares = np.stack([each.shares() for each in scores])
    decided = list(zip(*(each.decisions() for each in scores), strict=True))
    decisions: tuple[Decision, ...] = tuple(
        "in" if "in" in votes else "undetermined" if "undetermined" in votes else "out"
        for votes in decided
    )
    strongest = shares[np.abs(shares).argmax(axis=0), np.arange(shares.shape[1])]
    ranking = np.abs(shares).max(axis=0)
    signs = np.where(ranking > THRESHOLD, np.sign(strongest), 0.0)
    return UnitAnswer(scores[0].sites, ranking, decisions, tuple(scores), signs)


def _interactions(table: Table) -> dict[frozenset[Site], Estimate]:
    """Joint minus both single effects, as a share of the gap, by pair of units."""
    names = [f"{given} {site}" for given, site in zip(table["given"], table["site"], strict=True)]
    excess = table["joint"] - table["alone"] - table["given_alone"]
    gap, topics = table["gap"], table["topic"]
    found = {}
    for name, rows in by_group(names).items():
        own = topics[rows].tolist()
        estimate = ratio(excess[rows], gap[rows], own, unit="share of the gap")
        found[frozenset(map(parse, name.split(" ")))] = estimate
    return found


def _mediated(table: Table) -> list[Edge]:
    """Edges to a given unit from units that lose most of a real effect while it is held."""
    names = [f"{given} {site}" for given, site in zip(table["given"], table["site"], strict=True)]
    joint, singles, gap, topics = (table[name] for name in ("joint", "alone", "gap", "topic"))
    edges = []
    for name, rows in by_group(names).items():
        own, alone = topics[rows].tolist(), singles[rows]
        effect = ratio(alone, gap[rows], own, unit="share of the gap")
        if effect.low <= THRESHOLD:
            continue
        lost = ratio(alone - joint[rows], alone, own, unit="share of the effect")
        given, site = map(parse, name.split(" "))
        if lost.low > MEDIATED and acts_before(site, given):
            edges.append(Edge(site, given))
    return edges


def reduced(edges: Collection[Edge]) -> tuple[Edge, ...]:
    """Edges that no path through another unit explains (transitive reduction)."""
    ends = {(edge.source, edge.target) for edge in edges}
    middle = {site for end in ends for site in end}
    kept = [
        edge
        for edge in edges
        if not any((edge.source, m) in ends and (m, edge.target) in ends for m in middle)
    ]
    return tuple(sorted(kept, key=str))
