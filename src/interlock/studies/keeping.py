"""What a step found, on disk: a table always, and tensors where a table cannot hold it.

Sets of weights stay in the run. Scores of weights, two numbers for every weight of the model, and
directions of their outputs do not: they wait among the shards if they are small, and are made again
otherwise when a run that was interrupted goes on; a sealed run keeps their table and the sets
chosen from them.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from interlock import mask, subspaces, weight_scores
from interlock.direction import Direction
from interlock.direction import from_table as direction_from_table
from interlock.direction import save as save_direction
from interlock.errors import RunError
from interlock.files import digest_file
from interlock.mask import Mask
from interlock.run import Run
from interlock.scores import from_table as scores_from_table
from interlock.studies.evidence import Value
from interlock.subspaces import Subspaces
from interlock.tables import Table
from interlock.weight_scores import WeightScores

log = logging.getLogger("interlock")

_MOST_BYTES = 4 * 2**30  # of weight scores, to be kept while a run lasts
_FROM_TABLE: Mapping[str, Callable[[Table], Value]] = {
    "Table": lambda table: table,
    "Scores": scores_from_table,
    "Direction": direction_from_table,
}


def table_of(value: Value) -> Table:
    """What a step found as a table."""
    return value if isinstance(value, Table) else value.table()


def keep(current: Run, step: str, key: str, value: Value) -> dict[str, Any]:
    """Write what a table cannot hold; what to add to the step's record comes back."""
    path = current.folder / "tensors" / f"{step}.safetensors"
    if isinstance(value, Direction):
        save_direction(value, path)
    elif isinstance(value, Mask):
        mask.save(value, path)
        return {"tensors": digest_file(path)}
    elif isinstance(value, WeightScores) and _bytes(value) <= _MOST_BYTES:
        waiting = _waiting(current, step, key)
        weight_scores.save(value, waiting)
        return {"tensors": digest_file(waiting)}
    elif isinstance(value, Subspaces) and _bytes(value) <= _MOST_BYTES:
        waiting = _waiting(current, step, key)
        subspaces.save(value, waiting)
        return {"tensors": digest_file(waiting)}
    return {}


def kept(current: Run, step: str, key: str) -> Value | None:
    """What a finished step found, or None if it has to be done (again)."""
    record = current.finished(step, key)
    if record is None:
        return None
    if record["type"] in _FROM_TABLE:
        return _FROM_TABLE[record["type"]](current.table(step))
    if record["type"] == "Mask":
        return _whole(current.folder / "tensors" / f"{step}.safetensors", record, mask.load)
    load = subspaces.load if record["type"] == "Subspaces" else weight_scores.load
    return _whole(_waiting(current, step, key), record, load)


def _whole(path: Path, record: Mapping[str, Any], load: Callable[[Path], Value]) -> Value | None:
    if not path.is_file() or digest_file(path) != record.get("tensors"):
        log.info("%s is made again.", record["id"])
        return None
    try:
        return load(path)
    except RunError:
        return None


def _waiting(current: Run, step: str, key: str) -> Path:
    return current.shards(step, key) / "scores.safetensors"


def _bytes(value: WeightScores | Subspaces) -> int:
    if isinstance(value, Subspaces):
        return sum(each.basis.nbytes for each in value.parts.values())
    return sum(each.nbytes for each in value.halves.values())
