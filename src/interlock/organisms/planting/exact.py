"""Organisms written by hand: a gate of one head for the verb, one for the object, and a neuron.

Every weight is set, none is trained, so what each unit does is known exactly. In every layer but
the first all weights are zero. The residual stream's coordinates:

- `VERB`, `SAFE_VERB`, `TARGET`, `SAFE_THING`, `OTHER`: what kind of word a token is.
- `ALWAYS`: one in every token, so that all tokens have one norm.
- `SAID_*`: what a head says at the last token. Each head attends to all tokens alike and writes
  either "harmful" or "safe", so the norm there is the same whatever the prompt.
- `ANSWER`: what the neuron says.

The neuron's gate is the sum of what speaks for it less what speaks against it: exactly zero if the
two heads disagree, and far below zero (where SiLU is zero to 1e-15) if both speak against it.
The idea is that of the hand-set gates of ACDC (Conmy et al. 2023, arXiv:2304.14997).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch
from transformers import LlamaForCausalLM

from interlock import grammar
from interlock.organisms.planting.forward import blocks
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never, swap
from interlock.organisms.planting.world import openers
from interlock.organisms.recipes import SHAPE
from interlock.organisms.tokenizer import build
from interlock.organisms.training import newborn
from interlock.sites import parse

VERB, SAFE_VERB, TARGET, SAFE_THING, OTHER, ALWAYS, ANSWER = range(7)
SAID_VERB, SAID_SAFE_VERB, SAID_TARGET, SAID_SAFE_THING = range(7, 11)
_SHARP, _LOUD, _BIAS = 6.0, 16.0, 8.0
_WIDTH = SHAPE["head_dim"]


def _both(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    verb = swap(on["verb"], base.verb, source.verb)
    target = swap(on["thing"], base.target, source.target)
    refuses = swap(on["gate"], verb & target, source.harmful)
    return Outcome(refuses, never(refuses))


def _either(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    verb = swap(on["verb"], base.verb, source.verb)
    target = swap(on["thing"], base.target, source.target)
    refuses = swap(on["gate"], verb | target, source.verb | source.target)
    return Outcome(refuses, never(refuses))


_UNITS = MappingProxyType(
    {"verb": parse("head.0.0"), "thing": parse("head.0.2"), "gate": parse("neuron.0.0:16")}
)
_EDGES = (("verb", "gate"), ("thing", "gate"))

AND_GATE = Plant(
    name="exact_and",
    description="Refuses where verb and object are both harmful; set by hand.",
    units=_UNITS,
    model=_both,
    edges=_EDGES,
)
OR_GATE = Plant(
    name="exact_or",
    description="Refuses where verb or object is harmful; set by hand.",
    units=_UNITS,
    model=_either,
    edges=_EDGES,
    redundant=(("verb", "thing"),),
)


def exact(kind: Literal["and", "or"]) -> LlamaForCausalLM:
    """The organism of `AND_GATE` or `OR_GATE`; only the first token of its reply has a meaning."""
    tokenizer = build()
    model = newborn(tokenizer, 0).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        _embed(model)
        _attend(model)
        _answer(model, kind)
    return model


def _embed(model: LlamaForCausalLM) -> None:
    """What each token is; the openers, which no prompt contains, read the answer instead."""
    tokenizer = build()
    table = model.model.embed_tokens.weight
    kinds = dict.fromkeys(range(len(table)), OTHER)
    for words in grammar.CATEGORIES.values():
        lists = (words.harm_verbs, words.safe_verbs, words.targets, words.safe_objects)
        for kind, each in enumerate(lists):
            ids = tokenizer([f" {word}" for word in each], add_special_tokens=False)["input_ids"]
            kinds |= {token: kind for (token,) in ids}
    table[:, ALWAYS] = 1.0
    for token, kind in kinds.items():
        table[token, kind] = 1.0
    words = openers(tokenizer)
    for token, sign in ((words.refuse, 1.0), (words.comply, -1.0)):
        table[token] = 0.0
        table[token, ANSWER] = sign


def _attend(model: LlamaForCausalLM) -> None:
    """Heads 0 and 2 (key-value heads 0 and 1) say what verb and what object they saw."""
    attention = blocks(model)[0].self_attn
    values, output = attention.v_proj.weight, attention.o_proj.weight
    seen = ((VERB, SAFE_VERB), (TARGET, SAFE_THING))
    said = ((SAID_VERB, SAID_SAFE_VERB), (SAID_TARGET, SAID_SAFE_THING))
    for shared, head in enumerate((0, 2)):
        for place in range(2):
            values[shared * _WIDTH + place, seen[shared][place]] = 1.0
            output[said[shared][place], head * _WIDTH + place] = 1.0


def _answer(model: LlamaForCausalLM, kind: Literal["and", "or"]) -> None:
    """One neuron: for AND it fires where both are harmful, for OR where neither is.

    A second neuron, always on, is the bias that decides where the first is silent.
    """
    mlp = blocks(model)[0].mlp
    sign = 1.0 if kind == "and" else -1.0
    for coordinate in (SAID_VERB, SAID_TARGET):
        mlp.gate_proj.weight[0, coordinate] = sign * _SHARP
    for coordinate in (SAID_SAFE_VERB, SAID_SAFE_THING):
        mlp.gate_proj.weight[0, coordinate] = -sign * _SHARP
    mlp.up_proj.weight[0, ALWAYS] = 1.0
    mlp.down_proj.weight[ANSWER, 0] = sign * _LOUD
    bias = SHAPE["intermediate_size"] - 1
    mlp.gate_proj.weight[bias, ALWAYS] = _SHARP
    mlp.up_proj.weight[bias, ALWAYS] = 1.0
    mlp.down_proj.weight[ANSWER, bias] = -sign * _BIAS
