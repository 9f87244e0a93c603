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

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

from interlock import weight_controls, weight_sets
from interlock.brittleness import Asked, Change, Entered, asked_of, measured, measuring_cost
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.errors import InterlockError
from interlock.mask import Mask, require_share
from interlock.matrices import dense, matrices
from interlock.model import Model, Shape
from interlock.tables import Table
from interlock.weight_edits import pruned, require_writable, sparsity
from interlock.weight_scores import WeightScores

Fill = Literal["zero", "mean"]
Match = Literal["nothing", "magnitude", "utility"]
MatchWithin = Literal["nothing", "magnitude"]
Choose = Literal["difference", "top", "bottom"]
Granularity = Literal["row", "matrix", "global"]
Draw = Callable[[Mask, int], Mask]
NO_SHARE = -1.0
"""p or q of a set that was not chosen by that share."""


@dataclass(frozen=True, eq=False)
class _Point:
    """A set that is taken out, and the shares it was chosen by."""

    p: float
    q: float
    mask: Mask


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
    granularity: Granularity = "matrix",
    fill: Fill = "zero",
    match: Match = "nothing",
    controls: int = 20,
    tokens: int = 48,
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
        granularity: what a share is of.
        fill: what the weights become; zero, or the mean of their matrix.
        match: what random sets have in common with the found one besides number and matrix.
        controls: random sets a point.
        tokens: at most so many new tokens a reply.
        batch: prompts at once, at most.
        seed: of the random sets.

    Raises:
        InterlockError: a share out of range, an empty difference, or sets so large that no
            control is left; before anything is measured.
        ContrastError: the replies hold no refusal, or nothing but refusals.
        ModelError: packed weights, or scores of another model.
    """
    asked = asked_of(model, contrast, passages, replies, tokens=tokens, batch=batch)
    points = _grid(safety, utility, choose, p, q, granularity)
    about = {
        "choose": choose,
        "granularity": granularity,
        "safety scores": safety.about.get("method", ""),
        "utility scores": utility.about.get("method", ""),
    }
    draw = _draw(model, match, utility, seed)
    return _table(model, asked, points, fill, draw, controls, about | _said(fill, match))


def pruning_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every point of the grid, for the found set and every random one; and nothing taken out."""
    shares = len(options["p"]) if options["choose"] == "difference" else 1
    points = shares * len(options["q"])
    return measuring_cost(1 + points * (1 + options["controls"]), examples, options)


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
        batch: prompts at once, at most.
        seed: of the random sets.

    Raises:
        InterlockError: the set is empty, or so large that no control is left.
        ContrastError: the replies hold no refusal, or nothing but refusals.
        ModelError: packed weights, or a set of another model.
    """
    asked = asked_of(model, contrast, passages, replies, tokens=tokens, batch=batch)
    draw = _draw(model, match, None, seed)
    about = _said(fill, match) | _source(chosen)
    return _table(model, asked, [_alone(chosen)], fill, draw, controls, about)


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
        batch: prompts at once, at most.
        seed: of the random sets.

    Raises:
        InterlockError: the set is empty, or so large that no control is left.
        ContrastError: the replies hold no refusal, or nothing but refusals.
        ModelError: packed weights, or models or a set of unlike shapes.
    """
    asked = asked_of(model, contrast, passages, replies, tokens=tokens, batch=batch)
    draw = _draw(model, match, None, seed)
    about = _said(base, match) | _source(chosen)
    return _table(model, asked, [_alone(chosen)], base, draw, controls, about)


def _grid(
    safety: WeightScores,
    utility: WeightScores,
    choose: Choose,
    p: Sequence[float],
    q: Sequence[float],
    granularity: Granularity,
) -> list[_Point]:
    """Every set of the grid, bit-packed: a mistake in the last point is told before the first."""
    spared = p if choose == "difference" else ()
    for name, shares in (("p", spared), ("q", q)):
        for share in shares:
            require_share(name, share)
    if not q or (choose == "difference" and not p):
        raise InterlockError("The grid has no point: give at least one p and one q.")
    if choose == "difference":
        differ = partial(weight_sets.difference, safety, utility, granularity=granularity)
        return [_Point(one, two, differ(p=one, q=two)) for one in p for two in q]
    top = partial(weight_sets.top, safety, granularity=granularity, bottom=choose == "bottom")
    return [_Point(NO_SHARE, two, top(two)) for two in q]


def _alone(chosen: Mask) -> _Point:
    return _Point(NO_SHARE, NO_SHARE, chosen)


def _draw(model: Model, match: Match, utility: WeightScores | None, seed: int) -> Draw:
    if match == "nothing":
        return lambda mask, number: weight_controls.random(mask, seed=seed + number)
    scores = utility if match == "utility" else _magnitudes(model)
    assert scores is not None
    return lambda mask, number: weight_controls.matched(mask, scores, seed=seed + number)


def _magnitudes(model: Model) -> WeightScores:
    """|weight| of every matrix, as it is before anything is taken out."""
    halves = {each.name: dense(each).abs()[None].cpu() for each in matrices(model)}
    return WeightScores(halves, (1,), "weight", {"method": "|weight|"})


def _table(
    model: Model,
    asked: Asked,
    points: Sequence[_Point],
    fill: Fill | Model,
    draw: Draw,
    controls: int,
    about: dict[str, str],
) -> Table:
    for point in points:
        _require_room(model, point.mask, controls)
    changes = [Change("none", 0, _at(_alone(Mask({}))), _nothing)]
    for point in points:
        whole = partial(_entered, model, fill, point.mask)
        changes.append(Change("found", 0, _at(point), whole))
        for number in range(controls):
            other = partial(_drawn, model, fill, draw, point.mask, number)
            changes.append(Change("random", number, _at(point), other))
    units = {"sparsity": "share of the weights of the layers' linear maps"}
    return measured(model, asked, changes, units=units, about=about)


def _at(point: _Point) -> dict[str, float]:
    return {"p": point.p, "q": point.q}


def _nothing() -> Entered:
    return Entered({"weights": 0, "sparsity": 0.0}, nullcontext())


def _entered(model: Model, fill: Fill | Model, mask: Mask) -> Entered:
    size = {"weights": mask.count(), "sparsity": sparsity(model, mask)}
    return Entered(size, pruned(model, mask, fill))


def _drawn(model: Model, fill: Fill | Model, draw: Draw, mask: Mask, number: int) -> Entered:
    return _entered(model, fill, draw(mask, number))


def _require_room(model: Model, mask: Mask, controls: int) -> None:
    require_writable(model, mask)
    if not mask.count():
        raise InterlockError("The set holds no weight, so there is nothing to take out.")
    for name, part in mask.parts.items() if controls else ():
        if 2 * part.count() > part.shape[0] * part.shape[1]:
            raise InterlockError(
                f"More than half of {name} is in the set, so no random set of other weights is as "
                "large; take smaller shares, or controls=0."
            )


def _said(fill: Fill | Model, match: Match) -> dict[str, str]:
    kinds = {"zero": "zero", "mean": "mean of their matrix"}
    also = {"nothing": "", "magnitude": ", of like |weight|", "utility": ", of like utility score"}
    return {
        "fill": f"the weights of {fill.name}" if isinstance(fill, Model) else kinds[fill],
        "control": f"as many other weights of each matrix{also[match]}",
    }


def _source(chosen: Mask) -> dict[str, str]:
    return {"set": chosen.about.get("set", "given")}
