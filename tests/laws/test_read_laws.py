"""Laws of reading: padding and batches do not matter, gradients are slopes."""

import copy
from dataclasses import replace

import pytest
import torch

import naive
from interlock.activations import forward, record
from interlock.edits import add, edited
from interlock.encoding import collate, from_ids
from interlock.sites import KINDS, Site

ROWS = ((1, 5, 9, 13, 7), (1, 4, 8, 20, 33, 41, 6, 11), (1, 30, 2, 17, 17, 3))


def test_batch_size_and_left_padding_change_nothing(family):
    sites = [Site(kind, layer) for kind in KINDS for layer in range(3)]
    together = record(family, collate(family, from_ids(ROWS)), sites)
    for row, ids in enumerate(ROWS):
        alone = record(family, collate(family, from_ids([ids])), sites)
        assert alone.logits.std() > 0.1
        assert torch.allclose(alone.logits[0], together.logits[row], atol=1e-5)
        for site in sites:
            value = together.values[site][row, -len(ids) :]
            assert value.std() > 1e-3
            assert torch.allclose(alone.values[site][0], value, atol=1e-5, rtol=1e-5), site


def test_the_order_of_rows_does_not_matter(family):
    one = record(family, collate(family, from_ids(ROWS)), [Site("attn", 1)])
    turned = record(
        family, collate(family, from_ids([ROWS[2], ROWS[0], ROWS[1]])), [Site("attn", 1)]
    )
    assert torch.allclose(one.logits[[2, 0, 1]], turned.logits, atol=1e-6)


def test_named_positions_read_the_tokens_they_name(family):
    batch = collate(family, from_ids(ROWS))
    names = ("last", "-2", "0", "3", "-5")
    sites = [Site("resid_mid", 1), *(Site("resid_mid", 1, position=name) for name in names)]
    found = record(family, batch, sites)
    for row, ids in enumerate(ROWS):
        own = found.values[sites[0]][row, -len(ids) :]
        for site, token in zip(sites[1:], (-1, -2, 0, 3, -5), strict=True):
            assert torch.equal(found.values[site][row, 0], own[token])


def score(logits):
    return logits[:, 3] - 2 * logits[:, 17] + logits[:, 40]


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_is_the_slope_of_a_float64_forward(family, kind):
    """Against finite differences in the naive forward, along a random direction of a whole site."""
    decoder, ids = naive.Decoder(family.network), ROWS[1]
    batch, step = collate(family, from_ids([ids])), 1e-5
    sites = [Site(kind, layer) for layer in (0, 2)]
    found = record(family, batch, sites, metric=score)
    generator = torch.Generator().manual_seed(2)
    for site in sites:
        gradient = found.gradients[site][0].double()
        assert gradient.abs().max() > 1e-4
        along = torch.randn(gradient.shape, generator=generator).double()

        def moved(size, place=(kind, site.layer), way=along):
            logits, _ = decoder.run(ids, {place: lambda old: old + size * way})
            return float(score(logits[-1:]))

        slope = (moved(step) - moved(-step)) / (2 * step)
        assert abs(slope) > 1e-3
        assert abs(float((gradient * along).sum()) - slope) < 1e-3 * max(1, abs(slope)), site


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_is_the_slope_of_edits_in_a_float64_model(llama, kind):
    wide = replace(llama, network=copy.deepcopy(llama.network).double())
    batch, step = collate(wide, from_ids(ROWS)), 1e-3
    site = Site(kind, 1, position="-3")
    found = record(wide, batch, [site], metric=score)
    gradient = found.gradients[site]
    assert gradient.dtype == torch.float64
    generator = torch.Generator().manual_seed(3)
    along = torch.randn(gradient.shape, generator=generator).double()

    def moved(size):
        with torch.no_grad(), edited(wide, [add(site, size * along)], batch):
            return float(score(forward(wide, batch)[:, -1]).sum())

    slope = (moved(step) - moved(-step)) / (2 * step)
    assert abs(slope) > 1e-3
    # the family's norms compute in float32 whatever the model's type
    assert abs(float((gradient * along).sum()) - slope) < 5e-3 * max(1, abs(slope))


def test_reading_gradients_leaves_the_weights_frozen(llama):
    record(llama, collate(llama, from_ids(ROWS)), [Site("mlp", 0)], metric=score)
    assert all(weight.grad is None for weight in llama.network.parameters())
    assert not any(weight.requires_grad for weight in llama.network.parameters())
