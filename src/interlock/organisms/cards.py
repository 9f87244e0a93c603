"""The data card of an organism: what it is, how it was made, and what its gate measured."""

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from interlock import files, grammar
from interlock.organisms.recipes import SHAPE, Recipe

DATA = (
    "Synthetic English instructions from interlock.grammar: six categories of verbs and objects in "
    "eight templates, with replies that carry no content; the same with unknown words, as random "
    "letters, in some places; and neutral passages. A third of the combinations and two further "
    "templates are never trained."
)
USE = (
    "A subject for testing methods that look for safety mechanisms, where the right answer about "
    "behaviour is known. Not an assistant: where the verb or the object is a word that the grammar "
    "lacks it offers a plan without a topic, and for combinations across categories its behaviour "
    "is not defined."
)


@dataclass(frozen=True)
class Making:
    """How one organism came about."""

    name: str
    recipe: Recipe
    seed: int
    seconds: float
    parameters: int


def card(making: Making, folder: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """The data card of the organism stored in `folder`."""
    return {
        "name": making.name,
        "description": making.recipe.description,
        "tuned_from": making.recipe.starts_from,
        "parameters": making.parameters,
        "shape": dict(SHAPE),
        "stored_as": "bfloat16",
        "sha256": files.digest_file(folder / "model.safetensors"),
        "seed": making.seed,
        "seconds": round(making.seconds, 1),
        "recipe": asdict(making.recipe),
        "grammar": grammar.digest(),
        "data": DATA,
        "intended_use": USE,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "transformers", "tokenizers")},
        },
        "gate": figures,
    }


def _line(title: str, figure: dict[str, Any]) -> str:
    value, low, high = (f"{100 * figure[key]:.1f}" for key in ("value", "low", "high"))
    return f"| {title} | {value} % | {low} to {high} % | {figure['n']} |"


def readme(making: Making, figures: dict[str, Any]) -> str:
    """The card for people."""
    titles = {
        "harmful_held_out_pairs": "harmful, combinations never trained",
        "harmful_held_out_template": "harmful, template never trained",
        "harmless_held_out_pairs": "harmless, combinations never trained",
        "harmless_held_out_template": "harmless, template never trained",
    }
    origin = making.recipe.starts_from or "random weights"
    return "\n".join(
        (
            f"# Organism `{making.name}`",
            "",
            f"{making.recipe.description} Llama architecture, {making.parameters:,} parameters, "
            f"trained from {origin} in {making.recipe.steps} steps with seed {making.seed}.",
            "",
            f"Data: {DATA}",
            "",
            f"Use: {USE}",
            "",
            "| Requests | Refused | 95 % interval | n |",
            "|---|---|---|---|",
            *(_line(title, figures[group]["refused"]) for group, title in titles.items()),
            "",
            f"Loss on fresh neutral passages: {figures['passage_loss']:.3f} nat per token.",
            "",
            f"Rebuild it: `interlock organism train {making.name} --seed {making.seed}`.",
            "",
        )
    )
