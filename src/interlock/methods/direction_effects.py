"""Does one direction carry refusal? Taken out, put in, and tried on a category it has not seen.

1. Take the direction out of every residual stream, at every token and decoding step, and judge the
   replies to harmful prompts: affine leaves the harmless mean's coordinate there, plain leaves 0.
2. Put it in at the stream where it was read and judge the replies to harmless prompts.
3. Do the same with random directions: normal draws with the spread that prompts of one kind have
   among themselves, at the direction's own norm.
4. Measure the loss on neutral passages with the direction taken out; the mean left there is that of
   the passages, which have no template.

`direction_transfer` takes the direction fitted without a category out of that category's prompts.

Source: Arditi et al. (2024, arXiv:2406.11717, sections 3 and 4); affine: Marshall et al. (2024,
arXiv:2411.09003).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from interlock.activations import record
from interlock.batching import in_batches
from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.direction import Direction
from interlock.edits import Edit
from interlock.encoding import Encoded, collate, encode, encode_passages
from interlock.errors import ContrastError
from interlock.generation import Decoding
from interlock.measures import nll, replies
from interlock.model import Model, Shape
from interlock.steering import (
    Variant,
    coordinates,
    inducing,
    levels_of,
    removing,
    with_replies,
)
from interlock.store import each
from interlock.tables import Table, from_rows

Does = Literal["none", "removed", "induced"]


@dataclass(frozen=True, eq=False)
class _Condition:
    """What is done along a direction: the one found, or a random one."""

    does: Does
    variant: Variant
    kind: Literal["found", "random"]
    number: int
    direction: Direction | None

    def edits(self) -> list[Edit]:
        """On prompts and what is generated from them."""
        if self.direction is None or self.does == "none":
            return []
        if self.does == "removed":
            return removing(self.direction, variant=self.variant)
        return inducing(self.direction, variant=self.variant)


@dataclass(frozen=True, eq=False)
class _Asked:
    """The prompts and passages, encoded."""

    harmful: tuple[Encoded, ...]
    harmless: tuple[Encoded, ...]
    passages: tuple[Encoded, ...]
    decoding: Decoding
    batch: int


def direction_effects(
    model: Model,
    contrast: Contrast,
    passages: Contrast,
    direction: Direction,
    *,
    controls: int = 20,
    tokens: int = 48,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per condition, prompt and measure, long form.

    Args:
        model: the model studied.
        contrast: the prompts judged, not the split the direction was found on.
        passages: neutral texts for capability.
        direction: of one vector.
        controls: random directions.
        tokens: at most so many new tokens a reply.
        batch: prompts at once, at most.
        seed: of the random directions.

    Raises:
        ContrastError: the direction has several vectors, or is of another model's width.
    """
    _fits(model, direction)
    if len(direction.names) != 1:
        raise ContrastError(
            f"direction_effects judges one vector; this direction has {len(direction.names)}: "
            f"{', '.join(direction.names)}. Wire a step with categories: together."
        )
    harmful, harmless = contrast.expecting("refuse"), contrast.expecting("comply")
    asked = _Asked(
        encode(model, harmful, contrast.system),
        encode(model, harmless, contrast.system),
        encode_passages(model, passages.examples),
        Decoding(tokens),
        batch,
    )
    conditions = _conditions(model, asked, direction, controls, seed)
    found = each("direction", conditions, lambda condition: _measure(model, asked, condition))
    examples = (harmful, harmless, passages.examples)
    rows = [
        row
        for condition, answer in zip(conditions, found, strict=True)
        for row in _rows(condition, examples, answer)
    ]
    about = {
        "direction": f"{direction.kind} at {direction.site}, {direction.about.get('prompts', '')}",
        "acts on": "every token, at every decoding step",
        "decoding": str(asked.decoding),
    }
    return from_rows(rows, units={"value": "share, or nat per token"}, about=about)


def direction_effects_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Replies without an edit, under four edits, and under two of every random direction."""
    half = examples // 2
    found = 2 * examples + 4 * examples
    passages = int(options.get("passages", 0))
    return Cost(replies=found + 2 * half * options["controls"], passages=5 * passages)


def direction_transfer(
    model: Model,
    contrast: Contrast,
    direction: Direction,
    *,
    tokens: int = 48,
    batch: int = 32,
) -> Table:
    """Refusal of every category with the direction of the other categories taken out.

    Args:
        model: the model studied.
        contrast: the prompts judged, not the split the directions were found on.
        direction: one vector per category, fitted without it (`categories: left out`).
        tokens: at most so many new tokens a reply.
        batch: prompts at once, at most.

    Raises:
        ContrastError: the direction's vectors are not named after these prompts' categories.
    """
    _fits(model, direction)
    harmful = contrast.expecting("refuse")
    names = sorted({example.category for example in harmful})
    shared = [name for name in names if f"not {name}" in direction.names]
    if not shared:
        raise ContrastError(
            f"No direction was fitted without one of these prompts' categories: it has "
            f"{', '.join(direction.names)}. Wire a step with categories: left out."
        )

    def judged(name: str) -> dict[str, list[str]]:
        asked = [example for example in harmful if example.category == name]
        rows = encode(model, asked, contrast.system)
        edits = removing(direction.only(f"not {name}"))
        return {
            key: [_outcome(one) for one in replies(
                model, rows, edits=done, decoding=Decoding(tokens), size=batch
            )]
            for key, done in (("before", ()), ("after", edits))
        }  # fmt: skip

    found = each("direction transfer", shared, judged)
    rows = [
        {
            "id": example.id,
            "topic": example.topic,
            "category": name,
            "before": before,
            "after": after,
        }
        for name, answer in zip(shared, found, strict=True)
        for example, before, after in zip(
            [example for example in harmful if example.category == name],
            answer["before"],
            answer["after"],
            strict=True,
        )
    ]
    about = {
        "direction": f"{direction.kind} at {direction.site}, fitted without the category; layer "
        "and position were chosen with all categories",
        "categories left out of this": ", ".join(sorted(set(names) - set(shared))) or "none",
        "acts on": "every token, at every decoding step",
        "decoding": str(Decoding(tokens)),
    }
    return from_rows(rows, about=about)


def direction_transfer_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every harmful prompt twice."""
    return Cost(replies=examples)


def _fits(model: Model, direction: Direction) -> None:
    width = direction.vectors.shape[1]
    if width != model.shape.width or direction.streams[-1].layer != model.shape.layers - 1:
        raise ContrastError(
            f"The direction is {width} wide and of {direction.streams[-1].layer + 1} layers; "
            f"{model.name} is {model.shape.width} wide and has {model.shape.layers}."
        )


def _conditions(
    model: Model, asked: _Asked, direction: Direction, controls: int, seed: int
) -> list[_Condition]:
    found = [_Condition("none", "plain", "found", 0, None)]
    variants: tuple[Variant, ...] = ("affine", "plain")
    acts: tuple[Does, ...] = ("removed", "induced")
    found += [_Condition(do, way, "found", 0, direction) for do in acts for way in variants]
    drawn = _random(model, asked, direction, controls, seed) if controls else []
    return found + [
        _Condition(do, "affine", "random", number, one)
        for number, one in enumerate(drawn)
        for do in acts
    ]


def _random(
    model: Model, asked: _Asked, direction: Direction, count: int, seed: int
) -> list[Direction]:
    """Random directions with the within-kind spread of the prompts at the direction's site.

    Being made of how prompts of one kind differ among themselves, they lie where the model really
    varies, which a draw from a sphere does not.
    """
    sides = (asked.harmful, asked.harmless)
    spread = [_values(model, rows, direction, asked.batch) for rows in sides]
    centred = np.concatenate([rows - rows.mean(axis=0) for rows in spread])
    draws = np.random.default_rng(seed).standard_normal((count, len(centred))) @ centred
    lengths = np.linalg.norm(draws, axis=1, keepdims=True)
    units = draws / np.maximum(lengths, np.finfo(float).tiny)
    said = replies(model, asked.harmless, decoding=asked.decoding, size=asked.batch)
    neutral = with_replies(
        model, asked.harmless, [reply.text for reply in said], direction.streams,
        name="harmless prompts judged", size=asked.batch,
    )  # fmt: skip
    harmless = coordinates(neutral, units, direction.streams)
    return [
        replace(
            direction,
            vectors=(units[row] * direction.norms[0])[None].astype(np.float32),
            names=(f"random {row}",),
            harmless=harmless[row : row + 1],
            # as far from the harmless mean as the direction found moves, at every place
            harmful=harmless[row : row + 1] + (direction.harmful - direction.harmless),
            head=neutral.head,
            kind="random",
        )
        for row in range(count)
        if lengths[row, 0] > 0
    ]


def _values(model: Model, rows: Sequence[Encoded], direction: Direction, batch: int) -> np.ndarray:
    def read(part: Sequence[Encoded]) -> list[np.ndarray]:
        found = record(model, collate(model, part), [direction.site])
        return list(found.values[direction.site][:, -1].float().numpy(force=True))

    return np.stack(in_batches(rows, batch, read)).astype(np.float64)


def _measure(model: Model, asked: _Asked, condition: _Condition) -> dict[str, list]:
    edits = condition.edits()
    sides = {"none": asked.harmful + asked.harmless, "removed": asked.harmful}
    rows = sides.get(condition.does, asked.harmless)
    if condition.does == "removed" and condition.kind == "found":
        rows = asked.harmful + asked.harmless
    judged = replies(model, rows, edits=edits, decoding=asked.decoding, size=asked.batch)
    found = {
        "outcome": [reply.outcome for reply in judged],
        "degenerate": [reply.degenerate for reply in judged],
        "nll": [],
    }
    if condition.kind == "random" or condition.does == "induced":
        return found
    if condition.direction is not None:
        edits = _on_passages(model, asked, condition.direction, condition.variant)
    losses = nll(model, asked.passages, edits=edits, size=asked.batch)
    return {**found, "nll": losses.tolist()}


def _on_passages(model: Model, asked: _Asked, direction: Direction, variant: Variant) -> list[Edit]:
    if variant == "plain":
        return removing(direction, variant="plain")
    levels, head = levels_of(
        model, asked.passages, direction, name="neutral passages", size=asked.batch
    )
    return removing(direction, levels=levels, head=head)


def _rows(
    condition: _Condition, examples: tuple[tuple[Example, ...], ...], answer: dict[str, list]
) -> list[dict]:
    harmful, harmless, passages = examples
    both = condition.does != "induced"
    asked = (harmful + harmless if both else harmless)[: len(answer["outcome"])]
    rows = []
    for example, outcome, degenerate in zip(
        asked, answer["outcome"], answer["degenerate"], strict=True
    ):
        rows.append(_row(condition, example, "refused", float(outcome == "refuse")))
        rows.append(_row(condition, example, "degenerate", float(degenerate)))
    if answer["nll"]:
        rows += [
            _row(condition, passage, "nll", loss)
            for passage, loss in zip(passages, answer["nll"], strict=True)
        ]
    return rows


def _row(condition: _Condition, example: Example, measure: str, value: float) -> dict:
    return {
        "does": condition.does,
        "variant": condition.variant,
        "kind": condition.kind,
        "number": condition.number,
        "example": example.id,
        "topic": example.topic,
        "category": example.category,
        "expected": example.expected,
        "measure": measure,
        "value": value,
    }


def _outcome(reply: object) -> str:
    return "degenerate" if reply.degenerate else str(reply.outcome)  # type: ignore[attr-defined]
