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

from interlock.report import Readable, render
from interlock.tables import from_rows


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
    assert len(blocks) == 7
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
    assert dom.count('class="main-svg"') >= 7
    assert len(re.findall(r'<div class="chart js-plotly-plot"', dom)) == 7
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
    assert set(tables()) == {
        "behaviour.rates", "behaviour.confusion", "behaviour.measures", "behaviour.replies",
        "where.layers", "where.units", "where.sets", "necessary.sizes", "necessary.single",
    }  # fmt: skip
