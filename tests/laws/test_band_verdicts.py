"""The three rules on layer bands, on tables written by hand: each with its own failures."""

import numpy as np
import pytest

from interlock.figures import all_figures
from interlock.figures.forms import Heat
from interlock.figures.summaries import summaries
from interlock.studies.bands import conclude
from interlock.tables import Table, from_rows
from interlock.verdict import RULES, decide
from interlock.verification import bands

LAYERS = {
    "early": "0:2",
    "middle": "2:4",
    "late": "4:6",
    "early to middle": "0:4",
    "early to late": "0:6",
}
# shares of the gap by source and place: early, middle, late alone; up to the middle, up to the end
ACCOUNT = {
    ("harmful", "slot"): (0.9, 0.4, 0.0, 0.9, 0.9),
    ("harmful", "rest"): (0.0, 0.3, 0.0, 0.3, 0.3),
    ("harmful", "last"): (0.0, 0.1, 1.0, 0.1, 1.0),
    ("harmful", "all but last"): (0.9, 0.9, 0.1, 0.9, 0.1),
    ("harmful", "all"): (0.9, 0.9, 1.0, 1.0, 1.0),
    ("same word", "slot"): (0.8, 0.0, 0.0, 0.1, 0.1),
    ("same word", "all"): (0.8, 0.0, 0.0, 0.1, 0.0),
    ("other word", "slot"): (0.0, 0.0, 0.0, 0.0, 0.0),
    ("other word", "all"): (0.0, 0.0, 0.0, 0.0, 0.0),
}


def table(shares=None, *, topics=24, donors=None, spread=0.05, seed=0, gap=8.0) -> Table:
    """Two pairs a topic around the given shares; `donors` topics have donors."""
    draw = np.random.default_rng(seed)
    rows = []
    for (source, position), found in (ACCOUNT | (shares or {})).items():
        for band, share in zip(LAYERS, found, strict=True):
            for pair in range(2 * topics):
                if source != "harmful" and donors is not None and pair // 2 >= donors:
                    continue
                rows.append(
                    {
                        "band": band,
                        "layers": LAYERS[band],
                        "position": position,
                        "source": source,
                        "example": f"pair {pair}",
                        "topic": f"topic {pair // 2}",
                        "category": "violence",
                        "flip": "process -> neighbour",
                        "giver": "one",
                        "effect": gap * float(share + spread * draw.normal()),
                        "gap": gap,
                    }
                )
    return from_rows(rows, about={"direction": "denoise"})


def verdict(found: Table, account: bands.Account):
    return decide(RULES[account], conclude({"denoise": found}, account).evidence)


@pytest.mark.parametrize("account", bands.ACCOUNT)
def test_a_model_that_does_as_the_account_says_supports_all_three(account):
    assert verdict(table(), account).outcome == "supported"


@pytest.mark.parametrize(
    ("account", "shares", "reason"),
    [
        # nothing is written at the word
        (
            "early_word",
            {
                ("harmful", "slot"): (0.0, 0.4, 0, 0.4, 0.4),
                ("same word", "slot"): (0.0, 0.4, 0, 0.4, 0.4),
            },
            "that they write at the word",
        ),
        # it is there in its harmful context alone
        ("early_word", {("same word", "slot"): (0.0, 0, 0, 0, 0)}, "the word alone: the same"),
        # in part the word, for the most part its context
        ("early_word", {("same word", "slot"): (0.3, 0, 0, 0.1, 0.1)}, "harmful context adds"),
        # most of the word is recognised later
        ("early_word", {("same word", "slot"): (0.5, 0.9, 0, 1.2, 1.2)}, "middle layers add"),
        ("early_word", {("same word", "slot"): (0.5, 0.5, 0.9, 0.5, 1.2)}, "late layers add"),
        # the context is there before the middle
        (
            "middle_context",
            {("same word", "all"): (0.0, 0, 0, 0, 0)},
            "context that they add, less what early ones add",
        ),
        # the middle knows no more than the word
        (
            "middle_context",
            {("same word", "all"): (0.8, 0.9, 0, 0.9, 0.0)},
            "they write beyond the word alone",
        ),
        # some enters in the middle, most later
        (
            "middle_context",
            {("same word", "all"): (0.8, 0.5, 0, 0.7, 0.0)},
            "context that they add, less what late ones add",
        ),
        # late layers do not matter at the last token
        (
            "late_decision",
            {("harmful", "last"): (0.0, 1.0, 0.0, 1.0, 1.0)},
            "they write at the last token",
        ),
        # they matter more elsewhere
        (
            "late_decision",
            {("harmful", "all but last"): (0.9, 0.9, 1.4, 0.9, 0.1)},
            "what they write at other tokens",
        ),
        # late layers read again what earlier ones have written there: nothing enters
        (
            "late_decision",
            {("harmful", "last"): (0.0, 1.0, 1.0, 1.0, 1.0)},
            "decision that they add, less what middle ones add",
        ),
        (
            "late_decision",
            {("harmful", "last"): (1.0, 0.5, 1.0, 1.0, 1.0)},
            "decision that they add, less what early ones add",
        ),
    ],
)
def test_each_way_to_differ_from_the_account_fails_its_own_condition(account, shares, reason):
    found = verdict(table(shares), account)
    assert found.outcome == "not supported"
    assert reason in found.reason
    others = [each for each in bands.ACCOUNT if each != account]
    if not any(source == "harmful" for source, _ in shares):
        assert [verdict(table(shares), each).outcome for each in others] == ["supported"] * 2


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (table(donors=0), "no harmless prompt has the same word there"),
        (table(donors=7), "topics with that word in a harmless prompt"),
        (table(topics=15), "independent topics"),
        (
            table(
                {
                    ("other word", "slot"): (0.3, 0, 0, 0.3, 0),
                    ("other word", "all"): (0.3, 0.3, 0, 0.3, 0),
                }
            ),
            "from another harmless word",
        ),
        (table(gap=-1.0), "does not separate the pairs"),
        (
            table(
                {
                    ("harmful", "slot"): (0.2, 0, 0, 0.2, 0.2),
                    ("same word", "all"): (0.9, 0.7, 0, 0.3, 0),
                },
                spread=0.2,
            ),
            "interval spans the threshold",
        ),
    ],
    ids=["no donors", "few donors", "few topics", "control", "not separated", "at the threshold"],
)
def test_what_cannot_be_told_is_inconclusive(found, reason):
    for account in bands.ACCOUNT[:2]:
        given = verdict(found, account)
        assert given.outcome == "inconclusive"
        assert reason in given.reason


def test_the_decision_needs_no_donor():
    found = table(donors=0)
    assert verdict(found, "late_decision").outcome == "supported"
    only_word = table(donors=0).where(source="harmful")
    assert verdict(only_word, "late_decision").outcome == "supported"
    assert verdict(only_word, "early_word").outcome == "inconclusive"


def test_what_enters_sums_to_all_layers():
    """The differences that decide are linear: with no noise they follow from the shares by hand."""
    found = bands.evidence(table(spread=0.0), "late_decision", "t").estimates
    early, late = 0.0, 0.9  # of 1.0 in all, 0.1 enters in the middle
    assert found["over_early"].value == pytest.approx(late - early)
    assert found["over_middle"].value == pytest.approx(late - 0.1)
    assert found["over_elsewhere"].value == pytest.approx(1.0 - 0.1)
    context = bands.evidence(table(spread=0.0), "middle_context", "t").estimates
    early, to_middle, to_late = 0.9 - 0.8, 1.0 - 0.1, 1.0 - 0.0
    middle, late = to_middle - early, to_late - to_middle
    assert context["carried"].value == pytest.approx(0.9)
    assert context["over_early"].value == pytest.approx(middle - early)
    assert context["over_late"].value == pytest.approx(middle - late)
    word = bands.evidence(table(spread=0.0), "early_word", "t").estimates
    assert word["beyond_context"].value == pytest.approx(0.8 - (0.9 - 0.8))
    assert word["over_middle"].value == pytest.approx(0.8 - (0.1 - 0.8))
    assert word["over_late"].value == pytest.approx(0.8 - (0.1 - 0.1))


def test_differences_are_taken_within_pairs():
    """Two effects that move together leave no doubt about which is larger."""
    found = table(spread=0.0)
    draw = np.random.default_rng(3)
    # far more spread between pairs than the difference of .01, the same at every place
    shift = {f"pair {number}": float(draw.normal()) for number in range(48)}
    moved = [
        row | {"effect": float(row["effect"]) + 8 * shift[str(row["example"])]}
        for row in found.rows()
        if (row["band"], row["position"], row["source"]) in (
            ("late", "last", "harmful"), ("late", "all but last", "harmful")
        )
    ]  # fmt: skip
    rest = [
        row for row in found.rows()
        if (row["band"], row["position"], row["source"]) not in (
            ("late", "last", "harmful"), ("late", "all but last", "harmful")
        )
    ]  # fmt: skip
    estimate = bands.evidence(
        from_rows(moved + rest, about=found.about), "late_decision", "t"
    ).estimates
    assert estimate["carried"].high - estimate["carried"].low > 0.2
    over = estimate["over_elsewhere"]
    assert over.high - over.low < 1e-6 and over.value == pytest.approx(0.9)


def test_the_summary_and_the_figure_show_the_same_shares():
    shown = conclude({"denoise": table(donors=10)}, "early_word").tables
    assert set(shown) == {"where.bands", "where.bands.quantities"}
    (row,) = shown["where.bands"].where(band="middle", position="all", source="same word").rows()
    assert (row["n"], row["topics"]) == (20, 10)
    assert row["share"] == pytest.approx(0.0, abs=0.05)
    (figure,) = all_figures({"where.bands": shown["where.bands"]})
    form = figure.form
    assert isinstance(form, Heat)
    assert form.rows == ("early (0 to 1)", "middle (2 to 3)", "late (4 to 5)")
    assert form.columns == ("the word", "rest of text", "last token", "all but last", "all")
    titles = [facet.title for facet in form.facets]
    assert titles == [
        "harmful prompt into harmless (48 pairs)",
        "harmless prompt with the same word (20 pairs)",
        "harmless prompt with another word (20 pairs)",
    ]
    mark = form.facets[1].cells[1][4]
    assert mark is not None
    assert (mark.value, mark.low, mark.high) == (row["share"], row["low"], row["high"])
    assert form.facets[1].cells[0][1] is None  # nothing was measured there
    alone = summaries({"bands": table(donors=10)}, ())["bands.summary"]
    assert list(alone.rows()) == list(shown["where.bands"].rows())
