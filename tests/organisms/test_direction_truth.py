"""A planted direction is found again by what it does, and random labels give no verdict."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from interlock import datasets
from interlock.direction import Direction
from interlock.loading import load, settle
from interlock.methods.behaviour import behaviour
from interlock.methods.dimensions import direction_interchange
from interlock.methods.direction_effects import direction_effects, direction_transfer
from interlock.methods.directions import candidates, direction
from interlock.organisms import folder
from interlock.organisms.planting import PLANTS
from interlock.organisms.planting.pairs import pairs
from interlock.organisms.truth import read_truth
from interlock.sites import Site
from interlock.studies.direction import conclude
from interlock.verdict import RULES, Verdict, decide

CONTROLS = 20


def examined(name: str, count: int = 24) -> tuple:
    """An organism with its judged replies on find, candidates, and pairs of both splits."""
    model = load(settle(f"organism:{name}", device="cpu", dtype="float32"))
    plant = PLANTS[read_truth(folder(name)).plant]
    find, check = pairs(plant, "find", 64, 0), pairs(plant, "check", count, 0)
    judged = behaviour(model, find, tokens=10)
    return model, find, check, judged, candidates(model, find, judged)


def judged_by_the_rule(name: str, count: int) -> Verdict:
    model, find, check, judged, chosen = examined(name, count)
    passages = datasets.load("grammar", per_category=1, passages=24, seed=0).passages
    one, without = (
        direction(model, find, judged, chosen, categories=each) for each in ("together", "left out")
    )
    parts = {
        "effects": direction_effects(
            model, check, passages, one, controls=CONTROLS, tokens=10, batch=64
        ),
        "transfer": direction_transfer(model, check, without, tokens=10),
    }
    # fewer random directions than a study needs, but enough that no single one decides
    rule = RULES["one_direction"].with_threshold("control_sets", CONTROLS)
    return decide(rule, conclude(parts).evidence)


def test_a_planted_direction_is_one_direction():
    verdict = judged_by_the_rule("planted-direction-0", 72)
    assert verdict.outcome == "supported", verdict.reason


def test_random_labels_give_no_verdict():
    """It refuses by a coin, harmful or not: no refusal of harm for a direction to carry."""
    verdict = judged_by_the_rule("planted-random_labels-0", 32)
    assert verdict.outcome != "supported", verdict.reason
    assert verdict.outcome == "inconclusive", verdict.reason


@pytest.mark.parametrize("way", ["denoise", "noise"])
def test_the_planted_direction_is_recovered_by_intervention(way):
    """Exchanging its coordinate does at least .9 of what exchanging the plant's own does."""
    model, find, check, judged, chosen = examined("planted-direction-0")
    one = direction(model, find, judged, chosen)
    truth = read_truth(folder("planted-direction-0"))
    vector = load_file(folder("planted-direction-0") / "truth.safetensors")[truth.direction]
    planted = Direction(
        vector[None].astype(np.float32), ("all",), one.site, one.streams, one.harmless,
        one.harmful, one.head, "planted",
    )  # fmt: skip
    found = direction_interchange(model, check, judged, one, way=way)
    own = direction_interchange(model, check, judged, planted, way=way)
    # ours where it was read, the plant's where its head has just written
    ours = found.share(Site("resid_pre", one.layer))
    plants = own.share(Site("resid_mid", truth.layer))
    assert plants.value > 0.9
    assert ours.low >= 0.9 * plants.value
    assert abs(float(one.cosines(vector[None])[0, 0])) > 0.3
