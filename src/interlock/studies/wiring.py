"""What a step is given: contrasts and earlier results by their wires, and plain options."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from interlock.config import Step, Study, model_wires, source_steps, top_count
from interlock.contrast import Contrast
from interlock.datasets import Sets
from interlock.model import Model
from interlock.scores import Scores
from interlock.selection import top
from interlock.sites import Site, parse
from interlock.studies.evidence import Value
from interlock.transcripts.labelling import labels_by_prompt, read_labels


def contrasts_of(sets: Sets) -> dict[str, Contrast]:
    """The contrasts a step's wires may name."""
    named = {f"prompts.{split}": found for split, found in sets.splits.items()}
    pairs = {f"pairs.{split}": found for split, found in sets.splits.items()}
    return named | pairs | {"passages": sets.passages, "lookalikes": sets.lookalikes}


def require_labels(study: Study, contrasts: Mapping[str, Contrast]) -> None:
    """Refuse labels without replies that speak of no prompt of their step, before anything runs.

    Raises:
        TranscriptError: names the file.
    """
    for step in study.steps:
        if not step.options.get("labels"):
            continue
        labelled = read_labels(Path(step.options["labels"]).expanduser())
        if not labelled.replies:
            examples = contrasts[str(step.wires["on"])].examples
            labels_by_prompt(labelled, {each.id: each.prompt for each in examples})


def options(step: Step) -> dict[str, Any]:
    """Options as the method takes them: lists from JSON become tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in step.options.items()}


def noun(
    wire: str,
    step: Step,
    contrasts: Mapping[str, Contrast],
    values: Mapping[str, Value],
    beside: Callable[[str], Model],
) -> Contrast | Value | tuple[Site, ...] | Model:
    """The noun that a wire of a step leads to; `beside` opens another model by its name."""
    target = step.wires[wire]
    if wire in model_wires(step):
        return beside(str(target))
    if isinstance(target, tuple):
        return tuple(parse(text) for text in target)
    if target in contrasts:
        return contrasts[target]
    if target in values:
        return values[target]
    scores = [values[name] for name in source_steps(target)]
    assert all(isinstance(each, Scores) for each in scores)
    found: list[Scores] = [each for each in scores if isinstance(each, Scores)]
    return top(top_count(target, len(found[0].sites)), found)
