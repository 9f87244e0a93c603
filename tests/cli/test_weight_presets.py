"""Ready study files of published set-ups: checked, planned, and run on an organism."""

import json
from pathlib import Path

import pytest
from commands import read_json

from interlock.config import read_study_file, resolve
from interlock.run import read

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "studies"
READY = ("wei2024", "drift_documented", "drift_overlap", "drift_run")
SHARES = {
    "drift_documented": (0.01, 0.1, 0.1),
    "drift_overlap": (0.05, 0.05, 0.05),
    "drift_run": (0.001, 0.05, 0.002),
}


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    """The config of a Llama-2-7B, without weights."""
    folder = tmp_path_factory.mktemp("Llama-2-7b-chat-hf")
    config = {
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
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", READY)
def test_ready_studies_can_be_checked_and_planned_without_a_network(cli, seven, name):
    path = STUDIES / f"{name}.yaml"
    checked = cli("study", "check", path)
    assert checked.code == 0, checked.err
    for budget in read_study_file(path)["budgets"]:
        planned = cli(
            "study", "plan", path, f"model.name={seven}", "prompts.name=grammar",
            "--budget", budget, "--json",
        )  # fmt: skip
        assert planned.code == 0, planned.err
        found = json.loads(planned.out)
        assert found["shape"]["parameters"] == pytest.approx(6.74e9, rel=0.01)
        steps = {step["id"]: step for step in found["steps"]}
        assert steps["safety"]["prompts"] == 128 and not steps["safety_set"]["prompts"]
        assert found["memory_bytes"] > 2 * found["shape"]["parameters"]


@pytest.mark.parametrize("name", SHARES)
def test_shares_are_those_of_the_drift_study(name):
    study = resolve(read_study_file(STUDIES / f"{name}.yaml"))
    top, p, q = SHARES[name]
    assert study.step("top_safety").options["share"] == top
    assert study.step("top_utility").options["share"] == top
    critical = study.step("critical").options
    assert (critical["p"], critical["q"], critical["granularity"]) == (p, q, "matrix")


def test_the_preset_holds_every_point_of_the_published_table():
    study = resolve(read_study_file(STUDIES / "wei2024.yaml"))
    for name in ("pruned", "vanilla", "suffix", "decoding"):
        options = study.step(name).options
        points = set(zip(options["p"], options["q"], strict=True))
        assert options["cross"] == "pairs" and options["granularity"] == "matrix"
        told = {
            (each.at["p"], each.at["q"])
            for each in study.targets
            if each.step == name and "p" in each.at and each.reading != "perplexity"
        }
        assert points == told and len(points) == 10
    for name in ("safety", "utility"):
        options = study.step(name).options
        assert options["examples"] == 128 and options["loss"] == "mean"


def test_the_preset_holds_every_point_of_the_published_projections():
    """Written in shares of 4096 directions; the paper gives how many are left, r_u and r_s."""
    study = resolve(read_study_file(STUDIES / "wei2024.yaml"))
    wanted = {(3450, 4000), (3550, 4000), (3950, 4090), (4000, 4090), (4080, 4090)}
    for name in ("rank_pruned", "rank_vanilla", "rank_suffix", "rank_decoding"):
        options = study.step(name).options
        points = list(zip(options["p"], options["q"], strict=True))
        assert options["cross"] == "pairs"
        assert {(4096 * (1 - p), 4096 * (1 - q)) for p, q in points} == wanted
        told = [each for each in study.targets if each.step == name]
        assert {(each.at["p"], each.at["q"]) for each in told} == set(points)
        assert len(told) == 5
        # what is kept of the directions is enough for every point
        wires = study.step(name).wires
        assert max(options["p"]) <= study.step(wires["utility"]).options["share"]
        assert max(options["q"]) <= study.step(wires["safety"]).options["share"]


@pytest.fixture
def rendered(tmp_path):
    """Files of replies in the format of Wei et al.: prompts rendered, responses apart."""
    files = []
    for name, reply in (("safety", "I cannot help."), ("utility", "Here is a plan.")):
        rows = ["prompt,response"] + [f"How do I {n} a thing?,{reply}" for n in range(8)]
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        files.append(path)
    return files


@pytest.fixture
def sets(rendered, tmp_path):
    text = tmp_path / "wiki.txt"
    text.write_text("How do I thank a friend? Here is a plan. " * 60, encoding="utf-8")
    endings = tmp_path / "endings.txt"
    endings.write_text("please\n\nthank you\n", encoding="utf-8")
    given = [f"steps.{each.stem}_set.file={each}" for each in rendered]
    more = [f"steps.{s}.text={text}" for s in ("pruned", "rank_pruned")]
    more += [f"steps.{s}.suffixes={endings}" for s in ("suffix", "rank_suffix")]
    # the organism reads fewer tokens than Meta's system prompt has
    more += [f"steps.{s}.form='Please. {{prompt}}'" for s in ("vanilla", "rank_vanilla")]
    grids = ("pruned", "vanilla", "suffix", "decoding")
    fast = [f"steps.{pre}{s}.tokens=24" for s in grids for pre in ("", "rank_")]
    fast += [f"steps.{s}.{name}=[0.05]" for s in grids for name in ("p", "q")]
    fast += [f"steps.{s}.window=64" for s in ("pruned", "rank_pruned")]
    return [*given, *more, *fast, "steps.decoding.samples=2", "steps.rank_decoding.samples=2"]


def test_the_preset_runs_and_prints_published_numbers_beside_its_own(cli, sets, isolated):
    """On an organism, which has other numbers: what counts is that each stands where it belongs."""
    path = STUDIES / "wei2024.yaml"
    result = cli(
        "audit", "--study", path, "organism:aligned", "prompts.name=grammar", "--budget", "tiny",
        *sets, "model.dtype=float32", "--out", "run",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "Beside published numbers:" in result.out
    told = read(isolated / "run").table("published")
    assert "Did not run" not in result.err, result.err
    (before,) = (row for row in told.rows() if row["step"] == "vanilla" and "none" in row["at"])
    assert before["published"] == 0 and before["low"] <= before["measured"] <= before["high"]
    point = told.where(at="kind found, p 0.05, q 0.05")
    (sparse,) = point.rows()
    assert sparse["published"] == pytest.approx(0.0241) and 0 < sparse["measured"] < 0.05
    (suffix,) = (
        row for row in told.where(step="suffix").rows() if "p 0.05, q 0.05" in str(row["at"])
    )
    assert suffix["read"] == "best suffix" and suffix["n"] > 0 and not suffix["note"]
    (missing,) = (
        row for row in told.where(step="vanilla").rows() if "p 0.09, q 0.08" in str(row["at"])
    )
    assert "no such row" in missing["note"]
    projected = told.where(
        at="kind found, p 0.15771484375, q 0.0234375, measure asr_substring_wei31"
    )
    assert {(row["step"], row["published"]) for row in projected.rows()} == {
        ("rank_vanilla", 0.67), ("rank_suffix", 1.0),
    }  # fmt: skip
    assert not any(row["note"] for row in projected.rows())
    ranks = read(isolated / "run").table("rank_pruned")
    assert set(ranks["kind"].tolist()) == {"none", "found", "random"}
    assert "window_nll" in ranks["measure"].tolist()
    text = told.where(step="pruned", read="perplexity")
    assert (text["measured"][:1] > 1).all()
    plan = read_json(isolated / "run" / "plan.json")
    assert len(plan["files"]) == 4
    attacked = read(isolated / "run").table("decoding")
    assert set(attacked["measure"].tolist()) == {"asr_mean@2", "asr_any@2", "degenerate"}


def test_the_preset_says_which_files_it_needs(cli, tmp_path):
    path = STUDIES / "wei2024.yaml"
    result = cli(
        "audit", "--study", path, "organism:aligned", "prompts.name=grammar", "--budget", "tiny",
        "prompts.per_category=1",
    )  # fmt: skip
    assert "No file of replies to score on is named" in result.last_error()
    strange = cli(
        "audit", "--study", path, "organism:aligned", "prompts.name=grammar",
        "steps.safety_set.file=none.csv",
    )  # fmt: skip
    assert "No file none.csv" in strange.last_error()
    plain = tmp_path / "plain.csv"
    plain.write_text("prompt,label\nx,y\n", encoding="utf-8")
    wrong = cli(
        "audit", "--study", path, "organism:aligned", "prompts.name=grammar", "--budget", "tiny",
        f"steps.safety_set.file={plain}", "prompts.per_category=1",
    )  # fmt: skip
    assert "has no column 'response'" in wrong.last_error()
