"""Fetching from a Hugging Face hub: a model at one pinned commit, safetensors only, or a data set.

Before anything is downloaded, what is missing is held against the free space of the cache's disk.
"""

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Literal

from interlock.errors import ContrastError, ModelError
from interlock.memory import in_words

Kind = Literal["model", "dataset"]

# weights a second time, in the layout of their makers
_DOUBLED = ["consolidated*.safetensors", "*/*.safetensors"]


@dataclass(frozen=True)
class Listed:
    """A file that the hub lists.

    Attributes:
        name: its path in the repository.
        size: in bytes.
        cached: whether it need not be downloaded.
    """

    name: str
    size: int
    cached: bool


def snapshot(
    name: str, revision: str | None, wanted: Sequence[str], pickles: Sequence[str]
) -> tuple[Path, str]:
    """Folder and commit of a hub model, downloaded unless the cache has it.

    Raises:
        ModelError: gated, missing, unreachable and not cached, weights only as pickle, or larger
            than the free space of the cache's disk.
    """
    import huggingface_hub

    try:
        info = _info(name, revision)
        _refuse_pickle(name, info, pickles)
        require_space(name, _listed(name, info, wanted))
        # by the name asked for, so that the cache remembers which commit that was
        folder = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(wanted), ignore_patterns=_DOUBLED
        )
    except Exception as error:
        refusal = explained(error, name, revision)
        if refusal is not None:
            raise refusal from None
        # refused, timed out, cut off: each HTTP library has its own
        found = cached(name, revision, wanted)
        if found is None:
            raise ModelError(
                f"The hub did not answer ({type(error).__name__}) and {name} is not in the cache. "
                "Check the network, or name a local folder."
            ) from None
        return found
    return Path(folder), Path(folder).name


def cached(name: str, revision: str | None, wanted: Sequence[str]) -> tuple[Path, str] | None:
    """Folder and commit of a hub model as the cache has it, without asking the hub."""
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(wanted),
            ignore_patterns=_DOUBLED,
            local_files_only=True,
        )
    except Exception:  # not there, or a cache that is damaged: the same to the caller
        return None
    return Path(folder), Path(folder).name


def config(name: str, revision: str | None, cache: Path) -> Path:
    """A folder with the config.json of a hub model, and nothing else of it.

    Raises:
        ModelError: gated, missing, or unreachable and not fetched before.
    """
    import huggingface_hub

    folder = cache / name.replace("/", "--") / (revision or "main")
    try:
        commit = _info(name, revision).sha
        huggingface_hub.hf_hub_download(name, "config.json", revision=commit, local_dir=folder)
    except Exception as error:
        refusal = explained(error, name, revision)
        if refusal is not None:
            raise refusal from None
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"The hub did not answer ({type(error).__name__}) and {name} is not in the cache. "
                "Check the network, or name a local folder; one with its config.json is enough to "
                "plan."
            ) from None
    return folder


def dataset_files(name: str, wanted: Sequence[str], advice: str) -> list[Path]:
    """The files of a hub data set that match each pattern, downloaded unless the cache has them.

    Args:
        name: hub id of the data set.
        wanted: patterns, each of which must match.
        advice: what else the user may do, put at the end of a refusal.

    Raises:
        ContrastError: gated, missing, without such files, unreachable and not cached, or larger
            than the free space of the cache's disk.
    """
    import huggingface_hub

    fetch = partial(
        huggingface_hub.snapshot_download, name, repo_type="dataset", allow_patterns=list(wanted)
    )
    try:
        require_space(name, _listed(name, _info(name, None, "dataset"), wanted, "dataset"))
        folder = Path(fetch())
    except Exception as error:
        refusal = explained(error, name, None, kind="data set")
        if refusal is not None:
            raise ContrastError(f"{str(refusal).rstrip('.')}; {advice}.") from None
        try:  # refused, timed out, cut off: each HTTP library has its own
            folder = Path(fetch(local_files_only=True))
        except Exception:
            raise ContrastError(
                f"The hub did not answer ({type(error).__name__}) and the data set {name} is not "
                f"in the cache. Check the network, {advice}."
            ) from None
    found = [sorted(folder.glob(pattern)) for pattern in wanted]
    lacking = [pattern for pattern, paths in zip(wanted, found, strict=True) if not paths]
    if lacking:
        raise ContrastError(f"The data set {name} has no file {lacking[0]} on the hub; {advice}.")
    return [path for paths in found for path in paths]


def cached_dataset_files(name: str, wanted: Sequence[str]) -> list[Path] | None:
    """The files of a hub data set as the cache has them, the hub is not asked; None if not all."""
    import huggingface_hub

    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                name, repo_type="dataset", allow_patterns=list(wanted), local_files_only=True
            )
        )
    except Exception:  # not there, or a cache that is damaged: the same to the caller
        return None
    found = [sorted(folder.glob(pattern)) for pattern in wanted]
    return [path for paths in found for path in paths] if all(found) else None


def listing(name: str, revision: str | None, wanted: Sequence[str]) -> tuple[Listed, ...]:
    """The files of a hub model that would be fetched, with sizes; nothing is downloaded.

    Raises:
        ModelError: gated, missing, or the hub does not answer.
    """
    try:
        return _listed(name, _info(name, revision), wanted)
    except Exception as error:
        refusal = explained(error, name, revision)
        if refusal is not None:
            raise refusal from None
        raise ModelError(f"The hub did not answer about {name} ({type(error).__name__}).") from None


def free_space() -> tuple[Path, int]:
    """The hub's cache folder and the free bytes of its disk."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return folder, shutil.disk_usage(there).free


def require_space(name: str, files: Sequence[Listed]) -> None:
    """Refuse a download that the cache's disk has no room for.

    Raises:
        ModelError: more is missing than is free; both are said.
    """
    missing = sum(file.size for file in files if not file.cached)
    folder, free = free_space()
    if missing > free:
        raise ModelError(
            f"{name} needs {in_words(missing)} more on the disk of {folder}, where "
            f"{in_words(free)} are free: free some space, or set HF_HOME to a folder on a larger "
            "disk."
        )


def explained(
    error: BaseException, name: str, revision: str | None, *, kind: str = "model"
) -> ModelError | None:
    """What the hub's library means by an error, in words; None if the hub did not answer."""
    from huggingface_hub import errors

    if isinstance(error, ModelError):
        return error
    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"{name} is gated: accept its terms on its hub page, then log in with `hf auth login`."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"{name} has no revision '{revision}' on the hub.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(
            f"No {kind} '{name}' on the hub. Check the spelling; a private one needs "
            "`hf auth login`."
        )
    if isinstance(error, errors.HFValidationError):
        return ModelError(f"'{name}' is not a hub id; one is written owner/name.")
    if _full_disk(error):
        folder, free = free_space()
        return ModelError(
            f"The disk of {folder} is full: {name} was not fetched whole, {in_words(free)} are "
            "free. Free some space, or set HF_HOME to a folder on a larger disk, and run the same "
            "command again."
        )
    return None


def _full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is a full disk or a used-up quota."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error):  # as hf-xet, which is not Python, says it
            return True
        error = error.__cause__ or error.__context__
    return False


def _info(name: str, revision: str | None, kind: Kind = "model") -> Any:  # noqa: ANN401
    """The hub library's ModelInfo or DatasetInfo."""
    import huggingface_hub

    hub = huggingface_hub.HfApi()
    ask = hub.model_info if kind == "model" else hub.dataset_info
    return ask(name, revision=revision, files_metadata=True, timeout=20)


def _listed(
    name: str,
    info: Any,  # noqa: ANN401 - as `_info` gives it
    wanted: Sequence[str],
    kind: Kind = "model",
) -> tuple[Listed, ...]:
    from huggingface_hub import constants, try_to_load_from_cache

    blobs = Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}" / "blobs"
    found = []
    for file in info.siblings or ():
        matches = any(fnmatch(file.rfilename, pattern) for pattern in wanted)
        doubled = any(fnmatch(file.rfilename, pattern) for pattern in _DOUBLED)
        if not matches or (kind == "model" and doubled):
            continue
        # the same content may have come with another commit
        content = getattr(file.lfs, "sha256", None) or file.blob_id or " "
        at_commit = try_to_load_from_cache(name, file.rfilename, revision=info.sha, repo_type=kind)
        there = isinstance(at_commit, str) or (blobs / content).is_file()
        found.append(Listed(file.rfilename, file.size or 0, there))
    return tuple(found)


def _refuse_pickle(name: str, info: Any, pickles: Sequence[str]) -> None:  # noqa: ANN401
    files = [file.rfilename for file in info.siblings or ()]
    if any(file.endswith(".safetensors") for file in files):
        return
    bad = [file for file in files if any(fnmatch(file, pattern) for pattern in pickles)]
    if not bad:
        raise ModelError(f"{name} has no weights on the hub: no .safetensors file.")
    raise ModelError(
        f"{name} has its weights only as pickle ({bad[0]}), which can run code when read; "
        "Interlock reads safetensors only."
    )
