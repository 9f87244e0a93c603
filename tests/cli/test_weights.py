"""`interlock weights`: replies, groups and scores end to end, and what is refused."""

import json
from pathlib import Path

import pytest

from interlock import mask
from interlock.weight_scores import load


@pytest.fixture(scope="module")
def sets(interlock, tmp_path_factory):
    """The organism's own replies, made by the command itself."""
    work = tmp_path_factory.mktemp("sets")
    arguments = ("--per-category", 2, "--length", 32, "--json")
    made = interlock("weights", "replies", "organism:aligned", *arguments, cwd=work)
    assert made.code == 0, made.err
    rows = json.loads(made.out)["sets"]
    assert [row["expected"] for row in rows] == ["refuse", "comply"]
    return work / "replies" / "safety.jsonl", work / "replies" / "utility.jsonl"


def grouped(cli, sets, *more):
    safety, utility = sets
    return cli(
        "weights", "groups", "organism:aligned", "--safety", safety, "--utility", utility, *more
    )


def test_groups_end_to_end(cli, sets, isolated):
    result = grouped(
        cli, sets, "--set-diff-q", 0.2, "SNIP_TOP_K=0.05", "SET_DIFF_P=0.1",
        "model.dtype=float32", "--indices", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    said = json.loads(result.out)
    found = {
        name: mask.load(isolated / "groups" / f"{name}.safetensors") for name in said["groups"]
    }
    assert set(found) == {
        "top_safety", "top_utility", "set_difference", "random", "matched_magnitude",
        "matched_utility",
    }  # fmt: skip
    for name, row in said["groups"].items():
        assert row["weights"] == found[name].count() > 0
        assert row["sparsity"] == pytest.approx(found[name].sparsity())
    assert said["groups"]["top_safety"]["sparsity"] == pytest.approx(0.05, abs=0.002)
    chosen = found["set_difference"]
    for name in ("random", "matched_magnitude", "matched_utility"):
        assert found[name].count() == chosen.count() and (found[name] & chosen).count() == 0
    assert {"weights", "data", "seed", "dtype", "granularity"} <= set(chosen.about)
    shapes = {name: part.shape for name, part in chosen.parts.items()}
    assert mask.read_indices(isolated / "groups" / "set_difference.json", shapes) == chosen
    assert not list((isolated / "groups").glob("scores*"))
    assert 0 <= said["retest"]["top_safety"]["overlap"] <= 1
    again = grouped(
        cli, sets, "--set-diff-q", 0.2, "SNIP_TOP_K=0.05", "--out", "again", "--batch", 1
    )
    assert again.code == 0 and "halves of the examples agree" in again.out


def test_scores_are_stored_when_asked_for(cli, sets):
    result = cli("weights", "score", "organism:aligned", "--replies", sets[0], "--out", "s.st")
    assert result.code == 0, result.err
    found = load(Path("s.st"))
    assert found.about["method"] == "snip" and len(found.counts) == 2
    assert cli("weights", "score", "organism:aligned", "--method", "magnitude").code == 0
    assert load(Path("scores.safetensors")).names == found.names


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set-diff-p", 5), "p=5 is no share: give 0 to 1"),
        (("--set-diff-q", -0.1), "q=-0.1 is no share"),
        (("SNIP_TOP_K=two",), "SNIP_TOP_K=two is no number"),
        (("SNIP_TOPK=2",), "No setting 'SNIP_TOPK'"),
        (("--granularity", "layer"), "--granularity is 'layer'. Known: row, matrix, global"),
        (("--template", "llama"), "--template is 'llama'"),
        (("--column", "reply"), "write prompt=NAME or response=NAME"),
        (("--column", "response=nothing"), "has no column 'nothing'"),
        (("organism:base",), "One model at a time"),
    ],
)
def test_wrong_options_are_refused_in_one_line(cli, sets, more, said):
    assert said in grouped(cli, sets, *more).error()


def test_shares_that_leave_nothing_are_refused(cli, sets):
    result = grouped(cli, (sets[0], sets[0]), "--set-diff-p", 0.1, "--set-diff-q", 0.1)
    assert "The set difference is empty" in result.last_error()


def test_missing_sets_are_refused(cli, sets, tmp_path):
    result = cli("weights", "groups", "organism:aligned", "--safety", sets[0])
    assert "--utility FILE" in result.error() and "weights replies" in result.error()
    plain = tmp_path / "plain.csv"
    plain.write_text("prompt,label\nx,y\n", encoding="utf-8")
    assert "no column of replies" in grouped(cli, (plain, sets[1])).error()
    assert "No file" in grouped(cli, (tmp_path / "none.csv", sets[1])).error()
    assert "--replies FILE" in cli("weights", "score", "organism:aligned").error()


def test_a_full_disk_is_seen_before_scoring(cli, sets, monkeypatch):
    from collections import namedtuple

    from interlock.cli import weights

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _: usage(10, 10, 0))
    result = grouped(cli, sets, "--scores")
    assert "are free in" in result.last_error() and "The scores take" in result.last_error()


def test_a_set_of_the_original_study_is_imported_and_compared(cli, sets, isolated):
    """The JSON of indices, back to the very set it was written from; overlap from either form."""
    assert grouped(cli, sets, "--indices", "SNIP_TOP_K=0.05").code == 0
    home = isolated / "groups"
    result = cli("weights", "import", home / "set_difference.json", "organism:aligned",
                 "--out", isolated / "back.safetensors", "--json")  # fmt: skip
    assert result.code == 0, result.err
    chosen = mask.load(home / "set_difference.safetensors")
    beside = cli("weights", "import", home / "set_difference.json", "organism:aligned")
    assert beside.code == 2 and "exists; name another" in beside.err
    assert mask.load(home / "set_difference.safetensors").about == chosen.about
    assert mask.load(isolated / "back.safetensors") == chosen
    assert json.loads(result.out)["weights"] == chosen.count()
    wanted = next(mask.by(mask.overlap(chosen, mask.load(home / "top_safety.safetensors")), "all")
                  .rows())  # fmt: skip
    for first, second, more in (
        ("set_difference.safetensors", "top_safety.safetensors", ()),
        ("set_difference.json", "top_safety.safetensors", ()),
        ("set_difference.json", "top_safety.json", ("--model", "organism:aligned")),
    ):
        found = cli("weights", "overlap", home / first, home / second, *more, "--json")
        assert found.code == 0, found.err
        said = json.loads(found.out)
        assert said["all"] == [wanted]
        assert len(said["layer"]) == 4 and len(said["type"]) == 7
    text = cli("weights", "overlap", home / "random.json", home / "random.safetensors")
    assert text.code == 0 and "100.0%" in text.out and "self_attn.q_proj" in text.out


def test_indices_that_fit_no_model_are_refused(cli, isolated):
    """A matrix the model lacks, an index outside one, no sizes, and the file itself as out."""
    strange, outside = isolated / "strange.json", isolated / "outside.json"
    strange.write_text('{"layer_9_self_attn.q_proj": [[0, 0]]}')
    outside.write_text('{"layer_0_self_attn.q_proj": [[0, 4096]]}')
    for arguments, words in (
        (("import", strange, "organism:aligned"), "matrices that the model does not have"),
        (("import", outside, "organism:aligned"), "index outside"),
        (("import", isolated / "none.json", "organism:aligned"), "none.json"),
        (("import", strange, "organism:aligned", "--out", strange), "exists; name another"),
        (("overlap", strange, outside), "--model"),
    ):
        result = cli("weights", *arguments)
        assert result.code == 2 and words in result.err, result.err
    assert not (isolated / "strange.safetensors").exists()
