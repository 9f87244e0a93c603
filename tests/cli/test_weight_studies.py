"""`interlock weights prune`, and study files that score, choose and take out weights."""

import contextlib
import io
import json

import pytest
from commands import read_json

from interlock import cli as command_line
from interlock import mask
from interlock.config import read_study_file, resolve
from interlock.errors import StudyError
from interlock.run import read
from interlock.studies import built_in

FEW = (
    "--budget",
    "tiny",
    "prompts.per_category=12",
    "rules.few_weights.control_sets=2",
    "rules.few_weights.degenerate=0.1",
)
LESS = (
    "model.dtype=float32",
    "steps.weights.pruned.controls=2",
    # sets of like |weight| hold planted weights that were not chosen, so they are no null here
    "steps.weights.pruned.match=nothing",
    *(f"steps.weights.{step}.q=[0.01, 0.02]" for step in ("choice", "pruned")),
    *(f"steps.weights.{step}.tokens=24" for step in ("choice", "pruned", "projected")),
)


@pytest.fixture(scope="module")
def pruned(cache, tmp_path_factory):
    """The organism with planted weights, killed in the last step and gone on with."""
    from interlock.methods import pruning, salience

    run = tmp_path_factory.mktemp("pruned") / "run"
    arguments = ["weights", "prune", "organism:planted-weights-0", *FEW, *LESS, "--json"]
    arguments += ["--out", str(run)]
    whole = pruning.pruning

    def killed(*nouns, **options):
        if options["controls"]:
            raise KeyboardInterrupt
        return whole(*nouns, **options)

    def scored(*nouns, **options):
        raise AssertionError("scored again")

    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setenv("XDG_CACHE_HOME", str(cache))
        with patch.context() as once:
            once.setattr(pruning, "pruning", killed)
            assert command_line.main(arguments) == 2
        sets = {path.name: path.read_bytes() for path in (run / "tensors").iterdir()}
        patch.setattr(salience, "snip", scored)
        assert command_line.main(arguments) == 0
    return run, json.loads(out.getvalue()), sets


def test_planted_weights_are_found_to_be_few(pruned):
    run, said, _ = pruned
    (verdict,) = said["verdicts"]
    assert verdict["outcome"] == "supported", verdict["reason"]
    assert verdict["estimates"]["sparsity"]["value"] <= 0.03
    assert verdict["estimates"]["random_fall"]["high"] <= 0.1
    assert "as many other weights of each matrix" in verdict["control"]
    told = read(run).table("weights.pruning")
    share = verdict["estimates"]["sparsity"]["value"]
    (found,) = told.where(sets="found", sparsity=share).rows()
    assert found["refusal"] <= 0.1 and found["degenerate"] <= 0.05
    assert found["compliance"] >= 0.9
    ranks = read(run).table("weights.ranks")
    assert ranks["sets"].tolist() == ["none", "found", "random"]
    assert ranks["count"].tolist() == [1, 1, 2] and 0 < ranks["share"][1] <= 0.01
    assert ranks["refusal"].tolist()[1] <= 0.1 and ranks["refusal"].tolist()[2] >= 0.9
    assert "ranks" in (run / "report.html").read_text(encoding="utf-8")
    sets = read(run).table("weights.sets")
    assert sets["part"].tolist() == ["read_heads", "any_heads"]
    assert (sets["refusal_low"] <= sets["refusal"]).all()
    probes = read(run).table("weights.probes")
    assert all(site.startswith("head.") for site in probes["site"].tolist())


def test_sets_stay_in_the_run_and_scores_do_not(pruned):
    run, _, before = pruned
    for name, content in before.items():  # read, not chosen again, after the interruption
        assert (run / "tensors" / name).read_bytes() == content
    kept = {path.stem for path in (run / "tensors").iterdir()}
    heads = {"weights.read_heads", "weights.any_heads"}
    assert kept == heads | {"weights.top_safety", "weights.top_utility"}
    assert mask.load(run / "tensors" / "weights.read_heads.safetensors").unit == "head"
    chosen = mask.load(run / "tensors" / "weights.top_safety.safetensors")
    told = read(run).table("weights.top_safety")
    assert int(told["chosen"].sum()) == chosen.count() > 0
    assert not (run / "shards").exists()
    scores = read(run).table("weights.safety")
    assert float(scores["share"].sum()) == pytest.approx(1)
    overlap = read(run).table("weights.overlap")
    assert int(overlap["first"].sum()) == chosen.count()
    assert (overlap["both"] <= overlap["first"]).all()


def test_a_model_without_refusal_gives_no_verdict(cli):
    result = cli("weights", "prune", "organism:base", *FEW, *LESS, "--json")
    assert result.code == 0, result.err
    (verdict,) = json.loads(result.out)["verdicts"]
    assert verdict["outcome"] == "inconclusive", verdict["reason"]


# --- what may be wired to what --------------------------------------------------------------------


def _study(*steps, **more):
    start = [
        {"id": "talk", "do": "behaviour", "on": "prompts.find"},
        {"id": "no", "do": "own_replies", "replies": "talk"},
        {"id": "yes", "do": "own_replies", "replies": "talk", "kind": "utility"},
        {"id": "s", "do": "snip", "replies": "no"},
        {"id": "u", "do": "snip", "replies": "yes"},
        {"id": "set", "do": "set_difference", "safety": "s", "utility": "u"},
    ]
    model = {"name": "organism:aligned"}
    return {
        "question": "?",
        "model": model,
        "budgets": {"5m": {}},
        "steps": [*start, *steps],
    } | more


def _taken(split, **more):
    wires = {"passages": "passages", "replies": "talk"}
    return {"id": "cut", "on": f"prompts.{split}", **wires, **more}


def test_weights_are_not_judged_where_they_were_found():
    scores = {"safety": "s", "utility": "u"}
    resolve(_study(_taken("check", do="removal", chosen="set")))
    resolve(_study(_taken("check", do="pruning", **scores)))
    resolve(_study(_taken("find", do="pruning", controls=0, **scores)))
    for wrong in (
        _taken("find", do="removal", chosen="set"),
        _taken("find", do="pruning", **scores),
        {"id": "a", "do": "attacks", "on": "prompts.find", **scores},
    ):
        with pytest.raises(StudyError, match="the split this step judges"):
            resolve(_study(wrong))


def test_directions_are_not_judged_where_they_were_found():
    found = [
        {"id": name, "do": "used_directions", "replies": replies}
        for name, replies in (("ds", "no"), ("du", "yes"))
    ]
    directions = {"safety": "ds", "utility": "du"}
    resolve(_study(*found, _taken("check", do="rank_pruning", **directions)))
    resolve(_study(*found, _taken("find", do="rank_pruning", controls=0, **directions)))
    for wrong in (
        _taken("find", do="rank_pruning", **directions),
        {"id": "a", "do": "rank_attacks", "on": "prompts.find", **directions},
    ):
        with pytest.raises(StudyError, match="the split this step judges"):
            resolve(_study(*found, wrong))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (_taken("check", do="rank_pruning", safety="s", utility="u"), "that returns Subspaces"),
        (_taken("check", do="removal", chosen="s"), "earlier step that returns Mask"),
        ({"id": "t", "do": "top_weights", "scores": "set"}, "that returns WeightScores"),
        ({"id": "t", "do": "snip", "replies": "prompts.find"}, "that returns Table"),
        (_taken("check", do="restoration", chosen="set"), "needs a model by its name"),
    ],
)
def test_wrong_wires_are_said(step, words):
    with pytest.raises(StudyError, match=words):
        resolve(_study(step))


def test_shares_are_between_0_and_1():
    for wrong in (
        {"id": "t", "do": "top_weights", "scores": "s", "share": 5},
        {"id": "t", "do": "set_difference", "safety": "s", "utility": "u", "p": -0.1},
        _taken("check", do="pruning", safety="s", utility="u", q=[0.1, 1.5]),
    ):
        with pytest.raises(StudyError, match=r"(less|greater) than or equal to"):
            resolve(_study(wrong))


def test_targets_are_checked():
    targets = [{"step": "nonesuch", "value": 1}, {"step": "s", "values": 1}, {"step": "s"}]
    with pytest.raises(StudyError) as caught:
        resolve(_study(targets=targets))
    said = str(caught.value)
    assert "no step 'nonesuch'" in said and "targets.1.values" in said and "targets.2.value" in said


def test_weights_of_another_model_put_back(cli, isolated, study_file):
    """A step may name a second model; which one it was is in the plan."""
    step = _taken("check", do="restoration", base="organism:base", chosen="set", controls=1)
    study = _study(step | {"tokens": 24})
    study["prompts"] = {"name": "grammar", "per_category": 2, "passages": 2}
    result = cli("audit", "--study", study_file(json.dumps(study)), "--out", "run")
    assert result.code == 0, result.err
    plan = read_json(isolated / "run" / "plan.json")
    assert list(plan["other models"]) == ["organism:base"]
    table = read(isolated / "run").table("cut")
    assert table.about["fill"] == "the weights of organism:base"
    assert set(table["kind"].tolist()) == {"none", "found", "random"}


def test_the_built_in_study_is_there():
    study = resolve(read_study_file(built_in("weights")))
    assert study.claims[0].rule == "few_weights"


def test_scores_are_let_go_after_the_last_step_that_reads_them():
    import torch

    from interlock.config import steps_read
    from interlock.studies.running import _release
    from interlock.tables import Table
    from interlock.weight_scores import WeightScores

    study = resolve(read_study_file(built_in("weights")))
    scored = [step.id for step in study.steps if step.do == "snip"]
    last = {
        name: max(n for n, step in enumerate(study.steps, 1) if name in steps_read(step))
        for name in scored
    }
    assert scored and len(study.steps) > min(last.values())
    tiny = WeightScores({"0.mlp.up_proj": torch.ones(1, 2, 2)}, (4,), "nat")
    values = dict.fromkeys(scored, tiny)
    for number in range(1, len(study.steps) + 1):
        _release(study, number, values)
        for name in scored:
            held = isinstance(values[name], WeightScores)
            assert held == (number < last[name]) and (held or isinstance(values[name], Table))
