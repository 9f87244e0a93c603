"""The command line. A token with `=` is an override, the one without is the model.

Exit codes: 0 done, 1 a gate says no, 2 bad input or an interruption; 3 is kept for gates that come
out inconclusive. Heavy imports happen inside the commands, so that `--help` is instant and a wrong
setting is refused before torch is loaded.
"""

import logging
import os
import sys

import typer

from interlock.cli import (
    calibration,
    data,
    doctor,
    fetching,
    judging,
    organisms,
    runs,
    studies,
    study_files,
    weight_sets,
    weights,
)
from interlock.cli.output import fail
from interlock.errors import InterlockError

_INTERRUPTED = 130  # as typer reports Control-C
_COMMANDS = (
    studies.audit,
    studies.behaviour,
    studies.locate,
    studies.ablate,
    studies.explain,
    studies.direction,
    calibration.calibrate,
    doctor.doctor,
)
_GROUPS = {
    "data": data.data_app,
    "judge": judging.judge_app,
    "organism": organisms.app,
    "run": runs.app,
    "study": study_files.app,
    "weights": weights.weights_app,
}
data.data_app.command("fetch")(fetching.fetch)
weights.weights_app.command("prune")(studies.prune)
weights.weights_app.command("import")(weight_sets.weights_import)
weights.weights_app.command("overlap")(weight_sets.weights_overlap)

app = typer.Typer(
    help="Find, test and track the safety mechanisms inside open-weight language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in _COMMANDS:
    app.command()(command)
for name, group in _GROUPS.items():
    app.add_typer(group, name=name)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code comes back."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr, force=True)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # read when the hub's library is imported
    for chatty in ("httpx", "httpx2", "httpcore", "httpcore2", "huggingface_hub", "transformers"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        given = sys.argv[1:] if arguments is None else arguments
        code = app(given if _says_what(given) else [*given, "--help"], standalone_mode=False)
    except InterlockError as error:
        return fail(str(error))
    except typer.Exit as stop:
        code = stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return fail(error.format_message())  # type: ignore[attr-defined]
    if code == _INTERRUPTED:
        return fail("interrupted; run the same command again to go on where it was")
    return code if isinstance(code, int) else 0


def _says_what(arguments: list[str]) -> bool:
    """Whether more than a group of commands is named; a group alone asks for its help."""
    return bool(arguments) and not (len(arguments) == 1 and arguments[0] in _GROUPS)
