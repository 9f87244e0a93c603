"""Figures of weights draw the stored numbers: maps of scores and sets, curves, and the front."""

import json
import re

import pytest
from report_run import fake_run
from scipy.stats import hypergeom
from step_tables import HOSTILE, step_tables

from interlock.figures import Figure, all_figures, chart, draw
from interlock.figures.forms import Heat, Lines, Mark, Plane
from interlock.figures.labels import inert
from interlock.report import render
from interlock.tables import Table, from_rows

NAMES = ("weights.pruning", "weights.safety", "weights.overlap")
TABLES = {name: step_tables()[name] for name in NAMES}
FIGURES = {figure.id: figure for figure in all_figures(TABLES)}
MEASURES = ("refusal", "compliance", "nll_rise", "degenerate")


def lines(figure: Figure) -> Lines:
    assert isinstance(figure.form, Lines)
    return figure.form


def plane(figure: Figure) -> Plane:
    assert isinstance(figure.form, Plane)
    return figure.form


def cells(name: str) -> dict[tuple[str, str], Mark | None]:
    form = FIGURES[name].form
    assert isinstance(form, Heat)
    (facet,) = form.facets
    return {
        (row, column): mark
        for row, marks in zip(form.rows, facet.cells, strict=True)
        for column, mark in zip(form.columns, marks, strict=True)
    }


def ends(mark: Mark) -> tuple[float, float, float]:
    return mark.value, mark.low, mark.high


def stored(row: dict, measure: str) -> tuple[float, float, float]:
    return row[measure], row[f"{measure}_low"], row[f"{measure}_high"]


def rows_of(sets: str, **where: float) -> list[dict]:
    return [*TABLES["weights.pruning"].where(sets=sets, **where).rows()]


@pytest.mark.parametrize(("column", "p"), [(0, 0.01), (1, 0.02)])
@pytest.mark.parametrize(("place", "measure"), enumerate(MEASURES))
def test_curves_hold_the_stored_points_beside_their_controls(place, measure, column, p):
    panel = lines(FIGURES["weights-pruning"]).panels[2 * place + column]
    assert panel.title == (f"spared: top {100 * p:g} % by utility" if place == 0 else "")
    found, random = panel.lines
    for line, sets in ((found, "found"), (random, "random")):
        points = rows_of("none") + rows_of(sets, p=p)
        assert [ends(mark) for mark in line.marks] == [stored(row, measure) for row in points]
        assert line.x == tuple(pytest.approx(100 * row["sparsity"]) for row in points)
    assert (found.role, random.role) == ("found", "random")


def test_curves_of_many_shares_are_one_curve_by_sparsity():
    rows = [*TABLES["weights.pruning"].rows()]
    more = [
        row | {"p": p, "sparsity": row["sparsity"] + p}
        for p in (0.03, 0.04)
        for row in rows_of("found", p=0.01)
    ]
    figure = all_figures({"weights.pruning": from_rows(rows + more)})[0]
    found = lines(figure).panels[0].lines[0]
    assert lines(figure).across == 1 and len(lines(figure).panels) == 4
    assert len(found.x) == 13 and list(found.x) == sorted(found.x)
    assert "Points of every p" in figure.reading


def test_curves_say_what_was_taken_out_and_beside_what():
    figure = FIGURES["weights-pruning"]
    assert "20 random sets a point" in figure.n and "n = 48 harmful prompts" in figure.n
    assert "like |weight|" in figure.control
    assert "by snip" in figure.reading and "become zero" in figure.reading
    texts = json.dumps(chart(figure)["data"], ensure_ascii=False)
    assert "found, p = 2 %, q = 4 %: 35,000 weights; n = 48" in texts


def test_every_point_lies_on_the_front_or_is_beaten_by_one_on_it():
    groups = {group.role: group for group in plane(FIGURES["weights-pruning-pareto"]).groups}
    front, beaten = groups["found"].dots, groups["second"].dots
    points = sorted((row["nll_rise"], row["refusal"]) for row in rows_of("found"))
    assert sorted((dot.x.value, dot.y.value) for dot in (*front, *beaten)) == points
    for dot in front:
        better = [(x, y) for x, y in points if x <= dot.x.value and y <= dot.y.value]
        assert better == [(dot.x.value, dot.y.value)]
    for dot in beaten:
        assert any(a.x.value <= dot.x.value and a.y.value <= dot.y.value for a in front)
    # with the smaller p the same q takes as much and costs less
    assert [dot.name for dot in front] == [f"found, p = 1 %, q = {q} %" for q in (1, 2, 4)]
    assert [dot.x.value for dot in front] == sorted(dot.x.value for dot in front)
    (before,) = groups["first"].dots
    assert (before.x.value, before.y.value) == (0.0, 0.95)


def test_the_plane_is_drawn_with_both_intervals():
    groups = plane(FIGURES["weights-pruning-pareto"]).groups
    drawn = chart(FIGURES["weights-pruning-pareto"])["data"]
    for group, trace in zip(groups, drawn, strict=True):
        assert trace["x"] == [dot.x.value for dot in group.dots]
        assert trace["y"] == [dot.y.value for dot in group.dots]
        assert trace["error_x"]["array"] == pytest.approx([0.04] * len(group.dots))
        assert trace["error_y"]["arrayminus"] == pytest.approx([0.05] * len(group.dots))
    assert [trace["mode"] for trace in drawn].count("lines+markers") == 1


def test_sets_that_were_not_chosen_by_shares_make_no_curve():
    rows = [{"part": "read_heads"} | row for row in TABLES["weights.pruning"].rows()]
    assert not all_figures({"weights.sets": from_rows(rows)})


def test_the_map_of_scores_is_relative_to_an_average_weight():
    found = cells("weights-safety")
    for row in TABLES["weights.safety"].rows():
        mark = found[str(row["type"]), str(row["layer"])]
        assert mark is not None
        assert mark.value == pytest.approx(row["share"] / (row["weights"] / 800))
        assert f"{row['share']:.2%} of all scores" in mark.note
    assert "16 + 16 replies" in FIGURES["weights-safety"].n


def test_the_map_of_agreement_has_its_chance_beside_it():
    found = cells("weights-overlap")
    for row in TABLES["weights.overlap"].rows():
        mark = found[str(row["type"]), str(row["layer"])]
        if not row["first"]:
            assert mark is None
            continue
        assert mark is not None and mark.value == row["jaccard"]
    # 50 and 50 of 1,000: 20 in common is beyond chance, 3 is not
    low, high = (hypergeom(1000, 50, 50).ppf(share) for share in (0.025, 0.975))
    assert low <= 3 <= high < 20
    mark = found["mlp.up_proj", "1"]
    assert mark is not None
    assert f"{low / (100 - low):.3f} to {high / (100 - high):.3f}" in mark.note
    assert "2 of 3 matrices" in FIGURES["weights-overlap"].control


def test_a_map_of_many_layers_has_a_scale_instead_of_numbers():
    few = chart(FIGURES["weights-safety"])
    row = {"type": "q", "mean": 0.1, "largest": 1.0, "share": 0.05, "weights": 10}
    deep = from_rows([{"layer": layer} | row for layer in range(20)])
    (figure,) = all_figures({"weights.safety": deep})
    many = chart(figure)
    assert not few["layout"]["coloraxis"]["showscale"]
    assert few["data"][0]["text"][0] == ["0.80", "2.40"]
    assert many["layout"]["coloraxis"]["showscale"]
    assert set(many["data"][0]["text"][0]) == {""}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_a_hostile_name_is_inert_everywhere(figure: Figure):
    text = json.dumps(chart(figure))
    assert json.dumps(HOSTILE)[1:-1] not in text
    if figure.table != "weights.pruning":
        assert json.dumps(inert(HOSTILE))[1:-1] in text
    svg = draw(figure, "svg").decode()
    assert "<a href" not in svg and "<b>" not in svg


def test_printed_maps_hold_the_stored_numbers():
    texts = re.findall(
        r"<text[^>]*>([^<]*)</text>", draw(FIGURES["weights-safety"], "svg").decode()
    )
    assert {"0.80", "2.40", "0.53", "1.07"} <= set(texts)
    texts = re.findall(
        r"<text[^>]*>([^<]*)</text>", draw(FIGURES["weights-overlap"], "svg").decode()
    )
    assert {"0.25", "0.03", "0.80"} <= set(texts)


def test_a_report_shows_the_maps_that_steps_stored_as_they_are():
    run = fake_run()
    run.steps.extend(
        {"id": name, "do": "snip", "seconds": 1.0, "about": {}}
        for name in ("weights.safety", "weights.overlap")
    )
    run.tables["weights.raw"] = Table({"example": ["a"], "value": [0.5]})
    run.steps.append({"id": "weights.raw", "do": "pruning", "seconds": 1.0, "about": {}})
    page = render(run)
    for name in FIGURES:
        assert f'id="figure-{name}"' in page, name
    assert 'id="table-weights-raw"' not in page
