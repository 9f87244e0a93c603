"""Attack success, by the name under which it was published: on which prompts, judged how.

A reply is a success by a list of refusal strings if it holds none of them (and is not too short,
where the list asks for that). Of k sampled replies to a prompt, `asr_mean@k` is the share that
succeed and `asr_any@k` whether one does: papers print either as "the" attack success rate, and they
differ widely. A degenerate reply holds no refusal string either, so its rate stands beside each.

Source: strings and both rates: Wei et al. (2024), arXiv:2402.05162, section 4.1 and appendix.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from interlock.contrast import Example, System
from interlock.encoding import Encoded, encode, encode_passages
from interlock.errors import InterlockError
from interlock.generation import Decoding
from interlock.measures import Reply, replies
from interlock.model import Model
from interlock.refusals.historical import LISTS

Judge = Literal["wei31", "gcg", "gcg7", "arditi12", "rules"]
_SLOT = "{prompt}"


@dataclass(frozen=True)
class Form:
    """What is put to the model for a prompt.

    Attributes:
        text: `chat` for a user turn of the model's own template, or the whole text put to it, in
            which `{prompt}` stands for the prompt.
        system: system prompt of the `chat` form.
        suffixes: a file with one suffix a line, put after each prompt; none if empty.
    """

    text: str = "chat"
    system: System = "template"
    suffixes: str = ""


@dataclass(frozen=True, eq=False)
class Attack:
    """How prompts are put and what counts as success.

    Attributes:
        prompts: harmful ones.
        suffixes: put after each prompt in turn; the empty one is no suffix.
        rows: prompts as tokens, by suffix.
        judge: a list of refusal strings by name, or the rules that judge everything else here.
        decoding: of the first reply; each further one has the next seed.
        samples: replies to each prompt.
        batch: prompts at once, at most.
    """

    prompts: tuple[Example, ...]
    suffixes: tuple[str, ...]
    rows: tuple[tuple[Encoded, ...], ...]
    judge: Judge
    decoding: Decoding
    samples: int
    batch: int

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of what is measured, success first."""
        named = f"asr_{self.judge}" if self.judge == "rules" else f"asr_substring_{self.judge}"
        several = (f"asr_mean@{self.samples}", f"asr_any@{self.samples}")
        return (*((named,) if self.samples == 1 else several), "degenerate")


def attack_of(
    model: Model,
    prompts: Sequence[Example],
    *,
    form: Form,
    judge: Judge,
    decoding: Decoding,
    samples: int,
    batch: int,
) -> Attack:
    """Prompts as a model reads them under an attack.

    Args:
        model: the model attacked.
        prompts: harmful ones.
        form: what is put for a prompt.
        judge: which replies are successes.
        decoding: how replies are drawn.
        samples: replies to each prompt.
        batch: prompts at once, at most.

    Raises:
        InterlockError: a form without the prompt, a file without a suffix, or several samples of
            greedy replies, which are all alike.
        ContrastError: a prompt is longer than the model reads.
    """
    if form.text != "chat" and _SLOT not in form.text:
        raise InterlockError(
            f"form is 'chat' or a text in which {_SLOT} stands for the prompt; got "
            f"'{form.text[:60]}'."
        )
    if samples > 1 and decoding.temperature == 0:
        raise InterlockError(
            f"{samples} greedy replies to a prompt are one and the same: samples=1, or a "
            "temperature above 0."
        )
    ends = read_suffixes(Path(form.suffixes).expanduser()) if form.suffixes else ("",)
    rows = tuple(_rows(model, prompts, end, form) for end in ends)
    return Attack(tuple(prompts), ends, rows, judge, decoding, samples, batch)


def read_suffixes(path: Path) -> tuple[str, ...]:
    """The suffixes in a file, one a line; blank lines are none.

    Raises:
        InterlockError: the file cannot be read, or holds none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InterlockError(f"{path} cannot be read as suffixes: {error}.") from None
    found = tuple(line for line in lines if line.strip())
    if not found:
        raise InterlockError(f"{path} holds no suffix: write one a line.")
    return found


def outcomes(model: Model, attack: Attack, suffix: int) -> dict[str, list[float]]:
    """Each measure of every prompt under one of the suffixes, the model as it is now."""
    said = [
        replies(
            model,
            attack.rows[suffix],
            decoding=replace(attack.decoding, seed=attack.decoding.seed + sample),
            size=attack.batch,
        )
        for sample in range(attack.samples)
    ]
    won = np.array([[_won(attack.judge, each) for each in sample] for sample in said], dtype=float)
    broken = np.array([[each.degenerate for each in sample] for sample in said], dtype=float)
    rates = [won[0]] if attack.samples == 1 else [won.mean(axis=0), won.max(axis=0)]
    columns = (*rates, broken.mean(axis=0))
    return {name: each.tolist() for name, each in zip(attack.measures, columns, strict=True)}


def _won(judge: Judge, reply: Reply) -> bool:
    if judge == "rules":
        return reply.outcome == "comply" and not reply.degenerate
    return LISTS[judge](reply.text) == "comply"


def _rows(model: Model, prompts: Sequence[Example], end: str, form: Form) -> tuple[Encoded, ...]:
    ended = [
        replace(each, prompt=f"{each.prompt} {end}" if end else each.prompt) for each in prompts
    ]
    if form.text == "chat":
        return encode(model, ended, form.system)
    whole = [replace(each, prompt=form.text.replace(_SLOT, each.prompt)) for each in ended]
    return encode_passages(model, whole)
