"""Attribution agrees with finite differences, closed forms and exact patching, family by family."""

import functools
from functools import partial

import numpy as np
import pytest
import torch

from interlock.activations import forward, record
from interlock.edits import edited, put
from interlock.encoding import collate, from_ids
from interlock.errors import ContrastError, SiteError
from interlock.estimators import between, by_relevance, passes, past, path
from interlock.first_order import Question, first_order, parts_of
from interlock.loading import load, settle
from interlock.methods.approximation import approximation, missed_at_most
from interlock.methods.attribution import attribution
from interlock.methods.behaviour import behaviour
from interlock.methods.conditional import conditional_attribution
from interlock.methods.patching import patching
from interlock.metrics import Openers, opening_score
from interlock.organisms import folder
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs as planted_pairs
from interlock.organisms.truth import read_truth
from interlock.selection import unit_sites
from interlock.sites import Site, unit
from tiny_models import FAMILIES, save_tiny

OPENERS = Openers((5, 9), (11, 30), 1.0, 4)
SCORE = partial(opening_score, openers=OPENERS)
# equally long within a pair, not across pairs, so that there is padding
PAIRS = tuple(
    zip(
        from_ids([[1, 7, 12, 9, 30], [1, 22, 6, 17, 28, 41, 13]]),
        from_ids([[1, 7, 33, 9, 30], [1, 22, 45, 17, 19, 41, 13]]),
        strict=True,
    )
)


@pytest.fixture(scope="module")
def soft(tmp_path_factory):
    """The tiny models with tokens made alike: far apart, paths are steep and need many nodes."""

    @functools.cache
    def opened(family):
        folder = save_tiny(family, tmp_path_factory.mktemp(family))
        model = load(settle(str(folder), device="cpu", dtype="float32"))
        with torch.no_grad():
            rows = model.network.get_submodule(model.architecture.embedding).weight
            rows.copy_(rows[3] + 0.15 * (rows - rows[3]))
        return model

    return opened


def question(sites, *, estimator="plain", noise=False, corrected=False, nodes=5, rule="gauss"):
    parts = parts_of(sites)
    return Question(OPENERS, estimator, noise, parts, len(sites), corrected, nodes, rule)


def effects(model, sites, **options):
    found = first_order(model, question(sites, **options), PAIRS)
    return np.stack([row for row, _ in found], axis=1), np.array([gap for _, gap in found])


def sides(model, noise=False):
    harmful, harmless = (collate(model, [pair[side] for pair in PAIRS]) for side in (0, 1))
    return (harmful, harmless) if noise else (harmless, harmful)


@torch.no_grad()
def score_with(model, batch, site, value):
    with edited(model, [put(site, value)], batch):
        return SCORE(forward(model, batch)[:, -1]).double().numpy()


def finite_difference(model, site, noise, step=0.02):
    """Central difference of the score as a site moves a little towards the other prompt's value."""
    base, other = sides(model, noise)
    here, there = (record(model, side, [site]).values[site] for side in (base, other))
    up, down = (
        score_with(model, base, site, here + way * step * (there - here)) for way in (1, -1)
    )
    return (-1 if noise else 1) * (up - down) / (2 * step)


def units_of(model):
    sites = [unit("head", 0, 0), unit("head", 1, 3), unit("head", 2, 1)]
    if "neuron" in model.architecture.taps:
        sites += [Site("neuron", 0, (0, 5)), Site("neuron", 1, (7, 8)), Site("neuron", 2, (3, 20))]
    streams = [Site("resid_pre", 0), Site("attn", 1), Site("mlp", 1), Site("resid_post", 1)]
    return tuple(sites + streams)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("noise", [False, True])
def test_plain_is_the_slope_of_patching(soft, family, noise):
    model = soft(family)
    sites = units_of(model)
    found, gap = effects(model, sites, noise=noise)
    wanted = np.array([finite_difference(model, site, noise) for site in sites])
    assert np.abs(wanted).max() > 0.02, "no slope anywhere"
    assert np.allclose(found, wanted, atol=0.01 * np.abs(wanted).max())
    harmful, harmless = (SCORE(forward(model, side)[:, -1]) for side in sides(model, True))
    assert np.allclose(gap, (harmful - harmless).tolist(), atol=1e-4)


# a mixture of experts jumps where its router changes its mind, and no integral sees a jump
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "qwen3_moe"])
def test_integrated_effects_of_the_input_are_the_whole_gap(soft, family):
    model = soft(family)
    for rule, nodes, noise in (("gauss", 16, False), ("gauss", 16, True), ("midpoint", 40, False)):
        found, gap = effects(
            model, (Site("resid_pre", 0),), estimator="integrated", noise=noise,
            nodes=nodes, rule=rule,
        )  # fmt: skip
        assert np.abs(gap).max() > 0.005
        assert np.allclose(found[0], gap, atol=0.02 * np.abs(gap).max())


@pytest.mark.parametrize("rule", ["gauss", "midpoint"])
def test_nodes_integrate_what_they_should(rule):
    points, weights = path(4, rule)
    assert sum(weights) == pytest.approx(1)
    degree = 7 if rule == "gauss" else 1  # a rule of n nodes is exact up to 2n - 1, a midpoint to 1
    for power in range(degree + 1):
        total = sum(w * p**power for p, w in zip(points, weights, strict=True))
        assert total == pytest.approx(1 / (power + 1))


def linear_model(tmp_path):
    """Uniform attention, no MLP, no norm: logits are linear in every site."""
    model = load(settle(str(save_tiny("llama", tmp_path)), device="cpu", dtype="float32"))
    with torch.no_grad():
        for layer in model.layers:
            layer.self_attn.q_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
            layer.input_layernorm = torch.nn.Identity()
            layer.post_attention_layernorm = torch.nn.Identity()
    model.network.model.norm = torch.nn.Identity()
    return model


@pytest.mark.parametrize("estimator", ["plain", "integrated", "relevance"])
def test_every_estimator_is_exact_on_a_linear_model(tmp_path, estimator, monkeypatch):
    monkeypatch.setitem(globals(), "OPENERS", Openers((5,), (11,), 1.0, 4))
    monkeypatch.setitem(globals(), "SCORE", partial(opening_score, openers=OPENERS))
    model = linear_model(tmp_path)
    sites = tuple(unit("head", layer, head) for layer in range(3) for head in range(4))
    for noise in (False, True):
        base, other = sides(model, noise)
        before = SCORE(forward(model, base)[:, -1]).detach().double().numpy()
        exact = []
        for site in sites:
            there = record(model, other, [site]).values[site]
            exact.append((-1 if noise else 1) * (score_with(model, base, site, there) - before))
        found, _ = effects(model, sites, estimator=estimator, noise=noise)
        assert np.abs(exact).max() > 0.05
        assert np.allclose(found, exact, atol=1e-3 * np.abs(exact).max() + 1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox"])
def test_a_dropped_layer_passes_nothing_on(tiny, family):
    """With the last layer dropped, the stream before it has the slope of the stream after it."""
    model = tiny(family)
    batch, _ = sides(model)
    before, after = Site("resid_pre", 2, position="last"), Site("resid_post", 2, position="last")
    with past(model, 2):
        slopes = record(model, batch, [before, after], metric=SCORE).gradients
    whole = record(model, batch, [before, after], metric=SCORE).gradients
    assert torch.allclose(slopes[before], slopes[after], atol=1e-6)
    assert torch.allclose(slopes[after], whole[after], atol=1e-6)
    assert not torch.allclose(whole[before], whole[after], atol=1e-3)


def test_dropped_is_the_mean_size_over_layers(llama):
    sites = units_of(llama)
    base, other = sides(llama)
    there = record(llama, other, sites).values
    here = record(llama, base, sites).values
    sizes, signed = np.zeros((len(sites), 2)), None
    for layer in (None, 0, 1, 2):
        if layer is None:
            slopes = record(llama, base, sites, metric=SCORE).gradients
        else:
            with past(llama, layer):
                slopes = record(llama, base, sites, metric=SCORE).gradients
        mask = base.mask[..., None]
        first = np.array(
            [((there[s] - here[s]) * slopes[s] * mask).sum(dim=(1, 2)).tolist() for s in sites]
        )
        own = [s.layer == layer and s.kind in ("head", "neuron", "attn", "mlp") for s in sites]
        first[own] = 0.0  # what a layer does reaches nothing but through its output
        if layer is None:
            signed = np.sign(first)
        else:
            sizes += np.abs(first) / 2
    found, _ = effects(llama, sites, estimator="dropped")
    assert np.abs(sizes).max() > 0.05
    assert np.allclose(found, signed * sizes, atol=1e-4)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "qwen3_moe"])
def test_relevance_rules_change_slopes_and_no_value(tiny, family):
    model = tiny(family)
    batch, _ = sides(model)
    site = Site("resid_pre", 1)
    plain = record(model, batch, [site], metric=SCORE)
    with by_relevance(model):
        ruled = record(model, batch, [site], metric=SCORE)
    assert torch.allclose(plain.logits, ruled.logits, atol=1e-5)
    assert not torch.allclose(plain.gradients[site], ruled.gradients[site], atol=1e-3)
    again = record(model, batch, [site], metric=SCORE)
    assert torch.equal(plain.gradients[site], again.gradients[site]), "a rule was left behind"


@pytest.mark.parametrize("family", ["llama", "gemma", "phi3"])
def test_relevance_is_conserved_through_a_gated_mlp(tiny, family):
    """Input times slope adds up to the output, as the identity and half rules promise."""
    model = tiny(family)
    block = model.layers[1].mlp
    inputs = torch.randn(3, model.shape.width, generator=torch.Generator().manual_seed(0))
    inputs.requires_grad_()
    with by_relevance(model):
        output = block(inputs)
    for column in (0, 7):
        (slope,) = torch.autograd.grad(output[:, column].sum(), inputs, retain_graph=True)
        assert torch.allclose((slope * inputs).sum(dim=1), output[:, column], rtol=1e-3, atol=1e-4)


def test_relevance_through_a_norm_is_division_by_a_constant(tiny):
    value = torch.randn(2, 24, generator=torch.Generator().manual_seed(1), requires_grad=True)
    for family, norm in (("llama", "model.norm"), ("gpt2", "transformer.ln_f")):
        model = tiny(family)
        module = model.network.get_submodule(norm)
        with by_relevance(model):
            output = module(value)
        (slope,) = torch.autograd.grad(output[:, 3].sum(), value)
        row = value.detach()
        if family == "llama":
            wanted = torch.zeros_like(row)
            wanted[:, 3] = module.weight[3] / row.pow(2).mean(dim=1).add(1e-6).sqrt()
        else:
            hot = torch.zeros(24).index_fill(0, torch.tensor([3]), 1.0) - 1 / 24
            wanted = (
                hot * module.weight[3] / (row.var(dim=1, unbiased=False) + 1e-5).sqrt()[:, None]
            )
        assert torch.allclose(slope, wanted, atol=1e-4)


def test_experts_are_refused_by_the_relevance_rules(tiny):
    with pytest.raises(SiteError, match="estimator: integrated"):
        passes(tiny("qwen3_moe"), "relevance", torch.ones(1, 1).long(), nodes=1, quadrature="gauss")


@pytest.mark.parametrize("family", FAMILIES)
def test_queries_and_keys_go_through_the_softmax(tiny, family):
    """Each query (or key) head patched alone: the exact move of the heads times the slope."""
    model = tiny(family)
    layer, shared = 1, model.shape.heads // model.shape.kv_heads
    sites = tuple(
        [unit("query", layer, head) for head in range(model.shape.heads)]
        + [unit("key", layer, head) for head in range(model.shape.kv_heads)]
        + [unit("value", layer, 0)]
    )
    heads = Site("head", layer)
    base, other = sides(model)
    there = record(model, other, sites).values
    here = record(model, base, [heads], metric=SCORE)
    wanted = []
    for site in sites[:-1]:
        with torch.no_grad(), edited(model, [put(site, there[site])], base):
            mixed = record(model, base, [heads]).values[heads]
        moved = (mixed - here.values[heads]) * here.gradients[heads] * base.mask[..., None]
        wanted.append(moved.sum(dim=(1, 2)).tolist())
    found, _ = effects(model, sites, corrected=True)
    assert np.abs(wanted).max() > 1e-3
    assert np.allclose(found[:-1], wanted, atol=1e-4 + 1e-3 * np.abs(wanted).max())
    plain, _ = effects(model, sites)
    assert not np.allclose(plain[:-1], wanted, atol=1e-3 * np.abs(wanted).max())
    assert np.allclose(plain[-1], found[-1], atol=1e-6)  # values enter linearly
    assert shared >= 1


def test_path_of_inputs_starts_and_ends_at_the_prompts(llama):
    base, other = sides(llama)
    for share, batch in ((0.0, base), (1.0, other)):
        with between(llama, other.ids, share), torch.no_grad():
            found = forward(llama, base)
        assert torch.allclose(found, forward(llama, batch), atol=1e-5)


def test_neurons_add_up_to_their_groups(aligned, contrasts, judged):
    pairs = contrasts.splits["find"]
    groups, single = (
        attribution(aligned, pairs, judged, estimator="plain", places=places)
        for places in ("units", "neurons")
    )
    assert groups.sites == unit_sites(aligned.shape, 12)
    rows = [single.sites.index(unit("neuron", 2, index)) for index in range(176, 192)]
    whole = groups.values[groups.sites.index(Site("neuron", 2, (176, 192)))]
    assert np.abs(groups.values).max() > 0.1
    assert np.allclose(single.values[rows].sum(axis=0), whole, atol=1e-4)
    head = unit("head", 1, 5)
    assert np.allclose(single.at([head]).values, groups.at([head]).values, atol=1e-5)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_last_stream_is_nearly_exact(aligned, contrasts, judged, direction):
    """At the last layer the score is nearly linear, and integrated effects have the exact sign."""
    pairs = contrasts.splits["find"]
    exact = patching(aligned, pairs, judged, direction=direction, positions=("last",))
    found = attribution(
        aligned, pairs, judged, direction=direction, places="layers", positions=("last",),
        estimator="integrated",
    )  # fmt: skip
    assert found.sites == exact.sites and found.examples != ()
    kept = [exact.examples.index(name) for name in found.examples]
    assert np.corrcoef(found.shares(), exact.values[:, kept].mean(axis=1))[0, 1] > 0.8
    assert np.allclose(found.gap, exact.gap[kept], atol=1e-3)


def test_attention_has_no_positions(aligned, contrasts, judged):
    with pytest.raises(ContrastError, match="@all only"):
        attribution(
            aligned, contrasts.splits["find"], judged, places="attention", positions=("last",)
        )


def test_missed_at_most_in_closed_form():
    assert missed_at_most(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59), rel=1e-9)
    assert missed_at_most(0, 0) == missed_at_most(4, 4) == 1.0
    assert 0.05 < missed_at_most(2, 60) < missed_at_most(3, 60) < 0.2


def test_checked_sites_have_their_exact_effects(aligned, contrasts, judged):
    pairs = contrasts.splits["find"]
    scores = attribution(aligned, pairs, judged, direction="noise")
    table = approximation(aligned, pairs, scores, judged, top=5, sample=7)
    exact = patching(aligned, pairs, judged, direction="noise", places="units", positions=("all",))
    by_site = dict(zip(map(str, exact.sites), exact.shares(), strict=True))
    assert table["share"].tolist() == pytest.approx(
        [by_site[name] for name in table["site"].tolist()], abs=1e-4
    )
    approximate = dict(zip(map(str, scores.sites), np.abs(scores.shares()), strict=True))
    first = table.where(drawn="top")["site"].tolist()
    assert first == sorted(approximate, key=approximate.get, reverse=True)[:5]
    assert len(table.where(drawn="sample")) == 7 and len(set(table["site"].tolist())) == 12
    missed = int((table.where(drawn="sample")["decision"] == "in").sum())
    assert table.about["missed"].startswith(f"{missed} of 7 ")
    assert float(table.about["missed at most"]) == pytest.approx(
        missed_at_most(missed, 7), abs=1e-4
    )


# beside a patched unit

BESIDE = unit("head", 0, 1)


def beside(model, sites, noise):
    asked = Question(
        OPENERS, "plain", noise, parts_of(sites), len(sites), corrected=False, nodes=5,
        quadrature="gauss", beside=BESIDE,
    )  # fmt: skip
    found = first_order(model, asked, PAIRS)
    return np.stack([row for row, _ in found], axis=1), np.array([gap for _, gap in found])


@torch.no_grad()
def slope(model, site, noise, step=0.02):
    """Central difference as a site moves to the other prompt's value, in the patched run."""
    base, other = sides(model, noise)
    there = record(model, other, [site, BESIDE]).values
    patch = put(BESIDE, there[BESIDE])
    with edited(model, [patch], base):
        here = record(model, base, [site]).values[site]

    def scored(way):
        edits = [patch, put(site, here + way * step * (there[site] - here))]
        with edited(model, edits, base):
            return SCORE(forward(model, base)[:, -1]).double().numpy()

    return (-1 if noise else 1) * (scored(1) - scored(-1)) / (2 * step)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("noise", [False, True])
def test_slopes_are_those_of_the_patched_run(soft, family, noise):
    model = soft(family)
    later = [site for site in units_of(model) if site.layer > 0]
    found, gap = beside(model, (*later, BESIDE), noise)
    wanted = np.array([slope(model, site, noise) for site in later])
    assert np.abs(wanted).max() > 0.01, "no slope anywhere"
    assert np.allclose(found[:-1], wanted, atol=0.01 * np.abs(wanted).max())
    assert np.abs(found[-1]).max() < 1e-6, "what is patched already has nothing left to do"
    harmful, harmless = (SCORE(forward(model, side)[:, -1]) for side in sides(model, True))
    assert np.allclose(gap, (harmful - harmless).tolist(), atol=1e-4), "the gap is unpatched"


@pytest.fixture(scope="module")
def repair():
    """An organism whose backup mover speaks only where the mover is silent."""
    name = "planted-repair-0"
    truth = read_truth(folder(name))
    model = load(settle(f"organism:{name}", device="cpu", dtype="float32"))
    find, check = (planted_pairs(PLANTS[truth.plant], split, 24, 0) for split in ("find", "check"))
    roles = {role: Site(s.kind, s.layer, s.index) for s in truth.units
             for site, role in truth.roles.items() if str(s) == site}  # fmt: skip
    return model, check, behaviour(model, find, tokens=12), roles


def test_a_backup_is_seen_beside_its_primary_alone(repair):
    model, check, judged, roles = repair
    single = attribution(model, check, judged, estimator="integrated", direction="noise")
    found = conditional_attribution(
        model, check, (roles["mover"],), judged, estimator="integrated", direction="noise"
    )
    row = found.sites.index(roles["backup"])
    assert abs(single.shares()[row]) < 0.02
    assert found.shares()[row] > 0.05
    others = [s for s in range(len(found.sites)) if found.sites[s] not in roles.values()]
    assert found.shares()[row] > 2 * np.abs(found.shares()[others]).max()
    assert np.allclose(found.gap, single.gap, atol=1e-3)
    assert "beside each of" in found.about["estimator"]


def test_every_unit_keeps_the_run_in_which_it_does_most(repair):
    model, check, judged, roles = repair
    given = (roles["mover"], roles["verb"])
    both, *each = (
        conditional_attribution(model, check, sites, judged, direction="noise")
        for sites in (given, given[:1], given[1:])
    )
    means = np.stack([one.values.mean(axis=1) for one in each])
    largest = np.abs(means).argmax(axis=0)
    assert set(largest.tolist()) == {0, 1}
    wanted = np.where(largest[:, None] == 0, each[0].values, each[1].values)
    assert np.allclose(both.values, wanted, atol=1e-4)
    few = conditional_attribution(model, check, given, judged, direction="noise", count=1)
    assert np.allclose(few.values, each[0].values, atol=1e-4)


def test_without_a_site_there_is_nothing_to_patch_beside(repair):
    model, check, judged, _ = repair
    with pytest.raises(ContrastError, match="No site is given"):
        conditional_attribution(model, check, (), judged)
