"""What a command says: results on standard output, mistakes in one line on standard error."""

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.run import Run
    from interlock.tables import Table

_WORDS = "explain.words"


def say(text: str) -> None:
    """Print a result, with secrets taken out."""
    from interlock.files import redacted

    sys.stdout.write(redacted(text) + "\n")


def fail(message: str) -> int:
    """Print a mistake, a line each, and give the exit code of bad input."""
    from interlock.files import redacted

    for line in message.splitlines():
        shown = "".join(c if c.isprintable() else "\ufffd" for c in redacted(line))
        sys.stderr.write(f"error: {shown}\n")
    return 2


def quiet() -> None:
    """Keep other libraries' progress bars and advice off the terminal."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def quiet_downloads() -> None:
    """Keep progress bars of downloads off the terminal, where nothing else may import a library."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _plain(table: "Table") -> list[dict[str, Any]]:
    """The rows as JSON values: JSON has no nan."""
    return [
        {name: None if cell != cell else cell for name, cell in row.items()} for row in table.rows()
    ]


def _published(run: "Run") -> bool:
    return (run.folder / "tables" / "published.parquet").is_file()


def say_verdicts(run: "Run", *, as_json: bool) -> None:
    """Print a run's verdicts and where its report is."""
    kept = (run.folder / "protocol.json").is_file()
    judge = run.protocol.get("judge", "") if kept else ""
    if as_json:
        found: dict[str, Any] = {"run": str(run.folder), "verdicts": run.verdicts, "judge": judge}
        rates = run.folder / "tables" / "behaviour.corrected.parquet"
        if rates.is_file():
            found["corrected"] = _plain(run.table("behaviour.corrected"))
        if _published(run):
            found["published"] = _plain(run.table("published"))
        say(json.dumps(found))
        return
    for verdict in run.verdicts:
        say(f"{verdict['outcome'].upper()}: {verdict['claim']}.\n  {verdict['reason']}")
    if _published(run):
        from interlock.studies.published import lines

        say("\n".join(["Beside published numbers:", *lines(run.table("published"))]))
    if judge:
        say(f"Judge: {judge}.")
    say(f"Report: {run.folder / 'report.html'}")


def say_explanation(run: "Run", *, as_json: bool) -> None:
    """Print what an explanation of one prompt found, or why there is none.

    Raises:
        InterlockError: nothing could be explained; the reason.
    """
    if not (run.folder / "tables" / "explanation.parquet").is_file():
        lost = next((each for each in run.notices if each.startswith("Did not run: ")), "")
        raise InterlockError(lost or f"{run.folder} holds no explanation.")
    table = run.table("explanation")
    # a prompt like which none was treated has sites to tell of, but no words to compare
    told = (run.folder / "tables" / f"{_WORDS}.parquet").is_file()
    words = run.table(_WORDS) if told else None
    if as_json:
        said = {"run": str(run.folder), **table.about}
        sites = [row for row in _plain(table) if row["reply"] and row["site"]]
        tokens = {} if words is None else {**words.about, "tokens": _plain(words)}
        say(json.dumps(said | {"sites": sites, "words": tokens}))
        return
    say(table.about["finding"])
    if words is not None:
        say(words.about["finding"])
    say(f"Report: {run.folder / 'report.html'}")
