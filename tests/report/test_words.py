"""Words of a request: shares and ranks by hand, hostile tokens inert, what is said in words."""

import json

import numpy as np
import pytest
from report_run import ANCHOR, SCRIPT
from step_tables import HOSTILE

from interlock.figures import all_figures, chart, draw, drawable
from interlock.figures.forms import Bars, Words
from interlock.figures.summaries import summaries
from interlock.figures.words import PAIRS, by_part, ranked, ranking, shaded, shares, words
from interlock.stats import ratio
from interlock.tables import Table, from_rows

GAPS = (20.0, 18.0, 22.0, 20.0)
# mean effects of a verb, an object and two others, by pair
EFFECTS = (
    (18.0, 16.0, 0.5, -0.5),
    (15.0, 17.0, 0.0, 1.0),
    (20.0, 10.0, 0.2, 0.0),
    (9.0, 8.0, 0.0, 0.0),
)
JOINTS = (19.0, 17.5, 21.0, 10.0)
TOKENS = (" <b>kill</b>", f" {ANCHOR}", " a", "?")
_NAN = float("nan")


def rows_of(pair: int, side: str, scale: float = 1.0, topic: str | None = None) -> list[dict]:
    harmful = side in ("harmful", "refused")
    return [
        {
            "example": f"{pair}-{side}",
            "pair": str(pair),
            "category": HOSTILE if pair % 2 else "weapons",
            "expected": "refuse" if harmful else "comply",
            "topic": topic or f"t{pair}",
            "side": side,
            "position": 2 + place,
            "token": token,
            "part": "slot" if place == 0 else "request",
            "mean": scale * effect,
            "drawn": scale * effect / 2,
            "estimate": scale * effect / 4,
            "swap": GAPS[pair] * (1 if harmful else -1) if place == 0 else _NAN,
            "joint": scale * JOINTS[pair],
            "joint_drawn": scale * JOINTS[pair] / 2,
            "whole": scale * GAPS[pair],
            "whole_drawn": scale * GAPS[pair] / 2,
            "residual": 0.5,
            "score": (8.0 if harmful else -8.0) + pair,
            "gap": GAPS[pair],
        }
        for place, (token, effect) in enumerate(zip(TOKENS, EFFECTS[pair], strict=True))
    ]


def table(pairs=range(4), scale: float = 1.0, **more: str) -> Table:
    rows = [
        row
        for pair in pairs
        for side, factor in (("harmful", 1.0), ("harmless", -0.1))
        for row in rows_of(pair, side, scale * factor)
    ]
    return from_rows(rows, about={"split": "check", **more})


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str, str], dict]:
    return {(row["side"], row["part"], row["replaced"]): row for row in shares(table()).rows()}


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("slot", (18, 15, 20, 9)),
        ("strongest other", (16, 17, 10, 8)),
        ("each of the rest", (0, 0.5, 0.1, 0)),
        ("two strongest together", JOINTS),
        ("beyond their sum", (-15, -14.5, -9, -7)),
        ("whole request", GAPS),
    ],
)
def test_shares_are_ratios_of_means_over_the_gap(found, part, wanted):
    topics = [f"t{pair}" for pair in range(4)]
    own = ratio(np.array(wanted, dtype=float), np.array(GAPS), topics, unit="")
    row = found["harmful", part, "the mean"]
    assert row["share"] == pytest.approx(sum(wanted) / sum(GAPS))
    assert (row["low"], row["high"]) == pytest.approx((own.low, own.high))
    assert (row["n"], row["topics"]) == (4, 4)
    assert found["harmful", part, "drawn tokens"]["share"] == pytest.approx(row["share"] / 2)


def test_the_parts_of_every_replacement_are_of_the_same_words(found):
    """The strongest other word is chosen by the mean once, and read in every column."""
    assert ("harmful", "beyond their sum", "estimated") not in found
    estimated = found["harmful", "strongest other", "estimated"]["share"]
    assert estimated == pytest.approx((16 + 17 + 10 + 8) / 4 / sum(GAPS))
    # of the harmless prompts all signs are the other way, so other words are the strongest there
    assert found["harmless", "slot", "the mean"]["share"] == pytest.approx(-6.2 / sum(GAPS))
    other = found["harmless", "strongest other", "the mean"]["share"]
    assert other == pytest.approx(0.05 / sum(GAPS))


def test_pairs_that_are_not_told_apart_have_no_shares():
    flat = table()
    columns = {name: list(values) for name, values in flat.columns.items()}
    columns["gap"] = [gap / 100 for gap in columns["gap"]]
    flat = Table(columns, flat.units, flat.about)
    assert len(shares(flat)) == 0
    assert list(summaries({"where.words": flat}, ())) == ["where.words.ranked"]
    assert "mean gap is 0.20 nat" in shaded(flat, "where.words").reading


def test_words_are_pooled_without_their_spaces_and_ranked():
    one, two, many = ranked(table(range(3))), ranked(table()), table()
    row = next(iter(two.rows()))
    assert row["word"] == "<b>kill</b>" and row["effect"] == pytest.approx(62 / 4)
    assert row["low"] < row["effect"] < row["high"] and row["topics"] == 4
    assert row["harmless"] == pytest.approx(-1.55) and row["harmless_n"] == 4
    assert row["drawn"] == pytest.approx(62 / 8)
    assert np.isnan(one["low"]).all() and set(one["topics"]) == {3}
    assert len(two) == len({token.strip() for token in many["token"]})


def figures() -> dict:
    step = table(estimates="Pearson 0.9", **{"estimates' sum": "misses the whole by 1 nat"})
    made = {"where.words": step, **summaries({"where.words": step}, ())}
    assert all(drawable(each) for each in made.values())
    return {figure.id: figure for figure in all_figures(made)}


FIGURES = figures()


def test_a_step_gives_its_prompts_its_parts_and_its_ranking():
    assert list(FIGURES) == ["where-words", "where-words-parts", "where-words-ranked"]


def test_prompts_are_written_out_pair_by_pair():
    form = FIGURES["where-words"].form
    assert isinstance(form, Words)
    # a pair of each category before a second of any, the largest scores first
    pairs = ("3", "2", "1", "0")
    scores = [f"score {8.0 + int(pair):.1f} nat" for pair in pairs]
    assert [passage.note for passage in form.passages[::2]] == scores
    assert [passage.title for passage in form.passages[:2]] == [
        f"{HOSTILE} · harmful", f"{HOSTILE} · harmless"
    ]  # fmt: skip
    for passage, pair in zip(form.passages[::2], pairs, strict=True):
        assert tuple(word.text for word in passage.words) == TOKENS
        assert tuple(word.mark.value for word in passage.words) == EFFECTS[int(pair)]
    assert "drawn 4.50, estimated 2.25, the other prompt's word there 20.00" in (
        form.passages[0].words[0].mark.note
    )


def test_no_more_pairs_than_a_page_has_room_for():
    many = [
        row | {"category": f"c{number % 3}", "pair": str(number), "example": f"{number}-{side}"}
        for number in range(PAIRS + 3)
        for side in ("harmful", "harmless")
        for row in rows_of(number % 4, side)
    ]
    form = shaded(from_rows(many, about={"split": "check"}), "where.words").form
    assert isinstance(form, Words) and len(form.passages) == 2 * PAIRS


def test_one_prompt_and_its_neighbour_are_written_out_with_what_was_found():
    rows = [*rows_of(0, "refused"), *rows_of(0, "answered", -0.1)]
    one = from_rows(rows, about={"finding": f"What makes it refuse: {SCRIPT}."})
    assert list(summaries({"explain.words": one}, ())) == []
    (figure,) = all_figures({"explain.words": one})
    assert SCRIPT in figure.reading and isinstance(figure.form, Words)
    assert [each.title.rpartition(" · ")[2] for each in figure.form.passages] == [
        "refused", "answered"
    ]  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_of_others_is_markup(name):
    drawn = json.dumps(chart(FIGURES[name]), allow_nan=False)
    assert "<a" not in drawn and "<script" not in drawn and "<b>kill" not in drawn
    if name != "where-words-parts":
        assert "&lt;b&gt;kill" in drawn
    svg = draw(FIGURES[name], "svg")
    assert b"<a href" not in svg and b"<b>kill" not in svg


@pytest.mark.parametrize("name", FIGURES)
def test_captions_say_what_the_numbers_rest_on(name):
    caption = FIGURES[name].caption
    assert "n = " in caption and "Interval: " in caption and "Control: " in caption


def test_joint_effects_are_told_in_words():
    said = words(shares(table()))
    assert "The two strongest words take 0.84 [" in said
    assert "] together; less what each takes alone that is \N{MINUS SIGN}0.57 [" in said
    assert said.endswith("]: in part each needs the other.")
    rows = [row | {"joint": 2.5 * row["joint"]} for row in table().rows()]
    more = words(shares(from_rows(rows, about={"split": "check"})))
    assert more.endswith("]: in part each stands in for the other.")
    told = FIGURES["where-words-parts"].reading
    assert "Pearson 0.9; their sum misses the whole by 1 nat." in told
    assert "Effects are no shares of a whole" in told


def test_bars_hold_the_tables_numbers():
    made = shares(table())
    form = by_part(made, "x").form
    assert isinstance(form, Bars)
    first = form.series[0].marks[0]
    row = made.where(side="harmful", part="slot", replaced="the mean")
    assert first is not None and first.value == row["share"][0]
    assert form.labels[0] == "slot, harmful" and len(form.labels) == 12
    estimated = next(each for each in form.series if each.name == "estimated")
    assert [place for place, mark in enumerate(estimated.marks) if mark is None] == [3, 4, 9, 10]
    bars = ranking(ranked(table()), "y").form
    assert isinstance(bars, Bars)
    assert bars.labels[0] == "<b>kill</b>" and bars.series[0].marks[0].value == 15.5
