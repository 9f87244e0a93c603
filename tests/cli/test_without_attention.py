"""A model that shows no attention weights loses those steps, said once, and nothing else."""

import pytest

from interlock.encoding import encode
from interlock.errors import ModelError
from interlock.methods import attention
from interlock.methods.attention import patterns
from interlock.sites import parse

STEPS = """
question: Where do heads look?
model: {name: "organism:aligned"}
prompts: {name: grammar, per_category: 1, passages: 1}
budget: tiny
budgets: {tiny: {}}
steps:
  - {id: shown, do: attention, on: pairs.check, sites: [head.0.2]}
  - {id: parts, do: attention_places, on: pairs.check, sites: [head.0.2]}
  - {id: strongest, do: unit_prompts, on: pairs.check, sites: [head.0.2]}
"""
CLAIM = """
  - {id: openers, do: behaviour, on: prompts.find, tokens: 8}
claims:
  - {rule: refuses_well, replies: openers}
"""


@pytest.fixture
def unseen(monkeypatch):
    """Attention that gives no weights, as some kernels and kinds of layers do."""
    monkeypatch.setattr(attention, "_keep", lambda *_: None)


@pytest.mark.parametrize("study", [STEPS, STEPS + CLAIM.lstrip("\n")], ids=["bare", "claimed"])
def test_the_other_steps_go_on(cli, study_file, unseen, isolated, study):
    result = cli("audit", "--study", study_file(study), "--out", "run")
    assert result.code == 0, result.err
    lines = [line for line in result.err.splitlines() if line.startswith("Did not run: ")]
    assert len(lines) == 1 and lines[0].startswith("Did not run: shown, parts. ")
    assert "layers 0 give no attention weights" in lines[0]
    assert (isolated / "run" / "tables" / "strongest.parquet").is_file()
    assert not (isolated / "run" / "tables" / "shown.parquet").exists()
    assert "no attention weights" in (isolated / "run" / "report.html").read_text()


def test_a_study_of_nothing_else_ends(cli, study_file, unseen):
    alone = "\n".join(line for line in STEPS.splitlines() if "strongest" not in line)
    line = cli("audit", "--study", study_file(alone), "--out", "run").last_error()
    assert "no attention weights" in line


def test_a_layer_without_an_attention_module_is_named(aligned, judged, contrasts, monkeypatch):
    """As a layer of linear attention is: its place under that name is empty."""
    rows = encode(aligned, contrasts.splits["check"].examples[:2])
    layer = aligned.layers[1]
    monkeypatch.setattr(layer, "named_modules", lambda *_: iter([("", layer)]))
    with pytest.raises(ModelError, match="layers 1 give no attention weights"):
        patterns(aligned, rows, [parse("head.1.0")])


def test_a_family_without_eager_code_is_a_model_error(aligned, contrasts, monkeypatch):
    def refuse(name):
        raise ValueError(f"no {name}")

    monkeypatch.setattr(aligned.network, "set_attn_implementation", refuse)
    rows = encode(aligned, contrasts.splits["check"].examples[:2])
    with pytest.raises(ModelError, match="the family gives no attention weights"):
        patterns(aligned, rows, [parse("head.1.0")])
