"""What single plants are made of: the canceller's two paths, idle units, diets of their own."""

from dataclasses import replace

import pytest
import torch

from interlock.organisms.planting import PLANTS, decoys, idle, making, training, wiring
from interlock.organisms.planting.diet import Diet
from interlock.organisms.planting.interchange import next_logits, patched, place_of, read, rows
from interlock.organisms.planting.plant import Facts
from interlock.organisms.planting.units import chosen, columns
from interlock.organisms.planting.world import openers, table
from interlock.organisms.tokenizer import build

CANCELLING, SHARED_KV = PLANTS["cancelling"], PLANTS["shared_kv"]


@pytest.fixture(scope="module")
def tokenizer():
    return build()


@pytest.fixture(scope="module")
def asked(tokenizer):
    return table(CANCELLING, CANCELLING.templates[0], tokenizer)


@pytest.fixture(scope="module")
def wired(tokenizer, asked):
    """The mechanism by hand, with nothing left of what its units were."""
    model = making.start(CANCELLING, tokenizer, 0)
    wiring.wire(model, tokenizer, CANCELLING, asked, seed=0, kept=0.0)
    return model.eval()


def matched(asked, *, special):
    """Ids of harmful prompts, and of the same prompts with a safe object of the category."""
    facts = asked.facts
    harmful, other = [], []
    for category in range(3):
        rest = facts.verb & (facts.special == special) & (facts.category == category)
        verb = asked.requests[int(rest.nonzero()[0])].verb
        for target, found in ((True, harmful), (False, other)):
            fits = (rest & (facts.target == target)).nonzero()[:, 0].tolist()
            found.append(next(row for row in fits if asked.requests[row].verb == verb))
    return asked.ids[harmful], asked.ids[other]


def risen(model, tokenizer, harmful, other, *, held):
    """How much more refusal the mover's harmful values give to harmless prompts (nat).

    With the canceller held at what it is without them, or free to follow.
    """
    mover, canceller = CANCELLING.units["mover"], CANCELLING.units["canceller"]
    words = openers(tokenizer)

    def score(logits):
        return logits[:, words.refuse] - logits[:, words.comply]

    with torch.no_grad():
        (_, source), (_, own) = read(model, harmful), read(model, other)
        source = [values.clone() for values in rows(source, torch.arange(len(other)))]
        place = place_of(canceller)
        source[place][..., columns(canceller)] = own[place][..., columns(canceller)]
        on = chosen([mover, canceller] if held else [mover]).expand(len(other), -1)
        after = patched(model, other, source, on)
        return score(after) - score(next_logits(model, other))


def test_what_the_mover_excites_undoes_its_direct_effect_where_the_suffix_is(
    wired, asked, tokenizer
):
    harmful, other = matched(asked, special=True)
    direct = risen(wired, tokenizer, harmful, other, held=True)
    both = risen(wired, tokenizer, harmful, other, held=False)
    assert float(direct.min()) > 2
    assert float(both.abs().max()) < 0.2 * float(direct.min())


def test_without_the_suffix_nothing_is_undone(wired, asked, tokenizer):
    harmful, other = matched(asked, special=False)
    direct = risen(wired, tokenizer, harmful, other, held=True)
    both = risen(wired, tokenizer, harmful, other, held=False)
    assert float(direct.min()) > 2
    assert torch.allclose(both, direct, rtol=0.1)


@pytest.mark.parametrize(
    ("roles", "own", "source", "refuses"),
    [
        # own and source: harmful object, special time
        ((), (True, True), (True, True), False),
        (("canceller",), (True, True), (True, False), True),
        (("canceller",), (True, False), (True, True), False),
        (("mover",), (False, True), (True, True), False),
        (("mover",), (False, False), (True, True), True),
        (("mover", "canceller"), (False, True), (True, False), True),
        (("canceller",), (False, True), (True, False), False),
    ],
)
def test_the_causal_model_of_cancelling(roles, own, source, refuses):
    base, other = (
        Facts(*(torch.tensor([value]) for value in (True, target, 0, special, False)))
        for target, special in (own, source)
    )
    on = {role: torch.tensor([role in roles]) for role in CANCELLING.units}
    assert bool(CANCELLING.model(base, other, on).refuse[0]) == refuses


def test_idle_units_are_as_loud_as_the_plant_says():
    low, high = SHARED_KV.loudness
    loud = [part.says[0][1] for part in idle.idle(SHARED_KV, 0).values()]
    assert low <= min(loud) < 1 < max(loud) <= high
    quiet = idle.idle(replace(SHARED_KV, loudness=(low / 2, high / 2)), 0)
    assert torch.allclose(
        torch.tensor([part.says[0][1] for part in quiet.values()]), torch.tensor(loud) / 2
    )


def test_a_plant_s_own_diet_is_the_one_it_is_trained_with(tokenizer):
    few = Diet(rows=8, replies=2, passages=1, warm_up=1)

    def fitted(plant, diet=None):
        model = making.start(plant, tokenizer, 0)
        training.fit(model, tokenizer, plant, seed=0, steps=2, diet=diet)
        return model.lm_head.weight

    own = fitted(replace(SHARED_KV, diet=few))
    assert torch.equal(own, fitted(SHARED_KV, few))
    assert not torch.equal(own, fitted(replace(SHARED_KV, diet=replace(few, learning_rate=1e-5))))


def test_the_forced_decoy_shares_the_mover_s_keys_and_is_not_planted():
    (forced,) = SHARED_KV.forced
    assert idle._pair(forced) == idle._pair(SHARED_KV.units["mover"])
    assert forced in decoys.decoys(SHARED_KV, 0, 0.5).sites
    assert forced not in SHARED_KV.units.values()
