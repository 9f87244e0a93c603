# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==5.23.0", "nnsight==0.8.1"]
# ///
"""Records what nnsight reads from, and patches into, the models beside this. Run by hand."""

import json
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from nnsight import NNsight
from safetensors.torch import save_file

HERE = Path(__file__).parent
CLEAN = [[1, 5, 9, 13, 7, 20]]
CORRUPT = [[1, 5, 33, 13, 7, 20]]
# layers, and in a layer: MLP module, input projection of heads' outputs
PLACES = {
    "llama": ("model.layers", "mlp", "self_attn.o_proj"),
    "gemma2": ("model.layers", "post_feedforward_layernorm", "self_attn.o_proj"),
    "gpt2": ("transformer.h", "mlp", "attn.c_proj"),
    "gpt_neox": ("gpt_neox.layers", "mlp", "attention.dense"),
}


def envoy(root, path):
    for part in path.split("."):
        root = root[int(part)] if part.isdigit() else getattr(root, part)
    return root


def main():
    ids, other = torch.tensor(CLEAN), torch.tensor(CORRUPT)
    for folder in sorted(path.parent for path in HERE.glob("*/config.json")):
        network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        traced = NNsight(network.eval())
        layers, mlp_path, heads_path = PLACES[folder.name]
        layer = envoy(traced, f"{layers}.1")
        mlp, heads = envoy(layer, mlp_path), envoy(layer, heads_path)
        found = {}
        with traced.trace(other, use_cache=False):
            source_z = heads.input.save()
            source_mlp = mlp.output.save()
        with traced.trace(ids, use_cache=False):
            z = heads.input.save()
            out_mlp = mlp.output.save()
            post = layer.output.save()
            logits = traced.output.logits.save()
        found |= {"head.1": z, "mlp.1": out_mlp, "resid_post.1": post, "logits": logits}
        with traced.trace(ids, use_cache=False):
            heads.input = source_z
            patched_z = traced.output.logits.save()
        with traced.trace(ids, use_cache=False):
            mlp.output = source_mlp
            patched_mlp = traced.output.logits.save()
        found |= {"patched head.1": patched_z, "patched mlp.1": patched_mlp}
        meta = {
            "versions": json.dumps(
                {name: version(name) for name in ("torch", "transformers", "nnsight")}
            ),
            "ids": json.dumps(CLEAN),
            "corrupt": json.dumps(CORRUPT),
        }
        save_file({k: v.detach().contiguous().clone() for k, v in found.items()},
                  folder / "nnsight.golden", meta)  # fmt: skip


if __name__ == "__main__":
    main()
