"""Many edits, one answer each, equal to a full hooked pass for each.

1. The base run is kept (`keep`).
2. Every set of edits on every prompt is a row. A row that changes nothing is answered by the base
   run: one whose edits act only before the first token in which the two prompts of a pair differ,
   or in the last layer only at columns that the answer is not read from.
3. Rows are grouped by their first edited column, ordered by layer, and run in chunks (`running`).
   Every chunk has an unpatched control row; how far its answer lies from the base run's is the
   noise floor. When it is too far the engine does not understand this model: that is logged, and
   every row is run in full.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from interlock.activations import forward
from interlock.batching import in_batches
from interlock.edits import Edit, edited
from interlock.replay.keeping import Kept
from interlock.replay.placing import Placing
from interlock.replay.running import Row, run

Reading = Callable[
    [Float[Tensor, "row vocab"], Sequence[int]], Float[Tensor, " row"]
]  # logits and each row's prompt

# by how much a control row's logits may miss the base run's, in their standard deviations
_TOLERANCE, _TOLERANCE_ROUGH = 1e-2, 0.3  # rough: 16 bits, or packed weights
_COLUMNS = 2048  # rows x columns of a chunk on a cpu: more do not run faster

log = logging.getLogger("interlock")


@dataclass(frozen=True, eq=False)
class Replayed:
    """Answers under every set of edits.

    Attributes:
        values: the reading under each set, for each prompt.
        base: the reading without edits.
        floor: largest difference of an unpatched control row from `base`; 0 when every row was run
            in full.
        passes: chunks run.
    """

    values: Float[Tensor, "variant example"]
    base: Float[Tensor, " example"]
    floor: float
    passes: int


@torch.no_grad()
def replay(
    kept: Kept,
    variants: Sequence[Sequence[Edit]],
    reading: Reading,
    *,
    shared: Sequence[int] | None = None,
    size: int | None = None,
) -> Replayed:
    """The reading of every prompt under every set of edits.

    Args:
        kept: the run that is edited.
        variants: sets of edits; those of one set act together, on prompt tokens.
        reading: one number per row from the logits [row vocab] at its last token and the rows'
            prompts.
        shared: per prompt how many first tokens hold already whatever the edits set there, as the
            tokens that the two prompts of a pair have in common; none by default.
        size: rows at once; as many as memory and caches suggest by default.

    Raises:
        SiteError: the model has no such site.
        ContrastError: no row has a site's position.
    """
    count = len(kept.batch.rows)
    base = reading(kept.record.logits, range(count)).float()
    if kept.slow:
        _say_slow(kept.model.name, kept.slow)
        return _in_full(kept, variants, reading, base)
    groups = _groups(_rows(kept, variants, shared or [0] * count), kept.tokens)
    answers = _Answers(kept, reading, base)
    values = base.cpu().repeat(len(variants), 1)
    for group in groups:
        found = in_batches(group, size or _limit(kept, group), answers.of)
        if not answers.trusted:
            _say_slow(kept.model.name, "an unpatched row in the batch differs from the run alone")
            return _in_full(kept, variants, reading, base)
        for row, value in zip(group, found, strict=True):
            values[row.variant, row.example] = value
    return Replayed(values.to(base.device), base, answers.floor, answers.passes)


class _Answers:
    """Runs chunks, and compares each chunk's control row with the base run."""

    def __init__(self, kept: Kept, reading: Reading, base: Tensor) -> None:
        self.kept, self.reading, self.base = kept, reading, base
        self.floor, self.passes, self.trusted = 0.0, 0, True

    def of(self, rows: Sequence[Row]) -> list[float]:
        """The readings of rows, in their order."""
        control = Row(-1, rows[0].example, (), rows[0].first, rows[0].depth)
        logits = run(self.kept, (control, *rows))
        read = self.reading(logits, [control.example, *(row.example for row in rows)]).float()
        self.passes += 1
        self.floor = max(self.floor, float((read[0] - self.base[control.example]).abs()))
        rough = bool(self.kept.model.quantization) or logits.dtype.itemsize <= 2
        self.trusted &= _alike(logits[0], self.kept.record.logits[control.example], rough)
        return read[1:].tolist()


def _alike(found: Tensor, wanted: Tensor, rough: bool) -> bool:
    found, wanted = found.float(), wanted.float()
    tolerance = _TOLERANCE_ROUGH if rough else _TOLERANCE
    return bool((found - wanted).abs().max() <= tolerance * wanted.std())


def _rows(kept: Kept, variants: Sequence[Sequence[Edit]], shared: Sequence[int]) -> list[Row]:
    """The rows that change anything."""
    rows = []
    placing = Placing(kept, shared)
    for number, edits in enumerate(variants):
        found = [placing.place(edit) for edit in edits]
        for example in range(len(kept.batch.rows)):
            live = tuple(each for each in found if each.first[example] < kept.tokens)
            if live:
                first = min(each.first[example] for each in live)
                assert first >= kept.since, "an edit acts before the columns that were kept"
                depth = min(each.depth for each in live)
                rows.append(Row(number, example, live, first, depth))
    return rows


def _groups(rows: Sequence[Row], tokens: int) -> list[list[Row]]:
    """Rows with about as many columns to run, each group ordered by depth."""
    groups: list[list[Row]] = []
    widest = 0
    for row in sorted(rows, key=lambda row: row.first):
        width = tokens - row.first
        if not groups or 2 * width <= widest:
            groups.append([])
            widest = width
        groups[-1].append(row)
    return [sorted(group, key=lambda row: (row.depth, row.variant)) for group in groups]


def _limit(kept: Kept, rows: Sequence[Row]) -> int:
    """How many of these rows to run at once."""
    columns = kept.tokens - min(row.first for row in rows)
    fitting = max(1, kept.room // _bytes(kept, columns))
    if kept.model.device.type == "cpu":
        fitting = min(fitting, max(1, _COLUMNS // columns))
    return fitting


def _bytes(kept: Kept, columns: int) -> int:
    """About what a row takes while it runs through a layer."""
    shape, tokens = kept.model.shape, kept.tokens
    heads = shape.heads * shape.head_width
    inside = columns * (6 * shape.width + 4 * heads + 4 * shape.neurons)
    attended = 4 * tokens * heads + 2 * shape.heads * columns * tokens
    return kept.streams[-1].dtype.itemsize * (inside + attended) + 8 * shape.vocab


def _in_full(
    kept: Kept, variants: Sequence[Sequence[Edit]], reading: Reading, base: Tensor
) -> Replayed:
    """Every set of edits in a hooked pass of its own."""
    examples = range(len(kept.batch.rows))
    found = []
    for edits in variants:
        with edited(kept.model, edits, kept.batch):
            logits = forward(kept.model, kept.batch)[:, -1]
        found.append(reading(logits, examples).float())
    values = torch.stack(found) if found else base[None][:0]
    return Replayed(values, base, 0.0, len(found))


@lru_cache(maxsize=32)
def _say_slow(name: str, why: str) -> None:
    log.warning("Edits of %s run the slow exact way, a full pass each: %s.", name, why)
