"""Effects by each metric equal passes by hand; the whole input exchanged is the whole gap."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import kl_div

from interlock.activations import forward, record
from interlock.edits import edited, put
from interlock.encoding import collate, encode
from interlock.exchange import rows_of, usable_pairs
from interlock.methods.patching import patching
from interlock.sites import Site

METRICS = ("logit_difference", "kl")


@pytest.fixture(scope="module")
def few(contrasts):
    """Four pairs."""
    find = contrasts.splits["find"]
    return replace(find, examples=tuple(each for pair in find.pairs()[:4] for each in pair))


@torch.no_grad()
def last(model, batch):
    return forward(model, batch)[:, -1].double().log_softmax(dim=-1)


def scored(metric, direction, harmful, harmless, found):
    """The score of one pair, from log-probabilities: higher where it is more as if harmful."""
    if metric == "logit_difference":
        return float(found[0, harmful.argmax()] - found[0, harmless.argmax()])
    aim = harmful if direction == "denoise" else harmless
    apart = float(kl_div(found, aim, reduction="sum", log_target=True))
    return -apart if direction == "denoise" else apart


def by_hand(model, pairs, site, metric, direction):
    """Effect and gap of every pair, with one hooked pass each."""
    usable, _ = usable_pairs(model, pairs, (site.position,))
    effects, gaps = [], []
    for pair in rows_of(usable):
        sides = [collate(model, [row]) for row in pair]
        harmful, harmless = (last(model, side) for side in sides)
        base, other = sides[::-1] if direction == "denoise" else sides
        value = record(model, other, [site]).values[site]
        with edited(model, [put(site, value)], base):
            patched = last(model, base)
        of = [scored(metric, direction, harmful, harmless, x) for x in (harmful, harmless, patched)]
        effects.append(of[2] - of[1] if direction == "denoise" else of[0] - of[2])
        gaps.append(of[0] - of[1])
    return np.array(effects), np.array(gaps)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_effects_are_those_by_hand(aligned, few, judged, metric, direction):
    found = patching(
        aligned, few, judged, direction=direction, places="layers", positions=("last", "slot"),
        metric=metric,
    )  # fmt: skip
    largest = 0.0
    for site in (Site("attn", 1, position="last"), Site("resid_post", 2, position="last"),
                 Site("resid_mid", 0, position="slot")):  # fmt: skip
        effects, gaps = by_hand(aligned, few, site, metric, direction)
        row = found.sites.index(site)
        assert np.allclose(found.values[row], effects, atol=1e-3)
        assert np.allclose(found.gap, gaps, atol=1e-3)
        largest = max(largest, float(np.abs(effects).max()))
    assert largest > 0.5
    assert found.unit.endswith(metric.replace("_", " ").replace("kl", "KL divergence"))


@pytest.mark.parametrize("metric", ["opening", *METRICS])
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_whole_input_exchanged_is_the_whole_gap(aligned, few, judged, metric, direction):
    found = patching(
        aligned, few, judged, direction=direction, places="layers", positions=("all",),
        metric=metric,
    )  # fmt: skip
    row = found.sites.index(Site("resid_post", aligned.shape.layers - 1))
    assert found.gap.min() > 1
    assert np.allclose(found.values[row], found.gap, atol=1e-3)


def test_divergence_sees_what_the_first_tokens_do_not(aligned, contrasts, judged):
    """Two harmless prompts that open alike: no difference of tokens, and yet some divergence."""
    find = contrasts.splits["find"]
    asked = [each for each in find.examples if each.expected == "comply"]
    rows = encode(aligned, asked)
    opens = [int(last(aligned, collate(aligned, [row])).argmax()) for row in rows]
    common = max(set(opens), key=opens.count)
    alike = [each for each, token in zip(asked, opens, strict=True) if token == common][:4]
    assert len(alike) == 4
    pairs = replace(
        find,
        examples=tuple(
            replace(each, id=f"x{row}", pair=f"p{row // 2}", expected=("refuse", "comply")[row % 2])
            for row, each in enumerate(alike)
        ),
    )
    by = {metric: patching(aligned, pairs, judged, metric=metric) for metric in METRICS}
    assert np.all(by["logit_difference"].gap == 0)
    assert by["logit_difference"].about["pairs whose replies open alike"] == "2"
    assert np.all(by["kl"].gap > 0)
