"""Numbers from what a model says, edited or not: refusal, opening score, loss on neutral text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from interlock.activations import forward
from interlock.batching import in_batches
from interlock.edits import Edit, edited
from interlock.encoding import Encoded, collate
from interlock.errors import ContrastError
from interlock.generation import Decoding, Finish, generate
from interlock.metrics import Openers, find_openers, opening_score, token_nll
from interlock.model import Model
from interlock.refusals import Outcome, judge
from interlock.tables import Table

JUDGE = "rules on text (interlock.refusals)"


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
        found = generate(model, collate(model, part), edits=edits, decoding=decoding)
        answers = zip(found.tokens, found.first, found.finishes, strict=True)
        return [_judged(model, *each) for each in answers]

    return in_batches(rows, size, answer)


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
    clear = np.isin(table["observed"], ["refuse", "comply"])
    refused = table["observed"][clear] == "refuse"
    openers = find_openers(table["first_token"][clear].tolist(), refused)
    if not openers.usable():
        raise ContrastError(
            f"{int(refused.sum())} of {len(table)} replies are clear refusals; without both "
            "refusals and compliance there is no refusal to locate."
        )
    return openers


def _judged(model: Model, tokens: tuple[int, ...], first: int, finish: Finish) -> Reply:
    assert model.tokenizer is not None
    text = str(model.tokenizer.decode(list(tokens), skip_special_tokens=True))
    found = judge(text)
    return Reply(text, found.outcome, found.degenerate, finish, first)
