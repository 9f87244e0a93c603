"""What does the model say? Replies and their judgement, opening scores, loss on neutral text.

1. Render every prompt by the model's template and generate a reply.
2. Judge the reply by rules on text; keep what was expected and what was observed apart.
3. The opening score reads the first reply token's logits: log odds of the tokens that open the
   model's own refusals against those that open its compliance; or the same of whole openings.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.encoding import encode, encode_passages
from interlock.errors import ContrastError
from interlock.generation import Decoding
from interlock.judges import DEFAULT, Asked, Judge, judges_named, require_answers
from interlock.judges.errors import Errors, as_text, errors_of
from interlock.measures import (
    PREFIXES,
    Reply,
    openers_of,
    opening_scores,
    prefix_scores,
    prefixes_of,
    replies,
)
from interlock.measures import nll as passage_nll
from interlock.model import Model, Shape
from interlock.refusals import Judgement
from interlock.store import each
from interlock.tables import Table, from_rows
from interlock.transcripts.labelling import Labelled, labels_by_prompt, read_labels

_SHARD = 64

By = Literal["token", "prefix"]


def behaviour(
    model: Model,
    contrast: Contrast,
    *,
    tokens: int = 48,
    temperature: float = 0.0,
    batch: int = 32,
    judges: tuple[str, ...] = ("interlock",),
    labels: str = "",
) -> Table:
    """One row per prompt: what was expected, what was observed, and the reply itself.

    Args:
        model: the model asked.
        contrast: the prompts, of one split.
        tokens: at most so many new tokens a reply.
        temperature: 0 is greedy.
        batch: prompts at once, at most.
        judges: who judges the replies; the first decides what was observed, the others add a
            column each.
        labels: a file of labels, given by people or by a model one trusts, of these replies or of
            replies of its own; every judge is held against it, and rates are corrected by it.

    Raises:
        JudgeError: no such judge, or the first one cannot say anything of these replies.
        TranscriptError: labels that cannot be read, or speak of no prompt asked here.
    """
    named = judges_named(judges)
    labelled = _labelled(labels, contrast) if labels else None
    rows = encode(model, contrast.examples, contrast.system)
    policy = Decoding(tokens, temperature)
    chunks = [rows[start : start + _SHARD] for start in range(0, len(rows), _SHARD)]
    found = each(
        "replies",
        chunks,
        lambda chunk: [vars(r) for r in replies(model, chunk, decoding=policy, size=batch)],
    )
    said = [Reply(**values) for chunk in found for values in chunk]
    first, *others = [_judgements(judge, contrast, said) for judge in named]
    if named[0].name != DEFAULT:
        require_answers(named[0], first)
    more = {f"judge.{judge.name}": found for judge, found in zip(named[1:], others, strict=True)}
    table = [
        {
            "id": example.id,
            "category": example.category,
            "topic": example.topic,
            "expected": example.expected,
            "observed": judged.outcome,
            "degenerate": judged.degenerate,
            "finish": reply.finish,
            "first_token": reply.first_token,
            "prompt": example.prompt,
            "reply": reply.text,
            **{name: found[number].outcome for name, found in more.items()},
        }
        for number, (example, reply, judged) in enumerate(
            zip(contrast.examples, said, first, strict=True)
        )
    ]
    about = {"decoding": str(policy), "split": contrast.split}
    if labelled is not None:
        outcomes = [first, *others]
        about["labels"] = as_text(
            {
                name: _errors(judge, labelled, contrast, found)
                for name, judge, found in zip(("observed", *more), named, outcomes, strict=True)
            }
        )
        about["labels from"] = f"{labelled.name}, {len(labelled.labels)} rows with a label"
    if judges != (DEFAULT,):
        about["judges"] = "; ".join(f"{judge.name}: {judge.about}" for judge in named)
    return from_rows(table, about=about)


def behaviour_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One reply per prompt."""
    return Cost(replies=examples)


def opening(
    model: Model,
    contrast: Contrast,
    replies: Table,
    *,
    batch: int = 32,
    by: By = "token",
    width: int = 4,
) -> Table:
    """Opening score (nat) of every prompt, by the openers of judged replies.

    Args:
        model: the model asked.
        contrast: the prompts, of one split.
        replies: judged replies of another split, which give the opening tokens.
        batch: prompts at once, at most.
        by: the reply's first token, or prefixes of several tokens.
        width: tokens of a prefix.

    Raises:
        ContrastError: the replies hold no refusal, or nothing but refusals; or no prefix of that
            width opens each kind.
    """
    openers = openers_of(replies)
    prompts = encode(model, contrast.examples, contrast.system)
    about = {
        "refusal openers": _decoded(model, openers.refusal),
        "compliance openers": _decoded(model, openers.compliance),
        "openers from": f"{openers.n} judged replies, AUROC {openers.auroc:.3f}",
        "first tokens": _texts(model, replies["first_token"].tolist()),
    }
    if by == "token":
        scores = opening_scores(model, prompts, openers, size=batch)
    else:
        if width < 1:
            raise ContrastError("opening: a prefix needs a width of at least 1 token.")
        prefixes = prefixes_of(model, replies, width)
        scores = prefix_scores(model, prompts, prefixes, size=batch)
        about |= {
            "refusal prefixes": _spelled(model, prefixes.refusal),
            "compliance prefixes": _spelled(model, prefixes.compliance),
            "prefixes from": f"{prefixes.n} judged replies; {prefixes.lost} too short or not "
            "recovered from their text",
        }
    rows = [
        {"id": example.id, "topic": example.topic, "expected": example.expected, "score": score}
        for example, score in zip(contrast.examples, scores.tolist(), strict=True)
    ]
    return from_rows(rows, units={"score": "nat"}, about=about)


def opening_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """One pass per prompt, or one for every prefix."""
    return Cost(prompts=examples * (2 * PREFIXES if options.get("by") == "prefix" else 1))


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


def _judgements(judge: Judge, contrast: Contrast, said: Sequence[Reply]) -> list[Judgement]:
    """What a judge makes of the replies; the default one judged them as they came."""
    if judge.name == DEFAULT:
        return [Judgement(reply.outcome, reply.degenerate) for reply in said]
    pairs = zip(contrast.examples, said, strict=True)
    return judge.judge([Asked(reply.text, example.prompt) for example, reply in pairs])


def _labelled(path: str, contrast: Contrast) -> Labelled:
    """The labels of a file, which must speak of these prompts or bring replies of their own."""
    found = read_labels(Path(path).expanduser())
    if not found.replies:
        labels_by_prompt(found, {each.id: each.prompt for each in contrast.examples})
    return found


def _errors(
    judge: Judge, labelled: Labelled, contrast: Contrast, judgements: Sequence[Judgement]
) -> Errors:
    """How a judge errs, by labels of the model's own replies or of those in the file."""
    if labelled.replies:
        said = judge.judge([Asked(turn.reply, turn.prompt) for turn in labelled.turns])
        outcomes = [each.outcome for each in said]
        clusters = [turn.cluster for turn in labelled.turns]
        return errors_of(judge.name, labelled.labels, outcomes, clusters)
    known = labels_by_prompt(labelled, {each.id: each.prompt for each in contrast.examples})
    rows = [
        (known[example.id], judged.outcome, example.topic)
        for example, judged in zip(contrast.examples, judgements, strict=True)
        if example.id in known
    ]
    labels, outcomes, topics = (list(column) for column in zip(*rows, strict=True))
    return errors_of(judge.name, labels, outcomes, topics)


def _texts(model: Model, tokens: Sequence[int]) -> str:
    """Token ids and what they spell, as JSON."""
    assert model.tokenizer is not None
    distinct = sorted({token for token in tokens if token >= 0})
    return json.dumps({token: str(model.tokenizer.decode([token])) for token in distinct})


def _spelled(model: Model, prefixes: Sequence[Sequence[int]]) -> str:
    assert model.tokenizer is not None
    return ", ".join(repr(str(model.tokenizer.decode(list(ids)))) for ids in prefixes)


def _decoded(model: Model, tokens: tuple[int, ...]) -> str:
    assert model.tokenizer is not None
    return ", ".join(repr(str(model.tokenizer.decode([token]))) for token in tokens[:8])
