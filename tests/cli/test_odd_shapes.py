"""Pairs of an odd shape: every study of them ends with a clear statement, and no confident verdict.

The study is the core of `locate`, at a tiny size: layers, units, the found set, the signal, the
circuit and the categories.
"""

import csv
from pathlib import Path

import pytest
from commands import read_json

from interlock import datasets
from interlock.encoding import encode
from interlock.measures import openers_of, opening_scores

STUDY = """
question: Where is refusal?
model: {{name: "organism:aligned"}}
prompts: {{file: {file}, per_category: 3, passages: 1}}
budget: tiny
budgets: {{tiny: {{}}}}
steps:
  - {{id: openers, do: behaviour, on: prompts.find, tokens: 12}}
  - {{id: layers, do: patching, on: pairs.check, replies: openers}}
  - {{id: denoise, do: patching, on: pairs.find, replies: openers, places: units, positions: [all]}}
  - {{id: noise, do: patching, on: pairs.find, replies: openers, direction: noise, places: units,
      positions: [all]}}
  - {{id: sets, do: joint, on: pairs.check, sites: "top(4, denoise)", replies: openers}}
  - {{id: edges, do: interaction, on: pairs.check, sites: "top(3, denoise, noise)",
      replies: openers, given: held, beside: sites, count: 3}}
  - {{id: signal, do: signal_lens, on: pairs.check, replies: openers}}
  - {{id: found, do: category_sets, on: pairs.find, denoise: denoise, noise: noise}}
  - {{id: cells, do: category_matrix, on: pairs.check, sets: found, replies: openers, controls: 1}}
claims:
  - {{rule: localised, layers: layers, sets: sets}}
  - {{rule: shared, matrix: cells}}
"""


@pytest.fixture(scope="module")
def pairs():
    """Minimal pairs of the organism's grammar by split."""
    sets = datasets.load("grammar", per_category=3, passages=1, seed=0)
    return {split: list(sets.splits[split].pairs()) for split in ("find", "check")}


@pytest.fixture(scope="module")
def alike(aligned, judged):
    """Pairs of check, equally long, both harmless, the one nearer to refusal second."""
    examples = datasets.load("grammar", per_category=20, passages=1, seed=5).splits["check"]
    harmless = list({each.prompt: each for each in examples.expecting("comply")}.values())
    by_length: dict[int, list] = {}
    for row, example in zip(encode(aligned, harmless), harmless, strict=True):
        by_length.setdefault(len(row.ids), []).append(example)
    found = [
        pair for same in by_length.values() for pair in zip(same[::2], same[1::2], strict=False)
    ]
    assert len(found) >= 18
    scores = opening_scores(aligned, encode(aligned, harmless), openers_of(judged))
    score = dict(zip([each.id for each in harmless], scores, strict=True))
    return [sorted(pair, key=lambda each: score[each.id]) for pair in found[:18]]


@pytest.fixture
def located(cli, study_file, isolated):
    """Run the study on rows of pairs: its verdicts by claim, what it said, and its tables."""

    def run(rows):
        path = isolated / "pairs.csv"
        with path.open("w", newline="") as sink:
            writer = csv.writer(sink)
            writer.writerow(["category", "topic", "harmful", "harmless", "split"])
            writer.writerows(rows)
        return cli("audit", "--study", study_file(STUDY.format(file=path)), "--out", "run")

    return run


def row(split, harmful, harmless, ending=""):
    return harmful.category, harmful.topic, harmful.prompt, harmless.prompt + ending, split


def rows(pairs, ending=""):
    return [row(split, *pair, ending) for split, own in pairs.items() for pair in own]


def verdicts(result):
    assert result.code == 0, result.err
    assert "Traceback" not in result.err and "RuntimeWarning" not in result.err
    found = read_json(Path("run/verdicts.json"))
    return [(each["outcome"], each["reason"]) for each in found]


def test_pairs_of_unequal_length(located, pairs):
    result = located(rows(pairs, " now please"))
    for outcome, reason in verdicts(result):
        assert outcome == "inconclusive"
        assert "two equally long prompts" in reason and "@last" in reason
    assert "Did not run: denoise, noise, sets, edges, found, cells." in result.err


def test_some_pairs_of_unequal_length_are_left_out_and_counted(located, pairs):
    whole = rows(pairs)
    mixed = [
        each if place % 2 else (*each[:3], f"{each[3]} now please", each[4])
        for place, each in enumerate(whole)
    ]
    result = located(mixed)
    assert {outcome for outcome, _ in verdicts(result)} == {"inconclusive"}
    assert "sets: 9 pairs are not aligned and were left out." in result.err


def test_pairs_that_the_model_does_not_separate(located, pairs, alike):
    given = [row("find", *pair) for pair in pairs["find"]] + [row("check", *p) for p in alike]
    result = located(given)
    (localised, why), (shared, _) = verdicts(result)
    assert (localised, shared) == ("inconclusive", "inconclusive")
    assert "does not separate the pairs" in why and "nat [" in why
    assert "pairs are hardly separated" in result.err


def test_one_pair_that_the_model_does_not_separate(located, pairs, alike):
    *kept, last = rows(pairs)
    result = located([*kept, (last[0], *row("check", *alike[0])[1:])])
    assert "1 of 18 pairs are hardly separated" in result.err
    assert verdicts(result)


def test_no_refusal_at_all(located, alike, pairs):
    harmless = [pair[1] for pair in pairs["find"]]
    given = [row("find", *pair) for pair in zip(harmless[::2], harmless[1::2], strict=True)]
    result = located(given + [row("check", *pair) for pair in alike])
    for outcome, reason in verdicts(result):
        assert outcome == "inconclusive" and "there is no refusal to locate" in reason


def test_one_prompt_only(located, pairs):
    line = located([row("find", *pairs["find"][0])]).last_error()
    assert "too few unlike prompts for both find and check" in line


def test_one_pair_on_each_side(located, pairs):
    result = located([row(split, *own[0]) for split, own in pairs.items()])
    (localised, why), (shared, which) = verdicts(result)
    assert (localised, shared) == ("inconclusive", "inconclusive")
    assert "independent topics" in why and "at least two" in which


def test_a_category_with_one_pair(located, pairs):
    seen = set()
    given = [
        each for each in rows(pairs)
        if each[0] != "arson" or (each[4] not in seen and not seen.add(each[4]))
    ]  # fmt: skip
    assert len(given) == 32
    result = located(given)
    assert {outcome for outcome, _ in verdicts(result)} == {"inconclusive"}
    assert "arson 1 (of 1 harmful, 1 harmless)" in result.err
