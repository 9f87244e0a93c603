"""Greedy generation with edits, without, and by Hugging Face's `generate`.

Two kinds of edit: 20 units set to their mean on prompt tokens (they cost nothing while decoding),
and a direction projected out of the residual stream at every token.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch

from harness import figures, one_thread, race, random_llama, report
from interlock import encoding, generation
from interlock.activations import record
from interlock.edits import Edit, project
from interlock.edits import put as put_value
from interlock.generation import Decoding, generate
from interlock.loading import load, settle
from interlock.model import Model
from interlock.selection import unit_sites
from interlock.sites import Site

TOKENS = 24
ROUNDS = 9


def edits_of(model: Model, batch: encoding.Batch) -> tuple[list[Edit], list[Edit]]:
    """Mean ablation of 20 units on the prompt, and one direction removed everywhere."""
    every = unit_sites(model.shape, 12)
    step = len(every) // 20
    sites = every[::step][:20]
    values = record(model, batch, sites).values
    ablation = [
        put_value(site, values[site].mean(dim=(0, 1), keepdim=True), source="mean of the batch")
        for site in sites
    ]
    direction = torch.randn(model.shape.width, generator=torch.Generator().manual_seed(0))
    removal = [project(Site("resid_post", layer), direction) for layer in range(model.shape.layers)]
    return ablation, removal


def compare(model: Model, rows: int, tokens: int) -> dict[str, float]:
    """Figures of one model; every contender writes the same number of tokens."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, model.shape.vocab, (rows, tokens), generator=generator)
    batch = encoding.collate(model, encoding.from_ids(ids.tolist()))
    ablation, removal = edits_of(model, batch)
    policy = Decoding(TOKENS)
    settings = {
        "attention_mask": batch.mask.long(),
        "do_sample": False,
        "max_new_tokens": TOKENS,
        "min_new_tokens": TOKENS,
        "pad_token_id": 0,
    }

    @torch.no_grad()
    def theirs() -> torch.Tensor:
        network: Any = model.network
        return network.generate(batch.ids, **settings)

    def ours(edits: list[Edit]) -> generation.Generated:
        return generate(model, batch, edits=edits, decoding=policy)

    contenders = {
        "plain": lambda: ours([]),
        "ablation": lambda: ours(ablation),
        "projection": lambda: ours(removal),
        "hf": theirs,
    }
    assert [list(row) for row in ours([]).tokens] == theirs()[:, tokens:].tolist()
    return figures(race(contenders, rounds=ROUNDS, warm=1), "plain")


def main() -> None:
    """Run and print."""
    one_thread()
    # every contender writes TOKENS tokens: nothing counts as an end here
    generation.stop_ids = lambda _: [-1]
    values: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "organism": (load(settle("organism:aligned", device="cpu", dtype="float32")), 32, 20),
            "llama_100m": (random_llama(Path(folder)), 4, 32),
        }
        for name, (model, rows, tokens) in models.items():
            model.network.generation_config.eos_token_id = None
            found = compare(model, rows, tokens)
            print(f"{name}, {rows} prompts of {tokens} tokens, {TOKENS} new tokens:")
            for each in ("plain", "ablation", "projection", "hf"):
                ratio = found.get(f"{each}_ratio", 1.0)
                print(f"  {each:11} {found[f'{each}_ms']:9.1f} ms   x {ratio:.3f}")
            values |= {f"{name}_{key}": value for key, value in found.items()}
    report("generation", tokens=TOKENS, **values)


if __name__ == "__main__":
    main()
