"""What a command says: results on standard output, mistakes in one line on standard error."""

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.run import Run


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


def say_verdicts(run: "Run", *, as_json: bool) -> None:
    """Print a run's verdicts and where its report is."""
    kept = (run.folder / "protocol.json").is_file()
    judge = run.protocol.get("judge", "") if kept else ""
    if as_json:
        found: dict[str, Any] = {"run": str(run.folder), "verdicts": run.verdicts, "judge": judge}
        rates = run.folder / "tables" / "behaviour.corrected.parquet"
        if rates.is_file():
            rows = run.table("behaviour.corrected").rows()
            # JSON has no nan
            found["corrected"] = [
                {name: None if cell != cell else cell for name, cell in row.items()} for row in rows
            ]
        say(json.dumps(found))
        return
    for verdict in run.verdicts:
        say(f"{verdict['outcome'].upper()}: {verdict['claim']}.\n  {verdict['reason']}")
    if judge:
        say(f"Judge: {judge}.")
    say(f"Report: {run.folder / 'report.html'}")
