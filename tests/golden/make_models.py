# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==5.23.0"]
# ///
"""Writes the tiny random models whose peer outputs are recorded beside them. Run by hand."""

from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent
SIZES = {
    "vocab_size": 64,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**SIZES),
    "gemma2": lambda: transformers.Gemma2Config(
        **SIZES, query_pre_attn_scalar=8, sliding_window=4
    ),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=64, n_embd=32, n_layer=3, n_head=4, n_positions=64, initializer_range=0.2,
        bos_token_id=1, eos_token_id=2,
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=40, max_position_embeddings=64, initializer_range=0.2,
        bos_token_id=1, eos_token_id=2,
    ),
}  # fmt: skip

if __name__ == "__main__":
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        network = transformers.AutoModelForCausalLM.from_config(config())
        network.save_pretrained(HERE / name)
