"""Whole replies under patching: by hand, on the planted chain, and beside random sets."""

from dataclasses import replace

import pytest
import torch

from interlock.activations import forward, record
from interlock.edits import edited, put
from interlock.encoding import collate
from interlock.errors import ContrastError
from interlock.exchange import rows_of, usable_pairs
from interlock.loading import load, settle
from interlock.methods.patched_replies import patched_replies
from interlock.organisms import folder
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs as planted_pairs
from interlock.organisms.truth import read_truth
from interlock.verification.patched import summary

NAME = "planted-chain-0"


@pytest.fixture(scope="module")
def chain():
    """The planted chain, pairs of check, and its units."""
    truth = read_truth(folder(NAME))
    model = load(settle(f"organism:{NAME}", device="cpu", dtype="float32"))
    return model, planted_pairs(PLANTS[truth.plant], "check", 12, 0), truth.units


@torch.no_grad()
def by_hand(model, row, other, sites, tokens):
    """Greedy tokens without a cache; the prompt's own are patched in every pass."""
    values = record(model, collate(model, [other]), sites).values
    said = []
    for _ in range(tokens):
        edits = [
            put(site.at(str(place)), values[site][:, place : place + 1])
            for site in sites
            for place in range(len(row.ids))
        ]
        batch = collate(model, [replace(row, ids=(*row.ids, *said))])
        with edited(model, edits, batch):
            logits = forward(model, batch)[0, -1]
        said.append(int(logits.argmax()))
    return said


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_replies_are_those_of_passes_without_a_cache(chain, direction):
    model, pairs, units = chain
    tokens = 8
    table = patched_replies(model, pairs, units, direction=direction, controls=0, tokens=tokens)
    usable, _ = usable_pairs(model, pairs, ("all",))
    found = table.where(kind="found")
    for number, (harmful, harmless) in enumerate(rows_of(usable)[:3]):
        row, other = (harmless, harmful) if direction == "denoise" else (harmful, harmless)
        ids = by_hand(model, row, other, units, tokens)
        text = model.tokenizer.decode(ids, skip_special_tokens=True)
        assert str(found["reply"][number]).strip() == text.strip()


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_planted_set_turns_the_opening_and_random_sets_do_not(chain, direction):
    """The plant decides the first token; what follows is the model's own and may not go along."""
    model, pairs, units = chain
    table = patched_replies(model, pairs, units, direction=direction, tokens=24)
    own, other = ("Sure", "Sorry") if direction == "denoise" else ("Sorry", "Sure")
    for kind, word in (("unpatched", own), ("found", other), ("matched random", own)):
        said = [str(text).split()[0].strip(",") for text in table.where(kind=kind)["reply"]]
        assert set(said) == {word}, kind


def test_rates_by_kind_of_set(chain):
    model, pairs, units = chain
    rates = {
        direction: {
            row["patched"]: row
            for row in summary(
                patched_replies(model, pairs, units, direction=direction, tokens=24)
            ).rows()
        }
        for direction in ("denoise", "noise")
    }
    harmless, harmful = rates["denoise"], rates["noise"]
    assert harmless["unpatched"]["refusal"] == harmless["matched random"]["refusal"] == 0
    assert 0 < harmless["found"]["refusal"] < 1
    assert harmful["unpatched"]["refusal"] == harmful["matched random"]["refusal"] == 1
    assert harmful["found"]["refusal"] == 0
    assert harmful["matched random"]["sets"] == 3 and harmful["found"]["n"] == 12
    assert {row["prompts"] for row in harmless.values()} == {"harmless"}
    for row in (*harmless.values(), *harmful.values()):
        assert row["low"] <= row["refusal"] <= row["high"] and row["degenerate"] == 0


def test_replies_do_not_depend_on_the_batch(chain):
    model, pairs, units = chain
    one, many = (
        patched_replies(model, pairs, units[:1], controls=1, tokens=12, batch=size)
        for size in (1, 32)
    )
    assert one["reply"].tolist() == many["reply"].tolist()


def test_nothing_to_patch_is_refused(chain):
    model, pairs, _ = chain
    with pytest.raises(ContrastError, match="No site is given"):
        patched_replies(model, pairs, ())
