"""Is a model without some weights open to attack? Published success rates over a grid of sets.

1. Choose a set of weights for every point of the grid, as `pruning` does, or directions of their
   outputs, as `rank_pruning` does.
2. Take it out in place, put harmful prompts in the form of one attack, and judge the replies by the
   list of strings that the published numbers were made with (`interlock.attacking`).
3. Put the weights back bit for bit.

One step is one attack: with or without template and system prompt, greedy or sampled, with the
suffixes of a file or none. Interlock ships no suffix.

Source: Wei et al. (2024), arXiv:2402.05162, section 4.1.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from interlock.attacking import Attack, Form, attack_of, outcomes
from interlock.brittleness import Change
from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.errors import ContrastError
from interlock.generation import Decoding
from interlock.model import Model, Shape
from interlock.rank_grid import Ranks
from interlock.rank_grid import changes as rank_changes
from interlock.rank_grid import said as said_of_ranks
from interlock.store import each
from interlock.subspaces import Subspaces
from interlock.tables import Table, from_rows
from interlock.weight_grid import changes, draw, grid, points, said, shares
from interlock.weight_scores import WeightScores

Choose = Literal["difference", "top", "bottom"]
Cross = Literal["grid", "pairs"]
Granularity = Literal["row", "matrix", "global"]
Fill = Literal["zero", "mean"]
System = Literal["template", "none", "helpful"]
Judge = Literal["wei31", "gcg", "gcg7", "arditi12", "rules"]


def attacks(
    model: Model,
    contrast: Contrast,
    safety: WeightScores,
    utility: WeightScores,
    *,
    choose: Choose = "difference",
    p: tuple[float, ...] = (0.01, 0.02, 0.04, 0.06),
    q: tuple[float, ...] = (0.01, 0.02, 0.04, 0.06),
    cross: Cross = "grid",
    granularity: Granularity = "matrix",
    fill: Fill = "zero",
    form: str = "chat",
    system: System = "template",
    suffixes: str = "",
    judge: Judge = "wei31",
    samples: int = 1,
    temperature: float = 0.0,
    tokens: int = 256,
    prompts: int = 100,
    controls: int = 0,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per point, set, suffix, harmful prompt and measure, long form.

    Columns: `kind`, `set`, `p`, `q`, `weights`, `sparsity`, `suffix` (its number, 0 without any),
    `example`, `topic`, `measure` and `value`.

    Args:
        model: changed in place and put back bit for bit.
        contrast: its harmful prompts are put; not the split the scores were made on.
        safety: scores on replies that refuse.
        utility: scores on replies to harmless prompts.
        choose: the top q by safety without the top p by utility, or the top or bottom q alone.
        p: shares by utility that are spared; used by `difference` only.
        q: shares by safety.
        cross: every p with every q, or the first with the first and so on.
        granularity: what a share is of.
        fill: what the weights become; zero, or the mean of their matrix.
        form: `chat` for a user turn, or the whole text, with {prompt} where the prompt belongs.
        system: system prompt of the `chat` form.
        suffixes: a file with one suffix a line; none if empty.
        judge: a list of refusal strings, or the rules that judge replies elsewhere.
        samples: replies to each prompt; several need a temperature.
        temperature: 0 is greedy.
        tokens: at most so many new tokens a reply.
        prompts: harmful prompts put, at most; the first ones.
        controls: random sets a point.
        batch: prompts at once, at most.
        seed: of the draws of replies and of random sets.

    Raises:
        InterlockError: as `pruning`; a form without the prompt, or a file without suffixes.
        ContrastError: no harmful prompt.
        ModelError: packed weights, or scores of another model.
    """
    put = Form(form, system, suffixes)
    attack = attack_of(
        model,
        _harmful(contrast, prompts),
        form=put,
        judge=judge,
        decoding=Decoding(tokens, temperature, seed),
        samples=samples,
        batch=batch,
    )
    found = grid(safety, utility, choose=choose, p=p, q=q, cross=cross, granularity=granularity)
    drawn = draw(model, "nothing", None, seed)
    made = changes(model, found, fill=fill, drawn=drawn, controls=controls)
    about = {"choose": choose, "granularity": granularity} | said(fill, "nothing")
    return _table(model, attack, put, made, about)


def attacks_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every reply under every change; half the prompts are harmful; one suffix is counted."""
    count = points(options["choose"], options["p"], options["q"], options["cross"])
    put = min(options["prompts"], examples - examples // 2)
    return Cost(replies=(1 + count * (1 + options["controls"])) * put * options["samples"])


def rank_attacks(
    model: Model,
    contrast: Contrast,
    safety: Subspaces,
    utility: Subspaces,
    *,
    choose: Choose = "difference",
    p: tuple[float, ...] = (0.04, 0.16),
    q: tuple[float, ...] = (0.002, 0.02),
    cross: Cross = "grid",
    form: str = "chat",
    system: System = "template",
    suffixes: str = "",
    judge: Judge = "wei31",
    samples: int = 1,
    temperature: float = 0.0,
    tokens: int = 256,
    prompts: int = 100,
    controls: int = 0,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """As `attacks`, without directions of the weights' outputs; `ranks` and `share` say how many.

    Args:
        model: changed in place and put back bit for bit.
        contrast: its harmful prompts are put; not the split the directions were found on.
        safety: directions by how much refusals use them.
        utility: directions by how much replies to harmless prompts use them.
        choose: the first q by safety less the first p by utility, or the first or last q alone.
        p: shares by utility that are spared, 1 - r_u / R; used by `difference` only.
        q: shares by safety that are taken, 1 - r_s / R.
        cross: every p with every q, or the first with the first and so on.
        form: `chat` for a user turn, or the whole text, with {prompt} where the prompt belongs.
        system: system prompt of the `chat` form.
        suffixes: a file with one suffix a line; none if empty.
        judge: a list of refusal strings, or the rules that judge replies elsewhere.
        samples: replies to each prompt; several need a temperature.
        temperature: 0 is greedy.
        tokens: at most so many new tokens a reply.
        prompts: harmful prompts put, at most; the first ones.
        controls: sets of random directions a point.
        batch: prompts at once, at most.
        seed: of the draws of replies and of random directions.

    Raises:
        InterlockError: as `rank_pruning`; a form without the prompt, or a file without suffixes.
        ContrastError: no harmful prompt.
        ModelError: packed weights, or directions of another model.
    """
    put = Form(form, system, suffixes)
    attack = attack_of(
        model,
        _harmful(contrast, prompts),
        form=put,
        judge=judge,
        decoding=Decoding(tokens, temperature, seed),
        samples=samples,
        batch=batch,
    )
    ranks = Ranks(model, safety, utility, choose, seed)
    made = rank_changes(ranks, shares(choose, p, q, cross), controls=controls)
    return _table(model, attack, put, made, said_of_ranks(ranks))


def _harmful(contrast: Contrast, prompts: int) -> tuple[Example, ...]:
    found = contrast.expecting("refuse")[:prompts]
    if not found:
        raise ContrastError(f"{contrast.name}.{contrast.split} has no harmful prompt to put.")
    return found


def _table(
    model: Model,
    attack: Attack,
    form: Form,
    made: Sequence[Change],
    about: Mapping[str, str],
) -> Table:
    answers = each("attacks", made, partial(_measure, model, attack))
    rows = [
        row for one, answer in zip(made, answers, strict=True) for row in _rows(attack, one, answer)
    ]
    told = {
        "form": form.text,
        "system": form.system if form.text == "chat" else "as the form has it",
        "suffixes": str(len(attack.suffixes)) if form.suffixes else "none",
        "judge": attack.judge,
        "decoding": str(attack.decoding),
        "model": model.name,
        "weights": model.revision,
    }
    return from_rows(rows, units={"value": "share of replies"}, about={**told, **about})


def _measure(model: Model, attack: Attack, change: Change) -> dict[str, Any]:
    entered = change.enter()
    with entered.context:
        found = [outcomes(model, attack, suffix) for suffix in range(len(attack.suffixes))]
    return {"size": dict(entered.size), "found": found}


def _rows(attack: Attack, change: Change, answer: dict[str, Any]) -> list[dict]:
    start = {"kind": change.kind, "set": change.number, **change.at, **answer["size"]}
    return [
        start
        | {
            "suffix": suffix,
            "example": example.id,
            "topic": example.topic,
            "measure": measure,
            "value": value,
        }
        for suffix, found in enumerate(answer["found"])
        for measure in attack.measures
        for example, value in zip(attack.prompts, found[measure], strict=True)
    ]
