"""Figures: right numbers from tables, full captions, inert text, the same bytes when printed."""

import math

import plotly.graph_objects as go
import pytest
from report_run import CATEGORY, SITE, tables

from interlock.figures import all_figures, chart, draw
from interlock.figures.bars import interval_bar
from interlock.figures.forms import Axis, Bars, Figure, Heat, Lines, Mark, Series
from interlock.figures.geometry import reach, span, stacked
from interlock.figures.labels import decimal, inert, shortened, visible
from interlock.tables import from_rows
from interlock.verdict import Condition

FIGURES = all_figures(tables())
IDS = [figure.id for figure in FIGURES]


def strings(value):
    """Every string in nested dictionaries and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings(each)


def by_id(name: str) -> Figure:
    return next(figure for figure in FIGURES if figure.id == name)


def test_figures_come_in_reading_order():
    assert IDS == [
        "behaviour-rates", "behaviour-confusion", "where-layers", "tokens-summary-positions",
        "where-units", "where-approximation", "where-sets", "where-curve", "categories-matrix",
        "held-summary", "necessary-sizes", "necessary-single", "direction-candidates-scores",
        "direction-candidates-moved", "direction-changed", "direction-unseen",
        "direction-streams", "direction-dimensions-cosines", "direction-dimensions-crossed",
        "weights-pruning", "weights-pruning-pareto", "weights-safety", "weights-overlap",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", sorted({figure.table for figure in FIGURES}))
def test_missing_or_empty_tables_are_skipped(missing: str):
    left = {name: table for name, table in tables().items() if name != missing}
    others = [figure.id for figure in FIGURES if figure.table != missing]
    assert [figure.id for figure in all_figures(left)] == others
    assert [figure.id for figure in all_figures({**left, missing: from_rows([])})] == others


@pytest.mark.parametrize("figure", FIGURES, ids=IDS)
def test_captions_state_n_interval_and_control(figure: Figure):
    assert "n = " in figure.caption
    assert any(each.isdigit() for each in figure.n)
    assert "Interval: " in figure.caption
    assert "Control: " in figure.caption


@pytest.mark.parametrize("figure", FIGURES, ids=IDS)
def test_charts_are_valid_plotly_and_hold_no_markup_of_others(figure: Figure):
    drawn = chart(figure)
    go.Figure(drawn)
    for text in strings(drawn):
        ours = text.replace("<b>", "").replace("</b>", "").replace("<br>", "")
        assert "<" not in ours
        assert "$" not in ours


def test_hostile_names_reach_the_hover_text_escaped():
    texts = list(strings(chart(by_id("behaviour-rates"))))
    assert any(inert(CATEGORY) in text for text in texts)
    assert not any(CATEGORY in text for text in texts)
    assert any(inert(SITE) in text for text in strings(chart(by_id("where-units"))))


@pytest.mark.parametrize("figure", FIGURES, ids=IDS)
def test_printed_figures_are_repeatable_and_hold_no_links(figure: Figure):
    first, second = draw(figure, "svg"), draw(figure, "svg")
    assert first == second
    assert b"<svg" in first
    assert b"http://x" not in first.replace(b"&quot;http://x", b"").replace(b'"http://x', b"")


@pytest.mark.parametrize("form", sorted({type(figure.form).__name__ for figure in FIGURES}))
def test_every_form_is_drawn_as_pixels_and_pages(form: str):
    figure = min(
        (each for each in FIGURES if type(each.form).__name__ == form),
        key=lambda each: len(str(each.form)),
    )
    assert draw(figure, "png").startswith(b"\x89PNG")
    assert draw(figure, "pdf").startswith(b"%PDF")


def test_printed_labels_are_text_not_mathematics():
    figure = Figure(
        "x", "Cost $x^2$ \u4e2d\u6587", "?", "r", "n = 1.", "i", "c",
        Bars(("$a_b$", "\x00bad"), (Series("s <b>", "first", (Mark(0.5, 0.4, 0.6), None)),),
             Axis("share")), "t",
    )  # fmt: skip
    svg = draw(figure, "svg").decode()
    assert "$a_b$" in svg
    assert "\\x00bad" in svg


def test_bars_hold_the_tables_numbers():
    form = by_id("behaviour-rates").form
    assert isinstance(form, Bars)
    place = form.labels.index("fraud")
    row = next(tables()["behaviour.rates"].where(group="fraud", expected="refuse").rows())
    mark = form.series[0].marks[place]
    assert mark is not None
    assert (mark.value, mark.low, mark.high) == (row["refusal"], row["low"], row["high"])
    assert form.labels[:2] == ("all, macro", "all, micro")


def test_heat_maps_put_each_number_in_its_cell():
    form = by_id("where-layers").form
    assert isinstance(form, Heat)
    assert len(form.facets) == 6
    rows = tables()["where.layers"]
    found = next(
        rows.where(kind="mlp", layer=4, position="last", direction="noise").rows()
    )  # fmt: skip
    facet = next(each for each in form.facets if each.title == "last prompt token · noise")
    mark = facet.cells[form.rows.index("mlp")][form.columns.index("4")]
    assert mark is not None
    assert mark.value == found["share"]
    assert form.colour.low == -form.colour.high  # the diverging map is centred on 0


def test_units_come_from_the_check_split_only():
    rows = [
        {"site": f"head.0.{k}", "direction": "denoise", "share": 0.1 * k, "low": 0.0, "high": 1.0,
         "n": 8, "topics": 4, "rank": rank, "split": split}
        for split in ("find", "check") for k, rank in ((0, 2), (1, 1))
    ]  # fmt: skip
    for row in rows[:2]:
        row["share"] = 99.0
    (figure,) = all_figures({"where.units": from_rows(rows)})
    assert isinstance(figure.form, Bars)
    assert figure.form.labels == ("head.0.1", "head.0.0")
    assert [mark.value for mark in figure.form.series[0].marks] == [0.1, 0.0]


def test_units_are_ranked_by_the_find_split():
    ranks = {"find": (1, 2), "check": (2, 1)}
    rows = [
        {"site": f"head.0.{k}", "direction": "noise", "share": 0.1 * k, "low": 0.0, "high": 1.0,
         "n": 8, "topics": 4, "rank": ranks[split][k], "split": split}
        for split in ("find", "check") for k in (0, 1)
    ]  # fmt: skip
    (figure,) = all_figures({"where.units": from_rows(rows)})
    assert isinstance(figure.form, Bars)
    assert figure.form.labels == ("head.0.0", "head.0.1")
    assert "took no part in the ranking" in figure.reading
    (alone,) = all_figures({"where.units": from_rows(rows[2:])})
    assert "took no part" not in alone.reading
    assert "come out too large" in alone.reading


def test_units_of_a_search_stand_in_the_order_in_which_they_were_taken():
    rows = [
        {"site": f"head.0.{k}", "direction": "denoise", "share": 0.3 * k, "low": 0.0, "high": 1.0,
         "n": 8, "topics": 4, "rank": 4 - k, "split": "find"}
        for k in range(4)
    ]  # fmt: skip
    about = {"taken": "head.0.3 head.0.2", "candidates": "4"}
    (figure,) = all_figures({"where.search": from_rows(rows, about=about)})
    assert isinstance(figure.form, Bars)
    assert figure.title == "The units that restore refusal together"
    assert figure.form.labels == ("head.0.3", "head.0.2") and figure.form.band is None
    values = [mark.value for mark in figure.form.series[0].marks if mark is not None]
    assert values == pytest.approx([0.9, 0.6])
    assert "2 of 4 candidates" in figure.reading
    assert all_figures({"where.search": from_rows(rows, about=about | {"taken": ""})}) == ()


def test_units_stand_before_what_all_the_others_do():
    form = by_id("where-units").form
    assert isinstance(form, Bars)
    assert form.band is not None
    shown = set(form.labels)
    rest = [
        row["share"] for row in tables()["where.units"].rows() if str(row["site"]) not in shown
    ]  # fmt: skip
    inside = sum(form.band.low <= share <= form.band.high for share in rest)
    assert 0.9 * len(rest) <= inside < len(rest)
    (shade,) = chart(by_id("where-units"))["layout"]["shapes"]
    assert shade["x1"] == form.band.high


def test_sets_caption_gives_rank_and_p():
    assert "above 100 of 100 matched sets (p = 0.010)" in by_id("where-sets").caption


def test_sizes_have_panels_of_refusal_over_refusal_and_loss_per_ablation():
    form = by_id("necessary-sizes").form
    assert isinstance(form, Lines)
    titles = [panel.y.title.split(" (")[0] for panel in form.panels]
    assert titles == ["refusal"] * 2 + ["over-refusal"] * 2 + ["NLL rise"] * 2
    assert form.across == 2
    assert [line.band for line in form.panels[2].lines] == [False, False]  # none was stored
    assert "no interval was stored" in by_id("necessary-sizes").reading
    assert [line.name for line in form.panels[0].lines] == ["found", "matched random"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.001, "0.00"), (-0.126, "\u22120.13"), (math.nan, "\u2013"), (math.inf, "\u221e")],
)
def test_decimals(value: float, text: str):
    assert decimal(value) == text


def test_labels_show_what_does_not_print():
    assert visible("a\u202eb\x00c\u00a0d") == "a\\u202eb\\x00c\u00a0d"
    assert inert("<a>&$") == "&lt;a&gt;&amp;&#36;"
    assert len(shortened("x" * 500)) == 34


def test_unbounded_intervals_reach_past_the_axis():
    mark = Mark(0.5, -math.inf, math.inf)
    ends = span(Axis("share"), [mark])
    down, up = reach(mark, ends)
    assert mark.value - down < ends[0]
    assert mark.value + up > ends[1]


def test_stacks_hold_every_dot():
    centres, heights, width = stacked([0.1, 0.101, 0.9], (0.0, 1.0))
    assert heights == [1, 2, 1]
    assert all(abs(c - v) <= width / 2 for c, v in zip(centres, (0.1, 0.101, 0.9), strict=True))


def test_interval_bar_shades_the_side_the_rule_asks_for():
    at_least = interval_bar((0.5, 0.4, 0.6), Condition("q", "at least", 0.8, "q"), share=True)
    at_most = interval_bar((0.5, 0.4, 0.6), Condition("q", "at most", 0.8, "q"), share=True)
    assert at_least is not None
    assert at_most is not None
    assert at_least.accept == (80.0, 20.0)
    assert at_most.accept == (0.0, 80.0)
    assert interval_bar((math.nan, 0.0, 1.0), None, share=True) is None
