"""Model families as data: where each kind of site lives in a decoder layer. No torch.

Everything here is checked by intervention when a model is opened (`interlock.model`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from interlock.errors import UnknownArchitectureError

Unit = Literal["", "head", "kv_head", "neuron"]


@dataclass(frozen=True)
class Tap:
    """Where a kind of site is read and written.

    Attributes:
        module: path inside the decoder layer; empty is the layer itself.
        side: the module's first input or its (first) output.
        unit: what the last axis splits into; empty is no split.
        shift: where reading and writing part: the module's input is also carried past it by a skip
            connection, so a change is written as a shift of this module's output, the last one
            added to the residual stream before. Empty when replacing the value is enough.
    """

    module: str
    side: Literal["input", "output"]
    unit: Unit = ""
    shift: str = ""


@dataclass(frozen=True)
class Architecture:
    """A family of models that share one layout.

    Attributes:
        family: the name that reports print.
        model_types: `config.model_type` values it covers.
        layers: path of the list of decoder layers in the causal LM.
        embedding: path of the token embedding.
        final_norm: path of the norm before the unembedding.
        output_projection: path in a layer of the linear map from heads to the attention output.
        taps: kind of site to its place in a layer.
    """

    family: str
    model_types: tuple[str, ...]
    layers: str
    embedding: str
    final_norm: str
    output_projection: str
    taps: Mapping[str, Tap]


_LLAMA_TAPS: Mapping[str, Tap] = {
    "resid_pre": Tap("", "input"),
    "resid_mid": Tap("post_attention_layernorm", "input", shift="self_attn"),
    "resid_post": Tap("", "output"),
    "attn": Tap("self_attn", "output"),
    "mlp": Tap("mlp", "output"),
    "head": Tap("self_attn.o_proj", "input", "head"),
    "query": Tap("self_attn.q_proj", "output", "head"),
    "key": Tap("self_attn.k_proj", "output", "kv_head"),
    "value": Tap("self_attn.v_proj", "output", "kv_head"),
    "neuron": Tap("mlp.down_proj", "input", "neuron"),
}

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        family="Llama",
        model_types=("llama", "mistral", "qwen2", "qwen3"),
        layers="model.layers",
        embedding="model.embed_tokens",
        final_norm="model.norm",
        output_projection="self_attn.o_proj",
        taps=_LLAMA_TAPS,
    ),
)


def architecture_of(model_type: str) -> Architecture:
    """The entry that covers a `config.model_type`.

    Raises:
        UnknownArchitectureError: no entry covers it.
    """
    for architecture in ARCHITECTURES:
        if model_type in architecture.model_types:
            return architecture
    known = ", ".join(name for each in ARCHITECTURES for name in each.model_types)
    raise UnknownArchitectureError(
        f"No architecture entry for model_type '{model_type}'. Known: {known}. "
        "Add an entry to ARCHITECTURES in interlock/architectures.py and run interlock doctor."
    )
