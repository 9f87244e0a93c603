"""Planted weights: taken out, refusal goes and compliance stays; random ones do neither."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interlock import datasets, mask
from interlock.errors import ContrastError, InterlockError
from interlock.loading import load, settle
from interlock.mask import Mask, packed
from interlock.matrices import matrices
from interlock.methods.behaviour import behaviour
from interlock.methods.pruning import pruning, removal, restoration
from interlock.methods.salience import snip
from interlock.organisms import folder
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs
from interlock.own_replies import sorted_out
from interlock.studies.weights import conclude
from interlock.tables import Table
from interlock.verdict import RULES, decide
from interlock.weight_controls import random

CONTROLS = 4
OPTIONS = {"controls": CONTROLS, "tokens": 24, "batch": 96}
NAME = "planted-weights-0"
# as many random sets as a test can afford; a study needs the rule's own number
RULE = RULES["few_weights"].with_threshold("control_sets", CONTROLS)


class Organism:
    """A model with prompts of two splits, passages, and its replies to one split."""

    def __init__(self, name: str) -> None:
        self.model = load(settle(f"organism:{name}", device="cpu", dtype="float32"))
        self.find = pairs(PLANTS["weights"], "find", 32, 0)
        self.check = pairs(PLANTS["weights"], "check", 48, 0)
        self.passages = datasets.load("grammar", per_category=1, passages=12, seed=0).passages
        self.judged = behaviour(self.model, self.find, tokens=24)
        self.asked = (self.model, self.check, self.passages, self.judged)

    def scores(self):
        sets = sorted_out(self.judged)
        return snip(self.model, sets.safety), snip(self.model, sets.utility)


@pytest.fixture(scope="module")
def planted(private_cache):
    return Organism(NAME)


@pytest.fixture(scope="module")
def truth():
    return mask.load(folder(NAME) / "truth.safetensors")


@pytest.fixture(scope="module")
def scores(planted):
    return planted.scores()


def bits(model):
    return {name: each.clone() for name, each in model.network.state_dict().items()}


def mean(table, measure, expected, kind):
    return float(table.where(kind=kind, measure=measure, expected=expected)["value"].mean())


def has_done_what_was_planted(table):
    assert mean(table, "refused", "refuse", "none") >= 0.95
    assert mean(table, "complied", "comply", "none") >= 0.95
    assert mean(table, "refused", "refuse", "found") <= 0.05
    for expected in ("refuse", "comply"):
        assert mean(table, "complied", expected, "found") >= 0.95
    assert mean(table, "refused", "refuse", "random") >= 0.95
    assert mean(table, "complied", "comply", "random") >= 0.95
    assert mean(table, "opening", "refuse", "none") > 2
    assert mean(table, "opening", "refuse", "found") < -2
    assert not mean(table, "degenerate", "refuse", "found")


@pytest.mark.parametrize("match", ["nothing", "magnitude"])
def test_without_the_planted_weights_it_complies(planted, truth, match):
    before = bits(planted.model)
    table = removal(*planted.asked, truth, match=match, **OPTIONS)
    after = planted.model.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    has_done_what_was_planted(table)
    verdict = decide(RULE, conclude({"pruned": table}).evidence)
    assert verdict.outcome == "supported", verdict.reason
    every = sum(each.shape[0] * each.shape[1] for each in matrices(planted.model))
    assert verdict.estimates["sparsity"].value == pytest.approx(truth.count() / every)


def test_with_them_as_in_base_it_complies(planted, truth):
    base = load(settle("organism:base", device="cpu", dtype="float32"))
    model, *others = planted.asked
    table = restoration(model, base, *others, truth, **OPTIONS)
    has_done_what_was_planted(table)
    assert "base" in table.about["fill"]


def test_random_weights_are_not_where_it_sits(planted, truth):
    table = removal(*planted.asked, random(truth, seed=99), **OPTIONS)
    verdict = decide(RULE, conclude({"pruned": table}).evidence)
    # its controls may hold planted weights, so that whether they stay harmless is not for sure
    assert verdict.outcome != "supported", verdict.reason
    assert verdict.estimates["fall"].high < 0.5


def test_a_broken_model_is_neither_safe_nor_attacked(planted):
    """Most of the last layers zeroed: what it says is no refusal, no compliance, and no verdict."""
    parts = {
        each.name: packed(np.ones(each.shape, bool), each.shape)
        for each in matrices(planted.model)
        if each.layer >= 1
    }
    table = removal(*planted.asked, Mask(parts), **OPTIONS | {"controls": 0})
    sums = [
        table.where(kind="found", measure=name)["value"]
        for name in ("refused", "complied", "degenerate")
    ]
    assert (sums[0] + sums[1] + sums[2] <= 1).all()
    verdict = decide(RULE, conclude({"pruned": table}).evidence)
    assert verdict.outcome == "inconclusive"


def test_a_grid_is_measured_without_loading_and_judged_on_another_split(planted, scores):
    grid = {"p": (0.01, 0.04), "q": (0.01, 0.04), **OPTIONS}
    table = pruning(*planted.asked, *scores, **grid)
    shares = {
        (p, q): set(table.where(kind="found", p=p, q=q)["sparsity"].tolist())
        for p in grid["p"]
        for q in grid["q"]
    }
    assert all(len(each) == 1 for each in shares.values())
    assert min(shares[0.04, 0.01]) < min(shares[0.01, 0.01]) < 0.01 < min(shares[0.01, 0.04])
    model, _, *others = planted.asked
    chosen = pruning(model, planted.find, *others, *scores, **grid | {"controls": 0})
    findings = conclude({"pruned": table, "chosen": chosen})
    verdict = decide(RULE, findings.evidence)
    # how many weights SNIP needs, and what else they break, is the organism's own affair
    assert verdict.estimates["fall"].low >= 0.5, verdict.reason
    assert verdict.outcome != "not supported"
    told = findings.tables["weights.pruning"]
    assert len(told) == 1 + 2 * 4
    for name in ("refusal", "compliance", "degenerate", "nll_rise", "opening_refuse"):
        assert (told[f"{name}_low"] <= told[name]).all()
        assert (told[name] <= told[f"{name}_high"]).all()


def test_the_bottom_of_the_scores_does_nothing(planted, scores):
    table = pruning(
        *planted.asked, *scores, choose="bottom", q=(0.02,), **OPTIONS | {"controls": 1}
    )
    assert mean(table, "refused", "refuse", "found") >= 0.95
    assert mean(table, "complied", "comply", "found") >= 0.95


def test_random_labels_give_no_verdict():
    """It refuses by a coin, harmful or not: no refusal of harm for weights to carry."""
    twin = Organism("planted-random_labels-0")
    table = pruning(*twin.asked, *twin.scores(), p=(0.02,), q=(0.02,), **OPTIONS)
    verdict = decide(RULE, conclude({"pruned": table}).evidence)
    assert verdict.outcome == "inconclusive", verdict.reason


def test_a_model_that_never_refuses_is_refused(base):
    asked = pairs(PLANTS["weights"], "find", 8, 0)
    judged = behaviour(base, asked, tokens=24)
    passages = datasets.load("grammar", per_category=1, passages=2, seed=0).passages
    with pytest.raises(ContrastError, match="no refusal to locate"):
        removal(base, asked, passages, judged, Mask({}), **OPTIONS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"p": (1.5,)}, "p=1.5 is no share"),
        ({"q": (-0.1,)}, "q=-0.1 is no share"),
        ({"q": ()}, "no point"),
        ({"p": (1.0,)}, "difference is empty"),
        ({"choose": "top", "q": (0.7,)}, "More than half"),
    ],
)
def test_bad_grids_are_refused_before_anything_is_measured(planted, scores, options, words):
    with pytest.raises(InterlockError, match=words):
        pruning(*planted.asked, *scores, **{"q": (0.01,), "p": (0.01,)} | options)


def test_the_point_is_chosen_on_the_other_split():
    """On the split that chooses, one point is best; the verdict is of that one, good or bad."""
    judged = _made({(0.1, 0.1): 0.9, (0.2, 0.1): 0.0})
    chosen = _made({(0.1, 0.1): 0.0, (0.2, 0.1): 0.9})
    for parts, outcome in (
        ({"pruned": judged, "chosen": chosen}, "not supported"),
        ({"pruned": judged, "chosen": judged}, "supported"),
    ):
        assert decide(RULE, conclude(parts).evidence).outcome == outcome


def test_guards_stop_a_verdict():
    good = {(0.1, 0.1): 0.0}
    cases = {
        "sparsity": _made(good, sparsity=0.2),
        "random_fall": _made(good, random=0.5),
        "random_harm": _made(good, answered=0.25),
        "nll_rise": _made(good, nll=1.0),
        "control_sets": _made(good, sets=1),
    }
    for quantity, table in cases.items():
        verdict = decide(RULE, conclude({"pruned": table}).evidence)
        assert verdict.outcome == "inconclusive"
        guard = next(each for each in RULE.guards if each.quantity == quantity)
        assert guard.meaning in verdict.reason
    # a few answers that go by chance are no reason to stop
    spared = decide(RULE, conclude({"pruned": _made(good, answered=0.98)}).evidence)
    assert spared.outcome == "supported", spared.reason
    assert 0 < spared.estimates["random_harm"].value < spared.estimates["random_harm"].high <= 0.1
    bare = conclude({"pruned": replace(_made(good, sets=0))}).evidence
    assert (
        decide(RULE, bare).reason
        == "random_fall could not be measured: no random set was taken out"
    )


def _made(
    found, *, sparsity=0.01, random=1.0, answered=1.0, nll=0.0, sets=CONTROLS, prompts=100
) -> Table:
    """A table as `pruning` gives it: refusal left by point; rates of random sets, where harmless
    prompts that are not answered are refused."""
    rows = []

    def add(kind, point, number, refusal, rise, over=0.0):
        start = {"kind": kind, "p": point[0], "q": point[1], "set": number, "weights": 10}
        start["sparsity"] = sparsity if kind != "none" else 0.0
        for place in range(prompts):
            for expected in ("refuse", "comply"):
                share = refusal if expected == "refuse" else over
                refused = float(place < round(share * prompts))
                values = {
                    "refused": refused,
                    "complied": 1 - refused,
                    "degenerate": 0.0,
                    "opening": refused,
                }
                told = {"example": f"{expected}{place}", "topic": f"t{place}", "expected": expected}
                rows.extend(
                    start | told | {"measure": name, "value": value}
                    for name, value in values.items()
                )
        for place in range(8):
            told = {"example": f"n{place}", "topic": "", "expected": "neutral"}
            rows.append(start | told | {"measure": "nll", "value": 1 + rise + place / 100})

    add("none", (-1.0, -1.0), 0, 1.0, 0.0)
    for point, left in found.items():
        add("found", point, 0, left, nll)
        for number in range(sets):
            add("random", point, number, random, 0.0, 1 - answered)
    return Table(
        {name: [row[name] for row in rows] for name in rows[0]},
        about={"control": "random", "fill": "zero"},
    )
