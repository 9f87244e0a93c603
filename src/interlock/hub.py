"""Fetching a model from a Hugging Face hub: one pinned commit, safetensors only, clear refusals."""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from interlock.errors import ModelError


def snapshot(
    name: str, revision: str | None, wanted: Sequence[str], pickles: Sequence[str]
) -> tuple[Path, str]:
    """Folder and commit of a hub model, downloaded unless the cache has it.

    Raises:
        ModelError: gated, missing, unreachable and not cached, or weights only as pickle.
    """
    import huggingface_hub
    from huggingface_hub import errors

    try:
        info = huggingface_hub.HfApi().model_info(name, revision=revision, timeout=20)
        _refuse_pickle(name, info, pickles)
        # by the name asked for, so that the cache remembers which commit that was
        folder = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(wanted)
        )
    except errors.GatedRepoError:
        raise ModelError(
            f"{name} is gated: accept its terms on its hub page, then log in with `hf auth login`."
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"{name} has no revision '{revision}' on the hub.") from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"No model '{name}' on the hub. Check the spelling; a private one needs "
            "`hf auth login`."
        ) from None
    except errors.HFValidationError:
        raise ModelError(f"'{name}' is not a hub id; one is written owner/name.") from None
    except ModelError:
        raise
    except Exception as error:  # refused, timed out, cut off: each HTTP library has its own
        folder = _cached(name, revision, wanted, error)
    return Path(folder), Path(folder).name


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


def _cached(name: str, revision: str | None, wanted: Sequence[str], error: Exception) -> str:
    import huggingface_hub

    try:
        return huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(wanted), local_files_only=True
        )
    except Exception:
        raise ModelError(
            f"The hub did not answer ({type(error).__name__}) and {name} is not in the cache. "
            "Check the network, or name a local folder."
        ) from None
