"""The command line under test: in process by `cli`, in a subprocess by `interlock`."""

import logging
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from commands import SECONDS, Result, command, environment

from interlock import cli as command_line
from interlock.organisms import folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Digests and passed self-checks of this tier, shared by its commands."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def isolated(cache, tmp_path, monkeypatch):
    """An empty working folder, a private cache, and logging as it was."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield work
    root.handlers[:] = handlers
    root.setLevel(level)
    torch.set_num_threads(threads)


@pytest.fixture
def cli(capsys):
    """Run a command in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = command_line.main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture(scope="session")
def interlock(cache):
    """Run a command in a process of its own."""

    def run(*arguments: object, cwd: Path, **env: str) -> Result:
        done = subprocess.run(
            command(*arguments),
            cwd=cwd,
            env=environment(cache, **env),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def finished(interlock, tmp_path_factory):
    """One whole tiny audit of the organism, never interrupted: its folder and what it printed."""
    work = tmp_path_factory.mktemp("finished")
    result = interlock("audit", "--budget", "tiny", "--out", "run", "--json", cwd=work)
    assert result.code == 0, result.err
    return work / "run", result


@pytest.fixture
def sealed(finished, tmp_path):
    """A copy of the finished audit that a test may damage."""
    target = tmp_path / "sealed" / "run"
    shutil.copytree(finished[0], target)
    return target


@pytest.fixture
def organism_copy(tmp_path):
    """A copy of the shipped organism that a test may damage."""
    target = tmp_path / "model"
    shutil.copytree(folder("aligned"), target)
    return target


@pytest.fixture
def study_file(tmp_path):
    """Write a study file from a text."""

    def write(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
