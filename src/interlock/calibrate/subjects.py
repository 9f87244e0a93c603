"""Who is examined: planted organisms, natural ones, and nulls in which there is nothing to find."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from interlock import datasets, grammar, mask, organisms
from interlock.architectures import architecture_of
from interlock.calibrate.answers import Of
from interlock.contrast import Contrast, Split
from interlock.loading import load, settle
from interlock.mask import Mask
from interlock.model import Model
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs as planted_pairs
from interlock.organisms.planting.pairs import shuffled
from interlock.organisms.tokenizer import build
from interlock.organisms.training import newborn
from interlock.organisms.truth import VECTORS, Truth, read_truth

Kind = Literal["planted", "natural", "null"]

_NATURAL = ("aligned",)
_PLAIN = "chain"  # whose prompts are put to models without a plant of their own


@dataclass(frozen=True)
class Subject:
    """One model under examination.

    Attributes:
        name: unique within a suite.
        kind: planted (the truth is known), natural (exact effects are the standard), or null.
        folder: where its weights are; None for an untrained model, which is made from its seed.
        seed: of an untrained model, or of the exchange of labels.
        shuffled: whether the labels of each pair are exchanged by a coin.
    """

    name: str
    kind: Kind
    folder: Path | None
    seed: int = 0
    shuffled: bool = False

    def truth(self) -> Truth | None:
        """What was planted; None where nothing was, or where the prompts were made to say nothing.

        Raises:
            TruthError: the truth is not of these weights.
        """
        if self.kind != "planted" or self.folder is None:
            return None
        return read_truth(self.folder)

    def vector(self) -> Float[np.ndarray, " width"]:
        """The one planted direction that all refusals go through."""
        from safetensors.numpy import load_file

        truth = self.truth()
        assert truth is not None and truth.direction and self.folder is not None
        return load_file(self.folder / VECTORS)[truth.direction]

    def weights(self) -> Mask:
        """The planted single weights."""
        assert self.folder is not None
        return mask.load(self.folder / VECTORS)

    def has(self, of: Of) -> bool:
        """Whether a method that speaks of these is to be asked here.

        Of units everywhere but where single weights are planted: then nothing is known of units.
        Nothing where weights alone tell the planted units (`Plant.hidden`).
        Of weights where anything is planted, and of a direction where one is. No null is put to
        methods of a direction: even refusals by lot go through one, and exchanged labels leave it.
        """
        truth = self.truth()
        if truth is None:
            return of == "units"
        if truth.weights:
            return of == "weights"
        if not PLANTS[truth.plant].hidden:
            return False
        return of != "direction" or bool(truth.direction)

    def open(self) -> Model:
        """The model, on the CPU in float32."""
        if self.folder is not None:
            return load(settle(str(self.folder), device="cpu", dtype="float32"))
        tokenizer = build()
        network = newborn(tokenizer, self.seed).eval().requires_grad_(False)
        revision = f"untrained {self.seed}"
        return Model(network, tokenizer, architecture_of("llama"), self.name, revision)

    def questions(self, pairs: int, seed: int) -> tuple[Contrast, Contrast]:
        """Minimal pairs for selection, half as many, and for everything that is marked."""
        find, check = self._asked("find", pairs // 2, seed), self._asked("check", pairs, seed)
        if not self.shuffled:
            return find, check
        return find, shuffled(check, self.seed)

    def _asked(self, split: Split, count: int, seed: int) -> Contrast:
        if self.kind == "natural":
            each = -(-count // len(grammar.CATEGORIES))
            found = datasets.load("grammar", per_category=each, passages=0, seed=seed)
            return found.splits[split]
        truth = None if self.folder is None else read_truth(self.folder)
        return planted_pairs(truth or PLANTS[_PLAIN], split, count, seed)


def planted(folders: list[Path]) -> list[Subject]:
    """The subjects in folders of planted organisms: nulls are those with nothing planted."""
    truths = {folder: read_truth(folder) for folder in folders}
    return [
        Subject(folder.name, "planted" if truth.units or truth.weights else "null", folder)
        for folder, truth in truths.items()
    ]


def small() -> list[Subject]:
    """The suite that ships with the package, and two nulls that need no weights."""
    shipped = planted([organisms.folder(name) for name in organisms.names() if _is_planted(name)])
    natural = [Subject(name, "natural", organisms.folder(name)) for name in _NATURAL]
    nulls = [Subject("untrained-0", "null", None)]
    # those with the longest prompts first, so that no process waits for one in the end
    return [*natural, *shipped, *nulls, *_shuffles(shipped, 1)]


def full(folder: Path, nulls: int) -> list[Subject]:
    """Every planted organism in a folder, natural ones, and many nulls.

    Args:
        folder: where `interlock organism suite` put them; the shipped ones are added.
        nulls: how many null runs at least: untrained models and exchanged labels, half each.
    """
    found = sorted(path.parent for path in folder.glob("planted-*/truth.json"))
    known = {path.name for path in found}
    shipped = [organisms.folder(n) for n in organisms.names() if _is_planted(n) and n not in known]
    subjects = planted([*shipped, *found])
    natural = [Subject(name, "natural", organisms.folder(name)) for name in _NATURAL]
    half = -(-nulls // 2)
    untrained = [Subject(f"untrained-{seed}", "null", None, seed) for seed in range(half)]
    return [*subjects, *natural, *untrained, *_shuffles(subjects, half)]


def _shuffles(subjects: list[Subject], count: int) -> list[Subject]:
    """Null runs on planted models whose pairs' labels are exchanged, one model after the other."""
    real = [subject for subject in subjects if subject.kind == "planted" and subject.has("units")]
    if not real:
        return []
    picked = [(real[number % len(real)], number) for number in range(count)]
    return [
        Subject(f"{subject.name} shuffled {number}", "null", subject.folder, number, True)
        for subject, number in picked
    ]


def _is_planted(name: str) -> bool:
    return (organisms.folder(name) / "truth.json").is_file()
