"""Is there one direction? Differences in means at every layer and template position, and a choice.

1. Keep the harmful prompts that were refused and the harmless ones that were answered; set some
   topics apart for validation.
2. At every layer's input and every token of the template after the user's text, a candidate is the
   mean of the harmful prompts less the mean of the harmless ones.
3. On the validation prompts each candidate is taken out of every residual stream (does refusal go:
   `bypass`; do harmless prompts keep their next token: `kl`) and put in where it was read (does
   refusal come: `induce`).
4. `arditi` takes the lowest bypass among candidates that induce, keep KL low and lie before the
   last layers. `cosmic` needs no output: it takes the candidate that makes the last token's states,
   in the layers where the two kinds of prompt differ most, most like those of the other kind.
5. Where no candidate survives there is no direction, and that is the answer.

Sources: Arditi et al. (2024, arXiv:2406.11717, sections 2.3, 2.4 and appendix C); Siu et al. (2025,
COSMIC, arXiv:2506.00085) for 4; affine edits: Marshall et al. (2024, arXiv:2411.09003). The refusal
score is the opening score, which unlike Arditi's log odds does not saturate; both are 0 where
refusal and compliance are equally likely.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interlock.activations import record
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.direction import Direction
from interlock.edits import Edit, edited
from interlock.encoding import Encoded, collate, encode
from interlock.errors import ContrastError
from interlock.mean_differences import (
    KIND,
    Prompts,
    by_category,
    difference,
    lost,
    means_of,
    treated_well,
)
from interlock.measures import openers_of
from interlock.metrics import Openers, opening_score
from interlock.model import Model, Shape
from interlock.sites import Site, parse
from interlock.stats import mean
from interlock.steering import inducing, removing
from interlock.store import each
from interlock.tables import Table, from_rows


@dataclass(frozen=True, eq=False)
class _Look:
    """What validation prompts gave in one pass, one row a prompt.

    Attributes:
        score: opening score (nat).
        said: log probabilities of the next token.
        state: hidden states after every layer at the last token.
    """

    score: Float[Tensor, " example"]
    said: Float[Tensor, "example vocab"]
    state: Float[Tensor, "example layer width"]


def candidates(
    model: Model,
    contrast: Contrast,
    replies: Table,
    *,
    variant: Literal["affine", "plain"] = "affine",
    depth: float = 0.8,
    most_kl: float = 0.1,
    least_induce: float = 0.0,
    held: float = 0.25,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per layer and template position: its direction taken out, and put in.

    Args:
        model: the model studied.
        contrast: harmful and harmless prompts of the split for selection.
        replies: judged replies to these prompts.
        variant: affine sets coordinates to means; plain projects to zero and adds the vector.
        depth: share of the layers, from the first, in which candidates are looked for.
        most_kl: most nats that harmless prompts' next token may move by.
        least_induce: least opening score (nat) of harmless prompts with the direction put in.
        held: share of the topics on which candidates are judged; the others give the means.
        batch: prompts at once, at most.
        seed: of the division of topics.

    Raises:
        ContrastError: the replies are of other prompts, hold no refusal, or there are too few
            prompts of a kind.
    """
    openers = openers_of(replies)
    prompts = treated_well(contrast, replies, held, seed)
    sites = _sites(model, contrast, prompts, depth)
    means = means_of(model, contrast, (prompts.harmful, prompts.harmless), sites, batch)
    harmful, harmless = (
        encode(model, rows, contrast.system)
        for rows in (prompts.held_harmful, prompts.held_harmless)
    )
    refused, answered = (_look(model, rows, openers, (), batch) for rows in (harmful, harmless))
    apart = _least_alike(refused, answered)

    def tried(site: Site) -> dict:
        found = difference(model.shape, means, site)
        there = float(found.norms[0]) > 0
        out = removing(found, variant=variant) if there else []
        put_in = inducing(found, variant=variant) if there else []
        bypassed = _look(model, harmful, openers, out, batch)
        kept = _look(model, harmless, openers, out, batch)
        induced = _look(model, harmless, openers, put_in, batch)
        moved = (answered.said.exp() * (answered.said - kept.said)).sum(dim=-1)
        return {
            "norm": float(found.norms[0]),
            "bypass": bypassed.score.tolist(),
            "induce": induced.score.tolist(),
            "kl": moved.tolist(),
            "removed": _likeness(bypassed, answered, apart),
            "induced": _likeness(induced, refused, apart),
        }

    topics = ([e.topic for e in prompts.held_harmful], [e.topic for e in prompts.held_harmless])
    rows = [
        _row(site, found, topics, (most_kl, least_induce))
        for site, found in zip(sites, each("directions", sites, tried), strict=True)
    ]
    about = {
        "variant": variant,
        "split": contrast.split,
        "fitted on": f"{len(prompts.harmful)} refused, {len(prompts.harmless)} answered prompts",
        "validated on": f"{len(harmful)} refused, {len(harmless)} answered prompts of other topics",
        "before": f"opening score {float(refused.score.mean()):.3g} nat of harmful, "
        f"{float(answered.score.mean()):.3g} nat of harmless prompts",
        "survives": f"kl <= {most_kl:g} nat; arditi also: induce > {least_induce:g} nat",
        "layers": f"before {depth:.0%} of {model.shape.layers}",
        "layers compared by cosmic": ", ".join(str(layer) for layer in apart),
        "held": str(held),
        "seed": str(seed),
    }
    units = {"bypass": "nat", "induce": "nat", "kl": "nat", "norm": "residual stream"}
    return from_rows(rows, units=units, about=about)


def candidates_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Three passes per candidate and validation prompt of a kind; a template's tail is about 4."""
    sites = 4 * (_deepest(shape.layers, options["depth"]) - 1)
    held = round(examples * options["held"])
    return Cost(prompts=examples + held + sites * (held + held // 2))


def direction(
    model: Model,
    contrast: Contrast,
    replies: Table,
    chosen: Table,
    *,
    choose: Literal["arditi", "cosmic"] = "arditi",
    categories: Literal["together", "left out", "each"] = "together",
    batch: int = 32,
) -> Direction:
    """The direction at the best candidate's site, of all categories, all but one, or one each.

    Args:
        model: the model studied.
        contrast: the prompts that the candidates were found on.
        replies: judged replies to these prompts.
        chosen: the candidates.
        choose: arditi by what the model says, cosmic by its hidden states.
        categories: together gives one vector; left out gives one per category, fitted without it;
            each gives one per category, fitted on it alone.
        batch: prompts at once, at most.

    Raises:
        ContrastError: no candidate survives; or too few prompts of a kind in a category.
    """
    site = _best(chosen, choose)
    held, seed = float(chosen.about["held"]), int(chosen.about["seed"])
    prompts = treated_well(contrast, replies, held, seed)
    said = dict(zip(replies["id"].tolist(), replies["reply"].tolist(), strict=True))
    parts = by_category(prompts, categories)
    found = [
        difference(model.shape, means_of(model, contrast, part, [site], batch, said), site, name)
        for name, part in parts.items()
    ]
    about = {
        "model": model.name,
        "revision": model.revision,
        "prompts": f"{contrast.name}.{contrast.split}, sha256 {contrast.digest[:12]}",
        "fitted on": f"{len(prompts.harmful)} refused, {len(prompts.harmless)} answered prompts",
        "chosen by": choose,
        "variant": chosen.about["variant"],
        "categories": categories,
        "categories left out": ", ".join(lost(prompts, parts)) or "none",
        "split": contrast.split,
    }
    return Direction(
        vectors=np.concatenate([one.vectors for one in found]),
        names=tuple(parts),
        site=site,
        streams=found[0].streams,
        harmless=np.concatenate([one.harmless for one in found]),
        harmful=np.concatenate([one.harmful for one in found]),
        head=found[0].head,
        kind=KIND,
        about=about,
    )


def direction_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every prompt once, per vector; about 6 categories."""
    return Cost(prompts=examples * {"together": 1, "left out": 5, "each": 1}[options["categories"]])


def _deepest(layers: int, depth: float) -> int:
    """How many layers lie before a share of the depth."""
    return max(1, int(np.ceil(layers * depth - 1e-9)))


def _sites(model: Model, contrast: Contrast, prompts: Prompts, depth: float) -> list[Site]:
    (row,) = encode(model, prompts.harmful[:1], contrast.system)
    # before layer 0 a token of the template is the same in every prompt
    found = [
        Site("resid_pre", layer, position=str(-place))
        for layer in range(1, _deepest(model.shape.layers, depth))
        for place in range(max(1, row.tail), 0, -1)
    ]
    if not found:
        raise ContrastError(
            f"{model.name} has {model.shape.layers} layers: none to read a direction before within "
            f"{depth:.0%} of them."
        )
    return found


@torch.no_grad()
def _look(
    model: Model, rows: Sequence[Encoded], openers: Openers, edits: Sequence[Edit], batch: int
) -> _Look:
    last = [
        *(Site("resid_pre", layer, position="last") for layer in range(1, model.shape.layers)),
        Site("resid_post", model.shape.layers - 1, position="last"),
    ]

    def seen(part: Sequence[Encoded]) -> list[tuple[Tensor, Tensor, Tensor]]:
        prompts = collate(model, part)
        with edited(model, edits, prompts):
            found = record(model, prompts, last)
        score = opening_score(found.logits, openers).cpu()
        said = found.logits.float().log_softmax(dim=-1).cpu()
        state = torch.stack([found.values[site][:, -1].float().cpu() for site in last], dim=1)
        return list(zip(score, said, state, strict=True))

    return _Look(*map(torch.stack, zip(*in_batches(rows, batch, seen), strict=True)))


def _least_alike(first: _Look, second: _Look, share: float = 0.1) -> list[int]:
    """The tenth of the layers after which the two kinds' mean states have the lowest cosine."""
    cosines = torch.cosine_similarity(first.state.mean(dim=0), second.state.mean(dim=0), dim=-1)
    count = max(1, round(share * len(cosines)))
    return sorted(cosines.argsort()[:count].tolist())


def _likeness(first: _Look, second: _Look, layers: Sequence[int]) -> float:
    """Cosine of the mean states of two sets of prompts over some layers."""
    means = [look.state[:, list(layers)].mean(dim=(0, 1)) for look in (first, second)]
    return float(torch.cosine_similarity(*means, dim=0))


def _row(
    site: Site,
    found: dict,
    topics: tuple[list[str], list[str]],
    limits: tuple[float, float],
) -> dict[str, str | int | float | bool]:
    harmful, harmless = topics
    bypass = mean(np.array(found["bypass"]), harmful, unit="nat")
    induce = mean(np.array(found["induce"]), harmless, unit="nat")
    moved = mean(np.array(found["kl"]), harmless, unit="nat")
    removed, induced, norm = (float(found[key]) for key in ("removed", "induced", "norm"))
    most_kl, least_induce = limits
    there = norm > 0
    return {
        "site": str(site),
        "layer": site.layer,
        "position": int(site.position),
        "norm": norm,
        "bypass": bypass.value,
        "bypass_low": bypass.low,
        "bypass_high": bypass.high,
        "induce": induce.value,
        "induce_low": induce.low,
        "induce_high": induce.high,
        "kl": moved.value,
        "kl_low": moved.low,
        "kl_high": moved.high,
        "removed_likeness": removed,
        "induced_likeness": induced,
        "cosmic": removed + induced,
        "arditi_survives": bool(there and moved.value <= most_kl and induce.value > least_induce),
        "cosmic_survives": bool(there and moved.value <= most_kl),
    }


def _best(chosen: Table, choose: str) -> Site:
    """The site of the best surviving candidate.

    Raises:
        ContrastError: none survives; the message says what they failed.
    """
    if f"{choose}_survives" not in chosen.columns:
        raise ContrastError("chosen: needs the table of a step that does direction_candidates.")
    alive = chosen.where(**{f"{choose}_survives": True})
    if not len(alive):
        moderate = int(chosen["cosmic_survives"].sum())
        lowest, highest = float(chosen["bypass"].min()), float(chosen["induce"].max())
        raise ContrastError(
            f"No direction survives the selection by {choose}: of {len(chosen)} candidates "
            f"{moderate} keep harmless prompts as they are ({chosen.about['survives']}); lowest "
            f"bypass {lowest:.2f} nat, highest induce {highest:.2f} nat."
        )
    best = alive["bypass"].argmin() if choose == "arditi" else alive["cosmic"].argmax()
    return parse(str(alive["site"][best]))
