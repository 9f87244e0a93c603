"""`interlock direction`: from the command to the sealed folder, and mistakes in one line."""

from commands import read_json

from interlock.direction import read
from interlock.run import read as run_read
from interlock.run import verify

STUDY = """
question: Is it one direction?
model: {name: "organism:aligned"}
prompts: {name: grammar, per_category: 2}
budgets: {5m: {}}
steps:
  - {id: openers, do: behaviour, on: prompts.find}
  - {id: candidates, do: direction_candidates, on: prompts.find, replies: openers}
  - {id: one, do: direction, on: prompts.find, replies: openers, chosen: candidates}
"""


def test_direction_study(cli, isolated):
    result = cli(
        "direction", "organism:aligned", "--budget", "tiny", "--out", "run",
        "steps.direction.effects.controls=1", "steps.direction.effects.tokens=12",
        "steps.direction.transfer.tokens=12", "prompts.per_category=3",
    )  # fmt: skip
    assert result.code == 0, result.err
    (verdict,) = read_json(isolated / "run" / "verdicts.json")
    assert "Refusal is mediated by one direction" in result.out
    assert set(verdict["estimates"]) >= {"removed", "induced", "transfer", "random_removed"}
    assert verdict["outcome"] == "inconclusive"  # one random direction is no control
    assert verify(isolated / "run") > 10
    tables = run_read(isolated / "run").tables
    # the step's own rows and the claim's summary are kept beside each other
    assert {"example", "measure"} <= set(tables["direction.effects"].columns)
    assert {"low", "high"} <= set(tables["direction.changed"].columns)
    page = (isolated / "run" / "report.html").read_text()
    for figure in ("candidates-scores", "changed", "unseen", "streams", "dimensions-cosines"):
        assert f'id="figure-direction-{figure}"' in page
    one = read(isolated / "run" / "tensors" / "direction.one.safetensors")
    assert one.names == ("all",) and one.vectors.shape == (1, 128)
    assert "grammar.find" in one.about["prompts"]
    without = read(isolated / "run" / "tensors" / "direction.without.safetensors")
    assert all(name.startswith("not ") for name in without.names) and len(without.names) > 1


def test_a_model_that_never_refuses_has_no_direction(cli, isolated):
    result = cli("direction", "organism:base", "--budget", "tiny", "--out", "run")
    assert result.code == 0, result.err
    (verdict,) = read_json(isolated / "run" / "verdicts.json")
    assert verdict["outcome"] == "inconclusive" and "refus" in verdict["reason"]
    assert "Did not run: " in result.err


def test_a_direction_is_not_judged_where_it_was_fitted(cli, study_file):
    path = study_file(
        STUDY + "  - {id: e, do: direction_effects, on: prompts.find, passages: passages, "
        "direction: one}\n"
    )
    assert "fitted on find, the split this step judges" in cli("study", "check", path).error()


def test_wires_and_options_are_checked(cli, study_file):
    path = study_file(STUDY.replace("chosen: candidates", "chosen: one, choose: best"))
    errors = "\n".join(cli("study", "check", path).errors())
    assert "steps.one.chosen" in errors and "steps.one.choose" in errors


def test_another_table_than_the_candidates_is_said(cli, study_file):
    path = study_file(STUDY.replace("chosen: candidates", "chosen: openers"))
    result = cli("audit", "--study", path, "--out", "run")
    assert "needs the table of a step that does direction_candidates" in result.err


def test_a_model_that_is_not_there_is_one_line(cli):
    assert "nowhere" in cli("direction", "./nowhere").error()
