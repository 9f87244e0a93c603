"""Replayed answers are those of a full hooked pass for each set of edits, in every family."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from interlock.activations import forward, record
from interlock.edits import add, edited, project, put, scale
from interlock.encoding import Pairs, collate, from_ids
from interlock.exchange import effect, effects, read_sides, rows_of, usable_pairs
from interlock.loading import load, settle
from interlock.measures import openers_of
from interlock.methods import patching as method
from interlock.metrics import Openers
from interlock.replay import keep, keeping, replay, running, sweeping
from interlock.selection import layer_sites, unit_sites
from interlock.sites import Site, parse
from tiny_models import FAMILIES, save_tiny

NAMED = ("last", "all", "post", "slot", "3", "-2")
LONG = (1, 13, 27, 31, 8, 45, 9, 22, 16)
SHORT = (1, 40, 18, 33, 5, 21)
OPENERS = Openers((5, 11), (9, 30), 1.0, 4)
SHARED = (4, 2)  # tokens before the slots


def prompts(model, slots):
    """Two prompts of unlike length with other words in their slots, so that rows are padded."""
    long, short = list(LONG), list(SHORT)
    long[4:6], short[2:3] = slots[0], slots[1]
    rows = from_ids([long, short])
    tails, places = (2, 3), ((4, 5), (2,))
    return collate(
        model,
        [replace(r, tail=t, slot=p) for r, t, p in zip(rows, tails, places, strict=True)],
    )


def both(model):
    return prompts(model, ((8, 45), (18,))), prompts(model, ((7, 12), (37,)))


def all_sites(model, positions):
    """Every kind in every layer: whole, the last unit, and a group."""
    found = []
    for position in positions:
        for layer in range(model.shape.layers):
            for kind in model.shape.kinds:
                units = model.shape.units(kind)
                indices = [None] if not units else [None, (units - 1, units), (0, units // 2)]
                found += [Site(kind, layer, index, position) for index in indices]
    return found


def some_sites(model, positions):
    """Every kind in every layer, at the positions in turn, another order for each family."""
    turn = list(FAMILIES).index(model.network.config.model_type)
    count = len(positions)
    return [
        site.at(positions[(turn + number + number // count) % count])
        for number, site in enumerate(all_sites(model, ("all",)))
    ]


@pytest.fixture(autouse=True)
def warnings_anew():
    """What is said once in a process is said once in a test."""
    sweeping._say_slow.cache_clear()


def reading(logits, _):
    return logits[:, 5] - logits[:, 9]


@torch.no_grad()
def in_full(model, batch, variants):
    found = []
    for edits in variants:
        with edited(model, edits, batch):
            found.append(reading(forward(model, batch)[:, -1], None))
    return torch.stack(found)


def same(model, base, variants, *, off=1e-5, shared=None, **options):
    """Replayed answers are within `off` of the full passes', and the edits do something."""
    kept = keep(model, base)
    assert kept.slow == ""
    found = replay(kept, variants, reading, shared=shared, **options)
    wanted = in_full(model, base, variants)
    assert float((wanted - found.base).abs().max()) > 1e3 * off, "no edit does anything"
    # a reading is a difference of logits: what it may be off by grows with them
    size = max(1.0, float(kept.record.logits.std()))
    assert float((found.values - wanted).abs().max()) <= off * size
    assert found.floor <= off * size
    return found


def patches(model, base, other, sites):
    values = record(model, other, sites).values
    return [[put(site, values[site])] for site in sites]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_of_every_family(tiny, family):
    model = tiny(family)
    base, other = both(model)
    variants = patches(model, base, other, some_sites(model, NAMED))
    found = same(model, base, variants)
    fewer = replay(keep(model, base), variants, reading, shared=SHARED)
    assert (fewer.values - found.values).abs().max() <= 2e-5 * max(1.0, float(found.base.std()))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_method_gives_what_full_passes_gave(tiny, family):
    """A shard of `patching` equals one hooked pass per site and pair, in both directions."""
    model = tiny(family)
    base, other = both(model)
    pairs = Pairs(base.rows, other.rows, ("a", "b"), ("a", "b"), (True, True))
    units = unit_sites(model.shape, 2)[::3]
    for direction, positions in (("denoise", ("last", "all")), ("noise", ("post", "slot"))):
        sites = (*layer_sites(model.shape, positions)[::2], *units)
        shard = method._patch_shard(model, pairs, OPENERS, ((0, sites), 0), direction, "opening", 2)
        sides = read_sides(model, rows_of(pairs), OPENERS, sites, direction)
        wanted = torch.stack([effect(model, sides, [site]) for site in sites])
        assert wanted.abs().max() > 0.1
        size = max(1.0, float(sides.own.logits.std()))
        found = torch.tensor(shard["effects"]).T
        assert (found - wanted).abs().max() <= 1e-5 * size
        assert torch.tensor(shard["gap"]).sub(sides.gap).abs().max() == 0
        assert shard["floor"] <= 1e-5 * size


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_conditions_on_the_organism(aligned, contrasts, judged, direction):
    """Single sites, sets, and sites held, on prompts of several templates and lengths."""
    openers = openers_of(judged)
    usable, _ = usable_pairs(aligned, contrasts.splits["find"], ("slot",))
    part = rows_of(usable)[:4]
    sites = (*layer_sites(aligned.shape, ("last", "slot")), *unit_sites(aligned.shape, 2))
    conditions = [((site,), ()) for site in sites]
    conditions += [(sites[5:9], ()), (sites[-9:], sites[20:22]), (sites[45:50], sites[40:44])]
    sides = read_sides(aligned, part, openers, sites, direction)
    found = effects(sides, conditions)
    wanted = torch.stack([effect(aligned, sides, *each) for each in conditions])
    assert wanted.abs().max() > 1
    assert (found.values - wanted).abs().max() <= 1e-4  # nat, of scores of tens
    assert found.floor <= 1e-4


@pytest.mark.parametrize("family", ["llama", "gemma2", "olmo2", "phi3", "gpt2", "gpt_neox"])
def test_sets_of_edits_act_together(tiny, family):
    """Edits of several layers, of one layer, of one place, and of one stream from both sides."""
    model = tiny(family)
    base, other = both(model)
    names = (
        ("head.0.1", "neuron.1.3:9", "attn.2@last"),
        ("resid_pre.1@slot", "head.1.0@post", "mlp.1", "neuron.1.0:5@3"),
        ("resid_post.0@last", "resid_pre.1@slot"),
        ("resid_pre.1@-2", "resid_post.0@all"),
        ("key.0.0@slot", "value.2.1", "query.1.0@all", "mlp.0@-2"),
        ("head.1.2", "head.1.0:2@last"),
        ("resid_post.2@last", "mlp.1@slot"),
    )
    sets = [[parse(name) for name in each] for each in names]
    if "resid_mid" in model.shape.kinds:
        sets.append([parse("resid_mid.1@slot"), parse("attn.1@last"), parse("head.1.1")])
        sets.append([parse("resid_mid.2"), parse("attn.2@last"), parse("resid_pre.2@slot")])
    sites = list(dict.fromkeys(site for each in sets for site in each))
    values = record(model, other, sites).values
    variants = [[put(site, values[site]) for site in each] for each in sets]
    same(model, base, variants)
    same(model, base, variants, shared=SHARED, size=3)


def test_other_actions(llama):
    base, _ = both(llama)
    width = llama.shape.width
    push = torch.randn(1, 1, width, generator=torch.Generator().manual_seed(1))
    variants = [
        [add(Site("resid_post", 1), push)],
        [add(Site("attn", 0, position="slot"), push)],
        [scale(Site("head", 1, (0, 1)), -0.5)],
        [scale(Site("mlp", 2, position="post"), 0.0)],
        [project(Site("resid_pre", 1), push[0, 0], onto=0.7)],
        [project(Site("resid_post", layer), push[0, 0]) for layer in range(3)],
        [put(Site("mlp", 1), torch.randn(2, base.ids.shape[1], width))],
    ]
    same(llama, base, variants)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox"])
def test_eager_attention(tmp_path, family):
    model = load(settle(str(save_tiny(family, tmp_path)), device="cpu", dtype="float32"))
    model.network.set_attn_implementation("eager")
    base, other = both(model)
    same(model, base, patches(model, base, other, some_sites(model, ("last", "all", "slot"))))


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mistral", {"sliding_window": 3}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
        ("phi3", {"sliding_window": 4}),
    ],
)
def test_sliding_windows_shorter_than_the_prompt(tmp_path, family, changes):
    model = load(settle(str(save_tiny(family, tmp_path, **changes)), device="cpu", dtype="float32"))
    base, other = both(model)
    variants = patches(model, base, other, some_sites(model, ("last", "all", "slot")))
    same(model, base, variants, shared=SHARED)
    windowed = in_full(model, base, variants[::4])
    model.network.config.sliding_window = 40
    assert (in_full(model, base, variants[::4]) - windowed).abs().max() > 0.01, "no window to test"


def test_prompts_without_padding(tiny):
    """No mask at all is given then: causality is the engine's to keep."""
    for family in ("llama", "gemma3_text", "gpt2"):
        model = tiny(family)
        for count in (1, 3):
            base = collate(model, from_ids([LONG] * count))
            other = collate(model, from_ids([(*LONG[:4], 7, 12, *LONG[6:])] * count))
            sites = some_sites(model, ("last", "all", "4"))
            variants = patches(model, base, other, sites[::2])
            same(model, base, variants, shared=[4] * count if count > 1 else None)


def test_bfloat16_is_within_its_own_noise(tmp_path):
    """The engine is as far from exact as a full pass in bfloat16 is, and says how far."""
    folder = save_tiny("llama", tmp_path)
    exact = load(settle(str(folder), device="cpu", dtype="float32"))
    model = load(settle(str(folder), device="cpu", dtype="bfloat16"))
    base, other = both(model)
    sites = some_sites(exact, ("last", "all", "slot"))
    wanted = in_full(exact, base, patches(exact, base, other, sites))
    variants = patches(model, base, other, sites)
    rough = (in_full(model, base, variants) - wanted).abs()
    kept = keep(model, base)
    found = replay(kept, variants, reading, shared=SHARED)
    assert found.passes < len(variants) / 4
    off = (found.values - wanted).abs()
    assert found.floor < 0.1
    assert off.mean() <= 1.5 * rough.mean()
    assert off.max() <= 2 * rough.max()


def test_packed_weights(tmp_path):
    sizes = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    folder = save_tiny("llama", tmp_path, **sizes)
    model = load(settle(str(folder), device="cpu", quantization="nf4", dtype="float32"))
    assert model.quantization == "nf4"
    base, other = both(model)
    sites = some_sites(model, ("last", "all", "slot"))
    variants = patches(model, base, other, sites)
    found = replay(keep(model, base), variants, reading, shared=SHARED)
    wanted = in_full(model, base, variants)
    assert found.passes < len(variants) / 4
    assert (wanted - found.base).abs().max() > 1
    # packed weights compute in bfloat16, whose rounding depends on the number of rows
    assert (found.values - wanted).abs().max() < 0.1
    assert found.floor < 0.1


def test_what_cannot_be_entered_runs_in_full(llama, monkeypatch, caplog):
    """And says so, once."""
    base, other = both(llama)
    variants = patches(llama, base, other, all_sites(llama, ("last",)))
    wanted = in_full(llama, base, variants)
    monkeypatch.setattr(keeping, "_MASKED", ("eager",))
    kept = keep(llama, base)
    found = replay(kept, variants, reading)
    assert (found.values == wanted).all()
    assert found.passes == len(variants)
    assert "slow exact way" in caplog.text and "attention implementation sdpa" in caplog.text


def no_attention(model, layer):
    if layer is model.layers[1]:
        raise AttributeError("a linear layer")
    return layer.self_attn


def test_layers_without_keys_and_values_run_in_full(llama, monkeypatch):
    monkeypatch.setattr(keeping, "attention_of", no_attention)
    kept = keep(llama, both(llama)[0])
    assert "layer 1 has no self_attn" in kept.slow


@pytest.mark.parametrize("fault", ["keys", "stream", "example"])
def test_a_kept_run_gone_wrong_is_noticed_and_not_used(llama, caplog, fault):
    """The control row is off, so every row is run in full."""
    base, other = both(llama)
    variants = patches(llama, base, other, some_sites(llama, ("last", "slot"))[::4])
    kept = keep(llama, base)
    if fault == "keys":
        kept.caches[0].keys = kept.caches[0].keys.roll(1, dims=2)
    elif fault == "stream":
        kept = replace(kept, streams=tuple(each * 1.3 for each in kept.streams))
    else:
        kept = replace(kept, streams=tuple(each.flip(0) for each in kept.streams))
    found = replay(kept, variants, reading)
    assert (found.values == in_full(llama, base, variants)).all()
    assert found.passes == len(variants)
    assert "slow exact way" in caplog.text


def test_rows_join_late_and_columns_before_the_edit_do_not_run(llama, monkeypatch):
    """Counted in rows x columns that pass through layers: 1, 2 and 3 layers of one column."""
    base = collate(llama, from_ids([LONG]))
    other = collate(llama, from_ids([(3, *LONG[1:])]))
    sites = [Site("mlp", layer, position="last") for layer in range(3)]
    variants = patches(llama, base, other, sites)
    counted = []
    hooks = [
        layer.register_forward_hook(lambda _, args, __: counted.append(args[0].shape[:2].numel()))
        for layer in llama.layers
    ]
    kept = keep(llama, base)
    counted.clear()
    try:
        replay(kept, variants, reading)
    finally:
        for hook in hooks:
            hook.remove()
    assert counted == [2, 3, 4]  # one control row beside them


def test_places_before_the_first_difference_are_not_run(llama):
    base, other = both(llama)
    sites = [Site("resid_pre", 1, position="0"), Site("mlp", 0, position="1")]
    found = replay(keep(llama, base), patches(llama, base, other, sites), reading, shared=SHARED)
    assert found.passes == 0
    assert (found.values == found.base).all()


def test_the_engine_is_left_out_of_the_model(llama):
    """No hook stays, also after an exception inside a pass."""
    base, other = both(llama)
    variants = patches(llama, base, other, all_sites(llama, ("last",)))
    modules = list(llama.network.modules())

    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)

    before = hooks()
    kept = keep(llama, base)
    replay(kept, variants, reading)

    def fails(logits, examples):
        if len(examples) > 2:
            raise ZeroDivisionError
        return reading(logits, examples)

    with pytest.raises(ZeroDivisionError):
        replay(kept, variants, fails)
    broken = [put(site, torch.zeros(1, 1, 3)) for site in [Site("mlp", 1, position="last")]]
    with pytest.raises(RuntimeError):
        replay(kept, [broken], reading)
    assert hooks() == before


def sabotaged(monkeypatch, name, fault):
    monkeypatch.setattr(running, name, partial(fault, getattr(running, name)))


def test_a_row_that_joins_a_layer_late_is_caught(llama, monkeypatch):
    """Off by one layer: the reference notices."""
    base, other = both(llama)
    variants = patches(llama, base, other, [Site("head", layer) for layer in range(3)])

    def late(honest, rows, depths):
        return [0, *honest(rows, depths)[:-2], len(rows)]

    sabotaged(monkeypatch, "_joins", late)
    with pytest.raises((AssertionError, RuntimeError)):
        same(llama, base, variants)
