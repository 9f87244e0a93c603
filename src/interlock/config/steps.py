"""A step of a study, what it reads, and which split of the prompts it has seen."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.config.signatures import Signature, signature_of

_TOP = re.compile(r"top\((\d+%?)((?:,\s*[\w.-]+)+)\)")
# nouns that were chosen on prompts, so that they are judged on others
_CHOSEN = ("Mask", "WeightScores", "Subspaces")


class Step(BaseModel):
    """One method call: its id, its nouns by name, its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    do: str
    wires: dict[str, str | tuple[str, ...]]
    options: dict[str, Any]

    def split(self) -> str:
        """The split its first contrast comes from."""
        return str(self.wires.get("on", "")).split(".")[-1]


def wire_names(signature: Signature) -> dict[str, str]:
    """Wires by name; the first contrast is called `on`."""
    first = next((name for name, noun in signature.nouns.items() if noun == "Contrast"), "")
    return {"on" if name == first else name: noun for name, noun in signature.nouns.items()}


def source_steps(expression: str) -> tuple[str, ...]:
    """The step ids in a `top(COUNT, step, ...)` expression."""
    match = _TOP.fullmatch(expression)
    assert match is not None
    return tuple(part.strip() for part in match.group(2).split(",")[1:])


def top_count(expression: str, candidates: int) -> int:
    """The count in `top(COUNT, step, ...)`; a percentage is rounded down, at least 1."""
    match = _TOP.fullmatch(expression)
    assert match is not None
    count = match.group(1)
    if count.endswith("%"):
        return max(1, candidates * int(count[:-1]) // 100)
    return int(count)


def is_top(expression: str) -> bool:
    """Whether a wire is written `top(COUNT, step, ...)`."""
    return _TOP.fullmatch(expression) is not None


def steps_read(step: Step) -> list[str]:
    """The ids of the steps a step reads."""
    needed: list[str] = []
    wired = wire_names(signature_of(step.do))
    for wire, target in step.wires.items():
        noun = wired[wire]
        if noun == "Sites":
            needed += source_steps(target) if isinstance(target, str) else []
        elif noun not in ("Contrast", "Model"):
            needed.append(str(target))
    return needed


def model_wires(step: Step) -> list[str]:
    """The wires of a step that name another model."""
    wired = wire_names(signature_of(step.do))
    return [wire for wire in step.wires if wired[wire] == "Model"]


def splits_seen(step: Step, steps: Mapping[str, Step]) -> set[str]:
    """The splits whose prompts a step has seen: its own, or else those of the steps it reads."""
    if "on" in step.wires:
        return {step.split()}
    return {
        split
        for name in steps_read(step)
        if name in steps
        for split in splits_seen(steps[name], steps)
    }


def chosen_where_judged(step: Step, earlier: Mapping[str, Step]) -> list[str]:
    """A line for each set or score of weights that was found on the split this step judges."""
    if "on" not in step.wires or only_chooses(step):
        return []
    return [
        f"steps.{step.id}.{wire}: found on {step.split()}, the split this step judges; find "
        "weights on one split and judge them on the other."
        for wire, noun in wire_names(signature_of(step.do)).items()
        if noun in _CHOSEN
        and (name := str(step.wires.get(wire))) in earlier
        and step.split() in splits_seen(earlier[name], earlier)
    ]


def only_chooses(step: Step) -> bool:
    """Whether a step estimates nothing, so that it may choose on the split it chooses for.

    A search does, and a grid without random sets, which chooses a point.
    """
    grids = ("pruning", "rank_pruning")
    return step.do == "search" or (step.do in grids and step.options.get("controls") == 0)
