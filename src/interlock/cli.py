"""The command line. A token with `=` is an override, the one without is the model.

Exit codes: 0 done, 1 a gate says no, 2 bad input or an interruption; 3 is kept for gates that come
out inconclusive. Heavy imports happen inside the commands, so that `--help` is instant and a wrong
setting is refused before torch is loaded.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.run import Run

_INTERRUPTED = 130  # as typer reports Control-C

app = typer.Typer(
    help="Find, test and track the safety mechanisms inside open-weight language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
runs = typer.Typer(help="Look into a finished run.", no_args_is_help=True, rich_markup_mode=None)
study_app = typer.Typer(
    help="Check a study file before running it.", no_args_is_help=True, rich_markup_mode=None
)
organism_app = typer.Typer(
    help="The small models with known behaviour that ship with the package.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(runs, name="run")
app.add_typer(study_app, name="study")
app.add_typer(organism_app, name="organism")

Tokens = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL] [path=value ...]",
        help="A folder, a hub id or organism:NAME; settings such as model.dtype=float32.",
        show_default=False,
    ),
]
Budget = Annotated[
    str | None, typer.Option("--budget", help="tiny, 5m, 1h or overnight.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", help="The run's folder; made under runs/ when not given.")
]
StudyFile = Annotated[
    Path | None, typer.Option("--study", help="A study file instead of the built-in one.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what it would take, and stop.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


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
        return _fail(str(error))
    except typer.Exit as stop:
        code = stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _fail(error.format_message())  # type: ignore[attr-defined]
    if code == _INTERRUPTED:
        return _fail("interrupted; run the same command again to go on where it was")
    return code if isinstance(code, int) else 0


@app.command()
def audit(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    study: StudyFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Does it refuse, where is that carried, is it necessary: one report."""
    _study("audit", tokens, budget=budget, out=out, file=study, dry_run=dry_run, as_json=as_json)


@app.command()
def behaviour(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Does it refuse what it should, and only that?"""
    _study("behaviour", tokens, budget=budget, out=out, dry_run=dry_run, as_json=as_json)


@app.command()
def locate(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Which layers, heads and neurons carry refusal?"""
    _study("locate", tokens, budget=budget, out=out, dry_run=dry_run, as_json=as_json)


@app.command()
def ablate(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Does refusal need them, and does anything else break?"""
    _study("ablate", tokens, budget=budget, out=out, dry_run=dry_run, as_json=as_json)


@app.command()
def doctor(
    model: Annotated[str, typer.Argument(help="A folder, a hub id or organism:NAME.")],
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    as_json: AsJson = False,
) -> None:
    """Open a model and check by intervention that every kind of site is what it is called."""
    _quiet()
    from interlock.loading import load, settle
    from interlock.selfcheck import self_check

    opened = load(settle(model, device=device, dtype=dtype))
    checks = self_check(opened)
    passed = all(check.passed for check in checks)
    if as_json:
        _print(json.dumps({"passed": passed, "checks": [vars(check) for check in checks]}))
    else:
        _print(f"{opened.name} ({opened.architecture.family}) on {opened.device}: {opened.shape}")
        for check in checks:
            state = "ok  " if check.passed else "FAIL"
            _print(f"{state} {check.name} ({check.difference:.2g})")
    if not passed:
        raise InterlockError(f"{model} fails its self-check; see the lines marked FAIL.")


@runs.command("show")
def run_show(folder: Path, as_json: AsJson = False) -> None:
    """Print a run's verdicts."""
    from interlock.run import read

    _report_verdicts(read(folder).finished_run(), as_json=as_json)


@runs.command("verify")
def run_verify(folder: Path) -> None:
    """Check a sealed run's files against its manifest."""
    from interlock.run import verify

    count = verify(folder)
    _print(f"{folder}: {count} files, all as sealed.")


@runs.command("report")
def run_report(
    folder: Path,
    to: Annotated[Path | None, typer.Option(help="Where to write it; else only printed.")] = None,
) -> None:
    """Write the report of a run again, outside the sealed folder."""
    from interlock.files import write_text
    from interlock.report import render
    from interlock.run import read

    target = to or Path(f"{folder.name}.html")
    write_text(target, render(read(folder).finished_run()))
    _print(str(target))


@runs.command("figures")
def run_figures(
    folder: Path,
    format_: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "svg",
) -> None:
    """Draw a run's figures for print, with their numbers beside them."""
    from interlock.figures import all_figures, printed
    from interlock.files import write_bytes
    from interlock.run import read

    if format_ not in ("png", "svg", "pdf"):
        raise InterlockError(f"No figure format '{format_}'. Known: png, svg, pdf.")
    for figure in all_figures(read(folder).tables):
        path = folder / "figures" / f"{figure.id}.{format_}"
        write_bytes(path, printed.draw(figure, format_))
        _print(str(path))


@study_app.command("check")
def study_check(
    file: Path, overrides: Annotated[list[str] | None, typer.Argument()] = None
) -> None:
    """Say every mistake in a study file at once; nothing is loaded."""
    from interlock.config import read_study_file, resolve

    study = resolve(read_study_file(file), overrides or [])
    _print(f"{file}: ok, {len(study.steps)} steps, {len(study.claims)} claims.")


@study_app.command("schema")
def study_schema() -> None:
    """Print the JSON Schema of study files, for completion in editors."""
    from interlock.config import schema

    _print(json.dumps(schema(), indent=1))


@study_app.command("plan")
def study_plan(
    file: Path,
    overrides: Annotated[list[str] | None, typer.Argument()] = None,
    budget: Budget = None,
    as_json: AsJson = False,
) -> None:
    """Print what a study would take: passes, time and memory, without loading weights."""
    from interlock.config import read_study_file, resolve

    _plan(resolve(read_study_file(file), overrides or [], budget=budget), as_json=as_json)


@organism_app.command("list")
def organism_list() -> None:
    """The organisms that ship with the package."""
    from interlock import organisms
    from interlock.files import read_json

    for name in organisms.names():
        card = read_json(organisms.folder(name) / "card.json")
        _print(f"organism:{name}  {card['parameters']:,} parameters  {card['description']}")


@organism_app.command("train")
def organism_train(
    name: str,
    out: Annotated[Path | None, typer.Option(help="Folder; the shipped one if not given.")] = None,
    seed: int = 0,
) -> None:
    """Train an organism and put it through its gate."""
    _quiet()
    from tqdm import tqdm

    from interlock import organisms
    from interlock.organisms.training import train

    target = out or organisms.folder(name)
    with tqdm(desc=name, disable=None) as bar:

        def advance(done: int, total: int, loss: float) -> None:
            bar.total = total
            bar.set_postfix(loss=f"{loss:.3f}")
            bar.update(done - bar.n)

        train(name, target, seed=seed, progress=advance)
    _print(str(target))


@organism_app.command("verify")
def organism_verify(name: str, as_json: AsJson = False) -> None:
    """Measure a shipped organism again and hold it against its gate."""
    _quiet()
    from interlock import organisms
    from interlock.organisms.gate import gate
    from interlock.organisms.recipes import RECIPES

    folder = organisms.folder(name)
    parent = RECIPES[name].starts_from
    found = gate(name, folder, None if parent is None else organisms.folder(parent))
    _print(json.dumps(found, indent=None if as_json else 1))
    if not found["accepted"]:
        raise typer.Exit(1)


def _study(
    command: str,
    tokens: list[str] | None,
    *,
    budget: str | None,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
    file: Path | None = None,
) -> None:
    from interlock.config import read_study_file, resolve
    from interlock.studies import built_in

    overrides = _overrides(tokens or [])
    settings = read_study_file(file or built_in(command))
    study = resolve(settings, overrides, budget=budget)
    if dry_run:
        _plan(study, as_json=as_json)
        return
    if out is not None:
        from interlock.files import require_writable

        require_writable(out)
    _quiet()
    _keep_memory()
    from interlock.studies.planning import too_long
    from interlock.studies.running import Request, run_study

    warning = too_long(study)
    if warning:
        logging.getLogger("interlock").warning(warning)

    _report_verdicts(run_study(Request(study, tuple(overrides), command, out)), as_json=as_json)


def _overrides(tokens: list[str]) -> list[str]:
    """The tokens as overrides; the one without `=` names the model."""
    models = [token for token in tokens if "=" not in token]
    if len(models) > 1:
        raise InterlockError(f"One model at a time; got {', '.join(models)}.")
    again = [token for token in tokens if token.startswith("model.name=")]
    if models and again:
        raise InterlockError(f"The model is named twice: {models[0]} and {again[0]}.")
    named = [f"model.name={json.dumps(name)}" for name in models]
    return named + [token for token in tokens if "=" in token]


def _plan(study: Any, *, as_json: bool) -> None:  # noqa: ANN401 - pydantic is not imported here
    _quiet()
    from interlock.studies.planning import estimate

    found = estimate(study)
    _print(json.dumps(found.plain()) if as_json else str(found))


def _report_verdicts(run: "Run", *, as_json: bool) -> None:
    report = run.folder / "report.html"
    if as_json:
        _print(json.dumps({"run": str(run.folder), "verdicts": run.verdicts}))
        return
    for verdict in run.verdicts:
        _print(f"{verdict['outcome'].upper()}: {verdict['claim']}.\n  {verdict['reason']}")
    _print(f"Report: {report}")


def _quiet() -> None:
    """Keep other libraries' progress bars and advice off the terminal."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def _keep_memory() -> None:
    """Tell glibc to keep freed memory: reading every site otherwise pays for its pages each pass.

    `benchmarks/capture.py` measures both. Only this process is concerned, and only on glibc.
    """
    import ctypes

    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if library is not None and hasattr(library, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        library.mallopt(trim_threshold, 2**30)
        library.mallopt(mmap_threshold, 2**30)


def _says_what(arguments: list[str]) -> bool:
    """Whether more than a group of commands is named; a group alone asks for its help."""
    groups = {"run", "study", "organism"}
    return bool(arguments) and not (len(arguments) == 1 and arguments[0] in groups)


def _print(text: str) -> None:
    from interlock.files import redacted

    sys.stdout.write(redacted(text) + "\n")


def _fail(message: str) -> int:
    from interlock.files import redacted

    for line in message.splitlines():
        shown = "".join(c if c.isprintable() else "\ufffd" for c in redacted(line))
        sys.stderr.write(f"error: {shown}\n")
    return 2
