"""Claims of a study: a rule, and the steps whose results it judges."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.verdict import RULES

# part of a claim to the method whose result it takes; the first decides, the others add to the
# report, and `*` stands for parts of any name
PARTS: Mapping[str, Mapping[str, str]] = {
    "refuses_well": {
        "replies": "behaviour",
        "openers": "behaviour",
        "opening": "opening",
        "nll": "nll",
        "lookalikes": "behaviour",
    },
    "localised": {
        "sets": "joint",
        "curve": "curve",
        "without": "curve",
        "circuit": "faithfulness",
        "ablation": "ablation",
        "approximation": "approximation",
        "*": "patching",
    },
    "shared": {"matrix": "category_matrix"},
    "private": {"matrix": "category_matrix"},
    "mixed": {"matrix": "category_matrix"},
    "early_word": {"denoise": "bands", "noise": "bands"},
    "middle_context": {"denoise": "bands", "noise": "bands"},
    "late_decision": {"denoise": "bands", "noise": "bands"},
    "necessary": {"mean": "ablation", "zero": "ablation"},
    "one_direction": {
        "effects": "direction_effects",
        "transfer": "direction_transfer",
        "denoise": "direction_interchange",
        "noise": "direction_interchange",
    },
    "few_weights": {
        "pruned": "pruning",
        "chosen": "pruning",
        "ranks": "rank_pruning",
        "top_ranks": "rank_pruning",
        "*": "removal",
    },
}


class Claim(BaseModel):
    """A rule, the steps it judges by the name of their part, and at which set size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    parts: dict[str, str]
    size: int = 5

    def deciding(self) -> str:
        """The step without which nothing can be concluded."""
        return self.parts[next(iter(PARTS[self.rule]))]


def claims_of(raw: Any, methods: Mapping[str, str], mistakes: list[str]) -> tuple[Claim, ...]:  # noqa: ANN401
    """The claims in a study file; `methods` are the steps' methods by id.

    What is wrong is added to `mistakes`, a line each.
    """
    claims = []
    if not isinstance(raw, list):
        mistakes.append(f"claims: {raw!r} is not a list of claims.")
        return ()
    for number, given in enumerate(raw):
        settings = dict(given) if isinstance(given, dict) else {}
        rule, size = settings.pop("rule", None), settings.pop("size", 5)
        parts = {str(part): str(step) for part, step in settings.items()}
        if rule not in RULES:
            mistakes.append(f"claims.{number}: no rule {rule!r}; known: {', '.join(RULES)}.")
            continue
        mistakes += [
            f"claims.{number} ({rule}): {text}" for text in _problems(rule, parts, size, methods)
        ]
        claims.append(Claim.model_construct(rule=rule, parts=parts, size=size))
    return tuple(claims)


def _problems(
    rule: str, parts: Mapping[str, str], size: object, methods: Mapping[str, str]
) -> list[str]:
    known = PARTS[rule]
    first = next(iter(known))
    problems = []
    if first not in parts:
        problems.append(f"needs {first}, the id of a step that does {known[first]}.")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        problems.append(f"size: {size!r} is not a whole number above 0.")
    for part, step in parts.items():
        wanted = known.get(part, known.get("*"))
        if wanted is None:
            problems.append(f"{part}: no such part; known: {', '.join(known)}.")
        elif methods.get(step) != wanted:
            problems.append(f"{part}: '{step}' is not a step that does {wanted}.")
    return problems
