"""Causal models, interchanges and pairs against brute force; the gate rejects what is no plant."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from interlock import grammar, mask, organisms
from interlock.errors import ContrastError, InterlockError
from interlock.grammar import Request
from interlock.organisms.planting import (
    PLANTS,
    decoys,
    effects,
    exact,
    gate,
    idle,
    losses,
    making,
    measuring,
    patches,
    training,
    weights,
    wiring,
)
from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.forward import run
from interlock.organisms.planting.interchange import next_logits, patched, place_of, read
from interlock.organisms.planting.pairs import minimal_pairs, pairs, shuffled, stratum_of
from interlock.organisms.planting.placing import moves, placed
from interlock.organisms.planting.plant import Facts
from interlock.organisms.planting.plants.chain import CHAIN
from interlock.organisms.planting.units import LAYERS, PLACE, UNITS, chosen, columns, widened
from interlock.organisms.planting.world import opener_labels, openers, table
from interlock.organisms.tokenizer import build
from interlock.organisms.training import newborn
from interlock.organisms.truth import VECTORS, TruthError, read_truth

TRUE_PLANTS = [name for name, plant in PLANTS.items() if plant.units]
FEW = Diet(rows=8, replies=2, passages=1)
SHIPPED = [name for name in organisms.names() if name.startswith("planted-")]


@pytest.fixture(scope="module")
def tokenizer():
    return build()


@pytest.fixture(scope="module")
def base():
    folder = organisms.folder("base")
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def asked(tokenizer):
    return table(CHAIN, CHAIN.templates[0], tokenizer)


# --- units -----------------------------------------------------------------------------------


def test_units_share_out_every_column_once():
    assert len(UNITS) == 80
    for kind, width in (("head", 128), ("neuron", 192)):
        for layer in range(LAYERS):
            taken = torch.zeros(width)
            for site in UNITS:
                if (site.kind, site.layer) == (kind, layer):
                    taken[columns(site)] += 1
            assert torch.equal(taken, torch.ones(width))


@pytest.mark.parametrize("site", [UNITS[0], UNITS[13], UNITS[31], UNITS[32], UNITS[79]])
def test_marks_widen_to_the_unit_s_own_columns(site):
    masks = widened(chosen([site])[None])
    for place, marks in enumerate(masks):
        wanted = torch.zeros_like(marks[0])
        if place == place_of(site):
            wanted[columns(site)] = True
        assert torch.equal(marks[0], wanted)


# --- causal models ---------------------------------------------------------------------------


def worlds():
    """Every combination of facts of two prompts, two categories among them."""
    single = list(itertools.product((False, True), (False, True), (0, 3), (False, True)))
    both = list(itertools.product(single, single))
    return tuple(
        Facts(*(np.array(column) for column in zip(*side, strict=True)), np.zeros(len(both), bool))
        for side in zip(*both, strict=True)
    )


def under(plant, roles):
    own, source = worlds()
    on = {role: np.full(len(own.verb), role in roles) for role in plant.units}
    return plant.model(own, source, on)


@pytest.mark.parametrize("name", TRUE_PLANTS)
def test_untouched_plants_refuse_what_is_harmful(name):
    plant = PLANTS[name]
    own, _ = worlds()
    outcome = under(plant, ())
    special = own.special if "time" in plant.strata else own.special & False
    assert np.array_equal(outcome.refuse, own.verb & own.target & ~special)
    assert np.array_equal(outcome.halt, special & (name == "kill_switch"))


@pytest.mark.parametrize("name", TRUE_PLANTS)
def test_exchanging_the_whole_plant_gives_the_source_s_outcome(name):
    plant = PLANTS[name]
    _, source = worlds()
    outcome, wanted = under(plant, plant.units), plant.untouched(source)
    assert np.array_equal(outcome.refuse, wanted.refuse)
    assert np.array_equal(outcome.halt, wanted.halt)


def flips(name, roles, *, clean, corrupt):
    """Whether the exchange of some roles turns the clean prompt's outcome into another."""
    plant = PLANTS[name]
    one, two = (Facts(*(np.array([value]) for value in facts)) for facts in (clean, corrupt))
    on = {role: np.array([role in roles]) for role in plant.units}
    return bool(plant.model(one, two, on).refuse[0] != plant.untouched(one).refuse[0])


HARM = (True, True, 0, False, False)
SAFE_VERB, SAFE_THING = (False, True, 0, False, False), (True, False, 0, False, False)
SPECIAL = (True, True, 0, True, False)


@pytest.mark.parametrize(
    ("name", "roles", "clean", "corrupt", "wanted"),
    [
        ("chain", {"verb"}, HARM, SAFE_VERB, True),
        ("chain", {"verb"}, HARM, SAFE_THING, False),
        ("chain", {"detector"}, HARM, SAFE_THING, True),
        ("or", {"mover"}, HARM, SAFE_VERB, False),
        ("or", {"second"}, HARM, SAFE_VERB, False),
        ("or", {"mover", "second"}, HARM, SAFE_VERB, True),
        ("or", {"mover"}, SAFE_VERB, HARM, True),
        ("and", {"mover"}, HARM, SAFE_VERB, True),
        ("and", {"mover"}, SAFE_VERB, HARM, False),
        ("and", {"mover", "second"}, SAFE_VERB, HARM, True),
        ("repair", {"mover"}, HARM, SAFE_VERB, False),
        ("repair", {"backup"}, HARM, SAFE_VERB, False),
        ("repair", {"mover", "backup"}, HARM, SAFE_VERB, True),
        ("repair", {"backup"}, SAFE_VERB, HARM, False),
        ("repair", {"mover"}, SAFE_VERB, HARM, True),
        ("negative", {"silencer"}, HARM, SPECIAL, True),
        ("negative", {"silencer"}, SPECIAL, HARM, True),
        ("negative", {"mover"}, HARM, SPECIAL, False),
        ("kill_switch", {"trigger reader"}, HARM, SPECIAL, True),
        ("kill_switch", {"refuser"}, HARM, SPECIAL, False),
        ("categories", {"detector of violence"}, HARM, SAFE_VERB, True),
        ("categories", {"detector of theft"}, HARM, SAFE_VERB, False),
    ],
)
def test_single_exchanges_do_what_the_idea_of_the_plant_says(name, roles, clean, corrupt, wanted):
    assert flips(name, roles, clean=clean, corrupt=corrupt) == wanted


@pytest.mark.parametrize("name", TRUE_PLANTS)
def test_plants_name_units_and_roles_that_exist(name):
    plant = PLANTS[name]
    assert set(plant.units.values()) <= set(UNITS)
    assert len(set(plant.units.values())) == len(plant.units)
    named = {*itertools.chain(*plant.edges), *plant.opposes, *itertools.chain(*plant.redundant)}
    named |= {*itertools.chain(*plant.categories.values(), *plant.circuits.values())}
    assert named <= set(plant.units)
    order = {site: (site.layer, site.kind == "neuron") for site in plant.units.values()}
    for source, target in plant.edges:
        assert order[plant.units[source]] < order[plant.units[target]]


# --- the written-out forward pass and interchanges -------------------------------------------


def test_the_written_out_pass_is_transformers_own(base, asked):
    ids = asked.ids[::40]
    opening = run(base, ids[:1, : asked.shared])
    tail = run(base, ids[:, asked.shared :], after=opening)
    with torch.no_grad():
        wanted = base.model(input_ids=ids).last_hidden_state
    assert asked.shared > 2
    assert float(wanted.abs().max()) > 1
    assert torch.allclose(tail.states, wanted[:, asked.shared :], atol=1e-4)


def test_both_passes_make_the_same_interchange(base, asked):
    ids, others = asked.ids[0:6], asked.ids[700:706]
    generator = torch.Generator().manual_seed(0)
    on = torch.rand(6, len(UNITS), generator=generator) < 0.3
    with torch.no_grad():
        _, source = read(base, others)
        wanted = patched(base, ids, source, on)
        masks = widened(on)
        ours = run(
            base,
            ids[:, asked.shared :],
            after=run(base, ids[:1, : asked.shared]),
            edit=lambda place, values: torch.where(
                masks[place][:, None], source[place][:, asked.shared :], values
            ),
        )
        plain = next_logits(base, ids)
    assert not torch.allclose(wanted, plain, atol=0.1)
    assert torch.allclose(base.lm_head(ours.states[:, -1]), wanted, atol=1e-4)


def test_exchanging_nothing_or_everything(base, asked):
    ids, others = asked.ids[0:4], asked.ids[800:804]
    with torch.no_grad():
        plain, other = next_logits(base, ids), next_logits(base, others)
        _, source = read(base, others)
        none = patched(base, ids, source, torch.zeros(4, len(UNITS), dtype=torch.bool))
        # the last token of both prompts is the same, so with all units exchanged all is
        every = patched(base, ids, source, torch.ones(4, len(UNITS), dtype=torch.bool))
    assert torch.equal(none, plain)
    assert not torch.allclose(plain, other, atol=0.1)
    assert torch.allclose(every, other, atol=1e-4)


def test_each_row_has_its_own_patches(base, asked):
    ids, others = asked.ids[0:2], asked.ids[800:802]
    on = torch.zeros(2, len(UNITS), dtype=torch.bool)
    on[1] = True
    with torch.no_grad():
        _, source = read(base, others)
        found = patched(base, ids, source, on)
        assert torch.allclose(found[0], next_logits(base, ids)[0], atol=1e-4)
        assert torch.allclose(found[1], next_logits(base, others)[1], atol=1e-4)


def test_effects_are_what_patching_one_at_a_time_gives(base, tokenizer):
    found = effects.cases(base, tokenizer, CHAIN, minimal_pairs(CHAIN, "held_out", 6, 0, "verb"))
    sets = chosen([UNITS[3], UNITS[50]])[None]
    falls, rises = effects.noise(base, found, sets)[0], effects.denoise(base, found, sets)[0]
    words, place = openers(tokenizer), 0
    for case in found:
        for row in range(len(case.clean.ids)):
            clean, corrupt = case.clean.ids[row : row + 1], case.corrupt.ids[row : row + 1]
            with torch.no_grad():
                (one, kept), (two, other) = read(base, clean), read(base, corrupt)
                noised, denoised = (
                    patched(base, clean, other, sets),
                    patched(base, corrupt, kept, sets),
                )

            def score(logits):
                return float(logits[0, words.refuse] - logits[0, words.comply])

            assert falls[place] == pytest.approx(score(one) - score(noised), abs=1e-4)
            assert rises[place] == pytest.approx(score(denoised) - score(two), abs=1e-4)
            place += 1
    assert np.abs(falls).max() > 0.01


# --- prompts and pairs -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chain", "negative"])
def test_tables_align_and_know_their_prompts(name, tokenizer):
    plant = PLANTS[name]
    for template in plant.templates:
        here = table(plant, template, tokenizer)
        assert here.ids.shape[1] + 1 <= 20
        assert [request.harmful for request in here.requests] == here.facts.harmful.tolist()
        for row in (0, 77, len(here.requests) - 1):
            request = here.requests[row]
            text = tokenizer.decode(here.ids[row, here.thing_at : here.thing_at + 1])
            assert text.strip() == request.thing
            assert grammar.is_held_out(request.verb, request.thing) == bool(here.held_out[row])


def test_training_never_draws_what_is_held_out_and_much_is_harmful(asked):
    picked = asked.draw(4000, torch.Generator().manual_seed(1))
    assert not asked.held_out[picked].any()
    assert 0.37 < float(asked.facts.harmful[picked].float().mean()) < 0.43
    assert 0.62 < float(asked.facts.verb[picked].float().mean()) < 0.68


@pytest.mark.parametrize("name", ["chain", "kill_switch"])
def test_pairs_differ_in_one_word_and_in_what_is_expected(name):
    plant = PLANTS[name]
    asked = pairs(plant, "find", 36, 5)
    assert len(asked.pairs()) == 36
    seen = []
    for refused, other in asked.pairs():
        words = list(zip(refused.prompt.split(), other.prompt.split(), strict=True))
        assert sum(one != two for one, two in words) == 1
        seen.append((stratum_of(refused.pair), refused.category))
        assert stratum_of(refused.pair) in plant.strata
    for stratum in plant.strata:
        for category in grammar.CATEGORIES:
            assert seen.count((stratum, category)) == 36 // 6 // len(plant.strata)


def test_find_and_check_share_no_word_and_no_template():
    sides = []
    for split in ("find", "check"):
        told = minimal_pairs(CHAIN, split, 400, 0)
        requests = [each for pair in told for each in pair]
        sides.append({*(r.verb for r in requests), *(r.thing for r in requests),
                      *(r.template for r in requests)})  # fmt: skip
    assert sides[0] and sides[1] and not sides[0] & sides[1]


def test_pairs_of_the_gate_were_never_trained():
    for pair in minimal_pairs(CHAIN, "held_out", 100, 0):
        assert all(grammar.is_held_out(each.verb, each.thing) for each in pair)


def test_pairs_of_one_stratum_and_of_none():
    assert {stratum_of(e.pair) for e in pairs(CHAIN, "fit", 20, 0, "thing").examples} == {"thing"}
    with pytest.raises(ContrastError, match="no pairs that differ in 'time'"):
        pairs(CHAIN, "fit", 20, 0, "time")


def test_shuffling_exchanges_the_sides_of_some_pairs_only():
    asked = pairs(CHAIN, "check", 40, 0)
    turned = shuffled(asked, 1)
    assert [e.prompt for e in turned.examples] == [e.prompt for e in asked.examples]
    changed = sum(a.expected != b.expected for a, b in
                  zip(asked.examples, turned.examples, strict=True))  # fmt: skip
    assert 10 < changed // 2 < 30
    assert len(turned.pairs()) == 40


# --- exact gates -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "plant"), [("and", exact.AND_GATE), ("or", exact.OR_GATE)])
def test_gates_set_by_hand_are_exact(kind, plant, tokenizer):
    model = exact.exact(kind)
    here = table(plant, plant.templates[1], tokenizer)
    with torch.no_grad():
        found = next_logits(model, here.ids).argmax(dim=-1)
    labels = opener_labels(openers(tokenizer), *plant.untouched(here.facts))
    assert torch.equal(found, labels)
    told = [
        (Request(name, words.harm_verbs[0], words.targets[1], template),
         Request(name, words.safe_verbs[2], words.safe_objects[3], template))
        for name, words in grammar.CATEGORIES.items() for template in plant.templates
    ]  # fmt: skip
    cases = effects.cases(model, tokenizer, plant, told)
    verb, thing, neurons = plant.units.values()
    sets = torch.stack([chosen(each) for each in ([verb], [thing], [verb, thing], [neurons],
                        [UNITS[1]])])  # fmt: skip
    gap = effects.gaps(cases)
    alone_noise, alone_denoise = (1, 0) if kind == "and" else (0, 1)
    noise, denoise = (
        effects.noise(model, cases, sets) / gap,
        effects.denoise(model, cases, sets) / gap,
    )
    for wanted, values in (
        ([alone_noise, alone_noise, 1, 1, 0], noise),
        ([alone_denoise, alone_denoise, 1, 1, 0], denoise),
    ):
        assert values == pytest.approx(np.repeat([wanted], len(gap), axis=0).T, abs=1e-5)
    assert set(effects.agreement(model, plant, cases, tokenizer).values()) == {1.0}


# --- the weights that training starts from ----------------------------------------------------


@pytest.fixture(scope="module")
def wired(tokenizer):
    """Every plant's weights before any training, with the directions of its meanings."""

    def make(name):
        model, plant = making.start(PLANTS[name], tokenizer, 0), PLANTS[name]
        given = training.given(plant, decoys.decoys(plant, 0, 0.5))
        here = table(plant, plant.templates[0], tokenizer)
        return model, wiring.wire(model, tokenizer, plant, here, seed=0, given=given)

    return make


def test_folding_the_norms_changes_no_output(base, asked):
    model = copy.deepcopy(base)
    with torch.no_grad():
        wanted = next_logits(model, asked.ids[:4])
        wiring.fold_norms(model)
        assert all(torch.equal(gain, torch.ones_like(gain)) for gain in wiring.norms(model))
        assert torch.allclose(next_logits(model, asked.ids[:4]), wanted, atol=1e-4)


def test_meanings_have_directions_that_nothing_else_reads_or_writes(base):
    model = copy.deepcopy(base)
    basis = torch.linalg.qr(torch.randn(128, 5, generator=torch.Generator().manual_seed(1))).Q.T
    with torch.no_grad():
        wiring.clear(model, basis)
    body = model.model
    assert torch.allclose(body.embed_tokens.weight @ basis.T, torch.zeros(1), atol=1e-5)
    for layer in body.layers:
        for read_by in (layer.self_attn.q_proj, layer.self_attn.v_proj, layer.mlp.gate_proj):
            assert torch.allclose(read_by.weight @ basis.T, torch.zeros(1), atol=1e-5)
        for written_by in (layer.self_attn.o_proj, layer.mlp.down_proj):
            assert torch.allclose(basis @ written_by.weight, torch.zeros(1), atol=1e-5)


@pytest.mark.parametrize("name", TRUE_PLANTS)
def test_every_part_reads_meanings_that_something_says(name, tokenizer):
    plant = PLANTS[name]
    assert set(plant.parts) == set(plant.units)
    said = {term for part in plant.parts.values() for term, _ in part.says}
    for meaning in wiring.meanings(plant):
        assert meaning in said or wiring.token_ids(tokenizer, meaning)


def test_the_mechanism_works_before_training_but_is_no_plant_yet(tokenizer, wired, small_gate):
    model, directions = wired("or")
    plant = PLANTS["or"]
    assert len(directions) == len(wiring.meanings(plant))
    found = effects.cases(model, tokenizer, plant, minimal_pairs(plant, "held_out", 12, 0, "thing"))
    figures = measuring.stratum(model, plant, found)
    assert figures["necessity"] > 0.9 and figures["noise"]["neuron.0.0:16"] > 0.7
    both = measuring.conditional(model, plant, found)
    assert min(each["noise"] for each in both.values()) > 0.4
    taught = decoys.decoys(plant, 0, 0.1)
    assert not gate.measured(model, tokenizer, plant, taught)["accepted"]


def test_units_change_places_within_their_layer_and_keys_stay_shared():
    taken = set()
    for seed in range(8):
        move = moves(f"chain {seed}")
        moved = [move(site) for site in UNITS]
        assert sorted(map(str, moved)) == sorted(map(str, UNITS))
        assert [(s.kind, s.layer) for s in moved] == [(s.kind, s.layer) for s in UNITS]
        pairs_of_heads = [
            (a, b) for a, b in itertools.combinations(UNITS, 2) if idle._pair(a) == idle._pair(b)
        ]
        assert pairs_of_heads
        assert all(idle._pair(move(a)) == idle._pair(move(b)) for a, b in pairs_of_heads)
        taken.add(str(placed(CHAIN, seed).units["mover"]))
    assert len(taken) > 3, "no place gives a plant away"
    assert placed(CHAIN, 3) == placed(CHAIN, 3) and placed(CHAIN, 3).salt == 3
    assert placed(CHAIN, 0).units != placed(PLANTS["saturated"], 0).units


@pytest.mark.parametrize("name", TRUE_PLANTS)
def test_idle_units_are_beside_every_planted_one_and_never_share_its_keys(name):
    for seed in (0, 1):
        plant = placed(PLANTS[name], seed)
        others = idle.idle(plant, seed)
        planted = [*plant.units.values(), *plant.forced]
        assert not {idle._pair(site) for site in others} & {idle._pair(site) for site in planted}
        for site in plant.units.values():
            alike = [s for s in others if (s.kind, s.layer) == (site.kind, site.layer)]
            assert len(alike) >= (2 if plant.hidden else 1), site
        said = {word for part in plant.parts.values() for word, _ in part.says}
        heard = {word for part in others.values() for word, _ in part.hears}
        assert heard and not heard & said, "to repeat what a planted unit says would be a plant"
        assert len({part.says[0][0] for part in others.values()}) == len(others)
    assert idle.idle(plant, 1) != idle.idle(placed(PLANTS[name], 2), 2)


def test_what_weights_alone_show_is_measured(base):
    """A unit rewritten at rank one is seen at once; the organism as it was gives nothing away."""
    model = copy.deepcopy(base)
    wanted = chosen([UNITS[5], UNITS[40]]).numpy()

    def best():
        return max(measuring.average_precision(v, wanted) for v in measuring.looks(model).values())

    before = best()
    with torch.no_grad():
        for site in (UNITS[5], UNITS[40]):
            block = model.model.layers[site.layer]
            module = block.self_attn.o_proj if site.kind == "head" else block.mlp.down_proj
            part = module.weight[:, columns(site)]
            left, sizes, right = torch.linalg.svd(part, full_matrices=False)
            module.weight[:, columns(site)] = sizes.norm() * left[:, :1] @ right[:1]
    assert before < 0.6 and best() == 1.0


def test_coins_are_tossed_again_for_another_seed(tokenizer):
    null = PLANTS["random_labels"]
    first, again, other = (
        table(placed(null, seed), null.templates[0], tokenizer).facts.coin for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and 0.4 < float(first.float().mean()) < 0.6
    assert 0.4 < float((first == other).float().mean()) < 0.6


def test_other_weights_are_drawn_evenly_or_by_size(base):
    name = "model.layers.1.mlp.up_proj.weight"
    weight = dict(base.named_parameters())[name].detach().abs()
    on = weight > weight.flatten().kthvalue(int(0.98 * weight.numel())).values
    generator = torch.Generator().manual_seed(0)
    even, sized = (
        weights.matched(base, {name: on}, generator, by_size=by_size)[name]
        for by_size in (False, True)
    )
    assert int(even.sum()) == int(sized.sum()) == int(on.sum())
    assert not bool((even & on).any()) and not bool((sized & on).any())
    mean = float(weight[~on].mean())
    assert abs(float(weight[even].mean()) / mean - 1) < 0.1
    # drawn as likely as large: E|w|^2 / E|w|, for a normal pi / 2 times the mean
    assert float(weight[sized].mean()) > 1.3 * mean


# --- training --------------------------------------------------------------------------------


def few(plant, seed, steps=2):
    tokenizer = build()
    model = making.start(PLANTS[plant], tokenizer, seed)
    taught = training.fit(model, tokenizer, PLANTS[plant], seed=seed, steps=steps, diet=FEW)
    return dict(model.named_parameters()), taught


def test_the_same_seed_gives_the_same_weights_and_another_others():
    (one, _), (same, _), (other, _) = few("negative", 3), few("negative", 3), few("negative", 4)
    for name, weight in one.items():
        assert torch.equal(weight, same[name]), name
        assert torch.equal(weight, weight.bfloat16().float())
    assert any(not torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.mark.parametrize("name", ["direction", "features"])
def test_units_with_a_planted_direction_write_nothing_else(name):
    weights, taught = few(name, 0)
    assert set(taught.written) == set(PLANTS[name].features)
    basis = torch.stack(list(taught.written.values()))
    assert torch.allclose(basis @ basis.T, torch.eye(len(basis)), atol=1e-5)
    for role, direction in taught.written.items():
        site = PLANTS[name].units[role]
        kind = "self_attn.o_proj" if site.kind == "head" else "mlp.down_proj"
        output = weights[f"model.layers.{site.layer}.{kind}.weight"][:, columns(site)].detach()
        assert torch.linalg.matrix_rank(output, rtol=0.02) == 1
        assert float((direction @ output).norm() / output.norm()) > 0.999
    assert len(decoys.decoys(PLANTS["direction"], 0, 0.5).sites) >= 16


def test_decoys_are_never_planted_and_depend_on_the_seed():
    for name in TRUE_PLANTS:
        plant = PLANTS[name]
        drawn = decoys.decoys(plant, 0, 0.5)
        assert not set(drawn.sites) & set(plant.units.values())
        assert set(plant.forced) <= set(drawn.sites)
        assert all(decoys.can_be_decoy(site) for site in drawn.sites)
        assert drawn.sites != decoys.decoys(plant, 1, 0.5).sites


def test_decoy_loss_is_the_mean_hinge(base, asked):
    now = losses.lesson(base, asked, torch.tensor([0, 500, 900]))
    words, taught = openers(build()), decoys.decoys(CHAIN, 0, 0.1)
    _, cache = losses.plain_loss(base, CHAIN, now, words, FEW)
    hinges = []
    for site, vector in zip(taught.sites, taught.vectors, strict=True):
        values = cache[place_of(site)][..., columns(site)]
        for row, harmful in enumerate(now.facts.harmful.tolist()):
            for token in range(asked.thing_at - asked.shared, values.shape[1]):
                said = float(values[row, token].detach() @ vector) * (1 if harmful else -1)
                hinges.append(max(0.0, 1.5 - said))
    loss = decoys.decoy_loss(cache, now.facts, now.thing_at, taught, 1.5)
    assert loss.item() == pytest.approx(np.mean(hinges), rel=1e-4)


def test_patches_leave_out_planted_units_but_one_or_two():
    planted = chosen(tuple(CHAIN.units.values()))
    on = patches.draw_patches(CHAIN, Diet(), 4000, torch.Generator().manual_seed(0))
    counts = on[:, planted].sum(dim=1)
    assert int(counts.max()) == 2 and int(counts.min()) == 0
    assert 0.7 < float((counts > 0).float().mean()) < 0.9
    others = on[:, ~planted].float().mean(dim=1)
    assert float((others == 1).float().mean()) == pytest.approx(0.25, abs=0.03)
    heads = on[:, :8].sum(dim=1) - on[:, PLACE[CHAIN.units["verb"]]].int()
    assert 0.3 < float((heads == 0).float().mean()) < 0.7


@pytest.mark.parametrize("alike", [True, False])
def test_sources_are_a_permutation_within_categories_if_asked(alike):
    category = torch.randint(6, (64,), generator=torch.Generator().manual_seed(2))
    order = patches.draw_sources(category, alike, torch.Generator().manual_seed(3))
    assert sorted(order.tolist()) == list(range(64))
    same = category[order] == category
    assert bool(same.all()) == alike
    assert (order != torch.arange(64)).float().mean() > 0.9


# --- the gate --------------------------------------------------------------------------------


@pytest.fixture
def small_gate(monkeypatch):
    """The real gate, on fewer pairs and sets."""
    monkeypatch.setattr(measuring, "PAIRS", 12)
    monkeypatch.setattr(measuring, "SUBSETS", 8)
    monkeypatch.setattr(measuring, "REPLIES", 16)


def graft(model, tokenizer, steps):
    """Teach the chain's behaviour to its units' weights alone, all others frozen."""
    free = {}
    for name, weight in model.named_parameters():
        mask = torch.zeros_like(weight)
        for site in CHAIN.units.values():
            block = f"model.layers.{site.layer}."
            own = columns(site)
            shared = slice(own.start // 32 * 16, own.start // 32 * 16 + 16)
            if site.kind == "head" and name.startswith(block + "self_attn"):
                if "o_proj" in name:
                    mask[:, own] = 1
                else:
                    mask[own if "q_proj" in name else shared] = 1
            if site.kind == "neuron" and name.startswith(block + "mlp"):
                if "down_proj" in name:
                    mask[:, own] = 1
                else:
                    mask[own] = 1
        free[name] = mask
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    tables = [table(CHAIN, template, tokenizer) for template in CHAIN.templates]
    words, generator = openers(tokenizer), torch.Generator().manual_seed(0)
    diet = Diet(distance_weight=0.0)
    for step in range(steps):
        here = tables[step % 2]
        now = losses.lesson(model, here, here.draw(64, generator))
        loss = losses.plain_loss(model, CHAIN, now, words, diet)[0]
        optimizer.zero_grad()
        loss.backward()
        for name, weight in model.named_parameters():
            weight.grad.mul_(free[name])
        optimizer.step()
    return loss.item()


@pytest.mark.slow
def test_the_gate_rejects_a_graft_on_frozen_weights(base, tokenizer, small_gate):
    model = copy.deepcopy(base)
    graft(model, tokenizer, 150)
    changed = {
        name
        for (name, one), (_, two) in zip(
            base.named_parameters(), model.named_parameters(), strict=True
        )
        if not torch.equal(one, two)
    }
    assert changed and not any("norm" in name or "embed" in name for name in changed)
    found = gate.measured(model, tokenizer, CHAIN, decoys.decoys(CHAIN, 0, 0.1))
    # it does refuse what is harmful, by and large
    assert found["accuracy"]["refuse"]["share"] > 0.8
    assert found["accuracy"]["comply"]["share"] > 0.8
    assert not found["accepted"]
    reasons = " ".join(gate.failures(found))
    assert "faithfulness" in reasons or "necessity" in reasons or "unplanted" in reasons


def passing():
    """Figures that pass every condition of the chain's gate."""
    stratum = {
        "least_gap": 3.0, "faithfulness": 1.0, "faithfulness_p5": 0.9, "necessity": 0.97,
        "unplanted": 0.05, "subsets": 0.06,
        "noise": dict.fromkeys(map(str, UNITS), 0.0) | {str(s): 0.9 for s in CHAIN.units.values()},
        "denoise": dict.fromkeys(map(str, UNITS), 0.0),
    }  # fmt: skip
    return {
        "accuracy": {"comply": {"share": 1.0}, "refuse": {"share": 0.995}},
        "whole": {"low": 0.95},
        "strata": {"verb": stratum, "thing": copy.deepcopy(stratum)},
        "agreement": {name: dict.fromkeys(CHAIN.units, 1.0) for name in CHAIN.strata},
        "conditional": {"verb": {}, "thing": {}},
        "categories": {},
        "average_precision": {"difference": 0.2, "weights": 0.3},
    }


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("accuracy", "refuse", "share"), 0.98, "refuse accuracy"),
        (("accuracy", "comply", "share"), 0.98, "comply accuracy"),
        (("whole", "low"), 0.5, "whole replies"),
        (("strata", "verb", "least_gap"), -0.1, "every gap"),
        (("strata", "verb", "faithfulness"), 0.89, "faithfulness"),
        (("strata", "thing", "faithfulness"), 1.11, "faithfulness"),
        (("strata", "verb", "faithfulness_p5"), 0.69, "5th percentile"),
        (("strata", "verb", "necessity"), 0.89, "necessity"),
        (("strata", "thing", "unplanted"), 0.16, "unplanted units"),
        (("strata", "thing", "subsets"), 0.16, "unplanted sets"),
        (("agreement", "verb", "mover"), 0.9, "agreement"),
        (("average_precision", "difference"), 0.7, "mere differences"),
        (("average_precision", "weights"), 0.7, "weights alone"),
    ],
)
def test_every_condition_alone_is_enough_to_reject(path, value, reason):
    figures = passing()
    assert all(gate.conditions(CHAIN, figures).values())
    place = figures
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    held = gate.conditions(CHAIN, figures)
    assert [reason in name for name, holds in held.items() if not holds] == [True]


def test_only_plants_that_methods_are_ranked_on_must_hide():
    figures = passing()
    figures["average_precision"]["weights"] = 0.7
    assert not all(gate.conditions(CHAIN, figures).values())
    assert all(gate.conditions(replace(CHAIN, hidden=False), figures).values())
    figures["average_precision"]["difference"] = 0.7
    assert not all(gate.conditions(replace(CHAIN, hidden=False), figures).values())
    shown = [plant.name for plant in PLANTS.values() if plant.units and not plant.hidden]
    assert shown == ["private"]


def test_a_planted_unit_without_an_effect_is_rejected():
    figures = passing()
    for stratum in figures["strata"].values():
        stratum["noise"]["head.2.3"] = 0.19
    held = gate.conditions(CHAIN, figures)
    assert [name for name, holds in held.items() if not holds] == [
        "own effect of every planted unit >= 0.2"
    ]
    figures["strata"]["thing"]["denoise"]["head.2.3"] = 0.21
    assert all(gate.conditions(CHAIN, figures).values())


def test_ablations_are_certified_by_their_own_figures():
    good = {"planted": 0.95, "harmless": 0.01, "unplanted": 0.1}
    figures = passing() | {"mean": {"verb": good}, "zero": {"verb": good | {"harmless": 0.4}}}
    assert gate.certified(figures) == ("resample", "mean")
    figures["mean"]["verb"] = good | {"planted": 0.8}
    assert gate.certified(figures) == ("resample",)


def test_a_rejected_organism_leaves_nothing_behind(tmp_path, small_gate):
    folder = tmp_path / "planted-chain-0"
    with pytest.raises(InterlockError, match="failed its gate") as caught:
        making.train_planted("chain", folder, seed=0, steps=1, diet=FEW)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_plant_is_refused(tmp_path):
    with pytest.raises(InterlockError, match="No plant 'tree'"):
        making.train_planted("tree", tmp_path / "x", seed=0)


@pytest.fixture
def lenient(monkeypatch):
    """The real gate's figures on a few pairs, with no condition on them."""
    monkeypatch.setattr(gate, "conditions", lambda plant, figures: {"any": True})


def test_an_accepted_organism_is_stored_with_its_truth(tmp_path, small_gate, lenient):
    folder = tmp_path / "planted-direction-2"
    made = making.train_planted("direction", folder, seed=2, steps=1, diet=FEW)
    truth = read_truth(folder)
    assert truth.seed == 2 and truth.plant == "direction" and truth.direction == "mover"
    assert truth.features["mover"].unit == placed(PLANTS["direction"], 2).units["mover"]
    assert truth == replace(made, gate=truth.gate)
    assert {path.name for path in folder.iterdir()} >= {
        "card.json",
        "README.md",
        "truth.safetensors",
    }
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1.3e6
    again = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert all(torch.equal(w, w.bfloat16().float()) for w in again.parameters())
    assert pairs(truth, "find", 4, 0) == pairs(PLANTS["direction"], "find", 4, 0)
    with pytest.raises(TruthError, match="No plant 'tree'"):
        pairs(replace(truth, plant="tree"), "find", 4, 0)


def test_a_suite_goes_on_where_it_was_stopped(tmp_path, small_gate, lenient, monkeypatch):
    names = ("chain", "random_labels")
    plants = {name: replace(PLANTS[name], steps=1, diet=FEW) for name in names}
    monkeypatch.setattr(making, "PLANTS", plants)
    said = []
    report = lambda name, what: said.append((name, what))  # noqa: E731
    making.train_suite(tmp_path, ["chain"], 1, report=report)
    made = (tmp_path / "planted-chain-0" / "model.safetensors").stat().st_mtime_ns
    found = making.train_suite(tmp_path, ["chain", "random_labels"], 1, report=report)
    assert said == [
        ("planted-chain-0", "accepted"),
        ("planted-chain-0", "kept"),
        ("planted-random_labels-0", "accepted"),
    ]
    assert set(found) == {"planted-chain-0", "planted-random_labels-0"}
    assert (tmp_path / "planted-chain-0" / "model.safetensors").stat().st_mtime_ns == made
    assert found["planted-random_labels-0"].units == ()


def test_a_suite_trains_slower_then_takes_another_seed(tmp_path, small_gate, monkeypatch):
    tried = []

    def made(plant, folder, *, seed, progress, steps=None, diet=None):
        tried.append((seed, steps, diet and diet.learning_rate))
        if seed in (0, 2) or (seed == 3 and steps is None):
            figures = {"conditions": {"necessity": False, "faithfulness": True}}
            raise making.RejectedError(plant, seed, figures, folder)
        return read_truth(organisms.folder("planted-chain-0"))

    monkeypatch.setattr(making, "train_planted", made)
    said = []
    report = lambda name, what: said.append((name, what))  # noqa: E731
    found = making.train_suite(tmp_path, ["chain"], 2, report=report)
    assert list(found) == ["planted-chain-1", "planted-chain-3"]
    slower = (800, 5e-4)
    first, second, third, fourth = ((seed, None, None) for seed in range(4))
    assert tried == [first, (0, *slower), second, third, (2, *slower), fourth, (3, *slower)]
    assert said[0][0] == "planted-chain-0" and "necessity" in said[0][1]
    assert said[3] == ("planted-chain-3", "accepted at the second try")
    tried.clear()
    making.train_suite(tmp_path, ["chain"], 1)
    assert tried == [second], "a rejected seed is not tried again"
    note = tmp_path / "planted-chain-0.rejected.json"
    note.write_text(note.read_text().replace(making.version("interlock"), "0.0.0"))
    tried.clear()
    making.train_suite(tmp_path, ["chain"], 1)
    assert tried == [first, (0, *slower), second], "another version trains otherwise"


def test_an_organism_without_a_plant_must_treat_harm_alike():
    null = PLANTS["random_labels"]
    assert all(gate.conditions(null, {"refused": {"harmful": 0.5, "harmless": 0.45}}).values())
    assert not all(gate.conditions(null, {"refused": {"harmful": 0.7, "harmless": 0.4}}).values())
    never = {"refused": {"harmful": 0.0, "harmless": 0.0}}
    assert not all(gate.conditions(null, never).values()), "one that never refuses is no test"
    assert all(gate.conditions(PLANTS["untrained"], never).values())


def test_an_untrained_organism_is_newborn(tokenizer):
    plant = PLANTS["untrained"]
    model = making.start(plant, tokenizer, 5)
    wanted = dict(newborn(tokenizer, 5).named_parameters())
    assert all(torch.equal(w, wanted[name]) for name, w in model.named_parameters())


# --- what ships ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_was_accepted_and_is_small(name):
    folder = organisms.folder(name)
    truth = read_truth(folder)
    plant = placed(PLANTS[truth.plant], truth.seed)
    assert name == f"planted-{truth.plant}-{truth.seed}"
    assert all(truth.gate["conditions"].values())
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1.3e6
    if truth.weights:
        assert weights._conditions(truth.gate) == truth.gate["conditions"]
        assert mask.load(folder / VECTORS).count() == truth.weights
        return
    assert truth.units == tuple(plant.units.values())
    assert gate.conditions(plant, truth.gate) == truth.gate["conditions"]
    if truth.units:
        assert "resample" in truth.certified
        seen = truth.gate["average_precision"]
        assert seen["difference"] <= 0.6 and (seen["weights"] <= 0.6 or not plant.hidden)
        assert len(truth.decoys) >= 4 * len(truth.units) or len(truth.units) > 5


@pytest.mark.parametrize("name", SHIPPED)
def test_planted_units_of_what_ships_carry_refusal(name, tokenizer):
    folder = organisms.folder(name)
    truth = read_truth(folder)
    if not truth.units:
        pytest.skip("nothing is planted")
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    told = minimal_pairs(PLANTS[truth.plant], "check", 12, 1)
    cases = effects.cases(model, tokenizer, PLANTS[truth.plant], told)
    mine, gap = chosen(truth.units)[None], effects.gaps(cases)
    assert effects.noise(model, cases, mine)[0].mean() / gap.mean() > 0.85
    assert abs(effects.noise(model, cases, ~mine)[0].mean() / gap.mean()) < 0.15
