"""From marks to a card: per method, the organism as the replicate; never a weighted sum."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from interlock.calibrate.contestants import CONTESTANTS
from interlock.calibrate.examining import Order
from interlock.stats import mean, rate
from interlock.verdict import RULES

Result = dict[str, Any]

MARKS = {
    "ap": "average precision of the ranking",
    "auroc": "AUROC of the ranking",
    "precision": "precision among the first, as many as planted",
    "false_negatives": "planted units not claimed",
    "false_positives": "other units claimed",
    "decoys_rejected": "decoys not claimed",
    "signs": "planted units whose values bring their own prompt's reply",
    "edges": "F1 of the edges",
    "interaction": "interaction of units that are redundant or needed together",
    "next_interaction": "largest other interaction",
    "own_category": "least effect on the own category",
    "other_category": "largest effect on another category",
    "pearson_denoise": "correlation with exact denoising",
    "pearson_noise": "correlation with exact noising",
    "missed": "effects above .1 not claimed",
    "cosine": "|cosine| with the planted direction",
    "interchange": "interchange effect, of the planted direction's own",
    "weights_auroc": "AUROC of the ranking of single weights",
    "weights_precision": "planted weights among the first or chosen ones",
    "weights_recall": "planted weights that are chosen",
    "enrichment": "that precision over the share of weights that are planted",
}
_FEW = 5  # organisms from which an interval over organisms is given
_SMALLER_IS_BETTER = (
    "false_negatives", "false_positives", "next_interaction", "other_category", "missed",
)  # fmt: skip


def card(results: Sequence[Result], order: Order, suite: str) -> dict[str, Any]:
    """The ground-truth card: what was examined, and every method's marks."""
    return {
        "suite": suite,
        "date": datetime.now(UTC).date().isoformat(),
        "pairs": order.pairs,
        "seed": order.seed,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("interlock", "torch", "transformers")},
        },
        "organisms": [
            {key: result[key] for key in ("name", "kind", "plant", "weights", "pairs")}
            for result in results
        ],
        "marks": MARKS,
        "methods": {name: _method(name, results) for name in order.methods},
        "verdicts": {
            rule: _verdict([each["verdicts"] for each in results], rule, results)
            for rule in RULES
            if _judged(rule, results)
        },
        "smaller": {rule: _by_size(rule, results) for rule in RULES if _judged(rule, results)},
    }


def _method(name: str, results: Sequence[Result]) -> dict[str, Any]:
    contestant = CONTESTANTS[name]
    answers = [(r, r["methods"][name]) for r in results if name in r["methods"]]
    marked = [(result, answer) for result, answer in answers if answer.get("marks")]
    names = [mark for mark in MARKS if any(mark in answer["marks"] for _, answer in marked)]
    billed = [answer for _, answer in answers if "passes" in answer]
    return {
        "methods": list(contestant.methods),
        "causal": contestant.causal,
        "rule": contestant.rule,
        "blind": contestant.blind,
        "marks": {mark: _mark(mark, marked) for mark in names},
        "organisms": {result["name"]: answer["marks"] for result, answer in marked},
        "nulls": _nulls(name, results),
        "beside": _beside(marked),
        "coverage": _coverage([answer.get("covered", (0, 0)) for _, answer in answers]),
        "refused": {r["name"]: answer["refused"] for r, answer in answers if "refused" in answer},
        "passes_per_pair": _mean([each["passes"] for each in billed]),
        "seconds": _mean([each["seconds"] for each in billed]),
    }


def _mark(mark: str, marked: Sequence[tuple[Result, Result]]) -> dict[str, Any]:
    """Mean over organisms with its interval, and the worst with its name."""
    found = [(r["name"], answer["marks"][mark]) for r, answer in marked if mark in answer["marks"]]
    values = np.array([value for _, value in found])
    names = [name for name, _ in found]
    worst = int(values.argmax() if mark in _SMALLER_IS_BETTER else values.argmin())
    estimate = mean(values, names, unit="share")
    return {
        "mean": estimate.value,
        "low": estimate.low if len(values) >= _FEW else None,
        "high": estimate.high if len(values) >= _FEW else None,
        "worst": float(values[worst]),
        "worst_at": names[worst],
        "n": len(values),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _beside(marked: Sequence[tuple[Result, Result]]) -> dict[str, Any] | None:
    """Share of planted organisms in which a unit outside the plant is claimed, by Wilson.

    A null has no gap to speak of, so that a method may stay silent for that reason alone; here
    there is a gap.
    """
    shares = [each["marks"]["false_positives"] for _, each in marked
              if "false_positives" in each["marks"]]  # fmt: skip
    if not shares:
        return None
    claimed = np.array(shares) > 0
    estimate = rate(claimed, [str(place) for place in range(len(claimed))])
    return {"claimed": int(claimed.sum()), "organisms": len(claimed), "high": estimate.high}


def _nulls(name: str, results: Sequence[Result]) -> dict[str, Any] | None:
    """Share of null runs in which anything is claimed, with Wilson's interval."""
    answers = [r["methods"][name] for r in results if r["kind"] == "null" and name in r["methods"]]
    claims = [answer["claim"] for answer in answers if "refused" not in answer]
    if None in claims:
        return None
    found = [bool(claim) for claim in claims]
    if name == "both directions":  # the exact nulls that need no further run
        for claimed, runs in (result["shuffles"] for result in results):
            found += [True] * claimed + [False] * (runs - claimed)
    if not found:
        return None
    estimate = rate(np.array(found), [str(place) for place in range(len(found))])
    return {"claimed": sum(found), "runs": len(found), "high": estimate.high}


def _coverage(counts: Sequence[Sequence[int]]) -> dict[str, Any] | None:
    """Share of intervals that held what the whole run says; each model's are one cluster."""
    held = [(k, n) for k, n in counts if n]
    if not held:
        return None
    shares = np.array([k / n for k, n in held])
    estimate = mean(shares, [str(place) for place in range(len(shares))], unit="share")
    known = len(held) >= _FEW
    return {
        "held": sum(k for k, _ in held),
        "of": sum(n for _, n in held),
        "value": estimate.value,
        "low": estimate.low if known else None,
        "high": estimate.high if known else None,
    }


def _judged(rule: str, results: Sequence[Result]) -> bool:
    return any(rule in result["verdicts"] for result in results)


def _by_size(rule: str, results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """The same for studies of fewer pairs."""
    sizes = dict.fromkeys(
        size for result in results for size, found in result["smaller"].items() if rule in found
    )
    return {
        size: _verdict([each["smaller"].get(size, {}) for each in results], rule, results)
        for size in sizes
    }


def _verdict(verdicts: Sequence[Result], rule: str, results: Sequence[Result]) -> dict[str, Any]:
    """How often a rule's verdict was right, wrong or inconclusive where the truth is known."""
    found = {"right": 0, "wrong": 0, "inconclusive": 0, "nulls": 0, "nulls_supported": 0}
    for result, given in zip(results, verdicts, strict=True):
        judged = given.get(rule)
        if judged is None or judged["true"] is None:
            continue
        supported = judged["outcome"] == "supported"
        if result["kind"] == "null":
            found["nulls"] += 1
            found["nulls_supported"] += int(supported)
        elif judged["outcome"] == "inconclusive":
            found["inconclusive"] += 1
        else:
            found["right" if supported == judged["true"] else "wrong"] += 1
    return found
