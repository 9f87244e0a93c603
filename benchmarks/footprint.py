"""Peak memory of a refusal study over its weights, and the estimate for Llama-3-8B in 4 bit.

A random Llama of about 100 million parameters goes through the steps of a study, each in a process
of its own that holds nothing else: the peak of its resident set is of interpreter, libraries,
weights and work together. The original refusal study is 15 pairs; here 15 pairs go through every
step, half of them as the split that sites are found on. Target: 1.2 times the weights plus 500 MB.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import random_llama, report

PAIRS = 15
LLAMA3_8B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
SITES = "head.2.3,head.5.1,head.9.7,neuron.4.0:512,neuron.11.512:1024"


def prepared(folder: Path) -> None:
    """The model with the organism's tokenizer, and replies of the organism that does refuse."""
    import shutil

    from interlock import organisms
    from interlock.loading import load, settle
    from interlock.methods.behaviour import behaviour

    random_llama(folder)
    aligned = organisms.folder("aligned")
    for path in aligned.glob("*token*"):
        shutil.copy(path, folder / path.name)
    for path in aligned.glob("*.jinja"):
        shutil.copy(path, folder / path.name)
    model = load(settle(str(aligned), device="cpu", dtype="float32"))
    rows = list(behaviour(model, asked()["find"], tokens=8).rows())
    (folder / "replies.json").write_text(json.dumps(rows), encoding="utf-8")


def asked() -> Any:
    """15 pairs to find on and 15 to judge on, of every category."""
    from dataclasses import replace

    from interlock import datasets

    sets = datasets.load("grammar", per_category=6, passages=8, seed=0)
    found = {}
    for split, contrast in sets.splits.items():
        pairs = contrast.pairs()[:PAIRS]
        found[split] = replace(contrast, examples=tuple(one for pair in pairs for one in pair))
    return found | {"passages": sets.passages}


def steps() -> dict[str, Callable[[Any, Any, Any], object]]:
    """What a study does, by name: called with the model, the contrasts and the replies."""
    from interlock.methods import (
        ablation,
        attribution,
        bands,
        behaviour,
        conditional,
        patched_replies,
        patching,
        token_effects,
    )
    from interlock.sites import parse

    sites = tuple(parse(text) for text in SITES.split(","))

    def units(model: Any, sets: Any, replies: Any) -> Any:
        return patching.patching(
            model, sets["find"], replies, places="units", positions=("all",), groups=2
        )

    return {
        "nothing, weights loaded": lambda model, sets, replies: None,
        "replies": lambda model, sets, replies: behaviour.behaviour(
            model, sets["check"], tokens=24
        ),
        "layers at every position": lambda model, sets, replies: patching.patching(
            model, sets["check"], replies, positions=("last", "post", "slot")
        ),
        "units": units,
        "attribution of all neurons": lambda model, sets, replies: attribution.attribution(
            model, sets["check"], replies, places="neurons"
        ),
        "joint, 100 sets": lambda model, sets, replies: patching.joint(
            model, sets["check"], sites, replies
        ),
        "attribution beside units": lambda model, sets, replies: (
            conditional.conditional_attribution(model, sets["check"], sites, replies)
        ),
        "bands of layers": lambda model, sets, replies: bands.bands(model, sets["check"], replies),
        "words": lambda model, sets, replies: token_effects.token_effects(
            model, sets["check"], replies
        ),
        "replies, patched": lambda model, sets, replies: patched_replies.patched_replies(
            model, sets["check"], sites, tokens=16
        ),
        "ablation": lambda model, sets, replies: ablation.ablation(
            model, sets["check"], sets["passages"], sites, tokens=16, controls=2, sizes=(5,)
        ),
    }


def measure(folder: str, name: str) -> None:
    """One step in this process; prints a line of JSON."""
    import torch

    from interlock.loading import load, settle
    from interlock.tables import from_rows

    torch.set_num_threads(1)
    model = load(settle(folder, device="cpu", dtype="float32"))
    replies = from_rows(json.loads((Path(folder) / "replies.json").read_text(encoding="utf-8")))
    steps()[name](model, asked(), replies)
    weights = sum(each.numel() * each.element_size() for each in model.network.parameters())
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak": peak, "weights": weights}))


def estimate(folder: Path) -> float:
    """GiB that `study plan` expects for the original study: Llama-3-8B, 4 bit, 15 pairs."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA3_8B), encoding="utf-8")
    study = Path(__file__).parents[1] / "studies" / "llama3-8b.yaml"
    shown = subprocess.run(
        [sys.executable, "-m", "interlock", "study", "plan", str(study), f"model.name={folder}",
         "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(shown.stdout)["memory_bytes"] / 2**30


def main() -> None:
    """Every step in its own process; the largest peak decides."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "random"
        planned = estimate(Path(scratch) / "config")
        subprocess.run([sys.executable, __file__, "prepare", str(folder)], check=True)
        found: dict[str, dict[str, int]] = {}
        for name in steps():
            done = subprocess.run(
                [sys.executable, __file__, str(folder), name],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            found[name] = json.loads(done.stdout.splitlines()[-1])
            over = found[name]["peak"] / found[name]["weights"]
            print(f"{name}: {found[name]['peak'] / 1e6:.0f} MB, {over:.2f} x weights", flush=True)
    weights = next(iter(found.values()))["weights"]
    peak = max(each["peak"] for each in found.values())
    report(
        "footprint",
        weights_mb=round(weights / 1e6),
        peak_mb=round(peak / 1e6),
        allowed_mb=round(1.2 * weights / 1e6 + 500),
        peak_over_weights=round(peak / weights, 3),
        within=peak <= 1.2 * weights + 500e6,
        llama3_8b_nf4_gib=round(planned, 2),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["prepare"]:
        prepared(Path(sys.argv[2]))
    elif len(sys.argv) == 3:
        measure(*sys.argv[1:])
    else:
        main()
