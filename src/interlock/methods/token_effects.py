"""Which tokens of a request make the model refuse? Each replaced in turn, exactly.

1. Replace one token of the request at a time where it enters the first layer: by the mean embedding
   of the harmless requests' tokens, and by tokens drawn from other harmless requests. The effect is
   by how much the opening score falls (`interlock.replacements`).
2. Replace the two strongest together. Where either alone breaks what they mean together, each takes
   the whole effect: the interaction, joint minus sum, is then as large as the joint effect, and
   negative. So effects are no shares of a whole and do not add up.
3. Estimate the same by integrated gradients, for all tokens in a few passes, and say how far the
   estimates add up and agree.

`token_effects` asks it of minimal pairs, `prompt_tokens` of one prompt and its nearest neighbour
that was treated the other way. The template's tokens are the same in every prompt and are left out.

Sources: Zeiler & Fergus (2014, arXiv:1311.2901), Li et al. (2016, arXiv:1612.08220); integrated
gradients: Sundararajan et al. (2017, arXiv:1703.01365).
"""

from collections.abc import Sequence

import numpy as np

from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.encoding import Encoded, encode, encode_pairs
from interlock.errors import ContrastError
from interlock.generation import Decoding
from interlock.measures import openers_of, replies
from interlock.model import Model, Shape
from interlock.neighbours import nearest
from interlock.replacements import Replaced, pool, replaced
from interlock.stats import Estimate, mean
from interlock.tables import Table, from_rows

_TYPICAL = 12  # tokens of a request, where a cost is counted before any is known
_LEAST = 3  # tokens between which a correlation says anything
_SAID = 0.2  # of the gap, from where on a token is named
_MOST = 3  # tokens named, at most
_ASKED = "asked"
_NAT = (
    "mean", "drawn", "estimate", "swap", "joint", "joint_drawn", "whole", "whole_drawn", "residual",
    "score", "gap",
)  # fmt: skip


def token_effects(
    model: Model,
    pairs: Contrast,
    replies: Table,
    *,
    draws: int = 4,
    nodes: int = 16,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """By how much the opening score (nat) falls with each token replaced: a row a prompt and token.

    Columns `mean` and `drawn` are exact effects by either replacement, `estimate` that of
    integrated gradients, `swap` the effect of the partner's token at the same place. `joint` and
    `joint_drawn` (the two tokens of the largest `mean` together), `whole` and `whole_drawn` (all
    tokens), `residual` (estimates' sum minus `whole`), `score` and `gap` (of the pair) are of the
    prompt and stand in each of its rows.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split; both prompts of each are read.
        replies: judged replies, which give the opening tokens.
        draws: how many tokens each is replaced by.
        nodes: points on the line of the integrated gradients.
        batch: prompts at once, at most.
        seed: of the draws.

    Raises:
        ContrastError: the contrast has no pairs, the replies hold no refusal, or no prompt has a
            token beside the template's.
    """
    openers = openers_of(replies)
    encoded = encode_pairs(model, pairs)
    sides = (encoded.harmful, encoded.harmless)
    found = replaced(
        model,
        (*encoded.harmful, *encoded.harmless),
        pool(model, encoded.harmless, draws=draws, seed=seed),
        openers,
        beside=(*encoded.harmless, *encoded.harmful),
        nodes=nodes,
        batch=batch,
    )
    count = len(encoded.harmful)
    asked = {example.id: example for example in pairs.examples}
    gaps = [
        one.score - other.score for one, other in zip(found[:count], found[count:], strict=True)
    ]
    lines = zip(
        (row for side in sides for row in side),
        found,
        (*gaps, *gaps),
        encoded.topics * 2,
        ("harmful",) * count + ("harmless",) * count,
        strict=True,
    )
    rows = [
        line
        for row, one, gap, topic, side in lines
        for line in _lines(model, row, one, asked[row.id], {"topic": topic, "side": side}, gap)
    ]
    if not rows:
        raise ContrastError(f"No prompt of {pairs.name}.{pairs.split} has a token of its own.")
    about = {"split": pairs.split, "model": model.name} | _about(draws, nodes)
    about |= _agreement(found[:count], encoded.topics)
    about |= _exactness(found[:count], encoded.harmful, gaps)
    return from_rows(rows, units=dict.fromkeys(_NAT, "nat"), about=about)


def token_effects_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every token of a request replaced once and as often as it is drawn; a pass back a node.

    Tokens before the replaced one are not run again: half of each pass.
    """
    each = (1 + options["draws"]) * (_TYPICAL // 2 + 2) + 2 + options["nodes"]
    return Cost(prompts=each * examples, backward=options["nodes"] * examples)


def prompt_tokens(
    model: Model,
    contrast: Contrast,
    replies: Table,
    *,
    prompt: str = "",
    draws: int = 16,
    nodes: int = 64,
    tokens: int = 48,
    seed: int = 0,
) -> Table:
    """The same of one prompt, and of the nearest prompt that the model treated the other way.

    `about["finding"]` says it in words: what of the refused prompt made it refuse, and what of the
    answered one did not. `swap` is the effect of the other prompt's token at the same place, where
    the two are equally long.

    Args:
        model: the model asked.
        contrast: prompts among which the neighbour is looked for, and the harmless ones of which
            give the tokens that replace.
        replies: judged replies to these prompts.
        prompt: what is to be explained.
        draws: how many tokens each is replaced by.
        nodes: points on the line of the integrated gradients.
        tokens: at most so many new tokens of the reply to the prompt.
        seed: of the draws.

    Raises:
        ContrastError: no prompt is given, or no prompt was treated the other way.
    """
    if not prompt.strip():
        raise ContrastError("No prompt to explain: set steps.ID.prompt.")
    openers = openers_of(replies)
    example = Example(_ASKED, prompt, "", "neutral", _ASKED)
    (asked,) = encode(model, [example], contrast.system)
    refused = _outcome(model, asked, tokens) == "refuse"
    others = {each.id: each for each in contrast.examples if each.prompt.strip() != prompt.strip()}
    beside = _neighbour(model, contrast, replies, asked, others, "comply" if refused else "refuse")
    harmless = [each for each in others.values() if each.expected == "comply"]
    rows = (asked, beside) if refused else (beside, asked)
    found = replaced(
        model,
        rows,
        pool(model, encode(model, harmless, contrast.system), draws=draws, seed=seed),
        openers,
        beside=rows[::-1],
        nodes=nodes,
        batch=len(rows),
    )
    gap = found[0].score - found[1].score
    examples = others | {_ASKED: example}
    lines = [
        line
        for row, one, side in zip(rows, found, ("refused", "answered"), strict=True)
        for line in _lines(model, row, one, examples[row.id], {"topic": row.id, "side": side}, gap)
    ]
    about = {
        "prompt": prompt,
        "neighbour": others[beside.id].prompt,
        "finding": _finding(model, rows, found, [examples[row.id].prompt for row in rows], gap),
        **_about(draws, nodes),
    }
    return from_rows(lines, units=dict.fromkeys(_NAT, "nat"), about=about)


def prompt_tokens_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """As `token_effects_cost`, of two prompts, and a reply."""
    return token_effects_cost(shape, 2, options) + Cost(replies=1)


def _outcome(model: Model, row: Encoded, tokens: int) -> str:
    (said,) = replies(model, [row], decoding=Decoding(tokens))
    return said.outcome


def _neighbour(
    model: Model,
    contrast: Contrast,
    judged: Table,
    asked: Encoded,
    others: dict[str, Example],
    wanted: str,
) -> Encoded:
    """The nearest prompt with one outcome."""
    outcomes = dict(zip(judged["id"].tolist(), judged["observed"].tolist(), strict=True))
    kept = [example for name, example in others.items() if outcomes.get(name) == wanted]
    if not kept:
        raise ContrastError(
            f"No other prompt of {contrast.name}.{contrast.split} got the reply '{wanted}', so "
            "there is none to compare the tokens with."
        )
    return nearest(asked, encode(model, kept, contrast.system))[0]


def _lines(
    model: Model, row: Encoded, found: Replaced, example: Example, more: dict, gap: float
) -> list[dict]:
    """The table's rows of one prompt."""
    assert model.tokenizer is not None  # the prompt was encoded
    prompt = {
        "joint": found.joint,
        "joint_drawn": found.joint_drawn,
        "whole": found.whole,
        "whole_drawn": found.whole_drawn,
        "residual": found.residual,
        "score": found.score,
        "gap": gap,
    }
    return [
        {
            "example": example.id,
            "pair": example.pair or _ASKED,
            "category": example.category,
            "expected": example.expected,
            **more,
            "position": place,
            "token": str(model.tokenizer.decode([row.ids[place]])),
            "part": "slot" if place in row.slot or np.isfinite(found.swap[number]) else "request",
            "mean": float(found.mean[number]),
            "drawn": float(found.drawn[number]),
            "estimate": float(found.estimate[number]),
            "swap": float(found.swap[number]),
            **prompt,
        }
        for number, place in enumerate(found.places)
    ]


def _about(draws: int, nodes: int) -> dict[str, str]:
    return {
        "effect": "fall of the opening score when the token alone is replaced at the embedding",
        "mean": "replaced by the mean embedding of the harmless requests' tokens",
        "drawn": f"replaced by {draws} tokens of other harmless requests, mean over them",
        "estimate": f"integrated gradients from the mean, {nodes} Gauss-Legendre nodes",
        "left out": "the template's tokens, which are the same in every prompt",
    }


def _agreement(found: Sequence[Replaced], topics: Sequence[str]) -> dict[str, str]:
    """How well the estimates of the harmful prompts agree with the exact effects, and add up."""
    told = [
        (_pearson(one), topic)
        for one, topic in zip(found, topics, strict=True)
        if len(one.places) >= _LEAST and one.mean.std() > 0 and one.estimate.std() > 0
    ]
    missed = np.array([abs(one.residual) for one in found])
    about = {"estimates' sum": f"misses the whole by {_said(mean(missed, topics, unit='nat'))}"}
    if told:
        values = np.array([value for value, _ in told])
        pearson = mean(values, [topic for _, topic in told], unit="")
        about["estimates"] = f"Pearson with the effects within a prompt {_said(pearson)}"
    return about


def _said(found: Estimate) -> str:
    unit = f" {found.unit}" if found.unit else ""
    return f"{found.value:.2f}{unit} [{found.low:.2f}, {found.high:.2f}], n = {found.n} prompts"


def _pearson(one: Replaced) -> float:
    return float(np.corrcoef(one.estimate, one.mean)[0, 1])


def _exactness(
    found: Sequence[Replaced], rows: Sequence[Encoded], gaps: Sequence[float]
) -> dict[str, str]:
    """By how much swaps of slots of one token miss the gap, which they should be."""
    missed = [
        abs(float(one.swap[row.slot[0] - row.head]) - gap)
        for one, row, gap in zip(found, rows, gaps, strict=True)
        if len(row.slot) == 1 and row.slot[0] in one.places
    ]
    if not missed:
        return {}
    return {"check": f"the partner's word gives the gap within {max(missed):.1e} nat"}


def _finding(
    model: Model,
    rows: Sequence[Encoded],
    found: Sequence[Replaced],
    prompts: Sequence[str],
    gap: float,
) -> str:
    """What made the one refuse, and what of the other did not, in a few sentences."""
    refused, answered = found
    if gap <= 0:
        return (
            f"The score does not tell {prompts[0]!r}, which was refused, from {prompts[1]!r}, "
            "which was answered, so no token's effect means anything."
        )
    made = _named(model, rows[0], refused.mean, gap)
    first = f"In {prompts[0]!r}, refused, no single token carries {_SAID:.0%} of the gap"
    if made:
        first = f"What makes the model refuse {prompts[0]!r}: {made}"
    changed = _named(model, rows[1], -answered.swap, gap, rows[0])
    held = _named(model, rows[1], -answered.mean, gap)
    said = [f"{first} (the fall with the token replaced, of a gap of {gap:.1f} nat)."]
    if len(rows[0].ids) != len(rows[1].ids):
        said.append(f"{prompts[1]!r}, answered, is not equally long, so no tokens are exchanged.")
    elif changed:
        said.append(f"In {prompts[1]!r}, answered, the score rises with {changed}.")
    else:
        said.append(f"No single token of it would make {prompts[1]!r}, answered, refuse.")
    if held:
        said.append(f"It rises as well without what holds it back: {held}.")
    return " ".join(said)


def _named(
    model: Model,
    row: Encoded,
    effects: np.ndarray,
    gap: float,
    other: Encoded | None = None,
) -> str:
    """The tokens whose effects are a fair part of the gap, largest first."""
    assert model.tokenizer is not None
    sizes = np.nan_to_num(effects, nan=-np.inf)
    said = []
    for number in np.argsort(-sizes, kind="stable")[:_MOST].tolist():
        if sizes[number] < _SAID * gap:
            break
        place = row.head + number
        word = repr(str(model.tokenizer.decode([row.ids[place]])).strip())
        if other is not None:
            instead = repr(str(model.tokenizer.decode([other.ids[place]])).strip())
            word = f"{instead} for {word}"
        said.append(f"{word} ({sizes[number]:.1f} nat)")
    return ", ".join(said)
