"""The only place that opens files for writing: atomic, digested, clear about a full disk."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.errors import RunError

_SECRET_NAMES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_SECRETS = re.compile(r"hf_[A-Za-z0-9]{16,}|(?<=://)[^/\s\"']+(@)")
PROBE = ".writable"
_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again to go on",
    errno.EDQUOT: "your disk quota is used up; free some space and run the same command again",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EPERM: "permission denied; choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EEXIST: "a file is in the way; choose another folder",
}


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        RunError: the file cannot be written (full disk, no permission, a path through a file).
    """
    write_parts(path, [data])


def write_parts(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file piece by piece, whole or not at all; raises as `write_bytes`."""
    with _replacing(path) as part, part.open("wb") as handle:
        for piece in pieces:
            handle.write(piece)
        handle.flush()
        os.fsync(handle.fileno())


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write torch tensors as safetensors without a copy in memory; raises as `write_bytes`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with _replacing(path) as part:
        try:
            save_file(dict(tensors), part, dict(metadata))
        except SafetensorError as error:
            full = "No space left" in str(error)
            raise OSError(errno.ENOSPC if full else 0, str(error)) from None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text without secrets, whole or not at all; raises as `write_bytes`."""
    write_bytes(path, redacted(text).encode("utf-8", errors="replace"))


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write indented JSON, whole or not at all; raises as `write_bytes`."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def require_writable(folder: Path) -> None:
    """Make a folder and prove that a file can be written there, before anything long begins.

    Raises:
        RunError: it cannot be made or written.
    """
    try:
        existed = folder.is_dir()
    except (OSError, ValueError) as error:
        raise RunError(f"Cannot write to {folder}: {error}.") from None
    probe = folder / PROBE
    write_bytes(probe, b"")
    probe.unlink()
    if not existed:
        folder.rmdir()


def append_line(path: Path, line: str) -> None:
    """Add one line to a log; raises as `write_bytes`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as handle:
            handle.write(redacted(line) + "\n")
    except OSError as error:
        raise _explained(path, error) from None


def redacted(text: str) -> str:
    """The text with access tokens and passwords in addresses blacked out."""
    for name in _SECRET_NAMES:
        value = os.environ.get(name, "")
        if len(value) >= 8:
            text = text.replace(value, "[secret]")
    return _SECRETS.sub(lambda found: "[secret]" + (found.group(1) or ""), text)


def read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value in a file.

    Raises:
        RunError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"No file {path}.") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as JSON: {error}.") from None


def digest_bytes(data: bytes) -> str:
    """sha256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """sha256 of the canonical JSON form of a value."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return digest_bytes(canonical.encode())


def digest_file(path: Path) -> str:
    """sha256 of a file's content, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_files(paths: Iterable[Path], root: Path) -> str:
    """sha256 over names relative to `root` and contents, in order of name."""
    entries = sorted((str(path.relative_to(root)), digest_file(path)) for path in paths)
    return digest_value(entries)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path beside the file, which takes the file's place once all is written."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        _discard(part)
        raise _explained(path, error) from None
    except BaseException:
        _discard(part)
        raise


def _discard(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return


def _explained(path: Path, error: OSError) -> RunError:
    advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    return RunError(f"Cannot write {path}: {advice}.")
