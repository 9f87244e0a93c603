"""Attention patterns: as the network returns them, made of the values it mixes, and as planted."""

import pytest
import torch

from interlock.activations import record
from interlock.encoding import Encoded, collate, encode, from_ids
from interlock.errors import ContrastError, ModelError, SiteError
from interlock.loading import load, settle
from interlock.methods.attention import attention, attention_places, patterns
from interlock.organisms import folder
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs
from interlock.organisms.truth import read_truth
from interlock.sites import Site, parse, unit
from tiny_models import FAMILIES, save_tiny

# the longest is longer than the sliding windows of the families that have them
ROWS = from_ids(([1, 5, 9, 13, 7], [1, 4, 8, 20, 33, 41, 6, 11], [1, 30, 17]))
CHAIN = "planted-chain-0"


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    place = save_tiny(request.param, tmp_path_factory.mktemp(request.param))
    return load(settle(str(place), device="cpu", dtype="float32"))


def all_heads(model):
    return tuple(
        unit("head", layer, head)
        for layer in range(model.shape.layers)
        for head in range(model.shape.heads)
    )


def alone(model, row: Encoded):
    """The weights that the network returns under eager attention, without padding."""
    before = model.network.config._attn_implementation
    model.network.set_attn_implementation("eager")
    with torch.no_grad():
        found = model.network(torch.tensor([row.ids]), output_attentions=True).attentions
    model.network.set_attn_implementation(before)
    return found


def test_patterns_are_the_networks_own(model):
    heads = all_heads(model)
    fused = model.network.config._attn_implementation
    assert fused != "eager" or model.caps  # no fused kernel caps scores
    found = patterns(model, ROWS, heads)
    assert model.network.config._attn_implementation == fused
    for row, weights in zip(ROWS, found, strict=True):
        wanted = alone(model, row)
        for head, own in zip(heads, weights, strict=True):
            expected = wanted[head.layer][0, (head.index or (0, 0))[0], -1]
            torch.testing.assert_close(torch.from_numpy(own), expected, rtol=0, atol=1e-5)


def test_patterns_mix_the_fused_models_values_into_its_heads(model):
    """What sdpa computed at the last token is the values it holds, weighted by the pattern."""
    heads = all_heads(model)
    shared = model.shape.heads // model.shape.kv_heads
    values = {
        head: unit("value", head.layer, (head.index or (0, 0))[0] // shared) for head in heads
    }
    for row in ROWS:
        weights = patterns(model, [row], heads)[0]
        seen = record(model, collate(model, [row]), [*heads, *set(values.values())]).values
        for head, own in zip(heads, weights, strict=True):
            mixed = torch.from_numpy(own) @ seen[values[head]][0]
            torch.testing.assert_close(mixed, seen[head][0, -1], rtol=1e-4, atol=1e-5)


def test_hooks_and_kernel_are_put_back_after_an_error(llama, monkeypatch):
    fused = llama.network.config._attn_implementation
    before = _hooks(llama)  # transformers leaves some of its own on a model that others ran
    monkeypatch.setattr("interlock.methods.attention.forward", _fails)
    with pytest.raises(RuntimeError):
        patterns(llama, ROWS, all_heads(llama))
    assert llama.network.config._attn_implementation == fused
    assert _hooks(llama) == before


def _hooks(model):
    return [list(module._forward_hooks) for module in model.network.modules()]


def _fails(*_: object) -> None:
    raise RuntimeError


def test_a_model_without_weights_is_refused(llama, monkeypatch):
    monkeypatch.setattr("interlock.methods.attention._EAGER", "sdpa")
    with pytest.raises(ModelError, match="no attention weights"):
        patterns(llama, ROWS, all_heads(llama))


def test_a_head_that_is_not_there_is_refused(llama):
    with pytest.raises(SiteError):
        patterns(llama, ROWS, [unit("head", 0, 99)])


@pytest.fixture(scope="module")
def chain():
    truth = read_truth(folder(CHAIN))
    model = load(settle(f"organism:{CHAIN}", device="cpu", dtype="float32"))
    mover = next(parse(site) for site, role in truth.roles.items() if role == "mover")
    return model, pairs(PLANTS[truth.plant], "check", 12, 0), mover


def test_the_planted_mover_attends_from_the_last_token_to_the_object(chain):
    model, contrast, mover = chain
    table = attention(model, contrast, (mover,), prompts_shown=4)
    objects = {each.id: each.topic for each in contrast.examples}
    assert set(table["head"].tolist()) == {str(mover)}
    for example in set(table["example"].tolist()):
        rows = table.where(example=example)
        assert rows["weight"].sum() == pytest.approx(1, abs=1e-5)
        strongest = rows["token"].tolist()[int(rows["weight"].argmax())]
        assert strongest.strip() in objects[example]


def test_the_parts_of_a_prompt_share_all_attention(chain):
    model, contrast, mover = chain
    others = tuple(s for s in all_heads(model) if s.layer == mover.layer and s != mover)
    table = attention_places(model, contrast, (mover, *others), heads=99)
    for head in (mover, *others):
        for expected in ("refuse", "comply"):
            rows = table.where(head=str(head), expected=expected)
            assert rows["weight"].sum() == pytest.approx(1, abs=1e-4)
            assert rows["even"].sum() == pytest.approx(1, abs=1e-6)
            assert (rows["low"] <= rows["weight"]).all() and (rows["weight"] <= rows["high"]).all()


def test_rows_are_the_tokens_of_the_prompts(chain):
    model, contrast, mover = chain
    table = attention(model, contrast, (Site("mlp", 0), mover), prompts_shown=3)
    asked = {each.id: each for each in contrast.examples}
    for example in set(table["example"].tolist()):
        (row,) = encode(model, [asked[example]])
        rows = table.where(example=example)
        assert rows["position"].tolist() == list(range(len(row.ids)))
        assert "".join(rows["token"].tolist()) == model.tokenizer.decode(list(row.ids))
        assert set(rows["query"].tolist()) == {model.tokenizer.decode([row.ids[-1]])}


def test_sites_without_a_head_are_told(chain):
    model, contrast, _ = chain
    with pytest.raises(ContrastError, match=r"No single head is among the sites \(neuron.0.0:16\)"):
        attention(model, contrast, (parse("neuron.0.0:16"),))
