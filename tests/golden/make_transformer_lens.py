# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==5.23.0", "transformer-lens==4.3.0"]
# ///
"""Records what TransformerLens reads from, and patches into, the models beside this. By hand."""

import json
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformer_lens.model_bridge import TransformerBridge

HERE = Path(__file__).parent
TOKENIZER = HERE.parents[1] / "src" / "interlock" / "organisms" / "weights" / "base"
CLEAN = [[1, 5, 9, 13, 7, 20]]
CORRUPT = [[1, 5, 33, 13, 7, 20]]
HOOKS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn": "hook_attn_out",
    "mlp": "hook_mlp_out",
    "head": "attn.hook_z",
    "query": "attn.hook_q",
    "key": "attn.hook_k",
    "value": "attn.hook_v",
    "neuron": "mlp.hook_post",
}
LAYER = 1


def put(value, hook):
    return value


def main():
    tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZER)
    for folder in sorted(path.parent for path in HERE.glob("*/config.json")):
        network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        bridge = TransformerBridge.boot_transformers(
            str(folder), hf_model=network.eval(), device="cpu", tokenizer=tokenizer
        )
        ids, other = torch.tensor(CLEAN), torch.tensor(CORRUPT)
        logits, cache = bridge.run_with_cache(ids)
        _, source = bridge.run_with_cache(other)
        found = {"logits": logits}
        for kind, hook in HOOKS.items():
            for layer in range(3):
                name = f"blocks.{layer}.{hook}"
                if name not in cache:
                    continue
                found[f"{kind}.{layer}"] = cache[name].flatten(2)
                if layer == LAYER:
                    value = source[name]
                    patched = bridge.run_with_hooks(
                        ids, fwd_hooks=[(name, lambda old, hook, value=value: value)]
                    )
                    found[f"patched {kind}.{layer}"] = patched
        meta = {
            "versions": json.dumps(
                {name: version(name) for name in ("torch", "transformers", "transformer-lens")}
            ),
            "ids": json.dumps(CLEAN),
            "corrupt": json.dumps(CORRUPT),
        }
        save_file({k: v.detach().contiguous().clone() for k, v in found.items()},
                  folder / "transformer_lens.golden", meta)  # fmt: skip


if __name__ == "__main__":
    main()
