"""Prompts with the replies that a model is to be scored on: read, rendered, tokenised.

A set is a table with the columns `prompt` and `reply` (`id` if there is one): replies that
`methods.behaviour` generated, or a file. Prompt and reply are tokenised apart and joined, so that
the same reply has the same tokens after every prompt; the loss is over reply tokens only.

Source: Wei et al. (2024), arXiv:2402.05162, section 3; their files have the columns `prompt`
(rendered, with [INST]) and `response`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interlock.contrast import Example
from interlock.datasets.reading import Sheet, read_sheet
from interlock.datasets.records import listed, shown
from interlock.encoding import Batch, Encoded, collate, encode
from interlock.errors import ContrastError, ModelError
from interlock.files import digest_value
from interlock.model import Model
from interlock.tables import Table

Template = Literal["auto", "chat", "none"]
PROMPTS = ("prompt", "instruction", "question", "goal")
REPLIES = ("response", "reply", "completion", "output", "answer")
_RENDERED = ("[INST]", "<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|user|>")


@dataclass(frozen=True)
class Demonstration:
    """One prompt and its reply as token ids.

    Attributes:
        row: prompt and whole reply.
        start: index in `row.ids` of the first reply token that counts.
        cluster: the same for demonstrations of one prompt, which are not independent.
    """

    row: Encoded
    start: int
    cluster: str

    @property
    def targets(self) -> tuple[int, ...]:
        """The reply tokens that count."""
        return self.row.ids[self.start :]


@dataclass(frozen=True, eq=False)
class ReplyBatch:
    """Left-padded demonstrations without their last token, whose logits predict nothing.

    Attributes:
        inputs: what the model reads.
        targets: the reply token after each of the last inputs, right-aligned; 0 where none counts.
        counts: which of the targets count.
    """

    inputs: Batch
    targets: Int[Tensor, "example reply"]
    counts: Bool[Tensor, "example reply"]


@dataclass(frozen=True)
class Demonstrations:
    """A set ready for a model, divided into two halves that share no prompt.

    Attributes:
        halves: the demonstrations; the second half is empty when nothing was to be halved.
        template: how prompts were rendered, in words.
        digest: sha256 of the token ids.
        notes: what was left out, a line each.
    """

    halves: tuple[tuple[Demonstration, ...], ...]
    template: str
    digest: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.halves))


def read_replies(path: Path, *, prompt: str = "", reply: str = "") -> Table:
    """A file of prompts and replies (CSV, TSV, JSON, JSONL, Parquet) as a table.

    Args:
        path: the file.
        prompt: its column of prompts; found by the usual names if not given.
        reply: its column of replies, likewise.

    Raises:
        ContrastError: the file cannot be read, or has no such columns.
    """
    sheet = read_sheet(path)
    names = [
        _column(sheet, prompt, PROMPTS, "prompts", "prompt"),
        _column(sheet, reply, REPLIES, "replies", "response"),
    ]
    texts = {
        role: _texts(sheet, name) for role, name in zip(("prompt", "reply"), names, strict=True)
    }
    ids = [f"row {number}" for number in range(1, len(sheet) + 1)]
    about = {"set": sheet.name, "sha256": sheet.digest}
    return Table({"id": ids, **texts}, about=about)


def demonstrations(
    model: Model,
    replies: Table,
    *,
    examples: int = 128,
    seed: int = 0,
    template: Template = "auto",
    skip: int = 0,
    first: int = 0,
    halves: bool = True,
) -> Demonstrations:
    """Draw, render and tokenise a set, and divide it into halves that share no prompt.

    Args:
        model: whose template and tokenizer are used.
        replies: a table with `prompt` and `reply`.
        examples: how many are drawn at random, at most; 0 takes all.
        seed: of the draw.
        template: `chat` renders each prompt as a user turn; `none` takes prompts as they are, for
            files that hold rendered ones; `auto` does so if each of them holds a template's mark.
        skip: tokens at the start of each reply that do not count.
        first: tokens after those that count, at most; 0 counts all.
        halves: whether the set is divided.

    Raises:
        ContrastError: a column is missing, or nothing is left to use.
        ModelError: the model has no tokenizer.
    """
    for name in ("prompt", "reply"):
        if name not in replies.columns:
            raise ContrastError(
                f"A set to score on needs the columns prompt and reply; {name} is missing. Its "
                f"columns: {listed(list(replies.columns))}."
            )
    if min(skip, first, examples) < 0:
        raise ContrastError(
            f"skip={skip}, first={first}, examples={examples}: none can be negative."
        )
    rendered = template == "none" or (template == "auto" and _all_rendered(replies))
    every = _encoded(model, replies, rendered=rendered, skip=skip, first=first)
    usable, notes = _usable(model, every)
    drawn = _drawn(usable, examples, seed)
    if halves and len({each.cluster for each in drawn}) < 2:
        raise ContrastError(
            f"{len(drawn)} usable replies to one prompt cannot be halved; two prompts are needed, "
            "or halves=false."
        )
    parts = _halved(drawn) if halves else (drawn,)
    digest = digest_value([[each.row.ids, each.start] for part in parts for each in part])
    words = "prompts as they stand" if rendered else "one user turn by the chat template"
    return Demonstrations(parts, words, digest, notes)


def reply_batch(model: Model, part: Sequence[Demonstration]) -> ReplyBatch:
    """Left-pad demonstrations, without their last tokens, into one batch on the model's device."""
    inputs = collate(model, [Encoded(each.row.id, each.row.ids[:-1]) for each in part])
    longest = max(len(each.targets) for each in part)
    pads = [longest - len(each.targets) for each in part]
    targets = [[0] * pad + list(each.targets) for pad, each in zip(pads, part, strict=True)]
    column = torch.arange(longest)[None]
    counts = column >= torch.tensor(pads)[:, None]
    device = model.device
    return ReplyBatch(inputs, torch.tensor(targets).to(device), counts.to(device))


def _column(sheet: Sheet, given: str, usual: Sequence[str], what: str, example: str) -> str:
    if given:
        if given in sheet.columns:
            return given
        raise ContrastError(
            f"{sheet.name} has no column {shown(given)}. Its columns: "
            f"{listed(list(sheet.columns))}."
        )
    folded = {name.casefold(): name for name in reversed(list(sheet.columns))}
    for name in usual:
        if name in folded:
            return folded[name]
    raise ContrastError(
        f"{sheet.name} has no column of {what} ({', '.join(usual)}; name yours, such as "
        f"--column {example}=...). Its columns: {listed(list(sheet.columns))}."
    )


def _texts(sheet: Sheet, name: str) -> list[str]:
    texts = []
    for row, cell in enumerate(sheet.columns[name], 1):
        if not isinstance(cell, str) or not cell.strip():
            raise ContrastError(f"{sheet.name}, row {row:,}: {shown(name)} holds no text.")
        texts.append(cell)
    return texts


def _all_rendered(replies: Table) -> bool:
    return all(any(mark in str(each) for mark in _RENDERED) for each in replies.columns["prompt"])


def _encoded(
    model: Model, replies: Table, *, rendered: bool, skip: int, first: int
) -> list[Demonstration]:
    prompts = [str(each) for each in replies.columns["prompt"]]
    texts = [str(each) for each in replies.columns["reply"]]
    ids = [str(each) for each in replies.columns.get("id", range(1, len(prompts) + 1))]
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise ModelError(f"{model.name} has no tokenizer, so no prompt can be put to it.")
    if rendered:
        starts = [tuple(tokenizer.encode(prompt)) for prompt in prompts]
    else:
        unique = dict.fromkeys(prompts)
        asked = [Example(str(n), text, "", "neutral", text) for n, text in enumerate(unique)]
        found = dict(zip(unique, encode(model, asked), strict=True))
        starts = [found[prompt].ids for prompt in prompts]
    last = skip + first if first else None
    replied = [tuple(tokenizer.encode(text, add_special_tokens=False))[:last] for text in texts]
    return [
        Demonstration(Encoded(name, start + reply), len(start) + skip, prompt)
        for name, start, reply, prompt in zip(ids, starts, replied, prompts, strict=True)
    ]


def _usable(
    model: Model, every: Sequence[Demonstration]
) -> tuple[tuple[Demonstration, ...], tuple[str, ...]]:
    """Those with a token that counts and that fit the model's context; what was left out."""
    limit = getattr(model.network.config, "max_position_embeddings", None) or 10**9
    told = [each for each in every if each.targets]
    fitting = tuple(each for each in told if len(each.row.ids) <= limit)
    notes = []
    if len(told) < len(every):
        notes.append(f"{len(every) - len(told)} of {len(every)} replies have no token that counts.")
    if len(fitting) < len(told):
        notes.append(
            f"{len(told) - len(fitting)} of {len(told)} are longer than the {limit} tokens that "
            f"{model.name} reads."
        )
    if not fitting:
        raise ContrastError("No reply can be scored. " + (" ".join(notes) or "The set is empty."))
    return fitting, tuple(notes)


def _drawn(
    usable: tuple[Demonstration, ...], examples: int, seed: int
) -> tuple[Demonstration, ...]:
    if not examples or examples >= len(usable):
        return usable
    picked = np.random.default_rng(seed).permutation(len(usable))[:examples]
    return tuple(usable[place] for place in sorted(picked.tolist()))


def _halved(drawn: Sequence[Demonstration]) -> tuple[tuple[Demonstration, ...], ...]:
    """Prompts go to the two halves in turn, each with all of its replies."""
    prompts = {
        prompt: place for place, prompt in enumerate(dict.fromkeys(d.cluster for d in drawn))
    }
    return tuple(
        tuple(each for each in drawn if prompts[each.cluster] % 2 == half) for half in (0, 1)
    )
