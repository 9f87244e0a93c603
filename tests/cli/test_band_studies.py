"""Layer bands from a study file: odd pairs end with a clear statement, bad cuts with one line."""

import csv
from pathlib import Path

import pytest
from commands import read_json

from interlock import datasets

STUDY = """
question: Do early, middle and late layers do what the account says?
model: {{name: "organism:aligned"}}
prompts: {{file: {file}, per_category: 3, passages: 1}}
budget: tiny
budgets: {{tiny: {{}}}}
steps:
  - {{id: openers, do: behaviour, on: prompts.find, tokens: 12}}
  - {{id: denoise, do: bands, on: pairs.check, replies: openers, cuts: {cuts}}}
  - {{id: noise, do: bands, on: pairs.check, replies: openers, direction: noise, cuts: {cuts}}}
claims:
  - {{rule: early_word, denoise: denoise, noise: noise}}
  - {{rule: middle_context, denoise: denoise}}
  - {{rule: late_decision, denoise: denoise}}
"""


@pytest.fixture(scope="module")
def pairs():
    """Minimal pairs of the organism's grammar by split."""
    sets = datasets.load("grammar", per_category=3, passages=1, seed=0)
    return {split: list(sets.splits[split].pairs()) for split in ("find", "check")}


@pytest.fixture
def banded(cli, study_file, isolated):
    """Run the study on rows of pairs."""

    def run(rows, cuts="[]"):
        path = isolated / "pairs.csv"
        with path.open("w", newline="") as sink:
            writer = csv.writer(sink)
            writer.writerow(["category", "topic", "harmful", "harmless", "split"])
            writer.writerows(rows)
        return cli(
            "audit", "--study", study_file(STUDY.format(file=path, cuts=cuts)), "--out", "run"
        )

    return run


def row(split, harmful, harmless, ending=""):
    return harmful.category, harmful.topic, harmful.prompt, harmless.prompt + ending, split


def rows(pairs, ending=""):
    return [row(split, *pair, ending) for split, own in pairs.items() for pair in own]


def reasons(result, late="inconclusive"):
    """What decided each claim; what needs a donor is inconclusive."""
    assert result.code == 0, result.err
    assert "Traceback" not in result.err and "RuntimeWarning" not in result.err
    found = read_json(Path("run/verdicts.json"))
    assert [each["outcome"] for each in found] == ["inconclusive", "inconclusive", late]
    return [each["reason"] for each in found]


def test_without_a_donor_the_decision_is_judged_all_the_same(banded, pairs):
    """The organism's last token looks at both words in its first layer."""
    early, middle, late = reasons(banded(rows(pairs)), late="not supported")
    for reason in (early, middle):
        assert "no harmless prompt has the same word there, as long, and ends alike" in reason
    assert "decision that they add, less what early ones add" in late
    report = Path("run/report.html").read_text()
    assert "What early, middle and late layers write" in report
    assert "18 pairs have no harmless prompt with the same word." in report


def test_pairs_of_unequal_length(banded, pairs):
    for reason in reasons(banded(rows(pairs, " now please"))):
        assert "no pair has two equally long prompts that differ in a word" in reason


def test_one_pair_on_each_side(banded, pairs):
    early, _, late = reasons(banded([row(split, *own[0]) for split, own in pairs.items()]))
    assert "(1 pair)" in early
    assert "independent topics" in late


@pytest.mark.parametrize("cuts", ["[3, 2]", "[2]", "[1, 4]"])
def test_bad_cuts_end_the_run_before_it_begins(banded, pairs, cuts):
    result = banded(rows(pairs), cuts)
    assert result.code == 2
    assert "do not divide 4 layers into three bands" in result.last_error()
    assert not Path("run/verdicts.json").exists()
