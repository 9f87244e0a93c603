"""What do single effects not show, at the cost of a few passes? Attribution beside a patched unit.

A backup speaks only where its primary is silent, either of two redundant units is silent when it is
noised alone, and either of two that are needed together when it is denoised alone. A gradient where
the model is cannot see them any more than exact patching of one unit can. So each of a few units is
patched in turn, and every other unit's effect is taken to first order in that run: its value there
against its value in the other prompt, times the gradient there.

Of the runs, each unit keeps the one in which its mean effect is largest. That is an effect beside
another one, no share of the gap: units of a chain have none left once one of them is patched.

Source: the conditional pass of `interaction`, to first order; the two directions: Heimersheim &
Nanda (2024, arXiv:2404.15255); compensation by backups: McGrath et al. (2023, arXiv:2307.15771).
"""

from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float

from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.estimators import backward_rows
from interlock.exchange import rows_of, usable_pairs
from interlock.first_order import Question, first_order, parts_of
from interlock.measures import openers_of
from interlock.model import Model, Shape
from interlock.scores import Scores
from interlock.selection import unit_sites
from interlock.sites import Site
from interlock.tables import Table


def conditional_attribution(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    replies: Table,
    *,
    estimator: Literal["plain", "integrated", "dropped", "relevance"] = "relevance",
    direction: Literal["denoise", "noise"] = "denoise",
    count: int = 3,
    nodes: int = 5,
    quadrature: Literal["gauss", "midpoint"] = "gauss",
    groups: int = 12,
    batch: int = 32,
) -> Scores:
    """Approximate effect (nat of opening score) of patching each unit beside one of the first.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        sites: ranked, best first.
        replies: judged replies, which give the opening tokens.
        estimator: which gradients, as in `attribution`.
        direction: denoise puts harmful values into the harmless run, noise the reverse.
        count: how many of the first sites are patched, one at a time.
        nodes: points on the path of the integral.
        quadrature: Gauss-Legendre or midpoints.
        groups: how many groups a layer's neurons are split into.
        batch: pairs at once, at most.

    Raises:
        ContrastError: no site is given, no pair can be used, or the replies hold no refusal.
        SiteError: the relevance rules do not cover the family.
    """
    first = tuple(dict.fromkeys(site.at("all") for site in sites))[:count]
    if not first:
        raise ContrastError("No site is given that another could be patched beside.")
    usable, dropped = usable_pairs(model, pairs, ("all",))
    units = unit_sites(model.shape, groups)
    rows = rows_of(usable)
    size = min(batch, backward_rows(model, max(len(each.ids) for pair in rows for each in pair)))

    def beside(
        site: Site,
    ) -> tuple[Float[np.ndarray, "site example"], Float[np.ndarray, " example"]]:
        question = Question(
            openers_of(replies), estimator, direction == "noise", parts_of(units), len(units),
            corrected=False, nodes=nodes, quadrature=quadrature, beside=site,
        )  # fmt: skip
        found = in_batches(rows, size, partial(first_order, model, question))
        return np.stack([row for row, _ in found], axis=1), np.array([gap for _, gap in found])

    found = [beside(site) for site in first]
    values, gap = np.stack([each for each, _ in found]), found[0][1]
    largest = np.abs(values.mean(axis=2)).argmax(axis=0)
    about = {
        "estimator": f"{estimator}, beside each of {' '.join(map(str, first))}",
        "direction": direction,
        "pairs dropped (not aligned)": str(dropped),
        "split": pairs.split,
        "metric": "opening score (nat), to first order, beside another unit",
    }
    ids = tuple(row.id for row in usable.harmful)
    kept = values[largest, np.arange(len(units))]
    return Scores(units, ids, usable.topics, kept, gap, "nat of opening score", about)


def conditional_attribution_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """For each given site both sides forward, the base twice, and every gradient."""
    each = {"integrated": options["nodes"], "dropped": shape.layers + 1}
    passes = options["count"] * each.get(options["estimator"], 1) * examples // 2
    reads = options["count"] * (3 * examples) // 2
    return Cost(prompts=reads + passes, backward=passes)
