"""What does the model say? Replies and their judgement, opening scores, loss on neutral text.

1. Render every prompt by the model's template and generate a reply.
2. Judge the reply by rules on text; keep what was expected and what was observed apart.
3. The opening score reads the first reply token's logits: log odds of the tokens that open the
   model's own refusals against those that open its compliance.
"""

from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.encoding import encode, encode_passages
from interlock.generation import Decoding
from interlock.measures import Reply, openers_of, opening_scores, replies
from interlock.measures import nll as passage_nll
from interlock.model import Model, Shape
from interlock.store import each
from interlock.tables import Table, from_rows

_SHARD = 64


def behaviour(
    model: Model, contrast: Contrast, *, tokens: int = 48, temperature: float = 0.0, batch: int = 32
) -> Table:
    """One row per prompt: what was expected, what was observed, and the reply itself.

    Args:
        model: the model asked.
        contrast: the prompts, of one split.
        tokens: at most so many new tokens a reply.
        temperature: 0 is greedy.
        batch: prompts at once, at most.
    """
    rows = encode(model, contrast.examples, contrast.system)
    policy = Decoding(tokens, temperature)
    chunks = [rows[start : start + _SHARD] for start in range(0, len(rows), _SHARD)]
    found = each(
        "replies",
        chunks,
        lambda chunk: [vars(r) for r in replies(model, chunk, decoding=policy, size=batch)],
    )
    judged = [Reply(**values) for chunk in found for values in chunk]
    table = [
        {
            "id": example.id,
            "category": example.category,
            "topic": example.topic,
            "expected": example.expected,
            "observed": reply.outcome,
            "degenerate": reply.degenerate,
            "finish": reply.finish,
            "first_token": reply.first_token,
            "prompt": example.prompt,
            "reply": reply.text,
        }
        for example, reply in zip(contrast.examples, judged, strict=True)
    ]
    return from_rows(table, about={"decoding": str(policy), "split": contrast.split})


def behaviour_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One reply per prompt."""
    return Cost(replies=examples)


def opening(model: Model, contrast: Contrast, replies: Table, *, batch: int = 32) -> Table:
    """Opening score (nat) of every prompt, by the openers of judged replies.

    Args:
        model: the model asked.
        contrast: the prompts, of one split.
        replies: judged replies of another split, which give the opening tokens.
        batch: prompts at once, at most.

    Raises:
        ContrastError: the replies hold no refusal, or nothing but refusals.
    """
    openers = openers_of(replies)
    prompts = encode(model, contrast.examples, contrast.system)
    scores = opening_scores(model, prompts, openers, size=batch)
    rows = [
        {"id": example.id, "topic": example.topic, "expected": example.expected, "score": score}
        for example, score in zip(contrast.examples, scores.tolist(), strict=True)
    ]
    about = {
        "refusal openers": _decoded(model, openers.refusal),
        "compliance openers": _decoded(model, openers.compliance),
        "openers from": f"{openers.n} judged replies, AUROC {openers.auroc:.3f}",
    }
    return from_rows(rows, units={"score": "nat"}, about=about)


def opening_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per prompt."""
    return Cost(prompts=examples)


def nll(model: Model, passages: Contrast, *, batch: int = 32) -> Table:
    """Mean loss (nat per token) of every neutral passage.

    Args:
        model: the model asked.
        passages: plain texts, without a chat template.
        batch: passages at once, at most.
    """
    losses = passage_nll(model, encode_passages(model, passages.examples), size=batch)
    rows = [
        {"id": example.id, "nll": loss}
        for example, loss in zip(passages.examples, losses.tolist(), strict=True)
    ]
    return from_rows(rows, units={"nll": "nat per token"})


def nll_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per passage."""
    return Cost(passages=examples)


def _decoded(model: Model, tokens: tuple[int, ...]) -> str:
    assert model.tokenizer is not None
    return ", ".join(repr(str(model.tokenizer.decode([token]))) for token in tokens[:8])
