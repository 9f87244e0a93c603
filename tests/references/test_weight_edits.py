"""Weights changed in place: as by hand while it lasts, bit for bit as before afterwards."""

import numpy as np
import pytest
import torch

from interlock.errors import ModelError
from interlock.loading import load, settle
from interlock.mask import Mask, packed
from interlock.matrices import matrices
from interlock.methods.lowrank import used_directions
from interlock.subspaces import orthogonal_change
from interlock.weight_edits import lessened, pruned, sparsity
from numbered import numbered, replies_of
from tiny_models import FAMILIES, save_tiny

IDS = torch.tensor([[1, 5, 9, 13, 7]])
SAFETY = replies_of([([1, 5, 9], [3, 8, 2]), ([1, 4, 8], [9])])
UTILITY = replies_of([([1, 30, 17], [5, 5, 40]), ([1, 12], [44, 3])])


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tiny):
    return tiny(request.param)


@pytest.fixture
def own(tmp_path):
    """A tiny model that a test may spoil."""
    folder = save_tiny("llama", tmp_path / "own")
    return load(settle(str(folder), device="cpu", dtype="float32"))


def bits(model):
    """Every weight as the bytes it is stored in, so that -0 and NaN count too."""
    found = model.network.state_dict()
    return {name: each.contiguous().view(torch.uint8).clone() for name, each in found.items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def drawn(model, share=0.3, seed=0):
    generator = np.random.default_rng(seed)
    return Mask(
        {
            each.name: packed(generator.random(each.shape) < share, each.shape)
            for each in matrices(model)
        }
    )


@torch.no_grad()
def logits(model):
    return model.network(IDS).logits


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_every_family_is_filled_and_put_back(model, fill):
    before, plain, chosen = bits(model), logits(model), drawn(model)
    dense = {each.name: each.weight.clone() for each in matrices(model)}
    with pruned(model, chosen, fill):
        for each in matrices(model):
            flags = torch.from_numpy(chosen.weights(each.name).copy())
            value = dense[each.name].double().mean().float() if fill == "mean" else 0.0
            assert torch.equal(each.weight, torch.where(flags, value, dense[each.name]))
        assert not torch.equal(logits(model), plain)
    assert same(bits(model), before)
    assert torch.equal(logits(model), plain)


def test_another_models_weights_restore_what_training_changed(own, tmp_path):
    base = load(settle(str(save_tiny("llama", tmp_path / "base")), device="cpu", dtype="float32"))
    with torch.no_grad():
        for each in matrices(base):
            each.weight.mul_(2).add_(0.1)
    chosen, before = drawn(own), bits(own)
    theirs = {each.name: each.weight.clone() for each in matrices(base)}
    dense = {each.name: each.weight.clone() for each in matrices(own)}
    with pruned(own, chosen, base):
        for each in matrices(own):
            flags = torch.from_numpy(chosen.weights(each.name).copy())
            assert torch.equal(each.weight, torch.where(flags, theirs[each.name], dense[each.name]))
    assert same(bits(own), before)
    assert all(torch.equal(each.weight, theirs[each.name]) for each in matrices(base))


def test_an_exception_puts_them_back(own):
    before = bits(own)
    for context in (
        pruned(own, drawn(own)),
        lessened(own, [("0.mlp.up_proj", torch.ones(20, 24))]),
    ):
        with pytest.raises(KeyError), context:
            assert not same(bits(own), before)
            raise KeyError
        assert same(bits(own), before)


def test_a_failure_on_the_way_puts_them_back(own):
    before = bits(own)

    def changes():
        yield "0.mlp.up_proj", torch.ones(20, 24)
        assert not same(bits(own), before)
        yield "9.mlp.up_proj", torch.ones(20, 24)

    with pytest.raises(ModelError, match=r"no matrix 9\.mlp\.up_proj"), lessened(own, changes()):
        pass
    assert same(bits(own), before)


def test_odd_values_come_back_as_they_were(own):
    weight = matrices(own)[0].weight
    weight[0, :4] = torch.tensor([-0.0, float("nan"), float("-inf"), 1e-45])
    before = bits(own)
    chosen = Mask({matrices(own)[0].name: packed(np.ones(weight.shape, bool), tuple(weight.shape))})
    with pruned(own, chosen):
        assert not weight.any()
    with lessened(own, [(matrices(own)[0].name, torch.ones(weight.shape))]):
        assert not same(bits(own), before)
    assert same(bits(own), before)


def test_changes_within_changes_come_off_in_turn(own):
    before, first, second = bits(own), drawn(own, seed=1), drawn(own, seed=2)
    with pruned(own, first):
        once = bits(own)
        with pruned(own, second, "mean"):
            assert not same(bits(own), once)
        assert same(bits(own), once)
    assert same(bits(own), before)


def test_a_matrix_changed_twice_is_as_it_was(own):
    before, weight = bits(own), matrices(own)[0].weight
    dense, one = weight.clone(), torch.ones(weight.shape)
    with lessened(own, [(matrices(own)[0].name, one), (matrices(own)[0].name, 2 * one)]):
        torch.testing.assert_close(weight, dense - 3)
    assert same(bits(own), before)


def test_a_projection_is_taken_from_the_weights(own):
    model = numbered(own)
    before, dense = bits(model), {each.name: each.weight.clone() for each in matrices(model)}
    utility, safety = (used_directions(model, each).parts for each in (UTILITY, SAFETY))
    change = {
        each.name: orthogonal_change(
            dense[each.name], safety[each.name].first(8), utility[each.name].first(8)
        )
        for each in matrices(model)
    }
    with lessened(model, change.items()):
        for each in matrices(model):
            assert torch.equal(each.weight, dense[each.name] - change[each.name])
    assert any(bool(each.any()) for each in change.values())
    assert same(bits(model), before)


def test_half_precision_comes_back(tmp_path):
    folder = save_tiny("llama", tmp_path / "half")
    model = load(settle(str(folder), device="cpu", dtype="bfloat16"))
    before = bits(model)
    for fill in ("zero", "mean"):
        with pruned(model, drawn(model), fill):
            assert not same(bits(model), before)
        assert same(bits(model), before)


def test_sparsity_is_of_all_linear_maps(own):
    first = matrices(own)[0]
    chosen = Mask({first.name: packed(np.ones(first.shape, bool), first.shape)})
    total = sum(each.weight.numel() for each in matrices(own))
    assert sparsity(own, chosen) == first.weight.numel() / total < chosen.sparsity() == 1


def test_sets_of_another_model_are_refused(own):
    before = bits(own)
    strange = Mask({"7.mlp.up_proj": packed(np.ones((20, 24), bool), (20, 24))})
    turned = Mask({"0.mlp.up_proj": packed(np.ones((24, 20), bool), (24, 20))})
    for chosen, words in ((strange, "has no matrix 7"), (turned, "20 rows and 24 columns")):
        with pytest.raises(ModelError, match=words), pruned(own, chosen):
            pass
    assert same(bits(own), before)


def test_packed_weights_are_refused(tmp_path):
    pytest.importorskip("bitsandbytes")
    folder = save_tiny("llama", tmp_path / "m", hidden_size=64, head_dim=16, intermediate_size=64)
    model = load(settle(str(folder), device="cpu", quantization="nf4", dtype="float32"))
    with pytest.raises(ModelError, match="packed"), pruned(model, drawn(model)):
        pass
