"""Commands that run a study: audit, behaviour, locate, ablate, explain, direction, prune."""

import json
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.options import AsJson, Budget, DryRun, Out, StudyFile, Tokens
from interlock.cli.output import quiet, say_explanation, say_verdicts
from interlock.cli.study_files import say_plan
from interlock.errors import InterlockError


def audit(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    study: StudyFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Does it refuse, where, is that necessary, is it in few weights: one report."""
    _run("audit", tokens, budget=budget, out=out, file=study, dry_run=dry_run, as_json=as_json)


def behaviour(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Does it refuse what it should, and only that?"""
    _run("behaviour", tokens, budget=budget, out=out, dry_run=dry_run, as_json=as_json)


def locate(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Which layers, heads and neurons carry refusal?"""
    _run("locate", tokens, budget=budget, out=out, dry_run=dry_run, as_json=as_json)


def ablate(
    tokens: Tokens = None,
    sites: Annotated[
        str | None,
        typer.Option(help="head.2.3,neuron.3.0:16: ablate these, not what is found."),
    ] = None,
    budget: Budget = None,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Does refusal need them, and does anything else break?"""
    change = None
    if sites is not None:
        from interlock.config.given_sites import read_sites, with_sites

        change = partial(with_sites, sites=read_sites(sites))
    _run("ablate", tokens, budget=budget, out=out, dry_run=dry_run, as_json=as_json, change=change)


def explain(
    prompt: Annotated[str, typer.Argument(help="A prompt that was answered.")],
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Why was this prompt answered: what would have made the model refuse it?"""
    if not prompt.strip():
        raise InterlockError("No prompt to explain: put it in quotation marks.")
    given = [
        f"steps.{step}.prompt={json.dumps(prompt)}" for step in ("explanation", "explain.words")
    ]
    asked = [*(tokens or []), *given]
    _run("explain", asked, budget=budget, out=out, dry_run=dry_run, as_json=as_json)


def direction(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Is refusal mediated by one direction?"""
    _run("direction", tokens, budget=budget, out=out, dry_run=dry_run, as_json=as_json)


def prune(
    tokens: Tokens = None,
    budget: Budget = None,
    out: Out = None,
    study: StudyFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Does refusal sit in few weights? Sets taken out, beside random ones of like |weight|."""
    _run("weights", tokens, budget=budget, out=out, file=study, dry_run=dry_run, as_json=as_json)


def _run(
    command: str,
    tokens: list[str] | None,
    *,
    budget: str | None,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
    file: Path | None = None,
    change: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> None:
    from interlock.config import read_study_file, resolve
    from interlock.studies import built_in

    overrides = _overrides(tokens or [])
    settings = read_study_file(file or built_in(command))
    settings = settings if change is None else change(settings)
    study = resolve(settings, overrides, budget=budget)
    if dry_run:
        say_plan(study, as_json=as_json)
        return
    if out is not None:
        from interlock.files import require_writable

        require_writable(out)
    quiet()
    _keep_memory()
    from interlock.studies.planning import too_long
    from interlock.studies.running import Request, run_study

    warning = too_long(study)
    if warning:
        logging.getLogger("interlock").warning(warning)

    tell = say_explanation if command == "explain" else say_verdicts
    tell(run_study(Request(study, tuple(overrides), command, out)), as_json=as_json)


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
