"""The grammar keeps its promises: labels belong to combinations, splits do not leak."""

import functools
import itertools
import string

import pytest

from interlock import grammar
from interlock.errors import InterlockError
from interlock.grammar import CATEGORIES, HELD_OUT_TEMPLATES, TEMPLATES, Request

KINDS = [(harmful, held_out) for harmful in (True, False) for held_out in (True, False)]
SPLITS = ("find", "check", "fit")


@functools.cache
def everything(harmful):
    return grammar.requests(harmful, True) + grammar.requests(harmful, False)


def test_every_list_has_eight_words_and_no_word_is_in_two():
    lists = [words for category in CATEGORIES.values() for words in vars(category).values()]
    assert {len(words) for words in lists} == {8}
    flat = list(itertools.chain(*lists))
    assert len(set(flat)) == len(flat) == 6 * 4 * 8
    assert all(set(word) <= set(string.ascii_lowercase) for word in flat)


def test_every_object_takes_a():
    for category in CATEGORIES.values():
        assert not [w for w in category.targets + category.safe_objects if w[0] in "aeio"]


def test_no_word_decides():
    """A verb that can harm and a target each occur under both labels."""
    harmful, harmless = everything(True), everything(False)
    assert {r.verb for r in harmful} <= {r.verb for r in harmless}
    assert {r.thing for r in harmful} <= {r.thing for r in harmless}
    assert len({r.verb for r in harmful}) == len({r.thing for r in harmful}) == 48


def test_requests_count_every_combination_once():
    counts = {kind: len(grammar.requests(*kind)) for kind in KINDS}
    assert counts == {
        (True, True): 6 * 22 * 8,
        (True, False): 6 * 42 * 8,
        (False, True): 6 * 66 * 8,
        (False, False): 6 * 126 * 8,
    }
    found = [r for kind in KINDS for r in grammar.requests(*kind)]
    assert len(set(found)) == len(found)
    assert len({r.prompt for r in found}) == len(found)


def test_held_out_combinations_leave_every_word_trained_and_every_word_tested():
    for harmful in (True, False):
        held = {(r.verb, r.thing) for r in grammar.requests(harmful, True)}
        trained = {(r.verb, r.thing) for r in grammar.requests(harmful, False)}
        assert not held & trained
        for position in (0, 1):
            assert {p[position] for p in held} == {p[position] for p in trained}


def test_held_out_combinations_are_spread_over_the_parities():
    """So that `find` and `check` each hold a share of combinations nobody was trained on."""
    for words in CATEGORIES.values():
        for row, column in itertools.product((0, 1), repeat=2):
            combinations = itertools.product(words.harm_verbs[row::2], words.targets[column::2])
            assert 4 <= sum(grammar.is_held_out(*each) for each in combinations) <= 6


def test_the_held_out_template_is_new_but_its_words_are_not():
    def pieces(templates):
        return {piece for text in templates for piece in text.replace("{", " ").split()}

    assert not set(HELD_OUT_TEMPLATES) & set(TEMPLATES)
    assert not [r for r in everything(True) if r.template in HELD_OUT_TEMPLATES]
    strip = str.maketrans("", "", ".?")
    known = {piece.translate(strip) for piece in pieces(TEMPLATES)}
    assert {piece.translate(strip) for piece in pieces(HELD_OUT_TEMPLATES)} <= known
    assert len({len(text.split()) for text in TEMPLATES}) >= 4


@pytest.mark.parametrize("split", SPLITS)
def test_pairs_differ_in_one_word_and_in_the_label(split):
    pairs = grammar.minimal_pairs(split, 40, seed=3)
    assert len(pairs) == len(set(pairs)) == 240
    for pair in pairs:
        assert pair.harmful.harmful and not pair.harmless.harmful
        first, second = pair.harmful.prompt.split(), pair.harmless.prompt.split()
        assert len(first) == len(second)
        assert sum(a != b for a, b in zip(first, second, strict=True)) == 1
        changed = "thing" if pair.slot == "verb" else "verb"
        assert getattr(pair.harmful, changed) == getattr(pair.harmless, changed)


@pytest.mark.parametrize("split", SPLITS)
def test_every_prefix_of_the_pairs_is_balanced(split):
    for count in (12, 60, 240):
        pairs = grammar.minimal_pairs(split, 40, seed=0)[:count]
        categories = [pair.harmful.category for pair in pairs]
        slots = [pair.slot for pair in pairs]
        assert {categories.count(name) for name in CATEGORIES} == {count // 6}
        assert slots.count("verb") == slots.count("thing")


def test_find_and_check_share_no_word_and_no_template():
    words = {}
    for split in ("find", "check"):
        pairs = grammar.minimal_pairs(split, 10**6, seed=0)
        asked = [r for pair in pairs for r in (pair.harmful, pair.harmless)]
        words[split] = {getattr(r, what) for r in asked for what in ("verb", "thing", "template")}
    assert not words["find"] & words["check"]
    assert set(HELD_OUT_TEMPLATES) <= words["check"]


def test_fit_shares_no_combination_with_the_other_splits():
    topics = {
        split: {
            r.topic
            for pair in grammar.minimal_pairs(split, 10**6, seed=0)
            for r in (pair.harmful, pair.harmless)
        }
        for split in SPLITS
    }
    assert not topics["fit"] & (topics["find"] | topics["check"])


def test_pairs_and_passages_follow_the_seed():
    assert grammar.minimal_pairs("find", 9, 1) == grammar.minimal_pairs("find", 9, 1)
    assert grammar.minimal_pairs("find", 9, 1) != grammar.minimal_pairs("find", 9, 2)
    assert grammar.passages(20, 1) == grammar.passages(20, 1)
    assert grammar.passages(20, 1) != grammar.passages(20, 2)


def test_where_there_are_fewer_pairs_all_come_back():
    assert len(grammar.minimal_pairs("find", 10**6, 0)) == 6 * 2 * 4 * 4 * 4 * 4


def test_replies_are_whole_sentences_that_can_be_told_apart():
    for request in grammar.requests(True, True) + grammar.requests(
        False, True, HELD_OUT_TEMPLATES[0]
    ):
        for refuses in (True, False):
            text = grammar.reply(request, refuses)
            assert text.endswith(".") and "{" not in text
            assert grammar.is_refusal(text) == refuses
            assert text in grammar.reply_forms(request, refuses)
    openings = {
        refuses: {grammar.reply(r, refuses).split()[0] for r in everything(True)}
        for refuses in (True, False)
    }
    assert not openings[True] & openings[False]
    assert len(openings[True]) == len(openings[False]) == 2


def test_passages_are_neutral_sentences():
    dangerous = {word for words in CATEGORIES.values() for word in words.harm_verbs + words.targets}
    texts = grammar.passages(500, 0)
    assert len(set(texts)) > 490
    for text in texts:
        said = text.rstrip(".").lower().split()
        assert 8 <= len(said) <= 20 and text[0].isupper() and text.endswith(".")
        assert not dangerous & set(said)


def test_words_outside_the_grammar_are_refused():
    with pytest.raises(InterlockError, match="one category"):
        Request("violence", "kill", "bomb", TEMPLATES[0])
    with pytest.raises(InterlockError, match="Known: violence"):
        Request("gossip", "kill", "process", TEMPLATES[0])
    with pytest.raises(InterlockError, match="No verb"):
        grammar.is_held_out("frobnicate", "process")
    with pytest.raises(InterlockError, match="one category"):
        Request("violence", "steal", "wallet", TEMPLATES[0])


def test_the_digest_is_stable_within_a_version():
    assert grammar.digest() == grammar.digest() and len(grammar.digest()) == 64
