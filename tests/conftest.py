"""Models that every tier shares: tiny random families, a tiny pretrained one, the organisms."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from interlock import datasets
from interlock.datasets import Sets
from interlock.loading import load, settle
from interlock.methods.behaviour import behaviour
from interlock.model import Model
from interlock.tables import Table
from tiny_models import PLAIN, save_tiny

torch.set_num_threads(1)
# the same examples in every run, and nothing kept between runs
settings.register_profile("interlock", deadline=None, derandomize=True, database=None)
settings.load_profile("interlock")

STORIES = Path(__file__).parents[2] / "shared" / "models" / "stories260K"


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache is neither read nor written."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, private_cache: Path) -> Callable[[str], Model]:
    """The tiny model of a family, opened once a session."""

    @functools.cache
    def opened(family: str) -> Model:
        folder = save_tiny(family, tmp_path_factory.mktemp(family))
        return load(settle(str(folder), device="cpu", dtype="float32"))

    return opened


@pytest.fixture(scope="session")
def llama(tiny: Callable[[str], Model]) -> Model:
    return tiny("llama")


@pytest.fixture(scope="session", params=PLAIN)
def family(request: pytest.FixtureRequest, tiny: Callable[[str], Model]) -> Model:
    """Each tiny family in turn."""
    return tiny(request.param)


@pytest.fixture(scope="session")
def stories(private_cache: Path) -> Model:
    """A real pretrained model of 260 thousand parameters, without a tokenizer."""
    if not (STORIES / "model.safetensors").is_file():
        pytest.skip(f"no {STORIES}: the pretrained model is not part of the repository")
    return load(settle(str(STORIES), device="cpu", dtype="float32"))


def _organism(name: str) -> Model:
    return load(settle(f"organism:{name}", device="cpu", dtype="float32"))


@pytest.fixture(scope="session")
def aligned(private_cache: Path) -> Model:
    return _organism("aligned")


@pytest.fixture(scope="session")
def base(private_cache: Path) -> Model:
    return _organism("base")


@pytest.fixture(scope="session")
def contrasts() -> Sets:
    """A few pairs of every category, and passages."""
    return datasets.load("grammar", per_category=2, passages=6, seed=3)


@pytest.fixture(scope="session")
def judged(aligned: Model, contrasts: Sets) -> Table:
    """The aligned organism's judged replies to the prompts of `find`."""
    return behaviour(aligned, contrasts.splits["find"], tokens=16)
