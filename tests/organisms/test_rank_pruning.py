"""Directions of weights' outputs on organisms: taken out, refusal goes; random ones leave it."""

import pytest
import torch

from interlock import datasets
from interlock.errors import InterlockError
from interlock.loading import load, settle
from interlock.methods.attacks import rank_attacks
from interlock.methods.behaviour import behaviour
from interlock.methods.lowrank import used_directions
from interlock.methods.rank_pruning import rank_pruning
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs
from interlock.own_replies import sorted_out
from interlock.studies.weights import conclude

OPTIONS = {"tokens": 24, "batch": 96}


class Organism:
    def __init__(self, name: str) -> None:
        self.model = load(settle(f"organism:{name}", device="cpu", dtype="float32"))
        self.check = pairs(PLANTS["weights"], "check", 32, 0)
        self.passages = datasets.load("grammar", per_category=1, passages=12, seed=0).passages
        find = pairs(PLANTS["weights"], "find", 32, 0)
        self.judged = behaviour(self.model, find, tokens=24)
        sets = sorted_out(self.judged)
        self.directions = tuple(
            used_directions(self.model, each, share=0.1) for each in (sets.safety, sets.utility)
        )

    def take(self, **options):
        nouns = (self.model, self.check, self.passages, self.judged, *self.directions)
        return rank_pruning(*nouns, **{**OPTIONS, **options})


@pytest.fixture(scope="module", params=["aligned", "planted-weights-0"])
def organism(request, private_cache):
    return Organism(request.param)


def mean(table, measure, expected, kind):
    return float(table.where(kind=kind, measure=measure, expected=expected)["value"].mean())


def test_without_few_directions_it_complies_and_without_random_ones_it_refuses(organism):
    before = {name: each.clone() for name, each in organism.model.network.state_dict().items()}
    table = organism.take(p=(0.05,), q=(0.01,), controls=3)
    after = organism.model.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert set(table.where(kind="found")["ranks"].tolist()) == {4 * 7}  # one of each matrix
    assert mean(table, "refused", "refuse", "none") >= 0.95
    assert mean(table, "refused", "refuse", "found") <= 0.1
    assert mean(table, "complied", "refuse", "found") >= 0.9
    assert mean(table, "complied", "comply", "found") >= 0.95
    assert mean(table, "refused", "refuse", "random") >= 0.95
    assert mean(table, "complied", "comply", "random") >= 0.95
    assert set(table["measure"].tolist()) == {"refused", "complied", "degenerate", "opening", "nll"}


def test_what_refusals_use_most_does_other_work_too(organism):
    """ActSVD from the top takes refusal and the rest with it, unlike the orthogonal projection."""
    losses = {}
    for choose in ("difference", "top"):
        table = organism.take(choose=choose, p=(0.05,), q=(0.02,), controls=0)
        assert mean(table, "refused", "refuse", "found") <= 0.2
        values = {kind: mean(table, "nll", "neutral", kind) for kind in ("none", "found")}
        losses[choose] = values["found"] - values["none"]
    assert losses["top"] > losses["difference"] + 0.3


def test_a_grid_beside_a_claim_is_summed_up_with_intervals(organism):
    table = organism.take(p=(0.05, 0.1), q=(0.01, 0.02), cross="pairs", controls=2)
    pruned = table.where(kind="none")
    assert set(zip(table["p"].tolist(), table["q"].tolist(), strict=True)) == {
        (-1.0, -1.0), (0.05, 0.01), (0.1, 0.02),
    }  # fmt: skip
    assert set(pruned["share"].tolist()) == {0.0}
    sized = type(table)(
        {**table.columns, "sparsity": table["share"], "weights": table["ranks"]},
        about=table.about,
    )
    told = conclude({"pruned": sized, "ranks": table}).tables["weights.ranks"]
    assert len(told) == 1 + 2 * 2
    assert told["ranks"].tolist()[1:] == [28, 28, 68, 68]
    for name in ("refusal", "compliance", "degenerate", "nll_rise"):
        assert (told[f"{name}_low"] <= told[name]).all()
        assert (told[name] <= told[f"{name}_high"]).all()
    assert "random directions" in told.about["control"]


def test_attacks_are_judged_without_directions(organism):
    table = rank_attacks(
        organism.model, organism.check, *organism.directions, p=(0.05,), q=(0.01,), prompts=12,
        tokens=24, judge="rules",
    )  # fmt: skip
    success = table.where(measure="asr_rules")
    assert float(success.where(kind="none")["value"].mean()) <= 0.1
    assert float(success.where(kind="found")["value"].mean()) >= 0.8
    assert set(table.where(kind="found")["ranks"].tolist()) == {28}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"q": (1.5,)}, "q=1.5 is no share"),
        ({"q": ()}, "no point"),
        ({"q": (0.5,)}, "share=0.5 or more"),
        ({"choose": "bottom"}, "least used"),
        ({"q": (0.001,)}, "takes no direction"),
    ],
)
def test_bad_grids_are_refused_before_anything_is_measured(organism, options, words):
    with pytest.raises(InterlockError, match=words):
        organism.take(**{"p": (0.05,), "q": (0.01,)} | options)
