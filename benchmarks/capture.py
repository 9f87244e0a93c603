"""Reading every site at every layer, beside the bare forward pass of Hugging Face.

The target is a ratio of at most 1.05 at 100 million parameters. Hugging Face's own
`output_hidden_states`, which reads one site a layer, is timed beside it.

Two figures: with the C library's allocator as it comes, which gives the tensors' memory back to the
system after each pass and pays for it again page by page, and (`kept`) with an allocator told to
keep it, which leaves what the reading itself costs. A bare pass frees as it goes and pays neither.
"""

import ctypes
import sys
import tempfile
from pathlib import Path

import torch

from harness import figures, one_thread, race, random_llama, report
from interlock.activations import record
from interlock.encoding import collate, from_ids
from interlock.model import Model
from interlock.sites import Site

KINDS = ("resid_pre", "resid_mid", "resid_post", "attn", "mlp", "head", "neuron")
SHAPES = ((1, 64), (4, 64))


def compare(model: Model, rows: int, tokens: int) -> dict[str, float]:
    """Figures at one size of batch."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.shape.vocab, (rows, tokens), generator=generator)
    batch = collate(model, from_ids(ids.tolist()))
    sites = [Site(kind, layer) for layer in range(model.shape.layers) for kind in KINDS]
    plain = {
        "input_ids": batch.ids,
        "attention_mask": batch.mask.long(),
        "position_ids": batch.position_ids,
        "use_cache": False,
        "logits_to_keep": 1,
    }

    @torch.no_grad()
    def bare() -> torch.Tensor:
        return model.network(**plain).logits

    @torch.no_grad()
    def hidden_states() -> object:
        return model.network(**plain, output_hidden_states=True).hidden_states

    def ours() -> object:
        return record(model, batch, sites)

    found = record(model, batch, sites)
    assert len(found.values) == len(sites)
    torch.testing.assert_close(found.logits, bare()[:, -1])
    contenders = {"bare": bare, "hidden_states": hidden_states, "record": ours}
    values = figures(race(contenders, rounds=15), "bare")
    return {f"b{rows}_{name}": value for name, value in values.items()}


def keep_memory() -> bool:
    """Tell glibc's allocator to keep freed memory; whether there is such an allocator."""
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    trim_threshold, mmap_threshold, most = -1, -3, 2**30
    return bool(library.mallopt(trim_threshold, most) and library.mallopt(mmap_threshold, most))


def at_every_shape(model: Model, title: str) -> dict[str, float]:
    """Figures at both sizes of batch, printed under a title."""
    values: dict[str, float] = {}
    for rows, tokens in SHAPES:
        values |= compare(model, rows, tokens)
        print(f"{rows} x {tokens} tokens, {model.shape.parameters / 1e6:.0f}M parameters, {title}:")
        for name in ("bare", "hidden_states", "record"):
            ratio = values.get(f"b{rows}_{name}_ratio", 1.0)
            print(f"  {name:14} {values[f'b{rows}_{name}_ms']:9.1f} ms   x {ratio:.3f}")
    worst = max(values[f"b{rows}_record_ratio"] for rows, _ in SHAPES)
    return values | {"record_ratio": worst}


def main() -> None:
    """Run and print."""
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        model = random_llama(Path(folder))
        values = at_every_shape(model, "allocator as it comes")
        if keep_memory():
            kept = at_every_shape(model, "allocator keeps memory")
            values |= {f"kept_{name}": value for name, value in kept.items()}
        sites = len(KINDS) * model.shape.layers
        size = model.shape.parameters
        report("capture", parameters=size, sites=sites, target=1.05, **values)


if __name__ == "__main__":
    main()
