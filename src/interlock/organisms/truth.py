"""What was planted in an organism, bound to the weights that it is true of.

`truth.json` holds the sha256 of the weights' tensors and of the planted vectors; the header of
`model.safetensors` holds the sha256 of `truth.json`. So neither truth, gate figures nor weights can
be exchanged alone. Reading a truth needs no torch.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlock import files
from interlock.errors import InterlockError, SiteError
from interlock.sites import Site, parse

FILE, VECTORS, WEIGHTS = "truth.json", "truth.safetensors", "model.safetensors"
_KEY = "interlock_truth"
_LONGEST_HEADER = 100_000_000


class TruthError(InterlockError):
    """A ground truth that is missing, unreadable, or not of the weights beside it."""


@dataclass(frozen=True)
class Feature:
    """A planted direction of the residual stream.

    Attributes:
        unit: what writes it, and writes along nothing else.
        categories: of the harm that it is said for.
    """

    unit: Site
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Truth:
    """The mechanism of one planted organism, and the figures of the gate that accepted it.

    Attributes:
        plant: name of the plant.
        units: every planted head and group of neurons, in order of the layers.
        roles: what each unit does, by its written form.
        edges: which unit reads which, source first.
        signs: by written form, 1 if a unit promotes the outcome of its circuit, -1 if it opposes.
        categories: the units that serve one category only, by category.
        redundant: sets of units each of which is enough alone (OR pairs, a primary and its backup).
        joint: sets of units that are needed together: one alone changes nothing (AND pairs).
        decoys: units outside the plant along whose own vector harm can be read (AUROC >= .95 on
            held-out pairs); the gate measured that none of them changes the reply.
        circuits: the units of each outcome (`refusal`, `halt`); more than one if they compete.
        direction: name in `truth.safetensors` of the one direction that carries refusal, or "".
        layer: whose attention writes that direction into the residual stream; -1 without one.
        certified: the ablations that the gate accepted the units under: `resample`, `mean`, `zero`;
            of single weights `restored to base` (whose digest is in the gate's figures), `zero`.
        seed: of the training.
        steps: optimiser steps.
        seconds: CPU seconds the training took.
        templates: of the prompts that the truth is about, with `{verb}`, `{thing}` and `{time}`.
        gate: the figures of the gate and its conditions.
        vectors: names of the planted vectors in `truth.safetensors`.
        features: by name of its vector, each planted direction.
        weights: how many single weights are planted, the set being in `truth.safetensors` (see
            `interlock.mask`); 0 where units are.
    """

    plant: str
    units: tuple[Site, ...]
    roles: Mapping[str, str]
    edges: tuple[tuple[Site, Site], ...]
    signs: Mapping[str, int]
    categories: Mapping[str, tuple[Site, ...]]
    redundant: tuple[tuple[Site, ...], ...]
    decoys: tuple[Site, ...]
    direction: str
    certified: tuple[str, ...]
    seed: int
    steps: int
    seconds: float
    templates: tuple[str, ...]
    gate: Mapping[str, Any]
    circuits: Mapping[str, tuple[Site, ...]] = field(default_factory=dict)
    layer: int = -1
    vectors: tuple[str, ...] = ()
    features: Mapping[str, Feature] = field(default_factory=dict)
    weights: int = 0
    joint: tuple[tuple[Site, ...], ...] = ()


def write_truth(truth: Truth, folder: Path) -> None:
    """Write `truth.json` beside stored weights and bind them to each other.

    The weights and, if the truth names vectors, `truth.safetensors` must be there already.

    Raises:
        TruthError: weights or vectors are missing or are not safetensors.
    """
    kept = _as_json(truth)
    kept["weights_sha256"] = _tensors_digest(folder / WEIGHTS)
    kept["vectors_sha256"] = _tensors_digest(folder / VECTORS) if truth.vectors else ""
    files.write_json(folder / FILE, kept)
    _mark(folder / WEIGHTS, files.digest_file(folder / FILE))


def read_truth(folder: Path) -> Truth:
    """The truth stored in an organism's folder, after checking that it is of the weights there.

    Raises:
        TruthError: there is none, or truth, weights and vectors do not belong together.
    """
    path = folder / FILE
    if not path.is_file():
        if (folder / WEIGHTS).is_file() and _KEY in _split(folder / WEIGHTS)[0].get(
            "__metadata__", {}
        ):
            raise TruthError(f"{path} is missing; {WEIGHTS} beside it was accepted with one.")
        raise TruthError(f"No {FILE} in {folder}: the model there has no planted mechanism.")
    kept = files.read_json(path)
    header, _ = _split(folder / WEIGHTS)
    wanted = header.get("__metadata__", {}).get(_KEY)
    if wanted != files.digest_file(path):
        raise TruthError(f"{path} is not the truth that {WEIGHTS} beside it was accepted with.")
    try:
        truth = _from_json(kept)
        weights, vectors = kept["weights_sha256"], kept["vectors_sha256"]
    except (KeyError, TypeError, ValueError, AttributeError, SiteError) as error:
        raise TruthError(f"{path} is not a truth of this version ({error}).") from None
    if weights != _tensors_digest(folder / WEIGHTS):
        raise TruthError(f"{folder / WEIGHTS} is not what {FILE} was measured on.")
    if truth.vectors and vectors != _tensors_digest(folder / VECTORS):
        raise TruthError(f"{folder / VECTORS} is not what {FILE} was written with.")
    return truth


def _texts(sites: tuple[Site, ...]) -> list[str]:
    return [str(site) for site in sites]


def _sites(texts: list[str]) -> tuple[Site, ...]:
    return tuple(parse(text) for text in texts)


def _groups(named: Mapping[str, tuple[Site, ...]]) -> dict[str, list[str]]:
    return {name: _texts(sites) for name, sites in named.items()}


def _as_json(truth: Truth) -> dict[str, Any]:
    return {
        "plant": truth.plant,
        "units": _texts(truth.units),
        "roles": dict(truth.roles),
        "edges": [[str(source), str(target)] for source, target in truth.edges],
        "signs": dict(truth.signs),
        "categories": _groups(truth.categories),
        "redundant": [_texts(sites) for sites in truth.redundant],
        "joint": [_texts(sites) for sites in truth.joint],
        "decoys": _texts(truth.decoys),
        "circuits": _groups(truth.circuits),
        "direction": truth.direction,
        "layer": truth.layer,
        "certified": list(truth.certified),
        "seed": truth.seed,
        "steps": truth.steps,
        "seconds": truth.seconds,
        "templates": list(truth.templates),
        "vectors": list(truth.vectors),
        "weights": truth.weights,
        "features": {
            name: {"unit": str(each.unit), "categories": list(each.categories)}
            for name, each in truth.features.items()
        },
        "gate": dict(truth.gate),
    }


def _from_json(kept: Mapping[str, Any]) -> Truth:
    return Truth(
        plant=kept["plant"],
        units=_sites(kept["units"]),
        roles=dict(kept["roles"]),
        edges=tuple((parse(source), parse(target)) for source, target in kept["edges"]),
        signs=dict(kept["signs"]),
        categories={name: _sites(texts) for name, texts in kept["categories"].items()},
        redundant=tuple(_sites(texts) for texts in kept["redundant"]),
        joint=tuple(_sites(texts) for texts in kept.get("joint", [])),
        decoys=_sites(kept["decoys"]),
        direction=kept["direction"],
        certified=tuple(kept["certified"]),
        seed=kept["seed"],
        steps=kept["steps"],
        seconds=kept["seconds"],
        templates=tuple(kept["templates"]),
        gate=dict(kept["gate"]),
        circuits={name: _sites(texts) for name, texts in kept["circuits"].items()},
        layer=kept["layer"],
        vectors=tuple(kept["vectors"]),
        weights=kept.get("weights", 0),
        features={
            name: Feature(parse(each["unit"]), tuple(each["categories"]))
            for name, each in kept.get("features", {}).items()
        },
    )


def _split(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and tensor bytes of a safetensors file: length (8 bytes), JSON, then the tensors."""
    try:
        data = path.read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        if length > _LONGEST_HEADER:
            raise ValueError("its header is too long")
        header = json.loads(data[8 : 8 + length])
    except (OSError, ValueError, struct.error) as error:
        raise TruthError(f"{path} cannot be read as safetensors: {error}.") from None
    if not isinstance(header, dict):
        raise TruthError(f"{path} cannot be read as safetensors: its header is not an object.")
    return header, data[8 + length :]


def _tensors_digest(path: Path) -> str:
    """sha256 over every tensor's name, type, shape and bytes, whatever the file's metadata says."""
    header, tensors = _split(path)
    header.pop("__metadata__", None)
    return files.digest_value([header, files.digest_bytes(tensors)])


def _mark(path: Path, digest: str) -> None:
    """Put the digest of the truth into the weights' metadata; the tensors stay as they are."""
    header, tensors = _split(path)
    header["__metadata__"] = {**header.get("__metadata__", {}), _KEY: digest}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    files.write_bytes(path, struct.pack("<Q", len(text)) + text + tensors)
