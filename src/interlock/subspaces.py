"""The output directions of a linear map that a set of texts uses, and projections onto them.

For a map W [out in] and inputs X [in token], the best map of rank r on these inputs, which
minimises ||W X - W' X||, is U_r U_r^T W with U_r the first r left singular vectors of W X. They are
the first eigenvectors of W (X X^T) W^T: one eigendecomposition gives every rank, and X X^T, which
adds up over texts, is all that is kept of X. Squares halve the digits: singular values below about
3e-4 of the largest are not told apart in float32.

Source: ActSVD and orthogonal projection, Wei et al. (2024), arXiv:2402.05162, section 3.2 and 3.3;
similarity of subspaces, Hu et al. (2021, LoRA), arXiv:2106.09685, appendix G.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Subspace:
    """Output directions of a matrix, those that carry most of its output first.

    Attributes:
        basis: orthonormal columns.
        energy: squared length of the outputs along each direction, summed over tokens.
        rank: of the matrix at most: the smaller of its sides.
    """

    basis: Float[Tensor, "out out"]
    energy: Float[Tensor, " out"]
    rank: int

    def first(self, count: int) -> Float[Tensor, "out kept"]:
        """The first directions, as many as the matrix can have at most."""
        return self.basis[:, : min(max(count, 0), self.rank)]


def subspace(weight: Float[Tensor, "out in"], gram: Float[Tensor, "in in2"]) -> Subspace:
    """The directions of a weight's output on inputs whose X X^T is `gram`."""
    wide = weight.double()
    outputs = wide @ gram.double().to(wide.device) @ wide.T
    energy, basis = torch.linalg.eigh((outputs + outputs.T) / 2)
    return Subspace(
        basis.flip(1).to(weight.dtype),
        energy.flip(0).clamp(min=0).to(weight.dtype),
        min(weight.shape),
    )


def kept(weight: Float[Tensor, "out in"], used: Subspace, rank: int) -> Float[Tensor, "out in"]:
    """ActSVD: the best map of this rank on the texts; what is left when the rest is removed."""
    basis = used.first(rank)
    return basis @ (basis.T @ weight)


def without_first(
    weight: Float[Tensor, "out in"], used: Subspace, rank: int
) -> Float[Tensor, "out in"]:
    """ActSVD: the map without its most used directions."""
    return weight - kept(weight, used, rank)


def orthogonal_change(
    weight: Float[Tensor, "out in"],
    utility: Subspace,
    safety: Subspace,
    *,
    utility_removed: int,
    safety_removed: int,
) -> Float[Tensor, "out in"]:
    """What to take from a weight: its safety directions, as far as they are no utility directions.

    (1 - P_u) P_s W, where P_u projects on the first R - r_u utility directions and P_s on the first
    R - r_s safety directions; R is the matrix's own largest rank, so that narrow maps (keys and
    values of grouped queries) are left with none rather than with fewer than none. Its rank is at
    most R - r_s, and at most the number of outputs less R - r_u.

    Args:
        weight: of one matrix.
        utility: its directions on harmless replies.
        safety: its directions on refusals.
        utility_removed: r_u, the utility directions that may be touched.
        safety_removed: r_s, the safety directions that are left alone.
    """
    wanted = kept(weight, safety, safety.rank - safety_removed)
    return wanted - kept(wanted, utility, utility.rank - utility_removed)


def similarity(first: Subspace, second: Subspace, count: int) -> float:
    """||U_1^T U_2||^2 over the number of directions: 1 for equal subspaces, 0 for orthogonal ones.

    Two random subspaces of `count` directions among n have count / n on average.
    """
    one, two = first.first(count), second.first(count)
    return float((one.T @ two).square().sum()) / max(1, min(one.shape[1], two.shape[1]))
