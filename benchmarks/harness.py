"""Ours beside a peer: interleaved rounds, medians of ratios within a round, one line of JSON.

Two programs that are timed one after the other see two different machines. Here every round times
each of them once, in an order that turns, and the figure is the median over rounds of the ratio
within a round, so that slow spells of the machine fall on both.
"""

import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interlock.loading import load, settle
from interlock.model import Model

Work = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds of one contender, round by round.

    Attributes:
        wall: by the clock.
        process: of processor time, which other programs on the machine do not lengthen.
    """

    wall: list[float]
    process: list[float]

    def ratio(self, other: "Times") -> float:
        """Median over rounds of this one's processor time over the other's in the same round."""
        pairs = zip(self.process, other.process, strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def wall_ratio(self, other: "Times") -> float:
        """As `ratio`, by the clock."""
        pairs = zip(self.wall, other.wall, strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)


def race(contenders: Mapping[str, Work], *, rounds: int = 15, warm: int = 2) -> dict[str, Times]:
    """Time every contender once a round; the order turns by one each round."""
    names = list(contenders)
    found = {name: Times([], []) for name in names}
    for number in range(-warm, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            wall, process = time.perf_counter(), time.process_time()
            contenders[name]()
            spent = time.perf_counter() - wall, time.process_time() - process
            if number >= 0:
                found[name].wall.append(spent[0])
                found[name].process.append(spent[1])
    return found


def figures(found: Mapping[str, Times], against: str) -> dict[str, float]:
    """Milliseconds of each contender, and its ratio to the one named."""
    plain: dict[str, float] = {}
    for name, times in found.items():
        plain[f"{name}_ms"] = round(1e3 * statistics.median(times.process), 3)
        if name != against:
            plain[f"{name}_ratio"] = round(times.ratio(found[against]), 4)
            plain[f"{name}_wall_ratio"] = round(times.wall_ratio(found[against]), 4)
    return plain


def report(benchmark: str, **values: object) -> None:
    """Print one line of JSON: the last line of every benchmark."""
    print(json.dumps({"benchmark": benchmark, **values}))


def random_llama(folder: Path, **sizes: int) -> Model:
    """A random Llama of about 100 million parameters, saved and opened as any other model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    usual = {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "vocab_size": 16384,
        "max_position_embeddings": 512,
    }
    settings: dict[str, Any] = {**usual, **sizes, "tie_word_embeddings": False}
    config = LlamaConfig(**settings, eos_token_id=None)
    LlamaForCausalLM(config).save_pretrained(folder)
    return load(settle(str(folder), device="cpu", dtype="float32"))


def one_thread() -> None:
    """One thread: the figures are about work, not about cores."""
    torch.set_num_threads(1)
