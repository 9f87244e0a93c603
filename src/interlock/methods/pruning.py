"""Does refusal sit in few weights? Take sets of them out: does it fall, and does more break?

1. From safety and utility scores of the weights, choose a set for every point of a grid: the top q
   by safety without the top p by utility, or the top or bottom q by safety alone.
2. Replace the weights of the set in place (`interlock.weight_edits`); nothing is loaded again.
3. Generate and judge replies to harmful and harmless prompts, read the opening score, and the loss
   on neutral passages (`interlock.brittleness`).
4. Put the weights back bit for bit; do the same with random sets of as many other weights of each
   matrix, which may be matched by |weight| or by utility score.

Source: Wei et al. (2024), arXiv:2402.05162, sections 3 and 4; matched controls are ours.
"""

from collections.abc import Sequence
from typing import Literal

from interlock.brittleness import Asked, asked_of, measured, measuring_cost
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.mask import Mask
from interlock.model import Model, Shape
from interlock.tables import Table
from interlock.weight_grid import Point, alone, changes, draw, grid, points, said
from interlock.weight_scores import WeightScores

Fill = Literal["zero", "mean"]
Match = Literal["nothing", "magnitude", "utility"]
MatchWithin = Literal["nothing", "magnitude"]
Choose = Literal["difference", "top", "bottom"]
Cross = Literal["grid", "pairs"]
Granularity = Literal["row", "matrix", "global"]


def pruning(
    model: Model,
    contrast: Contrast,
    passages: Contrast,
    replies: Table,
    safety: WeightScores,
    utility: WeightScores,
    *,
    choose: Choose = "difference",
    p: tuple[float, ...] = (0.01, 0.02, 0.04, 0.06),
    q: tuple[float, ...] = (0.01, 0.02, 0.04, 0.06),
    cross: Cross = "grid",
    granularity: Granularity = "matrix",
    fill: Fill = "zero",
    match: Match = "nothing",
    controls: int = 20,
    tokens: int = 48,
    text: str = "",
    window: int = 2048,
    zero_shot: tuple[str, ...] = (),
    questions: int = 200,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per point of the grid, set, prompt and measure, long form (`brittleness.measured`).

    `sparsity` is the share of all weights of the layers' linear maps; a share that a set was not
    chosen by is -1.

    Args:
        model: changed in place and put back bit for bit.
        contrast: the prompts judged, not the split the scores were made on.
        passages: neutral texts for capability.
        replies: judged replies of another split, which give the opening tokens.
        safety: scores on replies that refuse.
        utility: scores on replies to harmless prompts.
        choose: the top q by safety without the top p by utility, or the top or bottom q alone.
        p: shares by utility that are spared; used by `difference` only.
        q: shares by safety.
        cross: every p with every q, or the first with the first and so on.
        granularity: what a share is of.
        fill: what the weights become; zero, or the mean of their matrix.
        match: what random sets have in common with the found one besides number and matrix.
        controls: random sets a point.
        tokens: at most so many new tokens a reply.
        text: a file with a long text, such as WikiText-2's, for perplexity; none if empty.
        window: tokens of it at once.
        zero_shot: tasks of lm-eval (`interlock[lm-eval]`) whose questions are put, as boolq.
        questions: of each task, at most; the first ones.
        batch: prompts at once, at most.
        seed: of the random sets.

    Raises:
        InterlockError: a share out of range, an empty difference, or sets so large that no
            control is left; before anything is measured.
        ContrastError: the replies hold no refusal, or nothing but refusals.
        MissingPackageError: zero-shot tasks without lm-eval.
        ModelError: packed weights, or scores of another model.
    """
    asked = asked_of(
        model, contrast, passages, replies, tokens=tokens, batch=batch, text=text, window=window
    ).asking(zero_shot, questions)
    found = grid(safety, utility, choose=choose, p=p, q=q, cross=cross, granularity=granularity)
    about = {
        "choose": choose,
        "granularity": granularity,
        "safety scores": safety.about.get("method", ""),
        "utility scores": utility.about.get("method", ""),
    }
    return _table(
        model,
        asked,
        found,
        fill=fill,
        match=match,
        utility=utility,
        controls=controls,
        seed=seed,
        about=about,
    )


def pruning_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every point of the grid, for the found set and every random one; and nothing taken out."""
    count = points(options["choose"], options["p"], options["q"], options["cross"])
    return measuring_cost(1 + count * (1 + options["controls"]), examples, options)


def removal(
    model: Model,
    contrast: Contrast,
    passages: Contrast,
    replies: Table,
    chosen: Mask,
    *,
    fill: Fill = "zero",
    match: MatchWithin = "nothing",
    controls: int = 20,
    tokens: int = 48,
    text: str = "",
    window: int = 2048,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One set of weights taken out, measured as a point of the grid of `pruning`.

    Args:
        model: changed in place and put back bit for bit.
        contrast: the prompts judged, not the split the set was chosen on.
        passages: neutral texts for capability.
        replies: judged replies of another split, which give the opening tokens.
        chosen: the set.
        fill: what the weights become; zero, or the mean of their matrix.
        match: what random sets have in common with the chosen one besides number and matrix.
        controls: random sets.
        tokens: at most so many new tokens a reply.
        text: a file with a long text, such as WikiText-2's, for perplexity; none if empty.
        window: tokens of it at once.
        batch: prompts at once, at most.
        seed: of the random sets.

    Raises:
        InterlockError: the set is empty, or so large that no control is left.
        ContrastError: the replies hold no refusal, or nothing but refusals.
        ModelError: packed weights, or a set of another model.
    """
    asked = asked_of(
        model, contrast, passages, replies, tokens=tokens, batch=batch, text=text, window=window
    )
    return _table(
        model,
        asked,
        [alone(chosen)],
        fill=fill,
        match=match,
        controls=controls,
        seed=seed,
        about=_source(chosen),
    )


def removal_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """As `pruning_cost`, of one point."""
    return measuring_cost(2 + options["controls"], examples, options)


def restoration(
    model: Model,
    base: Model,
    contrast: Contrast,
    passages: Contrast,
    replies: Table,
    chosen: Mask,
    *,
    match: MatchWithin = "nothing",
    controls: int = 20,
    tokens: int = 48,
    text: str = "",
    window: int = 2048,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One set of weights as they are in another model, measured as `removal` measures it.

    Args:
        model: changed in place and put back bit for bit.
        base: the other model, such as the one this was tuned from.
        contrast: the prompts judged, not the split the set was chosen on.
        passages: neutral texts for capability.
        replies: judged replies of another split, which give the opening tokens.
        chosen: the set.
        match: what random sets have in common with the chosen one besides number and matrix.
        controls: random sets.
        tokens: at most so many new tokens a reply.
        text: a file with a long text, such as WikiText-2's, for perplexity; none if empty.
        window: tokens of it at once.
        batch: prompts at once, at most.
        seed: of the random sets.

    Raises:
        InterlockError: the set is empty, or so large that no control is left.
        ContrastError: the replies hold no refusal, or nothing but refusals.
        ModelError: packed weights, or models or a set of unlike shapes.
    """
    asked = asked_of(
        model, contrast, passages, replies, tokens=tokens, batch=batch, text=text, window=window
    )
    return _table(
        model,
        asked,
        [alone(chosen)],
        fill=base,
        match=match,
        controls=controls,
        seed=seed,
        about=_source(chosen),
    )


def _table(
    model: Model,
    asked: Asked,
    found: Sequence[Point],
    *,
    fill: Fill | Model,
    match: Match,
    utility: WeightScores | None = None,
    controls: int,
    seed: int,
    about: dict[str, str],
) -> Table:
    drawn = draw(model, match, utility, seed)
    made = changes(model, found, fill=fill, drawn=drawn, controls=controls)
    units = {"sparsity": "share of the weights of the layers' linear maps"}
    return measured(model, asked, made, units=units, about=about | said(fill, match))


def _source(chosen: Mask) -> dict[str, str]:
    return {"set": chosen.about.get("set", "given")}
