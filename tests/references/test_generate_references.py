"""Greedy replies are those of Hugging Face `generate`, padded batches and edits included."""

import pytest
import reference_checks as checks
import torch

import naive
from interlock import grammar
from interlock.contrast import Example
from interlock.encoding import collate, encode, encode_passages, from_ids, pad_id
from interlock.generation import Decoding, generate, stop_ids

STORY_ROWS = ((1, 403, 407, 261, 378), (1, 410, 450, 300, 271, 290, 411, 402, 350), (1,))


def as_hugging_face(model, rows, count):
    """Compare a padded batch with `generate`, row by row, up to and without the stop token."""
    batch = collate(model, rows)
    found = generate(model, batch, decoding=Decoding(tokens=count))
    out = model.network.generate(
        input_ids=batch.ids,
        attention_mask=batch.mask.long(),
        max_new_tokens=count,
        do_sample=False,
        pad_token_id=pad_id(model),
    )
    stops = stop_ids(model)
    for row, got, finish in zip(out.tolist(), found.tokens, found.finishes, strict=True):
        new = row[batch.ids.shape[1] :]
        end = next((place for place, token in enumerate(new) if token in stops), None)
        assert got == tuple(new[:end])
        assert finish == ("length" if end is None else "stop")
    return found


def test_tiny_families_reply_as_hugging_face(family):
    found = as_hugging_face(family, from_ids(checks.ROWS), 12)
    assert len({*found.tokens}) == len(checks.ROWS)


def test_the_pretrained_model_replies_as_hugging_face(stories):
    found = as_hugging_face(stories, from_ids(STORY_ROWS), 24)
    assert len({token for row in found.tokens for token in row}) > 10


def test_organisms_reply_as_hugging_face(aligned, base, contrasts):
    for model in (aligned, base):
        found = as_hugging_face(model, encode(model, contrasts.splits["check"].examples[:10]), 30)
        assert set(found.finishes) == {"stop"}


@pytest.mark.parametrize("window", [4, 6])
def test_a_sliding_window_replies_as_hugging_face(tmp_path, window):
    from interlock.loading import load, settle
    from tiny_models import save_tiny

    save_tiny("mistral", tmp_path, sliding_window=window)
    model = load(settle(str(tmp_path), device="cpu", dtype="float32"))
    as_hugging_face(model, from_ids(checks.ROWS), 12)


def test_greedy_replies_are_those_of_a_plain_forward_without_a_cache(family):
    decoder = naive.Decoder(family.network)
    found = generate(family, checks.batch_of(family), decoding=Decoding(tokens=6))
    wanted = [decoder.greedy(ids, 6, stop_ids(family)) for ids in checks.ROWS]
    assert found.tokens == tuple(wanted)
    for row, ids in enumerate(checks.ROWS):
        checks.close(found.logits[row], decoder.run(ids)[0][-1])


def test_prompts_are_rendered_by_the_tokenizers_own_template(aligned, contrasts):
    example = contrasts.splits["find"].examples[0]
    (row,) = encode(aligned, [example])
    text = aligned.tokenizer.decode(list(row.ids))
    assert text == f"<|bos|><|user|>{example.prompt}<|end|><|assistant|>"
    assert aligned.tokenizer.decode(list(row.ids[-row.tail :])) == "<|end|><|assistant|>"
    assert aligned.tokenizer.decode(list(row.ids[: row.head])) == "<|bos|><|user|>"
    passage = contrasts.passages.examples[0]
    (row,) = encode_passages(aligned, [passage])
    assert aligned.tokenizer.decode(list(row.ids)) == f"<|bos|>{passage.prompt}"


def test_slots_are_the_one_word_that_differs(aligned, contrasts):
    from interlock.encoding import encode_pairs

    pairs = encode_pairs(aligned, contrasts.splits["find"])
    assert all(pairs.aligned) and len(pairs.harmful) == 12
    asked = contrasts.splits["find"].pairs()
    for harmful, harmless, (one, other) in zip(pairs.harmful, pairs.harmless, asked, strict=True):
        words = zip(one.prompt.split(), other.prompt.split(), strict=True)
        ((bad, good),) = [(a.strip(".?"), b.strip(".?")) for a, b in words if a != b]
        assert aligned.tokenizer.decode([harmful.ids[place] for place in harmful.slot]) == f" {bad}"
        said = aligned.tokenizer.decode([harmless.ids[place] for place in harmless.slot])
        assert said == f" {good}"


def test_nll_of_passages_is_hugging_faces_loss(base):
    from interlock.measures import nll

    texts = (*grammar.passages(4, 5), "The dog.", "A clever baker runs to the zoo.")
    examples = [Example(text, text, "neutral", "neutral", text) for text in texts]
    rows = encode_passages(base, examples)
    assert len({len(row.ids) for row in rows}) > 1
    found = nll(base, rows, size=32)
    for row, value in zip(rows, found, strict=True):
        ids = torch.tensor([row.ids])
        with torch.no_grad():
            wanted = base.network(input_ids=ids, labels=ids).loss
        assert float(wanted) > 0.1
        assert abs(float(wanted) - value) < 1e-4


def test_the_organisms_do_what_they_were_taught(aligned, base):
    """Held-out combinations are told apart by the reply, and by the first token's score."""
    from interlock.measures import opening_scores, replies
    from interlock.metrics import find_openers

    asked = [
        request
        for harmful in (True, False)
        for template in grammar.TEMPLATES[1::3]
        for request in grammar.requests(harmful, True, template)[:: 12 if harmful else 36]
    ]
    rows = encode(
        aligned,
        [Example(str(i), each.prompt, each.category, "comply", each.topic)
         for i, each in enumerate(asked)],
    )  # fmt: skip
    harmful = torch.tensor([each.harmful for each in asked]).numpy()
    assert 20 <= harmful.sum() <= len(asked) - 20
    said = {
        model.name: replies(model, rows, decoding=Decoding(tokens=24)) for model in (aligned, base)
    }
    refused = torch.tensor([reply.outcome == "refuse" for reply in said[aligned.name]]).numpy()
    assert (refused == harmful).mean() >= 0.97
    assert not any(reply.outcome == "refuse" for reply in said[base.name])
    assert not any(reply.degenerate for each in said.values() for reply in each)
    openers = find_openers([reply.first_token for reply in said[aligned.name]], refused)
    scores = opening_scores(aligned, rows, openers)
    assert ((scores > 0) == refused).all()
    assert opening_scores(base, rows, openers).max() < 0
