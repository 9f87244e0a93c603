"""Random sets are asked harmless prompts too, so that over-refusal has its control as well."""

import math

import pytest

from interlock.figures import all_figures
from interlock.figures.forms import Lines
from interlock.methods.ablation import ablation, ablation_cost
from interlock.sites import parse
from interlock.studies.necessary import conclude

SITES = tuple(parse(text) for text in ("head.0.2", "head.0.3", "neuron.0.144:160"))


def ablated(model, sets, harmless_controls):
    return ablation(
        model, sets.splits["check"], sets.passages, SITES, ablate="zero", sizes=(3,), singles=0,
        controls=3, harmless_controls=harmless_controls, tokens=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(aligned, contrasts):
    return ablated(aligned, contrasts, 2)


def test_as_many_random_sets_as_asked_for_answer_harmless_prompts(measured, contrasts):
    random = measured.where(kind="matched random", measure="refused")
    asked = random.where(expected="comply")
    assert set(asked["set"].tolist()) == {0, 1}
    assert set(random.where(expected="refuse")["set"].tolist()) == {0, 1, 2}
    harmless = {each.id for each in contrasts.splits["check"].expecting("comply")}
    for number in (0, 1):
        assert set(asked.where(set=number)["example"].tolist()) == harmless


def test_over_refusal_of_random_sets_is_their_mean_and_is_drawn(measured):
    table = conclude({"mean": measured}, 3).tables["necessary.sizes"]
    (row,) = table.where(size=3, sets="matched random").rows()
    own = measured.where(kind="matched random", measure="refused", expected="comply")
    assert row["over_refusal"] == pytest.approx(own["value"].mean())
    assert row["over_refusal_low"] <= row["over_refusal"] <= row["over_refusal_high"] < 1
    assert row["count"] == 3 and row["asked_harmless"] == 2
    figure = all_figures({"necessary.sizes": table})[0]
    assert isinstance(figure.form, Lines)
    (over,) = (panel for panel in figure.form.panels if "over-refusal" in panel.y.title)
    drawn = {line.name: [mark.value for mark in line.marks] for line in over.lines}
    assert drawn["matched random"][-1] == row["over_refusal"]
    assert "not asked" not in figure.reading and "2 of them asked harmless" in figure.n


def test_without_them_the_gap_is_said(aligned, contrasts):
    table = conclude({"mean": ablated(aligned, contrasts, 0)}, 3).tables["necessary.sizes"]
    (row,) = table.where(size=3, sets="matched random").rows()
    assert math.isnan(row["over_refusal"]) and row["asked_harmless"] == 0
    figure = all_figures({"necessary.sizes": table})[0]
    assert "Harmless prompts were not asked while random sets were ablated" in figure.reading


def test_the_cost_counts_their_replies(aligned):
    options = {
        "sizes": (5, 10), "controls": 4, "harmless_controls": 3, "singles": 2, "ablate": "zero"
    }  # fmt: skip
    # harmful: none, 2 single, per size 1 found and 4 random; harmless: none, per size 1 and 3
    cost = ablation_cost(aligned.shape, 20, options)
    assert cost.replies == (1 + 2 + 2 * 5) * 10 + (1 + 2 * 4) * 10
