"""Figures of directions, categories, curves, tokens and circuits draw the stored numbers."""

import json
import re

import pytest
from step_tables import CATEGORIES, EDGES, HOSTILE, step_tables

from interlock.figures import Figure, all_figures, chart, draw
from interlock.figures.forms import Bars, Graph, Heat, Lines, Mark
from interlock.figures.geometry import folded, rows_of_graph, stroke
from interlock.figures.labels import inert
from interlock.tables import Table, from_rows

TABLES = step_tables()
FIGURES = {figure.id: figure for figure in all_figures(TABLES)}


def heat(name: str) -> Heat:
    form = FIGURES[name].form
    assert isinstance(form, Heat)
    return form


def lines(name: str) -> Lines:
    form = FIGURES[name].form
    assert isinstance(form, Lines)
    return form


def ends(mark: Mark | None) -> tuple[float, float, float]:
    assert mark is not None
    return mark.value, mark.low, mark.high


def row_of(table: Table, **where: str | int) -> dict:
    (row,) = table.where(**where).rows()
    return row


def test_token_map_lists_offsets_in_the_prompts_order():
    form = heat("tokens-summary-positions")
    assert form.rows == ("9", "10", "-2", "-1")
    facet = next(each for each in form.facets if each.title == "mlp · denoise")
    stored = row_of(TABLES["tokens.summary"], kind="mlp", layer=2, position="-2")
    assert ends(facet.cells[2][2]) == (stored["share"], stored["low"], stored["high"])


def test_named_and_single_token_positions_are_drawn_apart():
    both = [*TABLES["tokens.summary"].rows()]
    both += [
        row | {"position": "last"} for row in TABLES["tokens.summary"].where(position="-1").rows()
    ]
    found = all_figures({"where.layers": from_rows(both)})
    assert [figure.id for figure in found] == ["where-layers", "where-layers-positions"]
    by_kind, by_token = (figure.form for figure in found)
    assert isinstance(by_kind, Heat) and isinstance(by_token, Heat)
    assert [facet.title for facet in by_kind.facets] == ["last prompt token · denoise"]
    assert by_token.rows == ("9", "10", "-2", "-1")


def test_candidates_are_shown_by_layer_and_token_with_the_chosen_one_named():
    form = heat("direction-candidates-scores")
    stored = row_of(TABLES["direction.candidates"], layer=3, position=-1)
    for facet, measure in zip(form.facets, ("bypass", "induce"), strict=True):
        mark = facet.cells[form.rows.index("-1")][form.columns.index("3")]
        assert ends(mark) == tuple(stored[f"{measure}{end}"] for end in ("", "_low", "_high"))
        assert mark is not None and "does not survive" in mark.note
    reading = FIGURES["direction-candidates-scores"].reading
    # lowest bypass among the survivors of arditi, highest likeness among those of cosmic
    assert "resid_pre.2@-1 by arditi (4 of 6 survive)" in reading
    assert "resid_pre.3@-2 by cosmic (6 of 6 survive)" in reading
    moved = heat("direction-candidates-moved")
    assert ends(moved.facets[0].cells[0][2])[0] == stored["kl"]


def test_no_surviving_candidate_is_said():
    rows = [row | {"arditi_survives": False} for row in TABLES["direction.candidates"].rows()]
    figure = all_figures({"direction.candidates": from_rows(rows)})[0]
    assert "none survives by arditi (0 of 6 survive)" in figure.reading


def test_direction_stands_beside_random_ones():
    form = FIGURES["direction-changed"].form
    assert isinstance(form, Bars)
    assert form.labels == ("taken out, affine", "taken out, plain", "put in, affine")
    found, random = form.series
    assert [ends(mark)[0] for mark in found.marks] == [0.91, 0.12, 0.84]
    assert ends(random.marks[0]) == (0.05, 0.05 - 0.08, 0.05 + 0.08)
    assert random.marks[1:] == (None, None)
    assert "20 random directions" in FIGURES["direction-changed"].n


def test_streams_follow_the_layers():
    (panel,) = lines("direction-streams").panels
    assert [line.x for line in panel.lines] == [(0.0, 0.5, 1.0, 1.5, 2.0)] * 2
    assert [mark.value for mark in panel.lines[1].marks] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


def test_cosines_are_symmetric_with_the_ceiling_on_the_diagonal():
    form = heat("direction-dimensions-cosines")
    cells = form.facets[0].cells
    assert form.rows == form.columns == CATEGORIES
    assert [ends(cells[place][place])[0] for place in range(3)] == [0.95] * 3
    assert cells[0][2] == cells[2][0] and ends(cells[0][2])[0] == 0.33
    assert "1.74 [1.66, 1.82] dimensions" in FIGURES["direction-dimensions-cosines"].reading


def test_crossed_directions_end_with_all_categories():
    form = heat("direction-dimensions-crossed")
    assert form.columns == (*CATEGORIES, "all")
    assert form.rows == (*CATEGORIES, "first 2 axes")
    assert ends(form.facets[0].cells[3][3])[0] == pytest.approx(0.6)


def test_category_matrix_shows_whole_sets_own_parts_core_and_control():
    form = heat("categories-matrix")
    assert form.rows == (*CATEGORIES, "core of all")
    whole, own = form.facets
    assert ends(whole.cells[0][0])[0] == 0.9
    assert ends(whole.cells[0][1])[0] == 0.8
    assert ends(whole.cells[3][1])[0] == 0.77
    assert ends(own.cells[1][1])[0] == 0.25
    assert own.cells[3] == (None, None, None)
    assert "6 random sets" in FIGURES["categories-matrix"].control
    assert "0.11 of the gap on average" in FIGURES["categories-matrix"].control


def test_curve_has_its_level_its_control_and_its_stability():
    form = lines("where-curve")
    assert [panel.title for panel in form.panels] == ["restored alone", "removed", "", ""]
    found, random = form.panels[1].lines
    assert form.panels[1].level == 0.8
    assert found.x == (1.0, 2.0, 5.0)
    assert [mark.value for mark in found.marks] == pytest.approx([0.4, 0.7, 0.88])
    assert ends(random.marks[2]) == pytest.approx((0.1, 0.1, 0.15))
    assert [line.x for line in form.panels[2].lines] == [(2.0, 5.0)]  # none where it is unknown
    levels = [shape["y0"] for shape in chart(FIGURES["where-curve"])["layout"]["shapes"]]
    assert levels == [0.8, 0.8]


def test_estimates_stand_beside_patched_effects_and_have_no_interval():
    form = FIGURES["where-approximation"].form
    assert isinstance(form, Bars)
    assert form.labels == ("head.0.0", "head.0.1", "head.0.2")
    assert [ends(mark)[0] for mark in form.series[0].marks] == pytest.approx([0.5, 0.4, 0.3])
    patched, estimated = chart(FIGURES["where-approximation"])["data"]
    assert estimated["x"] == pytest.approx([0.4, 0.3, 0.2])
    assert "error_x" in patched and "error_x" not in estimated
    assert "0 of 2 sampled sites" in FIGURES["where-approximation"].reading


def test_circuit_runs_from_left_to_right_with_edges_by_effect():
    form = FIGURES["held-summary"].form
    assert isinstance(form, Graph)
    depths = {node.name: node.depth for node in form.nodes}
    assert depths["head.0.2"] < depths["neuron.0.16:32"] < depths["head.2.1"]
    drawn = {
        (form.nodes[arrow.source].name, form.nodes[arrow.target].name): ends(arrow.mark)
        for arrow in form.arrows
    }
    assert drawn == {(source, target): tuple(rest) for source, target, *rest in EDGES}
    widths = [stroke(form, arrow.mark) for arrow in form.arrows]
    assert widths == sorted(widths, reverse=True) and widths[0] > widths[-1]


def test_circuit_chart_draws_every_edge_between_its_nodes():
    form = FIGURES["held-summary"].form
    assert isinstance(form, Graph)
    heights = rows_of_graph(form)
    drawn = chart(FIGURES["held-summary"])["data"]
    edges = [each for each in drawn if each["mode"] == "lines"]
    assert len(edges) == len(EDGES)
    for arrow, edge in zip(form.arrows, edges, strict=True):
        places = (arrow.source, arrow.target)
        assert edge["x"] == [form.nodes[place].depth for place in places]
        assert edge["y"] == [heights[place] for place in places]
        assert (edge["line"]["dash"] == "dot") == (arrow.mark.low <= 0 <= arrow.mark.high)
    texts = json.dumps([each.get("hovertext") for each in drawn], ensure_ascii=False)
    assert "head.0.2 → neuron.0.16:32" in texts and "0.62 [0.51, 0.71]" in texts
    assert "\u22120.21 [\u22120.33, \u22120.08]" in texts


def test_nodes_of_one_depth_do_not_lie_on_each_other():
    rows = [
        {"source": f"head.0.{k}", "target": "head.2.0", "share": 0.1, "low": 0.0, "high": 0.2}
        | {"n": 4, "topics": 4}
        for k in range(4)
    ]
    (figure,) = all_figures({"x.summary": from_rows(rows)})
    assert isinstance(figure.form, Graph)
    places = list(
        zip((node.depth for node in figure.form.nodes), rows_of_graph(figure.form), strict=True)
    )
    assert len(set(places)) == 5


def test_only_the_largest_edges_are_drawn_and_the_rest_is_counted():
    rows = [
        {"source": f"head.0.{k}", "target": "head.2.0", "share": k / 100, "low": 0.0, "high": 1.0}
        | {"n": 4, "topics": 4}
        for k in range(60)
    ]
    (figure,) = all_figures({"x.summary": from_rows(rows)})
    assert isinstance(figure.form, Graph)
    assert len(figure.form.arrows) == 24
    assert min(arrow.mark.value for arrow in figure.form.arrows) == 0.36
    assert "24 of 60 edges" in figure.reading


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_a_hostile_category_is_inert_everywhere(figure: Figure):
    text = json.dumps(chart(figure))
    assert json.dumps(HOSTILE)[1:-1] not in text
    if figure.table in ("direction.unseen", "direction.dimensions", "categories.matrix"):
        assert json.dumps(inert(HOSTILE))[1:-1] in text
    svg = draw(figure, "svg").decode()
    assert "<a href" not in svg and "<b>" not in svg


def test_printed_cells_hold_the_stored_numbers():
    svg = draw(FIGURES["categories-matrix"], "svg").decode()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert texts.count("0.90") == 3 and texts.count("0.77") == 3 and texts.count("0.25") == 9


def test_titles_are_folded_between_words():
    lines = folded("share of the gap (1 = whole gap)", 14)
    assert lines == ["share of the", "gap (1 = whole", "gap)"]
    assert folded("incomprehensibilities", 5) == ["incomprehensibilities"]


def test_browser_draws_matrix_cells_and_circuit_nodes(opened: tuple[str, str]):
    dom, _ = opened
    parts = {
        name: part.split("<figcaption", 1)[0]
        for name, part in re.findall(r'<figure id="figure-([\w-]+)">(.*?)</figure>', dom, re.S)
    }
    cells = re.findall(r"<text[^>]*>([^<]*)</text>", parts["categories-matrix"])
    assert cells.count("0.90") == 3 and cells.count("0.77") == 3 and cells.count("0.25") == 9
    nodes = re.findall(r"<text[^>]*>([^<]*)</text>", parts["held-summary"])
    assert {"head.0.2", "neuron.0.16:32", "head.2.1"} <= set(nodes)
    assert "&lt;a href" in parts["direction-unseen"] and "<a href" not in parts["direction-unseen"]
