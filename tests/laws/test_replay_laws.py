"""What must hold of replayed answers whatever the edits, the chunks and the order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.activations import record
from interlock.edits import edited, put
from interlock.encoding import collate, from_ids
from interlock.model import Model
from interlock.replay import keep, replay
from interlock.sites import KINDS, Site

ROWS = ((1, 13, 27, 31, 8, 45, 9), (1, 40, 18, 33, 5), (1, 13, 9, 31, 8, 2, 9))
OTHERS = ((1, 13, 7, 31, 8, 45, 9), (1, 40, 22, 33, 5), (1, 13, 9, 31, 30, 2, 9))
SHARED = (2, 2, 4)


def reading(logits, _):
    return logits[:, 5] - logits[:, 9]


def sites():
    indexed = st.sampled_from(["head", "neuron", "key", "value", "query"])
    whole = st.sampled_from([kind for kind in KINDS if kind.startswith(("resid", "attn", "mlp"))])
    layers = st.integers(0, 2)
    positions = st.sampled_from(["last", "all", "2", "-3"])
    index = st.sampled_from([None, (0, 1), (1, 2), (0, 2)])
    return st.builds(Site, whole, layers, st.none(), positions) | st.builds(
        Site, indexed, layers, index, positions
    )


variants = st.lists(st.lists(sites(), min_size=0, max_size=3), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def runs(llama: Model):
    base, other = (collate(llama, from_ids(rows)) for rows in (ROWS, OTHERS))
    return llama, base, other


def edits_of(model, batch, found):
    touched = list(dict.fromkeys(site for each in found for site in each))
    values = record(model, batch, touched).values
    return [[put(site, values[site]) for site in each] for each in found]


def close(first, second):
    return float((first - second).abs().max()) <= 1e-5


@settings(max_examples=12)
@given(found=variants, size=st.integers(1, 7), since=st.booleans())
def test_chunks_order_and_shared_tokens_change_nothing(runs, found, size, since):
    model, base, other = runs
    edits = edits_of(model, other, found)
    kept = keep(model, base)
    whole = replay(kept, edits, reading)
    assert close(replay(kept, edits, reading, size=size).values, whole.values)
    assert close(replay(kept, edits[::-1], reading).values.flip(0), whole.values)
    first = min(SHARED) if since else 0
    fewer = replay(keep(model, base, since=first), edits, reading, shared=SHARED)
    assert close(fewer.values, whole.values)


@settings(max_examples=12)
@given(found=variants)
def test_own_values_and_no_edit_are_the_base_run(runs, found):
    model, base, _ = runs
    kept = keep(model, base)
    done = replay(kept, [[], *edits_of(model, base, found)], reading)
    assert close(done.values, done.base[None])
    assert close(done.base, reading(kept.record.logits, None))
    assert done.floor <= 1e-5


@settings(max_examples=10)
@given(found=st.lists(sites(), min_size=1, max_size=4, unique=True))
def test_a_set_equals_edits_in_a_full_pass(runs, found):
    model, base, other = runs
    [edits] = edits_of(model, other, [found])
    with torch.no_grad(), edited(model, edits, base):
        logits = model.network(
            input_ids=base.ids,
            attention_mask=base.mask.long(),
            position_ids=base.position_ids,
            use_cache=False,
        ).logits[:, -1]
    assert close(replay(keep(model, base), [edits], reading).values[0], reading(logits, None))


def test_everything_from_the_first_layer_on_is_the_other_run(runs):
    model, base, other = runs
    edits = edits_of(model, other, [[Site("resid_pre", 0)], [Site("resid_post", 2)]])
    found = replay(keep(model, base), edits, reading, shared=SHARED)
    target = reading(record(model, other, []).logits, None)
    assert (target - found.base).abs().min() > 1e-3
    assert close(found.values, target[None])


def test_examples_keep_their_places(runs):
    """Readings are told which prompt each row is of."""
    model, base, other = runs
    seen = []

    def noting(logits, examples):
        seen.append(list(examples))
        return torch.tensor([float(example) for example in examples])

    edits = edits_of(model, other, [[Site("mlp", 1, position="last")], [Site("attn", 0)]])
    found = replay(keep(model, base), edits, noting, size=2)
    assert found.values.tolist() == [[0.0, 1.0, 2.0]] * 2
    assert found.base.tolist() == [0.0, 1.0, 2.0]
    assert all(len(each) <= 3 for each in seen)
