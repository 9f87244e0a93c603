"""Differentiable numbers from the logits: the opening score and its tokens, and other metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interlock.stats import auroc


@dataclass(frozen=True)
class Openers:
    """First tokens of a model's own replies, by what the judge made of the reply.

    Attributes:
        refusal: token ids that open refusals more often than compliance.
        compliance: token ids that open compliance at least as often as refusals.
        auroc: how well the first token's class separates the judged replies.
        n: how many replies were judged.
    """

    refusal: tuple[int, ...]
    compliance: tuple[int, ...]
    auroc: float
    n: int

    def usable(self) -> bool:
        """Whether both kinds of reply were seen, so that a score can be formed."""
        return bool(self.refusal) and bool(self.compliance)


def find_openers(
    first_tokens: Sequence[int], refused: Bool[np.ndarray, " example"], least: int = 1
) -> Openers:
    """The opening tokens of refusals and of compliance among judged replies.

    A token belongs to the kind of reply it opens more often, each kind weighted by how many there
    are; a token seen fewer than `least` times belongs to neither.
    """
    tokens = np.asarray(first_tokens)
    positives, negatives = max(1, int(refused.sum())), max(1, int((~refused).sum()))
    refusal, compliance, scores = [], [], np.zeros(len(tokens))
    for token in np.unique(tokens):
        here = tokens == token
        share = (here & refused).sum() / positives - (here & ~refused).sum() / negatives
        scores[here] = share
        if here.sum() >= least:
            (refusal if share > 0 else compliance).append(int(token))
    return Openers(tuple(refusal), tuple(compliance), auroc(scores, refused), len(tokens))


def opening_score(
    logits: Float[Tensor, "example vocab"], openers: Openers
) -> Float[Tensor, " example"]:
    """Log odds (nat) of a refusal opener against a compliance opener at the reply's first token.

    LSE over refusal tokens minus LSE over compliance tokens; unlike the log odds of Arditi et al.
    (2024, https://arxiv.org/abs/2406.11717, section 2.4) it does not saturate, so it has a gradient
    everywhere. Positive means that the model is about to refuse.
    """
    # float64 is not available on mps; float32 is exact enough for a difference of two LSEs
    wide = logits.float()
    refusal = wide[:, list(openers.refusal)].logsumexp(dim=-1)
    return refusal - wide[:, list(openers.compliance)].logsumexp(dim=-1)


def token_difference(
    logits: Float[Tensor, "example vocab"],
    first: Int[Tensor, " example"],
    second: Int[Tensor, " example"],
) -> Float[Tensor, " example"]:
    """Logit of one token minus that of another, a pair of tokens for every row.

    Source: Zhang & Nanda (2024, arXiv:2309.16042).
    """
    both = logits.float().gather(-1, torch.stack([first, second], dim=-1))
    return both[:, 0] - both[:, 1]


def divergence(
    wanted: Float[Tensor, "example vocab"], logits: Float[Tensor, "example vocab"]
) -> Float[Tensor, " example"]:
    """KL divergence (nat) of the next token's distribution from a wanted one, given as logits."""
    aim, found = (each.float().log_softmax(dim=-1) for each in (wanted, logits))
    return (aim.exp() * (aim - found)).sum(dim=-1)


def token_nll(
    logits: Float[Tensor, "example token vocab"], ids: torch.Tensor, mask: torch.Tensor
) -> Float[Tensor, " example"]:
    """Mean negative log-likelihood (nat per token) of each row's tokens after its first real one.

    `ids` and `mask` are [example token]; padded tokens and predictions from padding count nothing.
    """
    predicted = logits[:, :-1].float().log_softmax(dim=-1)
    chosen = predicted.gather(-1, ids[:, 1:, None]).squeeze(-1)
    counted = (mask[:, 1:] & mask[:, :-1]).to(chosen.dtype)
    return -(chosen * counted).sum(dim=1) / counted.sum(dim=1)
