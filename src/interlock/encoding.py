"""From prompts to batches: template, one BOS, left padding, positions by name, aligned pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interlock.contrast import Contrast, Example, System
from interlock.errors import ContrastError, ModelError
from interlock.files import digest_value
from interlock.model import Model

# what opens and closes a thought in chat templates of thinking models
_THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
)
_HELPFUL = "You are a helpful assistant."
# contents that end in unlike characters: what their renderings share at the end is the template's
_PROBES = ("alpha", "Omega?", "x 7", "one, two.")


@dataclass(frozen=True)
class Encoded:
    """One prompt as token ids, rendered by the model's chat template.

    Attributes:
        id: of the example.
        ids: token ids, one BOS at most, no padding.
        head: how many ids at the start every prompt shares: BOS and the template's opening.
        tail: how many ids at the end every prompt shares: the template after the user's text.
        slot: positions of the word in which a pair differs; empty when unpaired or not aligned.
    """

    id: str
    ids: tuple[int, ...]
    head: int = 0
    tail: int = 0
    slot: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Positions:
    """Where a named position lies in each row, counted from the row's first real token.

    Attributes:
        index: right-aligned; entries that a row does not have repeat its last position.
        valid: which entries are real.
    """

    index: Int[Tensor, "example position"]
    valid: Bool[Tensor, "example position"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Left-padded prompts with explicit mask and position ids.

    Attributes:
        ids: token ids; padding on the left.
        mask: true on real tokens.
        position_ids: 0 at each row's first real token (and on padding).
        rows: the prompts, one a row.
    """

    ids: Int[Tensor, "example token"]
    mask: Bool[Tensor, "example token"]
    position_ids: Int[Tensor, "example token"]
    rows: tuple[Encoded, ...]

    def positions(self, name: str) -> Positions:
        """Where `name` (`all`, `last`, `post`, `slot`, `rest` or an offset) lies in each row.

        Raises:
            ContrastError: no row has such a position.
        """
        found = [positions_of(row, name) for row in self.rows]
        widest = max(len(each) for each in found)
        if widest == 0:
            raise ContrastError(f"No prompt of this batch has a position '@{name}'.")
        index = [[row[-1] if row else 0] * (widest - len(row)) + list(row) for row in found]
        valid = [[False] * (widest - len(row)) + [True] * len(row) for row in found]
        device = self.ids.device
        return Positions(torch.tensor(index, device=device), torch.tensor(valid, device=device))

    def places(self, head: int, tail: int) -> Int[Tensor, "example token"]:
        """The place class of every column: head tokens, one class for the middle, tail tokens."""
        tokens = self.ids.shape[1]
        from_end = tokens - 1 - torch.arange(tokens, device=self.ids.device)[None]
        closing = (head + tail - from_end).clamp(min=head)
        return torch.where(self.position_ids < head, self.position_ids, closing)


@dataclass(frozen=True)
class Pairs:
    """Encoded minimal pairs, harmful first, and what could not be aligned.

    Attributes:
        harmful: prompts that should be refused.
        harmless: their partners.
        topics: one per pair, of the harmful prompt.
        categories: one per pair.
        aligned: whether the two are equally long, so that positions correspond.
    """

    harmful: tuple[Encoded, ...]
    harmless: tuple[Encoded, ...]
    topics: tuple[str, ...]
    categories: tuple[str, ...]
    aligned: tuple[bool, ...]

    def only_aligned(self) -> "Pairs":
        """The pairs whose positions correspond; the rest have a comparable end only."""
        return self._kept([row for row, good in enumerate(self.aligned) if good])

    def with_positions(self, names: Sequence[str]) -> "Pairs":
        """The pairs both of whose prompts have every one of these positions."""
        both = zip(self.harmful, self.harmless, strict=True)
        return self._kept(
            [
                row
                for row, prompts in enumerate(both)
                if all(positions_of(prompt, name) for prompt in prompts for name in names)
            ]
        )

    def _kept(self, rows: Sequence[int]) -> "Pairs":
        return Pairs(*(tuple(part[row] for row in rows) for part in self._parts()))

    def _parts(self) -> tuple[tuple, ...]:
        return (self.harmful, self.harmless, self.topics, self.categories, self.aligned)


def encode(
    model: Model, examples: Sequence[Example], system: System = "template"
) -> tuple[Encoded, ...]:
    """Render each prompt as one user turn, ready for the model's reply.

    A model without a chat template gets the bare text; `template_name` says which it was. Where a
    template can think aloud first, thinking is switched off; where it opens a thought all the same,
    that is closed again, empty. So the reply's first token comes right after the prompt.

    Raises:
        ModelError: the model has no tokenizer.
        ContrastError: a rendered prompt is longer than the model's context, or has two BOS; or the
            template takes no system message and one was asked for.
    """
    ends = _template_ends(model, system)
    return tuple(_encoded(model, example, system, ends) for example in examples)


def encode_passages(model: Model, examples: Sequence[Example]) -> tuple[Encoded, ...]:
    """Plain text without a chat template, with BOS where the tokenizer has one.

    Raises:
        ModelError: the model has no tokenizer.
        ContrastError: a passage is longer than the model's context, or has no token to predict.
    """
    tokenizer = _tokenizer(model)
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    rows = []
    for example in examples:
        ids = start + tokenizer.encode(example.prompt, add_special_tokens=False)
        _check_length(model, example, ids)
        if len(ids) < 2:
            raise ContrastError(f"Passage {example.id} has no token to predict.")
        rows.append(Encoded(example.id, tuple(ids), head=len(start)))
    return tuple(rows)


def encode_pairs(model: Model, contrast: Contrast) -> Pairs:
    """Encode the minimal pairs and find the slot in which the two prompts of each differ.

    Raises:
        ContrastError: the contrast has no pairs.
    """
    pairs = contrast.pairs()
    if not pairs:
        raise ContrastError(f"{contrast.name}.{contrast.split} has no minimal pairs.")
    harmful = encode(model, [first for first, _ in pairs], contrast.system)
    harmless = encode(model, [second for _, second in pairs], contrast.system)
    slots = [_slot(a.ids, b.ids) for a, b in zip(harmful, harmless, strict=True)]
    return Pairs(
        tuple(replace(row, slot=slot) for row, slot in zip(harmful, slots, strict=True)),
        tuple(replace(row, slot=slot) for row, slot in zip(harmless, slots, strict=True)),
        tuple(first.topic for first, _ in pairs),
        tuple(first.category for first, _ in pairs),
        tuple(bool(slot) for slot in slots),
    )


def collate(model: Model, rows: Sequence[Encoded]) -> Batch:
    """Left-pad rows into one batch on the model's device."""
    longest = max(len(row.ids) for row in rows)
    pads = [longest - len(row.ids) for row in rows]
    fill = pad_id(model)
    ids = torch.tensor([[fill] * pad + list(row.ids) for pad, row in zip(pads, rows, strict=True)])
    column = torch.arange(longest)[None]
    offset = torch.tensor(pads)[:, None]
    mask, position_ids = column >= offset, (column - offset).clamp(min=0)
    device = model.device
    return Batch(ids.to(device), mask.to(device), position_ids.to(device), tuple(rows))


def positions_of(row: Encoded, name: str) -> tuple[int, ...]:
    """Where a named position or an offset lies in one prompt; empty where it has none."""
    length = len(row.ids)
    if name == "all":
        return tuple(range(length))
    if name == "last":
        return (length - 1,)
    if name == "post":
        return tuple(range(length - row.tail, length))
    if name == "slot":
        return row.slot
    if name == "rest":
        return tuple(range(row.slot[-1] + 1, length - row.tail)) if row.slot else ()
    offset = int(name)
    place = offset if offset >= 0 else length + offset
    return (place,) if 0 <= place < length else ()


def from_ids(rows: Sequence[Sequence[int]]) -> tuple[Encoded, ...]:
    """Prompts given as token ids, for a model without a tokenizer."""
    return tuple(Encoded(str(number), tuple(row)) for number, row in enumerate(rows))


def pad_id(model: Model) -> int:
    """The id that fills padding; masked, so any valid id will do."""
    pad = None if model.tokenizer is None else model.tokenizer.pad_token_id
    return pad if isinstance(pad, int) else 0


def template_name(model: Model, system: System = "template") -> str:
    """Which chat template and system prompt `encode` uses, in words, for a run's protocol."""
    template = _tokenizer(model).chat_template
    if not template:
        return "none: bare text (the tokenizer has no chat template)"
    prompts = {
        "template": "system prompt as the template has it by default",
        "none": "no system prompt",
        "helpful": f"system prompt {_HELPFUL!r}",
    }
    digest = digest_value(template)[:12]
    thought = "; it opens a thought, which is closed empty" if _opens_thought(model) else ""
    return f"the tokenizer's own (sha256 {digest}), one user turn, {prompts[system]}{thought}"


def has_template(model: Model) -> bool:
    """Whether the model's tokenizer has a chat template, so that prompts are put as turns."""
    return bool(_tokenizer(model).chat_template)


def _encoded(model: Model, example: Example, system: System, ends: tuple[int, int]) -> Encoded:
    ids = _render(model, example.prompt, system)
    bos = _tokenizer(model).bos_token_id
    if bos is not None and ids[:2] == [bos, bos]:
        raise ContrastError(f"{model.name} renders prompts with two BOS tokens; fix its template.")
    _check_length(model, example, ids)
    return Encoded(example.id, tuple(ids), *ends)


def _check_length(model: Model, example: Example, ids: Sequence[int]) -> None:
    if max(ids, default=0) >= model.shape.vocab:
        raise ContrastError(
            f"Prompt {example.id} has token {max(ids)}; {model.name} has {model.shape.vocab} rows."
        )
    limit = getattr(model.network.config, "max_position_embeddings", None)
    if limit is not None and len(ids) >= limit:
        raise ContrastError(
            f"Prompt {example.id} has {len(ids)} tokens; {model.name} reads {limit}."
        )


def _render(model: Model, prompt: str, system: System) -> list[int]:
    tokenizer = _tokenizer(model)
    if not tokenizer.chat_template:
        return list(tokenizer.encode(prompt))
    turns = [{"role": "user", "content": prompt}]
    if system == "template":
        return _apply(tokenizer, turns)
    words = "" if system == "none" else _HELPFUL
    try:
        return _apply(tokenizer, [{"role": "system", "content": words}, *turns])
    except Exception as error:
        # by name: jinja2 comes with transformers and is not ours to import on this floor
        if type(error).__module__.partition(".")[0] != "jinja2":
            raise
        if system == "none":  # a template that takes no system message adds none either
            return _apply(tokenizer, turns)
        raise ContrastError(
            f"The chat template of {model.name} takes no system message ({error}); "
            "use prompts.system=template."
        ) from None


def _apply(tokenizer: Any, turns: list[dict[str, str]]) -> list[int]:  # noqa: ANN401
    text = _rendered(tokenizer, turns)
    # the template writes the special tokens; the tokenizer must not add them a second time
    return list(tokenizer.encode(text + _closing(text), add_special_tokens=False))


def _rendered(tokenizer: Any, turns: list[dict[str, str]]) -> str:  # noqa: ANN401
    return str(
        tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
    )


def _closing(text: str) -> str:
    """What closes a thought that a rendered prompt leaves open, as Qwen 3 writes an empty one."""
    for opening, closing in _THOUGHTS:
        if text.rstrip().endswith(opening):
            line = "" if text.endswith("\n") else "\n"
            return f"{line}\n{closing}\n\n"
    return ""


def _opens_thought(model: Model) -> bool:
    turns = [{"role": "user", "content": _PROBES[0]}]
    return bool(_closing(_rendered(_tokenizer(model), turns)))


@lru_cache(maxsize=8)
def _template_ends(model: Model, system: System) -> tuple[int, int]:
    """How many tokens every rendering shares at its start and at its end (post-instruction)."""
    renderings = [_render(model, probe, system) for probe in _PROBES]
    return _shared(renderings), _shared([ids[::-1] for ids in renderings])


def _shared(rows: Sequence[Sequence[int]]) -> int:
    """Length of the prefix that all rows have in common."""
    unlike = [place for place, each in enumerate(zip(*rows, strict=False)) if len(set(each)) > 1]
    return unlike[0] if unlike else min(map(len, rows))


def _slot(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """The span from the first to the last difference of two equally long rows, else nothing."""
    if len(first) != len(second):
        return ()
    unlike = [index for index, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    return tuple(range(unlike[0], unlike[-1] + 1)) if unlike else ()


def _tokenizer(model: Model) -> Any:  # noqa: ANN401 - tokenizer classes share no full protocol
    if model.tokenizer is None:
        raise ModelError(f"{model.name} has no tokenizer, so no prompt can be put to it.")
    return model.tokenizer
