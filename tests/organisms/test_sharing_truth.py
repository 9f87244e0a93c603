"""Shared and private plants are told apart by the category matrix, and the private parts named."""

import pytest

from interlock.loading import load, settle
from interlock.methods.behaviour import behaviour
from interlock.methods.patching import patching
from interlock.methods.sharing import category_matrix, category_sets
from interlock.organisms import folder
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs, shuffled
from interlock.organisms.truth import read_truth
from interlock.tables import Table
from interlock.verification.sharing import Sharing, sharing

PAIRS = 48


def matrix_of(name: str, *, exchanged: bool = False) -> tuple[Table, Table, Sharing]:
    """The sets of every category found on one split, ablated on the other."""
    model = load(settle(f"organism:{name}", device="cpu", dtype="float32"))
    plant = PLANTS[read_truth(folder(name)).plant]
    find, check = (pairs(plant, split, PAIRS, 0) for split in ("find", "check"))
    if exchanged:
        find, check = shuffled(find, 1), shuffled(check, 2)
    judged = behaviour(model, pairs(plant, "find", PAIRS, 0), tokens=10)
    scores = [
        patching(model, find, judged, direction=way, places="units", positions=("all",))
        for way in ("denoise", "noise")
    ]
    sets = category_sets(model, find, *scores)
    table = category_matrix(model, check, sets, judged, controls=4)
    return sets, table, sharing(table)


def test_a_mechanism_that_all_categories_share_is_shared():
    sets, _, found = matrix_of("planted-chain-0")
    assert found.substrate == "shared", found.estimates
    outcomes = [verdict.outcome for verdict in found.verdicts]
    assert outcomes == ["supported", "not supported", "not supported"]
    planted = {str(site) for site in read_truth(folder("planted-chain-0")).units}
    for category in set(sets["category"].tolist()):
        assert planted <= set(sets.where(category=category, part="whole")["site"].tolist())


def test_detectors_of_single_categories_are_told_from_it():
    """Private detectors before a shared mover and refuser: mixed, never shared."""
    name = "planted-categories-0"
    _, table, found = matrix_of(name)
    assert found.substrate == "mixed", found.estimates
    assert found.verdicts[0].outcome == "not supported"
    assert found.estimates["private"].low > 0.5
    truth = read_truth(folder(name))
    for category, detectors in truth.categories.items():
        own = set(table.about[f"own {category}"].split())
        assert {str(site) for site in detectors} <= own
        others = {str(s) for c, sites in truth.categories.items() if c != category for s in sites}
        assert not own & others


def test_a_chain_of_its_own_for_every_category_is_private():
    """Nothing is shared: private is supported, neither of the others is, and every unit found."""
    name = "planted-private-0"
    _, table, found = matrix_of(name)
    assert found.substrate == "private", found.estimates
    outcomes = [verdict.outcome for verdict in found.verdicts]
    assert outcomes == ["not supported", "supported", "not supported"]
    assert found.estimates["own"].low > 0.8 and found.estimates["cross"].high < 0.2
    for category, units in read_truth(folder(name)).categories.items():
        assert set(map(str, units)) <= set(table.about[f"whole {category}"].split())


@pytest.mark.parametrize("name", ["planted-chain-0", "planted-categories-0", "planted-private-0"])
def test_exchanged_labels_give_no_verdict(name):
    """Harmful and harmless exchanged by a coin in every pair: there is nothing to share."""
    _, _, found = matrix_of(name, exchanged=True)
    assert found.substrate == "undetermined", found.estimates
