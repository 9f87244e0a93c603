"""How much memory a model's weights will take, from the headers of their files; nothing is loaded.

Weights are counted at the dtype they will be held in. Packed to nf4, the matrices of the linear
maps take half a byte and a scale of four bytes per 64 weights; to int8, a byte and a scale of four
bytes a row. Embeddings, norms and experts are not packed.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.errors import ModelError
from interlock.memory import in_words, look
from interlock.sources import Source, weight_files

if TYPE_CHECKING:
    import torch
    from torch import nn

MARGIN = 1.1  # of the weights: what loading them and one small batch take beside them
_UNPACKED = ("embed", "lm_head", "wte", "wpe", "experts", "norm")
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2}


@dataclass(frozen=True)
class Stored:
    """A tensor in a weight file: its name, its shape, and its dtype as safetensors spells it."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def stored(path: Path) -> tuple[Stored, ...]:
    """The tensors of a safetensors file, from its header.

    Raises:
        ModelError: it is not such a file.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("it ends early")
            header = json.loads(file.read(length))
        return tuple(
            Stored(name, tuple(entry["shape"]), entry["dtype"])
            for name, entry in header.items()
            if name != "__metadata__"
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(
            f"The weights do not load: {path} is not a safetensors file: {error}."
        ) from None


def weight_bytes(source: Source, dtype: "torch.dtype", quantization: str | None) -> int:
    """Bytes that a model's weights will take once loaded.

    Raises:
        ModelError: a weight file cannot be read.
    """
    files = weight_files(source.folder)
    return sum(_bytes(each, dtype.itemsize, quantization) for f in files for each in stored(f))


def network_bytes(network: "nn.Module", dtype: "torch.dtype", quantization: str | None) -> int:
    """The same for a network on the meta device, whose files are not here."""
    return sum(
        _bytes(Stored(name, tuple(weight.shape), "BF16"), dtype.itemsize, quantization)
        for name, weight in network.named_parameters()
    )


def require_room(source: Source, needed: int, device: "torch.device") -> None:
    """Refuse a model that does not fit in what is free, before it is loaded.

    Args:
        source: the model's files.
        needed: bytes of its weights.
        device: where they would go.

    Raises:
        ModelError: it does not fit; the estimate, what is free, and what to do are said.
    """
    found = look(device)
    if MARGIN * needed > found.free:
        raise ModelError(
            f"{source.name} does not fit in memory: its weights take about {in_words(needed)} as "
            f"asked, and {in_words(found.free)} of {in_words(found.total)} are free on {device}. "
            "Use model.dtype=bfloat16, model.quantization=nf4, model.device=auto (the rest goes "
            "to other devices) or a smaller model."
        )


def _bytes(tensor: Stored, size: int, quantization: str | None) -> int:
    count = math.prod(tensor.shape)
    if tensor.dtype not in _FLOATS:
        return count * _BYTES.get(tensor.dtype, 1)
    if quantization is None or len(tensor.shape) != 2 or _whole(tensor.name):
        return count * size
    if quantization == "int8":
        return count + 4 * tensor.shape[0]
    return math.ceil(count / 2) + 4 * math.ceil(count / 64)


def _whole(name: str) -> bool:
    return any(part in name for part in _UNPACKED)
