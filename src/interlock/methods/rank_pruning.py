"""Does refusal sit in few directions of the weights? Project them out: does it fall, what breaks?

1. From the output directions that refusals and that harmless replies use (`used_directions`), take
   from every matrix the first q by safety as far as the first p by utility do not hold them
   (orthogonal projection), or the first or last q by safety alone (ActSVD).
2. Subtract that from the weights in place; nothing is loaded again, and each point of the grid is
   a matrix product a matrix.
3. Measure as `pruning` does, put the weights back bit for bit, and do the same with as many random
   directions of each matrix's outputs.

All directions are found on the unchanged model; the paper's code goes on to the next layer with the
changed ones before it.

Source: Wei et al. (2024), arXiv:2402.05162, sections 3.2, 3.3 and 4; matched controls are ours.
"""

from typing import Literal

from interlock.brittleness import asked_of, measured, measuring_cost
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.model import Model, Shape
from interlock.rank_grid import Ranks, changes, said
from interlock.subspaces import Subspaces
from interlock.tables import Table
from interlock.weight_grid import points, shares

Choose = Literal["difference", "top", "bottom"]
Cross = Literal["grid", "pairs"]


def rank_pruning(
    model: Model,
    contrast: Contrast,
    passages: Contrast,
    replies: Table,
    safety: Subspaces,
    utility: Subspaces,
    *,
    choose: Choose = "difference",
    p: tuple[float, ...] = (0.04, 0.16),
    q: tuple[float, ...] = (0.002, 0.02),
    cross: Cross = "grid",
    controls: int = 20,
    tokens: int = 48,
    text: str = "",
    window: int = 2048,
    zero_shot: tuple[str, ...] = (),
    questions: int = 200,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per point of the grid, set, prompt and measure, as `pruning` gives them.

    `ranks` is how many directions go, summed over matrices, and `share` that number over all
    directions there are; a share that a point was not chosen by is -1.

    Args:
        model: changed in place and put back bit for bit.
        contrast: the prompts judged, not the split the directions were found on.
        passages: neutral texts for capability.
        replies: judged replies of another split, which give the opening tokens.
        safety: directions by how much refusals use them.
        utility: directions by how much replies to harmless prompts use them.
        choose: the first q by safety less the first p by utility, or the first or last q alone.
        p: shares by utility that are spared, 1 - r_u / R; used by `difference` only.
        q: shares by safety that are taken, 1 - r_s / R.
        cross: every p with every q, or the first with the first and so on.
        controls: sets of random directions a point.
        tokens: at most so many new tokens a reply.
        text: a file with a long text, such as WikiText-2's, for perplexity; none if empty.
        window: tokens of it at once.
        zero_shot: tasks of lm-eval (`interlock[lm-eval]`) whose questions are put, as boolq.
        questions: of each task, at most; the first ones.
        batch: prompts at once, at most.
        seed: of the random directions.

    Raises:
        InterlockError: a share out of range or beyond what was kept, or a point that takes
            nothing; before anything is measured.
        ContrastError: the replies hold no refusal, or nothing but refusals.
        MissingPackageError: zero-shot tasks without lm-eval.
        ModelError: packed weights, or directions of another model.
    """
    asked = asked_of(
        model, contrast, passages, replies, tokens=tokens, batch=batch, text=text, window=window
    ).asking(zero_shot, questions)
    ranks = Ranks(model, safety, utility, choose, seed)
    made = changes(ranks, shares(choose, p, q, cross), controls=controls)
    units = {"share": "share of the directions of all matrices"}
    return measured(model, asked, made, units=units, about=said(ranks))


def rank_pruning_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every point of the grid, for the found and every random set; and nothing taken out."""
    count = points(options["choose"], options["p"], options["q"], options["cross"])
    return measuring_cost(1 + count * (1 + options["controls"]), examples, options)
