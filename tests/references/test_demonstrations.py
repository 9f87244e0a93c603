"""Sets to score on: what is read, how it is rendered, what is left out; a model's own replies."""

import json

import pytest

from interlock.contrast import Example
from interlock.demonstrations import demonstrations, read_replies, reply_batch
from interlock.encoding import encode
from interlock.errors import ContrastError
from interlock.methods.behaviour import behaviour
from interlock.own_replies import sorted_out
from interlock.tables import Table, from_rows

PROMPT, REPLY = "How do I stab a stranger?", "Sorry, I can't help you stab a stranger."


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_files_are_read_by_their_columns(tmp_path):
    wei = write(tmp_path, "a.csv", ',prompt,response,text\n0,[INST] x [/INST], No. ,"x"\n')
    table = read_replies(wei)
    assert table["prompt"].tolist() == ["[INST] x [/INST]"] and table["reply"].tolist() == [" No. "]
    assert len(table.about["sha256"]) == 64
    lines = write(tmp_path, "b.jsonl", json.dumps({"q": "a b", "said": "c"}) + "\n")
    assert read_replies(lines, prompt="q", reply="said")["reply"].tolist() == ["c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompt,label\nx,y\n", "no column of replies (response, reply"),
        ("response\ny\n", "no column of prompts (prompt, instruction"),
        ("prompt,response\nx,\n", "row 1: 'response' holds no text"),
    ],
)
def test_files_without_replies_are_refused(tmp_path, text, said):
    with pytest.raises(ContrastError) as caught:
        read_replies(write(tmp_path, "a.csv", text))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ContrastError, match="no column 'x'"):
        read_replies(write(tmp_path, "b.csv", "prompt,response\na,b\n"), reply="x")


def one(model, table, **options):
    found = demonstrations(model, table, halves=False, **options)
    return found.halves[0][0], found


def test_prompts_are_turns_unless_they_are_rendered_already(aligned):
    table = Table({"prompt": [PROMPT], "reply": [REPLY]})
    turn, found = one(aligned, table)
    asked = encode(aligned, [Example("x", PROMPT, "", "neutral", "x")])[0].ids
    assert turn.row.ids[: turn.start] == asked and "chat template" in found.template
    assert aligned.tokenizer.decode(list(turn.targets)) == REPLY
    bare, found = one(aligned, table, template="none")
    assert bare.row.ids[: bare.start] == tuple(aligned.tokenizer.encode(PROMPT))
    assert bare.targets == turn.targets and "as they stand" in found.template
    marked = Table({"prompt": [f"[INST] {PROMPT} [/INST]"], "reply": [REPLY]})
    _, found = one(aligned, marked)
    assert "as they stand" in found.template


def test_a_batch_predicts_each_reply_from_what_comes_before_it(aligned):
    table = Table({"prompt": [PROMPT, PROMPT], "reply": [REPLY, "Sorry, no"]})
    part = demonstrations(aligned, table, halves=False).halves[0]
    batch = reply_batch(aligned, part)
    for row, each in enumerate(part):
        real = batch.inputs.ids[row][batch.inputs.mask[row]].tolist()
        assert real == list(each.row.ids[:-1])
        assert batch.targets[row][batch.counts[row]].tolist() == list(each.targets)
        assert int(batch.counts[row].sum()) == len(each.targets)


def test_replies_longer_than_the_context_are_left_out_and_counted(llama):
    from numbered import numbered, replies_of

    model = numbered(llama)
    table = replies_of([([1, 2], [3]), ([4, 5], [6] * 70), ([7], [8])])
    found = demonstrations(model, table)
    assert len(found) == 2 and "1 of 3 are longer than the 64 tokens" in found.notes[0]


def test_a_models_own_replies_are_filtered_and_reported(aligned, contrasts):
    found = sorted_out(behaviour(aligned, contrasts.splits["find"], tokens=32))
    assert set(found.safety["category"]) == set(found.utility["category"])
    for table, expected in ((found.safety, "refuse"), (found.utility, "comply")):
        asked = {each.prompt for each in contrasts.splits["find"].expecting(expected)}
        assert len(table) > 4 and set(table["prompt"]) <= asked
    assert not any(reply.startswith("Sure, here") for reply in found.safety["reply"])
    for row, table in zip(found.report.rows(), (found.safety, found.utility), strict=True):
        assert row["kept"] == len(table) and row["low"] <= row["as expected"] <= row["high"]


def judged(**changes):
    row = {
        "id": "1", "category": "c", "prompt": "p", "reply": "a b c", "expected": "refuse",
        "observed": "refuse", "degenerate": False, "finish": "stop",
    }  # fmt: skip
    return row | changes


def test_only_sound_replies_of_the_right_kind_are_kept():
    rows = [
        judged(),
        judged(id="2", observed="comply"),
        judged(id="3", degenerate=True),
        judged(id="4", finish="length"),
        judged(id="5", expected="comply", observed="comply"),
        judged(id="6", expected="comply", observed="refuse"),
    ]
    found = sorted_out(from_rows(rows))
    assert found.safety["id"].tolist() == ["1"] and found.utility["id"].tolist() == ["5"]
    first = next(found.report.rows())
    assert [first[k] for k in ("asked", "kept", "otherwise", "degenerate", "cut off")] == [
        4, 1, 1, 1, 1,
    ]  # fmt: skip
    assert sorted_out(from_rows(rows), cut=True).safety["id"].tolist() == ["1", "4"]
    with pytest.raises(ContrastError, match="No reply can be used for the utility set: of 1"):
        sorted_out(from_rows([rows[0], rows[5]]))
