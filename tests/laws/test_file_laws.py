"""Files are whole or as they were; what cannot be written is said; secrets stay out."""

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock import files
from interlock.errors import RunError

TOKEN = "hf_" + "aB3dE5gH7jK9mN1pQ2sT"


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_file_holds_the_last_bytes_written(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("files") / "deep" / "er" / "file.bin"
    for data in (first, second):
        files.write_bytes(path, data)
        assert path.read_bytes() == data
        assert files.digest_file(path) == files.digest_bytes(data)
    assert [each.name for each in path.parent.iterdir()] == ["file.bin"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values.filter(lambda value: "\\ud" not in json.dumps(value)))
def test_json_round_trips(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("files") / "value.json"
    files.write_json(path, value)
    assert files.read_json(path) == value


def failing(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("step", ["sync", "rename"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, number, step):
    path = tmp_path / "results.json"
    files.write_json(path, {"old": True})
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        if step == "sync":
            patch.setattr(files.os, "fsync", failing(number))
        else:
            patch.setattr(Path, "replace", failing(number))
        with pytest.raises(RunError) as raised:
            files.write_json(path, {"new": "x" * 10_000})
    assert str(path) in str(raised.value)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]
    if number == errno.ENOSPC:
        assert "disk is full" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_disk_that_fills_up_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    files.write_bytes(path, b"old")
    opened = Path.open

    def small(self, mode="r", *args, **kwargs):
        handle = opened(self, mode, *args, **kwargs)
        if "w" not in mode:
            return handle

        class Small:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                handle.close()

            def write(self, data):
                handle.write(data[: len(data) // 2])
                handle.flush()
                raise OSError(errno.ENOSPC, "No space left on device")

        return Small()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", small)
        with pytest.raises(RunError, match="disk is full"):
            files.write_bytes(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["table.parquet"]


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    files.write_text(path, "old")

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            files.write_text(path, "new")
    assert path.read_text() == "old"
    files.write_text(path, "newer")
    assert path.read_text() == "newer"


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for write in (
        lambda: files.write_text(tmp_path / "file" / "x.json", "x"),
        lambda: files.append_line(tmp_path / "file" / "log.jsonl", "x"),
        lambda: files.require_writable(tmp_path / "file"),
        lambda: files.require_writable(tmp_path / "file" / "folder"),
    ):
        with pytest.raises(RunError, match="Cannot write"):
            write()


def test_asking_whether_a_folder_can_be_written_leaves_nothing(tmp_path):
    files.require_writable(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").mkdir()
    files.require_writable(tmp_path / "old")
    assert [each.name for each in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("content", ["", "{", "[1,", "nonsense"])
def test_what_is_not_json_is_a_run_error(tmp_path, content):
    path = tmp_path / "x.json"
    with pytest.raises(RunError, match="No file"):
        files.read_json(path)
    path.write_text(content)
    with pytest.raises(RunError, match="cannot be read as JSON"):
        files.read_json(path)


TEXTS = {
    "alone": TOKEN,
    "in a sentence": f"the token is {TOKEN}.",
    "assigned": f"HF_TOKEN={TOKEN}",
    "in an address": f"https://user:{TOKEN}@huggingface.co/x",
    "on its own line": f"log in with:\n{TOKEN}\n",
    "after a tab": f"token\t{TOKEN}",
    "after a return": f"token\r{TOKEN}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("write", ["text", "json", "line"])
def test_tokens_never_reach_the_disk(tmp_path, text, write):
    path = tmp_path / "file"
    if write == "text":
        files.write_text(path, text)
    elif write == "json":
        files.write_json(path, {"error": [text, {"deep": text}]})
    else:
        files.append_line(path, json.dumps({"message": text}))
    assert TOKEN not in path.read_text()
    assert "[secret]" in path.read_text()
    if write == "json":
        json.loads(path.read_text())


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"])
def test_the_users_own_token_is_blacked_out_whatever_its_form(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "sk-custom-proxy-secret")
    files.write_text(tmp_path / "x", "401 for sk-custom-proxy-secret, retry")
    assert (tmp_path / "x").read_text() == "401 for [secret], retry"
    monkeypatch.setenv(name, "a")
    assert files.redacted("a banana") == "a banana"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://me:pass@host/x", "https://[secret]@host/x"),
        ("http://pass@host", "http://[secret]@host"),
        ("proxy=socks5://u:p%40w@10.0.0.1:80 ok", "proxy=socks5://[secret]@10.0.0.1:80 ok"),
        ("https://host/path@v1", "https://host/path@v1"),
        ("mail me@example.org", "mail me@example.org"),
        ("hf_short", "hf_short"),
    ],
)
def test_passwords_in_addresses_are_blacked_out(text, wanted):
    assert files.redacted(text) == wanted


@given(st.text(max_size=60))
def test_blacking_out_twice_is_once(text):
    assert files.redacted(files.redacted(text)) == files.redacted(text)


def test_log_lines_are_added(tmp_path):
    for number in range(3):
        files.append_line(tmp_path / "logs" / "log.jsonl", f"line {number}")
    assert (tmp_path / "logs" / "log.jsonl").read_text() == "line 0\nline 1\nline 2\n"


@given(json_values.filter(lambda value: "\\ud" not in json.dumps(value)))
def test_the_digest_of_a_value_is_of_its_content(value):
    again = json.loads(json.dumps(value))
    assert files.digest_value(again) == files.digest_value(value)
    assert files.digest_value([value]) != files.digest_value(value)
    assert files.digest_value({"b": value, "a": 1}) == files.digest_value({"a": 1, "b": value})


def test_the_digest_of_files_sees_names_and_contents(tmp_path):
    for name, text in (("a", "1"), ("b", "2")):
        (tmp_path / name).write_text(text)
    paths = [tmp_path / "a", tmp_path / "b"]
    first = files.digest_files(paths, tmp_path)
    assert files.digest_files(paths[::-1], tmp_path) == first
    (tmp_path / "b").write_text("3")
    second = files.digest_files(paths, tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")
    third = files.digest_files([tmp_path / "a", tmp_path / "c"], tmp_path)
    assert len({first, second, third}) == 3
