"""The study as a checked value: model, prompts, steps wired by type, rules, budget."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from interlock.config.claims import Claim, claims_of
from interlock.config.options import options_model
from interlock.config.overrides import apply_overrides
from interlock.config.signatures import signature_of
from interlock.config.steps import (
    Step,
    chosen_where_judged,
    is_top,
    model_wires,
    only_chooses,
    source_steps,
    wire_names,
)
from interlock.config.targets import Target, targets_of
from interlock.contrast import System
from interlock.datasets import GRAMMAR, Source, check
from interlock.errors import ContrastError, SiteError, StudyError
from interlock.methods import METHODS
from interlock.sites import parse
from interlock.verdict import RULES

_SPLITS = ("prompts.find", "prompts.check", "pairs.find", "pairs.check")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Strict):
    """Which model, and how it is opened."""

    name: str
    device: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    revision: str | None = None
    adapter: str | None = None
    quantization: Literal["nf4", "int8"] | None = None


class PromptSettings(_Strict):
    """Which prompts are put to it, and how many.

    A study that names files and no set calls its prompts after the first file.
    """

    name: str = GRAMMAR
    file: str = ""
    folder: str = ""
    harmful: str = ""
    harmless: str = ""
    columns: dict[str, str] = {}
    expected: Literal["", "refuse", "comply"] = ""
    drop_safety: bool = False
    categories: tuple[str, ...] = ()
    equal: bool = False
    per_category: int = Field(8, ge=1)
    passages: int = Field(48, ge=1)
    lookalikes: int = Field(88, ge=1)
    seed: int = 0
    system: System = "template"

    @pydantic.model_validator(mode="before")
    @classmethod
    def _named(cls, settings: Any) -> Any:  # noqa: ANN401 - YAML values
        if not isinstance(settings, dict) or settings.get("name", GRAMMAR) != GRAMMAR:
            return settings
        files = [settings.get(key) for key in ("file", "harmful", "harmless")]
        named = [Path(file).stem for file in files if isinstance(file, str) and file]
        return {**settings, "name": named[0]} if named else settings

    @pydantic.model_validator(mode="after")
    def _there(self) -> "PromptSettings":
        try:
            check(self.name, self._source())
        except ContrastError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    def _source(self) -> Source:
        return Source(
            file=self.file,
            folder=self.folder,
            harmful=self.harmful,
            harmless=self.harmless,
            columns=self.columns,
            expected=self.expected,
            drop_safety=self.drop_safety,
        )

    def options(self) -> dict[str, Any]:
        """As `interlock.datasets.load` takes them."""
        return {
            "name": self.name,
            "per_category": self.per_category,
            "passages": self.passages,
            "lookalikes": self.lookalikes,
            "seed": self.seed,
            "system": self.system,
            "source": self._source(),
            "categories": self.categories,
            "equal": self.equal,
        }


class Study(_Strict):
    """A whole study: nothing else decides what runs."""

    question: str
    model: ModelSettings
    prompts: PromptSettings
    budget: str
    steps: tuple[Step, ...]
    claims: tuple[Claim, ...]
    rules: dict[str, dict[str, float]]
    targets: tuple[Target, ...] = ()

    def models_beside(self) -> tuple[str, ...]:
        """Models that steps name besides the one studied, each once."""
        named = [str(each.wires[wire]) for each in self.steps for wire in model_wires(each)]
        return tuple(dict.fromkeys(named))

    def step(self, name: str) -> Step:
        """The step with an id."""
        return next(step for step in self.steps if step.id == name)


def resolve(
    settings: Mapping[str, Any], overrides: Sequence[str] = (), *, budget: str | None = None
) -> Study:
    """The study that settings and overrides describe, every default filled in.

    A budget is a named list of overrides in the study file; those given by hand come after it.

    Raises:
        StudyError: every mistake found, one line each.
    """
    by_hand = [each for each in overrides if not each.startswith("budget=")]
    named = [each.partition("=")[2] for each in overrides if each.startswith("budget=")]
    if len(set(named) | ({budget} if budget else set())) > 1:
        raise StudyError([f"budget: named more than once: {', '.join([budget or '', *named])}."])
    chosen = str(budget or (named[-1] if named else settings.get("budget", "5m")))
    scaled = _scaled(settings.get("budgets"), chosen)
    plain = {key: value for key, value in settings.items() if key not in ("budgets", "rules")}
    # every rule can be reached by an override, whether the file names it or not
    rules = settings.get("rules") or {}
    if isinstance(rules, dict):
        rules = {name: {} for name in RULES} | rules
    filled = {**plain, "budget": chosen, "rules": rules}
    merged, mistakes = apply_overrides(filled, [*scaled, *by_hand])
    parts = {
        "question": _checked(str, merged.pop("question", ""), "question", mistakes),
        "model": _checked(ModelSettings, merged.pop("model", {}), "model", mistakes),
        "prompts": _checked(PromptSettings, merged.pop("prompts", {}), "prompts", mistakes),
        "budget": merged.pop("budget"),
        "steps": _steps(merged.pop("steps", []), mistakes),
        "rules": _rules(merged.pop("rules", {}), mistakes),
    }
    methods = {step.id: step.do for step in parts["steps"]}
    parts["claims"] = claims_of(merged.pop("claims", []), methods, mistakes)
    parts["targets"] = targets_of(merged.pop("targets", []), methods, mistakes)
    mistakes += [f"{key}: not a setting of a study." for key in merged]
    if mistakes:
        raise StudyError(mistakes)
    return Study(**parts)


def _scaled(budgets: Any, chosen: str) -> list[str]:  # noqa: ANN401 - YAML values
    """The overrides that a budget stands for."""
    if not isinstance(budgets or {}, dict):
        raise StudyError([f"budgets: {budgets!r} is not a mapping of names to overrides."])
    if chosen not in (budgets or {}):
        known = ", ".join(map(str, budgets or {})) or "none"
        raise StudyError([f"budget: no budget '{chosen}'; known: {known}."])
    found = budgets[chosen] or {}
    if not isinstance(found, dict):
        raise StudyError([f"budgets.{chosen}: {found!r} is not a mapping of paths to values."])
    return [f"{path}={value}" for path, value in found.items()]


def schema() -> dict[str, Any]:
    """JSON Schema of a study file, for completion in editors."""
    steps = [
        {
            "type": "object",
            "title": name,
            "description": signature_of(name).meaning,
            "required": ["do", "on"] if "on" in wire_names(signature_of(name)) else ["do"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": "string"},
                "do": {"const": name},
                **{
                    wire: {"type": ["string", "array"] if noun == "Sites" else "string"}
                    for wire, noun in wire_names(signature_of(name)).items()
                },
                **options_model(name).model_json_schema()["properties"],
            },
        }
        for name in METHODS
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Interlock study",
        "type": "object",
        "required": ["question", "model", "steps"],
        "additionalProperties": False,
        "properties": {
            "question": {"type": "string"},
            "model": ModelSettings.model_json_schema(),
            "prompts": PromptSettings.model_json_schema(),
            "budget": {"type": "string"},
            "budgets": {"type": "object"},
            "steps": {"type": "array", "items": {"oneOf": steps}},
            "claims": {"type": "array", "items": {"type": "object"}},
            "targets": {"type": "array", "items": Target.model_json_schema()},
            "rules": {"type": "object", "propertyNames": {"enum": list(RULES)}},
        },
    }


def _checked(kind: Any, value: Any, path: str, mistakes: list[str]) -> Any:  # noqa: ANN401
    try:
        return pydantic.TypeAdapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        for each in error.errors():
            place = ".".join(map(str, (path, *each["loc"])))
            known = ", ".join(kind.model_fields) if isinstance(kind, type(BaseModel)) else ""
            hint = f"; known: {known}" if each["type"] == "extra_forbidden" else ""
            mistakes.append(f"{place}: {each['msg']}{hint}.")
        return None


def _steps(raw: Any, mistakes: list[str]) -> tuple[Step, ...]:  # noqa: ANN401 - YAML values
    steps: dict[str, Step] = {}
    if not isinstance(raw, list) or not raw:
        mistakes.append("steps: a study needs a list of at least one step.")
        return ()
    for number, settings in enumerate(raw):
        if not isinstance(settings, dict) or settings.get("do") not in METHODS:
            known = ", ".join(METHODS)
            mistakes.append(f"steps.{number}: needs do: one of {known}.")
            continue
        step = _step(settings, number, steps, mistakes)
        steps.setdefault(step.id, step)
    return tuple(steps.values())


def _step(
    settings: dict[str, Any], number: int, earlier: Mapping[str, Step], mistakes: list[str]
) -> Step:
    """One step; with mistakes in it still a step, so that later ones may name it."""
    name = str(settings.get("id", f"{number}"))
    if name in earlier:
        mistakes.append(f"steps.{name}: two steps of this id.")
    signature = signature_of(settings["do"])
    wires = wire_names(signature)
    options = {k: v for k, v in settings.items() if k not in ("id", "do", *wires)}
    path = f"steps.{name}"
    checked = _checked(options_model(settings["do"]), options, path, mistakes)
    found: dict[str, str | tuple[str, ...]] = {}
    for wire, noun in wires.items():
        value = settings.get(wire)
        problem = _wire_problem(noun, value, earlier)
        if problem:
            mistakes.append(f"{path}.{wire}: {problem}")
        else:
            found[wire] = tuple(value) if isinstance(value, list) else str(value)
    step = Step(
        id=name, do=settings["do"], wires=found, options=checked.model_dump() if checked else {}
    )
    mistakes += _same_split(step, earlier)
    return step


def _wire_problem(noun: str, value: Any, earlier: Mapping[str, Step]) -> str:  # noqa: ANN401
    if noun == "Contrast":
        known = (*_SPLITS, "passages", "lookalikes")
        return "" if value in known else f"needs one of {', '.join(known)}."
    if noun == "Sites":
        return _sites_problem(value, earlier)
    if noun == "Model":
        return "" if isinstance(value, str) and value else "needs a model by its name."
    returning = [step.id for step in earlier.values() if signature_of(step.do).returns == noun]
    if value in returning:
        return ""
    return f"needs the id of an earlier step that returns {noun}: {', '.join(returning) or 'none'}."


def _sites_problem(value: Any, earlier: Mapping[str, Step]) -> str:  # noqa: ANN401 - YAML values
    if isinstance(value, list):
        if not value:
            return "names no site."
        try:
            for text in value:
                parse(str(text))
        except SiteError as error:
            return str(error)
        return ""
    if not is_top(str(value)):
        return "needs top(COUNT, step, ...) of steps that return Scores, or a list of sites."
    for name in source_steps(str(value)):
        if name not in earlier or signature_of(earlier[name].do).returns != "Scores":
            return f"'{name}' is not an earlier step that returns Scores."
    return ""


def _same_split(step: Step, earlier: Mapping[str, Step]) -> list[str]:
    """Selection sees `find`, estimates see `check`: nothing is judged where it was found."""
    mistakes = [*_same_scores(step, earlier), *chosen_where_judged(step, earlier)]
    if mistakes:
        return mistakes
    direction, sites = step.wires.get("direction"), step.wires.get("sites")
    if isinstance(direction, str) and earlier[direction].split() == step.split():
        return [
            f"steps.{step.id}.direction: fitted on {step.split()}, the split this step judges; "
            "fit it on one split and judge it on the other."
        ]
    if not isinstance(sites, str) or only_chooses(step):
        return []
    return [
        f"steps.{step.id}.sites: found on {earlier[name].split()}, the split this step judges; "
        "find sites on one split and judge them on the other."
        for name in source_steps(sites)
        if earlier[name].split() == step.split()
    ]


def _same_scores(step: Step, earlier: Mapping[str, Step]) -> list[str]:
    """As `_same_split`, for steps that take scores or category sets whole."""
    if step.do not in ("curve", "category_matrix"):
        return []
    return [
        f"steps.{step.id}.{wire}: found on {step.split()}, the split this step judges; rank on "
        "one split and judge on the other."
        for wire in ("denoise", "noise", "sets")
        if isinstance(name := step.wires.get(wire), str)
        and name in earlier
        and earlier[name].split() == step.split()
    ]


def _rules(raw: Any, mistakes: list[str]) -> dict[str, dict[str, float]]:  # noqa: ANN401
    """Every threshold of every rule, the given ones put in."""
    resolved = {
        name: {each.quantity: each.threshold for each in (*rule.conditions, *rule.guards)}
        for name, rule in RULES.items()
    }
    if not isinstance(raw or {}, dict):
        mistakes.append(f"rules: {raw!r} is not a mapping of rules to thresholds.")
        return resolved
    for name, thresholds in (raw or {}).items():
        if name not in resolved or not isinstance(thresholds or {}, dict):
            known = ", ".join(resolved)
            mistakes.append(f"rules.{name}: needs a mapping of thresholds; rules: {known}.")
            continue
        for quantity, value in (thresholds or {}).items():
            if quantity not in resolved[name]:
                known = ", ".join(resolved[name])
                mistakes.append(f"rules.{name}.{quantity}: no such threshold; known: {known}.")
            elif not isinstance(value, int | float) or isinstance(value, bool):
                mistakes.append(f"rules.{name}.{quantity}: {value!r} is not a number.")
            else:
                resolved[name][quantity] = float(value)
    return resolved
