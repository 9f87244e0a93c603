"""What is written beside a planted organism: its truth, its data card, its card for people."""

import math
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from interlock import files, grammar
from interlock.grammar import CATEGORIES
from interlock.organisms.planting.decoys import Decoys
from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.gate import LEAST_AUROC, Figures, certified
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.weights import SETS, Flags, as_mask
from interlock.organisms.recipes import SHAPE
from interlock.organisms.truth import VECTORS, Feature, Truth
from interlock.sites import Site

DATA = (
    "Synthetic English instructions from interlock.grammar in two templates of the plant's own, "
    "with replies that carry no content, and neutral passages. A third of the combinations of verb "
    "and object is never trained."
)
USE = (
    "A subject for testing methods that look for safety mechanisms, where the mechanism is known. "
    "What is known is about whole heads and groups of sixteen neurons, on the prompts' tokens and "
    "the reply's first, under the ablations listed as certified; it is not about single weights, "
    "queries, keys or values, nor about other templates."
)


def name_of(plant: str, seed: int) -> str:
    """The organism's name: `planted-PLANT-SEED`."""
    return f"planted-{plant}-{seed}"


def truth_of(
    plant: Plant, taught: Decoys, figures: Figures, *, seed: int, steps: int, seconds: float
) -> Truth:
    """What was planted, as it will be stored."""
    units = plant.units

    def sites(roles: Sequence[str]) -> tuple[Site, ...]:
        return tuple(units[role] for role in roles)

    decoding = figures.get("decoys", {})
    # the direction that all refusals go through, if one of them does
    whole = next((r for r, names in plant.features.items() if len(names) == len(CATEGORIES)), "")
    return Truth(
        plant=plant.name,
        units=tuple(units.values()),
        roles={str(site): role for role, site in units.items()},
        edges=tuple((units[source], units[target]) for source, target in plant.edges),
        signs={str(site): -1 if role in plant.opposes else 1 for role, site in units.items()},
        categories={name: sites(roles) for name, roles in plant.categories.items()},
        redundant=tuple(sites(roles) for roles in plant.redundant),
        joint=tuple(sites(roles) for roles in plant.joint),
        decoys=tuple(site for site in taught.sites if decoding.get(str(site), 0) >= LEAST_AUROC),
        circuits={name: sites(roles) for name, roles in plant.circuits.items()},
        direction=whole,
        layer=units[whole].layer if whole else -1,
        certified=certified(figures),
        seed=seed,
        steps=steps,
        seconds=round(seconds, 1),
        templates=plant.templates,
        gate=rounded(figures),
        vectors=tuple(taught.written),
        features={
            role: Feature(units[role], categories) for role, categories in plant.features.items()
        },
    )


def weights_truth_of(
    plant: Plant, flags: Flags, figures: Figures, *, seed: int, steps: int, seconds: float
) -> Truth:
    """What was planted in single weights, as it will be stored."""
    return Truth(
        plant=plant.name,
        units=(),
        roles={},
        edges=(),
        signs={},
        categories={},
        redundant=(),
        decoys=(),
        direction="",
        certified=("restored to base", "zero"),
        seed=seed,
        steps=steps,
        seconds=round(seconds, 1),
        templates=plant.templates,
        gate=rounded(figures),
        vectors=tuple(as_mask(flags).names),
        weights=figures["planted weights"],
    )


def rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same value with four decimals."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) and math.isfinite(value) else value


def card(truth: Truth, plant: Plant, diet: Diet, folder: Path, parameters: int) -> dict[str, Any]:
    """The data card of a planted organism, beside its truth."""
    return {
        "name": name_of(truth.plant, truth.seed),
        "description": plant.description,
        "tuned_from": "base" if plant.steps else None,
        "plant": truth.plant,
        "parameters": parameters,
        "shape": dict(SHAPE),
        "stored_as": "bfloat16",
        "sha256": files.digest_file(folder / "model.safetensors"),
        "seed": truth.seed,
        "seconds": truth.seconds,
        "recipe": {"steps": truth.steps, **asdict(diet)},
        "grammar": grammar.digest(),
        "data": DATA,
        "intended_use": USE,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "transformers", "tokenizers")},
        },
        "gate": {"accepted": True, "conditions": truth.gate["conditions"]},
    }


def readme(truth: Truth, plant: Plant, parameters: int) -> str:
    """What was planted, and the figures of the gate."""
    name = name_of(truth.plant, truth.seed)
    origin = "`base`" if plant.steps else "random weights"
    return "\n".join(
        (
            f"# Organism `{name}`",
            "",
            f"{plant.description} Llama architecture, {parameters:,} parameters, trained from "
            f"{origin} in {truth.steps} steps with seed {truth.seed}.",
            "",
            *_planted(truth),
            *_gate(truth),
            f"Certified ablations: {', '.join(truth.certified) or 'none'}.",
            "",
            f"Rebuild it: `interlock organism train {name}`.",
            "",
        )
    )


def _planted(truth: Truth) -> list[str]:
    if truth.weights:
        share = truth.gate["share"]
        text = f"Planted: {truth.weights:,} single weights, {share:.1%} of the linear layers'."
        return [text, f"The set is in `{VECTORS}`; `interlock.mask.load` reads it.", ""]
    if not truth.units:
        return ["Nothing is planted: what a method finds here is a false discovery.", ""]
    lines = ["| Planted unit | Role |", "|---|---|"]
    lines += [f"| `{site}` | {truth.roles[str(site)]} |" for site in truth.units]
    text = f"{len(truth.decoys)} other units encode harm linearly and do nothing."
    return [*lines, "", text, ""]


def _gate(truth: Truth) -> list[str]:
    if truth.weights:
        return _weights_gate(truth)
    strata = truth.gate.get("strata", {})
    if not strata:
        return []
    lines = [
        "| Pairs differ in | Faithfulness | 5th percentile | Necessity | Largest unplanted |",
        "|---|---|---|---|---|",
    ]
    keys = ("faithfulness", "faithfulness_p5", "necessity", "unplanted")
    lines += [
        f"| {name} | {' | '.join(f'{found[key]:.2f}' for key in keys)} |"
        for name, found in strata.items()
    ]
    return [*lines, ""]


def _weights_gate(truth: Truth) -> list[str]:
    found = truth.gate
    rows = {
        "none": found["as they are"],
        **{f"planted, {how}": each for how, each in found["planted"].items()},
        **{
            f"as many others, {how} (worst of {SETS} sets)": found[f"others {how}"]
            for how in ("restored", "zeroed")
        },
    }
    lines = ["| Weights changed | Refuses harmful | Complies with harmless |", "|---|---|---|"]
    lines += [
        f"| {name} | {each['refused']:.2f} | {each['complied']:.2f} |"
        for name, each in rows.items()
    ]
    return [*lines, ""]
