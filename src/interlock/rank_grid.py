"""A grid of projections of weights, each with its random controls, to be entered and undone.

A share is of the directions that a matrix's outputs can have, of which it has as many as its
smaller side R: q of them are taken by how much refusals use them, p are spared by how much harmless
replies do. In the paper's numbers r_s = R (1 - q) and r_u = R (1 - p); shares also hold for
matrices of unlike sides, such as the keys and values of grouped queries.

Source: ActSVD and orthogonal projection, Wei et al. (2024), arXiv:2402.05162, section 3.2 and 3.3.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from interlock.brittleness import Change, Entered
from interlock.errors import InterlockError, ModelError
from interlock.matrices import Matrix, dense, matrices
from interlock.model import Model
from interlock.subspaces import Subspaces, count_of, orthogonal_change, random_directions
from interlock.weight_edits import lessened, require_dense
from interlock.weight_grid import NO_SHARE, Choose

Kind = Literal["found", "random"]
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class Ranks:
    """The directions of two sets, and what is done with them at a point.

    Attributes:
        model: whose weights are projected.
        safety: directions by how much refusals use them.
        utility: directions by how much harmless replies use them.
        choose: the first by safety less the spared ones, or the first or last by safety alone.
        seed: of the random directions.
    """

    model: Model
    safety: Subspaces
    utility: Subspaces
    choose: Choose
    seed: int

    def taken(self, share: float, matrix: Matrix) -> int:
        """How many directions are taken from a matrix at q = `share`."""
        return count_of(share, min(matrix.shape))

    def spared(self, share: float, matrix: Matrix) -> int:
        """How many of a matrix's directions are spared at p = `share`."""
        return count_of(share, min(matrix.shape)) if share != NO_SHARE else 0

    def lost(self, point: tuple[float, float], matrix: Matrix) -> int:
        """The largest rank that a point's change of a matrix can have."""
        left = min(matrix.shape) - self.spared(point[0], matrix)
        return min(self.taken(point[1], matrix), left)


def changes(ranks: Ranks, found: Sequence[tuple[float, float]], *, controls: int) -> list[Change]:
    """No change; then every point, each followed by its random controls.

    A control takes as many random directions from each matrix, and spares the same ones.

    Raises:
        InterlockError: a point takes nothing, or more than was kept, or more than half of all
            directions, so that no control would be another.
        ModelError: packed weights, or directions of another model.
    """
    require_dense(ranks.model)
    _require_same(ranks)
    for point in found:
        _require_room(ranks, point, controls)
    made = [Change("none", 0, _at((NO_SHARE, NO_SHARE)), _nothing)]
    for point in found:
        made.append(Change("found", 0, _at(point), partial(_entered, ranks, point, None)))
        for number in range(controls):
            enter = partial(_entered, ranks, point, number)
            made.append(Change("random", number, _at(point), enter))
    return made


def said(ranks: Ranks) -> dict[str, str]:
    """What is taken and what the controls are, in words."""
    taken = {
        "difference": "directions of refusals, as far as harmless replies do not use them",
        "top": "the directions that refusals use most",
        "bottom": "the directions that refusals use least",
    }
    return {
        "choose": ranks.choose,
        "fill": f"weights without {taken[ranks.choose]}",
        "control": "as many random directions of each matrix's outputs"
        + (", the same ones spared" if ranks.choose == "difference" else ""),
        "safety directions": ranks.safety.about.get("set", ""),
        "utility directions": ranks.utility.about.get("set", ""),
    }


def _at(point: tuple[float, float]) -> dict[str, float]:
    return {"p": point[0], "q": point[1]}


def _nothing() -> Entered:
    return Entered({"ranks": 0, "share": 0.0}, nullcontext())


def _entered(ranks: Ranks, point: tuple[float, float], number: int | None) -> Entered:
    every = matrices(ranks.model)
    lost = sum(ranks.lost(point, each) for each in every)
    size = {"ranks": lost, "share": lost / max(1, sum(min(each.shape) for each in every))}
    return Entered(size, lessened(ranks.model, _taken(ranks, point, number)))


def _taken(
    ranks: Ranks, point: tuple[float, float], number: int | None
) -> Iterator[tuple[str, Tensor]]:
    """What each matrix loses; by random directions where the control has a number."""
    generator = torch.Generator().manual_seed(ranks.seed + (number or 0))
    for matrix in matrices(ranks.model):
        weight, count = dense(matrix), ranks.taken(point[1], matrix)
        spared = ranks.utility.parts[matrix.name].first(ranks.spared(point[0], matrix))
        if number is not None:
            taken = random_directions(weight, count, generator)
        elif ranks.choose == "bottom":
            taken = ranks.safety.parts[matrix.name].last(count)
        else:
            taken = ranks.safety.parts[matrix.name].first(count)
        yield (
            matrix.name,
            orthogonal_change(weight, taken.to(weight.device), spared.to(weight.device)),
        )


def _require_same(ranks: Ranks) -> None:
    for title, spaces in (("safety", ranks.safety), ("utility", ranks.utility)):
        for matrix in matrices(ranks.model):
            part = spaces.parts.get(matrix.name)
            if part is None or (len(part.basis), part.rank) != (
                matrix.shape[0],
                min(matrix.shape),
            ):
                raise ModelError(
                    f"The {title} directions have no {matrix.name} of {matrix.shape[0]} outputs; "
                    f"they are of another model than {ranks.model.name}."
                )


def _require_room(ranks: Ranks, point: tuple[float, float], controls: int) -> None:
    spared, taken = point
    whole = ranks.choose == "bottom"
    for name, share, kept in (
        ("p", spared, ranks.utility.share),
        ("q", 1.0 if whole else taken, ranks.safety.share),
    ):
        if share > kept:
            raise InterlockError(
                f"{'The least used directions' if whole else f'{name}={share:g}'} cannot be had: "
                f"{kept:g} of the directions were kept; find them with share={share:g} or more."
            )
    if not any(ranks.lost(point, each) for each in matrices(ranks.model)):
        raise InterlockError(
            f"q={taken:g} takes no direction from any matrix, or p leaves none to take."
        )
    if controls and taken > _HALF:
        raise InterlockError(
            f"q={taken:g} takes more than half of all directions, so random ones are much the "
            "same; take smaller shares, or controls=0."
        )
