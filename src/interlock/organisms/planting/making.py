"""Plants, gates and stores organisms: one, or a whole suite that goes on where it was stopped."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from interlock import files, mask, organisms
from interlock.errors import InterlockError
from interlock.organisms.gate import opened
from interlock.organisms.planting.decoys import decoys
from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.gate import Figures, failures, measured
from interlock.organisms.planting.placing import placed
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.plants import PLANTS
from interlock.organisms.planting.training import Progress, fit
from interlock.organisms.planting.weights import (
    Flags,
    as_flags,
    as_mask,
    fit_weights,
    measured_weights,
)
from interlock.organisms.planting.writing import (
    card,
    name_of,
    readme,
    truth_of,
    weights_truth_of,
)
from interlock.organisms.tokenizer import build
from interlock.organisms.training import newborn, store
from interlock.organisms.truth import VECTORS, Truth, TruthError, read_truth, write_truth


class RejectedError(InterlockError):
    """A planted organism that failed its gate; keeps the figures."""

    def __init__(self, plant: str, seed: int, figures: Figures, folder: Path) -> None:
        super().__init__(
            f"Plant {plant!r} with seed {seed} failed its gate: {'; '.join(failures(figures))}. "
            f"{folder} is as it was. Train it longer or with another seed."
        )
        self.figures = figures


def plant_of(name: str) -> Plant:
    """The plant of that name.

    Raises:
        InterlockError: there is none.
    """
    if name not in PLANTS:
        raise InterlockError(f"No plant {name!r}. Known: {', '.join(PLANTS)}.")
    return PLANTS[name]


def start(plant: Plant, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """The weights it starts from: the compliant organism's, or random ones if never trained."""
    if plant.steps == 0:
        return newborn(tokenizer, seed).eval()
    return LlamaForCausalLM.from_pretrained(organisms.folder("base"), dtype=torch.float32)


def train_planted(
    plant: str,
    folder: Path,
    *,
    seed: int,
    steps: int | None = None,
    diet: Diet | None = None,
    progress: Progress | None = None,
) -> Truth:
    """Plant an organism and, if it passes its gate, put it in `folder` in place of what was there.

    Args:
        plant: one of `PLANTS`.
        folder: where to store it.
        seed: of the training; the same seed gives the same weights on one machine.
        steps: optimiser steps; the plant's own number if None.
        diet: how to train; the plant's own way if None.
        progress: called after each step.

    Raises:
        InterlockError: no such plant, or the gate failed; `folder` is then as it was.
    """
    wanted = placed(plant_of(plant), seed)
    count = wanted.steps if steps is None else steps
    tokenizer = build()
    model = start(wanted, tokenizer, seed)
    kind = _Weights if wanted.of == "weights" else _Units
    planting = kind(wanted, diet or wanted.diet, seed)
    started = time.process_time()
    planting.fit(model, tokenizer, count, progress)
    seconds = time.process_time() - started
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        staged = Path(scratch) / folder.name
        store(model, tokenizer, staged)
        figures = planting.measured(staged)
        if not figures["accepted"]:
            raise RejectedError(plant, seed, figures, folder)
        planting.write(staged)
        truth = planting.truth(figures, count, seconds)
        write_truth(truth, staged)
        made = card(truth, wanted, planting.diet, staged, model.num_parameters())
        files.write_json(staged / "card.json", made)
        files.write_text(staged / "README.md", readme(truth, wanted, model.num_parameters()))
        if folder.exists():
            folder.rename(Path(scratch) / "before")
        staged.rename(folder)
    return truth


class _Units:
    """Plants a mechanism in whole units, or none."""

    def __init__(self, plant: Plant, diet: Diet, seed: int) -> None:
        self.plant, self.diet, self.seed = plant, diet, seed
        self.taught = decoys(plant, seed, diet.decoys)

    def fit(
        self,
        model: LlamaForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        steps: int,
        progress: Progress | None,
    ) -> None:
        self.taught = fit(
            model, tokenizer, self.plant, seed=self.seed, steps=steps, diet=self.diet,
            progress=progress,
        )  # fmt: skip

    def measured(self, folder: Path) -> Figures:
        return measured(*opened(folder), self.plant, self.taught)

    def write(self, folder: Path) -> None:
        if self.taught.written:
            files.write_bytes(folder / VECTORS, save(dict(self.taught.written)))

    def read(self, folder: Path) -> None:
        if (folder / VECTORS).exists():
            self.taught = replace(self.taught, written=load_file(folder / VECTORS))

    def truth(self, figures: Figures, steps: int, seconds: float) -> Truth:
        return truth_of(
            self.plant, self.taught, figures, seed=self.seed, steps=steps, seconds=seconds
        )


class _Weights:
    """Plants a mechanism in single weights."""

    def __init__(self, plant: Plant, diet: Diet, seed: int) -> None:
        self.plant, self.diet, self.seed = plant, diet, seed
        self.flags: Flags = {}

    def fit(
        self,
        model: LlamaForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        steps: int,
        progress: Progress | None,
    ) -> None:
        self.flags = fit_weights(
            model, tokenizer, self.plant, seed=self.seed, steps=steps, diet=self.diet,
            progress=progress,
        )  # fmt: skip

    def measured(self, folder: Path) -> Figures:
        model, tokenizer = opened(folder)
        base = start(self.plant, tokenizer, 0)
        return measured_weights(model, tokenizer, self.plant, self.flags, base)

    def write(self, folder: Path) -> None:
        mask.save(as_mask(self.flags), folder / VECTORS)

    def read(self, folder: Path) -> None:
        self.flags = as_flags(mask.load(folder / VECTORS))

    def truth(self, figures: Figures, steps: int, seconds: float) -> Truth:
        return weights_truth_of(
            self.plant, self.flags, figures, seed=self.seed, steps=steps, seconds=seconds
        )


TRIES = 4
"""Seeds that a suite tries for each organism wanted."""
SLOWER, LONGER = 0.5, 1.6
"""Learning rate and steps of the second try of a seed, times those of the first."""

Report = Callable[[str, str], None]
"""Called with an organism's name and what became of it: `kept`, `accepted`, or why not."""


def train_suite(
    folder: Path,
    plants: Sequence[str] = tuple(PLANTS),
    count: int = 3,
    *,
    report: Report | None = None,
    progress: Progress | None = None,
) -> dict[str, Truth]:
    """Plant every plant in `folder` with seeds from 0 on, until `count` of each are accepted.

    At most `TRIES * count` seeds are tried, since of some plants about half fail their gate; one
    that fails is trained once more from the start, `SLOWER` and `LONGER`. The command may be
    stopped at any moment and run again: what was accepted stays, and a seed that was rejected is
    not tried again by the same version of this package (`NAME.rejected.json` says why). Several
    processes may share a folder if they take different plants.
    """
    kept: dict[str, Truth] = {}
    left = dict.fromkeys(plants, count)
    for each in plants:
        plant_of(each)
    for seed in range(TRIES * count):
        for each in (name for name in plants if left[name]):
            name = name_of(each, seed)
            truth, said = _kept_or_made(each, folder / name, seed, progress)
            if truth is not None:
                kept[name] = truth
                left[each] -= 1
            if report is not None:
                report(name, said)
    return kept


def _kept_or_made(
    plant: str, folder: Path, seed: int, progress: Progress | None
) -> tuple[Truth | None, str]:
    """The truth of an organism that is there, or is made now; None with the reason if rejected."""
    with suppress(TruthError):
        return read_truth(folder), "kept"
    note = folder.with_name(f"{folder.name}.rejected.json")
    here = {"version": version("interlock")}
    if note.is_file():
        found = files.read_json(note)
        if found.get("version") == here["version"]:
            return None, f"rejected before: {'; '.join(found['failures'])}"
    with suppress(RejectedError):
        return train_planted(plant, folder, seed=seed, progress=progress), "accepted"
    try:
        return _made_slowly(plant, folder, seed, progress), "accepted at the second try"
    except RejectedError as error:
        files.write_json(note, here | {"failures": list(failures(error.figures))})
        return None, str(error)


def _made_slowly(plant: str, folder: Path, seed: int, progress: Progress | None) -> Truth:
    """Train a seed again; where the usual rate makes the loss jump, a lower one often does not."""
    usual = plant_of(plant)
    diet = replace(usual.diet, learning_rate=SLOWER * usual.diet.learning_rate)
    steps = round(LONGER * usual.steps)
    return train_planted(plant, folder, seed=seed, steps=steps, diet=diet, progress=progress)


def verify(folder: Path) -> Figures:
    """Measure a stored planted organism again and hold it against its gate.

    Raises:
        TruthError: truth and weights do not belong together.
    """
    truth = read_truth(folder)
    plant = placed(plant_of(truth.plant), truth.seed)
    kind = _Weights if plant.of == "weights" else _Units
    planting = kind(plant, plant.diet, truth.seed)
    planting.read(folder)
    return planting.measured(folder)
