"""Marks of one answer on one organism: against the plant, against exact effects, or on a null."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from interlock.calibrate.answers import Answer, UnitAnswer
from interlock.calibrate.exam import Exam
from interlock.calibrate.marks import agreement, average_precision, f1, precision_at_truth
from interlock.calibrate.of_units import reduced
from interlock.contrast import Contrast
from interlock.direction import Direction
from interlock.mask import Mask
from interlock.organisms.truth import Truth
from interlock.scores import Scores
from interlock.sites import Edge, Site
from interlock.stats import auroc
from interlock.weight_scores import WeightScores
from interlock.weight_units import unit_scores

Marks = dict[str, float]

_SEEN = 0.1  # share of the gap from which an exact effect on a natural model counts as one


def against_plant(answer: UnitAnswer, truth: Truth, check: Contrast) -> Marks:
    """How well the planted units are ranked, decided, signed, ordered and told apart."""
    planted = set(truth.units)
    true = np.array([site in planted for site in answer.sites])
    marks: Marks = {
        "ap": average_precision(answer.ranking, true),
        "auroc": auroc(answer.ranking, true),
        "precision": precision_at_truth(answer.ranking, true),
    }
    if answer.decisions is not None:
        claimed = np.array([decision == "in" for decision in answer.decisions])
        marks["false_negatives"] = float((true & ~claimed).sum() / true.sum())
        marks["false_positives"] = float((~true & claimed).sum() / (~true).sum())
        decoys = [answer.sites.index(site) for site in truth.decoys if site in answer.sites]
        if decoys:
            marks["decoys_rejected"] = float((~claimed[decoys]).mean())
    return marks | _signs(answer, planted) | _structure(answer, truth, planted, check)


def against_exact(answer: UnitAnswer, denoise: Scores, noise: Scores) -> Marks:
    """Agreement with exhaustive exact effects, where nothing was planted."""
    exact = {"denoise": denoise.shares(), "noise": noise.shares()}
    marks = {
        f"pearson_{direction}": agreement(answer.ranking, shares)
        for direction, shares in exact.items()
    }
    if answer.decisions is not None:
        seen = np.max([np.abs(shares) for shares in exact.values()], axis=0) > _SEEN
        claimed = np.array([decision == "in" for decision in answer.decisions])
        if seen.any():
            marks["missed"] = float((seen & ~claimed).sum() / seen.sum())
    return marks


def against_direction(
    exam: Exam, found: Direction, vector: Float[np.ndarray, " width"], layer: int
) -> Marks:
    """How near a direction is to the planted one, and how much of what that one carries it carries.

    Exchanged between the prompts of a pair, at the stream where each was read or written; the
    smaller of both ways. A direction that does as much need not lie along the planted one.
    """
    planted = replace(
        found, vectors=vector[None].astype(np.float32), names=("all",), kind="planted"
    )
    shares = []
    for way in ("denoise", "noise"):
        ours, own = (
            exam.ask("direction_interchange", exam.replies, each, way=way)
            for each in (found, planted)
        )
        carried = ours.share(Site("resid_pre", found.layer)).value
        shares.append(carried / own.share(Site("resid_mid", layer)).value)
    cosine = float(np.abs(found.cosines(vector[None])).max())
    return {"cosine": cosine, "interchange": float(min(shares))}


def by_unit(exam: Exam, scores: WeightScores, truth: Truth, sites: Sequence[Site]) -> Marks:
    """How well planted units rank first by the sum of their weights' scores."""
    ranking = unit_scores(exam.model, scores, sites)
    true = np.isin([str(site) for site in sites], [str(site) for site in truth.units])
    return {
        "ap": average_precision(ranking, true),
        "auroc": auroc(ranking, true),
        "precision": precision_at_truth(ranking, true),
    }


def against_weights(answer: WeightScores | Mask, planted: Mask) -> Marks:
    """How well planted single weights are ranked, or how many of a set of weights are planted."""
    names = planted.names
    true = np.concatenate([planted.weights(name).ravel() for name in names])
    if isinstance(answer, Mask):
        chosen = np.concatenate([answer.weights(name).ravel() for name in names])
        precision = float(true[chosen].mean()) if chosen.any() else 0.0
        return {
            "weights_precision": precision,
            "weights_recall": float(chosen[true].mean()),
            "enrichment": precision / float(true.mean()),
        }
    ranking = np.concatenate([answer.mean(name).double().numpy().ravel() for name in names])
    precision = precision_at_truth(ranking, true)
    return {
        "weights_auroc": auroc(ranking, true),
        "weights_precision": precision,
        "enrichment": precision / float(true.mean()),
    }


def claims(answer: Answer) -> bool | None:
    """Whether anything is claimed; None where the method has no rule to claim by."""
    if not isinstance(answer, UnitAnswer) or answer.decisions is None:
        return None
    return "in" in answer.decisions


def null_claims(denoise: Scores, noise: Scores, seeds: Sequence[int]) -> list[bool]:
    """Whether both directions claim a unit when each pair's labels are exchanged by a coin.

    Exchanging the labels of a pair turns its denoising effect into minus its noising effect and
    its gap into minus its gap, so a null run costs nothing and is exact.
    """
    return [_claims_shuffled(denoise, noise, seed) for seed in seeds]


def _claims_shuffled(denoise: Scores, noise: Scores, seed: int) -> bool:
    coin = np.random.default_rng(seed).random(len(denoise.examples)) < 0.5
    swapped = [
        Scores(
            first.sites,
            first.examples,
            first.clusters,
            np.where(coin, -second.values, first.values),
            np.where(coin, -first.gap, first.gap),
            first.unit,
        )
        for first, second in ((denoise, noise), (noise, denoise))
    ]
    return any("in" in each.decisions() for each in swapped)


def coverage(
    scores: Scores, n: int, repeats: int, seed: int, least: float = 0.05
) -> tuple[int, int]:
    """How many intervals from `n` drawn topics hold the share of the whole run, and of how many.

    Topics are drawn with replacement from the run, which stands for the population; only sites
    whose share is at least `least` count: around exactly nothing every interval is right.
    """
    wanted = scores.shares()
    counted = np.abs(wanted) >= least
    topics = sorted(set(scores.clusters))
    members = {topic: np.flatnonzero(np.array(scores.clusters) == topic) for topic in topics}
    generator = np.random.default_rng(seed)
    held = 0
    for _ in range(repeats):
        drawn = generator.choice(len(topics), size=n)
        columns = [members[topics[index]] for index in drawn]
        names = [f"{place}" for place, rows in enumerate(columns) for _ in rows]
        picked = np.concatenate(columns)
        part = Scores(
            scores.sites,
            tuple(f"{place} {scores.examples[row]}" for place, row in enumerate(picked)),
            tuple(names),
            scores.values[:, picked],
            scores.gap[picked],
            scores.unit,
        )
        low, high = part.intervals().T
        held += int(((low <= wanted) & (wanted <= high))[counted].sum())
    return held, int(counted.sum()) * repeats


def _signs(answer: UnitAnswer, planted: set[Site]) -> Marks:
    """Of planted units with an effect, the share said to carry the reply of their own prompt.

    All do, those too that work against refusal: what they say is then part of the other reply.
    """
    if answer.signs is None:
        return {}
    known = [
        sign > 0
        for site, sign in zip(answer.sites, answer.signs, strict=True)
        if site in planted and sign
    ]
    return {"signs": float(np.mean(known))} if known else {}


def _structure(answer: UnitAnswer, truth: Truth, planted: set[Site], check: Contrast) -> Marks:
    """Redundancy, edges and categories, where the answer speaks of them and the plant has them."""
    marks: Marks = {}
    if answer.interactions is not None:
        together = (*truth.redundant, *truth.joint)
        pairs = {frozenset(pair) for pair in together if len(pair) == 2}
        other = [value for pair, value in answer.interactions.items() if pair not in pairs]
        if pairs:
            marks["interaction"] = min(answer.interactions.get(pair, 0.0) for pair in pairs)
            marks["next_interaction"] = max(other, default=0.0)
    if answer.edges is not None:
        true = reduced([Edge(*edge) for edge in truth.edges if set(edge) <= planted])
        marks["edges"] = f1(answer.edges, true)
    if truth.categories and answer.scores:
        marks |= _specificity(answer.scores[0], truth.categories, check)
    return marks


def _specificity(
    scores: Scores, categories: Mapping[str, tuple[Site, ...]], check: Contrast
) -> Marks:
    """Least effect of a category's own units on its pairs, and largest on another category's."""
    matrix, own = category_matrix(scores, categories, check)
    return {"own_category": float(matrix[own].min()), "other_category": float(matrix[~own].max())}


def category_matrix(
    scores: Scores, categories: Mapping[str, tuple[Site, ...]], check: Contrast
) -> tuple[Float[np.ndarray, "unit category"], Bool[np.ndarray, "unit category"]]:
    """Share of the gap that each category's units carry on each category's pairs, and whose own."""
    kinds = {example.id: example.category for example in check.examples}
    of = np.array([kinds[name] for name in scores.examples])
    names = [name for name in categories if (of == name).any()]
    units = [(name, site) for name in names for site in categories[name]]
    matrix = np.array(
        [
            [
                scores.values[scores.sites.index(site), of == name].sum()
                / scores.gap[of == name].sum()
                for name in names
            ]
            for _, site in units
        ]
    )
    own = np.array([[unit_name == name for name in names] for unit_name, _ in units])
    return matrix, own
