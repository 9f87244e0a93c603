"""Sets of weights: top shares with ties, set difference, algebra, controls, units, and the disk."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock import mask as masks
from interlock.errors import InterlockError, ModelError, RunError
from interlock.mask import Mask, by, overlap, packed, read_indices, write_indices
from interlock.matrices import matrices, parts_of
from interlock.selection import unit_sites
from interlock.sites import parse
from interlock.weight_controls import balance, matched, random
from interlock.weight_scores import WeightScores
from interlock.weight_sets import difference, retest, top
from interlock.weight_units import mask_of, top_units, unit_scores

SHAPES = {"0.a.q": (6, 5), "0.b": (3, 8), "1.a.q": (6, 5), "10.b": (3, 8)}
seeds = st.integers(0, 10_000)
shares = st.floats(0, 1)


def scored(seed, levels=0, shapes=SHAPES):
    """Random scores; with `levels`, whole numbers below it, so that many tie."""
    generator = np.random.default_rng(seed)
    halves = {
        name: torch.tensor(
            generator.integers(0, levels, (2, *shape)) if levels else generator.random((2, *shape)),
            dtype=torch.float32,
        )
        for name, shape in shapes.items()
    }
    return WeightScores(halves, (3, 2), "nat", {"method": "made"})


def drawn(seed, share=0.4):
    generator = np.random.default_rng(seed)
    return Mask({n: packed(generator.random(s) < share, s) for n, s in SHAPES.items()})


def flags(mask):
    return np.concatenate([mask.weights(name).ravel() for name in SHAPES])


def first_of(values, count):
    """The plain way: a stable sort, largest first."""
    found = np.zeros(len(values), dtype=bool)
    found[np.argsort(-np.asarray(values, dtype=np.float64), kind="stable")[:count]] = True
    return found


@given(seeds, shares, st.sampled_from([0, 3, 1]), st.booleans())
@settings(max_examples=40)
def test_top_is_a_stable_sort_in_every_granularity(seed, share, levels, bottom):
    scores = scored(seed, levels)
    sign = -1 if bottom else 1
    means = {name: sign * scores.mean(name).numpy() for name in SHAPES}
    plain = {
        "matrix": [first_of(v.ravel(), int(share * v.size)) for v in means.values()],
        "row": [first_of(row, int(share * len(row))) for v in means.values() for row in v],
        "global": [first_of(np.concatenate([v.ravel() for v in means.values()]), int(share * 108))],
    }
    for granularity, parts in plain.items():
        wanted = np.concatenate(parts)
        if not wanted.any():
            with pytest.raises(InterlockError, match="less than one weight"):
                top(scores, share, granularity=granularity, bottom=bottom)
            continue
        found = top(scores, share, granularity=granularity, bottom=bottom)
        assert np.array_equal(flags(found), wanted)
        assert found.count() == wanted.sum()


def test_thresholds_tell_numbers_apart_to_the_last_bit():
    values = torch.full((4, 64), 1.0)
    values[3, 63] = torch.nextafter(values[0, 0], torch.tensor(2.0))
    values[2, 5] = 1e-45  # subnormal
    values[1, 1] = 0.0
    scores = WeightScores({"0.a": values[None]}, (1,), "nat")
    assert top(scores, 1 / 256).weights("0.a")[3, 63]
    bottom = top(scores, 2 / 256, bottom=True).weights("0.a")
    assert bottom[2, 5] and bottom[1, 1] and bottom.sum() == 2


@given(seeds, seeds, st.floats(0.05, 0.9), st.floats(0.3, 1))
@settings(max_examples=20)
def test_the_difference_is_of_the_two_tops(one, two, p, q):
    safety, utility = scored(one), scored(two)
    wanted = flags(top(safety, q)) & ~flags(top(utility, p))
    if wanted.any():
        found = difference(safety, utility, p=p, q=q)
        assert np.array_equal(flags(found), wanted)
        assert found.about["set"].startswith("set difference")


@pytest.mark.parametrize("bad", [-0.1, 1.01, float("nan"), 5])
def test_shares_out_of_range_are_refused(bad):
    one, two = scored(1), scored(2)
    with pytest.raises(InterlockError, match=r"^p=.* is no share: give 0 to 1"):
        difference(one, two, p=bad, q=0.5)
    with pytest.raises(InterlockError, match=r"^q="):
        difference(one, two, p=0.5, q=bad)
    with pytest.raises(InterlockError, match=r"^share="):
        top(one, bad)


def test_an_empty_difference_and_foreign_or_signed_scores_are_refused():
    one = scored(1)
    with pytest.raises(InterlockError, match="set difference is empty"):
        difference(one, one, p=0.5, q=0.5)
    other = scored(1, shapes={**SHAPES, "0.b": (3, 7)})
    with pytest.raises(InterlockError, match="of two models"):
        difference(one, other, p=0.5, q=0.5)
    for value in (-1.0, float("nan")):
        halves = {"0.a": torch.tensor([[[1.0, value]]])}
        with pytest.raises(InterlockError, match="unsigned"):
            top(WeightScores(halves, (1,), "nat"), 0.5)


def test_retest_is_one_for_equal_halves_and_chance_for_unlike_ones():
    shape = {"0.a": (200, 200)}
    scores = scored(0, shapes=shape)
    same = WeightScores({"0.a": scores.halves["0.a"][:1].repeat(2, 1, 1)}, (1, 1), "nat")
    assert retest(same, lambda each: top(each, 0.1))["jaccard"][0] == 1
    unlike = retest(scores, lambda each: top(each, 0.1))
    assert abs(unlike["overlap"][0] - 0.1) < 0.02 and unlike["chance"][0] == pytest.approx(0.1)


@given(seeds, seeds)
@settings(max_examples=25)
def test_set_algebra_is_that_of_flags(one, two):
    a, b = drawn(one), drawn(two)
    assert np.array_equal(flags(a & b), flags(a) & flags(b))
    assert np.array_equal(flags(a | b), flags(a) | flags(b))
    assert np.array_equal(flags(a - b), flags(a) & ~flags(b))
    assert a == a & a and (a == b) == np.array_equal(flags(a), flags(b))
    assert a.count() == flags(a).sum() and a.total() == flags(a).size
    found = by(overlap(a, b), "all")
    both, either = (flags(a) & flags(b)).sum(), (flags(a) | flags(b)).sum()
    assert found["jaccard"][0] == pytest.approx(both / either)
    assert found["overlap"][0] == pytest.approx(both / min(a.count(), b.count()))


def test_overlap_by_layer_and_type_adds_up():
    table = overlap(drawn(1), drawn(2))
    assert table["layer"].tolist() == [0, 0, 1, 10]
    assert table["type"].tolist() == ["a.q", "b", "a.q", "b"]
    layers, types = by(table, "layer"), by(table, "type")
    assert layers["layer"].tolist() == [0, 1, 10] and types["type"].tolist() == ["a.q", "b"]
    for each in (layers, types):
        assert each["both"].sum() == table["both"].sum()


def test_rows_and_columns_are_the_weights_in_them():
    shape = (5, 11)
    rows = Mask({"0.a": packed(np.array([1, 0, 0, 1, 0], dtype=bool), shape, "row")}, "neuron")
    columns = Mask({"0.a": packed(np.arange(11) < 3, shape, "column")}, "neuron")
    assert rows.count() == 22 and columns.count() == 15
    wanted = np.zeros(shape, dtype=bool)
    wanted[[0, 3], :3] = True
    both = rows & columns
    assert np.array_equal(both.weights("0.a"), wanted) and both.count() == 6
    assert (rows & rows).parts["0.a"].axis == "row"
    assert by(overlap(rows, columns), "all")["both"][0] == 6
    other = Mask({"0.a": packed(np.zeros((5, 12), dtype=bool), (5, 12))})
    with pytest.raises(InterlockError, match="differ in the shape"):
        _ = rows & other


def test_a_set_survives_the_disk(tmp_path):
    path = tmp_path / "set.safetensors"
    for mask in (drawn(3).described(set="made"), Mask({}), _unit_mask()):
        masks.save(mask, path)
        again = masks.load(path)
        assert again == mask and again.unit == mask.unit and again.about == dict(mask.about)
        assert again.names == mask.names
    assert path.stat().st_size < 2000
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="cannot be read as a set"):
        masks.load(path)


def _unit_mask():
    return Mask({"3.x": packed(np.arange(9) % 2 == 0, (9, 4), "row")}, "head", {"set": "heads"})


def test_indices_are_written_and_read_as_the_studies_do(tmp_path):
    mask, path = drawn(5), tmp_path / "set.json"
    write_indices(mask, path)
    found = json.loads(path.read_text())
    assert list(found) == ["layer_0_a.q", "layer_0_b", "layer_1_a.q", "layer_10_b"]
    wanted = [[r, c] for r in range(6) for c in range(5) if mask.weights("0.a.q")[r, c]]
    assert found["layer_0_a.q"] == wanted
    assert read_indices(path, SHAPES) == mask
    path.write_text(json.dumps({"layer_1_a.q": [[5, 4]]}))
    only = read_indices(path, SHAPES)
    assert only.count() == 1 and only.weights("1.a.q")[5, 4] and only.names == tuple(SHAPES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "not a JSON object"),
        ("{", "cannot be read as JSON"),
        ('{"layer_7_b": [[0, 0]]}', "does not have, first 'layer_7_b'"),
        ('{"0.b": [[0, 0]]}', "names no matrix"),
        ('{"layer_0_b": [[3, 0]]}', "outside of its 3 rows and 8 columns"),
        ('{"layer_0_b": [[0, -1]]}', "outside of its"),
        ('{"layer_0_b": [[0]]}', "pairs of whole numbers"),
        ('{"layer_0_b": [[0, 1.5]]}', "pairs of whole numbers"),
        ('{"layer_0_b": 3}', "pairs of whole numbers"),
    ],
)
def test_wrong_indices_are_refused(tmp_path, text, said):
    path = tmp_path / "set.json"
    path.write_text(text)
    with pytest.raises(InterlockError, match=said) as caught:
        read_indices(path, SHAPES)
    assert "\n" not in str(caught.value)


BIG = {"0.a": (120, 100), "1.a": (80, 90)}


def chosen_by_size(seed):
    """A set that favours large scores, as SNIP favours large weights."""
    scores = scored(seed, shapes=BIG)
    generator = np.random.default_rng([seed, 1])  # not the stream that made the scores
    parts = {}
    for name, shape in BIG.items():
        values = scores.mean(name).numpy()
        parts[name] = packed(generator.random(shape) < 0.2 * values**2, shape)
    return Mask(parts, about={"set": "large"}), scores


@given(seeds)
@settings(max_examples=8)
def test_controls_are_as_many_others_with_the_same_distribution(seed):
    mask, scores = chosen_by_size(seed)
    alike, plain = matched(mask, scores, seed=1), random(mask, seed=1)
    for control in (alike, plain):
        assert (control & mask).count() == 0
        for name in BIG:
            assert control.parts[name].count() == mask.parts[name].count()
    assert np.abs(balance(mask, alike, scores)["difference"]).max() < 0.08
    assert balance(mask, plain, scores)["difference"].min() > 0.3
    assert alike == matched(mask, scores, seed=1) != matched(mask, scores, seed=2)
    assert plain == random(mask, seed=1) != random(mask, seed=2)


def test_a_control_of_the_very_largest_takes_the_next_largest():
    scores = WeightScores({"0.a": torch.arange(100.0).reshape(1, 10, 10)}, (1,), "nat")
    found = matched(top(scores, 0.1), scores, seed=0)
    assert np.flatnonzero(found.weights("0.a").ravel()).min() >= 50
    assert found.count() == 10
    with pytest.raises(InterlockError, match="only 40 others are left"):
        matched(top(scores, 0.6), scores, seed=0)
    with pytest.raises(InterlockError, match="only 40 others are left"):
        random(top(scores, 0.6), seed=0)


def ones(model):
    return WeightScores({m.name: torch.ones(1, *m.shape) for m in matrices(model)}, (1,), "nat")


FAMILIES = ("llama", "olmo2", "phi3", "gpt2", "gpt_neox", "gemma2")


@pytest.mark.parametrize("family", FAMILIES)
def test_units_share_out_every_weight(tiny, family):
    """Summed over all heads and neurons, every weight of the layers counts once."""
    model = tiny(family)
    sites = unit_sites(model.shape, 4)
    total = sum(matrix.shape[0] * matrix.shape[1] for matrix in matrices(model))
    assert unit_scores(model, ones(model), sites).sum() == pytest.approx(total)
    heads = [site for site in sites if site.kind == "head"]
    neurons = [site for site in sites if site.kind == "neuron"]
    whole = mask_of(model, heads).count() + mask_of(model, neurons).count()
    assert whole == total


@pytest.mark.parametrize("family", FAMILIES)
def test_a_unit_without_its_weights_is_off(tiny, family):
    """Zeroing a unit's columns, and nothing else of it, takes it out: the same as editing it."""
    from interlock.activations import forward
    from interlock.edits import edited, zero
    from interlock.encoding import collate, from_ids

    model = tiny(family)
    batch = collate(model, from_ids([[1, 5, 9, 13]]))
    for text in ("head.1.2", "neuron.2.3:5"):
        site = parse(text)
        with torch.no_grad(), edited(model, [zero(site)], batch):
            wanted = forward(model, batch, keep=0)
        part = next(each for each in parts_of(model, site) if each.axis == "column")
        weight = next(each for each in matrices(model) if each.name == part.matrix).weight
        before = weight.clone()
        weight[:, list(part.index)] = 0
        with torch.no_grad():
            found = forward(model, batch, keep=0)
        weight.copy_(before)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_head_move_that_head_alone(tiny, family):
    """Changing a head's own query rows changes what this head reads out, and no other head."""
    from interlock.activations import record
    from interlock.encoding import collate, from_ids
    from interlock.sites import unit

    model = tiny(family)
    batch = collate(model, from_ids([[1, 5, 9, 13]]))
    sites = [unit("head", 0, head) for head in range(4)]
    before = record(model, batch, sites).values
    by_name = {each.name: each for each in matrices(model)}
    for part in parts_of(model, sites[1]):
        if part.axis == "row" and part.shared == 1:
            weight = by_name[part.matrix].weight
            kept = weight.clone()
            weight[list(part.index)] *= 0.5
            after = record(model, batch, sites).values
            weight.copy_(kept)
            moved = [not torch.allclose(before[s], after[s], atol=1e-5) for s in sites]
            if model.architecture.family.startswith("OLMo"):  # one norm over all heads' queries
                assert moved[1]
            else:
                assert moved == [False, True, False, False]


def test_shared_rows_need_all_their_heads(llama):
    one, both = (mask_of(llama, [parse(t) for t in ts]) for ts in (["head.0.0"], ["head.0.0:2"]))
    assert one.parts["0.self_attn.k_proj"].count() == 0
    assert both.parts["0.self_attn.k_proj"].flags()[:8].all()
    assert not both.parts["0.self_attn.k_proj"].flags()[8:].any()
    assert one.parts["0.self_attn.o_proj"].axis == "column" and one.unit == "head"
    with pytest.raises(InterlockError, match="heads or neurons"):
        mask_of(llama, [parse("head.0.0"), parse("neuron.0.0")])
    with pytest.raises(InterlockError, match="heads or neurons"):
        mask_of(llama, [parse("mlp.0")])
    with pytest.raises(ModelError, match="no unit of weights"):
        parts_of(llama, parse("mlp.0"))


def test_top_units_are_by_their_sum(llama):
    sites = unit_sites(llama.shape, 2)
    scores = ones(llama)
    scores.halves["1.mlp.up_proj"][0, 10:] += 5
    assert str(top_units(llama, scores, sites, 1)[0]) == "neuron.1.10:20"
    with pytest.raises(InterlockError, match="cannot be taken"):
        top_units(llama, scores, sites, len(sites) + 1)
