"""Projections of weights as a grid: formulas, random controls, ranks of narrow maps, exact undo."""

import pytest
import torch

from interlock import subspaces
from interlock.errors import InterlockError, ModelError, RunError
from interlock.loading import load, settle
from interlock.matrices import dense, matrices
from interlock.methods.lowrank import used_directions
from interlock.rank_grid import Ranks, changes, said
from interlock.subspaces import Subspaces, random_directions
from interlock.weight_grid import NO_SHARE, shares
from numbered import numbered, replies_of
from tiny_models import save_tiny

SAFETY = (([1, 5, 9, 13, 7], [3, 8, 2, 9]), ([1, 30, 17], [5, 5, 40, 22, 7, 19]))
UTILITY = (([1, 4, 8, 20], [9, 6, 30, 31, 32, 33]), ([1, 12], [44, 3, 21]))
P, Q = 0.25, 0.125


@pytest.fixture(params=["llama", "gpt2", "phi3"])
def own(request, tiny):
    return numbered(tiny(request.param))


def ranks_of(model, choose="difference", share=1.0, seed=0):
    found = [used_directions(model, replies_of(each), share=share) for each in (SAFETY, UTILITY)]
    return Ranks(model, *found, choose, seed)


def bits(model):
    return {name: each.clone() for name, each in model.network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def taken(ranks, point, controls=0):
    """What every change of one point takes from each matrix, and whether all came back."""
    model, found = ranks.model, []
    before, whole = bits(model), {each.name: dense(each).clone() for each in matrices(model)}
    for change in changes(ranks, [point], controls=controls):
        entered = change.enter()
        with entered.context:
            lost = {each.name: whole[each.name] - dense(each) for each in matrices(model)}
        found.append((change, entered.size, lost))
        assert same(before, bits(model))
    return found, whole


def test_a_point_is_the_papers_formula_and_comes_off_bit_for_bit(own):
    ranks = ranks_of(own)
    (_, (change, size, lost)), whole = taken(ranks, (P, Q))
    assert (change.kind, change.at) == ("found", {"p": P, "q": Q})
    counted = 0
    for matrix in matrices(own):
        rank, eye = min(matrix.shape), torch.eye(matrix.shape[0])
        u = ranks.utility.parts[matrix.name].basis[:, : round(P * rank)]
        s = ranks.safety.parts[matrix.name].basis[:, : round(Q * rank)]
        wanted = (eye - u @ u.T) @ s @ s.T @ whole[matrix.name]
        torch.testing.assert_close(lost[matrix.name], wanted, atol=1e-5, rtol=1e-4)
        assert torch.linalg.matrix_rank(wanted.double(), rtol=1e-4) <= round(Q * rank)
        counted += round(Q * rank)
    assert size["ranks"] == counted
    assert size["share"] == counted / sum(min(each.shape) for each in matrices(own))


def test_top_and_bottom_are_actsvd(own):
    for choose in ("top", "bottom"):
        ranks = ranks_of(own, choose)
        (point,) = shares(choose, (), (Q,), "grid")
        assert point == (NO_SHARE, Q)
        (_, (_, _, lost)), whole = taken(ranks, point)
        for matrix in matrices(own):
            weight, basis = whole[matrix.name], ranks.safety.parts[matrix.name].basis
            count = round(Q * min(matrix.shape))
            used = basis[:, :count] if choose == "top" else basis[:, basis.shape[1] - count :]
            torch.testing.assert_close(
                lost[matrix.name], used @ used.T @ weight, atol=1e-5, rtol=1e-4
            )


def test_a_control_takes_as_much_rank_at_random_and_spares_the_same(own):
    ranks = ranks_of(own)
    (_, (_, size, lost), *controls), whole = taken(ranks, (P, Q), controls=2)
    for change, their_size, theirs in controls:
        assert change.kind == "random" and their_size == size
        for matrix in matrices(own):
            rank, change_of = min(matrix.shape), theirs[matrix.name]
            u = ranks.utility.parts[matrix.name].basis[:, : round(P * rank)]
            assert (u.T @ change_of).abs().max() < 1e-4 * whole[matrix.name].abs().max()
            assert not torch.allclose(change_of, lost[matrix.name], atol=1e-4)
            values = torch.linalg.svdvals(change_of.double())
            count = round(Q * rank)
            assert values[count - 1] > 1e-3 and values[count:].max() < 1e-4
    one, two = (theirs["0.mlp.down_proj" if "0.mlp.down_proj" in theirs else next(iter(theirs))]
                for _, _, theirs in controls)  # fmt: skip
    assert not torch.allclose(one, two, atol=1e-4)
    again, _ = taken(ranks, (P, Q), controls=2)
    assert all(same(first[2], second[2]) for first, second in zip(again[2:], controls, strict=True))


def test_random_directions_are_even_among_what_the_outputs_can_have():
    generator = torch.Generator().manual_seed(0)
    for shape in ((20, 8), (8, 20), (8, 8)):
        weight = torch.randn(shape, generator=generator)
        inside = torch.linalg.qr(weight).Q[:, : min(shape)]
        total = torch.zeros(shape[0], shape[0])
        for _ in range(400):
            basis = random_directions(weight, 2, generator)
            torch.testing.assert_close(basis.T @ basis, torch.eye(2), atol=1e-5, rtol=0)
            total += basis @ basis.T / 400
        even = inside @ inside.T * 2 / min(shape)
        assert (total - even).abs().max() < 0.05  # six standard errors


def test_narrow_maps_have_shares_of_their_own_ranks(tiny):
    model = numbered(tiny("llama"))  # keys and values are 16 wide, queries 32
    (_, (_, _, lost)), _ = taken(ranks_of(model, "top"), (NO_SHARE, 1 / 16))
    for name, count in (("k_proj", 1), ("v_proj", 1), ("q_proj", 2)):
        values = torch.linalg.svdvals(lost[f"0.self_attn.{name}"].double())
        assert values[count - 1] > 1e-3 > values[count:].max()
    (_, (_, size, lost)), _ = taken(ranks_of(model, "top"), (NO_SHARE, 1 / 33))
    assert not lost["0.self_attn.k_proj"].any() and lost["0.self_attn.q_proj"].any()
    assert size["ranks"] > 0


def test_half_precision_comes_back(tmp_path):
    folder = save_tiny("llama", tmp_path / "half")
    model = numbered(load(settle(str(folder), device="cpu", dtype="bfloat16")))
    found, _ = taken(ranks_of(model), (P, Q), controls=1)
    assert all(any(bool(each.any()) for each in lost.values()) for _, _, lost in found[1:])


def test_kept_directions_are_enough_for_the_grid(own):
    model, point = own, (P, Q)
    few = ranks_of(model, share=0.25)
    (_, (_, _, lost)), _ = taken(few, point)
    (_, (_, _, whole)), _ = taken(ranks_of(model), point)
    assert all(torch.equal(lost[name], whole[name]) for name in whole)
    assert all(each.basis.shape[1] == round(0.25 * each.rank) for each in few.safety.parts.values())
    for ranks, asked, words in (
        (few, (0.5, Q), "p=0.5 cannot be had: 0.25 of the directions were kept"),
        (few, (P, 0.5), "q=0.5 cannot be had"),
        (ranks_of(model, "bottom", share=0.25), (NO_SHARE, Q), "least used directions"),
        (few, (P, 0.001), "takes no direction"),
        (ranks_of(model), (1.0, Q), "takes no direction"),
        (ranks_of(model), (P, 0.6), "more than half"),
    ):
        with pytest.raises(InterlockError, match=words):
            changes(ranks, [asked], controls=1)


def test_directions_of_another_model_are_refused(tiny):
    one, other = numbered(tiny("llama")), numbered(tiny("gpt2"))
    found = used_directions(other, replies_of(SAFETY))
    with pytest.raises(ModelError, match="of another model"):
        changes(Ranks(one, found, found, "top", 0), [(NO_SHARE, Q)], controls=0)


def test_directions_are_kept_in_a_file(own, tmp_path):
    found = used_directions(own, replies_of(SAFETY), share=0.5)
    subspaces.save(found, tmp_path / "found.safetensors")
    again = subspaces.load(tmp_path / "found.safetensors")
    assert isinstance(again, Subspaces)
    assert (again.share, dict(again.about)) == (found.share, dict(found.about))
    assert list(again.parts) == list(found.parts)
    for name, each in found.parts.items():
        assert torch.equal(each.basis, again.parts[name].basis)
        assert torch.equal(each.energy, again.parts[name].energy)
    told = again.table()
    assert told["rank"].tolist() == [min(each.shape) for each in matrices(own)]
    energy = found.parts[next(iter(found.parts))].energy.double()
    assert told["first"][0] == pytest.approx(float(energy[0] / energy.sum()))
    assert (told["for 99 %"] <= told["rank"]).all() and (told["participation"] >= 1).all()
    (tmp_path / "not.safetensors").write_bytes(b"x")
    with pytest.raises(RunError, match="cannot be read as subspaces"):
        subspaces.load(tmp_path / "not.safetensors")


def test_what_is_said_names_the_control(own):
    assert "the same ones spared" in said(ranks_of(own))["control"]
    assert "spared" not in said(ranks_of(own, "top"))["control"]
