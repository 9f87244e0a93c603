"""A head taken out as weights is a head whose output is zero: the right rows and columns."""

import pytest
import torch

from interlock.activations import forward
from interlock.edits import edited, zero
from interlock.encoding import collate, from_ids
from interlock.methods.baselines import probe, random
from interlock.methods.weight_groups import control_weights, unit_weights, weight_overlap
from interlock.sites import parse
from interlock.weight_edits import pruned

HEADS = (parse("head.0.1"), parse("head.1.0"))


@pytest.fixture(scope="module")
def rows():
    return from_ids([(1, 5, 9, 13, 7), (1, 4, 8)])


def test_taken_out_as_weights_or_as_output(family, rows):
    batch = collate(family, rows)
    with torch.no_grad():
        plain = forward(family, batch)[:, -1]
        with edited(family, [zero(head) for head in HEADS], batch):
            without = forward(family, batch)[:, -1]
        with pruned(family, unit_weights(family, HEADS)):
            taken = forward(family, batch)[:, -1]
    assert torch.allclose(taken, without, atol=1e-5)
    assert not torch.allclose(taken, plain, atol=1e-4)


def test_a_control_has_as_many_other_weights_of_each_matrix(llama):
    chosen = unit_weights(llama, HEADS[:1])
    for match in ("nothing", "magnitude"):
        other = control_weights(llama, chosen, match=match, seed=1)
        table = weight_overlap(llama, chosen, other)
        assert (table["first"] == table["second"]).all() and not table["both"].any()
        assert int(table["first"].sum()) == chosen.count() > 0


def test_probes_of_heads_alone(aligned, contrasts):
    found = probe(aligned, contrasts.splits["find"], places="heads")
    heads = aligned.shape.layers * aligned.shape.heads
    assert len(found.sites) == heads and {site.kind for site in found.sites} == {"head"}
    both = probe(aligned, contrasts.splits["find"])
    assert (found.values == both.at(found.sites).values).all()
    assert found.shares().max() > 0.8  # held-out topics
    assert len(random(aligned, contrasts.splits["find"], places="heads").sites) == heads
