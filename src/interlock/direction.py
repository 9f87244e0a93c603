"""Direction: vectors of the residual stream with where they were read and what is neutral there.

A coordinate along a direction is not 0 where nothing is meant: removing a direction by projecting
it out can itself push a model. So a direction carries the mean coordinate of harmless and of
harmful prompts, in every residual stream and apart for each token of the template, and an affine
edit sets the coordinate to one of them. Source: Marshall et al. (2024, arXiv:2411.09003).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from interlock.errors import RunError
from interlock.files import write_bytes
from interlock.sites import Site, parse
from interlock.tables import Table, from_rows

_FORMAT = "interlock direction 1"
_ARRAYS = ("vectors", "harmless", "harmful")


@dataclass(frozen=True, eq=False)
class Direction:
    """One or several directions of the residual stream, read at one site.

    Attributes:
        vectors: as they were found, not normalised, in the stream's own unit.
        names: what each vector was found on: `all`, a category, or `not CATEGORY`.
        site: where the vectors were read, such as `resid_pre.3@-1`.
        streams: the places that together hold the whole residual stream, in the model's order.
        harmless: mean coordinate of harmless prompts along each unit vector, by stream and place;
            places are the template's opening tokens, one for the text between, its closing tokens,
            and one for the tokens of the replies.
        harmful: the same of harmful prompts.
        head: how many of the places are opening tokens.
        kind: how the vectors were made.
        about: where they come from, key to text.
    """

    vectors: Float[np.ndarray, "direction width"]
    names: tuple[str, ...]
    site: Site
    streams: tuple[Site, ...]
    harmless: Float[np.ndarray, "direction stream place"]
    harmful: Float[np.ndarray, "direction stream place"]
    head: int
    kind: str
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def layer(self) -> int:
        """The layer it was read at."""
        return self.site.layer

    @property
    def norms(self) -> Float[np.ndarray, " direction"]:
        """Length of each vector."""
        return np.linalg.norm(self.vectors, axis=1)

    @property
    def units(self) -> Float[np.ndarray, "direction width"]:
        """The vectors at length 1."""
        return self.vectors / self.norms[:, None]

    def only(self, name: str) -> "Direction":
        """The one vector of a name.

        Raises:
            KeyError: there is none.
        """
        if name not in self.names:
            raise KeyError(name)
        row = [self.names.index(name)]
        return self._with(row, (name,))

    def cosines(
        self, others: Float[np.ndarray, "other width"]
    ) -> Float[np.ndarray, "direction other"]:
        """Cosine of each vector with each of some other vectors."""
        lengths = np.linalg.norm(others, axis=1, keepdims=True)
        return self.units @ (others / lengths).T

    def spanning(self, count: int) -> "Direction":
        """The first `count` orthonormal directions of the space that the vectors span.

        Right singular vectors of the vectors as they are, so that longer ones count for more; each
        is signed so that it points the way the vectors do on average.
        """
        _, _, right = np.linalg.svd(self.vectors.astype(np.float64), full_matrices=False)
        right = right[:count]
        right = right * np.where(right @ self.vectors.mean(axis=0) < 0, -1.0, 1.0)[:, None]
        # coordinates are linear in the vector: solve each axis in the given unit vectors
        mixing = np.linalg.lstsq(self.units.T.astype(np.float64), right.T, rcond=None)[0].T
        scale = float(self.norms.mean())
        return replace(
            self,
            vectors=(right * scale).astype(np.float32),
            names=tuple(f"axis {number}" for number in range(1, len(right) + 1)),
            harmless=np.einsum("nd,dsp->nsp", mixing, self.harmless),
            harmful=np.einsum("nd,dsp->nsp", mixing, self.harmful),
            kind=f"first {len(right)} axes of {self.kind}",
        )

    def __mul__(self, factor: float) -> "Direction":
        """Vectors scaled by a number; coordinates are along unit vectors, so a sign turns them."""
        turn = float(np.sign(factor))
        return replace(
            self,
            vectors=self.vectors * np.float32(factor),
            harmless=self.harmless * turn,
            harmful=self.harmful * turn,
        )

    def __neg__(self) -> "Direction":
        """The opposite direction."""
        return self * -1.0

    def _with(self, rows: Sequence[int], names: tuple[str, ...]) -> "Direction":
        return replace(
            self,
            vectors=self.vectors[rows],
            names=names,
            harmless=self.harmless[rows],
            harmful=self.harmful[rows],
        )

    def table(self) -> Table:
        """The long form: every number by array, vector and place in it; `from_table` reads it."""
        rows = [
            {"array": array, "direction": name, "place": place, "value": float(value)}
            for array in _ARRAYS
            for name, held in zip(self.names, getattr(self, array), strict=True)
            for place, value in enumerate(held.reshape(-1))
        ]
        return from_rows(rows, units={"value": "residual stream"}, about=self._described())

    def _described(self) -> dict[str, str]:
        return {
            **self.about,
            "names": json.dumps(self.names),
            "site": str(self.site),
            "streams": " ".join(map(str, self.streams)),
            "head": str(self.head),
            "kind": self.kind,
        }


def from_table(table: Table) -> Direction:
    """The direction that `Direction.table` wrote."""
    names = json.loads(table.about["names"])
    arrays = {
        array: np.stack([table.where(array=array, direction=name)["value"] for name in names])
        for array in _ARRAYS
    }
    return _built(arrays, table.about)


def save(direction: Direction, path: Path) -> None:
    """Write a direction as safetensors, its provenance in the file's metadata.

    Raises:
        RunError: the file cannot be written.
    """
    from safetensors.numpy import save as packed

    arrays = {name: np.ascontiguousarray(getattr(direction, name)) for name in _ARRAYS}
    described = {**direction._described(), "format": _FORMAT}
    write_bytes(path, packed(arrays, metadata=described))


def read(path: Path) -> Direction:
    """The direction in a file that `save` wrote.

    Raises:
        RunError: there is no such file, or it is not a direction.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RunError(f"No file {path} to read a direction from.")
    try:
        with safe_open(path, framework="numpy") as opened:
            about = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read as safetensors: {error}.") from None
    if about.get("format") != _FORMAT or set(arrays) != set(_ARRAYS):
        raise RunError(
            f"{path} is not a direction of Interlock's: it needs the tensors "
            f"{', '.join(_ARRAYS)} and the format '{_FORMAT}' in its metadata."
        )
    return _built(arrays, {key: value for key, value in about.items() if key != "format"})


def _built(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> Direction:
    own = ("names", "site", "streams", "head", "kind")
    names = tuple(json.loads(about["names"]))
    streams = tuple(parse(text) for text in about["streams"].split(" "))
    by_stream = {
        name: arrays[name].astype(np.float64).reshape(len(names), len(streams), -1)
        for name in ("harmless", "harmful")
    }
    return Direction(
        vectors=arrays["vectors"].astype(np.float32),
        names=names,
        site=parse(about["site"]),
        streams=streams,
        head=int(about["head"]),
        kind=about["kind"],
        about={key: value for key, value in about.items() if key not in own},
        **by_stream,
    )


def steered(direction: Direction, hookpoints: Mapping[Site, str], *, add: float = 0.0) -> bytes:
    """A direction as a file for the `steered` model of lm-evaluation-harness, to measure its cost.

    That program takes a `.pt` file of hook points, and nothing else that holds vectors, so this one
    export is written by torch; it holds tensors, numbers and text only, and lm-eval reads it with
    `weights_only=True`. Its hooks act alike at every position: the level is that of replies.

    Args:
        direction: of one vector.
        hookpoints: module path, below the base model, whose output holds each stream that the file
            is to act on; a stream without an entry is left alone.
        add: 0 clamps the coordinate to the harmless mean in every stream; any other number adds
            that many times the vector where it was read.

    Raises:
        RunError: the direction has several vectors, or no hook point holds its site.
    """
    import io

    import torch

    if len(direction.names) != 1:
        raise RunError(f"lm-eval steers by one vector; this direction has {direction.names}.")
    vector = torch.from_numpy(direction.vectors[0].copy())
    if add:
        where = direction.site.at("all")
        if where not in hookpoints:
            raise RunError(f"No module's output is {where}, so lm-eval cannot add there.")
        entries = {hookpoints[where]: _entry("add", vector, add)}
    else:
        levels = dict(zip(direction.streams, direction.harmless[0, :, -1].tolist(), strict=True))
        entries = {
            path: _entry("clamp", vector / vector.norm(), levels[stream])
            for stream, path in hookpoints.items()
        }
    sink = io.BytesIO()
    torch.save(entries, sink)
    return sink.getvalue()


def _entry(action: str, vector: Any, coefficient: float) -> dict[str, Any]:  # noqa: ANN401 - tensor
    return {
        "action": action,
        "steering_coefficient": coefficient,
        "steering_vector": vector,
        "bias": None,
        "head_index": None,
    }
