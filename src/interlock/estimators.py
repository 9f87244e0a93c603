"""Other gradients than the plain one: along a path of inputs, past a layer, by relevance rules.

Each is a context: while it is open, forward passes and their gradients are changed, and nothing
else. What the passes add up to is an `Estimator`:

- plain: the gradient where the run is.
- integrated: the mean gradient while the input embeddings go from one prompt's to the other's.
- dropped: one gradient for each layer, none flowing through what that layer writes (GradDrop), so
  that a direct effect and an opposite one through a later layer do not cancel.
- relevance: the gradient of a model made linear piece by piece at the values it has (RelP): norms
  divide by a constant, an activation multiplies by a constant, a gate shares its product evenly.

Sources: integrated: Sundararajan et al. (2017, arXiv:1703.01365); along inputs as in EAP-IG, Hanna
et al. (2024, arXiv:2403.17806); GradDrop: Kramar et al. (2024, AtP*, arXiv:2403.00745, section
3.2); RelP: Rezaei Jafari et al. (2025, arXiv:2508.21258).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from interlock.errors import SiteError
from interlock.memory import room
from interlock.model import Model
from interlock.taps import attached

Estimator = Literal["plain", "integrated", "dropped", "relevance"]
Quadrature = Literal["gauss", "midpoint"]
Pass = tuple[float, Callable[[], AbstractContextManager[None]]]

_ACTIVATIONS = ("act_fn", "activation_fn", "act")
_GATES = ("gate_proj", "gate_up_proj")


def passes(
    model: Model,
    estimator: Estimator,
    other: Int[Tensor, "example token"],
    *,
    nodes: int,
    quadrature: Quadrature,
) -> list[Pass]:
    """The passes of an estimator, each with its weight and the context to run it in.

    Args:
        model: the model studied.
        estimator: which gradients.
        other: token ids of the other prompts, for the path of inputs to lead to.
        nodes: points on that path.
        quadrature: where they lie.

    Raises:
        SiteError: the relevance rules do not cover the family.
    """
    if estimator == "integrated":
        points, weights = path(nodes, quadrature)
        return [
            (weight, partial(between, model, other, point))
            for point, weight in zip(points, weights, strict=True)
        ]
    if estimator == "dropped":
        layers = model.shape.layers
        return [(1 / max(1, layers - 1), partial(past, model, layer)) for layer in range(layers)]
    if estimator == "relevance":
        require_rules(model)
        return [(1.0, partial(by_relevance, model))]
    return [(1.0, nullcontext)]


def path(nodes: int, quadrature: Quadrature) -> tuple[list[float], list[float]]:
    """Points between 0 and 1 and their weights, which add up to 1."""
    if quadrature == "midpoint":
        return [(k + 0.5) / nodes for k in range(nodes)], [1 / nodes] * nodes
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return ((points + 1) / 2).tolist(), (weights / 2).tolist()


def backward_rows(model: Model, tokens: int) -> int:
    """How many prompts at once, by what every layer keeps of a token until it goes backward."""
    shape = model.shape
    kept = shape.layers * (12 * shape.width + 5 * shape.neurons) + 3 * shape.vocab
    item = next(model.network.parameters()).element_size()
    return max(1, room(model.device) // (tokens * kept * item))


@contextmanager
def between(model: Model, other: Int[Tensor, "example token"], share: float) -> Iterator[None]:
    """Let the token embeddings lie a share of the way towards those of other tokens."""
    embedding = model.network.get_submodule(model.architecture.embedding)
    with torch.no_grad():
        there = embedding(other)

    def moved(_: nn.Module, __: tuple, here: Tensor) -> Tensor:
        return here + share * (there - here)

    handle = embedding.register_forward_hook(moved)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def past(model: Model, layer: int) -> Iterator[None]:
    """Let no gradient flow through what a layer's attention and MLP write."""
    with attached(model, {("attn", layer): _cut, ("mlp", layer): _cut}):
        yield


def _cut(value: Tensor) -> Tensor:
    """The value without what it came from; a leaf, so that it can itself be read with a slope."""
    return value.detach().requires_grad_()


def require_rules(model: Model) -> None:
    """Refuse a family that the relevance rules do not cover.

    Raises:
        SiteError: its layers have no one set of neurons, or an activation that is not found.
    """
    if "neuron" not in model.architecture.taps or not _activations(model):
        raise SiteError(
            f"The relevance rules do not cover {model.architecture.family}: "
            f"{model.architecture.missing.get('neuron', 'no activation function was found')}. "
            "Use estimator: integrated."
        )


@contextmanager
def by_relevance(model: Model) -> Iterator[None]:
    """Make norms, activations and gates linear at the values they have; values stay as they are."""
    handles: list[Any] = []
    try:
        for module in model.network.modules():
            if "Norm" in type(module).__name__:
                rule = _centred if isinstance(module, nn.LayerNorm) else _scaled
                handles.append(module.register_forward_hook(rule, with_kwargs=True))
        for activation in _activations(model):
            handles.append(activation.register_forward_hook(_scaled, with_kwargs=True))
        for layer in model.layers:
            block = layer.get_submodule(model.architecture.feed_forward)
            if any(hasattr(block, gate) for gate in _GATES):
                handles.append(block.register_forward_pre_hook(_halved))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _activations(model: Model) -> list[nn.Module]:
    blocks = [layer.get_submodule(model.architecture.feed_forward) for layer in model.layers]
    found = [getattr(block, name, None) for block in blocks for name in _ACTIVATIONS]
    # layers may share one activation module, which must not be hooked twice
    return list(dict.fromkeys(each for each in found if isinstance(each, nn.Module)))


def _entering(args: tuple, kwargs: dict[str, Any]) -> Tensor:
    return args[0] if args else next(iter(kwargs.values()))


def _with_slope(value: Tensor, linear: Tensor) -> Tensor:
    """The value, with the gradient of something else."""
    return value.detach() + (linear - linear.detach())


def _scaled(_: nn.Module, args: tuple, kwargs: dict[str, Any], output: Tensor) -> Tensor:
    """Output as input times a constant, entry by entry."""
    value = _entering(args, kwargs)
    factor = torch.where(value == 0, 0.0, output / torch.where(value == 0, 1.0, value)).detach()
    return _with_slope(output, value * factor)


def _centred(module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Tensor) -> Tensor:
    """A layer norm whose standard deviation is a constant."""
    value = _entering(args, kwargs)
    deviation = (value.var(dim=-1, unbiased=False, keepdim=True) + module.eps).sqrt().detach()  # type: ignore[operator]
    centred = (value - value.mean(dim=-1, keepdim=True)) / deviation
    return _with_slope(output, centred if module.weight is None else centred * module.weight)  # type: ignore[operator]


def _halved(_: nn.Module, args: tuple) -> tuple:
    """Half the gradient into a gated MLP: it is a product, and each factor takes half of it."""
    half = args[0] / 2
    return (half + (args[0] - half).detach(), *args[1:])
