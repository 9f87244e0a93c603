"""Where is the behaviour carried, at the cost of a few passes? Attribution patching.

One pass forward and back gives the effects of all heads and all neurons to first order
(`interlock.first_order`). `estimator` says which gradient (`interlock.estimators`): plain,
integrated along the inputs, the mean size over gradients that drop one layer each, or by relevance
rules.

Equals: exact patching on a linear model. Approximations are to be checked: `approximation`.

Sources: Nanda (2023), Attribution Patching; AtP*: Kramar et al. (2024, arXiv:2403.00745, section 3,
for dropping, and for queries and keys); EAP-IG: Hanna et al. (2024, arXiv:2403.17806); RelP: Rezaei
Jafari et al. (2025, arXiv:2508.21258).
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.estimators import backward_rows
from interlock.exchange import rows_of, usable_pairs
from interlock.first_order import FLOWS, Question, first_order, parts_of
from interlock.measures import openers_of
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.selection import layer_sites, unit_sites
from interlock.sites import Site, unit
from interlock.tables import Table


def attribution(
    model: Model,
    pairs: Contrast,
    replies: Table,
    *,
    estimator: Literal["plain", "integrated", "dropped", "relevance"] = "relevance",
    direction: Literal["denoise", "noise"] = "denoise",
    places: Literal["layers", "units", "neurons", "attention"] = "units",
    positions: tuple[str, ...] = ("all",),
    corrected: bool = True,
    nodes: int = 5,
    quadrature: Literal["gauss", "midpoint"] = "gauss",
    groups: int = 12,
    batch: int = 32,
) -> Scores:
    """Approximate effect (nat of opening score) of patching each site alone, per pair.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        replies: judged replies, which give the opening tokens.
        estimator: which gradients; dropped has one pass a layer, integrated one a node.
        direction: denoise puts harmful values into the harmless run, noise the reverse.
        places: `layers` as in patching; `units` every head and group of neurons; `neurons` every
            head and every single neuron; `attention` every query, key and value head.
        positions: positions to patch, each apart; queries and keys at `all` only.
        corrected: whether queries and keys go through the softmax again (attention only).
        nodes: points on the path of the integral.
        quadrature: Gauss-Legendre or midpoints.
        groups: how many groups a layer's neurons are split into (units only).
        batch: pairs at once, at most.

    Raises:
        ContrastError: no pair can be used, the replies hold no refusal, or positions do not fit.
        SiteError: the relevance rules do not cover the family.
    """
    if places == "attention" and positions != ("all",):
        raise ContrastError("attribution: queries, keys and values are scored at @all only.")
    # the path of inputs needs prompts of one length, whatever position is asked about
    needed = (*positions, "all") if estimator == "integrated" else positions
    usable, dropped = usable_pairs(model, pairs, needed)
    sites = _sites(model.shape, places, positions, groups)
    question = Question(
        openers_of(replies), estimator, direction == "noise", parts_of(sites), len(sites),
        corrected and places == "attention", nodes, quadrature,
    )  # fmt: skip
    rows = rows_of(usable)
    size = min(batch, backward_rows(model, max(len(each.ids) for pair in rows for each in pair)))
    found = in_batches(rows, size, partial(first_order, model, question))
    values = np.stack([row for row, _ in found], axis=1)
    about = {
        "estimator": _described(estimator, nodes, quadrature),
        "direction": direction,
        "pairs dropped (not aligned)": str(dropped),
        "split": pairs.split,
        "metric": "opening score (nat), to first order",
    }
    ids = tuple(row.id for row in usable.harmful)
    gap = np.array([each for _, each in found])
    return Scores(sites, ids, usable.topics, values, gap, "nat of opening score", about)


def attribution_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Both sides forward; forward and back once for every gradient."""
    each = {"integrated": options["nodes"], "dropped": shape.layers + 1}
    count = each.get(options["estimator"], 1)
    return Cost(prompts=examples + count * examples // 2, backward=count * examples // 2)


def _described(estimator: str, nodes: int, quadrature: str) -> str:
    return f"integrated, {nodes} {quadrature} nodes" if estimator == "integrated" else estimator


def _sites(shape: Shape, places: str, positions: Sequence[str], groups: int) -> tuple[Site, ...]:
    if places == "layers":
        return layer_sites(shape, positions)
    if places == "attention":
        return tuple(
            unit(kind, layer, index)
            for layer in range(shape.layers)
            for kind in FLOWS
            for index in range(shape.units(kind))
        )
    count = shape.neurons if places == "neurons" else groups
    return tuple(site.at(position) for position in positions for site in unit_sites(shape, count))
