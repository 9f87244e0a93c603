"""Bands of layers on planted models: what they write, where, and what the three rules make of it.

The chain: a head reads the verb at the object, neurons there detect the harm, a head moves it to
the last token, neurons there refuse.
"""

import copy
import itertools

import numpy as np
import pytest
import torch

from interlock import datasets
from interlock.errors import ContrastError
from interlock.grammar import CATEGORIES
from interlock.loading import load, settle
from interlock.methods.bands import bands
from interlock.methods.behaviour import behaviour
from interlock.organisms import folder
from interlock.organisms.truth import read_truth
from interlock.studies.bands import conclude
from interlock.tables import Table
from interlock.verdict import RULES, decide
from interlock.verification.bands import ACCOUNT

NAME = "planted-chain-0"


@pytest.fixture(scope="module")
def sets():
    return datasets.load("grammar", per_category=16, passages=1, seed=0)


@pytest.fixture(scope="module")
def roles() -> dict[str, int]:
    """The layer of each planted unit, by what it is in the chain."""
    names = ("verb", "detector", "mover", "refuser")
    units = read_truth(folder(NAME)).units
    return {name: unit.layer for name, unit in zip(names, units, strict=True)}


def opened(name: str):
    return load(settle(name, device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def chain(private_cache):
    return opened(f"organism:{NAME}")


@pytest.fixture(scope="module")
def judged_chain(chain, sets) -> Table:
    return behaviour(chain, sets.splits["find"], tokens=16)


@pytest.fixture(scope="module")
def by_thirds(chain, sets, judged_chain) -> Table:
    return bands(chain, sets.splits["check"], judged_chain)


@pytest.fixture(scope="module")
def mover_late(chain, sets, judged_chain, roles) -> Table:
    """The late band begins with the mover."""
    cuts = (roles["mover"] - 1, roles["mover"])
    assert cuts == (1, 2)
    return bands(chain, sets.splits["check"], judged_chain, cuts=cuts)


def shares(table: Table, source: str = "harmful", only=None) -> dict[tuple[str, str], float]:
    """Share of the gap by band and place, of the pairs in which a verb or a noun differs."""
    rows = [
        row for row in table.where(source=source).rows()
        if only is None or str(row["flip"]).split(" -> ")[1].strip(".?") in only
    ]  # fmt: skip
    assert rows
    sums: dict = {}
    for row in rows:
        both = sums.setdefault((row["band"], row["position"]), [0.0, 0.0])
        both[0] += row["effect"]
        both[1] += row["gap"]
    return {key: effect / gap for key, (effect, gap) in sums.items()}


def is_about(found: float, wanted: float) -> bool:
    return abs(found - wanted) < 0.1


def outcomes(table: Table) -> dict[str, str]:
    return {
        each: decide(RULES[each], conclude({"denoise": table}, each).evidence).outcome
        for each in ACCOUNT
    }


VERBS = {verb for words in CATEGORIES.values() for verb in words.harm_verbs}
NOUNS = {noun for words in CATEGORIES.values() for noun in words.targets}


def test_the_table_tells_where_the_chain_writes(by_thirds, roles):
    band = {
        layer: name
        for name, span in {"early": (0, 1), "middle": (1, 3), "late": (3, 4)}.items()
        for layer in range(*span)
    }
    assert band[roles["verb"]] == band[roles["detector"]] == "early"
    assert (band[roles["mover"]], band[roles["refuser"]]) == ("middle", "late")
    # the object is the slot where nouns differ, and comes after it where verbs do
    for words, object_place, other in ((NOUNS, "slot", "rest"), (VERBS, "rest", "slot")):
        found = shares(by_thirds, only=words)
        assert is_about(found["early", object_place], 1)
        assert is_about(found["early", other], 0)
        for name, place in itertools.product(("middle", "late"), ("slot", "rest")):
            assert is_about(found[name, place], 0)
        assert is_about(found["early", "last"], 0)
        assert is_about(found["middle", "last"], 1)
        assert is_about(found["late", "last"], 1)
        assert is_about(found["early", "all but last"], 1)
        assert is_about(found["late", "all but last"], 0)
        assert all(is_about(found[name, "all"], 1) for name in ("early", "middle", "late"))


def test_the_object_alone_carries_nothing_and_nor_does_another(by_thirds):
    for source in ("same word", "other word"):
        found = shares(by_thirds, source)
        assert max(map(abs, found.values())) < 0.05
    donors = by_thirds.where(source="same word")
    assert len(set(donors["example"].tolist())) >= 8
    assert all(row["flip"].split(" -> ")[1].strip(".?") in NOUNS for row in donors.rows())


def test_noising_takes_away_what_denoising_brings(chain, sets, judged_chain, by_thirds):
    noised = bands(chain, sets.splits["check"], judged_chain, direction="noise")
    back, there = shares(noised, "harmless"), shares(by_thirds)
    assert back.keys() == there.keys()
    assert all(is_about(back[key], there[key]) for key in there)


def test_early_layers_detect_the_combination_so_no_part_of_the_account_holds(by_thirds):
    assert outcomes(by_thirds) == dict.fromkeys(ACCOUNT, "not supported")


def test_late_layers_decide_where_all_that_acts_at_the_last_token_is_late(by_thirds, mover_late):
    """With the mover in the middle the decision is at the last token before the late band."""
    assert outcomes(by_thirds)["late_decision"] == "not supported"
    assert outcomes(mover_late) == {
        "early_word": "not supported",
        "middle_context": "not supported",
        "late_decision": "supported",
    }


@pytest.fixture(scope="module")
def shifted(chain, tmp_path_factory):
    """The chain one layer up: a layer that writes nothing goes before it."""
    network, place = copy.deepcopy(chain.network), tmp_path_factory.mktemp("shifted")
    idle = copy.deepcopy(network.model.layers[0])
    with torch.no_grad():
        idle.self_attn.o_proj.weight.zero_()
        idle.mlp.down_proj.weight.zero_()
    network.model.layers.insert(0, idle)
    network.config.num_hidden_layers += 1
    network.save_pretrained(place)
    chain.tokenizer.save_pretrained(place)
    return opened(str(place))


def test_the_same_chain_one_layer_up_has_its_context_in_the_middle(
    shifted, sets, judged_chain, mover_late
):
    """Its detectors are in the middle now, the mover in the late band: two of three parts hold."""
    found = bands(shifted, sets.splits["check"], judged_chain, cuts=(1, 3))
    whole, before = (
        one.where(band="early to late", position="all", source="harmful")
        for one in (found, mover_late)
    )
    assert np.allclose(whole["effect"], before["effect"], atol=1e-3)  # the same model
    assert outcomes(found) == {
        "early_word": "not supported",
        "middle_context": "supported",
        "late_decision": "supported",
    }


def test_where_labels_are_random_nothing_is_concluded(sets, private_cache):
    model = opened("organism:planted-random_labels-0")
    judged = behaviour(model, sets.splits["find"], tokens=16)
    found = outcomes(bands(model, sets.splits["check"], judged))
    assert found == dict.fromkeys(ACCOUNT, "inconclusive")


def test_a_model_that_refuses_nothing_has_no_bands(base, sets):
    judged = behaviour(base, sets.splits["find"], tokens=16)
    with pytest.raises(ContrastError, match="no refusal to locate"):
        bands(base, sets.splits["check"], judged)
