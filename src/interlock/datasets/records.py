"""One prompt as every set gives it, whatever the file looked like; and what its labels may say."""

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from interlock.contrast import Expected, Split
from interlock.errors import ContrastError
from interlock.files import digest_bytes

UNCATEGORISED = "uncategorised"
Side = Literal["", "find", "check"]
LABELS = MappingProxyType(
    {
        "refuse": ("refuse", "harmful", "unsafe", "toxic", "malicious"),
        "comply": ("comply", "harmless", "safe", "benign"),
    }
)
_SAID: dict[str, Expected] = {
    **dict.fromkeys(LABELS["refuse"], "refuse"),
    **dict.fromkeys(LABELS["comply"], "comply"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One prompt of a set.

    Attributes:
        prompt: the user's words, with their context where the set has one.
        category: kind of harm, as it is compared.
        expected: what a model ought to do.
        topic: the lexical item, empty where the set does not say.
        pair: id shared by the two prompts of a minimal pair, empty when unpaired.
        split: `find` or `check` where the set says so, else empty.
        native: the category as the file has it.
        source: the set or file that it came from.
    """

    prompt: str
    category: str
    expected: Expected
    topic: str = ""
    pair: str = ""
    split: Side = ""
    native: str = ""
    source: str = ""

    def about(self, topic: str) -> "Record":
        """The same record with a topic; `dataclasses.replace` is too slow for a large set."""
        return Record(
            self.prompt,
            self.category,
            self.expected,
            topic,
            self.pair,
            self.split,
            self.native,
            self.source,
        )

    @property
    def key(self) -> str:
        """sha256 of the prompt: the same wherever the prompt stands in its file."""
        return _key(self.prompt)


@lru_cache(maxsize=2**18)  # asked for when a set is divided, and again when prompts are drawn
def _key(prompt: str) -> str:
    return digest_bytes(prompt.encode())


@dataclass(frozen=True)
class Gathered:
    """The prompts of a set by name, before any is drawn.

    Attributes:
        name: of the set.
        records: every usable prompt once.
        licence: of the prompts.
        notes: what was left out or is unlike the published set, a line each.
        parts: the files it was read from.
    """

    name: str
    records: tuple[Record, ...]
    licence: str
    notes: tuple[str, ...] = ()
    parts: "tuple[Part, ...]" = ()


@dataclass(frozen=True)
class Part:
    """One set of a joined set, as it was read.

    Attributes:
        name: of the set or file.
        files: what was read, by name.
        digests: sha256 of each file.
        rows: rows in the files.
        repeats: rows dropped because an earlier one has the same prompt and label.
        differences: where it is unlike the published set.
    """

    name: str
    files: tuple[str, ...]
    digests: tuple[str, ...]
    rows: int
    repeats: int = 0
    differences: tuple[str, ...] = field(default=())


def expected_of(label: object) -> Expected | None:
    """What a label says ought to happen; None if it says nothing known."""
    return _SAID.get(label.strip().casefold()) if isinstance(label, str) else None


def split_of(text: object, where: str) -> Side:
    """The split that a cell names, empty for none.

    Raises:
        ContrastError: neither empty, find nor check.
    """
    said = str(text or "").strip().casefold()
    if said == "":
        return ""
    if said == "find":
        return "find"
    if said == "check":
        return "check"
    raise ContrastError(f"{where}: split {shown(said)} is not known. Known: find, check.")


def shown(value: object, length: int = 60) -> str:
    """A value in quotes, cut short, with nothing in it that a terminal would obey."""
    text = " ".join(str(value).split())
    cut = text if len(text) <= length else f"{text[: length - 1]}\u2026"
    return "'" + "".join(each if each.isprintable() else "\ufffd" for each in cut) + "'"


def listed(names: list[str] | tuple[str, ...], most: int = 12) -> str:
    """Names in a row, the first few of many."""
    texts = [shown(name, 40).strip("'") or "(blank)" for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


SPLITS: tuple[Split, ...] = ("find", "check")
