"""`interlock judge`: what a judge is worth, and judging replies that exist already."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock.cli.options import AsJson
from interlock.cli.output import quiet, say
from interlock.errors import JudgeError, RunError, TranscriptError

if TYPE_CHECKING:
    from interlock.agreement import Agreement, Correction
    from interlock.judges import Judge
    from interlock.judges.validity import Checked
    from interlock.stats import Estimate
    from interlock.tables import Table
    from interlock.transcripts import Turn

judge_app = typer.Typer(
    help="Judge replies, and find out what a judge is worth.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_ALL, _MACRO = "all", "all, macro"

Files = Annotated[list[Path], typer.Argument(help="CSV, TSV, JSON, JSONL, Parquet or .eval.")]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        help="interlock or another set of rules, wildguard, model:FOLDER, ...; may be repeated, "
        "the first decides.",
        show_default=False,
    ),
]
Form = Annotated[str, typer.Option("--format", help="auto, table, arditi, jbb, lm-eval, ...")]
ReplyColumn = Annotated[
    str, typer.Option("--reply", help="Column of the replies, if not found by its name.")
]


@judge_app.command("validate")
def judge_validate(
    files: Files,
    label: Annotated[str, typer.Option(help="Column of human labels; found by its name.")] = "",
    judge: Names = None,
    by: Annotated[str, typer.Option(help="Column to report by; files if there is none.")] = "model",
    form: Form = "auto",
    reply: ReplyColumn = "",
    as_json: AsJson = False,
) -> None:
    """Compare judges with human labels: accuracy, kappa, sensitivity, specificity."""
    turns, labels = _labelled(files, form, label, reply)
    judges = _judges(judge or [], turns)
    judged = _judged(judges, turns)
    groups = _groups(turns, by)
    from interlock.agreement import crossed, disagreement
    from interlock.judges.validity import check, check_by_group

    clusters = [turn.cluster for turn in turns]
    totals = {name: check(said, labels, clusters) for name, said in judged.items()}
    per = {
        name: check_by_group(said, labels, clusters, groups) if len(set(groups)) > 1 else {}
        for name, said in judged.items()
    }
    unlike = disagreement(judged, clusters)
    first = judges[0].name
    if as_json:
        answer = {
            "judge": first,
            "files": [str(path) for path in files],
            **totals[first].plain(),
            "per_model": {group: found.plain() for group, found in per[first].items()},
            "per_judge": {name: found.plain() for name, found in totals.items()},
            "about": {each.name: each.about for each in judges},
            "disagreement": _finite(unlike),
            "crossed": list(crossed(judged).rows()),
        }
        say(json.dumps(answer))
        return
    for each in judges:
        say(f"Judge: {each.name}, {each.about}.")
        _say_checked({_ALL: totals[each.name], **per[each.name]})
    _say_disagreement(unlike)


@judge_app.command("replies")
def judge_replies(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON, JSONL, Parquet or .eval.")],
    form: Form = "auto",
    judge: Names = None,
    by: Annotated[str, typer.Option(help="Column to report by.")] = "category",
    labels: Annotated[
        Path | None, typer.Option(help="Labelled replies: rates are corrected by them.")
    ] = None,
    reply: ReplyColumn = "",
    out: Annotated[
        Path | None, typer.Option(help="Replies with every judge's outcome: .jsonl, .csv, .parquet")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge replies that a file holds: refusal rates, by category, with intervals."""
    from interlock import transcripts

    turns = transcripts.read(file, form, {"reply": reply} if reply else None)
    judges = _judges(judge or [], turns)
    judged = _judged(judges, turns)
    known = None if labels is None else _agreement_with(labels, judges[0])
    if out is not None:
        _write_judged(out, turns, judged)
    from interlock.agreement import disagreement
    from interlock.judges.validity import statement

    rows = _rates(turns, judged[judges[0].name], by, known)
    unlike = disagreement(judged, [turn.cluster for turn in turns])
    worth = statement(judges[0].name)
    if as_json:
        answer = {
            "judge": judges[0].name,
            "n": len(turns),
            "rates": rows,
            "disagreement": _finite(unlike),
            "about": {each.name: each.about for each in judges},
            "validity": worth,
        }
        say(json.dumps(answer))
        return
    say(f"Judge: {judges[0].name}, {judges[0].about}. {len(turns):,} replies.")
    for row in rows:
        say(_rate_line(row))
    _say_disagreement(unlike)
    say(f"Validity: {worth}.")


@judge_app.command("export")
def judge_export(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="jsonl, parquet, csv, arditi, jbb, lm-eval, harmbench, inspect (.eval, .json).",
        ),
    ] = "jsonl",
    step: Annotated[str, typer.Option(help="The step whose replies are written.")] = (
        "behaviour.replies"
    ),
) -> None:
    """Write a run's replies for another tool."""
    from interlock import transcripts
    from interlock.run import read

    found = read(run)
    tables = {name: table for name, table in found.tables.items() if "reply" in table.columns}
    if step not in tables:
        raise RunError(
            f"{run} has no replies of a step '{step}'. Steps with replies: "
            f"{', '.join(tables) or 'none'}."
        )
    protocol = found.protocol if (run / "protocol.json").is_file() else {}
    columns = ("id", "prompt", "reply", "category")
    turns = [
        transcripts.Turn(
            **{name: str(row[name]) for name in columns},
            model=protocol.get("model", ""),
            extra={name: str(cell) for name, cell in row.items() if name not in columns},
        )
        for row in tables[step].rows()
    ]
    transcripts.write(out, turns, form, protocol)
    say(f"{out}: {len(turns):,} replies as {form}.")
    if protocol.get("judge"):
        say(f"Judge of 'observed': {protocol['judge']}.")


def _labelled(
    files: Sequence[Path], form: str, label: str, reply: str
) -> tuple[list["Turn"], list[Any]]:
    """The replies of all files with their labels; a file without a model column is a model."""
    from interlock import transcripts

    turns: list[Turn] = []
    labels: list[Any] = []
    for path in files:
        read = transcripts.read(path, form, {"reply": reply} if reply else None)
        column = label or transcripts.label_column(read, str(path))
        labels += transcripts.labels_of(read, column, str(path))
        turns += [turn if turn.model else replace(turn, model=path.stem) for turn in read]
    return turns, labels


def _judges(names: Sequence[str], turns: Sequence["Turn"]) -> "tuple[Judge, ...]":
    """The judges asked for, the default one if none; each must have what it needs."""
    from interlock.judges import DEFAULT, judges_named
    from interlock.judges.specs import parse_spec

    specs = [parse_spec(name) for name in names or [DEFAULT]]
    if any(spec.model for spec in specs):
        quiet()
    found = judges_named(names or [DEFAULT])
    for judge in found:
        if judge.needs_prompt and not any(turn.prompt for turn in turns):
            raise JudgeError(f"Judge '{judge.name}' reads the prompts too; the replies have none.")
    return found


def _judged(judges: "Sequence[Judge]", turns: Sequence["Turn"]) -> dict[str, list[str]]:
    """Every judge's outcomes; the first must have some."""
    from interlock.judges import Asked, require_answers

    exchanges = [Asked(turn.reply, turn.prompt) for turn in turns]
    found = {judge.name: judge.judge(exchanges) for judge in judges}
    require_answers(judges[0], found[judges[0].name])
    return {name: [str(each.outcome) for each in said] for name, said in found.items()}


def _groups(turns: Sequence["Turn"], by: str) -> list[str]:
    """What to report by: a noun of every reply, or one of the file's other columns."""
    if by in ("model", "category", "id"):
        return [getattr(turn, by) or "none" for turn in turns]
    if not any(by in turn.extra for turn in turns):
        found = ", ".join(dict.fromkeys(name for turn in turns for name in turn.extra))
        raise TranscriptError(f"No column '{by}'. Columns: model, category, id, {found}.")
    return [turn.extra.get(by, "") or "none" for turn in turns]


def _agreement_with(path: Path, judge: "Judge") -> "Agreement":
    """The first judge against the labelled replies in a file."""
    from interlock.judges.validity import check

    turns, labels = _labelled([path], "auto", "", "")
    said = _judged([judge], turns)[judge.name]
    return check(said, labels, [turn.cluster for turn in turns]).agreement


def _rates(
    turns: Sequence["Turn"],
    said: Sequence[str],
    by: str,
    known: "Agreement | None",
) -> list[dict[str, Any]]:
    """Refusal by group and over all; refusals are full and partial ones."""
    import numpy as np

    from interlock.agreement import OUTCOMES, REFUSALS, corrected, tally
    from interlock.stats import by_group, macro, rate

    outcomes = np.asarray(said, dtype=str)
    clusters = np.asarray([turn.cluster for turn in turns], dtype=object)
    groups = by_group(_groups(turns, by))

    def row(group: str, rows: Any, estimate: "Estimate") -> dict[str, Any]:  # noqa: ANN401
        here = outcomes[rows]
        counts = {name: int((here == name).sum()) for name in OUTCOMES}
        found = {"group": group, "refusal": estimate.value, "low": estimate.low}
        found |= {"high": estimate.high, "n": estimate.n, **counts, "interval": estimate.how}
        if known is not None and group != _MACRO:
            called = tally(np.isin(here, REFUSALS), list(clusters[rows]))
            better = corrected(called, known.called_right, known.called_wrong)
            found["corrected"] = None if better.estimate is None else vars(better.estimate)
            found["not_corrected_because"] = better.why
        return found

    every = np.arange(len(outcomes))
    single = {
        name: rate(np.isin(outcomes[rows], REFUSALS), list(clusters[rows]))
        for name, rows in groups.items()
    }
    total = rate(np.isin(outcomes, REFUSALS), list(clusters))
    found = [row(name, groups[name], estimate) for name, estimate in single.items()]
    found.append(row("all, micro", every, total))
    if len(single) > 1:
        found.append(row(_MACRO, every, macro(list(single.values()))))
    return found


def _write_judged(path: Path, turns: Sequence["Turn"], judged: Mapping[str, Sequence[str]]) -> None:
    from interlock import transcripts

    form = path.suffix.removeprefix(".").lower()
    if form not in ("jsonl", "csv", "parquet"):
        raise TranscriptError(f"{path}: name a .jsonl, .csv or .parquet file.")
    columns = {f"judge.{name}": said for name, said in judged.items()}
    rows = [
        replace(turn, extra={**turn.extra, **{name: said[row] for name, said in columns.items()}})
        for row, turn in enumerate(turns)
    ]
    transcripts.write(path, rows, form)


def _finite(table: "Table") -> list[dict[str, Any]]:
    """The rows for JSON, which has no nan."""
    return [
        {name: None if cell != cell else cell for name, cell in row.items()} for row in table.rows()
    ]


def _say_checked(groups: "Mapping[str, Checked]") -> None:
    width = max(5, *(len(group) for group in groups))
    for group, found in groups.items():
        numbers = "  ".join(
            f"{name} {_text(estimate)}" for name, estimate in found.agreement.estimates().items()
        )
        say(f"  {group:{width}}  n {found.agreement.n}  {numbers}")
        lost = f"; {found.agreement.undetermined} undetermined" * bool(found.agreement.undetermined)
        say(
            f"  {'':{width}}  refusal rate: labels {_text(found.labelled)}, judge "
            f"{_text(found.naive)}, corrected {_correction(found.corrected)}{lost}"
        )
        if found.transferred is not None:
            say(
                f"  {'':{width}}  corrected by the other models' labels alone: "
                f"{_correction(found.transferred)}{_missed(found)}"
            )


def _correction(found: "Correction") -> str:
    return f"not given: {found.why}" if found.estimate is None else _text(found.estimate)


def _missed(found: "Checked") -> str:
    """A warning where other models' labels lead away from what this one's own say."""
    estimate = None if found.transferred is None else found.transferred.estimate
    if estimate is None or estimate.low <= found.labelled.value <= estimate.high:
        return ""
    return " (misses the labels' rate: this judge's errors differ from model to model)"


def _say_disagreement(table: "Table") -> None:
    for row in table.rows():
        say(
            f"{row['judge']} and {row['other']} judge {row['unlike']:.3f} [{row['low']:.3f}, "
            f"{row['high']:.3f}] of {row['n']:,} replies unlike, kappa {row['kappa']:.3f}."
        )


def _rate_line(row: Mapping[str, Any]) -> str:
    line = (
        f"  {row['group']:28}  refusal {row['refusal']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  "
        f"n {row['n']:,}  refuse {row['refuse']}, partial {row['partial']}, comply "
        f"{row['comply']}, undetermined {row['undetermined']}"
    )
    if "corrected" not in row:
        return line
    better = row["corrected"]
    if better is None:
        return f"{line}  not corrected: {row['not_corrected_because']}"
    return f"{line}  corrected {better['value']:.3f} [{better['low']:.3f}, {better['high']:.3f}]"


def _text(found: "Estimate") -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
