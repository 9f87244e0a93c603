"""Exchanging values between the two prompts of a minimal pair: read both sides, put some across.

The clean prompt is the harmful one, the corrupt prompt its harmless partner. Denoising puts clean
values into the corrupt run, noising the reverse. Source: Zhang & Nanda (2024, arXiv:2309.16042);
the two directions: Heimersheim & Nanda (2024, arXiv:2404.15255).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from interlock.activations import Record, forward, record
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.edits import Edit, edited, put
from interlock.encoding import Batch, Encoded, Pairs, collate, encode_pairs
from interlock.errors import ContrastError
from interlock.metrics import Openers, divergence, opening_score, token_difference
from interlock.model import Model
from interlock.replay import Kept, Reading, keep, replay
from interlock.sites import Site

Direction = Literal["denoise", "noise"]
Metric = Literal["opening", "logit_difference", "kl"]
"""What an effect is a change of: see `_reading`."""
PairRows = Sequence[tuple[Encoded, Encoded]]
Condition = tuple[Sequence[Site], Sequence[Site]]  # what is patched, what is held

READS = 3  # passes beside the patches: both sides, and what the noise floor takes
_ENDS = ("last", "post")  # comparable in any pair; other positions need equally long prompts


@dataclass(frozen=True, eq=False)
class Sides:
    """A batch of pairs, both sides read.

    Attributes:
        base: the prompts of the run that is patched.
        kept: that run.
        own: what it held.
        other: what the other side's run held.
        score: of the base run (nat).
        gap: harmful minus harmless score (nat).
        reading: what the score is read by, from logits and which rows they are of.
        shared: per pair how many first tokens its prompts have in common; 0 where they are not
            equally long.
        direction: which side is the base.
    """

    base: Batch
    kept: Kept
    own: Record
    other: Record
    score: Float[Tensor, " example"]
    gap: Float[Tensor, " example"]
    reading: Reading
    shared: tuple[int, ...]
    direction: Direction


def usable_pairs(model: Model, pairs: Contrast, positions: Sequence[str]) -> tuple[Pairs, int]:
    """The pairs that can be patched at these positions, and how many cannot.

    Beside `last` and `post`, a pair needs two equally long prompts that have the position.

    Raises:
        ContrastError: no pair can be used.
    """
    encoded = encode_pairs(model, pairs)
    if all(position in _ENDS for position in positions):
        return encoded, 0
    kept = encoded.only_aligned().with_positions(positions)
    if not kept.harmful:
        raise ContrastError(
            f"None of the {len(encoded.harmful)} pairs of {pairs.name}.{pairs.split} has two "
            "equally long prompts under this tokenizer; patch at @last or @post instead."
        )
    return kept, len(encoded.harmful) - len(kept.harmful)


def rows_of(pairs: Pairs) -> PairRows:
    """The encoded pairs, harmful prompt first."""
    return list(zip(pairs.harmful, pairs.harmless, strict=True))


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of many patches on a batch of pairs.

    Attributes:
        values: change of score (nat) under each condition, towards the other side.
        floor: largest change of score (nat) where nothing was changed: in an unpatched row of every
            batch, and when a site's own value was put back.
    """

    values: Float[Tensor, "condition example"]
    floor: float


@torch.no_grad()
def read_sides(
    model: Model,
    part: PairRows,
    openers: Openers,
    sites: Sequence[Site],
    direction: Direction,
    metric: Metric = "opening",
) -> Sides:
    """Run both sides of a batch of pairs once and keep what the sites held."""
    harmful, harmless = (collate(model, [pair[side] for pair in part]) for side in (0, 1))
    base, source = (harmless, harmful) if direction == "denoise" else (harmful, harmless)
    kept, other = keep(model, base, sites, since=_since(base, sites)), record(model, source, sites)
    own = kept.record
    reading = _reading(metric, direction, own.logits, other.logits, openers)
    score = reading(own.logits, range(len(part)))
    rise = reading(other.logits, range(len(part))) - score
    gap = rise if direction == "denoise" else -rise
    shared = tuple(_shared(*pair) for pair in part)
    return Sides(base, kept, own, other, score, gap, reading, shared, direction)


def _reading(
    metric: Metric, direction: Direction, own: Tensor, other: Tensor, openers: Openers
) -> Reading:
    """The score (nat) by a metric; it is higher where a run is more like the harmful prompt's.

    - opening: log odds of the model's refusal openers against its compliance openers.
    - logit_difference: logit of the token that opens the harmful prompt's reply, minus that of the
      token that opens the harmless prompt's, a pair of tokens for each pair of prompts.
    - kl: divergence from the next token's distribution in the run the values come from; its sign
      is such that it rises towards the harmful prompt.
    """
    if metric == "opening":
        return lambda logits, _: opening_score(logits, openers)
    if metric == "logit_difference":
        harmful, harmless = (other, own) if direction == "denoise" else (own, other)
        first, second = harmful.argmax(dim=-1), harmless.argmax(dim=-1)
        return lambda logits, rows: token_difference(logits, first[list(rows)], second[list(rows)])
    towards = -1.0 if direction == "denoise" else 1.0
    return lambda logits, rows: towards * divergence(other[list(rows)], logits)


@torch.no_grad()
def effects(sides: Sides, conditions: Sequence[Condition]) -> Effects:
    """Every condition's change of score (nat), as `effect` gives it, by exact replay.

    Args:
        sides: as read before; must hold every site named.
        conditions: what is patched and what is held, as in `effect`.
    """
    first = conditions[0][0][0]
    own_value = [put(first, sides.own.values[first])]
    found = replay(
        sides.kept,
        [own_value, *(_puts(sides, *condition) for condition in conditions)],
        sides.reading,
        shared=sides.shared,
    )
    change = found.values - found.base
    floor = max(found.floor, float(change[0].abs().max()))
    return Effects(change[1:] if sides.direction == "denoise" else -change[1:], floor)


def joint_effects(
    model: Model,
    pairs: Pairs,
    openers: Openers,
    sets: Sequence[Sequence[Site]],
    direction: Direction,
    batch: int,
) -> list[list[tuple[float, float]]]:
    """Effect (nat) of patching each set of sites at once, and gap (nat): by set, then by pair.

    Args:
        model: the model studied.
        pairs: usable pairs.
        openers: the tokens the score compares.
        sets: none of them empty.
        direction: which side is patched.
        batch: pairs at once, at most.
    """
    touched = tuple(dict.fromkeys(site for one in sets for site in one))

    def of_pairs(part: PairRows) -> list[list[tuple[float, float]]]:
        sides = read_sides(model, part, openers, touched, direction)
        found = effects(sides, [(one, ()) for one in sets]).values.T.tolist()
        gaps = sides.gap.tolist()
        return [[(value, gap) for value in row] for row, gap in zip(found, gaps, strict=True)]

    rows = in_batches(rows_of(pairs), batch, of_pairs)
    return [list(column) for column in zip(*rows, strict=True)]


@torch.no_grad()
def effect(
    model: Model,
    sides: Sides,
    patched: Sequence[Site],
    held: Sequence[Site] = (),
) -> Float[Tensor, " example"]:
    """Change of score (nat) when sites take the other side's value, towards the other side.

    Args:
        model: the model studied.
        sides: as read before; must hold every site named.
        patched: sites set to what the other side's run held.
        held: sites kept at what they held in the base run, whatever reaches them.
    """
    with edited(model, _puts(sides, patched, held), sides.base):
        logits = forward(model, sides.base)[:, -1]
    score = sides.reading(logits, range(len(logits)))
    change = score - sides.score
    return change if sides.direction == "denoise" else -change


def _puts(sides: Sides, patched: Sequence[Site], held: Sequence[Site]) -> list[Edit]:
    edits = [put(site, sides.other.values[site]) for site in patched]
    return edits + [put(site, sides.own.values[site]) for site in held]


def _since(batch: Batch, sites: Sequence[Site]) -> int:
    """The first column of a batch that any of the sites covers."""
    if any(site.position == "all" for site in sites):
        return 0
    tokens = batch.ids.shape[1]
    firsts = []
    for name in {site.position for site in sites}:
        where = batch.positions(name)
        pads = torch.tensor([tokens - len(row.ids) for row in batch.rows]).to(where.index)
        firsts.append(int((where.index + pads[:, None])[where.valid].min()))
    return min(firsts, default=0)


def _shared(first: Encoded, second: Encoded) -> int:
    """How many first tokens two prompts have in common; 0 where positions do not correspond."""
    if len(first.ids) != len(second.ids):
        return 0
    both = enumerate(zip(first.ids, second.ids, strict=True))
    return next((place for place, (one, other) in both if one != other), len(first.ids))
