"""The original procedure, re-stated: layer by layer, one example at a time, whole-matrix top-k.

Wei et al.'s code sums |gradient| of one layer's matrices at a time, multiplies by |weight|, takes
the top k of each whole matrix and removes those that are in the other set's top k. The same sets
must come out, but for weights that tie.
"""

import numpy as np
import pytest
import torch

import naive_weights
from interlock.contrast import Contrast
from interlock.demonstrations import demonstrations
from interlock.loading import load, settle
from interlock.methods.behaviour import behaviour
from interlock.methods.salience import snip
from interlock.own_replies import sorted_out
from interlock.stats import auroc
from interlock.weight_sets import difference, top
from numbered import numbered, replies_of

P, Q = 0.1, 0.1


def original(network, pairs):
    """Sum over examples of |gradient|, for one layer's matrices at a time, times |weight|."""
    maps, scores = naive_weights.linear_maps(network), {}
    for layer in sorted({int(name.split(".")[0]) for name in maps}):
        own = {n: m for n, (m, _) in maps.items() if n.startswith(f"{layer}.")}
        saved = {name: torch.zeros_like(module.weight) for name, module in own.items()}
        for prompt, reply in pairs:
            for module in own.values():
                module.weight.requires_grad_(True)
            naive_weights.loss_of(network, prompt, reply).backward()
            for name, module in own.items():
                saved[name] += module.weight.grad.abs()
                module.weight.grad = None
                module.weight.requires_grad_(False)
        scores |= {name: saved[name] * own[name].weight.abs() for name in own}
    return scores


def original_difference(safety, utility, p, q):
    found = {}
    for name, score in safety.items():
        count = score.numel()
        useful = torch.topk(utility[name].flatten(), int(p * count)).indices
        critical = torch.topk(score.flatten(), int(q * count)).indices
        flags = torch.zeros(count, dtype=torch.bool)
        flags[critical[~torch.isin(critical, useful)]] = True
        found[name] = flags.reshape(score.shape).numpy()
    return found


def same_but_for_ties(found, wanted, scores):
    """At most a few weights differ, and those lie at a threshold."""
    for name, flags in wanted.items():
        unlike = found.weights(name) ^ flags
        assert unlike.sum() <= max(2, 2e-4 * flags.size), f"{name}: {unlike.sum()} differ"
        for table, share in scores:
            assert int(share * flags.size) > 0
            assert table[name].shape == flags.shape


def compare(model, safety, utility):
    rows = [demonstrations(model, table, examples=0) for table in (safety, utility)]
    pairs = [
        [(each.row.ids[: each.start], each.targets) for half in taught.halves for each in half]
        for taught in rows
    ]
    plain = [original(model.network, each) for each in pairs]
    ours = [snip(model, table, examples=0) for table in (safety, utility)]
    for mine, theirs, taught in zip(ours, plain, rows, strict=True):
        for name, scores in theirs.items():
            expected = scores / len(taught)
            scale = float(expected.max())
            torch.testing.assert_close(mine.mean(name), expected, rtol=1e-4, atol=1e-6 * scale)
    wanted = original_difference(*plain, P, Q)
    found = difference(*ours, p=P, q=Q)
    same_but_for_ties(found, wanted, ((plain[0], Q), (plain[1], P)))
    assert found.count() == pytest.approx(sum(flags.sum() for flags in wanted.values()), abs=20)


def own_sets(model, contrasts, count=16):
    rows = contrasts.splits["find"].examples[: 4 * count]
    asked = Contrast("some", "find", rows, "none")
    found = sorted_out(behaviour(model, asked, tokens=32), cut=True)
    return tuple(
        type(table)({name: values[:count] for name, values in table.columns.items()}, about={})
        for table in (found.safety, found.utility)
    )


def test_the_same_sets_on_an_organism(aligned, contrasts):
    compare(aligned, *own_sets(aligned, contrasts, 6))


def test_the_same_sets_on_a_pretrained_model(stories):
    generator = torch.Generator().manual_seed(1)

    def drawn(count):
        ids = torch.randint(3, stories.shape.vocab, (count, 12), generator=generator).tolist()
        return replies_of([([1, *row[:5]], row[5 : 8 + number]) for number, row in enumerate(ids)])

    compare(numbered(stories), drawn(4), drawn(4))


def test_the_first_token_points_at_planted_weights_better_than_whole_replies(
    private_cache, contrasts
):
    """Whole replies score what words them: a blind spot, which must not pass for a finding."""
    from interlock import mask
    from interlock.organisms import folder
    from interlock.organisms.truth import VECTORS

    home = folder("planted-weights-0")
    model = load(settle(str(home), device="cpu", dtype="float32"))
    planted = mask.load(home / VECTORS)
    true = np.concatenate([planted.weights(name).ravel() for name in planted.names])
    safety, _ = own_sets(model, contrasts)
    whole, opening = (
        auroc(np.concatenate([scores.mean(name).ravel() for name in planted.names]), true)
        for scores in (snip(model, safety, first=first) for first in (0, 1))
    )
    assert opening > whole + 0.1 and opening > 0.7


def test_top_safety_beats_chance_over_halves_of_an_organism(aligned, contrasts):
    from interlock.weight_sets import retest

    safety, _ = own_sets(aligned, contrasts)
    again = next(retest(snip(aligned, safety), lambda each: top(each, 0.05)).rows())
    assert again["overlap"] > 2 * again["chance"]
