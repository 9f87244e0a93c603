"""The shipped `locate` draws the planted circuit, and shows where its signal arrives."""

import pytest

from interlock.config import read_study_file, resolve
from interlock.figures import all_figures
from interlock.figures.forms import Graph, Lines
from interlock.organisms import folder
from interlock.organisms.truth import read_truth
from interlock.studies import built_in
from interlock.studies.running import Request, run_study

NEEDED = ("openers", "where.units.denoise", "where.units.noise", "where.edges.denoise",
          "where.edges.noise", "where.signal.lens", "direction.candidates", "direction.one",
          "where.signal.projection")  # fmt: skip


def located(name: str, out) -> dict:
    """The steps of `locate` that draw circuit and signal, at the tiny budget: tables by name."""
    settings = dict(read_study_file(built_in("locate")))
    settings["steps"] = [step for step in settings["steps"] if step["id"] in NEEDED]
    assert [step["id"] for step in settings["steps"]] == list(NEEDED)
    tiny = settings["budgets"]["tiny"]
    settings["budgets"] = {"tiny": {key: each for key, each in tiny.items() if "steps." not in key}}
    settings["claims"] = []
    study = resolve(settings, [f"model.name=organism:{name}"], budget="tiny")
    return run_study(Request(study, (), "locate", out)).tables


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    return located("planted-chain-0", tmp_path_factory.mktemp("chain") / "run")


def drawn(tables: dict) -> set[tuple[str, str]]:
    figures = {figure.id: figure for figure in all_figures(tables)}
    form = figures["where-edges-summary"].form
    assert isinstance(form, Graph)
    return {(form.nodes[arrow.source].name, form.nodes[arrow.target].name) for arrow in form.arrows}


def true_edges(name: str) -> set[tuple[str, str]]:
    return {(str(source), str(target)) for source, target in read_truth(folder(name)).edges}


def test_a_planted_chain_is_drawn_as_it_is(chain):
    assert drawn(chain) == true_edges("planted-chain-0")


@pytest.mark.parametrize("name", ["planted-or-0", "planted-and-0"])
def test_branches_are_drawn_whichever_direction_sees_them(name, tmp_path):
    """Either of two redundant heads is silent under noising, of two joint ones under denoising."""
    assert drawn(located(name, tmp_path / "run")) == true_edges(name)


def test_the_signal_reaches_the_last_token_after_the_head_that_moves_it(chain):
    """Head 2.0 moves it, so after two layers nothing of it is at the last prompt token."""
    apart = chain["where.signal.lens.summary"].where(position="last", prompts="difference")
    values = dict(zip(apart["layers"].tolist(), apart["value"].tolist(), strict=True))
    own = [abs(values[layers]) / values[4] for layers in (0, 2)]
    assert max(own) < 0.1 and values[4] > 5
    along = chain["where.signal.projection.summary"].where(position="last", prompts="difference")
    by_layer = dict(zip(along["layers"].tolist(), along["value"].tolist(), strict=True))
    assert by_layer[0] == pytest.approx(0, abs=1e-5)
    assert by_layer[3] == pytest.approx(1, abs=0.15)
    figures = {figure.id: figure for figure in all_figures(chain)}
    for name in ("where-signal-lens-summary", "where-signal-projection-summary"):
        assert isinstance(figures[name].form, Lines)
