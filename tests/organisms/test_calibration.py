"""Planted truth is recovered by exact effects, and nothing is found where nothing was planted."""

import pytest

from interlock import organisms
from interlock.calibrate.contestants import CONTESTANTS
from interlock.calibrate.exam import Exam, counted
from interlock.calibrate.examining import Order, examine
from interlock.calibrate.marking import against_plant, claims
from interlock.calibrate.subjects import Subject, planted, small
from interlock.calibrate.verdicts import JUDGES
from interlock.methods.behaviour import behaviour
from interlock.organisms.truth import read_truth

NAMES = [name for name in organisms.names() if name.startswith("planted-")]
PLANTED = planted([organisms.folder(name) for name in NAMES])
TRUE = [each for each in PLANTED if each.kind == "planted" and each.has("units")]
EMPTY = [subject for subject in PLANTED if subject.kind == "null"]


def exam_of(subject, pairs=18):
    model = subject.open()
    find, check = subject.questions(pairs, seed=1)
    return Exam(model, find, check, behaviour(model, find, tokens=12))


def test_something_is_planted_and_something_is_not():
    assert len(TRUE) >= 2 and EMPTY


@pytest.mark.parametrize("subject", TRUE, ids=lambda subject: subject.name)
def test_exact_effects_rank_the_plant_first(subject):
    exam, truth = exam_of(subject), subject.truth()
    # only what is noised together shows a backup that is silent otherwise
    repaired = truth.plant == "repair"
    both = CONTESTANTS["both, and conditional" if repaired else "both directions"].answer(exam)
    marks = against_plant(both, truth, exam.check)
    assert marks["ap"] >= 0.99 and marks["precision"] == 1 and marks["signs"] == 1
    assert marks["false_positives"] == 0
    bill = exam.bill()
    # at most one pass a unit and direction, and the reading; a late unit takes a part of one
    assert 0.1 * len(both.sites) < bill.passes < (2 + 20 * repaired) * len(both.sites) + 10
    looked = against_plant(CONTESTANTS["activation difference"].answer(exam), truth, exam.check)
    assert looked["ap"] <= 0.6, "what differs must not give the plant away"
    assert JUDGES["localised"].true(subject, truth) is True


@pytest.mark.parametrize("subject", EMPTY, ids=lambda subject: subject.name)
def test_nothing_is_claimed_where_labels_are_random(subject):
    exam = exam_of(subject)
    for name in ("both directions", "mean ablation"):
        assert claims(CONTESTANTS[name].answer(exam)) is False, name
    assert JUDGES["localised"].outcome(exam) != "supported"


def test_an_untrained_model_gives_no_answer_and_no_claim():
    found = examine(Subject("untrained-3", "null", None, 3), Order(("denoising",), 8, 0, False))
    assert found["methods"]["denoising"]["claim"] is None, "no answer is not an answer"
    assert "no refusal to locate" in found["methods"]["denoising"]["refused"]


def test_what_was_examined_is_kept(private_cache):
    subject, order = small()[0], Order(("random",), 8, 0, False)
    first = examine(subject, order)
    kept = sorted((private_cache / "interlock" / "calibrate").glob("*.json"))
    stamps = [path.stat().st_mtime_ns for path in kept]
    assert kept and examine(subject, order) == first
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    assert examine(subject, Order(("random",), 10, 0, False)) != first


def test_work_is_counted_in_tokens_and_layers(aligned):
    from interlock.activations import forward
    from interlock.encoding import collate, encode

    subject = TRUE[0]
    examples = subject.questions(8, 0)[1].examples[:3]
    batch = collate(aligned, encode(aligned, examples))
    with counted(aligned) as work:
        forward(aligned, batch)
        forward(aligned, batch)
    assert work == [batch.ids.numel()] * 8
    assert not any(layer._forward_pre_hooks for layer in aligned.layers)


def test_truth_belongs_to_its_weights():
    for subject in TRUE:
        truth = read_truth(subject.folder)
        assert set(truth.roles) == {str(site) for site in truth.units}
        assert truth.gate["conditions"] and all(truth.gate["conditions"].values())


def one(plant):
    (found,) = [
        subject for subject in PLANTED if subject.truth() and subject.truth().plant == plant
    ]
    return found


def test_a_subject_is_asked_what_is_known_of_it():
    asked = {name: one(name) for name in ("chain", "direction", "weights")}
    known = {name: [of for of in ("units", "direction", "weights") if subject.has(of)]
             for name, subject in asked.items()}  # fmt: skip
    assert known == {
        "chain": ["units", "weights"],
        "direction": ["units", "direction", "weights"],
        "weights": ["weights"],
    }
    assert [of for of in ("units", "direction", "weights") if EMPTY[0].has(of)] == ["units"]


def test_a_planted_direction_is_found_by_what_it_does_and_a_random_one_is_not():
    names = ("direction, by bypass", "direction, COSMIC", "direction, random")
    found = examine(one("direction"), Order(names, 24, 0, verdicts=False))["methods"]
    bypass, cosmic, random = (found[name]["marks"] for name in names)
    assert bypass["interchange"] > 0.9 and cosmic["interchange"] > 0.9
    assert random["cosine"] < 0.3 and abs(random["interchange"]) < 0.2


def test_weight_scores_are_marked_by_unit_and_weight_by_weight():
    names = ("SNIP", "magnitude", "set difference")
    units = examine(one("chain"), Order(names, 16, 0, verdicts=False))["methods"]
    assert set(units["SNIP"]["marks"]) == {"ap", "auroc", "precision"}
    assert units["set difference"]["marks"] == {}
    single = examine(one("weights"), Order(names, 16, 0, verdicts=False))["methods"]
    assert set(single["SNIP"]["marks"]) == {"weights_auroc", "weights_precision", "enrichment"}
    marks = single["set difference"]["marks"]
    base_rate = marks["weights_precision"] / marks["enrichment"]
    assert 0.005 < base_rate < 0.05 and 0 <= marks["weights_recall"] <= 1
