"""Is it necessary? Ablate the parts found: does refusal fall, and does anything else break?

1. Take sites ranked on another split.
2. Ablate each of the first ones alone, then the first 5, 10, 15, 20 together, on prompt tokens: by
   default each site is set to its mean over this split's harmless prompts (in passages: over the
   passages, which have no template), apart for each template token and for the text between; zero
   is the other choice.
3. Do the same with random sets of the same kinds, layers and sizes.
4. Measure, under each ablation, refusal by generated and judged replies, degenerate replies, and
   the loss on neutral passages; over-refusal of harmless prompts for the sets found and for some
   of the random ones.

`knockout` is the cheap form for ranking: every unit alone, by the opening score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from interlock.activations import reference
from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.edits import Edit, mean, zero
from interlock.encoding import Encoded, collate, encode, encode_passages
from interlock.exchange import READS, rows_of, usable_pairs
from interlock.generation import Decoding
from interlock.means import Reference
from interlock.measures import nll, openers_of, opening_scores, replies
from interlock.metrics import opening_score
from interlock.model import Model, Shape
from interlock.replay import keep, replay
from interlock.scores import Scores
from interlock.selection import matched_sets, unit_sites
from interlock.sites import Site
from interlock.store import each
from interlock.tables import Table, from_rows


@dataclass(frozen=True)
class _Condition:
    """A set of sites that is ablated together."""

    kind: Literal["none", "single", "found", "matched random"]
    number: int
    sites: tuple[Site, ...]
    harmless: bool  # whether harmless prompts are asked too

    def name(self) -> str:
        return str(self.sites[0]) if self.kind == "single" else ""


@dataclass(frozen=True, eq=False)
class _Asked:
    """The prompts and passages every condition is measured on, with how to ablate."""

    harmful: tuple[Encoded, ...]
    harmless: tuple[Encoded, ...]
    passages: tuple[Encoded, ...]
    prompt_means: Reference | None
    passage_means: Reference | None
    decoding: Decoding
    batch: int


def _edits(sites: Sequence[Site], means: Reference | None) -> list[Edit]:
    return [zero(site) if means is None else mean(site, means) for site in sites]


def ablation(
    model: Model,
    contrast: Contrast,
    passages: Contrast,
    sites: tuple[Site, ...],
    *,
    ablate: Literal["mean", "zero"] = "mean",
    sizes: tuple[int, ...] = (5, 10, 15, 20),
    singles: int = 20,
    controls: int = 20,
    harmless_controls: int = 5,
    groups: int = 12,
    tokens: int = 48,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per condition, prompt and measure, long form.

    Args:
        model: the model studied.
        contrast: the prompts judged, not the split the sites were found on.
        passages: neutral texts for capability.
        sites: ranked, best first.
        ablate: to the mean of this contrast's harmless prompts, or to zero.
        sizes: how many of the first sites to ablate together.
        singles: how many of the first sites to ablate alone.
        controls: matched random sets per size.
        harmless_controls: how many of these are asked the harmless prompts too.
        groups: how many groups a layer's neurons were split into.
        tokens: at most so many new tokens a reply.
        batch: prompts at once, at most.
        seed: of the random sets.
    """
    counts = (singles, controls, harmless_controls)
    conditions = _conditions(model.shape, sites, sizes, counts, groups, seed)
    harmful, harmless = contrast.expecting("refuse"), contrast.expecting("comply")
    asked = _Asked(
        encode(model, harmful, contrast.system),
        encode(model, harmless, contrast.system),
        encode_passages(model, passages.examples),
        None,
        None,
        Decoding(tokens),
        batch,
    )
    if ablate == "mean":
        asked = _with_means(model, asked, conditions, f"{contrast.name}.{contrast.split}")
    means = asked.prompt_means
    found = each("ablation", conditions, lambda condition: _measure(model, asked, condition))
    examples = (harmful, harmless, passages.examples)
    rows = [
        row
        for condition, answer in zip(conditions, found, strict=True)
        for row in _rows(condition, examples, answer)
    ]
    about = {
        "ablation": "zero" if means is None else f"mean of {means.n} {means.name}",
        "acts on": "prompt tokens",
        "decoding": str(asked.decoding),
        "sites": " ".join(map(str, sites)),
    }
    return from_rows(rows, about=about)


def ablation_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Replies and losses under every condition; the means are read once before."""
    sets = len(options["sizes"]) * (options["controls"] + 1) + options["singles"] + 1
    asked = min(options["harmless_controls"], options["controls"])
    whole = len(options["sizes"]) * (1 + asked) + 1
    half = examples // 2
    passages = int(options.get("passages", 0))
    means = int(options["ablate"] == "mean")
    return Cost(
        replies=sets * half + whole * half,
        prompts=means * half,
        passages=(sets + means) * passages,
    )


def knockout(
    model: Model,
    pairs: Contrast,
    replies: Table,
    *,
    ablate: Literal["mean", "zero"] = "mean",
    groups: int = 12,
    batch: int = 32,
) -> Scores:
    """Fall of the opening score (nat) of each harmful prompt when one unit is ablated.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split; the gap is a pair's own.
        replies: judged replies, which give the opening tokens.
        ablate: to the mean of the harmless prompts of these pairs, or to zero.
        groups: how many groups a layer's neurons are split into.
        batch: prompts at once, at most.

    Raises:
        ContrastError: no pair can be used, the prompts are of different templates, or the replies
            hold no refusal.
    """
    openers = openers_of(replies)
    usable, _ = usable_pairs(model, pairs, ("all",))
    harmful, harmless = ([row[side] for row in rows_of(usable)] for side in (0, 1))
    sites = unit_sites(model.shape, groups)
    means = None
    if ablate == "mean":
        name = f"harmless prompts of {pairs.name}.{pairs.split}"
        means = reference(model, harmless, sites, name=name, size=batch)
    before = opening_scores(model, harmful, openers, size=batch)
    gap = before - opening_scores(model, harmless, openers, size=batch)

    variants = [_edits([site], means) for site in sites]

    def falls(part: Sequence[Encoded]) -> list[list[float]]:
        found = replay(
            keep(model, collate(model, part)),
            variants,
            lambda logits, _: opening_score(logits, openers),
        )
        return (found.base - found.values).tolist()

    chunks = [harmful[start : start + batch] for start in range(0, len(harmful), batch)]
    values = np.concatenate(each(f"knockout {ablate}", chunks, falls), axis=1)
    about = {
        "ablation": "zero" if means is None else f"mean of {means.n} {means.name}",
        "direction": "ablate",
        "split": pairs.split,
        "metric": "opening score (nat)",
    }
    ids = tuple(row.id for row in usable.harmful)
    return Scores(sites, ids, usable.topics, values, gap, "nat of opening score", about)


def knockout_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Per unit and harmful prompt the layers from the unit on; what is read before, once."""
    once = 1 + int(options["ablate"] == "mean")
    units = unit_sites(shape, options["groups"])
    passes = sum(shape.layers - site.layer for site in units) / shape.layers
    # beside the units a chunk runs its prompts as they are, and a control row
    return Cost(prompts=math.ceil(once * examples + (passes + READS) * examples / 2))


def _conditions(
    shape: Shape,
    sites: tuple[Site, ...],
    sizes: Sequence[int],
    counts: tuple[int, int, int],
    groups: int,
    seed: int,
) -> list[_Condition]:
    singles, controls, harmless = counts
    candidates = unit_sites(shape, groups)
    conditions = [_Condition("none", 0, (), harmless=True)]
    conditions += [
        _Condition("single", rank, (site,), harmless=False)
        for rank, site in enumerate(sites[:singles])
    ]
    for size in sizes:
        if size > len(sites):
            continue
        chosen = sites[:size]
        conditions.append(_Condition("found", 0, chosen, harmless=True))
        random = matched_sets(chosen, candidates, controls, seed + size)
        conditions += [
            _Condition("matched random", number, drawn, harmless=number < harmless)
            for number, drawn in enumerate(random)
        ]
    return conditions


def _with_means(model: Model, asked: _Asked, conditions: Sequence[_Condition], name: str) -> _Asked:
    touched = tuple(dict.fromkeys(site for each_one in conditions for site in each_one.sites))
    mean_of = partial(reference, model, sites=touched, size=asked.batch)
    return replace(
        asked,
        prompt_means=mean_of(asked.harmless, name=f"harmless prompts of {name}"),
        passage_means=mean_of(asked.passages, name="neutral passages"),
    )


def _measure(model: Model, asked: _Asked, condition: _Condition) -> dict[str, list]:
    edits = _edits(condition.sites, asked.prompt_means)
    rows = asked.harmful + asked.harmless if condition.harmless else asked.harmful
    judged = replies(model, rows, edits=edits, decoding=asked.decoding, size=asked.batch)
    on_passages = _edits(condition.sites, asked.passage_means)
    return {
        "outcome": [reply.outcome for reply in judged],
        "degenerate": [reply.degenerate for reply in judged],
        "nll": nll(model, asked.passages, edits=on_passages, size=asked.batch).tolist(),
    }


def _rows(
    condition: _Condition, examples: tuple[tuple[Example, ...], ...], answer: dict[str, list]
) -> list[dict]:
    harmful, harmless, passages = examples
    asked = (harmful + harmless)[: len(answer["outcome"])]
    rows = []
    for place, example in enumerate(asked):
        refused = float(answer["outcome"][place] == "refuse")
        degenerate = float(answer["degenerate"][place])
        rows.append(_row(condition, example, "refused", refused))
        rows.append(_row(condition, example, "degenerate", degenerate))
    rows += [
        _row(condition, passage, "nll", loss)
        for passage, loss in zip(passages, answer["nll"], strict=True)
    ]
    return rows


def _row(condition: _Condition, example: Example, measure: str, value: float) -> dict:
    return {
        "kind": condition.kind,
        "size": len(condition.sites),
        "set": condition.number,
        "site": condition.name(),
        "example": example.id,
        "topic": example.topic,
        "expected": example.expected,
        "measure": measure,
        "value": value,
    }
