"""A run is a sealed folder: plan first, tables as they come, manifest last, every file digested.

::

    plan.json              the resolved study, what was given by hand, the rules; hashed
    protocol.json          model, revision, device, template, decoding, judge, versions
    steps/ID.json          a finished step: its key, its table's digest, how long it took
    shards/                finished units of the step in hand; removed when the run is sealed
    tables/NAME.parquet    long tables with units and provenance, and the same as .csv
    verdicts.json          what may be concluded
    log.jsonl              notices: what was dropped, halved, or could not run
    report.html
    manifest.json          sha256 of every file above; written last
"""

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from interlock.errors import RunError, TamperedError
from interlock.files import (
    PROBE,
    append_line,
    digest_file,
    read_json,
    write_bytes,
    write_json,
    write_text,
)
from interlock.tables import Table, csv_text

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Run:
    """A run's folder, read or written through this value only."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def sealed(self) -> bool:
        """Whether the run is complete."""
        return (self.folder / MANIFEST).is_file()

    @property
    def plan(self) -> dict[str, Any]:
        """The resolved study, what was given by hand, the rules, and their hash."""
        return read_json(self.folder / "plan.json")

    @property
    def protocol(self) -> dict[str, str]:
        """How the numbers were made, key to text."""
        return read_json(self.folder / "protocol.json")

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """The verdicts as JSON values."""
        return read_json(self.folder / "verdicts.json")

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The finished steps in the plan's order."""
        order = [step["id"] for step in self.plan["study"]["steps"]]
        paths = [self.folder / "steps" / f"{name}.json" for name in order]
        return [read_json(path) for path in paths if path.is_file()]

    @property
    def tables(self) -> Mapping[str, Table]:
        """Every table by name."""
        paths = sorted((self.folder / "tables").glob("*.parquet"))
        return {path.name.removesuffix(".parquet"): read_table(path) for path in paths}

    def table(self, name: str) -> Table:
        """One table by name."""
        return read_table(self.folder / "tables" / f"{name}.parquet")

    @property
    def notices(self) -> list[str]:
        """What was counted and must be shown, each once."""
        path = self.folder / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return list(dict.fromkeys(json.loads(line)["notice"] for line in lines))

    def finished_run(self) -> "Run":
        """This run, if it got as far as its verdicts.

        Raises:
            RunError: it did not.
        """
        if not (self.folder / "verdicts.json").is_file():
            raise RunError(f"{self.folder} has not finished: run the same command again to go on.")
        return self

    def note(self, notice: str) -> None:
        """Add a notice to the log."""
        append_line(self.folder / "log.jsonl", json.dumps({"notice": notice}))

    def save_table(self, name: str, table: Table) -> str:
        """Write a table as parquet and CSV; the parquet file's sha256 comes back."""
        path = self.folder / "tables" / f"{name}.parquet"
        write_bytes(path, _parquet(table))
        write_text(path.with_suffix(".csv"), csv_text(table))
        return digest_file(path)

    def save_json(self, name: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """Write one of the run's JSON files."""
        write_json(self.folder / name, value)

    def finished(self, step: str, key: str) -> dict[str, Any] | None:
        """The record of a step done under this key whose table is whole, else None."""
        path = self.folder / "steps" / f"{step}.json"
        if not path.is_file():
            return None
        try:
            record = read_json(path)
        except RunError:
            return None  # damaged: the step is done again
        table = self.folder / "tables" / f"{step}.parquet"
        whole = table.is_file() and digest_file(table) == record["sha256"]
        return record if record["key"] == key and whole else None

    def shards(self, step: str, key: str) -> Path:
        """Where a step keeps its finished units of work; another key has another folder."""
        return self.folder / "shards" / f"{step}-{key[:12]}"

    def seal(self) -> None:
        """Drop the shards and write the manifest: the run is complete and read-only from here."""
        shutil.rmtree(self.folder / "shards", ignore_errors=True)
        for part in self.folder.rglob("*.part"):
            part.unlink(missing_ok=True)
        digests = {
            str(path.relative_to(self.folder)): digest_file(path) for path in _files(self.folder)
        }
        self.save_json(MANIFEST, {"schema": 1, "plan": self.plan["hash"], "files": digests})


def start(folder: Path, plan: Mapping[str, Any]) -> Run:
    """A run for a plan: a new one, or the same one to go on with.

    Raises:
        RunError: the folder holds something else, or cannot be written.
        TamperedError: the folder holds this run, sealed, and was changed since.
    """
    run = Run(folder)
    if (folder / "plan.json").is_file():
        if run.plan["hash"] != plan["hash"]:
            raise RunError(
                f"{folder} holds another study (plan {run.plan['hash'][:8]}, now "
                f"{plan['hash'][:8]}). Choose another folder with --out."
            )
        if run.sealed:
            verify(folder)
        return run
    if folder.exists() and (not folder.is_dir() or any(_lasting(folder))):
        raise RunError(f"{folder} exists and is not a run. Choose another folder with --out.")
    run.save_json("plan.json", dict(plan))
    return run


def read(folder: Path) -> Run:
    """An existing run.

    Raises:
        RunError: the folder is not a run.
    """
    if not (folder / "plan.json").is_file():
        raise RunError(f"{folder} is not a run: it has no plan.json.")
    return Run(folder)


def verify(folder: Path) -> int:
    """Check every file of a sealed run against its manifest; how many were checked.

    Raises:
        RunError: the run is not sealed.
        TamperedError: a file was changed, added or removed; the first few are named.
    """
    run = read(folder)
    if not run.sealed:
        raise RunError(f"{folder} is not sealed: it did not finish. Run the same command again.")
    recorded = read_json(folder / MANIFEST)["files"]
    present = {str(path.relative_to(folder)): path for path in _files(folder)}
    changed = [
        name
        for name, digest in recorded.items()
        if name not in present or digest_file(present[name]) != digest
    ]
    changed += [name for name in present if name not in recorded]
    if changed:
        raise TamperedError(
            f"{folder} was changed after it was sealed: {', '.join(changed[:3])}"
            f"{' and more' if len(changed) > 3 else ''}. Its numbers cannot be trusted; move it "
            "away and run again."
        )
    return len(recorded)


def read_table(path: Path) -> Table:
    """The table in a parquet file that `Run.save_table` wrote.

    Raises:
        RunError: it is not such a file.
    """
    try:
        found = pq.read_table(path)
        meta = json.loads((found.schema.metadata or {})[b"interlock"])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise RunError(f"{path} is not a table of Interlock's: {error}.") from None
    return Table(found.to_pydict(), meta["units"], meta["about"])


def _lasting(folder: Path) -> list[Path]:
    """What lies in a folder besides the traces of a write that was killed."""
    return [path for path in folder.iterdir() if path.suffix != ".part" and path.name != PROBE]


def _files(folder: Path) -> list[Path]:
    """The files a manifest covers: not itself, not drawings made later, not unfinished writes."""
    skipped = {MANIFEST, "figures", "shards"}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.relative_to(folder).parts[0] not in skipped
        and path.suffix != ".part"
    )


def _parquet(table: Table) -> bytes:
    meta = json.dumps({"units": dict(table.units), "about": dict(table.about)})
    arrow = pa.table({name: list(values) for name, values in table.columns.items()})
    sink = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata({"interlock": meta}), sink)
    return sink.getvalue()
