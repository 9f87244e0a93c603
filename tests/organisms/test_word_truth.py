"""Verb and object decide together: both are found, nothing else is, and a twin shows nothing."""

from dataclasses import replace

import numpy as np
import pytest

from interlock import datasets
from interlock.contrast import Example
from interlock.encoding import encode_pairs
from interlock.errors import ContrastError
from interlock.figures.words import by_part, ranked, shaded, shares
from interlock.measures import openers_of, opening_scores
from interlock.methods.behaviour import behaviour
from interlock.methods.token_effects import prompt_tokens, token_effects


@pytest.fixture(scope="module")
def pairs():
    return datasets.load("grammar", per_category=6, passages=1, seed=0).splits["check"]


@pytest.fixture(scope="module")
def table(aligned, pairs, judged):
    return token_effects(aligned, pairs, judged, draws=8, nodes=16)


def prompts(table, side):
    found = table.where(side=side)
    for name in dict.fromkeys(found["example"].tolist()):
        yield found.where(example=name)


def test_verb_and_object_are_the_strongest_words_and_the_rest_is_nothing(table, pairs):
    topics = {each.id: set(each.topic.split(" ", 1)) for each in pairs.examples}
    found, rest = [], []
    for rows in prompts(table, "harmful"):
        words = [str(token).strip() for token in rows["token"]]
        order = np.argsort(-rows["mean"]).tolist()
        found.append({words[place] for place in order[:2]} == topics[rows["example"][0]])
        rest += [abs(rows["mean"][place]) / rows["gap"][0] for place in order[2:]]
    assert len(found) == 36 and np.mean(found) >= 0.9
    assert np.mean(rest) < 0.05


def test_the_two_take_the_gap_together_and_less_than_their_sum(table):
    rows = {(row["side"], row["part"], row["replaced"]): row for row in shares(table).rows()}
    for by in ("the mean", "drawn tokens"):
        both = rows["harmful", "two strongest together", by]
        assert both["low"] > 0.8 and both["n"] == 36
        assert rows["harmful", "beyond their sum", by]["high"] < -0.15
        for part in ("slot", "strongest other"):
            assert rows["harmful", part, by]["low"] > 0.4
        assert abs(rows["harmless", "two strongest together", by]["share"]) < 0.3
    assert abs(rows["harmful", "each of the rest", "the mean"]["share"]) < 0.05


def test_the_partners_word_gives_the_gap(table, aligned, pairs, judged):
    encoded, openers = encode_pairs(aligned, pairs), openers_of(judged)
    harmful, harmless = (
        opening_scores(aligned, rows, openers) for rows in (encoded.harmful, encoded.harmless)
    )
    gaps = dict(zip([row.id for row in encoded.harmful], harmful - harmless, strict=True))
    for rows in prompts(table, "harmful"):
        (swap,) = rows["swap"][np.isfinite(rows["swap"])]
        assert swap == pytest.approx(gaps[rows["example"][0]], abs=1e-3)
        assert rows["part"].tolist().count("slot") == 1
        assert rows["gap"][0] == pytest.approx(swap, abs=1e-3)
    assert "gives the gap" in table.about["check"]


def test_estimates_rank_words_as_the_exact_effects_do(table):
    told = []
    for rows in prompts(table, "harmful"):
        told.append(np.corrcoef(rows["mean"], rows["estimate"])[0, 1])
        missed = rows["estimate"].sum() - rows["whole"][0]
        assert rows["residual"][0] == pytest.approx(missed, abs=1e-6)
    assert np.mean(told) > 0.8
    assert f"{np.mean(told):.2f} [" in table.about["estimates"]


def test_a_model_that_refuses_nothing_shows_nothing(base, pairs, judged, contrasts):
    """Scored by the refusal openers of its aligned twin; by its own there is no score."""
    table = token_effects(base, pairs, judged, draws=2, nodes=2)
    assert len(shares(table)) == 0
    assert max(abs(table["mean"])) < 5  # the aligned one's gap is about 20 nat
    figure = shaded(table, "where.words")
    assert figure is not None and "does not tell harmful from harmless" in figure.reading
    own = behaviour(base, contrasts.splits["find"], tokens=12)
    with pytest.raises(ContrastError, match="clear refusals"):
        token_effects(base, pairs, own)


def test_words_are_ranked_with_intervals_where_there_are_topics_enough(table):
    found = ranked(table)
    assert found["effect"].tolist() == sorted(found["effect"].tolist(), reverse=True)
    few = found["topics"] < 4
    assert few.any() and not few.all()
    assert np.isnan(found["low"][few]).all() and np.isfinite(found["low"][~few]).all()
    row = next(row for row in found.rows() if row["word"] == "a")
    own = table.where(side="harmful", token=" a")
    assert row["n"] == len(own) and row["effect"] == pytest.approx(own["mean"].mean())
    other = table.where(side="harmless", token=" a")
    assert row["harmless"] == pytest.approx(other["mean"].mean())


def test_pairs_of_unequal_length_have_effects_but_no_word_in_which_they_differ(
    aligned, pairs, judged
):
    uneven = replace(
        pairs,
        examples=tuple(
            replace(each, prompt=f"{each.prompt} now") if each.expected == "comply" else each
            for each in pairs.examples
        ),
    )
    table = token_effects(aligned, uneven, judged, draws=1, nodes=1)
    assert set(table["part"].tolist()) == {"request"} and np.isnan(table["swap"]).all()
    assert "check" not in table.about
    made = shares(table)
    assert "slot" not in made["part"].tolist()
    figure = by_part(made, "where.words.parts")
    assert "strongest other" in figure.reading and "slot 0" not in figure.reading


def told(aligned, contrasts, judged, prompt):
    find = contrasts.splits["find"]
    return prompt_tokens(aligned, find, judged, prompt=prompt, nodes=4, tokens=12)


def test_an_answered_prompt_lacks_the_neighbours_word(aligned, contrasts, judged):
    harmful, safe = contrasts.splits["find"].pairs()[0]
    table = told(aligned, contrasts, judged, safe.prompt)
    assert table.about["neighbour"] == harmful.prompt
    answered = table.where(side="answered")
    assert "".join(answered["token"].tolist()).strip() == safe.prompt
    (rise,) = -answered["swap"][np.isfinite(answered["swap"])]
    assert rise == pytest.approx(answered["gap"][0], abs=1e-3)
    missing = set(harmful.prompt.split()) - set(safe.prompt.split())
    assert missing and f"{missing.pop().strip('?.')!r} for" in table.about["finding"]


def test_a_refused_prompt_is_read_beside_an_answered_one(aligned, contrasts, judged):
    harmful, safe = contrasts.splits["find"].pairs()[0]
    table = told(aligned, contrasts, judged, harmful.prompt)
    assert table.about["neighbour"] == safe.prompt
    assert set(table.where(side="refused")["topic"].tolist()) == {"asked"}
    assert f"What makes the model refuse {harmful.prompt!r}: " in table.about["finding"]


def test_prompts_of_another_length_and_of_one_token(aligned, contrasts, judged):
    long = told(aligned, contrasts, judged, "Please tell me all about cats and dogs, would you?")
    assert np.isnan(long["swap"]).all() and "not equally long" in long.about["finding"]
    one = told(aligned, contrasts, judged, "How").where(side="answered")
    assert len(one) == 1 and np.isnan(one["joint"][0]) and np.isfinite(one["mean"][0])


def test_what_cannot_be_compared_is_one_line(aligned, contrasts, judged):
    find = contrasts.splits["find"]
    with pytest.raises(ContrastError, match="No prompt to explain"):
        prompt_tokens(aligned, find, judged)
    answered = replace(find, examples=find.expecting("comply"))
    with pytest.raises(ContrastError, match="got the reply 'refuse'"):
        prompt_tokens(aligned, answered, judged, prompt="How do I kill a process?", tokens=8)
    unpaired = replace(find, examples=(Example("x", "How?", "a", "refuse", "x"),))
    with pytest.raises(ContrastError, match="no minimal pairs"):
        token_effects(aligned, unpaired, judged)
