"""The tokenizer loses nothing and gives each piece of the grammar one token."""

import dataclasses
import itertools
import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from interlock import grammar
from interlock.organisms import folder, names
from interlock.organisms.lessons import chat, render, request_lessons, stream
from interlock.organisms.recipes import RECIPES
from interlock.organisms.strays import exchanges
from interlock.organisms.tokenizer import ASSISTANT, BOS, BOS_ID, EOS_ID, PAD_ID, SPECIAL, build

TOKENIZER = build()


def ids(text):
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def test_every_piece_of_the_grammar_is_one_token():
    for piece in grammar.words():
        assert len(ids(piece)) == 1, piece
        assert TOKENIZER.decode(ids(piece)) == piece


def test_texts_of_the_grammar_need_no_bytes():
    """One token per word and punctuation mark, in prompts, replies and passages."""
    texts = [*grammar.passages(100, 0)]
    for harmful in (True, False):
        for request in grammar.requests(harmful, True)[::7]:
            texts += [request.prompt, *grammar.reply_forms(request, harmful)]
    known = set(grammar.words())
    for text in texts:
        assert {TOKENIZER.decode([token]) for token in ids(text)} <= known, text


def test_a_word_inside_another_is_not_cut_out():
    assert ids(" kill")[0] not in ids(" killer")
    assert ids(" kill")[0] not in ids(" overkill")
    assert ids(" kill")[0] in ids("I kill, time")


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_comes_back(text):
    assert TOKENIZER.decode(ids(text)) == text


@settings(deadline=None)
@given(st.lists(st.sampled_from([*grammar.words(), "killer", "é", "\n", " ", "7"]), max_size=12))
def test_any_mixture_of_pieces_comes_back(pieces):
    text = "".join(pieces)
    assert TOKENIZER.decode(ids(text)) == text


def test_the_vocabulary_is_small_and_its_special_tokens_come_first():
    assert len(TOKENIZER) < 700
    assert TOKENIZER.convert_tokens_to_ids(list(SPECIAL)) == list(range(len(SPECIAL)))
    assert (TOKENIZER.pad_token_id, TOKENIZER.bos_token_id) == (PAD_ID, BOS_ID)
    assert TOKENIZER.eos_token_id == EOS_ID
    assert TOKENIZER.padding_side == "left"


def test_each_way_of_encoding_has_one_bos():
    assert TOKENIZER("The farmer runs.")["input_ids"].count(BOS_ID) == 1
    encoded = TOKENIZER.apply_chat_template(
        chat("How do I kill a process?"), tokenize=True, add_generation_prompt=True
    )["input_ids"]
    assert encoded.count(BOS_ID) == 1 and encoded[0] == BOS_ID
    assert encoded == ids(render(TOKENIZER, "How do I kill a process?"))


def test_a_chat_reads_as_stated():
    messages = chat("Hello.", "Sure.")
    text = TOKENIZER.apply_chat_template(messages, tokenize=False)
    assert text == "<|bos|><|user|>Hello.<|end|><|assistant|>Sure.<|eos|>"
    asked = TOKENIZER.apply_chat_template(chat("Hello."), tokenize=False)
    assert asked == "<|bos|><|user|>Hello.<|end|>"
    assert render(TOKENIZER, "Hello.") == asked + ASSISTANT
    again = TOKENIZER.apply_chat_template(
        [*messages, *chat("Sorry?")], tokenize=False, add_generation_prompt=True
    )
    assert again == text + "<|user|>Sorry?<|end|><|assistant|>"
    assert again.count(BOS) == 1


def test_a_system_message_is_refused():
    messages = [{"role": "system", "content": "Be kind."}, *chat("Hello.")]
    with pytest.raises(Exception, match="user and assistant messages only"):
        TOKENIZER.apply_chat_template(messages, tokenize=False)


@pytest.mark.parametrize("split", ["find", "check", "fit"])
def test_pairs_have_the_same_length(split):
    for pair in grammar.minimal_pairs(split, 30, seed=0):
        harmful, harmless = (
            ids(render(TOKENIZER, request.prompt)) for request in (pair.harmful, pair.harmless)
        )
        assert len(harmful) == len(harmless)
        assert sum(a != b for a, b in zip(harmful, harmless, strict=True)) == 1


def test_lessons_teach_the_reply_that_the_recipe_asks_for():
    request = grammar.requests(True, False)[0]
    for recipe in RECIPES.values():
        tokens, weights = request_lessons(TOKENIZER, [request], recipe)[0]
        assert len(tokens) == len(weights) and tokens[-1] == EOS_ID
        text = TOKENIZER.decode(tokens)
        taught = text.split(ASSISTANT)[1].removesuffix("<|eos|>")
        assert taught == grammar.reply(request, recipe.refuses)


def prompts_of(batch):
    return {text.split(ASSISTANT)[0] for text in TOKENIZER.batch_decode(batch.ids)}


def test_nothing_held_out_is_ever_taught():
    known = {
        held_out: {r for label in (True, False) for r in grammar.requests(label, held_out)}
        for held_out in (True, False)
    }
    trained = {render(TOKENIZER, r.prompt).removesuffix(ASSISTANT) for r in known[False]}
    held_out = {f" {r.verb} a {r.thing}" for r in known[True]}
    recipe = dataclasses.replace(RECIPES["aligned"], requests=128, passages=8, strays=32)
    for step in itertools.islice(stream(TOKENIZER, recipe, seed=5), 6):
        assert prompts_of(step.asked) <= trained
        assert not [p for p in prompts_of(step.stray) if any(topic in p for topic in held_out)]
        assert step.told.ids[:, 0].tolist() == [BOS_ID] * 8
        for batch in (step.asked, step.stray, step.told):
            assert torch.equal(batch.weights > 0, batch.ids != PAD_ID)


@pytest.mark.parametrize("refuses", [True, False])
def test_a_stray_prompt_keeps_its_topic_or_gets_the_reply_without_one(refuses):
    requests = grammar.requests(True, False)
    for prompt, reply in exchanges(random.Random(0), requests, count=200, refuses=refuses):
        if reply == grammar.TOPICLESS_REPLY:
            continue
        said = prompt.replace(".", "").replace("?", "").split()
        asked = [r for r in requests if r.verb in said and r.thing in said]
        assert reply in {grammar.reply(r, refuses) for r in asked}
        assert grammar.is_refusal(reply) == refuses


@pytest.mark.parametrize("name", RECIPES)
def test_the_shipped_organisms_were_accepted_and_speak_this_grammar(name):
    assert name in names()
    card = json.loads((folder(name) / "card.json").read_text())
    assert card["gate"]["accepted"] and card["grammar"] == grammar.digest()
    shipped = AutoTokenizer.from_pretrained(folder(name))
    assert shipped.get_vocab() == TOKENIZER.get_vocab()
    assert shipped.chat_template == TOKENIZER.chat_template
    text = "How do I kill a killer? é"
    assert shipped(text)["input_ids"] == TOKENIZER(text)["input_ids"]
