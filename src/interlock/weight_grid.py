"""A grid of sets of weights, each with its random controls, as changes to be entered and undone."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

from interlock import weight_controls, weight_sets
from interlock.brittleness import Change, Entered
from interlock.errors import InterlockError
from interlock.mask import Mask, require_share
from interlock.matrices import dense, matrices
from interlock.model import Model
from interlock.weight_edits import pruned, require_writable, sparsity
from interlock.weight_scores import WeightScores

Fill = Literal["zero", "mean"]
Match = Literal["nothing", "magnitude", "utility"]
Choose = Literal["difference", "top", "bottom"]
Cross = Literal["grid", "pairs"]
Granularity = Literal["row", "matrix", "global"]
Draw = Callable[[Mask, int], Mask]
NO_SHARE = -1.0
"""p or q of a set that was not chosen by that share."""


@dataclass(frozen=True, eq=False)
class Point:
    """A set that is taken out, and the shares it was chosen by."""

    p: float
    q: float
    mask: Mask


def grid(
    safety: WeightScores,
    utility: WeightScores,
    *,
    choose: Choose,
    p: Sequence[float],
    q: Sequence[float],
    cross: Cross,
    granularity: Granularity,
) -> list[Point]:
    """Every set of the grid, bit-packed: a mistake in the last point is told before the first.

    Args:
        safety: scores on replies that refuse.
        utility: scores on replies to harmless prompts.
        choose: the top q by safety without the top p by utility, or the top or bottom q alone.
        p: shares by utility that are spared; used by `difference` only.
        q: shares by safety.
        cross: every p with every q, or the first with the first and so on.
        granularity: what a share is of.

    Raises:
        InterlockError: a share out of range, no point, an empty difference, or unequal numbers of
            p and q that are to be taken in pairs.
    """
    found = shares(choose, p, q, cross)
    if choose == "difference":
        differ = partial(weight_sets.difference, safety, utility, granularity=granularity)
        return [Point(one, two, differ(p=one, q=two)) for one, two in found]
    top = partial(weight_sets.top, safety, granularity=granularity, bottom=choose == "bottom")
    return [Point(one, two, top(two)) for one, two in found]


def alone(chosen: Mask) -> Point:
    """A set that was not chosen by shares."""
    return Point(NO_SHARE, NO_SHARE, chosen)


def shares(
    choose: Choose, p: Sequence[float], q: Sequence[float], cross: Cross
) -> list[tuple[float, float]]:
    """The shares p and q of every point of a grid.

    Raises:
        InterlockError: a share out of range, no point, or unequal numbers of p and q that are to
            be taken in pairs.
    """
    spared = p if choose == "difference" else ()
    for name, given in (("p", spared), ("q", q)):
        for share in given:
            require_share(name, share)
    if not q or (choose == "difference" and not p):
        raise InterlockError("The grid has no point: give at least one p and one q.")
    if choose != "difference":
        return [(NO_SHARE, two) for two in q]
    if cross == "grid":
        return [(one, two) for one in p for two in q]
    if len(p) != len(q):
        raise InterlockError(
            f"{len(p)} shares p and {len(q)} shares q cannot be taken in pairs: give as many of "
            "either, or cross: grid."
        )
    return list(zip(p, q, strict=True))


def points(choose: Choose, p: Sequence[float], q: Sequence[float], cross: Cross) -> int:
    """How many points a grid has."""
    return len(q) if choose != "difference" or cross == "pairs" else len(p) * len(q)


def draw(model: Model, match: Match, utility: WeightScores | None, seed: int) -> Draw:
    """Draws random sets of as many other weights of each matrix.

    Args:
        model: its weights are read as they are now, if |weight| is to be matched.
        match: what the sets have in common with the found one besides number and matrix.
        utility: the scores to match by, where `match` says so.
        seed: of the first set.
    """
    if match == "nothing":
        return lambda mask, number: weight_controls.random(mask, seed=seed + number)
    scores = utility if match == "utility" else _magnitudes(model)
    assert scores is not None
    return lambda mask, number: weight_controls.matched(mask, scores, seed=seed + number)


def changes(
    model: Model,
    found: Sequence[Point],
    *,
    fill: Fill | Model,
    drawn: Draw,
    controls: int,
) -> list[Change]:
    """No change; then every set, each followed by its random controls.

    Raises:
        InterlockError: a set is empty, or so large that no control is left.
        ModelError: packed weights, or sets of another model.
    """
    for point in found:
        _require_room(model, point.mask, controls)
    made = [Change("none", 0, _at(alone(Mask({}))), _nothing)]
    for point in found:
        whole = partial(_entered, model, fill, point.mask)
        made.append(Change("found", 0, _at(point), whole))
        for number in range(controls):
            other = partial(_other, model, fill, drawn, point.mask, number)
            made.append(Change("random", number, _at(point), other))
    return made


def said(fill: Fill | Model, match: Match) -> dict[str, str]:
    """What the weights became and what the controls are, in words."""
    kinds = {"zero": "zero", "mean": "mean of their matrix"}
    also = {"nothing": "", "magnitude": ", of like |weight|", "utility": ", of like utility score"}
    return {
        "fill": f"the weights of {fill.name}" if isinstance(fill, Model) else kinds[fill],
        "control": f"as many other weights of each matrix{also[match]}",
    }


def _magnitudes(model: Model) -> WeightScores:
    """|weight| of every matrix, as it is before anything is taken out."""
    halves = {each.name: dense(each).abs()[None].cpu() for each in matrices(model)}
    return WeightScores(halves, (1,), "weight", {"method": "|weight|"})


def _at(point: Point) -> dict[str, float]:
    return {"p": point.p, "q": point.q}


def _nothing() -> Entered:
    return Entered({"weights": 0, "sparsity": 0.0}, nullcontext())


def _entered(model: Model, fill: Fill | Model, mask: Mask) -> Entered:
    size = {"weights": mask.count(), "sparsity": sparsity(model, mask)}
    return Entered(size, pruned(model, mask, fill))


def _other(model: Model, fill: Fill | Model, drawn: Draw, mask: Mask, number: int) -> Entered:
    return _entered(model, fill, drawn(mask, number))


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
