"""Laws of generation: batches do not matter; edits act in the steps they say."""

from functools import partial

import pytest
import torch

import naive
from interlock.activations import record
from interlock.edits import add, edited, mean, project, put, scale, zero
from interlock.encoding import collate, encode, from_ids
from interlock.generation import Decoding, generate, stop_ids
from interlock.measures import nll, opening_scores, replies
from interlock.metrics import Openers
from interlock.sites import Site, parse, unit

ROWS = ((1, 5, 9, 13, 7), (1, 4, 8, 20, 33, 41, 6, 11), (1, 30, 2, 17, 17, 3))
STEPS = Decoding(tokens=7)


def test_a_batch_says_what_each_row_says_alone(family):
    together = generate(family, collate(family, from_ids(ROWS)), decoding=STEPS)
    assert len({*together.tokens}) == len(ROWS)
    for row, ids in enumerate(ROWS):
        alone = generate(family, collate(family, from_ids([ids])), decoding=STEPS)
        assert alone.tokens[0] == together.tokens[row]
        assert alone.finishes[0] == together.finishes[row]
        assert torch.allclose(alone.logits[0], together.logits[row], atol=1e-5)


def test_an_organisms_batch_says_what_each_prompt_says_alone(aligned, contrasts):
    rows = encode(aligned, contrasts.splits["check"].examples[:8])
    assert len({len(row.ids) for row in rows}) > 1
    decoding = Decoding(tokens=24)
    edits = [scale(unit("head", 1, 2), 0.5, during="always")]
    for changes in ((), edits):
        together = replies(aligned, rows, decoding=decoding, edits=changes, size=8)
        assert len({reply.text for reply in together}) > 2
        assert together == replies(aligned, rows, decoding=decoding, edits=changes, size=1)
        assert together == replies(aligned, rows, decoding=decoding, edits=changes, size=3)


def test_no_edits_are_the_baseline(family):
    batch = collate(family, from_ids(ROWS))
    plain, empty = (generate(family, batch, decoding=STEPS, edits=e) for e in ((), []))
    assert plain.tokens == empty.tokens
    assert torch.equal(plain.logits, empty.logits)
    one = [scale(Site("mlp", 0), 1.0, during="always")]
    assert generate(family, batch, decoding=STEPS, edits=one).tokens == plain.tokens


def push(width, seed=5):
    return 3 * torch.randn(1, 1, width, generator=torch.Generator().manual_seed(seed))


CHANGES = {
    "add to the stream": ("resid_post.1", "add"),
    "add to the last token": ("resid_post.0@last", "add"),
    "set one head": ("head.1.2", "set"),
    "set all attention at the last token": ("attn.2@last", "set"),
    "scale neurons": ("neuron.1.2:17", "scale"),
    "scale keys": ("key.1", "scale"),
    "project": ("resid_post.1", "project"),
}


@pytest.mark.parametrize("during", ["prompt", "always"])
@pytest.mark.parametrize("name", list(CHANGES))
def test_an_edit_acts_in_the_steps_it_says(family, name, during):
    """Against running the whole text again, without a cache, for each token, with that change.

    `always` acts on the site's prompt positions and on every token that was generated.
    """
    text, action = CHANGES[name]
    site = parse(text)
    columns = family.shape.columns(site)
    batch = collate(family, from_ids(ROWS))
    width = record(family, batch, [site]).values[site].shape[-1]
    value = push(width)
    direction = value[0, 0] / value[0, 0].norm()
    edit = {
        "add": lambda: add(site, value, during=during),
        "set": lambda: put(site, value, during=during),
        "scale": lambda: scale(site, -2.5, during=during),
        "project": lambda: project(site, value[0, 0], onto=2.0, during=during),
    }[action]()
    found = generate(family, batch, decoding=STEPS, edits=[edit])
    decoder = naive.Decoder(family.network)

    def changed(old, own):
        tokens = torch.arange(len(old))
        first = own - 1 if site.position == "last" else 0
        acts = (tokens >= first) & ((tokens < own) | (during == "always"))
        new = old.clone()
        part = new[acts][:, columns]
        if action == "add":
            part = part + value[0, 0].double()
        elif action == "set":
            part = value[0, 0].double().expand_as(part)
        elif action == "scale":
            part = part * -2.5
        else:
            unit_way = direction.double()
            part = part + (2.0 - part @ unit_way)[:, None] * unit_way
        whole = new[acts]
        whole[:, columns] = part
        new[acts] = whole
        return new

    stops = stop_ids(family)
    plain = generate(family, batch, decoding=STEPS).tokens
    wanted = []
    for ids in ROWS:
        place = {(site.kind, site.layer): partial(changed, own=len(ids))}
        wanted.append(decoder.greedy(ids, STEPS.tokens, stops, place))
    assert found.tokens == tuple(wanted)
    assert found.tokens != plain, "the edit does nothing, so nothing is compared"


def test_prompt_and_always_differ(family):
    batch = collate(family, from_ids(ROWS))
    both = [
        generate(
            family, batch, decoding=STEPS, edits=[add(parse("mlp.1"), push(24), during=during)]
        )
        for during in ("prompt", "always")
    ]
    assert torch.equal(both[0].logits, both[1].logits)
    assert both[0].tokens != both[1].tokens


def test_a_mean_acts_on_the_prompt_alone(aligned, contrasts):
    from interlock.activations import reference

    rows = encode(aligned, contrasts.splits["find"].examples[:3])
    site = Site("attn", 1)
    edit = mean(site, reference(aligned, rows, [site], name="prompts"))
    assert edit.during == "prompt"
    found = generate(aligned, collate(aligned, rows), edits=[edit], decoding=Decoding(6))
    decoder, stops = naive.Decoder(aligned.network), stop_ids(aligned)
    for row, got in zip(rows, found.tokens, strict=True):
        own = len(row.ids)
        middle = [2] * (own - 4)
        value = edit.value[0, [0, 1, *middle, 3, 4]].double()
        change = naive.replaced(slice(0, own), slice(None), value)
        assert got == decoder.greedy(row.ids, 6, stops, {("attn", 1): change})


def test_every_reply_stops_at_its_own_stop_token(aligned, contrasts):
    rows = encode(aligned, contrasts.splits["find"].examples[:8])
    found = generate(aligned, collate(aligned, rows), decoding=Decoding(tokens=40))
    assert set(found.finishes) == {"stop"}
    assert len({len(tokens) for tokens in found.tokens}) > 1
    assert not set(stop_ids(aligned)) & {token for row in found.tokens for token in row}
    short = generate(aligned, collate(aligned, rows), decoding=Decoding(tokens=3))
    assert set(short.finishes) == {"length"}
    assert short.tokens == tuple(tokens[:3] for tokens in found.tokens)


def test_no_new_tokens_still_give_the_first_logits(llama):
    batch = collate(llama, from_ids(ROWS))
    found = generate(llama, batch, decoding=Decoding(tokens=0))
    assert found.tokens == ((), (), ())
    assert torch.allclose(found.logits, record(llama, batch, []).logits, atol=1e-6)


def test_drawn_replies_repeat_with_their_seed(llama):
    batch = collate(llama, from_ids(ROWS))
    draws = [
        generate(llama, batch, decoding=Decoding(tokens=8, temperature=1.5, seed=seed)).tokens
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_a_model_without_a_stop_token_goes_on_to_the_limit(tmp_path):
    from interlock.loading import load, settle
    from tiny_models import save_tiny

    save_tiny("llama", tmp_path, eos_token_id=None)
    model = load(settle(str(tmp_path), device="cpu", dtype="float32"))
    assert stop_ids(model) == []
    found = generate(model, collate(model, from_ids(ROWS)), decoding=STEPS)
    assert found.finishes == ("length",) * 3
    assert {len(tokens) for tokens in found.tokens} == {7}


def test_measures_do_not_depend_on_batches(aligned, contrasts):
    rows = encode(aligned, contrasts.splits["check"].examples[:7])
    openers = Openers((300, 310), (320, 330), 1.0, 1)
    edits = [zero(unit("head", 0, 1))]
    for measure in (
        lambda size: opening_scores(aligned, rows, openers, edits=edits, size=size),
        lambda size: nll(aligned, rows, edits=edits, size=size),
    ):
        first, second, third = (torch.tensor(measure(size)) for size in (1, 3, 32))
        assert first.std() > 1e-3
        assert torch.allclose(first, second, atol=1e-4) and torch.allclose(first, third, atol=1e-4)


def test_an_edited_batch_refuses_other_rows(llama):
    from interlock.activations import forward

    here, other = collate(llama, from_ids(ROWS)), collate(llama, from_ids(ROWS[:2]))
    with edited(llama, [zero(Site("mlp", 0))], here), pytest.raises(AssertionError, match="rows"):
        forward(llama, other)
