"""Models from a hub: one pinned commit, and one clear line for everything that can go wrong."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_hub import COMMIT, OLDER, Hub

from interlock.organisms import folder

NAME = "owner/tiny-chat"


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    def error(self) -> str:
        """The one line of the error."""
        assert self.code == 2, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), self.err
        return lines[0]


@pytest.fixture
def files(tmp_path):
    """The files of a small chat model."""
    target = tmp_path / "files"
    shutil.copytree(folder("aligned"), target)
    return target


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def ask(tmp_path, cache):
    """Run a command against a hub at an address, with a hub cache of this test's own."""

    def run(address: str, *arguments: str, **env: str) -> Result:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "TRANSFORMERS_", "HTTP_PROXY", "http_proxy"))
        }
        own = {
            "XDG_CACHE_HOME": str(cache),
            "OMP_NUM_THREADS": "1",
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "interlock", *arguments],
            cwd=tmp_path,
            env=kept | own | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


def _closed() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_model_opens_and_its_commit_is_recorded(ask, files, tmp_path):
    (files / "README.pdf").write_bytes(b"not wanted")
    (files / "pytorch_model.bin").write_bytes(b"not wanted")
    with Hub(NAME, files) as hub:
        result = ask(
            hub.address, "behaviour", NAME, "--budget", "tiny", "prompts.per_category=1",
            "--out", "run", "--json",
        )  # fmt: skip
        assert result.code == 0, result.err
        plan = json.loads((tmp_path / "run" / "plan.json").read_text("utf-8"))
        protocol = json.loads((tmp_path / "run" / "protocol.json").read_text("utf-8"))
        assert plan["weights"] == protocol["revision"] == COMMIT
        assert protocol["model"] == NAME
        fetched = [line for line in hub.asked if "/resolve/" in line]
        assert any("model.safetensors" in line for line in fetched)
        assert not any(".bin" in line or ".pdf" in line for line in fetched)
        assert all(COMMIT in line for line in fetched)
        assert (files / "model.safetensors").stat().st_size > 0
        # the second opening fetches nothing
        hub.asked.clear()
        again = ask(hub.address, "doctor", NAME)
        assert again.code == 0, again.err
        assert not any(line.startswith("GET") and "/resolve/" in line for line in hub.asked)
        # a named revision is that revision
        result = ask(
            hub.address, "behaviour", NAME, "model.revision=v1", "--budget", "tiny",
            "prompts.per_category=1", "--out", "older",
        )  # fmt: skip
        assert result.code == 0, result.err
        plan = json.loads((tmp_path / "older" / "plan.json").read_text("utf-8"))
        assert plan["weights"] == OLDER


@pytest.mark.parametrize("trouble", ["gated-401", "gated-403"])
def test_a_gated_model(ask, files, trouble):
    with Hub(NAME, files, trouble) as hub:
        line = ask(hub.address, "doctor", NAME).error()
    assert NAME in line and "gated" in line and "hf auth login" in line


@pytest.mark.parametrize("trouble", ["missing", "private"])
def test_a_model_that_is_not_there(ask, files, trouble):
    with Hub(NAME, files, trouble) as hub:
        line = ask(hub.address, "doctor", NAME).error()
    assert NAME in line and "spelling" in line and "hf auth login" in line


def test_a_revision_that_is_not_there(ask, files):
    with Hub(NAME, files) as hub:
        line = ask(hub.address, "behaviour", NAME, "model.revision=v9").error()
    assert NAME in line and "v9" in line


def test_weights_only_as_pickle(ask, files):
    (files / "model.safetensors").rename(files / "pytorch_model.bin")
    with Hub(NAME, files) as hub:
        line = ask(hub.address, "doctor", NAME).error()
        assert not any("/resolve/" in each for each in hub.asked)
    assert "pickle" in line and "pytorch_model.bin" in line and "safetensors" in line


def test_no_weights_at_all(ask, files):
    (files / "model.safetensors").unlink()
    with Hub(NAME, files) as hub:
        line = ask(hub.address, "doctor", NAME).error()
    assert NAME in line and "safetensors" in line


def test_refused_without_and_with_a_cache(ask, files):
    assert "not in the cache" in ask(_closed(), "doctor", NAME).error()
    with Hub(NAME, files) as hub:
        assert ask(hub.address, "doctor", NAME).code == 0
    cached = ask(_closed(), "doctor", NAME, "--json")
    assert cached.code == 0, cached.err
    assert json.loads(cached.out)["passed"]
    offline = ask(_closed(), "doctor", NAME, HF_HUB_OFFLINE="1")
    assert offline.code == 0, offline.err
    # what was cached is one commit; another one is not there
    line = ask(_closed(), "behaviour", NAME, "model.revision=v1").error()
    assert NAME in line and "cache" in line


def test_offline_without_a_cache(ask):
    line = ask(_closed(), "doctor", NAME, HF_HUB_OFFLINE="1").error()
    assert "not in the cache" in line


def test_a_cached_model_that_has_become_gated_says_so(ask, files):
    """The answer of the hub wins over the cache: no silent use of what may no longer be used."""
    with Hub(NAME, files) as hub:
        assert ask(hub.address, "doctor", NAME).code == 0
        hub.trouble = "gated-403"
        assert "gated" in ask(hub.address, "doctor", NAME).error()


@pytest.mark.slow
def test_a_hub_that_does_not_answer_in_time(ask, files):
    with Hub(NAME, files, "slow") as hub:
        line = ask(hub.address, "doctor", NAME, HF_HUB_ETAG_TIMEOUT="2").error()
    assert NAME in line and "did not answer" in line


@pytest.mark.parametrize("trouble", ["error", "garbage"])
def test_a_hub_that_answers_nonsense(ask, files, trouble):
    with Hub(NAME, files, trouble) as hub:
        line = ask(hub.address, "doctor", NAME).error()
    assert NAME in line


def test_a_file_that_ends_early_is_not_used(ask, files, tmp_path):
    with Hub(NAME, files, cut=True) as hub:
        line = ask(hub.address, "doctor", NAME).error()
        assert NAME in line
        # and nothing of it is taken for the whole file later
        hub.cut = False
        result = ask(hub.address, "doctor", NAME)
        assert result.code == 0, result.err
    assert not list(Path(tmp_path).rglob("*.safetensors.incomplete"))


@pytest.mark.parametrize("name", ["owner/na me", "owner/name!", "-owner/name", "owner/.."])
def test_a_name_that_no_hub_has(ask, name):
    line = ask(_closed(), "doctor", "--", name).error()
    assert name in line
