"""What a study about weights holds in memory beside the model, step by step, before it runs.

Scores of weights and directions are held from the step that makes them to the last that reads them;
sets of weights, a bit each, to the end. A step has working memory of its own: sums, the sets of a
grid, |weight| where controls are matched by it, and what was in the weights before they changed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from interlock.architectures import Architecture
from interlock.config import Step, signature_of, steps_read
from interlock.matrices import Matrix, matrices_in
from interlock.subspaces import count_of
from interlock.weight_grid import points

_FLOAT = 4  # bytes of a score or sum
_DOUBLE = 8
_SOLVER = 4  # square matrices that an eigendecomposition works with, roughly


@dataclass(frozen=True)
class Held:
    """Bytes on the model's device, and on the CPU whatever that device is."""

    device: int = 0
    host: int = 0

    def __add__(self, other: "Held") -> "Held":
        """Both together."""
        return Held(self.device + other.device, self.host + other.host)


@dataclass(frozen=True)
class Maps:
    """Sizes of the linear maps of a model's layers, on the meta device or loaded.

    Attributes:
        shapes: outputs and inputs of each.
        grams: entries of X X^T over the distinct inputs.
        itemsize: bytes of a weight as the model holds it.
        model_bytes: of all its weights.
    """

    shapes: tuple[tuple[int, int], ...]
    grams: int
    itemsize: int
    model_bytes: int

    @property
    def weights(self) -> int:
        """How many weights the maps have."""
        return sum(out * width for out, width in self.shapes)

    @property
    def largest(self) -> int:
        """How many weights the largest map has."""
        return max((out * width for out, width in self.shapes), default=0)

    @property
    def widest(self) -> int:
        """The longest side of any map."""
        return max((max(shape) for shape in self.shapes), default=0)

    def directions(self, share: float) -> int:
        """Numbers in a share of every map's output directions."""
        return sum(shape[0] * max(1, count_of(share, min(shape))) for shape in self.shapes)


def maps_of(
    network: nn.Module, architecture: Architecture, *, itemsize: int, model_bytes: int
) -> Maps:
    """The linear maps of a network's layers; those of one block read one input, but the last."""
    layers = network.get_submodule(architecture.layers)
    found = matrices_in(layers.children())
    inputs = {_input_of(each, architecture): each.shape[1] for each in found}
    grams = sum(width**2 for width in inputs.values())
    return Maps(tuple(each.shape for each in found), grams, itemsize, model_bytes)


def most_held(steps: Sequence[Step], maps: Maps, *, together: bool) -> Held:
    """The most that is held at once beside the model and a batch.

    Args:
        steps: of the study, in order.
        maps: the model's.
        together: whether the model's device is the CPU, so that one moment decides for both.
    """
    moments = [_at(number, steps, maps) for number in range(len(steps))] or [Held()]
    if together:
        return max(moments, key=lambda each: each.device + each.host)
    return Held(max(each.device for each in moments), max(each.host for each in moments))


def _at(number: int, steps: Sequence[Step], maps: Maps) -> Held:
    """What is held while one step runs: what others made and still is needed, and its own."""
    needed = {name for step in steps[number:] for name in steps_read(step)}
    alive = [
        _made(step, maps)
        for step in steps[:number]
        if step.id in needed or signature_of(step.do).returns == "Mask"
    ]
    step = steps[number]
    own = [_made(step, maps), _WORK.get(step.do, _nothing)(step.options, maps)]
    return sum([*alive, *own], Held())


def _made(step: Step, maps: Maps) -> Held:
    """What a step's value takes."""
    returns, options = signature_of(step.do).returns, step.options
    if returns == "Mask":
        return Held(host=maps.weights // 8)
    if returns == "WeightScores":
        size = _FLOAT * maps.weights * (2 if options.get("halves") else 1)
        return Held(host=size) if step.do == "random_weights" else _kept(options, size)
    if returns == "Subspaces":
        return _kept(options, _FLOAT * maps.directions(options["share"]))
    return Held()


def _kept(options: Mapping[str, Any], size: int) -> Held:
    return Held(host=size) if options.get("keep") == "cpu" else Held(device=size)


def _nothing(options: Mapping[str, Any], maps: Maps) -> Held:
    return Held()


def _scoring(options: Mapping[str, Any], maps: Maps) -> Held:
    """The largest map's sums twice; on a GPU that frees itself of sums, those of a group too."""
    halves = 2 if options.get("halves") else 1
    held = 2 * _FLOAT * halves * maps.largest
    groups = options.get("groups", 1)
    if options.get("keep") == "cpu" and groups > 1:
        held += _FLOAT * halves * maps.weights // groups
    return Held(device=held)


def _finding_directions(options: Mapping[str, Any], maps: Maps) -> Held:
    """X X^T of every distinct input, and the work on the widest map in double precision."""
    return _kept(options, _FLOAT * maps.grams) + _solving(maps)


def _comparing_directions(options: Mapping[str, Any], maps: Maps) -> Held:
    """As `_finding_directions`, for two halves of two sets."""
    return Held(device=4 * _FLOAT * maps.grams) + _solving(maps)


def _solving(maps: Maps) -> Held:
    return Held(device=_SOLVER * _DOUBLE * maps.widest**2)


def _choosing(options: Mapping[str, Any], maps: Maps) -> Held:
    """A flag of a byte for every weight, and the scores that are compared, twice."""
    compared = maps.weights if options["granularity"] == "global" else maps.largest
    return Held(device=maps.weights + 2 * _FLOAT * compared)


def _taking_a_grid(options: Mapping[str, Any], maps: Maps) -> Held:
    """The sets of all points; controls; the weights of the largest set as they were."""
    sets = points(options["choose"], options["p"], options["q"], options["cross"])
    largest = max(options["q"], default=0.0)
    held = sets * maps.weights // 8 + int(largest * maps.weights) * maps.itemsize
    return Held(host=held) + _choosing(options, maps) + _matching(options, maps)


def _taking_a_set(options: Mapping[str, Any], maps: Maps) -> Held:
    """A control's set, and at most all weights as they were: the set's size is not known yet."""
    held = maps.weights // 8 + maps.weights * maps.itemsize
    return Held(host=held) + _matching(options, maps)


def _putting_back(options: Mapping[str, Any], maps: Maps) -> Held:
    return _taking_a_set(options, maps) + Held(device=maps.model_bytes)


def _matching(options: Mapping[str, Any], maps: Maps) -> Held:
    return Held(host=_FLOAT * maps.weights if options.get("match") == "magnitude" else 0)


def _projecting(options: Mapping[str, Any], maps: Maps) -> Held:
    """Every weight as it was, and a few copies of the largest map in float32."""
    return Held(device=4 * _FLOAT * maps.largest, host=maps.weights * maps.itemsize)


_WORK: Mapping[str, Callable[[Mapping[str, Any], Maps], Held]] = {
    "snip": _scoring,
    "wanda": _scoring,
    "used_directions": _finding_directions,
    "subspace_similarity": _comparing_directions,
    "top_weights": _choosing,
    "set_difference": _choosing,
    "control_weights": _matching,
    "pruning": _taking_a_grid,
    "attacks": _taking_a_grid,
    "removal": _taking_a_set,
    "restoration": _putting_back,
    "rank_pruning": _projecting,
    "rank_attacks": _projecting,
}


def _input_of(matrix: Matrix, architecture: Architecture) -> tuple[int, str]:
    """A name for what a matrix reads: the last map of a block has an input of its own."""
    last = {
        architecture.taps[kind].module for kind in ("head", "neuron") if kind in architecture.taps
    }
    path = matrix.path if matrix.path in last else matrix.path.partition(".")[0]
    return matrix.layer, path
