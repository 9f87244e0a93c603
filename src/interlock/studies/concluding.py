"""From results to verdicts: each claim's rule applied, with what a reader must know besides."""

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from interlock import run
from interlock.config import Claim, Study, steps_read
from interlock.errors import RunError
from interlock.ground_truth import beside, read_card
from interlock.run import Run
from interlock.studies import (
    bands,
    behaviour,
    direction,
    explaining,
    necessary,
    substrate,
    weights,
    where,
)
from interlock.studies.evidence import Findings, Value
from interlock.tables import Table
from interlock.verdict import RULES, Evidence, Rule, Verdict, decide


def conclude(
    study: Study, current: Run, values: Mapping[str, Value], failed: Mapping[str, str]
) -> list[Verdict]:
    """The verdict of every claim; tables it rests on are saved in the run."""
    repeated, known = _repeats(current), read_card()
    _explained(study, current, values)
    verdicts = []
    for claim in study.claims:
        rule, notes = _rule(study, claim), [*_changes(study, claim), *repeated]
        needed = claim.deciding()
        if needed in failed:
            missing = {rule.conditions[0].meaning: failed[needed]}
            evidence = Evidence({}, "none", "", missing)
        else:
            parts = {part: values[name] for part, name in claim.parts.items() if name in values}
            findings = _findings(claim, parts)
            for name, table in findings.tables.items():
                current.save_table(name, table)
            evidence = findings.evidence
        judged = evidence.estimates.get(rule.conditions[0].quantity)
        pairs = 0 if judged is None else judged.n
        marks = beside(known, claim.rule, _methods_behind(study, claim), pairs)
        verdicts.append(replace(decide(rule, evidence, tuple(notes)), ground_truth=marks))
    return verdicts


def judged(study: Study, failed: Container[str]) -> set[str]:
    """The steps that a claim which could be concluded sums up in tables of its own."""
    concluded = [claim for claim in study.claims if claim.deciding() not in failed]
    return {name for claim in concluded for name in claim.parts.values()}


def _explained(study: Study, current: Run, values: Mapping[str, Value]) -> None:
    """Save what explanations of single prompts show, which no claim judges."""
    for step in study.steps:
        found = values.get(step.id)
        if step.do == "explanation" and isinstance(found, Table):
            for name, table in explaining.tables(found).items():
                current.save_table(name, table)


def _methods_behind(study: Study, claim: Claim) -> set[str]:
    """The methods of a claim's steps and of every step these read."""
    steps = {step.id: step for step in study.steps}
    behind, left = set[str](), list(claim.parts.values())
    while left:
        name = left.pop()
        if name not in behind:
            behind.add(name)
            left += steps_read(steps[name])
    return {steps[name].do for name in behind}


def _findings(claim: Claim, parts: Mapping[str, Value]) -> Findings:
    if claim.rule == "refuses_well":
        return behaviour.conclude(parts)
    if claim.rule == "localised":
        return where.conclude(parts, claim.size)
    if claim.rule == "one_direction":
        return direction.conclude(parts)
    if claim.rule == "few_weights":
        return weights.conclude(parts)
    if claim.rule in ("early_word", "middle_context", "late_decision"):
        return bands.conclude(parts, claim.rule)
    if claim.rule in ("shared", "private", "mixed"):
        return substrate.conclude(parts)
    return necessary.conclude(parts, claim.size)


def _rule(study: Study, claim: Claim) -> Rule:
    rule = RULES[claim.rule]
    for quantity, threshold in study.rules[claim.rule].items():
        rule = rule.with_threshold(quantity, threshold)
    return rule


def _changes(study: Study, claim: Claim) -> list[str]:
    """Thresholds that are not the default ones, to be printed on the verdict."""
    rule = RULES[claim.rule]
    default = {each.quantity: each.threshold for each in (*rule.conditions, *rule.guards)}
    return [
        f"threshold of {quantity} changed from {default[quantity]:g} to {threshold:g}"
        for quantity, threshold in study.rules[claim.rule].items()
        if threshold != default[quantity]
    ]


def rule_entry(study: Study, claim: Claim) -> dict[str, Any]:
    """A claim's rule as the plan declares it."""
    rule = _rule(study, claim)
    return {
        "name": claim.rule,
        "claim": rule.claim,
        "text": str(rule),
        "changed": _changes(study, claim),
    }


def _repeats(current: Run) -> list[str]:
    """Earlier sealed runs beside this one that judged this model on the same prompts."""
    manifests = current.folder.parent.glob(f"*/{run.MANIFEST}")
    others = [Run(path.parent) for path in manifests if path.parent != current.folder]
    same = sum(_asks_the_same(other, current) for other in others)
    runs = "run" if same == 1 else "runs"
    return [f"{same} earlier {runs} judged this model on the same prompts"] if same else []


def _asks_the_same(other: Run, current: Run) -> bool:
    try:
        theirs = other.plan
    except RunError:
        return False  # a damaged neighbour is not this run's concern
    return all(theirs.get(key) == current.plan[key] for key in ("weights", "prompts"))
