"""From weight scores to sets of weights: the top or bottom share, and set differences.

The k-th largest of millions of scores is found without sorting them: the bits of non-negative
float32 numbers, read as integers, are in the numbers' order, so a histogram of the upper half of
the bits finds the threshold's bucket, and one of the lower half, within that bucket, finds the
threshold itself. Histograms of several matrices add up, so that a set over the whole model needs
one matrix at a time. Of scores that tie at the threshold the first are taken, by matrix, row and
column: the same set on every machine.

Source: set difference: Wei et al. (2024), arXiv:2402.05162, section 3.3. The paper ranks within
rows; the published numbers come from ranking within whole matrices (`granularity` says which).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interlock.errors import InterlockError
from interlock.mask import Mask, by, overlap, packed, require_share
from interlock.tables import Table
from interlock.weight_scores import WeightScores

Granularity = Literal["row", "matrix", "global"]

_HALF_BITS = 16
_BUCKETS = 2**15  # the sign bit of a score is 0
_LOW = 2**_HALF_BITS - 1
_LARGEST = 0x7F800000  # the bits of infinity


class Ranking:
    """The order of the scores of one matrix, or of several taken together.

    Attributes:
        count: how many scores there are.
    """

    def __init__(self, scores: Sequence[Tensor], *, bottom: bool = False) -> None:
        """Rank scores, largest first; with `bottom`, smallest first.

        Args:
            scores: [out in] of each matrix; none is negative.
            bottom: whether small scores come first.
        """
        self._keys = [_keys(each, bottom=bottom) for each in scores]
        self.count = sum(each.numel() for each in self._keys)
        coarse = torch.zeros(_BUCKETS, dtype=torch.int64)
        for keys in self._keys:
            coarse += torch.bincount((keys >> _HALF_BITS).flatten(), minlength=_BUCKETS).cpu()
        self._from_above = coarse.flip(0).cumsum(0).flip(0)  # scores in this bucket or above

    def top(self, share: float) -> list[Tensor]:
        """Which scores are among the first `int(share * count)`, matrix by matrix."""
        return self.first(int(share * self.count))

    def first(self, count: int) -> list[Tensor]:
        """Which scores are among the first `count`: flags [out in], matrix by matrix."""
        count = min(count, self.count)
        if count <= 0:
            return [torch.zeros_like(keys, dtype=torch.bool) for keys in self._keys]
        threshold, ties = self._threshold(count)
        found = []
        for keys in self._keys:
            chosen = keys > threshold
            level = (keys == threshold).flatten().nonzero().flatten()[:ties]
            chosen.view(-1)[level] = True
            ties -= len(level)
            found.append(chosen)
        return found

    def _threshold(self, count: int) -> tuple[int, int]:
        """The key of the `count`-th score, and how many of that very key are to be taken."""
        bucket = int((self._from_above >= count).nonzero()[-1])
        above = int(self._from_above[bucket + 1]) if bucket + 1 < _BUCKETS else 0
        fine = torch.zeros(_LOW + 1, dtype=torch.int64)
        for keys in self._keys:
            inside = keys[(keys >> _HALF_BITS) == bucket] & _LOW
            fine += torch.bincount(inside, minlength=_LOW + 1).cpu()
        from_above = fine.flip(0).cumsum(0).flip(0) + above
        low = int((from_above >= count).nonzero()[-1])
        taken = int(from_above[low + 1]) if low < _LOW else above
        return (bucket << _HALF_BITS) | low, count - taken


def top(
    scores: WeightScores,
    share: float,
    *,
    granularity: Granularity = "matrix",
    bottom: bool = False,
) -> Mask:
    """The weights with the largest scores, `int(share * n)` of each row, each matrix or all.

    Args:
        scores: unsigned.
        share: from 0 to 1.
        granularity: what the share is of, and where scores are compared.
        bottom: take the smallest scores instead.

    Raises:
        InterlockError: the share is out of range, or so small that no weight is chosen.
    """
    require_share("share", share)
    chosen = _chosen(scores, share, granularity, bottom=bottom)
    title = f"{'bottom' if bottom else 'top'} {share:.4g} of {scores.about.get('method', 'scores')}"
    found = _mask(chosen, scores, title, granularity)
    if not found.count():
        raise InterlockError(
            f"share={share:g} of a {granularity} is less than one weight; take more, or a coarser "
            "granularity."
        )
    return found


def difference(
    safety: WeightScores,
    utility: WeightScores,
    *,
    p: float,
    q: float,
    granularity: Granularity = "matrix",
) -> Mask:
    """The top `q` of the safety scores without the top `p` of the utility scores.

    Args:
        safety: scores on replies that refuse.
        utility: scores on replies to harmless prompts, of the same matrices.
        p: share of the most useful weights that are left out.
        q: share of the weights that matter most to safety.
        granularity: where scores are compared.

    Raises:
        InterlockError: a share is out of range, the scores are of two models, or nothing is left.
    """
    require_share("p", p)
    require_share("q", q)
    if {n: safety.halves[n].shape[1:] for n in safety.names} != {
        n: utility.halves[n].shape[1:] for n in utility.names
    }:
        raise InterlockError("Safety and utility scores are of unlike matrices: of two models.")
    return without(
        top(safety, q, granularity=granularity), utility, p=p, q=q, granularity=granularity
    )


def without(
    chosen: Mask, utility: WeightScores, *, p: float, q: float, granularity: Granularity
) -> Mask:
    """`difference`, of a set that was chosen by safety before; the safety scores may be gone.

    Raises:
        InterlockError: `p` is out of range, or nothing is left.
    """
    require_share("p", p)
    useful = _mask(_chosen(utility, p, granularity), utility, f"utility top {p:g}", granularity)
    found = chosen - useful
    if not found.count():
        raise InterlockError(
            f"The set difference is empty: every weight of the top q={q:g} by safety is in the top "
            f"p={p:g} by utility. Take a larger q or a smaller p."
        )
    about = {
        "set": f"set difference, p = {p:g}, q = {q:g}",
        "granularity": granularity,
        "utility data": utility.about.get("data", ""),
    }
    return found.described(**about)


def retest(scores: WeightScores, choose: Callable[[WeightScores], Mask]) -> Table:
    """How far the sets chosen from the two halves of the examples agree, over all matrices.

    This is what two sets may be expected to agree at most: a set that another study, method or
    model shares to a lesser degree differs by more than the draw of the examples.

    Raises:
        RunError: nothing was halved.
    """
    return by(overlap(choose(scores.half(0)), choose(scores.half(1))), "all")


def _chosen(
    scores: WeightScores, share: float, granularity: Granularity, *, bottom: bool = False
) -> Mapping[str, Tensor]:
    names = scores.names
    if granularity == "global":
        ranking = Ranking([scores.mean(name) for name in names], bottom=bottom)
        return dict(zip(names, ranking.top(share), strict=True))
    if granularity == "matrix":
        return {n: Ranking([scores.mean(n)], bottom=bottom).top(share)[0] for n in names}
    if granularity == "row":
        return {n: _rows(_keys(scores.mean(n), bottom=bottom), share) for n in names}
    raise InterlockError(f"No granularity '{granularity}'. Known: row, matrix, global.")


def _keys(scores: Float[Tensor, "out in"], *, bottom: bool) -> Int[Tensor, "out in"]:
    """Integers in the order of the scores."""
    if not bool((scores >= 0).all()):  # also where one is not a number
        raise InterlockError("Weight scores must be unsigned numbers; some are negative or NaN.")
    keys = (scores.float() + 0.0).contiguous().view(torch.int32)  # -0 becomes 0
    return _LARGEST - keys if bottom else keys


def _rows(keys: Int[Tensor, "out in"], share: float) -> Bool[Tensor, "out in"]:
    """The first of every row; of ties, those on the left."""
    count = int(share * keys.shape[1])
    if count == 0:
        return torch.zeros_like(keys, dtype=torch.bool)
    threshold = keys.topk(count, dim=1).values[:, -1:]
    above, level = keys > threshold, keys == threshold
    wanted = count - above.sum(dim=1, keepdim=True)
    return above | (level & (level.cumsum(dim=1) <= wanted))


def _mask(
    chosen: Mapping[str, Tensor],
    scores: WeightScores,
    title: str,
    granularity: str,
) -> Mask:
    parts = {
        name: packed(np.asarray(flags.cpu()), (flags.shape[0], flags.shape[1]))
        for name, flags in chosen.items()
    }
    about = {**scores.about, "set": title, "granularity": granularity}
    return Mask(parts, "weight", about)
