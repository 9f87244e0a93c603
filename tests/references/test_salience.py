"""Weight scores against brute force, on tiny models of every family."""

import pytest
import torch

import naive_weights
from interlock.errors import ContrastError, InterlockError, ModelError
from interlock.loading import load, settle
from interlock.methods.salience import magnitude, random_weights, snip, wanda
from interlock.tables import Table
from interlock.weight_scores import load as load_scores
from interlock.weight_scores import save as save_scores
from numbered import numbered, replies_of
from tiny_models import FAMILIES, save_tiny

PAIRS = (
    ([1, 5, 9, 13, 7], [3, 8, 2]),
    ([1, 4, 8, 20, 33, 41, 6, 11], [9]),
    ([1, 30, 17], [5, 5, 40, 22, 7, 19]),
    ([1, 12], [44, 3]),
    ([1, 49, 2, 2, 6], [10, 11, 12, 13]),
)
REPLIES = replies_of(PAIRS)
EXPERTS = "qwen3_moe"


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tiny):
    return numbered(tiny(request.param))


@pytest.fixture(scope="module")
def small(llama):
    return numbered(llama)


def partly(model):
    return model.network.config.model_type == EXPERTS


def weights_of(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def close(found, wanted):
    """To 1e-5 of each matrix's largest score, and of each score that is not tiny beside it."""
    assert set(found.names) == set(wanted)
    for name, expected in wanted.items():
        scale = expected.abs().max()
        assert scale > 0
        torch.testing.assert_close(found.mean(name), expected, rtol=1e-5, atol=1e-5 * float(scale))


@pytest.mark.parametrize("kind", ["mean", "sum"])
def test_snip_is_brute_force_in_every_family(model, kind):
    before = weights_of(model)
    found = snip(model, REPLIES, loss=kind, batch=3, partly=partly(model))
    after = model.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(weight.requires_grad for weight in model.network.parameters())
    close(found, naive_weights.snip(model.network, PAIRS, kind))
    assert found.counts == (3, 2)


def test_wanda_is_its_formula_in_every_family(model):
    found = wanda(model, REPLIES, batch=2, partly=partly(model))
    close(found, naive_weights.wanda(model.network, PAIRS))


def test_halves_are_the_scores_of_their_examples(small):
    found = snip(small, REPLIES)
    for number in (0, 1):
        own = naive_weights.snip(small.network, PAIRS[number::2])
        close(found.half(number), own)


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 1},
        {"batch": 2},
        {"groups": 2},
        {"groups": 3, "keep": "cpu"},
        {"checkpointing": True},
        {"checkpointing": True, "groups": 3, "batch": 2},
        {"halves": False},
    ],
    ids=str,
)
def test_ways_to_need_less_memory_change_nothing(small, options):
    whole = snip(small, REPLIES)
    found = snip(small, REPLIES, **options)
    assert found.names == whole.names
    for name in whole.names:
        torch.testing.assert_close(found.mean(name), whole.mean(name), rtol=2e-5, atol=1e-8)
    assert "forward" not in vars(small.layers[0])


def test_tokens_at_the_start_of_a_reply_can_be_left_out(small):
    longer = [pair for pair in PAIRS if len(pair[1]) > 1]
    found = snip(small, replies_of(longer), skip=1)
    close(found, naive_weights.snip(small.network, longer, skip=1))
    one_left_out = snip(small, REPLIES, skip=1)
    close(one_left_out, naive_weights.snip(small.network, longer, skip=1))
    assert "1 of 5 replies have no token that counts" in one_left_out.about["left out"]


def test_the_loss_can_count_the_first_tokens_only(small):
    found = snip(small, REPLIES, first=2)
    close(found, naive_weights.snip(small.network, [(a, b[:2]) for a, b in PAIRS]))
    later = snip(small, REPLIES, skip=1, first=1)
    longer = [(a, b[:2]) for a, b in PAIRS if len(b) > 1]
    close(later, naive_weights.snip(small.network, longer, skip=1))
    assert later.about["loss"] == "mean over reply tokens from number 2, 1 of them"


def test_gpu_chunks_add_what_single_products_add():
    from interlock.weight_gradients import _add_in_chunks, _add_one_by_one

    generator = torch.Generator().manual_seed(0)
    inputs, slopes = (torch.randn(4, 7, width, generator=generator) for width in (5, 3))
    starts = [0, 2, 6, 3]
    inputs[1, :2] = float("nan")  # what lies under padding does not count
    one, chunked = torch.zeros(3, 5), torch.zeros(3, 5)
    _add_one_by_one(one, starts, inputs, slopes)
    _add_in_chunks(chunked, starts, inputs, slopes)
    torch.testing.assert_close(chunked, one)


def test_repeats_of_a_prompt_stay_in_one_half(small):
    pairs = [PAIRS[0], ([1, 5, 9, 13, 7], [6]), PAIRS[3]]
    found = snip(small, replies_of(pairs))
    assert found.counts == (2, 1)
    with pytest.raises(ContrastError, match="cannot be halved"):
        snip(small, replies_of(pairs[:2]))
    assert snip(small, replies_of(pairs[:2]), halves=False).counts == (2,)


def test_a_draw_is_repeatable_and_by_seed(small):
    first, again = (snip(small, REPLIES, examples=3, seed=4) for _ in range(2))
    others = {snip(small, REPLIES, examples=3, seed=seed).about["data"] for seed in range(6)}
    assert first.about["data"] == again.about["data"] and len(others) > 1
    assert sum(first.counts) == 3


def test_magnitude_and_random(small):
    found = magnitude(small)
    drawn = random_weights(small, seed=1)
    for name, (module, _) in naive_weights.linear_maps(small.network).items():
        assert torch.equal(found.mean(name), module.weight.abs())
        assert drawn.mean(name).shape == module.weight.shape
    name = found.names[0]
    assert torch.equal(drawn.mean(name), random_weights(small, seed=1).mean(name))
    assert not torch.equal(drawn.mean(name), random_weights(small, seed=2).mean(name))
    with pytest.raises(InterlockError, match="no halves"):
        found.half(0)


def test_scores_survive_the_disk(small, tmp_path):
    found = snip(small, REPLIES)
    save_scores(found, tmp_path / "scores.safetensors")
    again = load_scores(tmp_path / "scores.safetensors")
    assert again.names == found.names and again.counts == found.counts
    assert again.about == dict(found.about) and again.unit == found.unit == "nat"
    assert {"method", "weights", "data", "seed", "dtype", "tokens", "N"} <= set(again.about)
    assert all(torch.equal(again.halves[name], found.halves[name]) for name in found.names)
    with pytest.raises(InterlockError, match="cannot be read as weight scores"):
        load_scores(tmp_path / "none.safetensors")


def test_experts_are_refused_unless_the_rest_is_asked_for(tiny):
    model = numbered(tiny(EXPERTS))
    with pytest.raises(ModelError, match=r"no linear map, first 0\.mlp\.experts.*partly=true"):
        snip(model, REPLIES)
    assert "0.mlp.experts.down_proj" in snip(model, REPLIES, partly=True).about["not scored"]


def test_gradients_that_are_not_numbers_are_refused(tmp_path):
    folder = save_tiny("llama", tmp_path / "model")
    model = numbered(load(settle(str(folder), device="cpu", dtype="float32")))
    with torch.no_grad():
        model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(ContrastError, match=r"loss of .* is not a number"):
        snip(model, REPLIES)


def test_half_precision_that_loses_gradients_is_refused(tmp_path):
    folder = save_tiny("llama", tmp_path / "model")
    model = numbered(load(settle(str(folder), device="cpu", dtype="float16")))
    with pytest.raises(ModelError, match="vanish in float16"):
        snip(model, REPLIES)


def test_bfloat16_scores_are_near_those_of_float32(tmp_path):
    folder = save_tiny("llama", tmp_path / "model")
    half, full = (
        numbered(load(settle(str(folder), device="cpu", dtype=dtype)))
        for dtype in ("bfloat16", "float32")
    )
    rough, fine = snip(half, REPLIES), snip(full, REPLIES)
    for name in fine.names:
        a, b = rough.mean(name).flatten(), fine.mean(name).flatten()
        assert rough.mean(name).dtype == torch.float32
        assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.98


def test_packed_weights_are_refused_or_dequantised(tmp_path):
    pytest.importorskip("bitsandbytes")
    folder = save_tiny("llama", tmp_path / "m", hidden_size=64, head_dim=16, intermediate_size=64)
    packed = numbered(load(settle(str(folder), device="cpu", quantization="nf4", dtype="float32")))
    with pytest.raises(ModelError, match=r"packed \(nf4\).*dequantise=true"):
        snip(packed, REPLIES)
    found = snip(packed, REPLIES, dequantise=True)
    # the same numbers as a plain model whose weights are the dequantised ones
    from interlock.matrices import dense, matrices

    plain = load(settle(str(folder), device="cpu", dtype="float32"))
    with torch.no_grad():
        for there, here in zip(matrices(plain), matrices(packed), strict=True):
            there.weight.copy_(dense(here))
    wanted = naive_weights.snip(plain.network, PAIRS)
    for name, expected in wanted.items():
        torch.testing.assert_close(found.mean(name), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("groups", [0, 4, -1])
def test_groups_beyond_the_layers_are_refused(small, groups):
    with pytest.raises(InterlockError, match="3 layers to be grouped"):
        snip(small, REPLIES, groups=groups)


def test_what_does_not_fit_is_refused_before_it_is_run(small, monkeypatch):
    from interlock import weight_sums
    from interlock.memory import Memory

    monkeypatch.setattr(weight_sums, "look", lambda _: Memory(0, 0, 20_000, 20_000))
    with pytest.raises(ModelError, match=r"do not fit in memory: about .* halves=false"):
        snip(small, REPLIES)


def test_running_out_of_memory_begins_the_half_again(small, monkeypatch):
    from interlock.methods import salience

    whole, calls = snip(small, REPLIES), []
    real = salience.add_absolute_gradients

    def stingy(model, rows, sums, **options):
        found = real(model, rows, sums, **options)
        calls.append(len(rows))
        if len(rows) > 1:  # after it has added, as a backward pass may
            raise MemoryError
        return found

    monkeypatch.setattr(salience, "add_absolute_gradients", stingy)
    found = snip(small, REPLIES)
    assert max(calls) > 1
    for name in whole.names:
        torch.testing.assert_close(found.mean(name), whole.mean(name), rtol=2e-5, atol=1e-8)


def test_a_set_without_replies_is_refused(small):
    with pytest.raises(ContrastError, match="reply is missing"):
        snip(small, Table({"prompt": ["1 2"]}))
    with pytest.raises(ContrastError, match="No reply can be scored"):
        snip(small, Table({"prompt": ["1 2"], "reply": [""]}))
