"""Labels of replies from a file, and which of a run's replies they speak of.

A file with replies of its own is a sample of what a judge has to judge: the judge is asked about
those replies. A file without replies labels what the model under study said, found by the prompt's
id or, where the file has none that is known, by the prompt itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from interlock.datasets.records import shown
from interlock.errors import TranscriptError
from interlock.refusals import Outcome
from interlock.transcripts.turns import Turn, label_column, labels_of


@dataclass(frozen=True)
class Labelled:
    """The rows of a file that have a label.

    Attributes:
        name: of the file.
        turns: prompt and reply of each; replies are empty where the file has none.
        labels: what was seen in each, full refusals and partial ones apart.
        replies: whether the file has a column of replies.
    """

    name: str
    turns: tuple[Turn, ...]
    labels: tuple[Outcome, ...]
    replies: bool


def read_labels(path: Path) -> Labelled:
    """The labels in a file; its column of labels is found by its name.

    Raises:
        TranscriptError: no column of labels, none or unknown ones in it, or rows that say neither
            what was replied nor to which prompt.
        ContrastError: the file is missing, empty, not UTF-8, or malformed.
    """
    from interlock.transcripts import read
    from interlock.transcripts.tabular import read_prompts

    try:
        turns, replies = read(path), True
    except TranscriptError as error:
        if "no column of replies" not in str(error):
            raise
        turns, replies = read_prompts(path), False
    found = labels_of(turns, label_column(turns, str(path)), str(path))
    pairs: list[tuple[Turn, Outcome]] = [
        (turn, label) for turn, label in zip(turns, found, strict=True) if label is not None
    ]
    return Labelled(
        path.name,
        tuple(turn for turn, _ in pairs),
        tuple(label for _, label in pairs),
        replies,
    )


def labels_by_prompt(labelled: Labelled, prompts: Mapping[str, str]) -> dict[str, Outcome]:
    """What the labels say of a model's replies, by the id of the prompt.

    Args:
        labelled: labels of a file without replies.
        prompts: id to prompt, of those that were put to the model.

    Raises:
        TranscriptError: none of them is labelled, or one is labelled in two ways.
    """
    by_prompt: dict[str, list[str]] = {}
    for name, prompt in prompts.items():
        by_prompt.setdefault(prompt.strip(), []).append(name)
    by_id = any(turn.id in prompts for turn in labelled.turns)
    found: dict[str, Outcome] = {}
    for turn, label in zip(labelled.turns, labelled.labels, strict=True):
        named = [turn.id] if turn.id in prompts else []
        for name in named if by_id else by_prompt.get(turn.prompt.strip(), []):
            if found.setdefault(name, label) != label:
                raise TranscriptError(
                    f"{labelled.name}: {shown(turn.prompt or turn.id)} is labelled both "
                    f"{found[name]} and {label}."
                )
    if not found:
        raise TranscriptError(
            f"{labelled.name} labels none of the {len(prompts):,} prompts of this step, by id or "
            "by prompt; with a column of replies it may speak of others."
        )
    return found
