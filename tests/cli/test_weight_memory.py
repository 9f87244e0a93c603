"""What studies on weights hold in memory, counted before they run: a 7B config without weights."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from interlock.architectures import architecture_of
from interlock.config import Step, read_study_file, resolve
from interlock.matrices import matrices
from interlock.memory import Memory
from interlock.methods import lowrank, salience
from interlock.studies import built_in, holding, planning
from interlock.studies.holding import Held, maps_of, most_held
from numbered import numbered, replies_of

SEVEN = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}
WEIGHTS = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
DIRECTIONS = 32 * (5 * 4096**2 + 2 * 11008 * 4096)
GRAMS = 32 * (3 * 4096**2 + 11008**2)
SAFETY = (([1, 5, 9, 13, 7], [3, 8, 2, 9]), ([1, 30, 17], [5, 5, 40, 22, 7, 19]))


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    """Maps of a Llama-2-7B in bfloat16, on the meta device."""
    folder = tmp_path_factory.mktemp("Llama-2-7b")
    (folder / "config.json").write_text(json.dumps(SEVEN), encoding="utf-8")
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    maps = maps_of(network, architecture_of("llama"), itemsize=2, model_bytes=2 * 6_738_415_616)
    return folder, maps


def made(do, name, wires=None, **options):
    return Step(id=name, do=do, wires=wires or {}, options=options)


def snips(halves, keep="device"):
    options = {"halves": halves, "keep": keep, "groups": 1}
    return [made("snip", name, **options) for name in ("s", "u")]


def grid(**options):
    plain = {"choose": "difference", "p": [0.02], "q": [0.005, 0.01, 0.02], "cross": "grid"}
    plain |= {"granularity": "matrix", "match": "nothing", "controls": 20}
    return made("pruning", "cut", {"safety": "s", "utility": "u"}, **plain | options)


def test_the_maps_of_a_7b_are_those_of_its_config(seven):
    maps = seven[1]
    assert (maps.weights, maps.largest, maps.widest) == (WEIGHTS, 4096 * 11008, 11008)
    assert maps.grams == GRAMS
    assert maps.directions(1.0) == DIRECTIONS


@pytest.mark.parametrize(("halves", "each"), [(True, 2), (False, 1)])
def test_both_score_sets_are_held_while_the_grid_runs(seven, halves, each):
    maps = seven[1]
    held = most_held([*snips(halves), grid()], maps, together=False)
    flags_and_copies = WEIGHTS + 2 * 4 * maps.largest
    assert held.device == 2 * each * 4 * WEIGHTS + flags_and_copies
    assert held.host == 3 * WEIGHTS // 8 + int(0.02 * WEIGHTS) * 2  # sets, and what they replaced


def test_matched_controls_hold_every_weights_size_too(seven):
    maps = seven[1]
    plain, matched = (
        most_held([*snips(False), grid(match=match)], maps, together=False)
        for match in ("nothing", "magnitude")
    )
    assert matched.host - plain.host == 4 * WEIGHTS and matched.device == plain.device
    whole = most_held([*snips(False), grid(granularity="global")], maps, together=False)
    assert whole.device - plain.device == 2 * 4 * (WEIGHTS - maps.largest)


def test_sums_on_the_cpu_leave_the_device(seven):
    maps = seven[1]
    held = most_held([*snips(True, "cpu"), grid()], maps, together=False)
    assert held.device == WEIGHTS + 2 * 4 * maps.largest
    assert held.host > 2 * 2 * 4 * WEIGHTS
    grouped = [made("snip", "s", halves=True, keep="cpu", groups=4)]
    assert most_held(grouped, maps, together=False).device > 2 * 4 * WEIGHTS // 4


def test_scores_are_counted_to_their_last_reader_and_sets_to_the_end(seven):
    maps = seven[1]
    scores = made("snip", "s", halves=False, keep="device", groups=1)
    chosen = made("top_weights", "set", {"scores": "s"}, granularity="matrix")
    cut = made("removal", "cut", {"chosen": "set"}, match="nothing")
    assert holding._at(2, [scores, chosen, cut], maps) == Held(
        host=2 * (WEIGHTS // 8) + 2 * WEIGHTS  # the set and a control's, and weights as they were
    )
    again = made("top_weights", "more", {"scores": "s"}, granularity="matrix")
    assert holding._at(2, [scores, chosen, cut, again], maps).device == 4 * WEIGHTS


def test_projections_hold_directions_and_every_weight_as_it_was(seven):
    maps = seven[1]
    found = [made("used_directions", name, share=0.25, keep="device") for name in ("s", "u")]
    cut = made("rank_pruning", "cut", {"safety": "s", "utility": "u"})
    held = most_held([*found, cut], maps, together=False)
    assert held.host == 2 * WEIGHTS
    # the sums of the second set beside the directions of both are more than the projections need
    solving = 4 * 8 * 11008**2
    assert held.device == 2 * 4 * (DIRECTIONS // 4) + 4 * GRAMS + solving
    base = made("restoration", "back", {"chosen": "x"}, match="nothing")
    assert most_held([base], maps, together=False).device == maps.model_bytes


def test_on_a_cpu_one_moment_decides_for_both(seven):
    maps = seven[1]
    steps = [*snips(True), grid(match="magnitude")]
    apart, both = (most_held(steps, maps, together=each) for each in (False, True))
    assert both.device + both.host == apart.device + apart.host
    assert most_held([], maps, together=True) == Held()


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3", "olmo2"])
def test_what_is_counted_is_what_values_take(family, tiny):
    """Against real values on tiny models: scores, directions, and distinct inputs of matrices."""
    model = numbered(tiny(family))
    maps = maps_of(model.network, model.architecture, itemsize=4, model_bytes=0)
    assert maps.shapes == tuple(each.shape for each in matrices(model))
    replies = replies_of(SAFETY)
    for halves in (True, False):
        scores = salience.snip(model, replies, halves=halves)
        size = sum(each.nbytes for each in scores.halves.values())
        step = made("snip", "s", halves=halves, keep="device", groups=1)
        assert holding._made(step, maps) == Held(device=size)
    found = lowrank.used_directions(model, replies, share=0.5)
    size = sum(each.basis.nbytes for each in found.parts.values())
    assert 4 * maps.directions(0.5) == size
    every = {each.name: each for each in matrices(model)}
    row = lowrank.demonstrations(model, replies, halves=False).halves[0][0]
    owners = set(lowrank._owners(model, every, row).values())
    assert maps.grams == sum(every[name].shape[1] ** 2 for name in owners)


def test_the_plan_of_the_built_in_study_counts_them_all(cli, seven):
    folder, maps = seven
    planned = cli("weights", "prune", str(folder), "--dry-run", "--json", "model.dtype=bfloat16")
    assert planned.code == 0, planned.err
    found = json.loads(planned.out)
    study = resolve(read_study_file(built_in("weights")))
    held = most_held(study.steps, maps, together=True)
    assert found["memory_bytes"] > 2 * 6.7e9 + held.device + held.host
    assert held.device > 2 * 2 * 4 * WEIGHTS and held.host > 4 * WEIGHTS
    assert found["host_bytes"] == 0  # the device is the CPU
    said = cli("weights", "prune", str(folder), "--dry-run", "model.dtype=bfloat16")
    assert " on the CPU beside it" not in said.out


def test_too_little_of_the_cpus_memory_is_said_before_the_start(seven, monkeypatch):
    """A device other than the CPU, as a GPU would be; what is free is made up."""
    folder, maps = seven
    settings = read_study_file(built_in("weights"))
    study = resolve(settings, [f"model.name={folder}", "model.dtype=bfloat16"])
    free = {"cpu": Memory(0, 0, 2**30, 2**30), "meta": Memory(0, 0, 2**40, 2**40)}
    monkeypatch.setattr(planning, "look", lambda device: free[device.type])
    monkeypatch.setattr(planning, "_matrix_speed", lambda _: 1e15)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    opened = planning._opened(
        network, architecture_of("llama"), torch.device("meta"), torch.bfloat16, maps.model_bytes
    )
    estimate = planning._estimate(study, opened)
    assert estimate.host_bytes == most_held(study.steps, maps, together=False).host
    assert estimate.memory_bytes < estimate.free_bytes
    assert "on the CPU beside it" in str(estimate)
    monkeypatch.setattr(planning, "settle", lambda **_: None)
    monkeypatch.setattr(planning, "estimate_settled", lambda *_: estimate)
    assert "of the CPU's memory, 1.0 GiB are free" in planning.too_long(study)
