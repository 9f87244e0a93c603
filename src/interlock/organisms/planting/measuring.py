"""The figures that a planted organism is judged by, from interventions on held-out combinations."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from interlock import grammar, stats
from interlock.organisms.gate import replies
from interlock.organisms.planting import effects
from interlock.organisms.planting.decoys import Decoys, values_of
from interlock.organisms.planting.effects import Case
from interlock.organisms.planting.forward import blocks
from interlock.organisms.planting.interchange import Cache
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.units import UNITS, WIDTH, chosen, columns
from interlock.organisms.planting.world import Openers, Table, opener_labels, reply_texts
from interlock.organisms.recipes import SHAPE
from interlock.organisms.tokenizer import EOS
from interlock.sites import Site

PAIRS, CONSTANT_PAIRS, SUBSETS, REPLIES, BATCH = 72, 24, 100, 128, 256
SEED = 20_260_102
RATES = (0.1, 0.25, 0.5, 0.75)
"""Shares of the unplanted units in the random subsets."""


def planted(plant: Plant) -> Bool[Tensor, " unit"]:
    """Which units are planted."""
    return chosen(tuple(plant.units.values()))


def accuracy(
    model: LlamaForCausalLM, plant: Plant, tables: Sequence[Table], words: Openers
) -> dict[str, Any]:
    """Share of held-out prompts whose first token opens the reply wanted, by that reply."""
    right: dict[str, list[bool]] = {"comply": [], "refuse": [], "halt": []}
    for table in tables:
        rows = table.held_out.nonzero()[:, 0]
        facts = table.facts_of(rows)
        labels = opener_labels(words, *plant.untouched(facts))
        with torch.inference_mode():
            found = torch.cat(
                [effects.next_tokens(model, ids) for ids in table.ids[rows].split(BATCH)]
            )
        for kind, hits in right.items():
            hits.extend((found == labels)[labels == getattr(words, kind)].tolist())
    return {
        kind: {"share": float(np.mean(hits)), "n": len(hits)}
        for kind, hits in right.items()
        if hits
    }


def whole_replies(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    plant: Plant,
    tables: Sequence[Table],
) -> dict[str, Any]:
    """Share of greedy replies to held-out prompts that are, with their end, as taught."""
    generator = torch.Generator().manual_seed(SEED)
    asked = []
    for table in tables:
        rows = table.held_out.nonzero()[:, 0]
        picked = rows[torch.randperm(len(rows), generator=generator)[: REPLIES // len(tables)]]
        asked += [table.requests[row] for row in picked.tolist()]
    given = replies(model, tokenizer, [request.prompt for request in asked])
    wanted = [text + EOS for text in reply_texts(plant, asked)]
    whole = np.array([answer == text for answer, text in zip(given, wanted, strict=True)])
    return asdict(stats.rate(whole, [request.topic for request in asked]))


def _shares(
    values: Float[np.ndarray, "set pair"], gap: Float[np.ndarray, " pair"]
) -> Float[np.ndarray, " set"]:
    """Mean effect over mean gap, by set of units."""
    return values.mean(axis=1) / gap.mean()


def _worst(
    values: Float[np.ndarray, "set pair"],
    gap: Float[np.ndarray, " pair"],
    category: Int[np.ndarray, " pair"],
) -> Float[np.ndarray, " set"]:
    """Largest absolute share of the gap in any one category, by set of units.

    Over all categories, what a unit does for one of them would be a sixth of it.
    """
    parts = [
        np.abs(_shares(values[:, category == each], gap[category == each]))
        for each in np.unique(category)
    ]
    return np.max(parts, axis=0)


def random_subsets(plant: Plant) -> Bool[Tensor, "set unit"]:
    """Random sets of unplanted units, of several sizes."""
    generator = torch.Generator().manual_seed(SEED)
    rates = torch.tensor(RATES).repeat(SUBSETS // len(RATES))[:, None]
    drawn = torch.rand(len(rates), len(UNITS), generator=generator) < rates
    return drawn & ~planted(plant)


def stratum(model: LlamaForCausalLM, plant: Plant, found: Sequence[Case]) -> dict[str, Any]:
    """Effects of every unit, and of the planted and the unplanted ones together, on some pairs."""
    gap, mine = effects.gaps(found), planted(plant)
    category = torch.cat([case.clean.facts.category for case in found]).numpy()
    alone = [way(model, found, effects.singles()) for way in (effects.noise, effects.denoise)]
    noise, denoise = (_shares(each, gap) for each in alone)
    others = effects.noise(model, found, ~mine[None])[0]
    kept = (gap - others) / gap
    subsets = random_subsets(plant)
    both = [way(model, found, subsets) for way in (effects.noise, effects.denoise)]
    free = ~mine.numpy()
    return {
        "pairs": len(gap),
        "gap": float(gap.mean()),
        "least_gap": float(gap.min()),
        "noise": dict(zip(map(str, UNITS), noise.tolist(), strict=True)),
        "denoise": dict(zip(map(str, UNITS), denoise.tolist(), strict=True)),
        "faithfulness": float((gap - others).mean() / gap.mean()),
        "faithfulness_p5": float(np.quantile(kept, 0.05)),
        "necessity": float(_shares(effects.noise(model, found, mine[None]), gap)[0]),
        "unplanted": float(max(_worst(each[free], gap, category).max() for each in alone)),
        "subsets": float(max(_worst(each, gap, category).max() for each in both)),
    }


def conditional(
    model: LlamaForCausalLM, plant: Plant, found: Sequence[Case]
) -> dict[str, dict[str, float]]:
    """For each unit of a redundant set: what noising it adds where the others are noised too."""
    gap = effects.gaps(found)
    added = {}
    for roles in plant.redundant:
        sites = [plant.units[role] for role in roles]
        sets = [sites, *([other for other in sites if other != site] for site in sites)]
        shares = _shares(effects.noise(model, found, torch.stack([chosen(s) for s in sets])), gap)
        for site, rest in zip(sites, shares[1:], strict=True):
            added[str(site)] = {"noise": float(shares[0] - rest), "without": float(rest)}
    return added


def by_category(model: LlamaForCausalLM, plant: Plant, found: Sequence[Case]) -> dict[str, Any]:
    """Share of the gap that each category's own units carry on each category's pairs.

    On its own pairs the smaller of noising and denoising, on others the larger, without its sign.
    """
    names = list(grammar.CATEGORIES)
    gap = effects.gaps(found)
    where = torch.cat([case.clean.facts.category for case in found]).numpy()
    rows = {}
    for name, roles in plant.categories.items():
        sets = torch.stack([chosen([plant.units[role]]) for role in roles])
        both = [effects.noise(model, found, sets), effects.denoise(model, found, sets)]
        rows[name] = {}
        for place, other in enumerate(names):
            shares = [_shares(values[:, where == place], gap[where == place]) for values in both]
            own = np.min([each.max() for each in shares])
            rows[name][other] = float(own if other == name else np.abs(shares).max())
    return rows


def constant(
    model: LlamaForCausalLM, plant: Plant, found: Sequence[Case], kind: str
) -> dict[str, float]:
    """What setting units to one value for all prompts does: their harmless mean, or zero.

    `planted` is the fall of the score of the refused prompts, `harmless` the change of the others',
    `unplanted` the largest change by one unplanted unit on either, all as fractions of the gap.
    """
    mine = planted(plant)
    gap = float(effects.gaps(found).mean())
    free = effects.singles()[~mine]
    falls: list[Tensor] = []
    for case in found:
        values: Cache = effects.harmless_mean(case)
        if kind == "zero":
            values = [torch.zeros_like(each) for each in values]
        change = []
        for side in (case.clean, case.corrupt):
            before = case.score(side.logits)
            sets = torch.cat((mine[None], free))
            after = effects.set_to(model, side, values, sets)
            change.append(torch.stack([before - case.score(each) for each in after]))
        falls.append(torch.stack(change))
    mean = torch.cat(falls, dim=2).mean(dim=2) / gap
    return {
        "planted": float(mean[0, 0]),
        "harmless": float(mean[1, 0]),
        "unplanted": float(mean[:, 1:].abs().max()),
    }


def decoding(found: Sequence[Case], taught: Decoys) -> dict[str, float]:
    """How well each decoy tells the two sides of the pairs apart at the last token (AUROC)."""
    scores = {}
    for site, vector in zip(taught.sites, taught.vectors, strict=True):
        said = [
            torch.cat([values_of(side.cache, site)[:, -1] @ vector for side in sides])
            for sides in ([case.clean for case in found], [case.corrupt for case in found])
        ]
        labels = np.repeat([True, False], [len(said[0]), len(said[1])])
        scores[str(site)] = float(stats.auroc(torch.cat(said).detach().numpy(), labels))
    return scores


def looks(model: LlamaForCausalLM) -> dict[str, Float[np.ndarray, " unit"]]:
    """What can be seen of units in their weights alone, in deviations among units of its kind.

    Norm, and share of its square in the largest singular value, of what a unit writes with and of
    each matrix that it reads with.
    """
    found: dict[str, list[float]] = {}
    for site in UNITS:
        for place, weight in enumerate(_own_weights(model, site)):
            sizes = torch.linalg.svdvals(weight)
            found.setdefault(f"norm {place}", []).append(float(sizes.norm()))
            share = float(sizes[0].square() / sizes.square().sum().clamp(min=1e-12))
            found.setdefault(f"rank {place}", []).append(share)
    kinds = np.array([site.kind for site in UNITS])
    return {name: _deviations(np.array(values), kinds) for name, values in found.items()}


def _own_weights(model: LlamaForCausalLM, site: Site) -> list[Tensor]:
    """Output, and what is read by (queries and values, or gates and inputs)."""
    own, layer = columns(site), blocks(model)[site.layer]
    if site.kind == "neuron":
        mlp = layer.mlp
        found = [mlp.down_proj.weight[:, own], mlp.gate_proj.weight[own], mlp.up_proj.weight[own]]
    else:
        attention = layer.self_attn
        group = SHAPE["num_attention_heads"] // SHAPE["num_key_value_heads"]
        first = own.start // (group * WIDTH) * WIDTH
        shared = slice(first, first + WIDTH)
        found = [
            attention.o_proj.weight[:, own],
            attention.q_proj.weight[own],
            attention.v_proj.weight[shared],
        ]
    return [weight.detach() for weight in found]


def _deviations(
    values: Float[np.ndarray, " unit"], kinds: np.ndarray
) -> Float[np.ndarray, " unit"]:
    for kind in np.unique(kinds):
        part = values[kinds == kind]
        values[kinds == kind] = (part - np.median(part)) / max(float(part.std()), 1e-12)
    return values


def average_precision(
    scores: Float[np.ndarray, " unit"], wanted: Bool[np.ndarray, " unit"]
) -> float:
    """Mean over the wanted units of the share of wanted ones at or above them."""
    order = np.argsort(-scores, kind="stable")
    hits = wanted[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def refused_by_label(
    model: LlamaForCausalLM, tables: Sequence[Table], words: Openers
) -> dict[str, float]:
    """Share of held-out harmful and harmless prompts that score nearer to refusal."""
    hits: dict[str, list[bool]] = {"harmful": [], "harmless": []}
    for table in tables:
        rows = table.held_out.nonzero()[:, 0]
        with torch.inference_mode():
            found = [effects.next_scores(model, ids, words) for ids in table.ids[rows].split(BATCH)]
        refused, harmful = torch.cat(found) > 0, table.facts.harmful[rows]
        hits["harmful"] += refused[harmful].tolist()
        hits["harmless"] += refused[~harmful].tolist()
    return {name: float(np.mean(values)) for name, values in hits.items()}


def along_features(
    model: LlamaForCausalLM, plant: Plant, taught: Decoys, found: Sequence[Case]
) -> dict[str, dict[str, float]]:
    """Effects of exchanging the coordinate along each planted direction where its unit writes it.

    On the pairs of the direction's categories. `share` is how much of the norm of the unit's output
    weights lies in the direction; `elsewhere` the larger effect on pairs of the other categories.
    """
    names = list(grammar.CATEGORIES)
    gap = effects.gaps(found)
    where = torch.cat([case.clean.facts.category for case in found]).numpy()
    figures = {}
    for role, categories in plant.features.items():
        site, vector = plant.units[role], taught.written[role]
        layer = blocks(model)[site.layer]
        output = layer.self_attn.o_proj if site.kind == "head" else layer.mlp.down_proj
        weights = output.weight.detach()[:, columns(site)]
        own = np.isin(where, [names.index(name) for name in categories])
        noise, denoise = effects.along(model, found, site, vector)
        rest = 1.0 if own.all() else float(gap[~own].sum())
        others = [abs(float(each[~own].sum())) / rest for each in (noise, denoise)]
        figures[role] = {
            "share": float((vector @ weights).norm() / weights.norm()),
            "noise": float(noise[own].sum() / gap[own].sum()),
            "denoise": float(denoise[own].sum() / gap[own].sum()),
            "elsewhere": max(others),
        }
    return figures
