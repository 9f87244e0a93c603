"""Work in shards: what is done is on disk, what a killed run left is not done again.

Methods call `each` over their units of work. Inside a run every unit's answer is written to a shard
at once and read back when the same step runs again; outside a run nothing is written. Progress with
time left goes to the terminal, and to nothing when there is none.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from interlock.errors import RunError
from interlock.files import read_json, redacted, write_json

Item = TypeVar("Item")

_folder: ContextVar[Path | None] = ContextVar("shard_folder", default=None)


@dataclass(frozen=True)
class Shards:
    """A folder of finished units of work; a folder belongs to one step with one exact setting."""

    folder: Path

    def read(self, name: str) -> Any | None:  # noqa: ANN401 - any JSON value
        """The stored answer, or None; a damaged shard counts as absent."""
        path = self.folder / f"{name}.json"
        try:
            return read_json(path) if path.is_file() else None
        except RunError:
            return None

    def write(self, name: str, answer: Any) -> None:  # noqa: ANN401 - any JSON value
        """Store an answer, whole or not at all."""
        write_json(self.folder / f"{name}.json", answer)


@contextmanager
def shards_in(folder: Path) -> Iterator[None]:
    """Keep the shards of the work done inside in a folder."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def each(label: str, items: Sequence[Item], compute: Callable[[Item], Any]) -> list[Any]:
    """`compute` of every item, in order, as JSON values; finished items are read, not computed.

    Args:
        label: names the progress bar and the shards; unique within a step.
        items: the units of work.
        compute: gives a JSON value; floats survive exactly.
    """
    folder = _folder.get()
    shards = None if folder is None else Shards(folder)
    answers = []
    for number, item in enumerate(tqdm(items, desc=label, disable=None, leave=False)):
        name = f"{label.replace(' ', '-')}-{number:05d}"
        answer = None if shards is None else shards.read(name)
        if answer is None:
            # the same value whether it was computed now or read back
            answer = json.loads(redacted(json.dumps(compute(item))))
            if shards is not None:
                shards.write(name, answer)
        answers.append(answer)
    return answers
