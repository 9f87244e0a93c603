"""Differences in means: which prompts they are fitted on, and the direction with its levels.

A direction is fitted on the harmful prompts that a model refused and the harmless ones that it
answered; whole topics are set apart to choose between directions. Source: Arditi et al. (2024,
arXiv:2406.11717, section 2.3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from interlock.activations import reference
from interlock.contrast import Contrast, Example
from interlock.direction import Direction
from interlock.encoding import encode
from interlock.errors import ContrastError
from interlock.means import Reference
from interlock.model import Model, Shape
from interlock.sites import Site
from interlock.steering import coordinates, stream_sites, with_replies
from interlock.tables import Table

LEAST = 2  # prompts of each kind, to fit on and to validate on
KIND = "difference in means"


@dataclass(frozen=True)
class Prompts:
    """The prompts the model treats as it should, by kind, to fit on and to validate on."""

    harmful: tuple[Example, ...]
    harmless: tuple[Example, ...]
    held_harmful: tuple[Example, ...]
    held_harmless: tuple[Example, ...]


@dataclass(frozen=True, eq=False)
class Means:
    """Means over the prompts to fit on: by stream and place, and at every candidate's site."""

    harmful: Reference
    harmless: Reference


def treated_well(contrast: Contrast, replies: Table, held: float, seed: int) -> Prompts:
    """Refused harmful and answered harmless prompts; whole topics are held out, at least one.

    Raises:
        ContrastError: the replies are to other prompts, or too few prompts of a kind are left.
    """
    observed = dict(zip(replies["id"].tolist(), replies["observed"].tolist(), strict=True))
    if any(example.id not in observed for example in contrast.examples):
        raise ContrastError(
            f"The replies are not to the prompts of {contrast.name}.{contrast.split}: a direction "
            "is fitted on prompts that the model refused or answered, so it needs their replies."
        )
    kinds = [
        [each for each in contrast.expecting(kind) if observed[each.id] == kind]
        for kind in ("refuse", "comply")
    ]
    topics = sorted({each.topic for kind in kinds for each in kind})
    order = np.random.default_rng(seed).permutation(len(topics))
    apart = {topics[place] for place in order[: max(1, round(held * len(topics)))]}
    fit = [tuple(each for each in kind if each.topic not in apart) for kind in kinds]
    validation = [tuple(each for each in kind if each.topic in apart) for kind in kinds]
    fewest = min(map(len, (*fit, *validation)))
    if fewest < LEAST:
        raise ContrastError(
            f"{contrast.name}.{contrast.split} has {len(kinds[0])} refused harmful and "
            f"{len(kinds[1])} answered harmless prompts of {len(topics)} topics: too few for a "
            f"direction, which needs {LEAST} of each kind to fit on and {LEAST} to validate on."
        )
    return Prompts(fit[0], fit[1], validation[0], validation[1])


def means_of(
    model: Model,
    contrast: Contrast,
    examples: tuple[Sequence[Example], Sequence[Example]],
    sites: Sequence[Site],
    batch: int,
    said: Mapping[str, str] | None = None,
) -> Means:
    """Means over harmful and harmless prompts; `said` holds their replies where these matter."""
    sides = []
    for kind, rows in zip(("harmful", "harmless"), examples, strict=True):
        prompts = encode(model, rows, contrast.system)
        name = f"{kind} prompts of {contrast.name}.{contrast.split}"
        texts = [(said or {}).get(row.id, "") for row in prompts]
        streams = stream_sites(model.shape)
        whole = with_replies(model, prompts, texts, streams, name=name, size=batch)
        at = reference(model, prompts, sites, name=name, size=batch)
        sides.append(replace(whole, means={**whole.means, **at.means}))
    return Means(*sides)


def difference(shape: Shape, means: Means, site: Site, name: str = "all") -> Direction:
    """The difference in means at a site, with the mean coordinates along it everywhere."""
    high, low = (
        side.means[site][0, -1].float().numpy(force=True)
        for side in (means.harmful, means.harmless)
    )
    vector = (high - low)[None].astype(np.float32)
    length = float(np.linalg.norm(vector))
    unit = vector / length if length else vector
    streams = stream_sites(shape)
    return Direction(
        vectors=vector,
        names=(name,),
        site=site,
        streams=streams,
        harmless=coordinates(means.harmless, unit, streams),
        harmful=coordinates(means.harmful, unit, streams),
        head=means.harmless.head,
        kind=KIND,
    )


def lost(prompts: Prompts, parts: Mapping[str, object]) -> list[str]:
    """Categories of refused prompts that are too small for a direction."""
    if set(parts) == {"all"}:
        return []
    known = {name.removeprefix("not ") for name in parts}
    return sorted({example.category for example in prompts.harmful} - known)


def by_category(
    prompts: Prompts, categories: str
) -> Mapping[str, tuple[Sequence[Example], Sequence[Example]]]:
    """Prompts to fit on, by what the vector is called.

    Args:
        prompts: those the model treats as it should.
        categories: together, left out or each; too small ones are left away.

    Raises:
        ContrastError: fewer than two categories are left.
    """
    if categories == "together":
        return {"all": (prompts.harmful, prompts.harmless)}
    names = sorted({example.category for example in prompts.harmful})
    if len(names) < 2:
        raise ContrastError(
            f"One category of refused prompts ({', '.join(names)}): nothing to compare it with."
        )
    inside = categories == "each"
    parts: dict[str, tuple[Sequence[Example], Sequence[Example]]] = {}
    for name in names:
        harmful, harmless = (
            [example for example in kind if (example.category == name) == inside]
            for kind in (prompts.harmful, prompts.harmless)
        )
        parts[name if inside else f"not {name}"] = (harmful, harmless)
    if inside:
        # harmless prompts need not be of the harms' categories; then all of them stand in
        parts = {
            name: (harmful, harmless if len(harmless) >= LEAST else list(prompts.harmless))
            for name, (harmful, harmless) in parts.items()
        }
    enough = {name: both for name, both in parts.items() if min(map(len, both)) >= LEAST}
    if len(enough) < LEAST:
        raise ContrastError(
            f"Too few refused or answered prompts for directions of single categories: of "
            f"{', '.join(parts)} {len(enough)} have {LEAST} of each kind."
        )
    return enough
