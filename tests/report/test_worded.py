"""Prompts written out: stored numbers on their tokens, hostile tokens inert, page and paper."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from report_run import ANCHOR, BREAKOUT, SCRIPT, FakeRun
from step_tables import HOSTILE

from interlock.figures import all_figures, chart, draw, drawable
from interlock.figures.attended import MOST
from interlock.figures.forms import Bars, Words
from interlock.figures.palette import SEQUENTIAL
from interlock.figures.worded import worded_chart
from interlock.report import render
from interlock.tables import Table, from_rows

TOKENS = ("<bos>", " how", f" {ANCHOR}", BREAKOUT, " $x^2$", "\n\n", " \u202egnp", " kill", "?")


def attended(tokens=TOKENS, prompts=("a", "b")) -> Table:
    rows = [
        {
            "example": example, "prompt": f"{SCRIPT} {example}", "category": HOSTILE, "head": head,
            "query": tokens[-1], "position": position, "token": token,
            "weight": (position + 1) / sum(range(len(tokens) + 1)),
        }
        for example in prompts
        for head in ("head.2.0", "head.2.1")
        for position, token in enumerate(tokens)
    ]  # fmt: skip
    return from_rows(rows, about={"split": "check"})


def tables() -> dict[str, Table]:
    moved = [
        {
            "site": "neuron.0.0:16", "at": "slot", "example": "a", "prompt": SCRIPT,
            "category": HOSTILE, "activity": 1.2, "position": position, "token": token,
            "moved": 0.3 * position - 0.9,
        }
        for position, token in enumerate(TOKENS)
    ]  # fmt: skip
    strongest = [
        {
            "site": "neuron.0.0:16", "rank": rank, "activity": 2.0 - rank / 2, "category": HOSTILE,
            "expected": expected, "example": str(rank), "prompt": f"{SCRIPT} {ANCHOR}",
        }
        for rank, expected in enumerate(("refuse", "refuse", "comply"), start=1)
    ]  # fmt: skip
    return {
        "where.attention": attended(),
        "where.strongest": from_rows(strongest),
        "where.moved": from_rows(moved),
    }


FIGURES = {figure.id: figure for figure in all_figures(tables())}


def words(name: str) -> Words:
    form = FIGURES[name].form
    assert isinstance(form, Words)
    return form


def test_every_table_of_single_prompts_is_drawn():
    assert list(FIGURES) == ["where-attention", "where-strongest", "where-moved"]
    assert all(drawable(table) for table in tables().values())


@pytest.mark.parametrize(("name", "column"), [("attention", "weight"), ("moved", "moved")])
def test_words_hold_the_tables_numbers_in_reading_order(name: str, column: str):
    form, table = words(f"where-{name}"), tables()[f"where.{name}"]
    unit = "head" if "head" in table.columns else "site"
    assert len(form.passages) == len({(row[unit], row["example"]) for row in table.rows()})
    seen: dict[str, int] = {}
    for passage in form.passages:
        drawn = [(word.text, word.mark.value) for word in passage.words]
        own = table.where(**{unit: passage.title})
        example = own["example"].tolist()[seen.get(passage.title, 0)]
        seen[passage.title] = seen.get(passage.title, 0) + len(drawn)
        stored = own.where(example=example)
        assert drawn == list(zip(stored.columns["token"], stored.columns[column], strict=True))


def test_every_word_is_a_bar_of_its_own_place_and_colour():
    form = words("where-attention")
    drawn = worded_chart(form)
    bars, _ = drawn["data"]
    flat = [word for passage in form.passages for word in passage.words]
    darkness = [sum(bytes.fromhex(shade[1:])) for shade in bars["marker"]["color"]]
    order = sorted(range(len(flat)), key=lambda place: flat[place].mark.value)
    assert [darkness[place] for place in order] == sorted(darkness, reverse=True)
    assert bars["marker"]["color"][order[-1]] == SEQUENTIAL[-1][1]
    spans: dict[float, list[tuple[float, float]]] = {}
    for line, start, width in zip(bars["y"], bars["base"], bars["x"], strict=True):
        spans.setdefault(line, []).append((start, start + width))
    low, high = drawn["layout"]["xaxis"]["range"]
    for own in spans.values():
        assert own == sorted(own) and low <= own[0][0] and own[-1][1] <= high
        assert all(end <= start for (_, end), (start, _) in pairwise(own))
    lines = [note["y"] for note in drawn["layout"]["annotations"]]
    assert len(lines) == 2  # one heading a head: both prompts are of one category
    assert not set(lines) & set(spans)


def test_long_texts_are_wrapped_and_their_least_words_counted_out():
    tokens = tuple(f" word{number}" for number in range(MOST + 30))
    (figure,) = all_figures({"where.attention": attended(tokens, ("a",))})
    assert "60 tokens with the smallest numbers are not drawn" in figure.reading
    assert isinstance(figure.form, Words)
    kept = figure.form.passages[0].words
    assert [word.text for word in kept] == list(tokens[30:])
    bars, _ = chart(figure)["data"]
    assert len(set(bars["y"])) > 10


def test_harmful_and_harmless_prompts_are_told_apart():
    form = FIGURES["where-strongest"].form
    assert isinstance(form, Bars)
    harmful, harmless = form.series
    assert [mark and mark.value for mark in harmful.marks] == [1.5, 1.0, None]
    assert [mark and mark.value for mark in harmless.marks] == [None, None, 0.5]


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_of_others_is_markup(name: str):
    drawn = json.dumps(chart(FIGURES[name]), allow_nan=False)
    assert "<a" not in drawn and "<script" not in drawn and "$x" not in drawn
    assert "\u202e" not in json.loads(drawn)["data"][0].get("text", "")
    svg = draw(FIGURES[name], "svg")
    assert svg == draw(FIGURES[name], "svg")
    assert b"<a href" not in svg and b"<script" not in svg


@pytest.mark.parametrize("name", FIGURES)
def test_captions_say_what_the_numbers_rest_on(name: str):
    caption = FIGURES[name].caption
    assert "n = " in caption and "Interval: none" in caption and "Control: " in caption


@pytest.fixture(scope="module")
def page(run: FakeRun) -> str:
    found = tables()
    steps = [{"id": name, "do": "attention", "seconds": 1.0, "about": {}} for name in found]
    return render(replace(run, tables=found, verdicts=[], steps=steps))


def test_steps_of_single_prompts_are_on_the_page(page: str):
    for name in FIGURES:
        assert f'id="figure-{name}"' in page
    assert "<script>document.title" not in page


def test_browser_draws_the_tokens_as_text(browse, page: str):
    shown, complaints = browse(page)
    assert complaints == ""
    assert "<title>owned" not in shown
    part = shown[shown.index('id="figure-where-attention"') :].split("</figure>")[0]
    assert part.count("&lt;bos&gt;") >= 4
    assert '<a href="http' not in part
