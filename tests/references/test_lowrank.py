"""Low-rank directions against a plain SVD of the outputs, and what projections do on the texts."""

import pytest
import torch

import naive_weights
from interlock.errors import InterlockError
from interlock.matrices import dense, matrices
from interlock.methods.lowrank import subspace_similarity, used_directions
from interlock.subspaces import along, orthogonal_change, similarity, subspace
from interlock.tables import Table
from numbered import numbered, replies_of

SAFETY = (([1, 5, 9, 13, 7], [3, 8, 2, 9]), ([1, 30, 17], [5, 5, 40, 22, 7, 19]))
UTILITY = (([1, 4, 8, 20], [9, 6, 30, 31, 32, 33]), ([1, 12], [44, 3, 21]))


@pytest.fixture(scope="module", params=["llama", "gpt2", "phi3", "olmo2"])
def model(request, tiny):
    return numbered(tiny(request.param))


def outputs(model, pairs):
    """W X by matrix, [out token], by brute force."""
    seen = naive_weights.inputs(model.network, pairs)
    return {m.name: dense(m) @ torch.cat(seen[m.name]).T for m in matrices(model)}


def test_actsvd_is_the_svd_of_the_outputs(model):
    used = used_directions(model, replies_of(SAFETY), batch=1).parts
    assert set(used) == {each.name for each in matrices(model)}
    for matrix in matrices(model):
        whole = outputs(model, SAFETY)[matrix.name].double()
        left, values, _ = torch.linalg.svd(whole, full_matrices=False)
        for rank in (1, 3):
            wanted = left[:, :rank] @ left[:, :rank].T @ dense(matrix).double()
            found = along(dense(matrix), used[matrix.name].first(rank)).double()
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
        count = min(3, len(values))
        torch.testing.assert_close(
            used[matrix.name].energy[:count].double(), values[:count] ** 2, rtol=1e-4, atol=1e-6
        )


def test_no_other_map_of_that_rank_is_nearer_on_the_texts():
    generator = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(6, 8, generator=generator), torch.randn(8, 20, generator=generator)
    inputs *= torch.arange(1.0, 9.0)[:, None]
    used = subspace(weight, inputs @ inputs.T)
    best = (weight @ inputs - along(weight, used.first(2)) @ inputs).norm()
    plain = torch.linalg.svd(weight)
    truncated = plain.U[:, :2] * plain.S[:2] @ plain.Vh[:2]
    assert best < (weight @ inputs - truncated @ inputs).norm()
    values = torch.linalg.svdvals(weight @ inputs)
    torch.testing.assert_close(best, values[2:].square().sum().sqrt())


def test_all_directions_of_a_tall_map_lie_among_its_outputs():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(20, 6, generator=generator)
    inputs = torch.randn(6, 3, generator=generator)  # fewer texts than inputs
    used = subspace(weight, inputs @ inputs.T)
    assert used.basis.shape == (20, 6) and used.rank == len(used.energy) == 6
    torch.testing.assert_close(used.basis.T @ used.basis, torch.eye(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(along(weight, used.basis), weight, atol=1e-5, rtol=1e-4)
    values = torch.linalg.svdvals(weight @ inputs)
    torch.testing.assert_close(used.energy[:3], values**2, atol=1e-4, rtol=1e-4)
    assert used.energy[3:].max() < 1e-4


def test_the_orthogonal_change_is_its_formula_and_bounded_in_rank(model):
    safety, utility = (used_directions(model, replies_of(each)).parts for each in (SAFETY, UTILITY))
    for matrix in matrices(model):
        weight, top = dense(matrix), min(matrix.shape)
        u, s = utility[matrix.name].first(top - 21), safety[matrix.name].first(top - 14)
        change = orthogonal_change(weight, s, u)
        identity = torch.eye(len(weight))
        wanted = (identity - u @ u.T) @ (s @ s.T) @ weight
        torch.testing.assert_close(change, wanted, atol=1e-5, rtol=1e-4)
        assert torch.linalg.matrix_rank(change, rtol=1e-4) <= max(top - 14, 0)
        if top > 21:
            assert (u.T @ change).abs().max() < 1e-5  # what harmless replies use stays


def test_similarity_of_subspaces_is_one_zero_or_chance():
    identity = torch.eye(40)
    first = subspace(identity, torch.diag(torch.arange(40.0, 0, -1)))
    last = subspace(identity, torch.diag(torch.arange(40.0)))
    assert similarity(first, first, 10) == pytest.approx(1)
    assert similarity(first, last, 10) == pytest.approx(0, abs=1e-6)
    generator = torch.Generator().manual_seed(0)
    other = torch.randn(40, 60, generator=generator)
    assert abs(similarity(first, subspace(identity, other @ other.T), 10) - 0.25) < 0.12


def test_the_table_compares_sets_and_halves(model):
    table = subspace_similarity(model, replies_of(SAFETY), replies_of(UTILITY), rank=2)
    assert table["matrix"].tolist() == [each.name for each in matrices(model)]
    same = subspace_similarity(model, replies_of(SAFETY), replies_of(SAFETY), rank=2)
    assert same["similarity"] == pytest.approx(1, abs=1e-4)
    assert same["safety ceiling"] == pytest.approx(same["utility ceiling"], abs=1e-4)
    name = table["matrix"][3]
    basis = [
        torch.linalg.svd(outputs(model, each)[name].double()).U[:, :2] for each in (SAFETY, UTILITY)
    ]
    wanted = float((basis[0].T @ basis[1]).square().sum()) / 2
    assert table["similarity"][3] == pytest.approx(wanted, abs=1e-3)
    halves = [torch.linalg.svd(outputs(model, [p])[name].double()).U[:, :2] for p in SAFETY]
    wanted = float((halves[0].T @ halves[1]).square().sum()) / 2
    assert table["safety ceiling"][3] == pytest.approx(wanted, abs=1e-3)
    assert isinstance(table, Table) and (table["chance"] < 1).all()
    with pytest.raises(InterlockError, match="at least one direction"):
        subspace_similarity(model, replies_of(SAFETY), replies_of(UTILITY), rank=0)
