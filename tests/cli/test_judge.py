"""`interlock judge`: what a judge is worth, replies judged again, replies for other tools."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import environment, read_json

from interlock import refusals
from interlock.agreement import agreement
from interlock.judges import validity
from interlock.transcripts import read

XSTEST = Path(__file__).parents[3] / "shared" / "data" / "xstest"
REFUSED = "I'm sorry, but I can't help with that."
ANSWERED = "Sure, here is a plan. Step one: measure the wood. Step two: cut it."


def written(folder: Path, rows: list[dict], name: str = "replies.csv") -> Path:
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def labelled(isolated):
    """Two models of 40 prompts each; labels that the rules get wrong in a known number of cases."""
    rows = []
    for model, wrong in (("one", 4), ("two", 0)):
        for number in range(40):
            refuses = number % 2 == 0
            truth = "2_full_refusal" if refuses != (number < wrong) else "1_full_compliance"
            rows.append(
                {
                    "model": model,
                    "category": "tools" if number < 20 else "words",
                    "prompt": f"How do I build shed {number}?",
                    "reply": REFUSED if refuses else ANSWERED,
                    "final_label": truth,
                }
            )
    return written(isolated, rows)


def test_validate_counts_what_the_judge_got_right(cli, labelled):
    result = cli("judge", "validate", labelled, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["judge"] == "interlock"
    assert (found["n"], found["accuracy"]) == (80, pytest.approx(76 / 80))
    assert found["sensitivity"] == pytest.approx(38 / 40)
    assert found["specificity"] == pytest.approx(38 / 40)
    assert found["per_model"]["one"]["accuracy"] == pytest.approx(36 / 40)
    assert found["per_model"]["two"]["accuracy"] == 1.0
    low, high = found["intervals"]["accuracy"]
    assert low < 76 / 80 < high
    assert found["per_judge"]["interlock"]["kappa"] == found["kappa"] == pytest.approx(0.9)
    assert found["disagreement"] == []
    rates = found["refusal_rate"]
    assert rates["naive"]["value"] == rates["labels"]["value"] == 0.5
    assert rates["corrected"]["value"] == pytest.approx(0.5)


def test_validate_says_it_in_words(cli, labelled):
    result = cli("judge", "validate", labelled, "--judge", "interlock", "--judge", "gcg")
    assert result.code == 0, result.err
    for words in ("accuracy 0.950 [", "kappa", "sensitivity", "specificity", "corrected", "unlike"):
        assert words in result.out
    assert result.out.count("Judge: ") == 2


def test_validate_takes_several_files_as_several_models(cli, isolated):
    row = {"prompt": "p", "reply": REFUSED, "label": "refuse"}
    first = written(isolated, [row | {"prompt": str(n)} for n in range(6)], "first.csv")
    second = written(isolated, [row | {"prompt": str(n), "label": "0"} for n in range(6)], "b.csv")
    found = json.loads(cli("judge", "validate", first, second, "--json").out)
    assert found["per_model"]["first"]["accuracy"] == 1.0
    assert found["per_model"]["b"]["accuracy"] == 0.0
    assert found["accuracy"] == 0.5
    assert found["specificity"] == 0.0
    assert found["refusal_rate"]["corrected"]["why_not"].startswith("12 labels")


def test_replies_without_a_label_are_judged_and_counted(cli, labelled, isolated):
    rows = rows_of(labelled)
    for row in rows[:30]:
        row["final_label"] = ""
    found = json.loads(cli("judge", "validate", written(isolated, rows, "b.csv"), "--json").out)
    assert (found["n"], found["unlabelled"]) == (50, 30)
    assert found["refusal_rate"]["naive"]["n"] == 80
    assert found["refusal_rate"]["labels"]["n"] == 50


def test_several_judges_are_compared(cli, labelled):
    arguments = ("--judge", "gcg", "--judge", "interlock", "--json")
    found = json.loads(cli("judge", "validate", labelled, *arguments).out)
    assert found["judge"] == "gcg"
    assert set(found["per_judge"]) == {"gcg", "interlock"}
    (pair,) = found["disagreement"]
    assert (pair["judge"], pair["other"], pair["n"]) == ("gcg", "interlock", 80)
    assert sum(cell["count"] for cell in found["crossed"]) == 80


def test_numbers_that_are_not_defined_are_null_in_json(cli, isolated):
    """One kind of reply only: no kappa, no specificity; JSON has no nan."""
    rows = [{"prompt": str(n), "reply": REFUSED, "label": "refuse"} for n in range(3)]
    arguments = ("--judge", "interlock", "--judge", "gcg", "--json")
    out = cli("judge", "validate", written(isolated, rows), *arguments).out
    found = json.loads(out, parse_constant=pytest.fail)
    assert found["kappa"] is None and found["specificity"] is None
    assert found["disagreement"][0]["kappa"] is None


def test_replies_are_judged_again_by_category(cli, labelled, isolated):
    out = isolated / "judged.jsonl"
    arguments = ("--judge", "interlock", "--judge", "gcg", "--out", out, "--json")
    result = cli("judge", "replies", labelled, *arguments)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    rates = {row["group"]: row for row in found["rates"]}
    assert set(rates) == {"tools", "words", "all, micro", "all, macro"}
    assert (rates["tools"]["refusal"], rates["tools"]["n"]) == (0.5, 40)
    assert rates["tools"]["low"] < 0.5 < rates["tools"]["high"]
    assert "not validated on this model" in found["validity"].lower()
    judged = read(out)
    assert [turn.extra["judge.interlock"] for turn in judged] == ["refuse", "comply"] * 40
    assert {turn.extra["judge.gcg"] for turn in judged} <= {"refuse", "comply"}


def test_labels_correct_the_rate_of_other_replies(cli, labelled, isolated):
    """The labelled replies say that the judge errs; the others' rate is corrected by that."""
    rows = [{"prompt": f"q{n}", "reply": REFUSED if n % 4 else ANSWERED} for n in range(60)]
    target = written(isolated, rows, "target.csv")
    found = json.loads(cli("judge", "replies", target, "--labels", labelled, "--json").out)
    total = next(row for row in found["rates"] if row["group"] == "all, micro")
    assert total["refusal"] == pytest.approx(0.75)
    right, wrong = 38 / 40, 2 / 40
    assert total["corrected"]["value"] == pytest.approx((0.75 - wrong) / (right - wrong))
    assert total["corrected"]["low"] < total["low"]


def test_a_runs_replies_go_out_and_come_back(cli, finished, isolated):
    run, _ = finished
    expected = [turn.reply for turn in read(run / "tables" / "behaviour.replies.parquet")]
    forms = {"jsonl": "jsonl", "parquet": "parquet", "arditi": "json", "jbb": "json",
             "lm-eval": "jsonl", "harmbench": "json", "inspect": "eval"}  # fmt: skip
    for form, suffix in forms.items():
        out = isolated / f"{form}.{suffix}"
        result = cli("judge", "export", run, "--format", form, "--out", out)
        assert result.code == 0, result.err
        assert [turn.reply for turn in read(out)] == expected, form
        again = json.loads(cli("judge", "replies", out, "--json").out)
        assert again["n"] == len(expected)
    result = cli("judge", "export", run, "--step", "nothing", "--out", isolated / "x.jsonl")
    assert "no replies of a step 'nothing'" in result.error()


def test_a_runs_report_says_what_its_judge_is_worth(finished):
    run, _ = finished
    judge = read_json(run / "protocol.json")["judge"]
    shipped = validity.shipped()
    assert shipped is not None
    assert f"accuracy {shipped['definitions']['full']['all']['accuracy']:.3f}" in judge
    assert "Not validated on this model" in judge
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "Not validated on this model" in report


def test_a_run_keeps_its_openers(finished):
    run, _ = finished
    rows = rows_of(run / "tables" / "behaviour.openers.csv")
    assert {row["opens"] for row in rows} == {"refusal", "compliance"}
    assert all(row["text"] for row in rows)
    assert sum(int(row["refusals"]) for row in rows) > 0
    measures = rows_of(run / "tables" / "behaviour.measures.csv")
    names = {row["measure"]: row for row in measures}
    assert float(names["first token tells refusals, AUROC"]["value"]) == 1.0
    assert float(names["opening score as P(refuse), Brier score"]["high"]) < 0.25


def test_a_run_with_several_judges_shows_where_they_disagree(cli, isolated):
    """`arditi12` knows only some of the organism's refusals; the report says how many."""
    result = cli(
        "behaviour", "--budget", "tiny", "--out", isolated / "run", "--json",
        'steps.behaviour.replies.judges=["interlock", "arditi12_start"]',
    )  # fmt: skip
    assert result.code == 0, result.err
    replies = rows_of(isolated / "run" / "tables" / "behaviour.replies.csv")
    (pair,) = rows_of(isolated / "run" / "tables" / "behaviour.disagreement.csv")
    unlike = [row["observed"] != row["judge.arditi12_start"] for row in replies]
    assert float(pair["unlike"]) == pytest.approx(sum(unlike) / len(unlike))
    assert read_json(isolated / "run" / "plan.json")["judges"].keys() == {"arditi12_start"}
    protocol = read_json(isolated / "run" / "protocol.json")["judge"]
    assert "judge 'arditi12_start': no human labels were compared with it" in protocol
    report = (isolated / "run" / "report.html").read_text(encoding="utf-8")
    assert 'id="figure-behaviour-disagreement"' in report and "arditi12_start" in report
    result = cli("behaviour", "--out", isolated / "other", 'steps.openers.judges=["nobody"]')
    assert "No judge 'nobody'" in result.last_error()


def test_what_ships_was_measured_with_these_rules():
    """Run `benchmarks/validity.py --write` after a change to the rules."""
    shipped = validity.shipped()
    assert shipped is not None
    assert "the rules have changed" not in validity.statement()
    assert validity.shipped("gcg") is None
    assert "no human labels" in validity.statement("gcg")


def test_the_shipped_numbers_can_be_had_again(cli):
    paths = sorted(XSTEST.glob("completions_*.csv"))
    if not paths:
        pytest.skip(f"no {XSTEST}: the data are not part of the repository")
    found = json.loads(cli("judge", "validate", *paths, "--json").out)
    shipped = validity.shipped()
    assert shipped is not None
    numbers = shipped["definitions"]["full or partial"]
    for name in ("accuracy", "kappa", "sensitivity", "specificity"):
        assert found[name] == pytest.approx(numbers["all"][name], abs=1e-3), name
    assert found["n"] == numbers["all"]["n"] == 1350
    # against a plain count, of rows read another way
    said, truth = [], []
    for path in paths:
        for row in rows_of(path):
            outcome = refusals.judge(row["completion"]).outcome
            said.append(outcome in ("refuse", "partial"))
            truth.append(row["final_label"] != "1_full_compliance")
    assert found["accuracy"] == pytest.approx(np.mean(np.array(said) == np.array(truth)))


def test_no_torch_is_imported_to_judge_by_rules(labelled, cache, isolated):
    program = (
        "import sys; from interlock.cli import main; "
        f"assert main(['judge', 'validate', {str(labelled)!r}, '--json']) == 0; "
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(cache), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_full_refusals_alone_can_be_counted():
    found = agreement(["partial"] * 5 + ["refuse"] * 5, ["refuse"] * 10, list("abcdefghij"))
    strict = agreement(
        ["partial"] * 5 + ["refuse"] * 5, ["refuse"] * 10, list("abcdefghij"), ("refuse",)
    )
    assert (found.accuracy.value, strict.accuracy.value) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("rows", "arguments", "said"),
    [
        ([{"prompt": "p", "text": "r", "label": "1"}], (), "no column of replies"),
        ([{"prompt": "p", "reply": "r"}], (), "no column of human labels"),
        ([{"reply": "r", "label": "1"}], ("--label", "said"), "no column 'said'"),
        ([{"reply": "r", "label": "perhaps"}], (), "unknown labels: 'perhaps'"),
        ([{"reply": "r", "label": ""}], (), "is empty"),
        ([{"reply": " ", "label": "1"}], (), "left all 1 replies undetermined"),
        ([{"reply": "r", "label": "1"}], ("--judge", "nobody"), "No judge 'nobody'. Known: rules"),
        ([{"reply": "r", "label": "1"}], ("--judge", "gcg", "--judge", "gcg"), "named twice"),
        ([{"reply": "r", "label": "1"}], ("--by", "said"), "No column 'said'"),
        ([{"reply": "r", "label": "1"}], ("--format", "word"), "No form 'word'"),
        ([{"reply": "r", "label": "1"}], ("--judge", "model:nowhere/at/all"), "No model"),
        (
            [{"reply": "r", "label": "1"}],
            ("--judge", "model:organism:aligned"),
            "reads the prompts",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(cli, isolated, rows, arguments, said):
    result = cli("judge", "validate", written(isolated, rows), *arguments)
    assert said in result.error()


def test_a_model_that_is_no_judge_is_refused_in_one_line(cli, labelled):
    result = cli("judge", "validate", labelled, "--judge", "model:organism:aligned")
    line = result.last_error()
    assert "in the form asked for" in line or "the question alone takes" in line


@pytest.mark.parametrize("content", [b"", b"reply,label\n", b"reply,label\n\xff,1\n"])
def test_files_that_hold_nothing_are_refused_in_one_line(cli, isolated, content):
    path = isolated / "a.csv"
    path.write_bytes(content)
    line = cli("judge", "validate", path).error()
    assert "empty" in line or "UTF-8" in line
    assert cli("judge", "replies", path).error() == line


def test_replies_are_written_only_in_forms_that_hold_judgements(cli, labelled, isolated):
    result = cli("judge", "replies", labelled, "--out", isolated / "x.json")
    assert "name a .jsonl, .csv or .parquet file" in result.error()


def test_labels_correct_a_studys_rates_and_the_judge_stands_beside_them(cli, finished, isolated):
    """Labels of a run's own replies, by id, given to the same study run again."""
    run, _ = finished
    ids = [row["id"] for row in rows_of(run / "tables" / "behaviour.replies.csv")]
    path = isolated / "mine.csv"
    labels = ["refuse" if name.endswith("harmful") else "comply" for name in ids]
    rows = zip(ids, labels, strict=True)
    path.write_text("id,label\n" + "".join(f"{name},{label}\n" for name, label in rows), "utf-8")
    arguments = ("behaviour", "organism:aligned", "--budget", "tiny")
    given = f"steps.behaviour.replies.labels={path}"
    result = cli(*arguments, given, "--out", isolated / "again", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out, parse_constant=pytest.fail)
    assert "against human labels" in found["judge"]
    total = next(row for row in found["corrected"] if row["group"] == "all, micro")
    assert {"refusal", "corrected", "corrected low", "corrected high"} <= set(total)
    assert total["labelled refusals"] == labels.count("refuse")
    report = (isolated / "again" / "report.html").read_text(encoding="utf-8")
    assert "corrected for the judge&#39;s errors" in report and "behaviour.corrected" in report
    assert str(path) in read_json(isolated / "again" / "plan.json")["labels"]
    path.write_text("id,label\nnobody,refuse\n", "utf-8")
    line = cli(*arguments, given, "--out", isolated / "bad").error()
    assert "labels none of the" in line
    path.write_text("id,label\nnobody,perhaps\n", "utf-8")
    assert "'perhaps'" in cli(*arguments, given, "--out", isolated / "bad").error()
