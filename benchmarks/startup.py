"""How long `interlock --help` and `import interlock` take; the target is under .3 s for help."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

ROUNDS = 10
PROGRAMS = {
    "python": ["-c", "pass"],
    "import": ["-c", "import interlock"],
    "help": ["-m", "interlock", "--help"],
    "audit_help": ["-m", "interlock", "audit", "--help"],
    "refusal": ["-m", "interlock", "audit", "model.nme=x"],
}


def spent(arguments: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, process


def main() -> None:
    """Run and print."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for number in range(-1, ROUNDS):
        for name, arguments in PROGRAMS.items():
            seconds = spent(arguments)
            if number >= 0:
                found[name].append(seconds)
    values: dict[str, float] = {}
    for name, seconds in found.items():
        wall, process = (statistics.median(column) for column in zip(*seconds, strict=True))
        values |= {f"{name}_s": round(process, 3), f"{name}_wall_s": round(wall, 3)}
        print(f"{name:12} {process:.3f} s of processor, {wall:.3f} s by the clock")
    print(json.dumps({"benchmark": "startup", "rounds": ROUNDS, "target_help_s": 0.3, **values}))


if __name__ == "__main__":
    main()
