"""What would a look at activations say? Baselines that intervene on nothing.

They are here to be compared with, not to be believed: a site can encode harm without any effect on
the reply. Each gives one number per unit and pair in the form of `Scores`, so that it is ranked and
judged as causal methods are.

- `activation_difference`: norm of the difference between the two prompts of a pair at a unit, over
  all positions, as a share of the norm over all units.
- `probe`: how often a linear probe on a unit, fitted on other topics, tells harmful from harmless:
  ridge regression at the position that does best in fitting.
- `direct_logit`: what a unit writes at the last position straight towards the opening score, the
  final norm held at its first-order effect.
- `random`: standard normal numbers.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interlock.activations import record
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.encoding import Pairs, collate
from interlock.errors import SiteError
from interlock.exchange import PairRows, rows_of, usable_pairs
from interlock.measures import openers_of
from interlock.metrics import opening_score
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.selection import unit_sites
from interlock.sites import Site
from interlock.tables import Table

Places = Literal["units", "heads"]

_RIDGE, _FOLDS = 1.0, 5


def activation_difference(
    model: Model, pairs: Contrast, *, groups: int = 12, batch: int = 32
) -> Scores:
    """Norm of each unit's difference between the prompts of a pair, beside all units' together.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        groups: how many groups a layer's neurons are split into.
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used.
    """
    usable, _ = usable_pairs(model, pairs, ("all",))
    sites = unit_sites(model.shape, groups)

    def norms(part: PairRows) -> list[list[float]]:
        clean, corrupt = _both(model, part, sites)
        found = [(clean[site] - corrupt[site]).float().norm(dim=(1, 2)) for site in sites]
        return torch.stack(found, dim=1).tolist()

    values = np.array(in_batches(rows_of(usable), batch, norms)).T
    whole = np.sqrt((values**2).sum(axis=0))
    return _scores(sites, usable, pairs, values, whole, "norm of the difference")


def activation_difference_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Both sides of a pair once."""
    return Cost(prompts=examples)


def probe(
    model: Model,
    pairs: Contrast,
    *,
    places: Places = "units",
    groups: int = 12,
    batch: int = 32,
    seed: int = 0,
) -> Scores:
    """Share of the two prompts of each pair that a probe of each unit, held out, gets right.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        places: heads and groups of neurons, or heads alone.
        groups: how many groups a layer's neurons are split into.
        batch: pairs at once, at most.
        seed: of the division of topics into folds.

    Raises:
        ContrastError: no pair can be used.
    """
    usable, _ = usable_pairs(model, pairs, ("all",))
    sites = _sites(model.shape, places, groups)
    aligned = min(len(row.ids) for row in usable.harmful)

    def values(part: PairRows) -> list[list[np.ndarray]]:
        sides = _both(model, part, sites)
        # right-aligned: the positions that every pair has
        held = [
            [side[site][:, -aligned:].float().numpy(force=True) for site in sites] for side in sides
        ]
        return [
            [np.stack([side[s][row] for side in held]) for s in range(len(sites))]
            for row in range(len(part))
        ]

    rows = in_batches(rows_of(usable), batch, values)
    folds = _folds(usable.topics, seed)
    right = [_held_out(np.stack([row[s] for row in rows]), folds) for s in range(len(sites))]
    found = np.array(right)
    return _scores(sites, usable, pairs, found, np.ones(len(rows)), "share classified right")


def probe_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Both sides of a pair once."""
    return Cost(prompts=examples)


def direct_logit(
    model: Model, pairs: Contrast, replies: Table, *, groups: int = 12, batch: int = 32
) -> Scores:
    """Each unit's direct contribution to the gap (nat), at the last position.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        replies: judged replies, which give the opening tokens.
        groups: how many groups a layer's neurons are split into.
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used, or the replies hold no refusal.
        SiteError: the family's layers write through a norm, so a unit has no linear share.
    """
    openers = openers_of(replies)
    usable, _ = usable_pairs(model, pairs, ("last",))
    sites = tuple(site.at("last") for site in unit_sites(model.shape, groups))
    _require_linear(model)
    last = Site("resid_post", model.shape.layers - 1, position="last")

    def contributions(part: PairRows) -> list[list[float]]:
        harmful, harmless = (collate(model, [pair[side] for pair in part]) for side in (0, 1))
        clean = record(model, harmful, [*sites, last], metric=lambda x: opening_score(x, openers))
        corrupt = record(model, harmless, sites)
        slope = clean.gradients[last][:, -1]
        gap = opening_score(clean.logits, openers) - opening_score(corrupt.logits, openers)
        columns = [
            (_written(model, site, clean.values[site] - corrupt.values[site]) * slope).sum(dim=-1)
            for site in sites
        ]
        return torch.stack([*columns, gap], dim=1).float().tolist()

    found = np.array(in_batches(rows_of(usable), batch, contributions)).T
    plain = tuple(site.at("all") for site in sites)
    return _scores(plain, usable, pairs, found[:-1], found[-1], "nat of opening score")


def direct_logit_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Both sides of a pair once, one of them backward."""
    return Cost(prompts=examples, backward=examples // 2)


def random(
    model: Model,
    pairs: Contrast,
    *,
    places: Places = "units",
    groups: int = 12,
    seed: int = 0,
) -> Scores:
    """Standard normal numbers: what a ranking by nothing scores.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        places: heads and groups of neurons, or heads alone.
        groups: how many groups a layer's neurons are split into.
        seed: of the numbers.

    Raises:
        ContrastError: no pair can be used.
    """
    usable, _ = usable_pairs(model, pairs, ("all",))
    sites = _sites(model.shape, places, groups)
    count = len(usable.harmful)
    values = np.random.default_rng(seed).standard_normal((len(sites), count))
    return _scores(sites, usable, pairs, values, np.ones(count), "nothing")


def random_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run."""
    return Cost()


def _sites(shape: Shape, places: Places, groups: int) -> tuple[Site, ...]:
    sites = unit_sites(shape, groups)
    return sites if places == "units" else tuple(each for each in sites if each.kind == "head")


def _both(model: Model, part: PairRows, sites: Sequence[Site]) -> tuple[dict, dict]:
    clean, corrupt = (
        record(model, collate(model, [pair[side] for pair in part]), sites).values
        for side in (0, 1)
    )
    return dict(clean), dict(corrupt)


def _scores(
    sites: Sequence[Site],
    usable: Pairs,
    pairs: Contrast,
    values: Float[np.ndarray, "site example"],
    gap: Float[np.ndarray, " example"],
    unit: str,
) -> Scores:
    ids = tuple(row.id for row in usable.harmful)
    about = {"split": pairs.split, "metric": unit, "direction": "none: nothing is changed"}
    return Scores(tuple(sites), ids, usable.topics, values, gap, unit, about)


def _folds(topics: Sequence[str], seed: int) -> Int[np.ndarray, " example"]:
    """A fold for every pair; pairs of one topic are in one fold."""
    labels, members = np.unique(np.asarray(topics), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    return (order % min(_FOLDS, max(2, len(labels))))[members]


def _held_out(
    values: Float[np.ndarray, "example side position width"], folds: Int[np.ndarray, " example"]
) -> Float[np.ndarray, " example"]:
    """Share of each pair's two prompts classified right by a probe fitted on the other folds."""
    right = np.zeros(len(values))
    for fold in np.unique(folds):
        test = folds == fold
        if test.all():
            return np.full(len(values), 0.5)  # one topic: nothing to fit on
        fits = [_ridge(values[~test, :, place]) for place in range(values.shape[2])]
        best = int(
            np.argmax([_correct(values[~test, :, p], *fit).mean() for p, fit in enumerate(fits)])
        )
        right[test] = _correct(values[test, :, best], *fits[best]).mean(axis=1)
    return right


def _ridge(
    values: Float[np.ndarray, "example side width"],
) -> tuple[Float[np.ndarray, " width"], float]:
    """Weights and offset of a ridge regression from value to side (harmful 1, harmless -1)."""
    flat = values.reshape(-1, values.shape[-1])
    side = np.tile([1.0, -1.0], len(values))
    centre, spread = flat.mean(axis=0), flat.std(axis=0) + 1e-6
    scaled = (flat - centre) / spread
    weights = np.linalg.solve(scaled.T @ scaled + _RIDGE * np.eye(scaled.shape[1]), scaled.T @ side)
    return weights / spread, -float(centre @ (weights / spread))


def _correct(
    values: Float[np.ndarray, "example side width"],
    weights: Float[np.ndarray, " width"],
    offset: float,
) -> Bool[np.ndarray, "example side"]:
    said = values @ weights + offset > 0
    return said == np.array([True, False])


def _require_linear(model: Model) -> None:
    taps = model.architecture.taps
    inside = taps["attn"].module == model.architecture.attention
    if not inside or "neuron" not in taps or taps["mlp"].module != model.architecture.feed_forward:
        raise SiteError(
            f"{model.architecture.family} has no linear share of the logits per unit: its layers "
            "write through a norm, or have no neurons. Leave direct_logit out."
        )


@torch.no_grad()
def _written(
    model: Model, site: Site, difference: Float[torch.Tensor, "example 1 part"]
) -> Float[torch.Tensor, "example width"]:
    """What a difference at a unit adds to the residual stream: its output map, without the bias."""
    module, _ = model.tap(site.kind, site.layer)
    width = model.shape.unit_width(site.kind) * model.shape.units(site.kind)
    whole = difference.new_zeros(len(difference), width)
    whole[:, model.shape.columns(site)] = difference[:, -1]
    return module(whole) - module(torch.zeros_like(whole))
