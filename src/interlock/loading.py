"""From a source to a frozen model: device, dtype, quantisation, adapter; safetensors only.

Remote code never runs. An adapter stays an adapter, so that base and tuned are one model in memory
(`without_adapter`).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from torch import nn

from interlock import adapters
from interlock.architectures import Architecture, architecture_of
from interlock.errors import MissingPackageError, ModelError
from interlock.files import digest_value
from interlock.footprint import require_room, weight_bytes
from interlock.memory import look
from interlock.model import Model
from interlock.sources import Source, find, find_adapter, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Quantization = Literal["nf4", "int8"]
_ERRORS = (OSError, ValueError, RuntimeError, KeyError, SafetensorError)

log = logging.getLogger("interlock")


@dataclass(frozen=True)
class Settled:
    """A model that was found, and how it will be opened; nothing is loaded yet.

    Attributes:
        source: the model's files.
        device: where it goes; with `spread`, where its first layers go.
        dtype: of weights, or of computation where they are quantised.
        spread: whether layers are spread over devices (`device="auto"`).
        quantization: nf4 or int8 through bitsandbytes, or none.
        adapter: a PEFT adapter put on the model, or none.
    """

    source: Source
    device: torch.device
    dtype: torch.dtype
    spread: bool = False
    quantization: Quantization | None = None
    adapter: Source | None = None

    @property
    def revision(self) -> str:
        """What decides the weights: the model's revision, with quantisation and adapter if any."""
        if self.adapter is None and self.quantization is None:
            return self.source.revision
        adapter = "" if self.adapter is None else self.adapter.revision
        return digest_value([self.source.revision, self.quantization or "", adapter])

    @property
    def weight_bytes(self) -> int:
        """What the weights, the adapter's among them, will take in memory.

        Raises:
            ModelError: a weight file cannot be read.
        """
        extra = 0 if self.adapter is None else weight_bytes(self.adapter, self.dtype, None)
        return weight_bytes(self.source, self.dtype, self.quantization) + extra


def settle(
    name: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    adapter: str | None = None,
    quantization: Quantization | None = None,
) -> Settled:
    """Find a model and decide how to open it, without loading weights.

    Args:
        name: a folder, a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`, or `organism:NAME`.
        device: cuda, mps, cpu, or auto to spread layers over what there is; the best one when None.
        dtype: float32, bfloat16 or float16; None takes float32 on cpu and mps if it fits in half of
            the machine's memory, and bfloat16 elsewhere.
        revision: a branch, tag or commit of a hub model.
        adapter: folder or hub id of a PEFT adapter for this model.
        quantization: nf4 or int8; computation is in bfloat16 unless `dtype` says otherwise.

    Raises:
        ModelError: the model or adapter cannot be found or is not safetensors, or the device cannot
            be used, or not with quantisation.
        MissingPackageError: quantisation is asked for and bitsandbytes is not installed.
    """
    source = find(name, revision)
    put_on = None if adapter is None else find_adapter(adapter)
    return settle_found(source, put_on, device=device, dtype=dtype, quantization=quantization)


def settle_found(
    source: Source,
    adapter: Source | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    quantization: Quantization | None = None,
) -> Settled:
    """Decide how to open a model whose files were found; arguments and errors as `settle`."""
    spread = device == "auto"
    place = place_of(None if spread else device)
    if quantization is not None:
        _require_quantization(place)
        dtype = dtype or "bfloat16"
    return Settled(
        source,
        place,
        _dtype(dtype, place, source),
        spread,
        quantization,
        adapter,
    )


def load(settled: Settled) -> Model:
    """Load a model, without the self-check that `interlock.opening` adds.

    Raises:
        ModelError: its config, weights, tokenizer or adapter cannot be read, do not fit each
            other, or do not fit in memory.
        UnknownArchitectureError: its family has no entry.
    """
    source = settled.source
    architecture = architecture_of(read_config(source).model_type)
    if not settled.spread:  # spread layers may lie on the disk
        require_room(source, settled.weight_bytes, settled.device)
    network = _network(settled, architecture)
    tokenizer = _tokenizer(source)
    if settled.adapter is not None:
        own = _tokenizer(settled.adapter)
        tokens = 0 if own is None or _tokens(own) <= _tokens(tokenizer) else _tokens(own)
        adapters.put_on(network, settled.adapter, source, tokens)
        tokenizer = _chosen(tokenizer, own, settled)
    network.eval().requires_grad_(False)
    return Model(
        network,
        tokenizer,
        architecture,
        source.name,
        settled.revision,
        settled.quantization or "",
    )


@contextmanager
def without_adapter(model: Model) -> Iterator[None]:
    """The base model of one that was opened with an adapter; the adapter is back on leaving.

    Raises:
        ModelError: the model has no adapter.
    """
    if not getattr(model.network, "_hf_peft_config_loaded", False):
        raise ModelError(f"{model.name} was opened without an adapter.")
    model.network.disable_adapters()
    try:
        yield
    finally:
        model.network.enable_adapters()


def read_config(source: Source) -> "PreTrainedConfig":
    """The model's config.

    Raises:
        ModelError: it is missing or cannot be read.
    """
    from transformers import AutoConfig

    if not (source.folder / "config.json").is_file():
        raise ModelError(f"{source.name} has no config.json; it is not a Hugging Face model.")
    try:
        return AutoConfig.from_pretrained(
            source.folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The config of {source.name} cannot be read: {first_line(error)}"
        ) from None


def place_of(device: str | None) -> torch.device:
    """The device of a name that is not `auto`; the best one there is when None.

    Raises:
        ModelError: there is no such device, or it cannot be used.
    """
    if device is None:
        best = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else best)
    if device.partition(":")[0] not in ("cuda", "mps", "cpu"):
        raise ModelError(f"No device '{device}'. Known: cuda, mps, cpu, auto.")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"Device '{device}' cannot be used: {first_line(error)}") from None
    return place


def _require_quantization(device: torch.device) -> None:
    if find_spec("bitsandbytes") is None:
        raise MissingPackageError(
            "Quantisation needs bitsandbytes: pip install 'interlock[bitsandbytes]'."
        )
    if device.type == "mps":
        raise ModelError("Quantised weights do not run on mps; use model.device=cpu or a CUDA GPU.")


def _dtype(dtype: str | None, device: torch.device, source: Source) -> torch.dtype:
    if dtype is not None:
        known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        if dtype not in known:
            raise ModelError(f"No dtype '{dtype}'. Known: {', '.join(known)}.")
        return known[dtype]
    return default_dtype(device, weight_bytes(source, torch.float32, None))


def default_dtype(device: torch.device, size: int) -> torch.dtype:
    """What a model is opened in where nothing is said, by the bytes of its float32 weights."""
    if device.type == "cuda":
        return torch.bfloat16
    # the machine's memory decides, not what is free at the moment: the same command must choose
    # the same
    total = look(torch.device("cpu")).total
    return torch.float32 if size < total / 2 else torch.bfloat16


def _network(settled: Settled, architecture: Architecture) -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM

    source = settled.source
    options: dict[str, Any] = {}
    if settled.quantization is not None:
        options["quantization_config"] = _packing(settled)
        options["device_map"] = {"": settled.device}
    if settled.spread:
        options["device_map"] = "auto"
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            source.folder,
            dtype=settled.dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    except _ERRORS as error:
        raise ModelError(f"The weights of {source.name} do not load: {first_line(error)}") from None
    network, loaded = opened
    missing = sorted(loaded["missing_keys"])
    if missing:  # transformers fills them with random numbers
        raise ModelError(
            f"The weights of {source.name} lack {len(missing)} tensors, first {missing[0]}; they "
            "do not fit its config.json."
        )
    _require_used(sorted(loaded["unexpected_keys"]), architecture, source)
    if not options:
        nn.Module.to(network, settled.device)
    return network


def _packing(settled: Settled) -> Any:  # noqa: ANN401 - transformers' config class
    from transformers import BitsAndBytesConfig

    if settled.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=settled.dtype
    )


def _require_used(unused: list[str], architecture: Architecture, source: Source) -> None:
    """Refuse weights of decoder layers that the config has no place for; say what else is unused.

    transformers drops them without a word; a model that lacks biases or layers is another model.
    """
    path = architecture.layers.rpartition(".")[2] + "."
    lost = [name for name in unused if path in name and not name.endswith(".inv_freq")]
    if lost:
        raise ModelError(
            f"The weights of {source.name} hold {len(lost)} tensors of its layers that its "
            f"config.json has no place for, first {lost[0]}; the two do not belong together."
        )
    if unused:
        log.warning("%s: %d tensors are not used, first %s.", source.name, len(unused), unused[0])


def _tokenizer(source: Source) -> "PreTrainedTokenizerBase | None":
    from transformers import AutoTokenizer

    if not any((source.folder / name).is_file() for name in adapters.TOKENIZER):
        return None
    try:
        return AutoTokenizer.from_pretrained(
            source.folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The tokenizer of {source.name} does not load: {first_line(error)}"
        ) from None


def _tokens(tokenizer: "PreTrainedTokenizerBase | None") -> int:
    """How many rows of an embedding a tokenizer may ask for."""
    return 0 if tokenizer is None else 1 + max(tokenizer.get_vocab().values(), default=-1)


def _chosen(
    base: "PreTrainedTokenizerBase | None",
    own: "PreTrainedTokenizerBase | None",
    settled: Settled,
) -> "PreTrainedTokenizerBase | None":
    """The adapter's own tokenizer where it has one that differs from its base's; that is said."""
    assert settled.adapter is not None
    if own is None:
        return base
    if base is None:
        differs = "tokenizer, which its base lacks"
    elif own.get_vocab() != base.get_vocab():
        differs = "tokenizer, whose tokens differ from its base's"
    elif own.chat_template != base.chat_template:
        differs = "chat template, which differs from its base's"
    else:
        return base
    log.warning("Adapter %s is used with its own %s.", settled.adapter.name, differs)
    return own
