"""`interlock calibrate`: every method on models whose mechanism is known."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.options import AsJson
from interlock.cli.output import quiet, say
from interlock.errors import InterlockError


def calibrate(
    methods: Annotated[
        str | None, typer.Option(help="Names of methods, with commas; all if not given.")
    ] = None,
    suite: Annotated[str, typer.Option(help="small (shipped weights) or full.")] = "small",
    pairs: Annotated[int, typer.Option(help="Minimal pairs that are marked.")] = 64,
    folder: Annotated[
        Path | None, typer.Option(help="Where the full suite's organisms are.")
    ] = None,
    nulls: Annotated[int, typer.Option(help="Null runs of the full suite, at least.")] = 100,
    jobs: Annotated[int | None, typer.Option(help="Models side by side; every core if 0.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the card to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Mark every method on organisms with a known mechanism, and on nulls."""
    if suite not in ("small", "full"):
        raise InterlockError(f"No suite '{suite}'. Known: small, full.")
    if pairs < 8:
        raise InterlockError(f"{pairs} pairs are too few to mark anything; take 8 or more.")
    quiet()
    from tqdm import tqdm

    from interlock.calibrate import Order, full, known, small
    from interlock.calibrate import calibrate as run
    from interlock.files import write_json
    from interlock.sources import trained_organisms

    names = known([name.strip() for name in methods.split(",")] if methods else [])
    home = folder or trained_organisms()
    subjects = small() if suite == "small" else full(home, nulls)
    cores = os.cpu_count() or 1
    with tqdm(total=len(subjects), desc="calibrate", disable=None) as bar:

        def advance(done: int, _: int, name: str) -> None:
            bar.set_postfix_str(name)
            bar.update(done - bar.n)

        # whole studies are judged when nothing is left out
        order = Order(names, pairs, seed=0, verdicts=methods is None)
        workers = min(jobs or cores, len(subjects))
        card = run(subjects, order, suite=suite, jobs=workers, progress=advance)
    if out is not None:
        write_json(out, card)
    say(json.dumps(card) if as_json else _table(card))


def _table(card: dict[str, Any]) -> str:
    """The card for a terminal: a row per method."""
    from interlock.ground_truth import method_line

    heads = ("ap", "worst", "auroc", "prec", "fnr", "fpr", "signs", "passes", "seconds")
    lines = [f"{'method':26}" + "".join(f"{head:>9}" for head in heads)]
    for name, row in card["methods"].items():
        marks = row["marks"]
        shown = [marks.get("ap", {}).get("mean"), marks.get("ap", {}).get("worst")]
        keys = ("auroc", "precision", "false_negatives", "false_positives", "signs")
        shown += [marks.get(key, {}).get("mean") for key in keys]
        cells = [f"{'-':>9}" if each is None else f"{each:9.3f}" for each in shown]
        lines.append(f"{name:26}{''.join(cells)}{row['passes_per_pair']:9.0f}{row['seconds']:9.1f}")
    lines.append("")
    lines += [method_line(name, row) for name, row in card["methods"].items() if row["causal"]]
    lines += [
        f"verdict {rule}: right {each['right']}, wrong {each['wrong']}, inconclusive "
        f"{each['inconclusive']}; supported in {each['nulls_supported']} of {each['nulls']} nulls"
        for rule, each in card["verdicts"].items()
    ]
    kinds = [organism["kind"] for organism in card["organisms"]]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    lines.append(f"suite {card['suite']}: {counts}; {card['pairs']} pairs each; {card['date']}")
    return "\n".join(lines)
