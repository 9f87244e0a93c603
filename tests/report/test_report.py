"""The page: safe with hostile text, drawn in a real browser, silent on the network, traceable."""

import base64
import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from report_run import ANCHOR, BREAKOUT, SCRIPT, FakeRun, tables
from step_tables import step_tables

from interlock.figures import all_figures
from interlock.report import Readable, render
from interlock.tables import Table, from_rows


class Elements(HTMLParser):
    """Every element with its attributes, and the text of those that hold any."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict]] = []
        self.texts: dict[int, str] = {}
        self.open = -1
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open = len(self.found)
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.open = -1

    def handle_data(self, data):
        self.texts[self.open] = self.texts.get(self.open, "") + data

    def named(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]

    def inside(self, tag: str) -> list[tuple[dict, str]]:
        found = ((*self.found[k], text) for k, text in self.texts.items() if k >= 0)
        return [(attributes, text) for name, attributes, text in found if name == tag]


@pytest.fixture(scope="module")
def parsed(page: str) -> Elements:
    return Elements(page)


def test_fake_run_is_readable(run: FakeRun):
    assert isinstance(run, Readable)


def test_hostile_text_makes_no_elements(parsed: Elements):
    assert not [link for link in parsed.named("a") if link.get("href", "").startswith("http")]
    assert len(parsed.named("script")) == 2 + len(parsed.named("figure"))
    assert {script.get("type") for script in parsed.named("script")} == {None, "application/json"}
    shown = "".join(parsed.texts.values())
    for text in (SCRIPT, ANCHOR, BREAKOUT):
        assert text in shown
    assert "\u202e" not in shown
    assert "\x00" not in shown
    assert "\\u202e\\x00" in shown


def test_page_is_utf8_even_with_lone_surrogates(page: str):
    page.encode("utf-8")


def test_policy_names_exactly_the_scripts(parsed: Elements):
    metas = [meta for meta in parsed.named("meta") if "http-equiv" in meta]
    assert [meta["http-equiv"] for meta in metas] == ["Content-Security-Policy"]
    policy = dict(part.strip().split(" ", 1) for part in metas[0]["content"].split(";"))
    assert policy["default-src"] == "'none'"
    scripts = [text for attributes, text in parsed.inside("script") if not attributes]
    digests = [hashlib.sha256(text.encode()).digest() for text in scripts]
    expected = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    assert policy["script-src"].split() == expected
    assert "unsafe-eval" not in metas[0]["content"]


def test_policy_comes_before_any_script_or_style(page: str):
    assert page.index("Content-Security-Policy") < min(page.index("<script"), page.index("<style"))


def test_nothing_is_loaded(parsed: Elements):
    for _, attributes in parsed.found:
        for name in ("src", "srcset", "action", "data", "poster"):
            assert name not in attributes
        link = attributes.get("href", "#")
        assert link.startswith(("#", "data:text/csv"))
        assert not [name for name in attributes if name.startswith("on")]
    css = "".join(text for _, text in parsed.inside("style"))
    assert "url(" not in css
    assert "@import" not in css


def test_chart_data_is_strict_json(parsed: Elements):
    blocks = [text for attributes, text in parsed.inside("script") if attributes]
    assert len(blocks) == len(all_figures(tables()))
    for block in blocks:
        assert "<" not in block
        json.loads(block, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_links_inside_the_page_lead_somewhere(parsed: Elements):
    ids = {attributes["id"] for _, attributes in parsed.found if "id" in attributes}
    links = [link["href"][1:] for link in parsed.named("a") if link["href"].startswith("#")]
    assert links
    assert set(links) <= ids


def test_every_figure_has_its_numbers_as_table_and_csv(page: str, run: FakeRun):
    for name in set(run.tables) - {"behaviour.measures"}:
        found = re.search(
            rf'download="{re.escape(name)}.csv" href="data:text/csv[^,]*,([^"]+)"', page
        )
        assert found, name
        text = base64.b64decode(found[1]).decode()
        rows = list(csv.reader(io.StringIO(text)))
        assert rows[0] == list(run.tables[name].columns)
        assert len(rows) == 1 + len(run.tables[name])


def test_csv_text_cannot_run_in_a_spreadsheet(page: str):
    found = re.search(r'download="behaviour.replies.csv" href="data:text/csv[^,]*,([^"]+)"', page)
    rows = list(csv.reader(io.StringIO(base64.b64decode(found[1]).decode())))
    assert any(row[-1].startswith("'=HYPERLINK") for row in rows)


def test_verdicts_show_value_interval_n_control_rule_and_outcome(page: str, run: FakeRun):
    assert page.index('class="card') < page.index('id="behaviour"')
    for outcome in ("supported", "not supported", "inconclusive"):
        assert f"<span>{outcome}</span>" in page
    for text in ("0.952", "[0.913, 0.976]", "n = 168 in 56 topics", "Declared before the run"):
        assert text in page
    for verdict in run.verdicts:
        assert verdict["control"] in page
    assert "threshold of `restored` was changed" in page
    assert "matched random sets 20" in page
    assert "met: at least 20" in page


def test_thresholds_come_from_the_verdict_not_from_the_defaults(page: str):
    card = page[page.index('id="verdict-2"') : page.index('id="verdict-3"')]
    assert 'class="threshold" x1="95.0%"' in card


def test_page_stands_without_figures(run: FakeRun):
    bare = replace(run, tables={}, verdicts=[], notices=[], steps=[])
    page = render(bare)
    assert "<figure" not in page
    assert "plan hash" in page


def test_long_tables_say_what_is_left_out(run: FakeRun):
    many = from_rows([{"site": f"head.0.{k}", "value": 0.1} for k in range(1234)])
    page = render(replace(run, tables={"where.extra": many}))
    assert "first 400 of 1234 rows here, all of them in the CSV" in page


def test_infinite_and_missing_numbers_are_shown_not_hidden(run: FakeRun):
    verdict = dict(run.verdicts[0])
    estimates = dict(verdict["estimates"])
    estimates["refusal"] = {**estimates["refusal"], "low": float("-inf"), "high": float("inf")}
    estimates["topics"] = {**estimates["topics"], "value": float("nan")}
    page = render(replace(run, verdicts=[{**verdict, "estimates": estimates}]))
    assert "[\u2212\u221e, \u221e]" in page


def test_browser_draws_every_chart_and_complains_of_nothing(opened: tuple[str, str]):
    dom, complaints = opened
    assert complaints == ""
    count = len(all_figures(tables()))
    assert dom.count('class="main-svg"') >= count
    assert len(re.findall(r'<div class="chart js-plotly-plot"', dom)) == count
    assert "could not be drawn" not in dom.split("<footer")[0]


def test_browser_shows_hostile_text_as_text(opened: tuple[str, str]):
    dom, _ = opened
    elements = Elements(dom)
    titles = [text for _, text in elements.inside("title")]
    assert titles[0] == "organism:aligned \u00b7 interlock"
    for tag, attributes in elements.found:
        for name in ("href", "xlink:href"):
            assert not str(attributes.get(name, "")).startswith(("http:", "https:")), tag
    ticks = [text for _, text in elements.inside("text")]
    assert any('<a href="http' in text for text in ticks)
    assert any("$x^2$" in text for text in ticks)
    assert "2024-01-01" in ticks


def test_browser_shows_hostile_text_as_text_when_hovering(browse, page: str):
    hover = """<script>addEventListener("load", () => {
      const chart = document.querySelector('[data-chart="data-behaviour-rates"]');
      Plotly.Fx.hover(chart, [{ curveNumber: 0, pointNumber: 7 }]);
    });</script></body>"""
    dom, _ = browse(page.replace("http-equiv=", "data-off=").replace("</body>", hover))
    hovering = dom[dom.index('<g class="hoverlayer"><g class="hovertext"') :].split("</svg>")[0]
    assert "&lt;a href=" in hovering
    assert "<a " not in hovering


def test_browser_blocks_a_script_that_got_in(browse, page: str):
    planted = page.replace("<footer>", f"<footer>{SCRIPT}<img src='http://127.0.0.1:9/x.png'>")
    dom, complaints = browse(planted)
    titles = [text for _, text in Elements(dom).inside("title")]
    assert titles[0] == "organism:aligned \u00b7 interlock"
    assert "Content Security Policy" in complaints


def test_tables_of_the_fixture_match_the_schema():
    assert set(tables()) - set(step_tables()) == {
        "behaviour.rates", "behaviour.confusion", "behaviour.measures", "behaviour.replies",
        "where.layers", "where.units", "where.sets", "necessary.sizes", "necessary.single",
    }  # fmt: skip


def told(**columns: list) -> Table:
    return Table(columns, about={"interval": "95 %", "long": "x" * 500})


def test_a_table_without_a_figure_is_open_with_its_intervals_drawn(run: FakeRun):
    table = told(
        metric=["a", "b"], value=[0.2, 4.0], low=[0.1, 3.0], high=[0.3, 5.0], share_low=[1.0, 2.0]
    )
    page = render(replace(run, tables={"where.metrics": table}))
    part = page[page.index('id="table-where-metrics"') : page.index('id="protocol"')]
    assert "The set found as a circuit" in part
    assert '<details class="numbers" open>' in part
    assert "95 %" in part and "xxx" not in part
    bars = re.findall(r'<line class="span" x1="([\d.]+)%" x2="([\d.]+)%"', part)
    # one scale for all rows, from 0 to the largest end and 15 % more
    assert [tuple(map(float, bar)) for bar in bars] == [
        pytest.approx((10 / 5.75, 30 / 5.75), abs=0.01),
        pytest.approx((300 / 5.75, 500 / 5.75), abs=0.01),
    ]
    assert ">4</td>" in part and ">0.200</td>" in part  # counts are not printed as 4.000


def test_rows_of_unlike_units_have_scales_of_their_own(run: FakeRun):
    table = told(
        criterion=["a", "b"], found=[0.5, 40.0], low=[0.4, 30.0], high=[0.6, 50.0],
        unit=["share", "heads"],
    )  # fmt: skip
    page = render(replace(run, tables={"where.original": table}))
    part = page[page.index('id="table-where-original"') : page.index('id="protocol"')]
    bars = re.findall(r'<line class="span" x1="([\d.]+)%" x2="([\d.]+)%"', part)
    assert tuple(map(float, bars[0])) == (40.0, 60.0)
    assert tuple(map(float, bars[1])) == pytest.approx((52.17, 86.96), abs=0.01)


def test_steps_are_shown_if_they_hold_intervals_and_no_summary_repeats_them(run: FakeRun):
    steps = [{"id": name, "do": "x", "seconds": 1.0, "about": {}} for name in ("one", "two", "raw")]
    found = told(site=["head.0.0"], value=[0.5], low=[0.4], high=[0.6])
    raw = told(example=["p"], effect=[0.5])
    page = render(
        replace(run, steps=steps, tables={"one": found, "two": told(**{**found.columns, "n": [3]}),
                                          "where.metrics": found, "raw": raw})
    )  # fmt: skip
    assert 'id="table-two"' in page and 'id="table-where-metrics"' in page
    assert 'id="table-one"' not in page and 'id="table-raw"' not in page
    assert '<a href="#table-two">two</a>' in page  # the step leads to what is shown of it
    assert "Further steps" in page


def test_a_figure_of_a_table_shown_above_leads_to_its_numbers(page: str):
    part = page[page.index('id="figure-direction-candidates-moved"') :].split("</figure>")[0]
    assert 'href="#figure-direction-candidates-scores"' in part
    assert "download=" not in part


def test_quantities_that_the_rule_does_not_look_at_stay_in_the_tables(run: FakeRun):
    verdict = dict(run.verdicts[0])
    extra = {**verdict["estimates"]["refusal"], "value": 0.123}
    verdict["estimates"] = {**verdict["estimates"], "cross": extra}
    page = render(replace(run, verdicts=[verdict]))
    assert "0.123" not in page.split('id="behaviour"')[0]


def test_a_page_without_verdicts_does_not_explain_them(run: FakeRun):
    assert "How to read this" not in render(replace(run, verdicts=[]))
