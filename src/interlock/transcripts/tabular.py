"""Replies in CSV, TSV, JSON, JSONL or Parquet: one row a reply, columns by their usual names."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interlock.datasets.reading import Sheet, read_sheet
from interlock.errors import TranscriptError
from interlock.tables import csv_text as as_csv
from interlock.tables import from_rows
from interlock.transcripts.turns import Turn

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "reply": ("reply", "response", "completion", "generation", "output", "answer"),
    "prompt": ("prompt", "goal", "question", "instruction", "behavior", "forbidden_prompt"),
    "id": ("id", "index", "behaviorid", "question_id"),
    "category": ("category", "type", "semanticcategory"),
    "model": ("model", "model_id", "model_name"),
}


def read(path: Path, columns: Mapping[str, str]) -> list[Turn]:
    """The replies in a table; `columns` names columns that are called otherwise.

    Raises:
        ContrastError: the file cannot be read as a table.
        TranscriptError: it has no column of replies, or lacks one that was named.
    """
    sheet = read_sheet(path)
    found = {noun: _column(path, sheet, noun, columns.get(noun, "")) for noun in COLUMNS}
    if not found["reply"]:
        raise TranscriptError(
            f"{path} has no column of replies ({', '.join(COLUMNS['reply'])}); name it with "
            f"--reply. Columns: {', '.join(sheet.columns)}."
        )
    others = [name for name in sheet.columns if name not in found.values()]
    return [_turn(sheet, found, others, number) for number in range(len(sheet))]


def read_prompts(path: Path) -> list[Turn]:
    """The rows of a table without replies, of which the prompt or its id must be known.

    Raises:
        ContrastError: the file cannot be read as a table.
        TranscriptError: it has neither prompts nor ids.
    """
    sheet = read_sheet(path)
    found = {noun: _column(path, sheet, noun, "") for noun in COLUMNS}
    if not (found["prompt"] or found["id"]):
        raise TranscriptError(
            f"{path} has no column of replies, prompts or ids. Columns: {', '.join(sheet.columns)}."
        )
    others = [name for name in sheet.columns if name not in found.values()]
    return [_turn(sheet, found, others, number) for number in range(len(sheet))]


def text_of(cell: Any) -> str:  # noqa: ANN401 - any JSON value
    """A cell as text: nothing for None, JSON for lists and objects."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, list | dict):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return str(cell)


def rows_of(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """The replies as rows that all have the same columns."""
    extras = dict.fromkeys(name for turn in turns for name in turn.extra)
    return [
        {
            "id": turn.id,
            "prompt": turn.prompt,
            "reply": turn.reply,
            "category": turn.category,
            "model": turn.model,
            **{name: turn.extra.get(name, "") for name in extras},
        }
        for turn in turns
    ]


def jsonl(turns: Sequence[Turn]) -> bytes:
    """One JSON object a line."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows_of(turns)]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def csv(turns: Sequence[Turn]) -> bytes:
    """CSV; text that a spreadsheet would run as a formula gets an apostrophe."""
    return as_csv(from_rows(rows_of(turns))).encode("utf-8", "backslashreplace")


def parquet(turns: Sequence[Turn]) -> bytes:
    """Parquet, every column text."""
    import pyarrow
    from pyarrow import parquet as format_

    table = from_rows(rows_of(turns))
    columns = {
        name: pyarrow.array(
            [str(cell).encode("utf-8", "backslashreplace").decode() for cell in cells],
            pyarrow.string(),
        )
        for name, cells in table.columns.items()
    }
    sink = io.BytesIO()
    format_.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


def _column(path: Path, sheet: Sheet, noun: str, given: str) -> str:
    """The sheet's column for a noun, or nothing."""
    if given:
        if given not in sheet.columns:
            raise TranscriptError(
                f"{path} has no column '{given}'. Columns: {', '.join(sheet.columns)}."
            )
        return given
    lowered = {name.casefold(): name for name in reversed(list(sheet.columns))}
    return next((lowered[name] for name in COLUMNS[noun] if name in lowered), "")


def _turn(sheet: Sheet, found: Mapping[str, str], others: Sequence[str], number: int) -> Turn:
    known = {
        noun: text_of(sheet.columns[name][number]) if name else "" for noun, name in found.items()
    }
    extra = {name: text_of(sheet.columns[name][number]) for name in others}
    known["id"] = known["id"] or str(number)
    return Turn(**known, extra=extra)
