"""`doctor` opens a model and checks its sites; a wrong entry is found out."""

import dataclasses
import json

import pytest

from interlock import architectures
from interlock.architectures import ARCHITECTURES, Tap


def test_an_organism_is_well(cli):
    result = cli("doctor", "organism:aligned")
    assert result.code == 0, result.err
    assert "FAIL" not in result.out
    assert "ok" in result.out and "resid_pre" in result.out


def test_as_json(cli):
    result = cli("doctor", "organism:base", "--json", "--dtype", "bfloat16")
    assert result.code == 0, result.err
    (line,) = result.out.splitlines()
    found = json.loads(line)
    assert found["passed"] is True
    assert len(found["checks"]) > 20
    assert all(check["passed"] for check in found["checks"])


def _sabotaged(**changes: Tap):
    entry = ARCHITECTURES[0]
    return (dataclasses.replace(entry, taps=dict(entry.taps) | changes), *ARCHITECTURES[1:])


WRONG = {
    "attention is called mlp": {"mlp": Tap("self_attn", "output")},
    "output is called input": {"resid_pre": Tap("", "output")},
    "after is called before": {"resid_mid": Tap("post_attention_layernorm", "output")},
    "keys are called values": {"value": Tap("self_attn.k_proj", "output", "kv_head")},
    "values are read before their projection": {"value": Tap("self_attn.v_proj", "input")},
    "queries are called heads": {"head": Tap("self_attn.q_proj", "output", "head")},
    "gate is called neuron": {"neuron": Tap("mlp.gate_proj", "output", "neuron")},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_entry_is_found_out(cli, monkeypatch, tmp_path, wrong):
    monkeypatch.setattr(architectures, "ARCHITECTURES", _sabotaged(**WRONG[wrong]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    result = cli("doctor", "organism:aligned")
    assert result.code == 2
    assert "Traceback" not in result.err
    assert "FAIL" in result.out
    assert "self-check" in result.last_error()


def test_no_study_runs_on_a_wrong_entry(cli, monkeypatch, isolated, tmp_path):
    wrong = WRONG["attention is called mlp"]
    monkeypatch.setattr(architectures, "ARCHITECTURES", _sabotaged(**wrong))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    run = cli("behaviour", "--budget", "tiny", "--out", "run")
    assert "self-check" in run.last_error()
    assert not (isolated / "run" / "tables").exists()
