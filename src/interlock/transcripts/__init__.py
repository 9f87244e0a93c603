"""Replies from files and to files, so that runs of any tool can be judged again without a GPU."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from interlock.datasets.reading import require_readable
from interlock.errors import TranscriptError
from interlock.files import write_bytes
from interlock.transcripts import inspect_logs, inspect_writing, published, tabular
from interlock.transcripts.turns import Turn as Turn
from interlock.transcripts.turns import label_column as label_column
from interlock.transcripts.turns import labels_of as labels_of

_JSON: Mapping[str, Callable[[Any], list[Turn]]] = {
    "arditi": published.from_arditi,
    "jbb": published.from_jailbreakbench,
    "harmbench": published.from_harmbench,
    "inspect": inspect_logs.from_inspect,
}
READS = ("auto", "table", *_JSON, "lm-eval")
_INSPECT = "inspect"
_WRITERS: Mapping[str, Callable[[Sequence[Turn]], Any]] = {
    "jsonl": tabular.jsonl,
    "parquet": tabular.parquet,
    "csv": tabular.csv,
    "arditi": published.to_arditi,
    "jbb": published.to_jailbreakbench,
    "harmbench": published.to_harmbench,
    "lm-eval": published.to_lm_eval,
}
WRITES = (*_WRITERS, _INSPECT)


def read(path: Path, form: str = "auto", columns: Mapping[str, str] | None = None) -> list[Turn]:
    """The replies in a file.

    Args:
        path: CSV, TSV, JSON, JSONL, Parquet or `.eval`.
        form: one of `READS`; `auto` tells by the suffix and the first keys.
        columns: names of the columns `reply`, `prompt`, `id`, `category`, `model` in a table, where
            they are called otherwise.

    Raises:
        TranscriptError: no such form, or the file is not of it, or holds no replies.
        ContrastError: it is missing, empty, not UTF-8, or malformed.
    """
    if form not in READS:
        raise TranscriptError(f"No form '{form}' of replies. Known: {', '.join(READS)}.")
    if path.suffix.lower() == ".eval":
        return _some(path, _of_json("inspect", inspect_logs.read_zip(path), path))
    require_readable(path)
    if form == "table" or path.suffix.lower() not in (".json", ".jsonl"):
        return _some(path, tabular.read(path, columns or {}))
    value = _value(path)
    found = _form(value) if form == "auto" else form
    if found == "table":
        return _some(path, tabular.read(path, columns or {}))
    return _some(path, _of_json(found, value, path))


def write(
    path: Path, turns: Sequence[Turn], form: str, about: Mapping[str, str] | None = None
) -> None:
    """Write replies, whole or not at all.

    Args:
        path: the file; for `inspect`, `.eval` gives a zip and any other suffix JSON.
        turns: the replies.
        form: one of `WRITES`.
        about: how they were made and judged, key to text; kept where the form has a place for it.

    Raises:
        TranscriptError: no such form, or no replies.
        RunError: the file cannot be written.
    """
    if form not in WRITES:
        raise TranscriptError(f"No form '{form}' to write. Known: {', '.join(WRITES)}.")
    suffix = path.suffix.lower()
    if form == _INSPECT and suffix not in (".eval", ".json"):
        raise TranscriptError(f"{path}: a log of inspect is an .eval or a .json file; name it so.")
    if form != _INSPECT and suffix == ".eval":
        raise TranscriptError(f"{path}: an .eval file is of the form inspect, not {form}.")
    if not turns:
        raise TranscriptError("There are no replies to write.")
    if form == _INSPECT:
        made: Any = inspect_writing.to_inspect(turns, about or {})
        made = inspect_writing.as_zip(made) if suffix == ".eval" else made
    else:
        made = _WRITERS[form](turns)
    if form == "lm-eval":
        made = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
    elif not isinstance(made, bytes):
        made = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    write_bytes(path, made if isinstance(made, bytes) else made.encode("utf-8", "backslashreplace"))


def _some(path: Path, turns: list[Turn]) -> list[Turn]:
    if not turns:
        raise TranscriptError(f"{path} holds no replies.")
    return turns


def _of_json(form: str, value: Any, path: Path) -> list[Turn]:  # noqa: ANN401 - any JSON value
    try:
        if form == "lm-eval":
            return published.from_lm_eval(value if isinstance(value, list) else [value])
        return _JSON[form](value)
    except TranscriptError as error:
        raise TranscriptError(f"{path} is not of the form {form}: {error}") from None


def _value(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """A file's JSON value; the list of its lines' values for JSONL."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".jsonl":
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise TranscriptError(
            f"{path}: byte {error.object[error.start]:#04x} is not UTF-8; save the file as UTF-8."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise TranscriptError(f"{path} is not JSON: {error}.") from None


def _form(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The form of a JSON value, by its keys; a list of plain rows is a table."""
    if isinstance(value, list):
        first = value[0] if value and isinstance(value[0], dict) else {}
        return "lm-eval" if {"doc", "resps"} <= set(first) else "table"
    keys = set(value) if isinstance(value, dict) else set()
    for form, key in (("arditi", "completions"), ("jbb", "jailbreaks"), ("inspect", "samples")):
        if key in keys:
            return form
    return "harmbench" if keys else "table"
