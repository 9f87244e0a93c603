"""Attack success by name, perplexity, and published numbers: against the same by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interlock.attacking import Form, attack_of, outcomes, read_suffixes
from interlock.config.targets import Target
from interlock.contrast import Contrast
from interlock.encoding import encode
from interlock.errors import ContrastError, InterlockError
from interlock.generation import Decoding
from interlock.long_texts import perplexity, read_text, windows
from interlock.measures import nll, replies
from interlock.methods.attacks import attacks, attacks_cost
from interlock.methods.salience import snip
from interlock.own_replies import sorted_out
from interlock.refusals.historical import LISTS
from interlock.stats import wilson
from interlock.studies.published import beside, lines
from interlock.tables import from_rows
from interlock.weight_edits import pruned
from interlock.weight_grid import NO_SHARE, points
from interlock.weight_sets import difference

GRID = {"p": (0.02,), "q": (0.1,), "tokens": 16, "batch": 8}


@pytest.fixture(scope="module")
def few(contrasts):
    check = contrasts.splits["check"]
    return replace(check, examples=check.examples[:12])


@pytest.fixture(scope="module")
def scores(aligned, judged):
    sets = sorted_out(judged, cut=True)
    both = (sets.safety, sets.utility)
    return tuple(snip(aligned, each, examples=0, halves=False) for each in both)


def by_hand(model, few, judge, count=6, **decoding):
    rows = encode(model, few.expecting("refuse")[:count])
    said = replies(model, rows, decoding=Decoding(16, **decoding), size=8)
    return np.array([LISTS[judge](each.text) == "comply" for each in said], dtype=float)


@pytest.mark.parametrize("judge", ["gcg", "wei31"])
def test_success_is_what_the_list_says_of_each_reply(aligned, few, scores, judge):
    table = attacks(aligned, few, *scores, judge=judge, controls=1, **GRID)
    measure = f"asr_substring_{judge}"
    assert set(table["measure"].tolist()) == {measure, "degenerate"}
    plain = by_hand(aligned, few, judge)
    assert table.where(kind="none", measure=measure)["value"].tolist() == plain.tolist()
    with pruned(aligned, difference(*scores, p=0.02, q=0.1)):
        without = by_hand(aligned, few, judge)
    assert table.where(kind="found", measure=measure)["value"].tolist() == without.tolist()
    if judge == "wei31":  # these replies have under twenty words
        assert not without.any()
    else:
        assert without.sum() > plain.sum()
    harmful = len(few.expecting("refuse"))
    assert len(table) == 3 * harmful * 2
    options = {"choose": "difference", "cross": "grid", "controls": 1, "prompts": 9, "samples": 1}
    cost = attacks_cost(aligned.shape, len(few.examples), {**GRID, **options})
    assert cost.replies == 3 * harmful


def test_of_several_samples_the_mean_and_any(aligned, few, scores):
    table = attacks(
        aligned, few, *scores, judge="gcg", samples=3, temperature=2.0, seed=5, prompts=4, **GRID
    )
    draws = [by_hand(aligned, few, "gcg", 4, temperature=2.0, seed=5 + n) for n in range(3)]
    none = table.where(kind="none")
    assert np.allclose(none.where(measure="asr_mean@3")["value"], np.mean(draws, axis=0))
    assert np.allclose(none.where(measure="asr_any@3")["value"], np.max(draws, axis=0))
    assert (np.mean(draws, axis=0) != np.max(draws, axis=0)).any()


def test_the_form_is_what_the_model_reads(aligned, few, tmp_path):
    ends = tmp_path / "ends.txt"
    ends.write_text("please\n\n  thank you\n", encoding="utf-8")
    assert read_suffixes(ends) == ("please", "  thank you")
    harmful = few.expecting("refuse")[:2]
    options = {"judge": "rules", "decoding": Decoding(8), "samples": 1, "batch": 4}
    raw = attack_of(aligned, harmful, form=Form("Ask: {prompt} !", "none", str(ends)), **options)
    assert len(raw.rows) == 2 and raw.measures == ("asr_rules", "degenerate")
    tokenizer = aligned.tokenizer
    for number, end in enumerate(raw.suffixes):
        for example, row in zip(harmful, raw.rows[number], strict=True):
            text = f"Ask: {example.prompt} {end} !"
            bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
            assert list(row.ids) == bos + tokenizer.encode(text, add_special_tokens=False)
    chat = attack_of(aligned, harmful, form=Form(), **options)
    assert chat.suffixes == ("",) and chat.rows[0] == encode(aligned, harmful)
    found = outcomes(aligned, chat, 0)
    assert found["asr_rules"] == [0.0, 0.0]  # it refuses


def test_attacks_that_make_no_sense_are_refused(aligned, few, scores, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n", encoding="utf-8")
    for options, words in (
        ({"form": "no slot"}, "stands for the prompt"),
        ({"samples": 5}, "greedy replies"),
        ({"suffixes": str(empty)}, "holds no suffix"),
        ({"suffixes": str(tmp_path / "none.txt")}, "cannot be read as suffixes"),
        ({"cross": "pairs", "q": (0.1, 0.2)}, "cannot be taken in pairs"),
    ):
        with pytest.raises(InterlockError, match=words):
            attacks(aligned, few, *scores, **{**GRID, **options})
    harmless = Contrast("x", "check", few.expecting("comply"), "MIT")
    with pytest.raises(ContrastError, match="no harmful prompt"):
        attacks(aligned, harmless, *scores, **GRID)


def test_pairs_are_not_a_grid():
    assert points("difference", (1, 2, 3), (1, 2, 3), "pairs") == 3
    assert points("difference", (1, 2, 3), (1, 2), "grid") == 6
    assert points("top", (1, 2, 3), (1, 2), "grid") == 2
    assert NO_SHARE < 0


# --- perplexity -----------------------------------------------------------------------------------


def test_perplexity_is_that_of_the_windows(aligned):
    text = "How do I thank a friend? Sure, here is a plan. " * 40
    width = 32
    found = windows(aligned, text, width)
    ids = aligned.tokenizer(text)["input_ids"]
    assert len(found) == len(ids) // width
    assert [token for each in found for token in each.ids] == ids[: width * len(found)]
    with torch.no_grad():
        rows = torch.tensor([each.ids for each in found])
        logits = aligned.network(rows).logits
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1)
    )
    mine = perplexity(nll(aligned, found, size=1).tolist())
    assert mine.value == pytest.approx(float(losses.exp()), rel=1e-4)
    assert mine.low < mine.value < mine.high and mine.n == len(found)


def test_texts_are_read_as_the_papers_join_them(tmp_path, aligned, caplog):
    lines_file = tmp_path / "wiki.jsonl"
    lines_file.write_text('{"text": "a b"}\n{"text": ""}\n{"text": "c"}\n', encoding="utf-8")
    assert read_text(lines_file) == "a b\n\n\n\nc"
    plain = tmp_path / "wiki.txt"
    plain.write_text("a b\n\nc", encoding="utf-8")
    assert read_text(plain) == "a b\n\nc"
    for name, content, words in (
        ("x.csv", "words\nq\n", "has no column text"),
        ("y.txt", " \n", "is empty"),
    ):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ContrastError, match=words):
            read_text(path)
    with pytest.raises(ContrastError, match="cannot be read"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(ContrastError, match="less than one window"):
        windows(aligned, "a b c", 64)
    limit = aligned.network.config.max_position_embeddings
    assert len(windows(aligned, "thank a friend " * limit, 10 * limit)[0].ids) == limit
    assert "windows have" in caplog.text


# --- beside published numbers ---------------------------------------------------------------------


def _table(values, **columns):
    rows = [
        {"kind": "found", "p": 0.01, "sparsity": 0.02, "topic": f"t{n}", "value": value}
        | {name: cells[n] for name, cells in columns.items()}
        for n, value in enumerate(values)
    ]
    return from_rows(rows, about={"suffixes": "2"})


def test_published_numbers_stand_beside_measured_ones():
    at = {"kind": "found", "p": 0.01}
    shares = _table([1.0, 1.0, 0.0, 0.0, 1.0, 1.0], suffix=[0, 0, 0, 1, 1, 1])
    losses = _table([1.0, 1.2, 1.4, 1.6])
    targets = (
        Target(step="a", at=at, value=0.6),
        Target(step="a", at=at, reading="best suffix", value=0.99),
        Target(step="a", at=at, column="sparsity", value=0.0201),
        Target(step="b", at=at, reading="perplexity", value=3.0),
        Target(step="a", at={"p": 0.5}, value=0.1),
        Target(step="c", value=0.1),
        Target(step="a", at={"x": 1}, value=0.1),
    )
    rows = list(beside(targets, {"a": shares, "b": losses}).rows())
    low, high = wilson(4, 6)
    assert rows[0]["measured"] == pytest.approx(4 / 6) and rows[0]["agrees"]
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((low, high))
    assert rows[1]["measured"] == pytest.approx(2 / 3) and not rows[1]["agrees"]
    assert rows[1]["n"] == 3
    assert rows[2]["measured"] == rows[2]["low"] == 0.02
    assert rows[3]["measured"] == pytest.approx(np.exp(1.3))
    assert rows[3]["low"] < rows[3]["measured"] < rows[3]["high"]
    assert [row["note"] for row in rows[4:]] == [
        "the step has no such row", "the step did not run", "the step's table has no column x",
    ]  # fmt: skip
    bare = replace(shares, about={"suffixes": "none"})
    (row,) = beside(targets[1:2], {"a": bare}).rows()
    assert row["note"] == "no file of suffixes was given" and np.isnan(row["measured"])
    said = lines(beside(targets, {"a": shares, "b": losses}))
    assert said[0].startswith("a (kind found, p 0.01): 0.667 [") and said[0].endswith(
        "published 0.6"
    )
