"""Running a study: plan, open, every step once, conclude, report, seal; and going on after a kill.

A step's key is the plan's hash and its own settings. The plan holds everything that decides the
numbers (study, rules, prompts' digests, weights' revision, the package's sources, device and
dtype), so a finished step of the same plan is read and never computed again.
"""

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from interlock import methods, run
from interlock.config import Step, Study, steps_read
from interlock.contrast import Contrast
from interlock.datasets import Sets, load
from interlock.encoding import has_template
from interlock.errors import ContrastError, ModelError
from interlock.figures.summaries import summaries
from interlock.files import digest_files, digest_value, write_text
from interlock.judges.validity import digests
from interlock.loading import Settled, settle
from interlock.memory import Watch
from interlock.methods import METHODS
from interlock.model import Model
from interlock.opening import open_settled
from interlock.report import render
from interlock.run import Run
from interlock.store import shards_in
from interlock.studies import original_files, published
from interlock.studies.concluding import conclude, judged, rule_entry
from interlock.studies.evidence import Value
from interlock.studies.keeping import keep, kept, table_of
from interlock.studies.protocol import files_of, judges_of, labels_of, memory_used, protocol_of
from interlock.studies.wiring import contrasts_of, noun, options, require_labels
from interlock.subspaces import Subspaces
from interlock.tables import Table
from interlock.weight_scores import WeightScores

log = logging.getLogger("interlock")


@dataclass(frozen=True)
class Request:
    """What a user asked for: a checked study, what was set by hand, and where to put it.

    Attributes:
        study: the resolved study.
        given: the overrides given by hand, as written.
        command: names the run's folder together with model and plan.
        out: the run's folder; None makes one under `runs`.
    """

    study: Study
    given: tuple[str, ...]
    command: str
    out: Path | None = None


def run_study(request: Request) -> Run:
    """Run a study to its sealed folder, or go on with one that was interrupted.

    Raises:
        InterlockError: bad input, a model that cannot be opened, a folder that cannot be written;
            what was already computed is kept.
    """
    study = request.study
    sets = load(**study.prompts.options())
    require_labels(study, contrasts_of(sets))
    settled = settle(**study.model.model_dump())
    plan = make_plan(request, sets, settled)
    folder = request.out or Path("runs") / _folder_name(request, plan)
    current = run.start(folder, plan)
    if current.sealed:
        return current
    handler = _Notices(current)
    log.addHandler(handler)
    try:
        for note in sets.notes:
            log.warning("%s", note)
        model = open_settled(settled)
        protocol = protocol_of(study, request.given, sets, settled, model)
        current.save_json("protocol.json", protocol)
        if not has_template(model):
            log.warning("%s has no chat template: prompts are put to it as bare text.", model.name)
        values, failed = _execute(study, current, model, sets)
        current.save_json("protocol.json", protocol | {"memory": memory_used(current, model)})
        if study.targets:
            current.save_table(published.TABLE, published.beside(study.targets, values))
        verdicts = conclude(study, current, values, failed)
        for name, table in summaries(values, judged(study, failed)).items():
            current.save_table(name, table)
        original_files.write(current, study, values, contrasts_of(sets))
        current.save_json("verdicts.json", [verdict.plain() for verdict in verdicts])
        write_text(folder / "report.html", render(current))
        current.seal()
    finally:
        log.removeHandler(handler)
    return current


def make_plan(request: Request, sets: Sets, settled: Settled) -> dict[str, Any]:
    """Everything that decides the numbers, with its hash."""
    study = request.study
    package = Path(methods.__path__[0]).parent
    plan: dict[str, Any] = {
        "schema": 1,
        "study": study.model_dump(mode="json"),
        "given": list(request.given),
        "rules": [rule_entry(study, claim) for claim in study.claims],
        "prompts": {
            name: {"digest": contrast.digest, "n": len(contrast.examples)}
            for name, contrast in contrasts_of(sets).items()
        },
        "weights": settled.revision,
        "device": settled.device.type,
        "dtype": str(settled.dtype).removeprefix("torch."),
        "sources": digest_files(package.rglob("*.py"), package),
    }
    judges = digests(judges_of(study))
    if judges:
        plan["judges"] = judges
    labels = labels_of(study)
    if labels:
        plan["labels"] = labels
    files = files_of(study)
    if files:
        plan["files"] = files
    others = {name: _settled_beside(study, name).revision for name in study.models_beside()}
    if others:
        plan["other models"] = others
    return plan | {"hash": digest_value(plan)}


def _settled_beside(study: Study, name: str) -> Settled:
    """Another model that a step names, to be opened as the study's own is."""
    return settle(name, device=study.model.device, dtype=study.model.dtype)


def _opened_beside(study: Study, name: str) -> Model:
    return open_settled(_settled_beside(study, name))


class _Notices(logging.Handler):
    """Keeps warnings in the run's log, so that the report shows them."""

    def __init__(self, current: Run) -> None:
        super().__init__(logging.WARNING)
        self.current = current

    def emit(self, record: logging.LogRecord) -> None:
        self.current.note(record.getMessage())


def _folder_name(request: Request, plan: Mapping[str, Any]) -> str:
    model = request.study.model.name.rstrip("/").split("/")[-1].replace(":", "-")
    return f"{request.command}-{model}-{plan['hash'][:8]}"


def _execute(
    study: Study, current: Run, model: Model, sets: Sets
) -> tuple[dict[str, Value], dict[str, str]]:
    """Every step's value by id, and why each of the others could not run."""
    values: dict[str, Value] = {}
    failed: dict[str, str] = {}
    beside = partial(_opened_beside, study)
    watch = Watch(model.devices)
    with watch.following(model.network):
        for number, step in enumerate(study.steps, start=1):
            log.info("[%d/%d] %s", number, len(study.steps), step.id)
            lost = [name for name in steps_read(step) if name in failed]
            if lost:
                failed[step.id] = failed[lost[0]]
                continue
            try:
                values[step.id] = _step(
                    step, current, model, contrasts_of(sets), values, beside, watch
                )
            except ContrastError as error:
                failed[step.id] = str(error)
            except ModelError as error:
                failed[step.id] = str(error)
                if not _still_decides(study, failed):
                    raise
            _count(step.id, values.get(step.id))
            _release(study, number, values)
    for reason, names in _by_reason(failed).items():
        log.warning("Did not run: %s. %s", ", ".join(names), reason)
    return values, failed


def _release(study: Study, number: int, values: dict[str, Value]) -> None:
    """Let go of weight scores and directions that no step after this one reads.

    Their table stays. At four bytes a weight and set they would be the largest thing in memory
    until the end.
    """
    later = {name for step in study.steps[number:] for name in steps_read(step)}
    later |= {name for claim in study.claims for name in claim.parts.values()}
    for name, value in values.items():
        if isinstance(value, WeightScores | Subspaces) and name not in later:
            values[name] = table_of(value)


def _still_decides(study: Study, failed: Mapping[str, str]) -> bool:
    """Whether a claim is left that needs none of the steps that this model does not allow.

    Of a study without claims, whether a step is left. An audit of a packed model goes on without
    its weights; a study of nothing else ends.
    """
    lost = set(failed)
    for step in study.steps:
        if lost.intersection(steps_read(step)):
            lost.add(step.id)
    if not study.claims:
        return any(step.id not in lost for step in study.steps)
    return any(claim.deciding() not in lost for claim in study.claims)


def _by_reason(failed: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in failed.items():
        reasons.setdefault(reason, []).append(name)
    return reasons


def _step(
    step: Step,
    current: Run,
    model: Model,
    contrasts: Mapping[str, Contrast],
    values: Mapping[str, Value],
    beside: Callable[[str], Model],
    watch: Watch,
) -> Value:
    key = digest_value([current.plan["hash"], step.model_dump(mode="json")])
    done = kept(current, step.id, key)
    if done is not None:
        return done
    nouns = [noun(wire, step, contrasts, values, beside) for wire in step.wires]
    module, name = METHODS[step.do].function.split(":")
    function = getattr(importlib.import_module(f"interlock.methods.{module}"), name)
    started = time.monotonic()
    watch.start()
    with shards_in(current.shards(step.id, key)):
        value: Value = function(model, *nouns, **options(step))
    table = table_of(value)
    record = {
        "id": step.id,
        "do": step.do,
        "key": key,
        "type": type(value).__name__,
        "sha256": current.save_table(step.id, table),
        "seconds": round(time.monotonic() - started, 2),
        "memory": watch.stop(),
        "about": dict(table.about),
        **keep(current, step.id, key, value),
    }
    current.save_json(f"steps/{step.id}.json", record)
    return value


def _count(name: str, value: Value | None) -> None:
    """Say what a step dropped, cut off or could not decide."""
    if isinstance(value, Table) and "finish" in value.columns:
        cut = int((value["finish"] == "length").sum())
        unsure = int((value["observed"] == "undetermined").sum())
        if cut:
            log.warning("%s: %d of %d replies were cut off by the limit.", name, cut, len(value))
        if unsure:
            log.warning("%s: %d of %d replies could not be judged.", name, unsure, len(value))
    about = {} if value is None else value.about
    dropped = about.get("pairs dropped (not aligned)", "0")
    if dropped != "0":
        log.warning("%s: %s pairs are not aligned and were left out.", name, dropped)
