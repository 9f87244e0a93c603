"""Sets of weights: the top or bottom by a score, set differences, units, controls; and overlaps.

Source: set difference and overlap: Wei et al. (2024), arXiv:2402.05162, sections 3.3 and 4.3;
heads are rows of the query, key and value projections and columns of the output projection.
"""

from typing import Literal

from interlock import mask as masks
from interlock import weight_controls, weight_sets, weight_units
from interlock.costs import Cost
from interlock.mask import Mask
from interlock.matrices import dense, matrices
from interlock.model import Model, Shape
from interlock.sites import Site
from interlock.tables import Table
from interlock.weight_scores import WeightScores

Granularity = Literal["row", "matrix", "global"]
Match = Literal["nothing", "magnitude"]


def top_weights(
    model: Model,
    scores: WeightScores,
    *,
    share: float = 0.01,
    granularity: Granularity = "matrix",
    bottom: bool = False,
) -> Mask:
    """The weights with the largest scores.

    Args:
        model: whose weights they are.
        scores: unsigned.
        share: from 0 to 1.
        granularity: what the share is of.
        bottom: take the smallest scores instead.

    Raises:
        InterlockError: the share is out of range, or so small that no weight is chosen.
    """
    return weight_sets.top(scores, share, granularity=granularity, bottom=bottom)


def set_difference(
    model: Model,
    safety: WeightScores,
    utility: WeightScores,
    *,
    p: float = 0.1,
    q: float = 0.1,
    granularity: Granularity = "matrix",
) -> Mask:
    """The weights in the top q by safety that are not in the top p by utility.

    Args:
        model: whose weights they are.
        safety: scores on replies that refuse.
        utility: scores on replies to harmless prompts.
        p: share by utility that is left out.
        q: share by safety.
        granularity: what a share is of.

    Raises:
        InterlockError: a share is out of range, or nothing is left.
    """
    return weight_sets.difference(safety, utility, p=p, q=q, granularity=granularity)


def unit_weights(model: Model, sites: tuple[Site, ...]) -> Mask:
    """The weights of heads or of neurons, as whole rows and columns.

    Args:
        model: whose units they are.
        sites: heads, or neurons.

    Raises:
        InterlockError: heads and neurons are mixed.
    """
    return weight_units.mask_of(model, sites)


def control_weights(model: Model, chosen: Mask, *, match: Match = "nothing", seed: int = 0) -> Mask:
    """As many other weights of each matrix, drawn at random.

    Args:
        model: whose weights they are.
        chosen: the set they are to be held against.
        match: what they have in common with it besides number and matrix.
        seed: of the draw.

    Raises:
        InterlockError: more than half of a matrix was chosen, so no other set is as large.
    """
    if match == "nothing":
        return weight_controls.random(chosen, seed=seed)
    halves = {each.name: dense(each).abs()[None].cpu() for each in matrices(model)}
    sizes = WeightScores(halves, (1,), "weight", {"method": "|weight|"})
    return weight_controls.matched(chosen, sizes, seed=seed)


def weight_overlap(model: Model, first: Mask, second: Mask) -> Table:
    """How far two sets agree, matrix by matrix: Jaccard, overlap, and overlap by chance.

    Args:
        model: whose weights they are.
        first: a set.
        second: another.

    Raises:
        InterlockError: the sets are of two models.
    """
    return masks.overlap(first, second)


def no_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run."""
    return Cost()
