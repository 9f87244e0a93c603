"""Patching effects agree with patching by hand in a plain forward pass, in both directions."""

import numpy as np
import pytest
import reference_checks as checks

import naive
from interlock.encoding import encode_pairs
from interlock.measures import openers_of
from interlock.methods.patching import joint, patching
from interlock.sites import parse, unit

LAYERS = ("resid_pre.0@last", "resid_post.1@last", "attn.2@last", "mlp.3@last", "mlp.1@last")
POSTS = ("resid_pre.1@post", "attn.1@post", "mlp.2@post")
SLOTS = ("resid_pre.0@slot", "attn.0@slot", "resid_post.1@slot")
UNITS = ("head.0.0", "head.1.5", "head.3.7", "neuron.0.0:16", "neuron.2.176:192")


def place_of(model, site, row):
    tokens = {
        "all": list(range(len(row.ids))),
        "last": [len(row.ids) - 1],
        "post": list(range(len(row.ids) - row.tail, len(row.ids))),
        "slot": list(row.slot),
    }[site.position]
    return site.kind, site.layer, checks.columns(model, site), lambda length: tokens


def agrees_with_naive_sweep(model, contrasts, judged, direction, names, count=5):
    """The effects of some sites equal the naive sweep's, site by site and pair by pair."""
    sites = [parse(name) for name in names]
    position = sites[0].position
    found = patching(
        model,
        contrasts.splits["find"],
        judged,
        direction=direction,
        places="units" if sites[0].kind in ("head", "neuron") else "layers",
        positions=(position,),
        groups=12,
        batch=4,
    )
    openers = openers_of(judged)
    kept = encode_pairs(model, contrasts.splits["find"])
    kept = kept.only_aligned() if position in ("all", "slot") else kept
    assert found.examples == tuple(row.id for row in kept.harmful)
    assert len(kept.harmful) >= count
    decoder = naive.Decoder(model.network)
    effects, gaps = [], []
    for harmful, harmless in list(zip(kept.harmful, kept.harmless, strict=True))[:count]:
        places = [place_of(model, site, harmful) for site in sites]
        both = (openers.refusal, openers.compliance)
        effect, gap = naive.sweep(decoder, [(harmful.ids, harmless.ids)], places, both, direction)
        effects.append([each[0] for each in effect])
        gaps += gap
    effects = np.array(effects).T
    assert np.abs(effects).max() > 0.1, "no effect anywhere, so nothing is compared"
    assert np.mean(gaps) > 1
    assert np.allclose(found.gap[:count], gaps, atol=2e-3)
    assert np.allclose(found.at(sites).values[:, :count], effects, atol=2e-3)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize(
    "names", [LAYERS, POSTS, SLOTS, UNITS], ids=["last", "post", "slot", "units"]
)
def test_sweep_is_the_naive_sweep(aligned, contrasts, judged, direction, names):
    agrees_with_naive_sweep(aligned, contrasts, judged, direction, names)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_sweep_of_the_middle_of_the_stream_is_the_naive_one(aligned, contrasts, judged, direction):
    names = ("resid_mid.1@last", "resid_mid.3@last")
    agrees_with_naive_sweep(aligned, contrasts, judged, direction, names)


def test_everything_at_the_first_layer_restores_the_whole_gap(aligned, contrasts, judged):
    for direction in ("denoise", "noise"):
        found = patching(
            aligned, contrasts.splits["find"], judged, direction=direction, positions=("all",)
        )
        assert found.gap.min() > 1
        first = found.at([parse("resid_pre.0")])
        assert np.allclose(first.values[0], found.gap, atol=1e-3)
        last = found.at([parse("resid_post.3")])
        assert np.allclose(last.values[0], found.gap, atol=1e-3)
        assert float(found.about["noise floor"].split()[0]) < 1e-4


def test_joint_of_one_unit_is_that_units_sweep(aligned, contrasts, judged):
    pairs = contrasts.splits["find"]
    alone = patching(aligned, pairs, judged, places="units", positions=("all",))
    site = unit("head", 0, 0)
    together = joint(aligned, pairs, (site,), judged, controls=3)
    mine = together.where(kind="found")
    assert np.abs(mine["effect"]).max() > 1e-4
    assert np.allclose(mine["effect"], alone.at([site]).values[0], atol=1e-4)
    assert np.allclose(mine["gap"], alone.gap, atol=1e-4)
    assert set(together.where(kind="matched random")["size"].tolist()) == {1}


def test_openers_of_the_organism_separate_its_replies(judged):
    openers = openers_of(judged)
    assert openers.auroc == 1.0
    assert set(openers.refusal).isdisjoint(openers.compliance)
