"""Mask: which weights a set holds, bit-packed, with how they were chosen.

A set is of single weights, of neurons (whole rows or columns of a matrix) or of heads (rows of the
query, key and value projections, columns of the output projection). Sets of units are stored by row
and column, and are exactly the weights in those rows and columns.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, UInt8

from interlock.errors import InterlockError, RunError
from interlock.files import read_json, write_parts, write_tensors
from interlock.tables import Table, from_rows

Unit = Literal["weight", "neuron", "head"]
Axis = Literal["weight", "row", "column"]
_KIND = "interlock mask 1"
_PREFIX = "layer_"


@dataclass(frozen=True, eq=False)
class Packed:
    """One matrix's part of a set.

    Attributes:
        shape: rows (outputs) and columns (inputs) of the matrix.
        axis: what a bit stands for: a weight, in order of rows, or a whole row or column.
        bits: packed, eight to a byte, the first in the highest place.
    """

    shape: tuple[int, int]
    axis: Axis
    bits: UInt8[np.ndarray, " byte"]

    @property
    def length(self) -> int:
        """How many bits count."""
        rows, columns = self.shape
        return {"weight": rows * columns, "row": rows, "column": columns}[self.axis]

    def flags(self) -> Bool[np.ndarray, " bit"]:
        """A flag for each weight, row or column."""
        return np.unpackbits(self.bits, count=self.length).astype(bool)

    def weights(self) -> Bool[np.ndarray, "out in"]:
        """A flag for each weight of the matrix."""
        flags = self.flags()
        if self.axis == "weight":
            return flags.reshape(self.shape)
        return np.broadcast_to(flags[:, None] if self.axis == "row" else flags, self.shape)

    def count(self) -> int:
        """Weights in the set."""
        rows, columns = self.shape
        each = {"weight": 1, "row": columns, "column": rows}[self.axis]
        return each * int(np.bitwise_count(self.bits).sum())


def packed(flags: Bool[np.ndarray, "..."], shape: tuple[int, int], axis: Axis = "weight") -> Packed:
    """Flags of weights [out in], rows or columns, packed."""
    found = Packed(shape, axis, np.packbits(np.asarray(flags, dtype=bool)))
    assert flags.size == found.length, f"{flags.size} flags for {found.length} bits"
    return found


@dataclass(frozen=True, eq=False)
class Mask:
    """A set of weights of a model's matrices.

    Attributes:
        parts: by matrix; a matrix that is not named has no weight in the set.
        unit: what was chosen: single weights, neurons or heads.
        about: how: scores, rule, shares, granularity, seed, weights.
    """

    parts: Mapping[str, Packed]
    unit: Unit = "weight"
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The matrices named."""
        return tuple(self.parts)

    def weights(self, name: str) -> Bool[np.ndarray, "out in"]:
        """A flag for each weight of one matrix."""
        return self.parts[name].weights()

    def count(self) -> int:
        """Weights in the set."""
        return sum(part.count() for part in self.parts.values())

    def total(self) -> int:
        """Weights of all matrices named."""
        return sum(part.shape[0] * part.shape[1] for part in self.parts.values())

    def sparsity(self) -> float:
        """Share of the weights of the matrices named that are in the set."""
        return self.count() / max(self.total(), 1)

    def __and__(self, other: "Mask") -> "Mask":
        """What both hold."""
        return self._with(other, np.bitwise_and, "and")

    def __or__(self, other: "Mask") -> "Mask":
        """What either holds."""
        return self._with(other, np.bitwise_or, "or")

    def __sub__(self, other: "Mask") -> "Mask":
        """What this one holds and the other does not."""
        return self._with(other, lambda a, b: a & ~b, "without")

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same weights of the same matrices."""
        if not isinstance(other, Mask) or set(self.parts) != set(other.parts):
            return False
        return all(
            part.shape == other.parts[name].shape
            and np.array_equal(*_alike(part, other.parts[name])[:2])
            for name, part in self.parts.items()
        )

    def table(self) -> Table:
        """How many weights of each matrix are in the set; which ones, `save` writes."""
        rows = [
            {
                "layer": int(name.partition(".")[0]),
                "type": name.partition(".")[2],
                "chosen": part.count(),
                "weights": part.shape[0] * part.shape[1],
                "share": part.count() / max(part.shape[0] * part.shape[1], 1),
            }
            for name, part in self.parts.items()
        ]
        about = {**self.about, "unit": self.unit}
        return from_rows(rows, units={"share": "share of the matrix"}, about=about)

    def described(self, **about: str) -> "Mask":
        """The same set with more said of how it was made."""
        return replace(self, about={**self.about, **about})

    def _with(self, other: "Mask", join: Callable[[Any, Any], Any], word: str) -> "Mask":
        _require_alike(self, other)
        parts: dict[str, Packed] = {}
        for name in {**self.parts, **other.parts}:
            first, second = _pair(self, other, name)
            a, b, axis = _alike(first, second)
            parts[name] = Packed(first.shape, axis, join(a, b))
        about = {"set": f"({_title(self)}) {word} ({_title(other)})"}
        unit = self.unit if self.unit == other.unit else "weight"
        return Mask(parts, unit, {**other.about, **self.about, **about})


def overlap(first: Mask, second: Mask) -> Table:
    """How far two sets agree, matrix by matrix.

    Columns: weights in the first, the second and both, `jaccard` (both over either), `overlap`
    (both over the smaller set), and what `overlap` would be if one of the sets lay at random.
    A share of nothing is 0.
    """
    _require_alike(first, second)
    rows = []
    for name in {**first.parts, **second.parts}:
        a, b = _pair(first, second, name)
        both = Packed(a.shape, "weight", np.bitwise_and(_bits(a), _bits(b))).count()
        layer, _, kind = name.partition(".")
        rows.append(_counted(int(layer), kind, a.count(), b.count(), both, a.shape[0] * a.shape[1]))
    return from_rows(rows, units={"jaccard": "share", "overlap": "share", "chance": "share"})


def by(table: Table, key: Literal["layer", "type", "all"]) -> Table:
    """The rows of `overlap` summed over types, over layers, or over both."""
    groups: dict[tuple[int, str], list[dict]] = {}
    for row in table.rows():
        layer = int(row["layer"]) if key == "layer" else -1
        kind = str(row["type"]) if key == "type" else "all"
        groups.setdefault((layer, kind), []).append(row)
    rows = []
    for (layer, kind), members in groups.items():
        sums = {name: sum(int(each[name]) for each in members) for name in _COUNTS}
        rows.append(_counted(layer, kind, *(sums[name] for name in _COUNTS)))
    return from_rows(rows, units=table.units)


_COUNTS = ("first", "second", "both", "weights")


def _counted(layer: int, kind: str, first: int, second: int, both: int, weights: int) -> dict:
    smaller, larger = sorted((first, second))
    return {
        "layer": layer,
        "type": kind,
        "first": first,
        "second": second,
        "both": both,
        "weights": weights,
        "jaccard": both / max(first + second - both, 1),
        "overlap": both / max(smaller, 1),
        "chance": larger / max(weights, 1) if smaller else 0.0,
    }


def save(mask: Mask, path: Path) -> None:
    """Write a set with its provenance as safetensors, whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    import torch

    entries = {name: {"shape": part.shape, "axis": part.axis} for name, part in mask.parts.items()}
    metadata = {
        "kind": _KIND,
        "unit": mask.unit,
        "parts": json.dumps(entries),
        "about": json.dumps(dict(mask.about)),
    }
    tensors = {name: torch.from_numpy(part.bits.copy()) for name, part in mask.parts.items()}
    write_tensors(path, tensors, metadata)


def load(path: Path) -> Mask:
    """The set that `save` wrote.

    Raises:
        RunError: the file is missing or holds no set.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != _KIND:
                raise RunError(f"{path} holds no set of weights of this version.")
            parts = {
                name: Packed(tuple(each["shape"]), each["axis"], file.get_tensor(name))
                for name, each in json.loads(metadata["parts"]).items()
            }
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read as a set of weights: {error}.") from None
    if any(len(part.bits) != (part.length + 7) // 8 for part in parts.values()):
        raise RunError(f"{path} is damaged: a matrix has too few or too many bits.")
    unit: Any = metadata["unit"]
    return Mask(parts, unit, json.loads(metadata["about"]))


def write_indices(mask: Mask, path: Path) -> None:
    """Write the set as the drift studies do: `{"layer_0_self_attn.q_proj": [[row, column], ...]}`.

    Raises:
        RunError: the file cannot be written.
    """
    write_parts(path, _indices_text(mask))


def read_indices(path: Path, shapes: Mapping[str, tuple[int, int]]) -> Mask:
    """The set in a file of indices, for matrices of these shapes.

    Raises:
        RunError: the file is missing or is not JSON.
        InterlockError: a matrix that the model does not have, or an index outside of one.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise InterlockError(f"{path} holds no indices by matrix: it is not a JSON object.")
    given = {_own_name(key, path): (key, value) for key, value in found.items()}
    strange = [given[name][0] for name in given if name not in shapes]
    if strange:
        raise InterlockError(
            f"{path} names {len(strange)} matrices that the model does not have, first "
            f"'{strange[0]}'; it is of another model."
        )
    parts = {
        name: packed(_flags(given[name][1] if name in given else [], shape, path, name), shape)
        for name, shape in shapes.items()
    }
    return Mask(parts, "weight", {"set": f"indices of {path.name}"})


def require_share(name: str, share: float) -> None:
    """Refuse a share that is none.

    Raises:
        InterlockError: it is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise InterlockError(f"{name}={share:g} is no share: give 0 to 1 (5 % is 0.05).")


def _indices_text(mask: Mask) -> Iterator[bytes]:
    opening = "{"
    for name in mask.parts:
        layer, _, kind = name.partition(".")
        where = np.argwhere(mask.weights(name)).tolist()
        key = json.dumps(f"{_PREFIX}{layer}_{kind}")
        yield f"{opening}{key}: {json.dumps(where)}".encode()
        opening = ",\n"
    yield b"}\n" if mask.parts else b"{}\n"


def _own_name(key: str, path: Path) -> str:
    layer, _, kind = key.removeprefix(_PREFIX).partition("_")
    if not key.startswith(_PREFIX) or not layer.isdecimal() or not kind:
        raise InterlockError(
            f"{path}: '{key[:60]}' names no matrix; write it as layer_0_self_attn.q_proj."
        )
    return f"{int(layer)}.{kind}"


def _flags(
    where: Any,  # noqa: ANN401 - any JSON value
    shape: tuple[int, int],
    path: Path,
    name: str,
) -> Bool[np.ndarray, "out in"]:
    flags = np.zeros(shape, dtype=bool)
    if not _are_pairs(where):
        raise InterlockError(f"{path}: {name} is no list of [row, column] pairs of whole numbers.")
    index = np.array(where, dtype=np.int64).reshape(-1, 2)
    if (index < 0).any() or (index >= np.array(shape)).any():
        raise InterlockError(
            f"{path}: {name} has an index outside of its {shape[0]} rows and {shape[1]} columns; "
            "the file is of another model."
        )
    flags[index[:, 0], index[:, 1]] = True
    return flags


def _are_pairs(where: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(where, list) and all(
        isinstance(each, list) and len(each) == 2 and all(type(end) is int for end in each)
        for each in where
    )


def _require_alike(first: Mask, second: Mask) -> None:
    for name in first.parts.keys() & second.parts.keys():
        if first.parts[name].shape != second.parts[name].shape:
            raise InterlockError(
                f"Two sets of weights differ in the shape of {name}: "
                f"{first.parts[name].shape} and {second.parts[name].shape}; they are of two models."
            )


def _pair(first: Mask, second: Mask, name: str) -> tuple[Packed, Packed]:
    """Both sets' parts of a matrix; empty where one does not name it."""
    there = first.parts.get(name) or second.parts[name]
    nothing = Packed(there.shape, there.axis, np.zeros_like(there.bits))
    return first.parts.get(name, nothing), second.parts.get(name, nothing)


def _alike(first: Packed, second: Packed) -> tuple[Any, Any, Axis]:
    """The bits of two parts by the same axis: single weights unless both agree."""
    if first.axis == second.axis:
        return first.bits, second.bits, first.axis
    return _bits(first), _bits(second), "weight"


def _bits(part: Packed) -> UInt8[np.ndarray, " byte"]:
    return part.bits if part.axis == "weight" else np.packbits(part.weights())


def _title(mask: Mask) -> str:
    return mask.about.get("set", "a set")
