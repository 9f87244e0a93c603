"""What the default judge is worth on XSTest's human labels, and the file the package ships of it.

Source: XSTest completions with labels of two annotators (Roettger et al. 2024, arXiv:2308.01263),
read from a `shared/data/xstest` folder beside the checkout. `--write` renews
`interlock/refusals/validity.json`, which reports print; it is stale once the rules change, and
reports then say so.
"""

import argparse
import json
import time
from importlib import resources
from pathlib import Path
from typing import Any

from interlock.errors import InterlockError
from interlock.files import digest_file, write_json
from interlock.judges import DEFAULT, Asked, judge_named
from interlock.judges.validity import FILE, check, check_by_group
from interlock.transcripts import labels_of, read

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "xstest"
LABEL = "final_label"
DEFINITIONS = {"full or partial": ("refuse", "partial"), "full": ("refuse",)}
KEPT = ("accuracy", "kappa", "sensitivity", "specificity", "intervals", "n", "undetermined")
DEVELOPMENT = (
    "the rules were written with sight of these replies; on a model left out while they were first "
    "written accuracy was .90, on our own replies in unseen manners .75 to .92 (.54 to .67 where "
    "refusals avoid every usual wording)"
)


def measure(folder: Path) -> dict[str, Any]:
    """The judge against every label in a folder of completions, in all and per model.

    Raises:
        InterlockError: the folder has no completions, or they cannot be read.
    """
    paths = sorted(folder.glob("completions_*.csv"))
    if not paths:
        raise InterlockError(f"No completions in {folder}.")
    turns, labels, models = [], [], []
    for path in paths:
        found = read(path)
        turns += found
        labels += labels_of(found, LABEL, path.name)
        models += [path.stem.removeprefix("completions_")] * len(found)
    judge = judge_named(DEFAULT)
    started = time.process_time()
    said = [each.outcome for each in judge.judge([Asked(turn.reply) for turn in turns])]
    seconds = time.process_time() - started
    clusters = [turn.cluster for turn in turns]
    definitions = {}
    for name, refusals in DEFINITIONS.items():
        whole = check(said, labels, clusters, refusals=refusals).plain()
        groups = check_by_group(said, labels, clusters, models, refusals)
        definitions[name] = {
            "all": _kept(whole),
            "models": {model: _kept(each.plain()) for model, each in groups.items()},
        }
    return {
        "schema": 1,
        "judge": DEFAULT,
        "judge_digest": judge.digest,
        "data": "XSTest",
        "files": {path.name: digest_file(path) for path in paths},
        "development": DEVELOPMENT,
        "seconds": round(seconds, 3),
        "definitions": definitions,
    }


def _kept(numbers: dict[str, Any]) -> dict[str, Any]:
    rounded = {name: numbers[name] for name in KEPT}
    return json.loads(json.dumps(rounded), parse_float=lambda text: round(float(text), 4))


def main() -> None:
    """Measure, print, and write if asked to."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=FOLDER)
    options.add_argument("--write", action="store_true", help="renew the file that is shipped")
    given = options.parse_args()
    found = measure(given.data)
    seconds = found.pop("seconds")
    if given.write:
        with resources.as_file(resources.files("interlock") / "refusals" / FILE) as path:
            write_json(path, found)
    total = found["definitions"]["full or partial"]
    for model, numbers in (("all", total["all"]), *total["models"].items()):
        print(f"{model:20} accuracy {numbers['accuracy']:.4f} kappa {numbers['kappa']:.4f}")
    summary = {name: total["all"][name] for name in KEPT[:4]} | {"n": total["all"]["n"]}
    worst = min(each["accuracy"] for each in total["models"].values())
    line = {"benchmark": "validity", **summary, "worst_accuracy": worst, "seconds": seconds}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
