"""What a study would take: passes, time and memory from shapes on the meta device, no weights.

Time is tokens x 2 x parameters over the machine's measured matrix speed, plus a fixed cost a layer
and pass; it is an estimate to plan by, not a promise. Memory is weights, one batch's activations
and logits, and what steps on weights hold besides (`interlock.studies.holding`).
"""

import importlib
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from interlock.architectures import Architecture, architecture_of
from interlock.config import Step, Study, splits_seen
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.datasets import load
from interlock.footprint import network_bytes
from interlock.loading import Settled, default_dtype, place_of, read_config, settle
from interlock.matrices import matrices_in
from interlock.memory import in_words, look
from interlock.methods import METHODS
from interlock.model import Shape, shape_of
from interlock.sources import Source, find_config
from interlock.studies.holding import Held, Maps, maps_of, most_held

_CHOSEN_BATCH = 8  # examples at once where a method chooses
_PROMPT, _PASSAGE = 24, 20  # typical tokens; prompts are short questions
_LAYER_SECONDS = {"cpu": 2.5e-4, "cuda": 1.0e-4, "mps": 2.0e-4}
_BUDGETS = {"5m": 300.0, "1h": 3600.0, "overnight": 12 * 3600.0}  # seconds
_USED = 0.5  # share of the measured matrix speed that a whole pass reaches


@dataclass(frozen=True)
class StepEstimate:
    """What one step would take: texts by kind, forward passes over batches of them, seconds."""

    id: str
    prompts: int
    replies: int
    passages: int
    passes: int
    seconds: float


@dataclass(frozen=True)
class _Opened:
    """What a model would be once opened: sizes, place, and the bytes of its weights."""

    shape: Shape
    device: torch.device
    dtype: torch.dtype
    maps: Maps

    @property
    def weight_bytes(self) -> int:
        return self.maps.model_bytes


@dataclass(frozen=True)
class Estimate:
    """What a study would take on this machine.

    Attributes:
        model: as the study names it.
        shape: its sizes.
        device: where it would be.
        dtype: of its weights.
        steps: each step's part.
        seconds: of all steps.
        memory_bytes: on the device.
        free_bytes: on the device now.
        host_bytes: on the CPU beside another device; 0 where the device is the CPU.
        host_free_bytes: on the CPU now.
    """

    model: str
    shape: Shape
    device: str
    dtype: str
    steps: tuple[StepEstimate, ...]
    seconds: float
    memory_bytes: int
    free_bytes: int
    host_bytes: int
    host_free_bytes: int

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """A table for the terminal."""
        lines = [
            f"{self.model}: {self.shape.parameters / 1e6:.1f}M parameters, {self.shape.layers} "
            f"layers, {self.shape.heads} heads, on {self.device} in {self.dtype}",
            f"{'step':24} {'prompts':>9} {'replies':>9} {'passages':>9} {'passes':>9} {'time':>8}",
        ]
        lines += [
            f"{s.id:24} {s.prompts:9,} {s.replies:9,} {s.passages:9,} {s.passes:9,} "
            f"{_clock(s.seconds):>8}"
            for s in self.steps
        ]
        lines.append(
            f"about {_clock(self.seconds)} and {in_words(self.memory_bytes)} of memory "
            f"({in_words(self.free_bytes)} free)"
        )
        if self.host_bytes:
            lines.append(
                f"and {in_words(self.host_bytes)} on the CPU beside it "
                f"({in_words(self.host_free_bytes)} free)"
            )
        return "\n".join(lines)


def estimate(study: Study) -> Estimate:
    """What a study would take here, from the model's config and the prompts' number.

    Raises:
        ModelError: the model cannot be found or its config cannot be read.
    """
    model = study.model
    source = find_config(model.name, model.revision)
    if source is None:
        return estimate_settled(study, settle(**model.model_dump()))
    network, architecture = _on_meta(source)
    device = place_of(None if model.device == "auto" else model.device)
    dtype, weight_bytes = _held(study, network, device)
    return _estimate(study, _opened(network, architecture, device, dtype, weight_bytes))


def estimate_settled(study: Study, settled: Settled) -> Estimate:
    """`estimate` for a model that was found."""
    network, architecture = _on_meta(settled.source)
    held = settled.dtype, settled.weight_bytes
    return _estimate(study, _opened(network, architecture, settled.device, *held))


def matrix_shapes(name: str, revision: str | None = None) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of every linear map of a model's layers, from its config alone.

    Raises:
        ModelError: the model cannot be found or its config cannot be read.
    """
    source = find_config(name, revision) or settle(name, revision=revision).source
    network, architecture = _on_meta(source)
    layers = network.get_submodule(architecture.layers)
    return {each.name: each.shape for each in matrices_in(layers.children())}


def _opened(
    network: nn.Module,
    architecture: Architecture,
    device: torch.device,
    dtype: torch.dtype,
    weight_bytes: int,
) -> _Opened:
    maps = maps_of(network, architecture, itemsize=dtype.itemsize, model_bytes=weight_bytes)
    return _Opened(shape_of(network, architecture), device, dtype, maps)


def _estimate(study: Study, opened: _Opened) -> Estimate:
    sets = load(**study.prompts.options())
    contrasts = {**sets.splits, "passages": sets.passages, "lookalikes": sets.lookalikes}
    speed = _matrix_speed(opened)
    steps = tuple(
        _step(step, opened, _examples(step, study, contrasts), contrasts, speed)
        for step in study.steps
    )
    batch = max((step.options.get("batch", 1) for step in study.steps), default=1)
    cpu = torch.device("cpu")
    together = opened.device == cpu
    held = most_held(study.steps, opened.maps, together=together)
    if together:
        held = Held(device=held.device + held.host)
    return Estimate(
        model=study.model.name,
        shape=opened.shape,
        device=str(opened.device),
        dtype=str(opened.dtype).removeprefix("torch."),
        steps=steps,
        seconds=sum(step.seconds for step in steps),
        memory_bytes=_memory(opened, batch) + held.device,
        free_bytes=look(opened.device).free,
        host_bytes=held.host,
        host_free_bytes=look(cpu).free,
    )


def too_long(study: Study) -> str:
    """One line if the study would take over twice its budget's time or more memory than there is.

    The model is about to be opened, so it is found whole, not by its config alone.

    Raises:
        ModelError: as `settle`.
    """
    found = estimate_settled(study, settle(**study.model.model_dump()))
    problems = []
    if found.seconds > 2 * _BUDGETS.get(study.budget, float("inf")):
        problems.append(f"about {_clock(found.seconds)} on this machine, over the {study.budget}")
    if found.memory_bytes > found.free_bytes:
        problems.append(
            f"{in_words(found.memory_bytes)} of memory, {in_words(found.free_bytes)} are free"
        )
    if found.host_bytes > found.host_free_bytes:
        problems.append(
            f"{in_words(found.host_bytes)} of the CPU's memory, {in_words(found.host_free_bytes)} "
            "are free"
        )
    if not problems:
        return ""
    return (
        f"{study.model.name} would take {' and '.join(problems)}: try --budget tiny, fewer prompts "
        "(prompts.per_category=4), a smaller model or a GPU; --dry-run shows each step."
    )


def _on_meta(source: Source) -> tuple[nn.Module, Architecture]:
    """The network of a config, without weights."""
    config = read_config(source)
    architecture = architecture_of(config.model_type)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config), architecture


def _held(study: Study, network: nn.Module, device: torch.device) -> tuple[torch.dtype, int]:
    """The dtype that `settle` would choose, and what the weights will take."""
    model = study.model
    named = model.dtype or ("bfloat16" if model.quantization else None)
    dtype = (
        getattr(torch, named)
        if named
        else default_dtype(device, network_bytes(network, torch.float32, None))
    )
    return dtype, network_bytes(network, dtype, model.quantization)


def _examples(step: Step, study: Study, contrasts: dict[str, Contrast]) -> int:
    """How many prompts a step is given: of its own contrast, or of those that what it reads saw."""
    seen = splits_seen(step, {each.id: each for each in study.steps})
    return max((len(contrasts[split].examples) for split in seen), default=0)


def _step(
    step: Step, opened: _Opened, examples: int, contrasts: dict[str, Contrast], speed: float
) -> StepEstimate:
    shape = opened.shape
    module, name = METHODS[step.do].cost.split(":")
    count = getattr(importlib.import_module(f"interlock.methods.{module}"), name)
    passages = len(contrasts["passages"].examples)
    cost: Cost = count(shape, examples, {**step.options, "passages": passages})
    reply = int(step.options.get("tokens", 0))
    work = 2 * shape.parameters * cost.tokens(_PROMPT, reply, _PASSAGE)
    batch = int(step.options.get("batch", 1)) or _CHOSEN_BATCH
    passes = (cost.prompts + cost.passages + cost.replies * (1 + reply)) / batch
    overhead = passes * shape.layers * _LAYER_SECONDS.get(opened.device.type, 2.5e-4)
    seconds = work / (speed * _USED) + overhead
    return StepEstimate(
        step.id, cost.prompts, cost.replies, cost.passages, math.ceil(passes), seconds
    )


def _matrix_speed(opened: _Opened) -> float:
    """Floating-point operations a second of a matrix product, measured for a moment."""
    size = 512 if opened.device.type == "cpu" else 4096
    matrix = torch.ones(size, size, device=opened.device, dtype=opened.dtype)
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # reading one value waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def _memory(opened: _Opened, batch: int) -> int:
    shape, size = opened.shape, opened.dtype.itemsize
    states = batch * _PROMPT * shape.width * (6 * shape.layers + 8)
    logits = batch * _PASSAGE * shape.vocab * 3  # logits, their float copy, its log-softmax
    return opened.weight_bytes + states * size + logits * 4


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
