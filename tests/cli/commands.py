"""Commands, how a child runs them, and what they answered."""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

SECONDS = 240  # no single command of this tier takes nearly as long


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    def errors(self) -> list[str]:
        """The lines of the error; fails unless it is a clean refusal with nothing on stdout."""
        assert self.code == 2, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err
        assert self.out == ""
        lines = self.err.splitlines()
        assert lines, "nothing on stderr"
        assert all(line.startswith("error: ") and line.strip() != "error:" for line in lines), lines
        assert len(set(lines)) == len(lines), f"said twice: {lines}"
        return lines

    def error(self) -> str:
        """The one line of the error."""
        lines = self.errors()
        assert len(lines) == 1, lines
        return lines[0]

    def last_error(self) -> str:
        """The one error line, after lines of progress."""
        assert self.code == 2, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0]
        return lines[0]


def environment(cache: Path, **more: str) -> dict[str, str]:
    """A child's environment: one thread, its own cache, no hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    own = {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return kept | own | more


def digests(root: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def command(*arguments: object) -> list[str]:
    """The command line, by this interpreter."""
    return [sys.executable, "-m", "interlock", *map(str, arguments)]


def read_json(path: Path):
    """The JSON value in a file."""
    return json.loads(path.read_text(encoding="utf-8"))
