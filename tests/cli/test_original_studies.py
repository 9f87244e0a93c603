"""The ready files of the Llama-3 study: checked and planned offline, and run on the organism."""

import json
import socket
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import read_json

STUDIES = Path(__file__).parents[2] / "studies"
LLAMA = {
    "model_type": "llama",
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
SMALL = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
LARGE = {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80}
GIB = 2**30
# parameters as published, and the memory that a 4-bit run of the study may be thought to take
MODELS = {
    "llama3-8b": (SMALL | {"num_attention_heads": 32}, 8_030_261_248, (5 * GIB, 8e9)),
    "llama31-8b": (SMALL | {"num_attention_heads": 32}, 8_030_261_248, (5 * GIB, 8e9)),
    "llama3-70b": (LARGE | {"num_attention_heads": 64}, 70_553_706_496, (36 * GIB, 48 * GIB)),
}


@pytest.fixture
def no_network(monkeypatch):
    """Any connection is an error of the test."""

    def refused(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refused)


@pytest.mark.parametrize("name", list(MODELS))
def test_planned_from_the_config_alone(cli, no_network, tmp_path, name):
    sizes, parameters, (least, most) = MODELS[name]
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | sizes), encoding="utf-8")
    path = STUDIES / f"{name}.yaml"
    assert cli("study", "check", path).code == 0
    result = cli("study", "plan", path, f"model.name={tmp_path}", "--json")
    assert result.code == 0, result.err
    plan = json.loads(result.out)
    assert plan["shape"]["parameters"] == parameters
    assert plan["dtype"] == "bfloat16"
    assert least < plan["memory_bytes"] < most
    steps = {step["id"]: step for step in plan["steps"]}
    heads = sizes["num_attention_heads"] + 12  # neuron groups
    whole = heads * sum(range(1, sizes["num_hidden_layers"] + 1)) / sizes["num_hidden_layers"]
    # 8 pairs on find, each unit's own layers once, and three reads a chunk of 256 sites
    assert whole * 8 < steps["units.noise"]["prompts"] < whole * 8 * 1.1
    assert all(step["seconds"] > 0 for step in steps.values())


def test_packing_and_dtype_change_the_plan_as_they_change_the_weights(cli, no_network, tmp_path):
    sizes, parameters, _ = MODELS["llama3-8b"]
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | sizes), encoding="utf-8")

    def planned(*more):
        name = f"model.name={tmp_path}"
        found = cli("study", "plan", STUDIES / "llama3-8b.yaml", name, "--json", *more)
        return json.loads(found.out)["memory_bytes"]

    whole = planned("model.quantization=null", "model.dtype=bfloat16")
    linear = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    saved = linear * (2 - 0.5 - 4 / 64)  # half a byte and a scale of four bytes a block of 64
    assert whole - planned() == pytest.approx(saved, rel=1e-6)
    double = planned("model.quantization=null", "model.dtype=float32")
    assert double - whole > 2 * parameters


def test_a_folder_without_weights_can_be_planned_and_not_run(cli, tmp_path):
    sizes, _, _ = MODELS["llama3-8b"]
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | sizes), encoding="utf-8")
    assert cli("locate", tmp_path, "--dry-run").code == 0
    assert "has no weights" in cli("locate", tmp_path).error()
    (tmp_path / "config.json").unlink()
    assert "has no weights" in cli("locate", tmp_path, "--dry-run").error()


def test_a_model_that_is_nowhere_is_said_in_one_line(cli, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    line = cli("study", "plan", STUDIES / "llama3-8b.yaml").error()
    assert "Meta-Llama-3-8B-Instruct" in line and "config.json is enough to plan" in line


def test_the_same_study_runs_on_the_organism(cli, isolated):
    result = cli(
        "audit", "organism:aligned", "--study", STUDIES / "llama3-8b.yaml", "--budget", "tiny",
        "prompts.name=grammar", "model.quantization=null", "--out", "run", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert len(json.loads(result.out)["verdicts"]) == 3
    tables = isolated / "run" / "tables"
    rows = pq.read_table(tables / "where.original.parquet").to_pylist()
    asked = [row["criterion"] for row in rows]
    assert asked[0] == "share of the parameters" and "heads above 10%" in asked
    fall = next(row for row in rows if row["criterion"] == "fall of refusal, 20 units")
    assert fall["low"] <= fall["found"] <= fall["high"] and fall["controls"] == "2 random sets"
    cut = pq.read_table(tables / "cut.parquet").to_pylist()
    assert {row["size"] for row in cut if row["kind"] == "found"} == {5, 10, 15, 20}
    (carrying,) = pq.read_table(tables / "where.carrying.parquet").to_pylist()
    assert carrying["number"] in (5, 10, 15, 20, float("inf"))
    assert read_json(isolated / "run" / "plan.json")["study"]["prompts"]["name"] == "grammar"
    # the same under the original's file names
    patching = read_json(isolated / "run" / "02_patching_results.json")
    assert len(patching["all_experiments"]) == 18
    assert {row["component"] for row in patching["combined_analysis"]["ranked_components"]} == {
        "attention", "mlp", "residual",
    }  # fmt: skip
    told = read_json(isolated / "run" / "03_ablation_results.json")
    none = [row for row in cut if row["kind"] == "none" and row["expected"] == "refuse"]
    rates = [row["value"] for row in none if row["measure"] == "refused"]
    assert told["baseline_refusal_rate"] == sum(rates) / len(rates)
    sizes = [each.get("num_ablated") for each in told["ablation_experiments"]]
    assert sizes.count(None) == 3 and sizes.count(20) == 2  # to the mean and to zero
    assert 'href="report.html"' in (isolated / "run" / "dashboard.html").read_text("utf-8")
