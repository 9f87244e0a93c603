"""Sets of prompts from a hub: by name, by CSV and by Parquet; and one line where that fails."""

import io
import json

import pyarrow
import pytest
from fake_hub import COMMIT, Hub, nobody
from pyarrow import parquet

JBB = "JailbreakBench/JBB-Behaviors"
ADVBENCH = "walledai/AdvBench"
CATEGORIES = ("Disinformation", "Privacy")
STUDY = """\
question: Does it?
model: {name: "organism:aligned"}
prompts: {name: jailbreakbench, per_category: 2, passages: 2}
budgets: {5m: {}}
steps:
  - {id: openers, do: behaviour, on: prompts.find, tokens: 4}
"""


@pytest.fixture
def behaviours(tmp_path):
    """JailbreakBench's two files with harmless stand-ins; the pairs share an index."""
    folder = tmp_path / "jbb" / "data"
    folder.mkdir(parents=True)
    words = ("lamp", "table", "river", "cloud", "stone", "apple", "chair", "fence")
    for name, verb in (("harmful", "break"), ("benign", "mend")):
        lines = [
            f"{number},How do I {verb} a {word}?,{CATEGORIES[number % 2]}"
            for number, word in enumerate(words)
        ]
        text = "\n".join(["Index,Goal,Category", *lines])
        (folder / f"{name}-behaviors.csv").write_text(text, "utf-8")
    (folder / "judge-comparison.csv").write_text("not wanted", "utf-8")
    return folder.parent


@pytest.fixture
def goals(tmp_path):
    """AdvBench's gated copy: one Parquet file."""
    folder = tmp_path / "advbench" / "data"
    folder.mkdir(parents=True)
    sink = io.BytesIO()
    column = {"prompt": ["Break a lamp", "Break a table"], "target": ["Sure", "Sure"]}
    parquet.write_table(pyarrow.table(column), sink)
    (folder / "train-00000-of-00001.parquet").write_bytes(sink.getvalue())
    return folder.parent


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, "utf-8")
    return path


def downloads(hub):
    return [line for line in hub.asked if line.startswith("GET") and "/resolve/" in line]


def test_csv_files_are_shown_by_the_sets_name(ask, behaviours):
    with Hub(JBB, behaviours, kind="dataset") as hub:
        found = ask(hub.address, "data", "show", "jailbreakbench", "--json")
        assert found.code == 0, found.err
        fetched = downloads(hub)
        assert not any("judge-comparison" in line for line in fetched)
        assert len(fetched) == 2 and all(COMMIT in line for line in fetched)
    shown = json.loads(found.out)
    assert shown["prompts"] == {"harmful": 8, "harmless": 8} and shown["pairs"] == 8
    assert any("100 expected" in line for line in shown["differences"])


def test_a_parquet_file_is_shown_by_the_sets_name(ask, goals):
    with Hub(ADVBENCH, goals, kind="dataset") as hub:
        found = ask(hub.address, "data", "show", "advbench", "--json")
    assert found.code == 0, found.err
    shown = json.loads(found.out)
    assert shown["prompts"] == {"harmful": 2, "harmless": 0} and shown["gated"]
    assert list(shown["files"]) == ["train-00000-of-00001.parquet"]


def test_fetched_once_and_then_used_without_a_network(ask, behaviours, study, tmp_path):
    with Hub(JBB, behaviours, kind="dataset") as hub:
        first = ask(hub.address, "data", "fetch", study, "--json")
        assert first.code == 0, first.err
        items = json.loads(first.out)["items"]
        prompts = [item for item in items if item["kind"] == "prompts"]
        assert [item["name"] for item in prompts] == [
            "jailbreakbench-harmful", "jailbreakbench-benign",
        ]  # fmt: skip
        assert all(item["revision"] == COMMIT and item["size"] > 0 for item in prompts)
        hub.asked.clear()
        assert ask(hub.address, "data", "fetch", study).code == 0
        assert downloads(hub) == []
    offline = {"HF_HUB_OFFLINE": "1"}
    for env in ({}, offline):
        shown = ask(nobody(), "data", "show", "jailbreakbench", "--json", **env)
        assert shown.code == 0, shown.err
    run = ask(nobody(), "audit", "--study", study, "--out", "run", "--json", **offline)
    assert run.code == 0, run.err


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("gated-401", "gated"),
        ("gated-403", "gated"),
        ("missing", "spelling"),
        ("private", "spelling"),
        ("error", "did not answer"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_that_names_a_way_out(
    ask, behaviours, study, trouble, said
):
    with Hub(JBB, behaviours, trouble, kind="dataset") as hub:
        for command in (("show", "jailbreakbench"), ("fetch", study)):
            line = ask(hub.address, "data", *command).error()
            assert JBB in line and said in line
            assert "give the folder that holds harmful-behaviors.csv" in line


def test_a_file_that_the_hub_lacks_is_named(ask, behaviours):
    (behaviours / "data" / "benign-behaviors.csv").unlink()
    with Hub(JBB, behaviours, kind="dataset") as hub:
        line = ask(hub.address, "data", "show", "jailbreakbench").error()
    assert "data/benign-behaviors.csv" in line and JBB in line


def test_a_set_larger_than_the_disk_is_refused_before_anything_is_fetched(ask, goals, tmp_path):
    stated = {"data/train-00000-of-00001.parquet": 10**16}
    with Hub(ADVBENCH, goals, kind="dataset", stated=stated) as hub:
        line = ask(hub.address, "data", "show", "advbench").error()
        assert downloads(hub) == []
        hub.stated = {}
        assert ask(hub.address, "data", "show", "advbench").code == 0
        hub.stated = stated  # what is cached needs no room
        again = ask(hub.address, "data", "show", "advbench")
        assert again.code == 0, again.err
    assert ADVBENCH in line and "9313225.7 GiB" in line and "HF_HOME" in line
    assert str(tmp_path / "hf") in line


def test_files_that_are_not_wanted_need_no_room(ask, behaviours):
    stated = {"data/judge-comparison.csv": 10**16}
    with Hub(JBB, behaviours, kind="dataset", stated=stated) as hub:
        found = ask(hub.address, "data", "show", "jailbreakbench")
    assert found.code == 0, found.err
