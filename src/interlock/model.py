"""A language model opened for study: found, checked for safety, loaded frozen, measured.

`load` takes a local folder, a hub id, or `organism:NAME` (a folder of package data). Weights are
read from safetensors only and remote code never runs.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
from safetensors import SafetensorError
from torch import nn

from interlock.architectures import Architecture, Tap, architecture_of
from interlock.errors import InterlockError, ModelError, SiteError
from interlock.files import digest_files, read_json, write_json
from interlock.sites import INDEXED, Site

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ORGANISMS = Path(__file__).parent / "organisms" / "weights"
_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_FUSED = ("query", "key", "value")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class Shape:
    """Sizes of a model, read from its modules rather than guessed from its config.

    Attributes:
        layers: decoder layers.
        width: of the residual stream.
        heads: query heads per layer.
        kv_heads: key-value heads per layer.
        head_width: of one head; not always width over heads.
        neurons: MLP neurons per layer.
        vocab: tokens.
        parameters: in all.
        kinds: of site that the family has.
        fused: how query, key and value share a projection's output, as in `Architecture`.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    neurons: int
    vocab: int
    parameters: int
    kinds: tuple[str, ...]
    fused: str

    def units(self, kind: str) -> int:
        """How many heads, key-value heads or neurons of a kind one layer has; 0 if not indexed."""
        counts = {
            "head": self.heads,
            "query": self.heads,
            "key": self.kv_heads,
            "value": self.kv_heads,
            "neuron": self.neurons,
        }
        return counts.get(kind, 0)

    def unit_width(self, kind: str) -> int:
        """Width of one unit of an indexed kind, or of the whole vector of another."""
        if kind == "neuron":
            return 1
        return self.head_width if kind in INDEXED else self.width

    def columns(self, site: Site) -> slice | list[int]:
        """The columns of a place's tensor that a site covers."""
        fused = self.fused if site.kind in _FUSED else ""
        if site.index is None and not fused:
            return slice(None)
        width = self.unit_width(site.kind)
        first, past = site.index or (0, self.units(site.kind))
        if fused == "interleaved":
            part = _FUSED.index(site.kind) * width
            heads = (3 * width * head + part for head in range(first, past))
            return [start + column for start in heads for column in range(width)]
        start = sum(self.units(kind) for kind in _FUSED[: _FUSED.index(site.kind)]) if fused else 0
        return slice((start + first) * width, (start + past) * width)


@dataclass(frozen=True)
class Source:
    """Where a model was found.

    Attributes:
        name: as the user wrote it.
        folder: its files on this disk.
        revision: hub commit, or sha256 of the files.
    """

    name: str
    folder: Path
    revision: str


@dataclass(frozen=True)
class Settled:
    """A model that was found, and how it will be opened; nothing is loaded yet."""

    source: Source
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Model:
    """A frozen network with its tokenizer, its family's entry and its exact revision.

    Attributes:
        network: the Hugging Face causal LM, in evaluation mode, gradients off.
        tokenizer: None where the folder has none; then only token ids can be put to the model.
        architecture: which module holds which site.
        name: as the user wrote it.
        revision: hub commit, or sha256 of the files.
    """

    network: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase | None"
    architecture: Architecture
    name: str
    revision: str

    @cached_property
    def layers(self) -> nn.ModuleList:
        """The decoder layers."""
        layers = self.network.get_submodule(self.architecture.layers)
        assert isinstance(layers, nn.ModuleList)
        return layers

    @cached_property
    def shape(self) -> Shape:
        """The model's sizes."""
        return shape_of(self.network, self.architecture)

    @property
    def device(self) -> torch.device:
        """Where inputs must be."""
        return self.network.device

    def tap(self, kind: str, layer: int) -> tuple[nn.Module, Tap]:
        """The module that carries a kind of site in a layer, and on which side."""
        tap = self.architecture.taps[kind]
        return self.layers[layer].get_submodule(tap.module), tap

    def check(self, site: Site) -> None:
        """Refuse a site that this model does not have.

        Raises:
            SiteError: no such layer, kind or unit.
        """
        if site.layer >= self.shape.layers:
            raise SiteError(f"{site}: {self.name} has {self.shape.layers} layers, from 0.")
        if site.kind not in self.architecture.taps:
            why = self.architecture.missing.get(site.kind, "its architecture entry lists none")
            family = self.architecture.family
            raise SiteError(f"{site}: a {family} model has no {site.kind} site; {why}.")
        if site.index is not None and site.index[1] > self.shape.units(site.kind):
            count = self.shape.units(site.kind)
            raise SiteError(f"{site}: {self.name} has {count} {site.kind} units a layer, from 0.")


def settle(
    name: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
) -> Settled:
    """Find a model and decide how to open it, without loading weights.

    Args:
        name: a folder, a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`, or `organism:NAME`.
        device: cuda, mps or cpu; the best one present when None.
        dtype: float32, bfloat16 or float16; None takes float32 on cpu and mps if it fits in half of
            the free memory, and bfloat16 elsewhere.
        revision: a branch, tag or commit of a hub model.

    Raises:
        ModelError: the model cannot be found or is not safetensors, or the device cannot be used.
    """
    source = find(name, revision)
    place = _device(device)
    return Settled(source, place, _dtype(dtype, place, source))


def load(settled: Settled) -> Model:
    """Load a model, without the self-check that `interlock.opening` adds.

    Raises:
        ModelError: its config, weights or tokenizer cannot be read.
        UnknownArchitectureError: its family has no entry.
    """
    source = settled.source
    architecture = architecture_of(read_config(source).model_type)
    network = _network(source, settled.device, settled.dtype)
    return Model(network, _tokenizer(source), architecture, source.name, source.revision)


def find(name: str, revision: str | None = None) -> Source:
    """The folder and revision of a model; a hub model is downloaded unless it is in the cache.

    Raises:
        ModelError: no such organism, folder or hub model, or its weights are not safetensors.
    """
    if not name.strip():
        raise ModelError("No model named: give a folder, a hub id (owner/name) or organism:NAME.")
    if name.startswith("organism:"):
        short = name.removeprefix("organism:")
        folder = ORGANISMS / short
        if Path(short).name != short or not (folder / "config.json").is_file():
            known = sorted(path.name for path in ORGANISMS.glob("*/") if path.is_dir())
            raise ModelError(f"No organism '{name}'. Shipped: {', '.join(known) or 'none'}.")
        return _local(name, folder)
    folder = Path(name).expanduser()
    try:
        there, is_folder = folder.exists(), folder.is_dir()
    except (OSError, ValueError) as error:
        raise ModelError(f"'{name}' cannot be a folder: {_line(error)}.") from None
    if is_folder:
        return _local(name, folder)
    if name.startswith((".", "/", "~")) or name.count("/") != 1 or there:
        raise ModelError(
            f"No model '{name}': not a folder, not a hub id (owner/name), not organism:NAME."
        )
    from interlock import hub

    return Source(name, *hub.snapshot(name, revision, _WANTED, _PICKLES))


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
        raise ModelError(f"The config of {source.name} cannot be read: {_line(error)}") from None


def shape_of(network: nn.Module, architecture: Architecture) -> Shape:
    """Sizes of a network, loaded or on the meta device."""
    layers = network.get_submodule(architecture.layers)
    first = layers.get_submodule("0")
    attention = first.get_submodule(architecture.attention)
    head_width = int(getattr(attention, "head_dim", 0) or getattr(attention, "head_size", 0))
    heads = _inputs(first.get_submodule(architecture.taps["head"].module)) // head_width
    neurons = 0
    if "neuron" in architecture.taps:
        neurons = _inputs(first.get_submodule(architecture.taps["neuron"].module))
    embedding = network.get_submodule(architecture.embedding)
    config = network.config
    return Shape(
        layers=len(list(layers.children())),
        width=int(config.hidden_size),  # type: ignore[union-attr]
        heads=heads,
        kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_width=head_width,
        neurons=neurons,
        vocab=int(embedding.num_embeddings),  # type: ignore[arg-type]
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        kinds=tuple(architecture.taps),
        fused=architecture.fused,
    )


def _inputs(projection: nn.Module) -> int:
    """Width that a linear map reads; Conv1D (GPT-2) stores its weight the other way round."""
    if hasattr(projection, "in_features"):
        return int(projection.in_features)  # type: ignore[arg-type]
    return int(projection.weight.shape[0])  # type: ignore[union-attr, index]


def cache_folder() -> Path:
    """Where Interlock keeps what can be made again: digests and passed self-checks."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "interlock"


def _local(name: str, folder: Path) -> Source:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
        if pickles:
            raise ModelError(
                f"{name} has its weights only as pickle ({pickles[0]}), which can run code when "
                "read. Convert it to safetensors first: save_pretrained writes them."
            )
        raise ModelError(f"{name} has no weights: no .safetensors file in {folder}.")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = read_json(index)
        if not isinstance(listed, dict) or not isinstance(listed.get("weight_map"), dict):
            raise ModelError(f"{index} has no weight_map; it is not an index of weights.")
        wanted = set(listed["weight_map"].values())
        missing = sorted(wanted - {path.name for path in weights})
        if missing:
            raise ModelError(f"{name} lacks {len(missing)} weight files, first {missing[0]}.")
    return Source(name, folder, _folder_digest(folder))


def _folder_digest(folder: Path) -> str:
    """sha256 over weights, config and tokenizer, remembered by path, size and time."""
    paths = sorted(path for pattern in _WANTED for path in folder.glob(pattern))
    stamp = [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in paths]
    memory = cache_folder() / "digests.json"
    key = repr(stamp)
    try:
        found = read_json(memory)
    except InterlockError:
        found = None
    known: dict[str, str] = found if isinstance(found, dict) else {}
    if key not in known:
        known = dict(list(known.items())[-200:]) | {key: digest_files(paths, folder)}
        try:
            write_json(memory, known)
        except InterlockError:
            return known[key]  # a cache that cannot be written only costs time
    return known[key]


def _device(device: str | None) -> torch.device:
    if device is None:
        best = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else best)
    if device.partition(":")[0] not in ("cuda", "mps", "cpu"):
        raise ModelError(f"No device '{device}'. Known: cuda, mps, cpu.")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"Device '{device}' cannot be used: {_line(error)}") from None
    return place


def _dtype(dtype: str | None, device: torch.device, source: Source) -> torch.dtype:
    if dtype is not None:
        known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        if dtype not in known:
            raise ModelError(f"No dtype '{dtype}'. Known: {', '.join(known)}.")
        return known[dtype]
    if device.type == "cuda":
        return torch.bfloat16
    # files are usually 2 bytes a parameter; float32 doubles them
    size = 2 * sum(path.stat().st_size for path in source.folder.glob("*.safetensors"))
    return torch.float32 if size < psutil.virtual_memory().available / 2 else torch.bfloat16


def _network(source: Source, device: torch.device, dtype: torch.dtype) -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM

    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            source.folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"The weights of {source.name} do not load: {_line(error)}") from None
    network, loaded = opened
    missing = sorted(loaded["missing_keys"])
    if missing:  # transformers fills them with random numbers
        raise ModelError(
            f"The weights of {source.name} lack {len(missing)} tensors, first {missing[0]}; they "
            "do not fit its config.json."
        )
    network.eval().requires_grad_(False)
    nn.Module.to(network, device)
    return network


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
        raise ModelError(f"The tokenizer of {source.name} does not load: {_line(error)}") from None


def _line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
