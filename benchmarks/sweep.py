"""Exact patching sweeps by `replay`, beside one hooked pass for each site.

A sweep's figure is its processor time over that of one plain forward pass of the same prompt
(`logits_to_keep=1`, no cache), interleaved. Targets, on a random Llama of 6 layers x 256 and one
prompt: residual stream, attention and MLP of every layer at the last position 1.5; at all positions
when the two prompts share their first half 5; every head, likewise shared, 10. Both prompts are
read once before (`capture`, `prefill`): printed apart, not in the ratios.

With 100 million parameters the figure is forward passes per site. Where there is a cuda device,
the shape of Llama 3 8B with random weights in bfloat16 is timed in seconds: 32 pairs of 64 tokens,
every layer x 3 and all 1,024 heads at the last position (target 8 s).

TransformerLens and nnsight are not among the project's dependencies; where they can be imported
(`peer_sweeps`) their sweep at the last position is timed in this process, on the same weights and
prompts, and must give the same answers.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from harness import Times, one_thread, race, random_llama, report
from interlock.activations import forward, record
from interlock.architectures import architecture_of
from interlock.edits import Edit, edited, put
from interlock.encoding import Batch, collate, from_ids
from interlock.model import Model
from interlock.replay import Kept, keep, replay
from interlock.sites import Site, unit
from peer_sweeps import PEERS, prepared, there

SMALL = {
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 2000,
}
EIGHT_BILLION = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
KINDS = ("resid_post", "attn", "mlp")
TARGETS = {"last_position_ratio": 1.5, "all_positions_ratio": 5.0, "heads_ratio": 10.0}
AGREEMENT = 1e-5
Found = TypeVar("Found")
ONE, OTHER = 17, 23  # the tokens whose logits are compared


@dataclass(frozen=True)
class Sweep:
    """One sweep to time.

    Attributes:
        name: in the output.
        tokens: of the prompt.
        sites: patched one at a time.
        shared: first tokens that both prompts have in common.
    """

    name: str
    tokens: int
    sites: tuple[Site, ...]
    shared: int


def reading(logits: Tensor, _: Sequence[int]) -> Tensor:
    """Logit difference of each row."""
    return logits[:, ONE] - logits[:, OTHER]


def prompts(model: Model, tokens: int, shared: int) -> tuple[Batch, Batch]:
    """Two prompts that differ in four tokens after the shared ones."""
    generator = torch.Generator().manual_seed(tokens)
    ids = torch.randint(4, model.shape.vocab, (tokens,), generator=generator).tolist()
    changed = torch.randint(4, model.shape.vocab, (4,), generator=generator).tolist()
    partner = ids[:shared] + changed + ids[shared + 4 :]
    return collate(model, from_ids([ids])), collate(model, from_ids([partner]))


@torch.no_grad()
def plain(model: Model, batch: Batch) -> Tensor:
    """One forward pass."""
    return forward(model, batch)[:, -1]


@torch.no_grad()
def naive(model: Model, batch: Batch, variants: Sequence[Sequence[Edit]]) -> Tensor:
    """One hooked pass for each set of edits."""
    found = []
    for edits in variants:
        with edited(model, edits, batch):
            found.append(reading(forward(model, batch)[:, -1], ()))
    return torch.stack(found)


def measure(model: Model, sweep: Sweep, rounds: int) -> dict[str, float]:
    """Ratios and milliseconds of one sweep, with the naive one beside it."""
    base, other = prompts(model, sweep.tokens, sweep.shared)
    source = record(model, other, sweep.sites)
    variants = [[put(site, source.values[site])] for site in sweep.sites]
    kept = keep(model, base)
    wanted = naive(model, base, variants)
    fast = partial(replay, kept, variants, reading, shared=[sweep.shared])
    found = fast()
    off = float((found.values - wanted).abs().max())
    assert float((wanted - found.base).abs().max()) > 100 * AGREEMENT, "the patches do nothing"
    assert off <= AGREEMENT, f"{sweep.name}: {off:.1e} away from the naive sweep"
    contenders: dict[str, Callable[[], object]] = {
        "plain": partial(plain, model, base),
        "replay": fast,
        "capture": partial(record, model, other, sweep.sites),
        "prefill": partial(keep, model, base),
    }
    times = race(contenders, rounds=rounds)
    slow = race(
        {"plain": contenders["plain"], "naive": partial(naive, model, base, variants)},
        rounds=max(3, rounds // 5),
        warm=1,
    )
    values = {
        "ratio": times["replay"].ratio(times["plain"]),
        "wall_ratio": times["replay"].wall_ratio(times["plain"]),
        "capture_ratio": times["capture"].ratio(times["plain"]),
        "prefill_ratio": times["prefill"].ratio(times["plain"]),
        "naive_ratio": slow["naive"].ratio(slow["plain"]),
        "plain_ms": 1e3 * statistics.median(times["plain"].process),
        "replay_ms": 1e3 * statistics.median(times["replay"].process),
        "off": off,
        "floor": found.floor,
    }
    _show(sweep, values, _spread(times))
    return values


def _spread(times: dict[str, Times]) -> tuple[float, float]:
    pairs = zip(times["replay"].process, times["plain"].process, strict=True)
    ratios = sorted(mine / theirs for mine, theirs in pairs)
    return ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]


def _show(sweep: Sweep, values: dict[str, float], spread: tuple[float, float]) -> None:
    print(
        f"{sweep.name:28} T={sweep.tokens:<4} {len(sweep.sites):3} sites, {sweep.shared} shared: "
        f"x {values['ratio']:.2f} [{spread[0]:.2f} {spread[1]:.2f}] "
        f"(clock x {values['wall_ratio']:.2f}), naive x {values['naive_ratio']:.1f}; once before: "
        f"capture x {values['capture_ratio']:.2f}, prefill x {values['prefill_ratio']:.2f}; "
        f"plain {values['plain_ms']:.2f} ms; off by {values['off']:.0e}, "
        f"floor {values['floor']:.0e}"
    )


def layer_sweep(model: Model, tokens: int, position: str) -> Sweep:
    """Every layer's residual stream, attention and MLP."""
    sites = tuple(
        Site(kind, layer, position=position)
        for layer in range(model.shape.layers)
        for kind in KINDS
    )
    name = "layers x 3, last position" if position == "last" else "layers x 3, all positions"
    return Sweep(name, tokens, sites, tokens // 2)


def head_sweep(model: Model, tokens: int) -> Sweep:
    """Every head at all positions."""
    layers, heads = range(model.shape.layers), range(model.shape.heads)
    sites = tuple(unit("head", layer, head) for layer in layers for head in heads)
    return Sweep("heads, all positions", tokens, sites, tokens // 2)


def small_model(folder: Path) -> dict[str, float]:
    """The sweeps that have targets; a key is its worst ratio over the lengths."""
    model = random_llama(folder, **SMALL)
    values: dict[str, float] = {}
    for tokens in (32, 128):
        for position, key in (("last", "last_position"), ("all", "all_positions")):
            found = measure(model, layer_sweep(model, tokens, position), 25)
            values |= {f"{key}_t{tokens}_{name}": each for name, each in found.items()}
    found = measure(model, head_sweep(model, 32), 15)
    values |= {f"heads_t32_{name}": each for name, each in found.items()}
    values |= peers(model)
    for key in ("last_position", "all_positions", "heads"):
        ratios = [values.get(f"{key}_t{tokens}_ratio", 0.0) for tokens in (32, 128)]
        values[f"{key}_ratio"] = max(ratios)
    return values


def large_model(folder: Path) -> dict[str, float]:
    """Forward passes per site with 100 million parameters."""
    model = random_llama(folder)
    values: dict[str, float] = {}
    for position in ("last", "all"):
        sweep = layer_sweep(model, 64, position)
        found = measure(model, sweep, 5)
        for name in ("", "naive_"):
            per_site = found[f"{name}ratio"] / len(sweep.sites)
            values[f"large_{position}_{name}forwards_per_site"] = per_site
    return values


def on_cuda() -> dict[str, float]:
    """Seconds of the large sweep on a GPU; nothing where there is none."""
    if not torch.cuda.is_available():
        print("no cuda device: the 8B shape was not timed")
        return {}
    return of_many_pairs(random_in_memory(EIGHT_BILLION, "cuda", torch.bfloat16), 32, 64)


def random_in_memory(sizes: dict[str, int], device: str, dtype: torch.dtype) -> Model:
    """A random Llama that is never on the disk."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    settings: dict[str, Any] = {**sizes, "tie_word_embeddings": False}
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(LlamaConfig(**settings), dtype=dtype)
    network.eval().requires_grad_(False)
    return Model(network, None, architecture_of("llama"), "random Llama", "random")


@torch.no_grad()
def of_many_pairs(model: Model, pairs: int, tokens: int) -> dict[str, float]:
    """Seconds for layers x 3 and all heads at the last position, over a batch of pairs."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, model.shape.vocab, (pairs, tokens), generator=generator)
    partners = ids.clone()
    partners[:, tokens // 2] = (ids[:, tokens // 2] + 1) % model.shape.vocab
    base, other = (collate(model, from_ids(each.tolist())) for each in (ids, partners))
    heads = [
        unit("head", layer, head, "last")
        for layer in range(model.shape.layers)
        for head in range(model.shape.heads)
    ]
    sites = (*layer_sweep(model, tokens, "last").sites, *heads)
    shared = [tokens // 2] * pairs

    def read() -> tuple[Kept, list[list[Edit]]]:
        values = record(model, other, sites).values
        return keep(model, base, since=tokens - 1), [[put(site, values[site])] for site in sites]

    kept, variants = read()
    replay(kept, variants[:8], reading, shared=shared)  # warm
    reading_seconds, (kept, variants) = _timed(model, read)
    seconds, found = _timed(model, partial(replay, kept, variants, reading, shared=shared))
    some = variants[:: max(1, len(variants) // 12)]
    naive_seconds, wanted = _timed(model, partial(naive, model, base, some))
    off = float((found.values[:: max(1, len(variants) // 12)] - wanted).abs().max())
    print(
        f"{pairs} pairs x {tokens} tokens, {len(sites)} sites, "
        f"{model.shape.parameters / 1e9:.1f}B parameters: {seconds:.2f} s in {found.passes} chunks "
        f"(reading before {reading_seconds:.2f} s); {len(some)} sites naively "
        f"{naive_seconds:.2f} s; off by {off:.1e}, spread of effects "
        f"{float((wanted - found.base).std()):.1e}, floor {found.floor:.1e}"
    )
    return {
        "many_seconds": seconds,
        "many_reading_seconds": reading_seconds,
        "many_sites": len(sites),
        "many_off": off,
        "many_floor": found.floor,
        "many_naive_seconds": naive_seconds * len(sites) / len(some),
    }


def _timed(model: Model, work: Callable[[], Found]) -> tuple[float, Found]:
    def wait() -> None:
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    wait()
    start = time.perf_counter()
    found = work()
    wait()
    return time.perf_counter() - start, found


def peers(model: Model) -> dict[str, float]:
    """What the same sweep at the last position takes with each peer that is there."""
    sweep = layer_sweep(model, 32, "last")
    base, other = prompts(model, sweep.tokens, sweep.shared)
    source = record(model, other, sweep.sites)
    wanted = naive(model, base, [[put(site, source.values[site])] for site in sweep.sites])[:, 0]
    values = {}
    for name in PEERS:
        if name not in there():
            print(f"{name}: not installed, not timed")
            continue
        theirs = prepared(name, model, base.ids, other.ids, partial(reading, _=()))
        off = float((theirs() - wanted).abs().max())
        assert off <= 10 * AGREEMENT, f"{name} gives other answers: {off:.1e} away"
        times = race({"plain": partial(plain, model, base), name: theirs}, rounds=7)
        values[f"{name}_last_position_ratio"] = times[name].ratio(times["plain"])
        print(f"{name}: x {times[name].ratio(times['plain']):.1f}, off by {off:.0e}")
    return values


def main() -> None:
    """Run and print."""
    one_thread()
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        values = small_model(Path(small)) | large_model(Path(large)) | on_cuda()
    for key, target in TARGETS.items():
        print(f"{key}: {values[key]:.2f} (target {target})")
    rounded = {name: float(f"{value:.4g}") for name, value in values.items()}
    report("sweep", **rounded, peers=there(), targets=TARGETS)


if __name__ == "__main__":
    main()
