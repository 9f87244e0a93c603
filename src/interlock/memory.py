"""Memory of a device: what is used, what was used at most, what there is; on cuda, mps and cpu.

On a cpu these are the process's resident set and the machine's memory, or the limit of its control
group where that is lower (containers, batch systems). Bytes throughout. torch is imported late.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch
    from torch import nn

CGROUPS = Path("/sys/fs/cgroup")
PROCESS = Path("/proc/self")
NEARLY_FULL = 0.9  # share of what there is, from which on the user is warned
_SHARE = 0.25  # of the free memory that one piece of work may take
_ON_CPU = 48 * 2**20  # bytes to a piece of work there: larger ones do not run faster
_PAUSE = 0.2  # seconds between two looks: a look takes about half a millisecond

log = logging.getLogger("interlock")


@dataclass(frozen=True)
class Memory:
    """One look at a device's memory, in bytes.

    Attributes:
        used: by this process.
        peak: most that this process used since `start_peak`, as far as the system tells.
        free: what could still be had; other processes have their share.
        total: what there is.
    """

    used: int
    peak: int
    free: int
    total: int


def look(device: "torch.device") -> Memory:
    """The memory of a device now."""
    if device.type == "cuda":
        return _cuda(device)
    if device.type == "mps":
        return _mps()
    return _cpu()


def room(device: "torch.device") -> int:
    """Bytes that one piece of work of many may take: a quarter of what is free, on a cpu less."""
    free = int(_SHARE * look(device).free)
    return min(free, _ON_CPU) if device.type == "cpu" else free


def start_peak(device: "torch.device") -> None:
    """Begin to count the peak anew, where the system lets a process do so (cuda, Linux)."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "cpu":
        try:
            (PROCESS / "clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return  # then `Watch` has its own samples only


def in_words(count: int) -> str:
    """A number of bytes, rounded: `3.2 GiB`."""
    if count < 2**20:
        return f"{count / 2**10:.0f} KiB"
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


class Watch:
    """Looks at the memory of a model's devices between forward passes; warns once, in time.

    Attributes:
        devices: those that hold weights.
    """

    def __init__(self, devices: Sequence["torch.device"]) -> None:
        """Watch these devices; nothing is sampled yet."""
        self.devices = tuple(devices)
        self._most: dict[str, int] = {}
        self._warned = False
        self._next = 0.0

    @contextmanager
    def following(self, network: "nn.Module") -> Iterator[None]:
        """Sample after the network's forward passes, not more often than five times a second."""
        handle = network.register_forward_hook(self._after)
        try:
            yield
        finally:
            handle.remove()

    def _after(self, *_: object) -> None:
        if time.monotonic() >= self._next:
            self.sample()
            self._next = time.monotonic() + _PAUSE

    def start(self) -> None:
        """Begin a step: peaks are counted from here."""
        for device in self.devices:
            start_peak(device)
        self._most.clear()
        self.sample()

    def sample(self) -> None:
        """Look now."""
        for device in self.devices:
            found = look(device)
            name = str(device)
            self._most[name] = max(self._most.get(name, 0), found.used, found.peak)
            if not self._warned and found.total - found.free > NEARLY_FULL * found.total:
                self._warned = True
                log.warning(_nearly_full(device, found))

    def stop(self) -> dict[str, int]:
        """End a step: bytes used now and at most, summed over the devices, and what there is."""
        self.sample()
        looks = [look(device) for device in self.devices]
        return {
            "used": sum(each.used for each in looks),
            "peak": sum(self._most.values()),
            "total": sum(each.total for each in looks),
        }


def _nearly_full(device: "torch.device", found: Memory) -> str:
    return (
        f"Memory on {device} is nearly used up: {in_words(found.free)} of {in_words(found.total)} "
        f"are free, this process holds {in_words(found.used)}. Smaller batches (steps.ID.batch), "
        "model.dtype=bfloat16, model.quantization=nf4 or a smaller model need less."
    )


def _cuda(device: "torch.device") -> Memory:
    import torch

    free, total = torch.cuda.mem_get_info(device)
    used = torch.cuda.memory_allocated(device)
    kept = torch.cuda.memory_reserved(device) - used  # by torch, for its next tensors
    return Memory(used, torch.cuda.max_memory_allocated(device), free + kept, total)


def _mps() -> Memory:
    import torch

    used = torch.mps.current_allocated_memory()
    total = torch.mps.recommended_max_memory()
    held = torch.mps.driver_allocated_memory()
    free = min(max(total - held, 0) + (held - used), psutil.virtual_memory().available)
    return Memory(used, used, free, total)


def _cpu() -> Memory:
    machine = psutil.virtual_memory()
    used = psutil.Process().memory_info().rss
    total, free = machine.total, machine.available
    for limit, taken in _limits():
        if limit < machine.total:
            total, free = min(total, limit), min(free, max(limit - taken, 0))
    return Memory(used, max(used, _high_water()), free, total)


def _high_water() -> int:
    """The most that Linux has seen resident; 0 elsewhere."""
    for line in _text(PROCESS / "status").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


def _limits() -> list[tuple[int, int]]:
    """Limit and usage of every control group that holds this process, version 1 or 2."""
    found = []
    for line in _text(PROCESS / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = CGROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = root / path.lstrip("/")
        inside = [own, *own.parents]
        # inside a container the path may name a folder of the host; its own group is the root
        for folder in inside[: inside.index(root) + 1] if root in inside else [root]:
            group = _group(folder, *names)
            found += [group] if group else []
    return found


def _group(folder: Path, limit: str, usage: str, inactive: str) -> tuple[int, int] | None:
    bound, taken = _text(folder / limit).strip(), _text(folder / usage).strip()
    if not bound.isdigit() or not taken.isdigit():
        return None  # `max`, or no such group here
    cached = 0  # file pages that the system drops when memory is wanted
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        cached = int(value) if name == inactive else cached
    return int(bound), max(int(taken) - cached, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
