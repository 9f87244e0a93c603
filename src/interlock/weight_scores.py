"""WeightScores: one unsigned number per weight, as means over two halves of the examples.

6.5e9 weights times 128 examples cannot be kept; the two half means give the mean and, held against
each other, what any selection made from these scores would keep on other examples.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from interlock.errors import RunError
from interlock.files import write_tensors
from interlock.tables import Table, from_rows

_KIND = "interlock weight scores 1"


@dataclass(frozen=True, eq=False)
class WeightScores:
    """Scores of the weights of a model's matrices; large is important, whatever the method.

    Attributes:
        halves: by matrix, the mean over each half of the examples; one where nothing was halved.
        counts: examples in each half.
        unit: of the numbers.
        about: how they were made: method, weights, data, seed, dtype, token mask, N.
        power: which power of the scores is averaged over examples: 2 where they are norms (Wanda).
    """

    halves: Mapping[str, Float[Tensor, "half out in"]]
    counts: tuple[int, ...]
    unit: str
    about: Mapping[str, str] = field(default_factory=dict)
    power: int = 1

    def __post_init__(self) -> None:
        assert all(len(each) == len(self.counts) for each in self.halves.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The matrices scored, in order of layers and modules."""
        return tuple(self.halves)

    def mean(self, name: str) -> Float[Tensor, "out in"]:
        """One matrix's scores over all examples."""
        halves = self.halves[name]
        if len(halves) == 1:
            return halves[0]
        total = sum(self.counts)
        if self.power == 1:
            return halves[0] * (self.counts[0] / total) + halves[1] * (self.counts[1] / total)
        weights = torch.tensor(self.counts, device=halves.device) / total
        powers = halves.pow(self.power) * weights[:, None, None]
        return powers.sum(dim=0).pow(1 / self.power)

    def half(self, number: int) -> "WeightScores":
        """The scores of one half of the examples by themselves.

        Raises:
            RunError: nothing was halved.
        """
        if len(self.counts) == 1:
            raise RunError(f"These scores ({self.about.get('method', '?')}) have no halves.")
        kept = {name: each[number : number + 1] for name, each in self.halves.items()}
        return WeightScores(kept, (self.counts[number],), self.unit, self.about, self.power)

    def table(self) -> Table:
        """Mean and largest score of each matrix, and its share of all scores' sum.

        The scores themselves are too many for a table; `save` writes them.
        """
        sums = {name: float(self.mean(name).sum(dtype=torch.float64)) for name in self.names}
        total = sum(sums.values()) or 1.0
        rows = [
            {
                "layer": int(name.partition(".")[0]),
                "type": name.partition(".")[2],
                "mean": sums[name] / max(self.halves[name][0].numel(), 1),
                "largest": float(self.mean(name).max()),
                "share": sums[name] / total,
                "weights": self.halves[name][0].numel(),
            }
            for name in self.names
        ]
        units = {"mean": self.unit, "largest": self.unit, "share": "share of all scores"}
        about = {**self.about, "examples": " + ".join(map(str, self.counts))}
        return from_rows(rows, units=units, about=about)

    def layer(self, layer: int) -> "WeightScores":
        """The scores of one layer's matrices."""
        kept = {n: each for n, each in self.halves.items() if n.startswith(f"{layer}.")}
        return WeightScores(kept, self.counts, self.unit, self.about, self.power)


def save(scores: WeightScores, path: Path) -> None:
    """Write the scores with their manifest as safetensors, whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    metadata = {
        "kind": _KIND,
        "names": json.dumps(scores.names),
        "unit": scores.unit,
        "power": str(scores.power),
        "counts": json.dumps(scores.counts),
        "about": json.dumps(dict(scores.about)),
    }
    tensors = {name: each.contiguous() for name, each in scores.halves.items()}
    write_tensors(path, tensors, metadata)


def load(path: Path) -> WeightScores:
    """The scores that `save` wrote.

    Raises:
        RunError: the file is missing or holds no weight scores.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != _KIND:
                raise RunError(f"{path} holds no weight scores of this version.")
            halves = {name: file.get_tensor(name) for name in json.loads(metadata["names"])}
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read as weight scores: {error}.") from None
    counts = tuple(json.loads(metadata["counts"]))
    about = json.loads(metadata["about"])
    return WeightScores(halves, counts, metadata["unit"], about, int(metadata["power"]))
