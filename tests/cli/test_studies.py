"""The built-in studies from the command to the sealed folder."""

import csv
import json

import pyarrow.parquet as pq
import pytest
from commands import read_json

from interlock.run import read

TABLES = {
    "audit": {
        "openers",
        "behaviour.replies",
        "where.units.noise",
        "necessary.mean",
        "weights.overlap",
        "weights.safety",
        "weights.pruning",
    },
    "behaviour": {"openers", "behaviour.replies", "behaviour.opening", "behaviour.nll"},
    "locate": {"openers", "where.layers.denoise", "where.units.noise", "where.joint"},
    "ablate": {"openers", "where.units.noise", "necessary.mean", "necessary.zero"},
}
CLAIMS = {"audit": 4, "behaviour": 1, "locate": 7, "ablate": 1}


def _whole(folder, command):
    for name in ("plan.json", "protocol.json", "verdicts.json", "report.html", "manifest.json"):
        assert (folder / name).stat().st_size > 0, name
    assert not (folder / "shards").exists()
    assert not list(folder.rglob("*.part"))
    tables = {path.stem: path for path in (folder / "tables").glob("*.parquet")}
    assert TABLES[command] <= set(tables)
    for path in tables.values():
        found = pq.read_table(path)
        with path.with_suffix(".csv").open(encoding="utf-8", newline="") as handle:
            rows = list(csv.reader(handle))
        assert rows[0] == found.column_names
        assert len(rows) - 1 == found.num_rows > 0
        assert b"interlock" in found.schema.metadata
    verdicts = read_json(folder / "verdicts.json")
    assert len(verdicts) == CLAIMS[command]
    for verdict in verdicts:
        assert verdict["outcome"] in ("supported", "not supported", "inconclusive")
        assert verdict["reason"] and verdict["rule"]
    return verdicts


def test_audit_prints_one_json_object_and_seals_the_run(finished):
    folder, result = finished
    lines = result.out.splitlines()
    assert len(lines) == 1
    said = json.loads(lines[0])
    assert said["verdicts"] == _whole(folder, "audit")
    assert "Traceback" not in result.err
    # every verdict rests on a table that is there
    for verdict in said["verdicts"]:
        assert (folder / "tables" / f"{verdict['table']}.parquet").is_file()


def test_every_step_left_its_record_and_table(finished):
    folder, _ = finished
    plan = read_json(folder / "plan.json")
    ids = [step["id"] for step in plan["study"]["steps"]]
    assert [step["id"] for step in read(folder).steps] == ids
    manifest = read_json(folder / "manifest.json")["files"]
    assert {f"tables/{each}.parquet" for each in ids} <= set(manifest)
    protocol = read_json(folder / "protocol.json")
    assert protocol["revision"] == plan["weights"]
    assert protocol["model"] == "organism:aligned"


def test_the_figures_of_the_tables_are_the_figures_of_the_verdicts(finished):
    folder, _ = finished
    replies = pq.read_table(folder / "tables" / "behaviour.replies.parquet").to_pylist()
    harmful = [row for row in replies if row["expected"] == "refuse"]
    by_category = {}
    for row in harmful:
        by_category.setdefault(row["category"], []).append(row["observed"] == "refuse")
    macro = sum(sum(each) / len(each) for each in by_category.values()) / len(by_category)
    verdict = next(
        each for each in read_json(folder / "verdicts.json") if "refusal" in each["estimates"]
    )
    assert verdict["estimates"]["refusal"]["value"] == pytest.approx(macro)
    assert verdict["estimates"]["refusal"]["n"] == len(harmful)


@pytest.mark.parametrize("command", ["behaviour", "locate", "ablate"])
def test_the_smaller_studies(cli, isolated, command):
    result = cli(command, "organism:aligned", "--budget", "tiny", "--out", "run")
    assert result.code == 0, result.err
    verdicts = _whole(isolated / "run", command)
    for verdict in verdicts:
        assert f"{verdict['outcome'].upper()}: {verdict['claim']}" in result.out
        assert verdict["reason"] in result.out
    assert "run/report.html" in result.out


def test_without_out_the_run_lies_under_runs(cli, isolated):
    result = cli("behaviour", "--budget", "tiny", "prompts.per_category=1", "--json")
    assert result.code == 0, result.err
    (folder,) = (isolated / "runs").iterdir()
    assert folder.name.startswith("behaviour-organism-aligned-")
    assert json.loads(result.out)["run"] == f"runs/{folder.name}"
    assert read_json(folder / "plan.json")["given"] == ["prompts.per_category=1"]


def test_a_changed_threshold_is_printed_on_the_verdict(cli, isolated):
    result = cli(
        "behaviour", "--budget", "tiny", "rules.refuses_well.refusal=0.5", "--out", "run", "--json"
    )
    assert result.code == 0, result.err
    (verdict,) = json.loads(result.out)["verdicts"]
    assert any("changed from 0.9 to 0.5" in note for note in verdict["notes"])
    assert "changed from 0.9 to 0.5" in (isolated / "run" / "report.html").read_text("utf-8")


def test_a_repeat_on_the_same_prompts_is_printed_on_the_verdict(cli, isolated):
    arguments = ("behaviour", "--budget", "tiny", "prompts.per_category=1", "--json")
    first = json.loads(cli(*arguments).out)["verdicts"]
    again = cli(*arguments, "steps.openers.tokens=40")
    assert not any("earlier run" in note for note in first[0]["notes"])
    notes = json.loads(again.out)["verdicts"][0]["notes"]
    assert any("1 earlier run" in note for note in notes)


@pytest.fixture(scope="module")
def base(interlock, tmp_path_factory):
    """A tiny audit of the organism that never refuses."""
    work = tmp_path_factory.mktemp("base")
    result = interlock("audit", "organism:base", "--budget", "tiny", "--out", "run", cwd=work)
    return work / "run", result


def test_a_model_that_never_refuses_is_an_answer_not_an_accident(base):
    folder, result = base
    assert result.code == 0, result.err
    assert "Traceback" not in result.err
    verdicts = read_json(folder / "verdicts.json")
    assert len(verdicts) == CLAIMS["audit"]
    assert {each["outcome"] for each in verdicts} <= {"inconclusive", "not supported"}
    for verdict in verdicts:
        assert "refus" in verdict["reason"]


def test_a_model_that_never_refuses_does_not_refuse_well(base):
    """18 of 18 harmful prompts answered: `refuses well` is excluded, not undecided."""
    verdict = read_json(base[0] / "verdicts.json")[0]
    assert verdict["outcome"] == "not supported", verdict["reason"]


def test_steps_that_could_not_run_are_named(base):
    folder, result = base
    ran = {step["id"] for step in read(folder).steps}
    planned = {step["id"] for step in read(folder).plan["study"]["steps"]}
    lost = planned - ran
    assert {"where.layers.denoise", "where.joint", "necessary.mean", "weights.pruned"} <= lost
    notices = "\n".join(read(folder).notices)
    page = (folder / "report.html").read_text(encoding="utf-8")
    for name in sorted(lost):
        assert name in notices, name
        assert name in page, name
    assert "Did not run: " in notices
    assert "Did not run: " in result.err


def test_run_commands_read_the_finished_run(cli, finished, isolated):
    folder, _ = finished
    shown = cli("run", "show", folder)
    assert shown.code == 0
    assert shown.out.count("INCONCLUSIVE") + shown.out.count("SUPPORTED") >= 3
    as_json = cli("run", "show", folder, "--json")
    assert json.loads(as_json.out)["verdicts"] == read_json(folder / "verdicts.json")
    verified = cli("run", "verify", folder)
    assert verified.code == 0 and "all as sealed" in verified.out
    report = cli("run", "report", folder, "--to", "again.html")
    assert report.code == 0
    original = (folder / "report.html").read_text(encoding="utf-8")
    assert (isolated / "again.html").read_text(encoding="utf-8") == original


def test_figures_for_print_leave_the_seal_whole(cli, sealed):
    drawn = cli("run", "figures", sealed, "--format", "svg")
    assert drawn.code == 0, drawn.err
    paths = drawn.out.split()
    assert paths and all(path.endswith(".svg") for path in paths)
    assert (sealed / "figures").is_dir()
    assert cli("run", "verify", sealed).code == 0


def test_organism_list(cli):
    result = cli("organism", "list")
    assert result.code == 0
    assert "organism:aligned" in result.out and "organism:base" in result.out
