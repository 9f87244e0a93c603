"""The signal by layer and the circuit in both directions: hand-worked tables and words."""

import numpy as np
import pytest

from interlock.figures import all_figures
from interlock.figures.forms import Graph, Lines
from interlock.figures.signals import signal, words
from interlock.figures.summaries import edges, summaries
from interlock.stats import mean
from interlock.tables import Table, from_rows

# harmful, harmless by position and layers passed, of three pairs in two topics
VALUES = {
    ("slot", 0): ((1.0, 1.0), (2.0, 2.0), (3.0, 3.0)),
    ("slot", 1): ((1.0, 2.0), (3.0, 2.0), (2.0, 2.0)),
    ("last", 0): ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    ("last", 1): ((3.0, 1.0), (2.0, 0.0), (5.0, 3.0)),
    ("last", 2): ((5.0, 1.0), (2.0, -2.0), (6.0, 3.0)),
}
TOPICS = ("a", "b", "b")


def read() -> Table:
    rows = [
        {"site": f"resid_post.{layers}@{position}", "layers": layers, "position": position}
        | {"example": f"p{pair}", "topic": TOPICS[pair], "category": "c"}
        | {"harmful": high, "harmless": low}
        for (position, layers), pairs in VALUES.items()
        for pair, (high, low) in enumerate(pairs)
    ]
    return from_rows(rows, about={"reading": "opening score by the logit lens", "unit": "nat"})


def test_the_summary_is_means_and_their_paired_difference():
    table = signal(read())
    for (position, layers), pairs in VALUES.items():
        for prompts, own in (
            ("harmful", [high for high, _ in pairs]),
            ("harmless", [low for _, low in pairs]),
            ("difference", [high - low for high, low in pairs]),
        ):
            (row,) = table.where(position=position, layers=layers, prompts=prompts).rows()
            wanted = mean(np.array(own), TOPICS, unit="")
            found = (row["value"], row["low"], row["high"], row["n"], row["topics"])
            assert found == (wanted.value, wanted.low, wanted.high, 3, 2)


def test_words_say_where_the_difference_is_largest_and_half_of_it():
    """At the last token 0, 2, 3.67: half of it from one layer on; at the slot nothing is clear."""
    said = words(signal(read()))
    assert said == (
        "At the last token that differs no layer tells harmful from harmless prompts. "
        "At the last prompt token the difference is largest after 2 layers (3.67) and half of that "
        "from 1 on."
    )


def test_one_topic_tells_nothing_apart():
    rows = [row | {"topic": "a"} for row in read().rows()]
    assert "no layer tells" in words(signal(from_rows(rows, about=read().about)))
    assert "largest" not in words(signal(from_rows(rows, about=read().about)))


def test_a_signal_is_summed_up_and_drawn_with_both_kinds_of_prompt_and_their_difference():
    tables = summaries({"where.signal.lens": read()}, ())
    assert list(tables) == ["where.signal.lens.summary"]
    (figure,) = all_figures(tables)
    assert isinstance(figure.form, Lines)
    above, below = figure.form.panels[:2], figure.form.panels[2:]
    assert [panel.title for panel in above] == ["the last token that differs",
                                                "the last prompt token"]  # fmt: skip
    assert [line.name for line in above[1].lines] == ["harmful prompts", "harmless prompts"]
    assert [mark.value for mark in above[1].lines[0].marks] == pytest.approx([0, 10 / 3, 13 / 3])
    assert [mark.value for mark in below[1].lines[0].marks] == pytest.approx([0, 2, 11 / 3])
    assert words(signal(read())) in figure.reading and "logit lens" in figure.title


def held(direction: str, lost: dict[tuple[str, str], float]) -> Table:
    """Edges by what is lost of the source's effect of 1 nat in a gap of 2, four pairs alike."""
    rows = [
        {"given": target, "site": source, "example": f"p{pair}", "topic": f"t{pair}"}
        | {"joint": 1.0 - nat, "alone": 1.0, "given_alone": 1.0, "gap": 2.0}
        for (source, target), nat in lost.items()
        for pair in range(4)
    ]
    return from_rows(rows, about={"given": "held", "direction": direction})


FIRST, MIDDLE, LAST = "head.0.0", "neuron.0.0:16", "head.2.0"
DENOISE = {(FIRST, MIDDLE): 0.8, (FIRST, LAST): 0.8, (MIDDLE, LAST): 0.1}
NOISE = {(FIRST, MIDDLE): 0.2, (FIRST, LAST): 0.3, (MIDDLE, LAST): 1.0}


def arrows(tables: dict[str, Table]) -> dict[tuple[str, str], float]:
    (figure,) = all_figures(tables)
    form = figure.form
    assert isinstance(form, Graph)
    return {
        (form.nodes[arrow.source].name, form.nodes[arrow.target].name): arrow.mark.value
        for arrow in form.arrows
    }


def test_steps_of_both_directions_make_one_table_and_one_circuit():
    steps = {
        "where.edges.denoise": held("denoise", DENOISE), "where.edges.noise": held("noise", NOISE)
    }  # fmt: skip
    tables = summaries(steps, ())
    assert list(tables) == ["where.edges.summary"]
    table = tables["where.edges.summary"]
    assert len(table) == 6 and set(table["direction"]) == {"denoise", "noise"}
    # the stronger direction of each edge; what the path through the middle explains is not drawn
    assert arrows(tables) == {(MIDDLE, LAST): 0.5, (FIRST, MIDDLE): 0.4}
    (figure,) = all_figures(tables)
    assert "2 of 3 edges" in figure.reading
    assert "not drawn: 1 where a path of edges as strong leads too." in figure.reading


def test_an_edge_that_no_path_accounts_for_is_drawn():
    weaker = DENOISE | {(FIRST, MIDDLE): 0.5}
    assert arrows({"x.summary": edges(held("denoise", weaker))})[FIRST, LAST] == 0.4


def test_edges_of_next_to_nothing_are_counted_and_not_drawn():
    faint = DENOISE | {(MIDDLE, LAST): 0.03, (FIRST, MIDDLE): 0.02}
    tables = {"x.summary": edges(held("denoise", faint))}
    assert arrows(tables) == {(FIRST, LAST): 0.4}
    assert "not drawn: 2 smaller." in all_figures(tables)[0].reading


def test_where_every_edge_is_next_to_nothing_the_largest_still_shows_that():
    faint = {edge: 0.01 * (place + 1) for place, edge in enumerate(DENOISE)}
    tables = {"x.summary": edges(held("denoise", faint))}
    assert arrows(tables) == {(MIDDLE, LAST): pytest.approx(0.015)}
