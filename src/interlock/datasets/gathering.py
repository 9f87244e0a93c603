"""Every prompt of a set by name: found, read, labelled, paired, held against what is published."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from interlock.contrast import Expected
from interlock.datasets import built_in, columns, pairs
from interlock.datasets.built_in import BUILT_IN
from interlock.datasets.collecting import without_collecting
from interlock.datasets.duplicates import once, once_joined
from interlock.datasets.reading import TYPES, Sheet, read_sheet, require_readable
from interlock.datasets.records import Gathered, Part, Record, listed, shown
from interlock.datasets.registry import JOINED, KNOWN, Known
from interlock.datasets.safety import about_safety
from interlock.errors import ContrastError

GRAMMAR = "grammar"
NAMES = (GRAMMAR, *BUILT_IN, *JOINED, *KNOWN)
_UNLICENSED = "not known: see where the file came from"


@dataclass(frozen=True)
class Source:
    """Where prompts are read from and how, where a set's name does not say it all.

    Attributes:
        file: one file: a copy of the named set, or any file of prompts.
        folder: holds copies of the named sets under their original names.
        harmful: a file, or the name of a set, whose every prompt ought to be refused.
        harmless: a file, or the name of a set, whose every prompt ought to be answered.
        columns: role to column, such as prompt to goal; an empty column is not used.
        expected: what is expected of every prompt of a file that does not say it.
        drop_safety: leave out instructions about safety (sets with replies, as Alpaca).
    """

    file: str = ""
    folder: str = ""
    harmful: str = ""
    harmless: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    expected: Literal["", "refuse", "comply"] = ""
    drop_safety: bool = False


@dataclass(frozen=True)
class _Wanted:
    """One set or file to read."""

    name: str
    path: Path | None = None
    expected: Expected | None = None


@dataclass(frozen=True)
class _Read:
    """One set or file as read."""

    records: list[Record]
    part: Part
    licence: str
    notes: tuple[str, ...]


def check(name: str, source: Source) -> None:
    """Refuse a name, a file or a mapping that cannot be right, before anything is read.

    Raises:
        ContrastError: what is wrong.
    """
    columns.require_roles(source.columns)
    if name == GRAMMAR:
        if source == Source():
            return
        raise ContrastError(f"{GRAMMAR} is generated: it has no file, folder, columns or labels.")
    if source.folder and not Path(source.folder).expanduser().is_dir():
        raise ContrastError(f"No folder {source.folder}.")
    for each in _wanted(name, source):
        if each.path is not None:
            require_readable(each.path)


@without_collecting()
def gather(name: str, source: Source) -> Gathered:
    """Every usable prompt of a set, of sets joined by `+`, or of a file.

    Raises:
        ContrastError: not found, not readable, or not what the set should be.
    """
    check(name, source)
    read = [_read(each, source) for each in _wanted(name, source)]
    records = [record for each in read for record in each.records]
    notes = tuple(note for each in read for note in each.notes)
    if len(read) > 1:
        single = once_joined(records, name)
        records, notes = single.records, notes + single.notes
    title = "+".join(Path(each).stem if _is_path(each) else each for each in _names(name))
    licences = dict.fromkeys(each.licence for each in read)
    parts = tuple(each.part for each in read)
    return Gathered(title, tuple(pairs.intact(records)), "; ".join(licences), notes, parts)


def prompts_of(name: str, folder: str) -> list[str]:
    """The prompts of a set or of any file of prompts, labelled or not, for comparing texts.

    Raises:
        ContrastError: as `gather`.
    """
    if not _is_path(name):
        return [each.prompt for each in gather(name, Source(folder=folder)).records]
    sheet = read_sheet(Path(name).expanduser())
    found = columns.layout(sheet, {})
    ends = ("harmful", "harmless") if "harmful" in found else ("prompt",)
    return [text for end in ends for text in columns.prompts(sheet, found, end)]


def known_parts(name: str) -> tuple[Known, ...]:
    """The rows of the registry that a name joins; files and sets of our own have none."""
    return tuple(KNOWN[part] for part in _parts(name) if part in KNOWN)


def _parts(name: str) -> list[str]:
    return [part for each in _names(name) for part in JOINED.get(each, (each,))]


def _names(name: str) -> list[str]:
    return [name] if _is_path(name) else [each.strip() for each in name.split("+")]


def _is_path(name: str) -> bool:
    return name not in NAMES and name.lower().endswith(TYPES) and Path(name).expanduser().is_file()


def _wanted(name: str, source: Source) -> list[_Wanted]:
    if source.harmful or source.harmless:
        if source.file or source.expected:
            raise ContrastError("Give either file and expected, or harmful and harmless.")
        ends: tuple[tuple[str, Expected], ...] = (
            (source.harmful, "refuse"),
            (source.harmless, "comply"),
        )
        return [_one(each, label) for text, label in ends if text for each in _parts(text)]
    label = source.expected or None
    if not source.file:
        return [_one(part, label) for part in _parts(name)]
    known = [part for part in _parts(name) if part in (*KNOWN, *BUILT_IN)]
    if len(_parts(name)) > 1 or (known and known[0] in BUILT_IN):
        raise ContrastError(f"file is a copy of one published set; {name} is not one.")
    return [_Wanted(known[0] if known else name, Path(source.file).expanduser(), label)]


def _one(name: str, label: Expected | None) -> _Wanted:
    if name in KNOWN or name in BUILT_IN:
        return _Wanted(name, None, label)
    path = Path(name).expanduser()
    if name.lower().endswith(TYPES) or (name and path.exists()):
        return _Wanted(path.stem, path, label)
    raise ContrastError(f"No set of prompts {shown(name)}. Known: {', '.join(NAMES)}; or a file.")


def _read(wanted: _Wanted, source: Source) -> _Read:
    if wanted.name in KNOWN:
        return _read_known(KNOWN[wanted.name], wanted, source)
    if wanted.path is None:
        sheet, licence = built_in.sheet_of(wanted.name), built_in.LICENCE
        label = _agreed(wanted, built_in.EXPECTED.get(wanted.name))
        return _read_file(sheet, wanted.name, label, source, licence)
    sheet = read_sheet(wanted.path)
    return _read_file(sheet, wanted.name, wanted.expected, source, _UNLICENSED)


def _agreed(wanted: _Wanted, own: Expected | None) -> Expected | None:
    """What a set of known labels expects; what is given may repeat it and not change it."""
    if wanted.expected is not None and wanted.expected != own:
        raise ContrastError(
            f"{wanted.name} is labelled already"
            + (f" ({own})" if own else "")
            + f"; expected={wanted.expected} would contradict it."
        )
    return own


def _read_file(
    sheet: Sheet, name: str, label: Expected | None, source: Source, licence: str
) -> _Read:
    found = columns.layout(sheet, source.columns)
    if label is not None and source.columns.get("expected"):
        raise ContrastError("Give either expected or the label column columns.expected, not both.")
    rows, notes = len(sheet), []
    sheet, note = columns.without_context_input(sheet, found)
    notes += [note] if note else []
    sheet, dropped = _without_safety(sheet, found, source)
    notes += dropped
    if "harmful" in found:
        if label is not None:
            raise ContrastError(f"{sheet.name} is paired, so it says itself what is expected.")
        records = pairs.paired_records(sheet, found)
    else:
        records = columns.single_records(sheet, found, label)
        pairs.require_pairs(records, sheet.name)
    single = once(records, sheet.name)
    part = Part(name, (sheet.name,), (sheet.digest,), rows, single.repeats)
    return _Read(single.records, part, licence, (*notes, *single.notes))


def _read_known(known: Known, wanted: _Wanted, source: Source) -> _Read:
    own = None if known.expected == "by category" else known.expected
    label = _agreed(wanted, own)
    sheets = [read_sheet(path) for path in _located(known, wanted, source)]
    records: list[Record] = []
    notes: list[str] = []
    kept: Counter[str] = Counter()
    for sheet in sheets:
        found = columns.layout(sheet, source.columns, known.columns)
        used, lines = _used_rows(sheet, known)
        used, dropped = _without_safety(used, found, source)
        read = _labelled(used, found, known, label)
        records += read
        kept.update(each.native for each in read)
        notes += [*lines, *dropped]
    _require_categories(known, kept)
    records, more = _paired(records, known)
    single = once(records, known.name)
    differences = _differences(known, sheets, kept, filtered=source.drop_safety)
    part = Part(
        known.name,
        tuple(sheet.name for sheet in sheets),
        tuple(sheet.digest for sheet in sheets),
        sum(map(len, sheets)),
        single.repeats,
        differences,
    )
    return _Read(single.records, part, known.licence, (*notes, *more, *differences, *single.notes))


def _labelled(
    sheet: Sheet, found: Mapping[str, str], known: Known, label: Expected | None
) -> list[Record]:
    """Records of a published set: labelled by its rule, categories as they are compared."""
    unlabelled = {role: name for role, name in found.items() if role != "expected"}
    records = columns.single_records(sheet, unlabelled, label or "comply", known.groups)
    if label is None:
        records = [
            replace(each, expected="refuse" if each.native.startswith("contrast_") else "comply")
            for each in records
        ]
        _require_same_labels(sheet, found, records)
    return records


def _require_same_labels(sheet: Sheet, found: Mapping[str, str], records: list[Record]) -> None:
    """Where a copy has labels as well, they must agree with the rule."""
    if "expected" not in found:
        return
    said = columns.labels(sheet, found, None)
    unlike = [each for each, label in zip(records, said, strict=True) if each.expected != label]
    if unlike:
        raise ContrastError(
            f"{sheet.name}: {len(unlike):,} labels contradict their type; the first is "
            f"{shown(unlike[0].prompt)} ({unlike[0].native})."
        )


def _paired(records: list[Record], known: Known) -> tuple[list[Record], tuple[str, ...]]:
    if known.pairs == "next 25":
        found, note = pairs.next_25(records, [each.pair for each in records])
        return found, (note,) if note else ()
    if known.pairs == "index":
        return pairs.by_index(records, known.family), ()
    return [replace(each, pair="") if each.pair else each for each in records], ()


def _used_rows(sheet: Sheet, known: Known) -> tuple[Sheet, list[str]]:
    """The rows that a set is made of, and a line for each column by which others are left out."""
    notes = []
    for column, values in known.only.items():
        if column not in sheet.columns:
            continue
        cells = [str(cell or "").strip() for cell in sheet.columns[column]]
        keep = [cell in values for cell in cells]
        dropped = keep.count(False)
        if dropped == len(keep):
            raise ContrastError(
                f"{sheet.name}: no row has {column} {' or '.join(map(shown, values))}."
            )
        if dropped:
            words = " or ".join(value or "empty" for value in values)
            notes.append(
                f"{known.name}: {dropped:,} of {len(keep):,} rows left out, whose {column} is not "
                f"{words}."
            )
        sheet = sheet.only(keep)
    return sheet, notes


def _without_safety(
    sheet: Sheet, found: Mapping[str, str], source: Source
) -> tuple[Sheet, list[str]]:
    if not source.drop_safety:
        return sheet, []
    if "reply" not in found or "prompt" not in found:
        raise ContrastError(
            f"{sheet.name} has no replies, so drop_safety cannot judge them. Its columns: "
            f"{listed(list(sheet.columns))}."
        )
    replies = [str(cell or "") for cell in sheet.columns[found["reply"]]]
    keep, removed = about_safety(columns.prompts(sheet, found), replies)
    if not any(keep):
        raise ContrastError(f"{sheet.name}: every row is about safety, so drop_safety leaves none.")
    why = ", ".join(f"{count:,} since {reason}" for reason, count in sorted(removed.items()))
    note = f"{sheet.name}: drop_safety removed {sum(removed.values()):,} of {len(keep):,} rows" + (
        f" ({why})." if why else "."
    )
    return sheet.only(keep), [note]


def _require_categories(known: Known, found: Mapping[str, int]) -> None:
    unknown = sorted(set(found) - set(known.counts))
    if known.counts and unknown:
        raise ContrastError(
            f"{known.name}: unknown category {listed(unknown)}. Known: "
            f"{listed(list(known.counts), most=50)}."
        )


def _differences(
    known: Known, sheets: list[Sheet], kept: Mapping[str, int], *, filtered: bool
) -> tuple[str, ...]:
    """Where a copy is unlike what is published."""
    lines = []
    rows, used = sum(map(len, sheets)), sum(kept.values())
    if known.rows is not None and rows not in (known.rows, known.kept):
        lines.append(f"{known.name}: {rows:,} rows, {known.rows:,} expected.")
    if filtered:
        return tuple(lines)
    if known.kept is not None and used != known.kept:
        lines.append(f"{known.name}: {used:,} rows used, {known.kept:,} expected.")
    unlike = [
        f"{name} {kept.get(name, 0):,} ({count:,} expected)"
        for name, count in known.counts.items()
        if kept.get(name, 0) != count
    ]
    if unlike:
        lines.append(f"{known.name}: other counts by category: {', '.join(unlike)}.")
    return tuple(lines)


def _located(known: Known, wanted: _Wanted, source: Source) -> list[Path]:
    """The files of a published set: one given, those in a folder, or from the hub."""
    if wanted.path is not None:
        return [wanted.path]
    if source.folder:
        return [_in_folder(known, Path(source.folder).expanduser())]
    names = " or ".join(known.files)
    if not known.hub:
        raise ContrastError(f"{known.name} is not on the hub: give the folder that holds {names}.")
    from interlock.hub import dataset_files

    advice = f"or give the folder that holds {names}"
    return dataset_files(known.hub, known.hub_files, advice)


def _in_folder(known: Known, folder: Path) -> Path:
    steps: tuple[Callable[[str], list[Path]], ...] = (
        lambda name: [folder / name],
        lambda name: sorted(folder.glob(f"*/{name}")),  # such as data/ in a hub snapshot
    )
    for step in steps:
        for name in known.files:
            for path in step(name):
                if path.is_file():
                    return path
    raise ContrastError(
        f"{folder} has no file of {known.name}; looked for {', '.join(known.files)}, there and one "
        "folder down."
    )
