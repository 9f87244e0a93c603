"""Numbers from what a model says, edited or not: refusal, opening score, loss on neutral text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from interlock.activations import forward
from interlock.batching import in_batches
from interlock.edits import Edit, edited
from interlock.encoding import Batch, Encoded, collate
from interlock.errors import ContrastError
from interlock.generation import Decoding, Finish, generate
from interlock.metrics import Openers, find_openers, opening_score, token_nll
from interlock.model import Model
from interlock.refusals import Outcome, judge
from interlock.tables import Table

JUDGE = "rules on text (interlock.refusals)"
PREFIXES = 4  # of each kind, at most: every one costs a pass a prompt


@dataclass(frozen=True)
class Reply:
    """One judged reply.

    Attributes:
        text: what the model said, untrusted.
        outcome: what the judge made of it.
        degenerate: empty or looping.
        finish: `stop`, or `length` when it was cut off.
        first_token: the reply's first token id.
    """

    text: str
    outcome: Outcome
    degenerate: bool
    finish: Finish
    first_token: int


def replies(
    model: Model,
    rows: Sequence[Encoded],
    *,
    decoding: Decoding,
    edits: Sequence[Edit] = (),
    size: int = 32,
) -> list[Reply]:
    """Generate and judge a reply to every prompt; edits must not depend on the row."""

    def answer(part: Sequence[Encoded]) -> list[Reply]:
        return answered(model, collate(model, part), edits, decoding)

    return in_batches(rows, size, answer)


def answered(model: Model, batch: Batch, edits: Sequence[Edit], decoding: Decoding) -> list[Reply]:
    """Generate and judge a reply to every row of one batch, whose edits may differ by row."""
    found = generate(model, batch, edits=edits, decoding=decoding)
    answers = zip(found.tokens, found.first, found.finishes, strict=True)
    return [_judged(model, *each) for each in answers]


def opening_scores(
    model: Model,
    rows: Sequence[Encoded],
    openers: Openers,
    *,
    edits: Sequence[Edit] = (),
    size: int = 32,
) -> Float[np.ndarray, " example"]:
    """Opening score (nat) of every prompt; edits must not depend on the row."""

    @torch.no_grad()
    def score(part: Sequence[Encoded]) -> list[float]:
        batch = collate(model, part)
        with edited(model, edits, batch):
            logits = forward(model, batch)[:, -1]
        return opening_score(logits, openers).tolist()

    return np.array(in_batches(rows, size, score))


@dataclass(frozen=True)
class Prefixes:
    """Openings of several tokens from a model's own judged replies, all equally long.

    Attributes:
        refusal: token ids that open refusals, the commonest first.
        compliance: token ids that open compliance.
        n: clear replies they come from.
        lost: clear replies that are shorter, or whose text gives other tokens than were generated.
    """

    refusal: tuple[tuple[int, ...], ...]
    compliance: tuple[tuple[int, ...], ...]
    n: int
    lost: int


def prefixes_of(model: Model, table: Table, width: int) -> Prefixes:
    """The commonest openings of `width` tokens in a table of judged replies.

    Columns `reply`, `first_token` and `observed`; a prefix belongs to the kind of reply that it
    opens more often, each kind weighted by how many there are.

    Raises:
        ContrastError: no prefix for refusals, or none for compliance.
    """
    assert model.tokenizer is not None
    clear, refused = _clear(table)
    found: list[tuple[tuple[int, ...], bool]] = []
    for row in np.flatnonzero(clear).tolist():
        ids = model.tokenizer.encode(str(table["reply"][row]), add_special_tokens=False)[:width]
        if len(ids) == width and ids[0] == table["first_token"][row]:
            found.append((tuple(ids), bool(refused[row])))
    totals = [max(1, sum(kind is which for _, kind in found)) for which in (True, False)]
    shares = {
        prefix: found.count((prefix, True)) / totals[0] - found.count((prefix, False)) / totals[1]
        for prefix, _ in found
    }
    ranked = sorted(shares, key=lambda each: (-abs(shares[each]), each))
    refusal = tuple(each for each in ranked if shares[each] > 0)[:PREFIXES]
    compliance = tuple(each for each in ranked if shares[each] <= 0)[:PREFIXES]
    if not refusal or not compliance:
        raise ContrastError(
            f"No opening of {width} tokens for both refusals and compliance in {len(found)} "
            "replies; a smaller width may have one."
        )
    return Prefixes(refusal, compliance, len(found), int(clear.sum()) - len(found))


def prefix_scores(
    model: Model, rows: Sequence[Encoded], prefixes: Prefixes, *, size: int = 32
) -> Float[np.ndarray, " example"]:
    """Log odds (nat) that a reply opens with a refusal's prefix against a compliant one's.

    The probability of a prefix is that of its whole sequence, summed over the prefixes of a kind.
    Equals: `opening_scores` when every prefix is one token long.
    """
    every = [*prefixes.refusal, *prefixes.compliance]
    longer = [
        Encoded(row.id, (*row.ids, *prefix), row.head, row.tail) for row in rows for prefix in every
    ]
    width = len(every[0])

    @torch.no_grad()
    def score(part: Sequence[Encoded]) -> list[float]:
        batch = collate(model, part)
        logits = forward(model, batch, keep=width + 1)[:, :-1].float().log_softmax(dim=-1)
        said = batch.ids[:, -width:, None]
        return logits.gather(-1, said).squeeze(-1).sum(dim=-1).tolist()

    found = torch.tensor(in_batches(longer, size, score), dtype=torch.float64)
    by_row = found.reshape(len(rows), len(every))
    kinds = by_row.split([len(prefixes.refusal), len(prefixes.compliance)], dim=1)
    return (kinds[0].logsumexp(dim=1) - kinds[1].logsumexp(dim=1)).numpy()


def nll(
    model: Model, rows: Sequence[Encoded], *, edits: Sequence[Edit] = (), size: int = 32
) -> Float[np.ndarray, " example"]:
    """Mean negative log-likelihood (nat per token) of every passage."""

    @torch.no_grad()
    def loss(part: Sequence[Encoded]) -> list[float]:
        batch = collate(model, part)
        with edited(model, edits, batch):
            logits = forward(model, batch, keep=0)
        return token_nll(logits, batch.ids, batch.mask).tolist()

    return np.array(in_batches(rows, size, loss))


def openers_of(table: Table) -> Openers:
    """The opening tokens of refusals and compliance in a table of judged replies.

    Columns `first_token` and `observed`; partial and undetermined replies count as neither.

    Raises:
        ContrastError: only one kind of reply was seen, so there is nothing to compare.
    """
    clear, all_refused = _clear(table)
    refused = all_refused[clear]
    openers = find_openers(table["first_token"][clear].tolist(), refused)
    if not openers.usable():
        raise ContrastError(
            f"{int(refused.sum())} of {len(table)} replies are clear refusals; without both "
            "refusals and compliance there is no refusal to locate."
        )
    return openers


def _clear(table: Table) -> tuple[Bool[np.ndarray, " example"], Bool[np.ndarray, " example"]]:
    """Which replies are refusals or compliance with nothing between, and which are refusals."""
    return np.isin(table["observed"], ["refuse", "comply"]), table["observed"] == "refuse"


def _judged(model: Model, tokens: tuple[int, ...], first: int, finish: Finish) -> Reply:
    assert model.tokenizer is not None
    text = str(model.tokenizer.decode(list(tokens), skip_special_tokens=True))
    found = judge(text)
    return Reply(text, found.outcome, found.degenerate, finish, first)
