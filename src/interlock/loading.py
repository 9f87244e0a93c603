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

import psutil
import torch
from safetensors import SafetensorError
from torch import nn

from interlock.architectures import architecture_of
from interlock.errors import MissingPackageError, ModelError
from interlock.files import digest_value, read_json
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
    spread = device == "auto"
    place = _device(None if spread else device)
    if quantization is not None:
        _require_quantization(place)
        dtype = dtype or "bfloat16"
    return Settled(
        source,
        place,
        _dtype(dtype, place, source),
        spread,
        quantization,
        None if adapter is None else find_adapter(adapter),
    )


def load(settled: Settled) -> Model:
    """Load a model, without the self-check that `interlock.opening` adds.

    Raises:
        ModelError: its config, weights, tokenizer or adapter cannot be read, or do not fit.
        UnknownArchitectureError: its family has no entry.
    """
    source = settled.source
    architecture = architecture_of(read_config(source).model_type)
    network = _network(settled)
    if settled.adapter is not None:
        _put_on(network, settled.adapter, source)
    network.eval().requires_grad_(False)
    return Model(
        network,
        _tokenizer(source),
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


def _device(device: str | None) -> torch.device:
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
    if device.type == "cuda":
        return torch.bfloat16
    # files are usually 2 bytes a parameter; float32 doubles them. The machine's memory decides, not
    # what is free at the moment: the same command must choose the same
    size = 2 * sum(path.stat().st_size for path in source.folder.glob("*.safetensors"))
    return torch.float32 if size < psutil.virtual_memory().total / 2 else torch.bfloat16


def _network(settled: Settled) -> "PreTrainedModel":
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


def _put_on(network: "PreTrainedModel", adapter: Source, base: Source) -> None:
    """Put an adapter on its base, after checking as far as its config tells that it is its base."""
    config = read_json(adapter.folder / "adapter_config.json")
    made_for = str(config.get("base_model_name_or_path") or "")
    if made_for and made_for.rstrip("/").split("/")[-1] != base.name.rstrip("/").split("/")[-1]:
        log.warning("Adapter %s was made for %s, not for %s.", adapter.name, made_for, base.name)
    try:
        loaded = network.load_adapter(str(adapter.folder), use_safetensors=True)
    except _ERRORS as error:
        raise ModelError(
            f"Adapter {adapter.name} does not fit {base.name}: {first_line(error)}"
        ) from None
    unused = sorted(getattr(loaded, "unexpected_keys", None) or ())
    missing = sorted(getattr(loaded, "missing_keys", None) or ())
    if unused or missing:
        raise ModelError(
            f"Adapter {adapter.name} does not fit {base.name}: {len(missing)} of its weights are "
            f"absent and {len(unused)} find no place, first {(missing + unused)[0]}."
        )


def _tokenizer(source: Source) -> "PreTrainedTokenizerBase | None":
    from transformers import AutoTokenizer

    names = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")
    if not any((source.folder / name).is_file() for name in names):
        return None
    try:
        return AutoTokenizer.from_pretrained(
            source.folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The tokenizer of {source.name} does not load: {first_line(error)}"
        ) from None
