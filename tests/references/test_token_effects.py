"""Tokens replaced: plain runs with other ids or other embeddings, and integrals by hand."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from interlock.encoding import Encoded
from interlock.errors import ContrastError
from interlock.metrics import Openers
from interlock.replacements import pool, replaced

OPENERS = Openers((3, 8), (4,), 1.0, 8)
# one template: two opening tokens, one closing; requests of four, one and three tokens
PROMPTS = (
    Encoded("a", (1, 7, 11, 12, 13, 14, 9), head=2, tail=1),
    Encoded("b", (1, 7, 21, 9), head=2, tail=1),
    Encoded("c", (1, 7, 40, 32, 13, 5, 9), head=2, tail=1),
    Encoded("d", (1, 7, 25, 26, 25, 9), head=2, tail=1),
)
HARMLESS = PROMPTS[1:]
BESIDE = (PROMPTS[2], PROMPTS[0], PROMPTS[0], PROMPTS[3])
DRAWS, SEED = 3, 5
FAMILIES = (
    "llama", "gemma", "gemma2", "gemma3_text", "olmo2", "phi3", "qwen3_moe", "gpt2", "gpt_neox"
)  # fmt: skip


def measured(model, rows=PROMPTS, *, nodes=2, batch=32, beside=BESIDE):
    source = pool(model, HARMLESS, draws=DRAWS, seed=SEED)
    return replaced(model, rows, source, OPENERS, beside=beside, nodes=nodes, batch=batch)


def score(logits) -> torch.Tensor:
    last = logits[0, -1].float()
    return last[list(OPENERS.refusal)].logsumexp(0) - last[list(OPENERS.compliance)].logsumexp(0)


def said(model, ids) -> float:
    """The score of a plain run of these ids."""
    with torch.no_grad():
        return float(score(model.network(input_ids=torch.tensor([list(ids)])).logits))


def embedded(model, ids) -> torch.Tensor:
    return model.network.get_input_embeddings()(torch.tensor([list(ids)])).detach()


def mean_embedding(model) -> torch.Tensor:
    tokens = [token for row in HARMLESS for token in row.ids[row.head : len(row.ids) - row.tail]]
    return embedded(model, tokens)[0].mean(dim=0)


def said_with_mean(model, ids, places) -> float:
    """The score of a plain run in which some places hold the mean embedding."""
    values = embedded(model, ids)
    values[0, list(places)] = mean_embedding(model)
    with torch.no_grad():
        return float(score(model.network(inputs_embeds=values).logits))


def draws_by_hand():
    """The ids that are drawn for each prompt: from every other harmless request."""
    generator = np.random.default_rng(SEED)
    found = {}
    for row in PROMPTS:
        others = [
            token
            for other in HARMLESS
            if other.id != row.id
            for token in other.ids[other.head : len(other.ids) - other.tail]
        ]
        size = len(row.ids) - row.head - row.tail
        found[row.id] = generator.choice(others, size=(DRAWS, size))
    return found


def with_ids(row, places, ids):
    new = list(row.ids)
    for place, token in zip(places, ids, strict=True):
        new[place] = int(token)
    return new


@pytest.mark.parametrize("name", FAMILIES)
def test_effects_are_plain_runs_with_other_tokens(tiny, name):
    model = tiny(name)
    drawn = draws_by_hand()
    for row, other, one in zip(PROMPTS, BESIDE, measured(model), strict=True):
        assert one.places == tuple(range(2, len(row.ids) - 1))
        base = said(model, row.ids)
        assert one.score == pytest.approx(base, abs=1e-4)
        for number, place in enumerate(one.places):
            after = [said(model, with_ids(row, [place], [ids[number]])) for ids in drawn[row.id]]
            assert one.drawn[number] == pytest.approx(base - np.mean(after), abs=2e-4)
            after = said_with_mean(model, row.ids, [place])
            assert one.mean[number] == pytest.approx(base - after, abs=2e-4)
            if len(other.ids) == len(row.ids) and other.ids[place] != row.ids[place]:
                after = said(model, with_ids(row, [place], [other.ids[place]]))
                assert one.swap[number] == pytest.approx(base - after, abs=2e-4)
            else:
                assert np.isnan(one.swap[number])
        after = [said(model, with_ids(row, one.places, ids)) for ids in drawn[row.id]]
        assert one.whole_drawn == pytest.approx(base - np.mean(after), abs=2e-4)
        after = said_with_mean(model, row.ids, one.places)
        assert one.whole == pytest.approx(base - after, abs=2e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_two_strongest_are_replaced_together(tiny, name):
    model = tiny(name)
    drawn = draws_by_hand()
    found = measured(model)
    for row, one in zip(PROMPTS, found, strict=True):
        if len(one.places) < 2:
            assert np.isnan(one.joint) and np.isnan(one.joint_drawn)
            continue
        two = np.argsort(-one.mean, kind="stable")[:2]
        places = [one.places[number] for number in two]
        after = said_with_mean(model, row.ids, places)
        assert one.joint == pytest.approx(one.score - after, abs=2e-4)
        after = [said(model, with_ids(row, places, ids[two])) for ids in drawn[row.id]]
        assert one.joint_drawn == pytest.approx(one.score - np.mean(after), abs=2e-4)
    if name == "llama":  # in one group they lie at different places: a mix-up would show
        first, third = (set(np.argsort(-found[number].mean)[:2].tolist()) for number in (0, 2))
        assert first != third


def test_neither_batches_nor_neighbours_in_a_batch_change_anything(llama):
    together = measured(llama)
    for one, other in zip(together, measured(llama, batch=1), strict=True):
        for name in ("mean", "drawn", "estimate", "swap"):
            found, wanted = getattr(one, name), getattr(other, name)
            assert np.allclose(found, wanted, atol=1e-4, equal_nan=True)
        assert one.joint == pytest.approx(other.joint, abs=1e-4, nan_ok=True)


def by_hand(model, row, nodes) -> np.ndarray:
    """Integrated gradients with the model's own `inputs_embeds`, token by token."""
    end = embedded(model, row.ids)
    start = end.clone()
    request = slice(row.head, len(row.ids) - row.tail)
    start[0, request] = mean_embedding(model)
    total = torch.zeros(end.shape[1])
    points, weights = np.polynomial.legendre.leggauss(nodes)
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        here = (start + float(point) * (end - start)).requires_grad_()
        (slope,) = torch.autograd.grad(score(model.network(inputs_embeds=here).logits), here)
        total += float(weight) * ((end - start) * slope).sum(dim=-1)[0].detach()
    return total[request].numpy()


@pytest.mark.parametrize("name", ["llama", "gemma", "gpt2"])
def test_estimates_are_the_integral_by_hand(tiny, name):
    model = tiny(name)
    for row, one in zip(PROMPTS, measured(model, nodes=5), strict=True):
        assert np.allclose(one.estimate, by_hand(model, row, 5), rtol=1e-3, atol=1e-3)


def test_more_nodes_add_up_better(llama):
    few, many = (
        np.mean([abs(one.residual) for one in measured(llama, nodes=nodes)]) for nodes in (1, 40)
    )
    assert many < 0.02 < few


def test_estimates_are_exact_where_the_model_is_linear(llama):
    """No norms, no MLP, even attention: the logits are linear in what enters."""
    network = copy.deepcopy(llama.network)
    for layer in network.model.layers:
        layer.input_layernorm = nn.Identity()
        layer.post_attention_layernorm = nn.Identity()
        layer.self_attn.q_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    network.model.norm = nn.Identity()
    model = replace(llama, network=network)
    one_each = replace(OPENERS, refusal=(3,))  # a difference of two logits is linear as well
    source = pool(model, HARMLESS, draws=1, seed=0)
    found = replaced(model, PROMPTS, source, one_each, nodes=1, batch=8)
    for one in found:
        assert np.allclose(one.estimate, one.mean, atol=1e-3)
        assert one.residual == pytest.approx(0, abs=1e-3)
        assert max(abs(one.mean)) > 0.05
        if len(one.places) > 1:
            assert one.joint == pytest.approx(np.sort(one.mean)[-2:].sum(), abs=1e-3)


def test_a_prompt_without_a_token_of_its_own_has_no_effects(llama):
    bare = Encoded("e", (1, 7, 9), head=2, tail=1)
    one, two = measured(llama, (bare, PROMPTS[1]), beside=())
    assert one.places == () and len(one.mean) == 0 and np.isnan(one.joint)
    assert one.score == pytest.approx(said(llama, bare.ids), abs=1e-4)
    assert len(two.places) == 1 and np.isfinite(two.mean).all()


def test_nothing_to_replace_by_is_one_line(llama):
    bare = Encoded("e", (1, 7, 9), head=2, tail=1)
    with pytest.raises(ContrastError, match="could replace another"):
        pool(llama, (bare,), draws=1, seed=0)
    alone = pool(llama, (PROMPTS[1],), draws=1, seed=0)
    with pytest.raises(ContrastError, match="Prompt b is the only one"):
        replaced(llama, (PROMPTS[1],), alone, OPENERS, nodes=1, batch=1)
