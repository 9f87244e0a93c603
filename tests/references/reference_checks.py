"""Checks against what we did not write, as plain functions: they return, or raise AssertionError.

The normal tests and the sabotage tests call the same functions.
"""

import math

import torch

import naive
from interlock.activations import forward, record
from interlock.edits import edited, put, scale
from interlock.encoding import collate, from_ids
from interlock.metrics import Openers, opening_score
from interlock.sites import INDEXED, Site, unit

ROWS = ((1, 5, 9, 13, 7), (1, 4, 8, 20, 33, 41, 6, 11), (1, 30, 2, 17, 17, 3))


def batch_of(model, rows=ROWS):
    return collate(model, from_ids(rows))


def alive(value):
    """Refuse to compare what could not differ: all zero, or the same everywhere."""
    assert torch.isfinite(value).all()
    assert value.abs().max() > 1e-3
    assert value.std() > 1e-3


def close(found, wanted, tolerance=5e-5):
    alive(wanted.detach())
    assert found.shape == wanted.shape, f"{found.shape} is not {wanted.shape}"
    scale_of = wanted.abs().max()
    difference = (found.double() - wanted.double()).abs().max()
    assert difference <= tolerance * scale_of, f"off by {float(difference / scale_of):.3g}"


def hidden_states(model, rows=ROWS):
    """Residual sites are the hidden states that Hugging Face returns."""
    batch = batch_of(model, rows)
    layers = model.shape.layers
    sites = [Site(kind, layer) for kind in ("resid_pre", "resid_post") for layer in range(layers)]
    found = record(model, batch, sites)
    with torch.no_grad():
        out = model.network(
            input_ids=batch.ids,
            attention_mask=batch.mask.long(),
            position_ids=batch.position_ids,
            output_hidden_states=True,
        )
    real = batch.mask
    assert len(out.hidden_states) == layers + 1
    for layer in range(layers):
        close(found.values[Site("resid_pre", layer)][real], out.hidden_states[layer][real])
        after = found.values[Site("resid_post", layer)][real]
        if layer == layers - 1:
            with torch.no_grad():
                after = model.network.model.norm(after)
        close(after, out.hidden_states[layer + 1][real])
    close(found.logits, out.logits[:, -1])


def heads_recompose(model, rows=ROWS):
    """Every head, read alone and put through its columns of o_proj, adds up to attention."""
    batch = batch_of(model, rows)
    width = model.network.config.head_dim
    for layer in range(model.shape.layers):
        heads = [unit("head", layer, head) for head in range(model.shape.heads)]
        found = record(model, batch, [*heads, Site("attn", layer)])
        weight = model.network.model.layers[layer].self_attn.o_proj.weight
        parts = [
            found.values[site] @ weight[:, head * width : (head + 1) * width].T
            for head, site in enumerate(heads)
        ]
        for part in parts:
            alive(part)
        close(sum(parts), found.values[Site("attn", layer)])


def reads_as_naive(model, rows=ROWS, kinds=naive.KINDS):
    """Every kind of site, whole and unit by unit, is what a plain float64 forward computes."""
    batch = batch_of(model, rows)
    decoder = naive.Decoder(model.network)
    layers = range(model.shape.layers)
    sites = [Site(kind, layer) for kind in kinds for layer in layers]
    for kind in set(kinds) & set(INDEXED):
        count = model.shape.units(kind)
        sites += [unit(kind, layer, each) for layer in layers for each in (0, 1, count - 1)]
    found = record(model, batch, sites)
    for row, ids in enumerate(rows):
        logits, seen = decoder.run(ids)
        close(found.logits[row], logits[-1])
        for site in sites:
            value = found.values[site][row, -len(ids) :]
            close(value, seen[site.kind, site.layer][:, columns(model, site)])


def columns(model, site):
    """Columns of a unit, worked out from the config alone."""
    if site.index is None:
        return slice(None)
    width = 1 if site.kind == "neuron" else model.network.config.head_dim
    return slice(site.index[0] * width, site.index[1] * width)


def writes_as_naive(model, kind, layer=1, ids=ROWS[1]):
    """Setting a place, or one unit of it, does what replacing it in a plain forward does."""
    decoder = naive.Decoder(model.network)
    batch = batch_of(model, [ids])
    plain, seen = decoder.run(ids)
    sites = [Site(kind, layer), Site(kind, layer, position="-2")]
    if kind in INDEXED:
        last = model.shape.units(kind) - 1
        sites += [unit(kind, layer, last), unit(kind, layer, 1, "last")]
    for site in sites:
        part = columns(model, site)
        tokens = {"all": slice(None), "last": [-1], "-2": [-2]}[site.position]
        old = seen[kind, layer][tokens, part]
        generator = torch.Generator().manual_seed(layer)
        value = torch.randn(old.shape, generator=generator).double() * 2
        with torch.no_grad(), edited(model, [put(site, value[None].float())], batch):
            found = forward(model, batch, keep=0)
        change = naive.replaced(tokens, part, value)
        wanted, _ = decoder.run(ids, {(kind, layer): change})
        assert (wanted - plain).abs().max() > 1e-3, f"{site} does nothing, so nothing is compared"
        close(found[0], wanted)


def scales_as_naive(model, ids=ROWS[1]):
    """Scaling one head is scaling its columns in a plain forward."""
    decoder = naive.Decoder(model.network)
    batch = batch_of(model, [ids])
    site = unit("head", 1, model.shape.heads - 1)
    with torch.no_grad(), edited(model, [scale(site, -2.0)], batch):
        found = forward(model, batch)[:, -1]

    def change(old):
        new = old.clone()
        new[:, columns(model, site)] *= -2.0
        return new

    wanted, _ = decoder.run(ids, {("head", 1): change})
    assert (wanted[-1] - decoder.run(ids)[0][-1]).abs().max() > 1e-3
    close(found[0], wanted[-1])


def opening_score_by_hand(score=None):
    """Three logits 0, log 2, log 5: probabilities 1/8, 2/8, 5/8."""
    score = opening_score if score is None else score
    logits = torch.tensor([[0.0, math.log(2), math.log(5)]])
    found = score(logits, Openers((2,), (0,), 1.0, 1))
    assert abs(found.item() - math.log(5)) < 1e-6
    found = score(logits, Openers((1, 2), (0,), 1.0, 1))
    assert abs(found.item() - math.log(7)) < 1e-6
    found = score(logits, Openers((0,), (1, 2), 1.0, 1))
    assert abs(found.item() + math.log(7)) < 1e-6
