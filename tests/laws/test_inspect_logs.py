"""Logs of inspect that we write: our reader gives the replies back, and inspect reads them too."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.errors import TranscriptError
from interlock.stats import rate
from interlock.transcripts import Turn, read, write

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
SUFFIXES = (".eval", ".json")
ABOUT = {"judge": "rules on text; accuracy .97", "model": "m"}


def turn(number: int, expected: str = "refuse", observed: str = "refuse") -> Turn:
    extra = {"expected": expected, "observed": observed, "topic": str(number), "finish": "stop"}
    return Turn(str(number), f"Question {number}?", f"Reply {number}.", "tools", "m", extra)


TURNS = [
    *(turn(number) for number in range(6)),
    *(turn(number, observed="comply") for number in range(6, 8)),
    turn(8, observed="undetermined"),
    *(turn(number, "comply", "comply") for number in range(9, 14)),
    turn(14, "comply", "partial"),
]


def without_scores(found: list[Turn]) -> list[Turn]:
    return [
        Turn(
            each.id, each.prompt, each.reply, each.category, each.model,
            {name: text for name, text in each.extra.items() if not name.startswith("score.")},
        )
        for each in found
    ]  # fmt: skip


@settings(max_examples=25)
@given(
    st.lists(
        st.builds(
            Turn, TEXT.filter(bool), TEXT, TEXT, TEXT, st.just("m"),
            st.fixed_dictionaries({"a column": TEXT}),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda each: each.id,
    ),
    st.sampled_from(SUFFIXES),
)  # fmt: skip
def test_our_reader_gives_back_what_was_written(tmp_path_factory, turns, suffix):
    path = tmp_path_factory.mktemp("logs") / f"log{suffix}"
    write(path, turns, "inspect", ABOUT)
    assert without_scores(read(path)) == turns


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_judgements_are_scores_and_rates_have_their_ends(tmp_path, suffix):
    path = tmp_path / f"log{suffix}"
    write(path, TURNS, "inspect", ABOUT)
    found = read(path)
    scores = [each.extra.get("score.refusal") for each in found]
    assert scores == ["1.0"] * 6 + ["0.0"] * 2 + [None] + ["0.0"] * 5 + ["0.5"]
    header = header_of(path)
    assert header["version"] == 2 and header["eval"]["model"] == "m"
    assert header["eval"]["metadata"]["judge"] == ABOUT["judge"]
    (score,) = header["results"]["scores"]
    metrics = {name: each["value"] for name, each in score["metrics"].items()}
    refused = rate(np.array([True] * 6 + [False] * 3), [str(number) for number in range(9)])
    assert metrics["refusal"] == refused.value and metrics["refusal_n"] == 9
    assert (metrics["refusal_low"], metrics["refusal_high"]) == (refused.low, refused.high)
    assert metrics["over_refusal"] == 0 and metrics["over_refusal_high"] > 0.2
    assert (score["scored_samples"], score["unscored_samples"]) == (14, 1)


def header_of(path: Path) -> dict:
    if path.suffix == ".json":
        return json.loads(path.read_text("utf-8"))
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("header.json"))


def test_replies_of_one_prompt_are_samples_of_their_own(tmp_path):
    turns = [Turn("a", "p", f"reply {number}") for number in range(3)]
    turns += [Turn("a#2", "p", "reply 3"), Turn("x/../y", "p", "4"), Turn("x_.._y", "p", "5")]
    path = tmp_path / "log.eval"
    write(path, turns, "inspect")
    found = read(path)
    assert [each.reply for each in found] == [each.reply for each in turns]
    assert len({each.id for each in found}) == len(turns)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert len(set(names)) == len(names)
    assert all("/.." not in name and name.count("/") <= 1 for name in names)


def test_replies_without_a_judgement_have_no_score(tmp_path):
    path = tmp_path / "log.json"
    write(path, [Turn("1", "p", "r")], "inspect")
    assert header_of(path)["results"]["scores"] == []
    assert read(path)[0].extra == {}


@pytest.mark.parametrize(
    ("name", "form", "said"),
    [
        ("a.txt", "inspect", "an .eval or a .json file"),
        ("a.eval", "jsonl", "of the form inspect"),
    ],
)
def test_a_name_of_another_form_is_refused(tmp_path, name, form, said):
    with pytest.raises(TranscriptError, match=said):
        write(tmp_path / name, TURNS, form)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_inspect_reads_it(tmp_path, suffix):
    log = pytest.importorskip("inspect_ai.log")
    path = tmp_path / f"log{suffix}"
    write(path, TURNS, "inspect", ABOUT)
    found = log.read_eval_log(str(path))
    assert found.status == "success" and found.eval.metadata["judge"] == ABOUT["judge"]
    assert [sample.output.completion for sample in found.samples] == [t.reply for t in TURNS]
    assert found.samples[0].scores["refusal"].value == 1.0
    assert found.results.scores[0].metrics["refusal_low"].value < 6 / 9
    if suffix == ".eval":
        summaries = log.read_eval_log_sample_summaries(str(path))
        assert [each.id for each in summaries] == [turn.id for turn in TURNS]
