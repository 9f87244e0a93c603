"""How a run was made, in words: model, prompts, judge, statistics, versions, memory."""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
import transformers

from interlock.config import Study
from interlock.datasets import Sets
from interlock.encoding import template_name
from interlock.errors import InterlockError
from interlock.files import digest_file
from interlock.judges.validity import statements
from interlock.loading import Settled
from interlock.measures import JUDGE
from interlock.memory import in_words
from interlock.model import Model
from interlock.run import Run
from interlock.stats import CONFIDENCE, RESAMPLES


def protocol_of(
    study: Study, given: Sequence[str], sets: Sets, settled: Settled, model: Model
) -> dict[str, str]:
    """What decided the numbers, in reading order."""
    shape = model.shape
    return {
        "model": model.name,
        "revision": settled.revision,
        "family": model.architecture.family,
        "shape": ", ".join(
            f"{value} {name}" for name, value in asdict(shape).items() if isinstance(value, int)
        ),
        "device": str(model.device),
        "dtype": str(settled.dtype).removeprefix("torch."),
        "chat template": template_name(model, study.prompts.system),
        "prompts": "; ".join(
            f"{study.prompts.name}.{name}: {len(each.expecting('refuse'))} harmful, "
            f"{len(each.expecting('comply'))} harmless, sha256 {each.digest[:12]}"
            for name, each in sets.splits.items()
        ),
        "passages": f"{len(sets.passages.examples)} neutral passages, "
        f"{len(sets.lookalikes.examples)} look-alikes",
        "splits": "sites are selected on find, estimates and verdicts come from check; "
        + sets.rule,
        "judge": f"{JUDGE}; {statements(judges_of(study))}",
        **_labels(study),
        "opening score": "log odds (nat) of tokens that open this model's own refusals against "
        "those that open its compliance, at the first reply token",
        "statistics": f"{CONFIDENCE:.0%} intervals; Wilson on n over the design effect for rates; "
        f"{RESAMPLES} bootstrap resamples of topics for effects",
        "budget": study.budget,
        "set by hand": " ".join(given) or "nothing",
        "versions": f"python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def judges_of(study: Study) -> list[str]:
    """The judges that steps name, as written."""
    return [name for step in study.steps for name in step.options.get("judges", ())]


def _labels(study: Study) -> dict[str, str]:
    """Whose labels corrected the rates, if any did."""
    files = [f"{path}, sha256 {digest[:12]}" for path, digest in labels_of(study).items()]
    said = "rates are also given with the judge's errors by these labels taken out: "
    return {"labels": said + "; ".join(files)} if files else {}


def labels_of(study: Study) -> dict[str, str]:
    """Digests of the files of labels that steps name, by path."""
    paths = dict.fromkeys(str(step.options.get("labels") or "") for step in study.steps)
    return {path: digest_file(Path(path).expanduser()) for path in paths if path}


def files_of(study: Study) -> dict[str, str]:
    """Digests of the files that steps read replies, texts or suffixes from, by path."""
    options = ("file", "text", "suffixes")
    paths = [str(step.options.get(name) or "") for step in study.steps for name in options]
    return {path: _digest(path) for path in dict.fromkeys(paths) if path}


def _digest(path: str) -> str:
    found = Path(path).expanduser()
    if not found.is_file():
        raise InterlockError(f"No file {path}.")
    return digest_file(found)


def memory_used(current: Run, model: Model) -> str:
    """What the weights take and what the steps used, for the protocol."""
    weights = sum(each.nbytes for each in model.network.parameters())
    looks = [(each["memory"], str(each["id"])) for each in current.steps if "memory" in each]
    said = f"weights {in_words(weights)} on {', '.join(map(str, model.devices))}"
    if not looks:
        return said
    most, name = max(looks, key=lambda each: each[0]["peak"])
    return (
        f"{said}; at most {in_words(most['peak'])} (step {name}) of {in_words(most['total'])}, "
        f"{in_words(looks[-1][0]['used'])} after the last step"
    )
