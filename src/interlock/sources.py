"""Where a model is found: a local folder, a hub id, or `organism:NAME`; nothing is loaded here.

Weights must be safetensors. A folder is known by the digest of its files, a hub model by its
commit.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from interlock.errors import InterlockError, ModelError
from interlock.files import digest_files, read_json, write_json

ORGANISMS = Path(__file__).parent / "organisms" / "weights"
WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class Source:
    """Where a model was found.

    Attributes:
        name: as the user wrote it.
        folder: its files on this disk.
        revision: hub commit, or sha256 of the files.
    """

    name: str
    folder: Path
    revision: str


def find(name: str, revision: str | None = None) -> Source:
    """The folder and revision of a model; a hub model is downloaded unless it is in the cache.

    Raises:
        ModelError: no such organism, folder or hub model, or its weights are not safetensors.
    """
    here = find_local(name)
    if here is not None:
        return here
    from interlock import hub

    folder, commit = hub.snapshot(name, revision, WANTED, _PICKLES)
    _require_model(name, folder)
    return Source(name, folder, commit)


def find_cached(name: str, revision: str | None = None) -> Source:
    """The folder and revision of a model that is on this machine; the hub is not asked.

    Raises:
        ModelError: as `find`, or a hub model is not in the cache, or not whole.
    """
    here = find_local(name)
    if here is not None:
        return here
    from interlock import hub

    found = hub.cached(name, revision, WANTED)
    if found is None:
        raise ModelError(f"{name} is not in the hub's cache on this machine.")
    _require_model(name, found[0])
    return Source(name, *found)


def find_config(name: str, revision: str | None = None) -> Source | None:
    """A model whose weights are not on this machine, by its config.json alone; None where they are.

    A local folder may hold nothing but a config.json; of a hub model nothing else is downloaded.

    Raises:
        ModelError: no such organism, folder or hub model, or it has no config.json.
    """
    folder = Path(name).expanduser()
    if _is_folder(folder) and _config_only(folder):
        return Source(name, folder, "config only")
    if find_local(name) is not None:
        return None
    from interlock import hub

    try:
        find_cached(name, revision)
    except ModelError:
        return Source(name, hub.config(name, revision, cache_folder() / "configs"), "config only")
    return None


def find_local(name: str) -> Source | None:
    """The folder and revision of an organism or a local folder; None for what may be a hub id.

    Raises:
        ModelError: no such organism or folder, or its weights are not safetensors.
    """
    if not name.strip():
        raise ModelError("No model named: give a folder, a hub id (owner/name) or organism:NAME.")
    if name.startswith("organism:"):
        return _local(name, organism_folder(name.removeprefix("organism:")))
    folder = Path(name).expanduser()
    try:
        there, is_folder = folder.exists(), folder.is_dir()
    except (OSError, ValueError) as error:
        raise ModelError(f"'{name}' cannot be a folder: {first_line(error)}.") from None
    if is_folder:
        return _local(name, folder)
    if name.startswith((".", "/", "~")) or name.count("/") != 1 or there:
        raise ModelError(
            f"No model '{name}': not a folder, not a hub id (owner/name), not organism:NAME."
        )
    return None


def organism_folder(name: str) -> Path:
    """The folder of an organism: one that ships, or one trained into the user's cache.

    Raises:
        ModelError: there is none of this name.
    """
    homes = (ORGANISMS, trained_organisms())
    if Path(name).name == name:
        for home in homes:
            if (home / name / "config.json").is_file():
                return home / name
    known = ", ".join(
        dict.fromkeys(
            path.parent.name for home in homes for path in sorted(home.glob("*/config.json"))
        )
    )
    raise ModelError(
        f"No organism '{name}'. Known, as organism:NAME: {known or 'none'}. `interlock organism "
        "train NAME` makes one that has a recipe."
    )


def trained_organisms() -> Path:
    """Where organisms go that are trained here, by `interlock organism suite` for one."""
    return cache_folder() / "organisms"


def find_adapter(name: str) -> Source:
    """The folder and revision of a PEFT adapter: a local folder or a hub id.

    Raises:
        ModelError: it is not there, or is not an adapter in safetensors.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _adapter(name, folder)
    find_local(name)  # refuses what is no hub id
    from interlock import hub

    return _adapter(name, hub.snapshot(name, None, WANTED, _PICKLES)[0])


def find_cached_adapter(name: str) -> Source:
    """An adapter that is on this machine; the hub is not asked.

    Raises:
        ModelError: as `find_adapter`, or it is not in the cache.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _adapter(name, folder)
    find_local(name)
    from interlock import hub

    found = hub.cached(name, None, WANTED)
    if found is None:
        raise ModelError(f"Adapter {name} is not in the hub's cache on this machine.")
    return _adapter(name, found[0])


def weight_files(folder: Path) -> list[Path]:
    """The files that a model's weights are read from, as `from_pretrained` chooses them."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    return sorted(folder.glob("*.safetensors"))


def cache_folder() -> Path:
    """Where Interlock keeps what can be made again: digests and passed self-checks."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "interlock"


def _config_only(folder: Path) -> bool:
    """Whether a folder holds a config.json and no weights, pickled ones included."""
    pickled = any(path for pattern in _PICKLES for path in folder.glob(pattern))
    return (folder / "config.json").is_file() and not pickled and not weight_files(folder)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # what cannot be a path, such as a name that is too long
        return False


def _adapter(name: str, folder: Path) -> Source:
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(f"{name} is not a PEFT adapter: it has no adapter_config.json.")
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"Adapter {name} has no adapter_model.safetensors; save it as safetensors."
        )
    return Source(name, folder, _folder_digest(folder))


def _local(name: str, folder: Path) -> Source:
    _require_model(name, folder)
    return Source(name, folder, _folder_digest(folder))


def _require_model(name: str, folder: Path) -> None:
    """Refuse a folder that is an adapter, or whose weights are absent, pickled or not whole."""
    adapter = (folder / "adapter_config.json").is_file()
    if adapter and not (folder / "config.json").is_file():
        raise ModelError(
            f"{name} is a PEFT adapter: name its base model, and this as model.adapter={name}."
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
        if pickles:
            raise ModelError(
                f"{name} has its weights only as pickle ({pickles[0]}), which can run code when "
                "read. Convert it to safetensors first: save_pretrained writes them."
            )
        raise ModelError(f"{name} has no weights: no .safetensors file in {folder}.")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = read_json(index)
        if not isinstance(listed, dict) or not isinstance(listed.get("weight_map"), dict):
            raise ModelError(f"{index} has no weight_map; it is not an index of weights.")
        wanted = set(listed["weight_map"].values())
        missing = sorted(wanted - {path.name for path in weights})
        if missing:
            raise ModelError(f"{name} lacks {len(missing)} weight files, first {missing[0]}.")


def _folder_digest(folder: Path) -> str:
    """sha256 over weights, config and tokenizer, remembered by path, size and time."""
    paths = sorted(path for pattern in WANTED for path in folder.glob(pattern))
    stamp = [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in paths]
    memory = cache_folder() / "digests.json"
    key = repr(stamp)
    try:
        found = read_json(memory)
    except InterlockError:
        found = None
    known: dict[str, str] = found if isinstance(found, dict) else {}
    if key not in known:
        known = dict(list(known.items())[-200:]) | {key: digest_files(paths, folder)}
        try:
            write_json(memory, known)
        except InterlockError:
            return known[key]  # a cache that cannot be written only costs time
    return known[key]


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0]
