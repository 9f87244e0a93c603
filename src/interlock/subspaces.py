"""The output directions of a linear map that a set of texts uses, and projections onto them.

For a map W [out in] and inputs X [in token], the best map of rank r on these inputs, which
minimises ||W X - W' X||, is U_r U_r^T W with U_r the first r left singular vectors of W X. They are
the first eigenvectors of W (X X^T) W^T: one eigendecomposition gives every rank, and X X^T, which
adds up over texts, is all that is kept of X. Squares halve the digits: singular values below about
3e-4 of the largest are not told apart in float32.

A matrix has as many directions as its smaller side, its rank. A map with more outputs than inputs
is first written as Q R with orthonormal Q [out in]: all of its outputs lie in the columns of Q.

Source: ActSVD and orthogonal projection, Wei et al. (2024), arXiv:2402.05162, section 3.2 and 3.3;
similarity of subspaces, Hu et al. (2021, LoRA), arXiv:2106.09685, appendix G.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from interlock.errors import RunError
from interlock.files import write_tensors
from interlock.tables import Table, from_rows

_KIND = "interlock subspaces 1"
_MOST = 0.99  # share of the squared output that the table counts directions for


@dataclass(frozen=True, eq=False)
class Subspace:
    """Output directions of a matrix, those that carry most of its output first.

    Attributes:
        basis: orthonormal columns; all of the matrix's directions, or the first ones.
        energy: squared length of the outputs along each direction, summed over tokens; of all.
    """

    basis: Float[Tensor, "out kept"]
    energy: Float[Tensor, " rank"]

    @property
    def rank(self) -> int:
        """How many directions the matrix has: the smaller of its sides."""
        return len(self.energy)

    def first(self, count: int) -> Float[Tensor, "out first"]:
        """The most used directions, as many as the matrix has at most."""
        return self.basis[:, : min(max(count, 0), self.rank)]

    def last(self, count: int) -> Float[Tensor, "out last"]:
        """The least used directions; all of them have to be kept."""
        assert self.basis.shape[1] == self.rank
        return self.basis[:, self.rank - min(max(count, 0), self.rank) :]

    def keep(self, count: int) -> "Subspace":
        """Without the directions after the first `count`, in memory of its own."""
        return Subspace(self.first(count).clone(), self.energy)

    def to(self, device: torch.device | str) -> "Subspace":
        """The same on another device."""
        return Subspace(self.basis.to(device), self.energy.to(device))


@dataclass(frozen=True, eq=False)
class Subspaces:
    """The output directions of every matrix of a model that a set of replies uses.

    Attributes:
        parts: by matrix, in order of layers and modules.
        share: of each matrix's directions that is kept.
        about: how they were found.
    """

    parts: Mapping[str, Subspace]
    share: float
    about: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> Table:
        """For each matrix, how many directions carry how much of its output on the replies."""
        rows = [_row(name, each) for name, each in self.parts.items()]
        units = {"first": "share of the squared output", "participation": "directions"}
        return from_rows(rows, units=units, about={**self.about, "kept": f"{self.share:g}"})


def count_of(share: float, rank: int) -> int:
    """How many of a matrix's directions a share is, to the nearest."""
    return round(share * rank)


def subspace(weight: Float[Tensor, "out in"], gram: Float[Tensor, "in in2"]) -> Subspace:
    """The directions of a weight's output on inputs whose X X^T is `gram`."""
    frame, inner = None, weight.double()
    if inner.shape[0] > inner.shape[1]:
        frame, inner = torch.linalg.qr(inner)
    outputs = inner @ gram.double().to(inner.device) @ inner.T
    energy, basis = torch.linalg.eigh((outputs + outputs.T) / 2)
    basis = basis.flip(1) if frame is None else frame @ basis.flip(1)
    return Subspace(basis.to(weight.dtype), energy.flip(0).clamp(min=0).to(weight.dtype))


def along(
    weight: Float[Tensor, "out in"], basis: Float[Tensor, "out kept"]
) -> Float[Tensor, "out in"]:
    """The part of a map's output along some directions, P W.

    With the first r directions of a set it is ActSVD, the best map of rank r on that set.
    """
    return basis @ (basis.T @ weight)


def orthogonal_change(
    weight: Float[Tensor, "out in"],
    taken: Float[Tensor, "out taken"],
    spared: Float[Tensor, "out spared"],
) -> Float[Tensor, "out in"]:
    """What to take from a weight: its output along some directions, as far as not along others.

    (1 - P_u) P_s W, with P_s on the directions taken and P_u on those spared. Its rank is at most
    the number taken, and at most the matrix's rank less the number spared.

    Args:
        weight: of one matrix.
        taken: directions that refusals use.
        spared: directions that harmless replies use; there may be none.
    """
    wanted = along(weight, taken)
    return wanted - along(wanted, spared)


def random_directions(
    weight: Float[Tensor, "out in"], count: int, generator: torch.Generator
) -> Float[Tensor, "out count"]:
    """Orthonormal directions drawn evenly from all that a map's outputs can have."""
    rank = min(weight.shape)
    drawn = torch.randn(rank, count, generator=generator).to(weight.device, weight.dtype)
    inner = torch.linalg.qr(drawn).Q
    return inner if weight.shape[0] == rank else torch.linalg.qr(weight).Q @ inner


def similarity(first: Subspace, second: Subspace, count: int) -> float:
    """||U_1^T U_2||^2 over the number of directions: 1 for equal subspaces, 0 for orthogonal ones.

    Two random subspaces of `count` directions among n have count / n on average.
    """
    one, two = first.first(count), second.first(count)
    return float((one.T @ two).square().sum()) / max(1, min(one.shape[1], two.shape[1]))


def save(spaces: Subspaces, path: Path) -> None:
    """Write the directions with how they were found as safetensors, whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    metadata = {
        "kind": _KIND,
        "names": json.dumps(list(spaces.parts)),
        "share": repr(spaces.share),
        "about": json.dumps(dict(spaces.about)),
    }
    tensors = {f"{name}/basis": each.basis.contiguous() for name, each in spaces.parts.items()}
    tensors |= {f"{name}/energy": each.energy.contiguous() for name, each in spaces.parts.items()}
    write_tensors(path, tensors, metadata)


def load(path: Path) -> Subspaces:
    """The directions that `save` wrote.

    Raises:
        RunError: the file is missing or holds no subspaces.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != _KIND:
                raise RunError(f"{path} holds no subspaces of this version.")
            parts = {
                name: Subspace(file.get_tensor(f"{name}/basis"), file.get_tensor(f"{name}/energy"))
                for name in json.loads(metadata["names"])
            }
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read as subspaces: {error}.") from None
    return Subspaces(parts, float(metadata["share"]), json.loads(metadata["about"]))


def _row(name: str, each: Subspace) -> dict:
    """Participation: the number of equally used directions that would spread energy as widely."""
    shares = each.energy.double() / each.energy.double().sum().clamp(min=1e-300)
    most = int((shares.cumsum(0) < _MOST).sum()) + 1
    return {
        "layer": int(name.partition(".")[0]),
        "type": name.partition(".")[2],
        "rank": each.rank,
        "kept": each.basis.shape[1],
        "first": float(shares[0]),
        "participation": float(1 / shares.square().sum().clamp(min=1e-300)),
        "for 99 %": min(most, each.rank),
    }
