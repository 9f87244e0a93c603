"""A browser for the report's tests, and pages opened in it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from report_run import FakeRun, fake_run

from interlock.report import render

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=15000", "--window-size=1200,1000",
)  # fmt: skip


@pytest.fixture(scope="session")
def run() -> FakeRun:
    return fake_run()


@pytest.fixture(scope="session")
def page(run: FakeRun) -> str:
    return render(run)


@pytest.fixture(scope="session")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, str]]:
    """Open HTML from a file: the DOM after scripts ran, and the browser's complaints."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((found for found in map(shutil.which, names) if found), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is installed")

    def opened(html: str) -> tuple[str, str]:
        folder: Path = tmp_path_factory.mktemp("browser")
        file = folder / "report.html"
        file.write_text(html, encoding="utf-8")
        profile = f"--user-data-dir={folder / 'profile'}"
        command = [browser, *FLAGS, profile, "--dump-dom", file.as_uri()]
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        complaints = [line for line in done.stderr.decode().splitlines() if "CONSOLE" in line]
        return done.stdout.decode(), "\n".join(complaints)

    return opened


@pytest.fixture(scope="session")
def opened(browse: Callable[[str], tuple[str, str]], page: str) -> tuple[str, str]:
    return browse(page)
