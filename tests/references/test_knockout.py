"""Each unit ablated alone, by replay, equals a full pass with that one edit."""

from dataclasses import replace

import numpy as np
import pytest

from interlock.activations import reference
from interlock.edits import mean, zero
from interlock.encoding import encode
from interlock.measures import openers_of, opening_scores
from interlock.methods.ablation import knockout, knockout_cost


@pytest.fixture(scope="module")
def few(contrasts):
    """Five pairs of different categories."""
    find = contrasts.splits["find"]
    kept = [example for pair in find.pairs()[:5] for example in pair]
    return replace(find, examples=tuple(kept))


@pytest.mark.parametrize("ablate", ["mean", "zero"])
def test_every_unit_s_fall_is_that_of_a_full_pass(aligned, few, judged, ablate):
    found = knockout(aligned, few, judged, ablate=ablate, batch=2)
    openers = openers_of(judged)
    harmful = encode(aligned, [e for e in few.examples if e.expected == "refuse"])
    harmless = encode(aligned, [e for e in few.examples if e.expected == "comply"])
    means = reference(aligned, harmless, found.sites, name="harmless", size=8)
    before = opening_scores(aligned, harmful, openers)
    for row in range(0, len(found.sites), 7):
        site = found.sites[row]
        edits = [mean(site, means) if ablate == "mean" else zero(site)]
        wanted = before - opening_scores(aligned, harmful, openers, edits=edits)
        assert np.allclose(found.values[row], wanted, atol=2e-4), site
    assert np.abs(found.values).max() > 1
    assert np.allclose(found.gap, before - opening_scores(aligned, harmless, openers), atol=2e-4)
    assert knockout_cost(aligned.shape, 10, {"ablate": ablate, "groups": 12}).prompts > 100
