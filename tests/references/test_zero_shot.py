"""Zero-shot questions by lm-eval: how it is called, what is read of it, and what is refused."""

import importlib.machinery
import json
import sys
import types
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from interlock import zero_shot
from interlock.brittleness import Asked, Change, Entered, measured, measuring_cost
from interlock.errors import InterlockError, MissingPackageError, StudyError
from interlock.generation import Decoding
from interlock.metrics import Openers
from interlock.zero_shot import SIX, Answer, Questions, answers, questions_of
from numbered import numbered


def module(name, **parts):
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    for part, value in parts.items():
        setattr(made, part, value)
    return made


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for lm-eval that notes how it is called; `strange` has no data, `odd` no acc."""
    seen: dict = {"loaded": [], "wrapped": [], "evaluated": []}

    class TaskManager:
        all_subtasks = (*SIX, "strange", "odd")

        def load(self, names):
            seen["loaded"] += names
            if names == ["strange"]:
                raise ConnectionError("Couldn't reach the Hub\nmore")
            return {"tasks": {name: f"task {name}" for name in names}, "groups": {}}

    class HFLM:
        def __init__(self, **given):
            seen["wrapped"].append(given)
            given["tokenizer"].pad_token = "<changed>"

    def simple_evaluate(**given):
        seen["evaluated"].append(given)
        names = [task.removeprefix("task ") for task in given["tasks"]]
        metric = {name: "perplexity" if name == "odd" else "acc" for name in names}
        return {
            "samples": {
                name: [{"doc_id": n, metric[name]: float(n % 2)} for n in range(given["limit"])]
                for name in names
            }
        }

    for made in (
        module("lm_eval", simple_evaluate=simple_evaluate),
        module("lm_eval.tasks", TaskManager=TaskManager),
        module("lm_eval.models"),
        module("lm_eval.models.huggingface", HFLM=HFLM),
    ):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    return seen


class Tokenizer:
    pad_token = "<pad>"


@pytest.fixture
def model(tiny):
    return replace(numbered(tiny("llama")), tokenizer=Tokenizer())


def test_the_model_in_memory_is_asked_without_examples_and_without_draws(calls, model):
    found = answers(model, questions_of(("boolq", "rte"), 3), size=7)
    assert calls["loaded"] == ["boolq", "rte"]
    (wrapped,), (asked,) = calls["wrapped"], calls["evaluated"]
    assert wrapped["pretrained"] is model.network and wrapped["batch_size"] == 7
    assert wrapped["tokenizer"] is not model.tokenizer  # lm-eval may give it a padding token
    assert model.tokenizer.pad_token == "<pad>"
    assert asked["tasks"] == ["task boolq", "task rte"]
    assert (asked["num_fewshot"], asked["limit"], asked["log_samples"]) == (0, 3, True)
    for seed in ("random_seed", "numpy_random_seed", "torch_random_seed"):
        assert asked[seed] is None  # nobody else's draws are moved
    assert found == [Answer(t, str(n), float(n % 2)) for t in ("boolq", "rte") for n in range(3)]


def test_answers_are_rows_under_every_change(calls, model, monkeypatch):
    """The data are read once, before anything is measured; the model is asked under each change."""
    monkeypatch.setattr("interlock.brittleness.judged_replies", lambda *_, **__: [])
    for name in ("opening_scores", "nll"):
        monkeypatch.setattr(f"interlock.brittleness.{name}", lambda *_, **__: torch.zeros(0))
    openers = Openers((1,), (2,), 1.0, 2)
    asked = Asked((), (), (), (), openers, Decoding(1), batch=4)
    assert asked.asking((), 5) is asked and not calls["loaded"]
    asked = asked.asking(("boolq", "openbookqa"), 2)
    assert calls["loaded"] == ["boolq", "openbookqa"] and not calls["evaluated"]
    made = [
        Change(kind, 0, {"p": 0.1}, lambda: Entered({"weights": 1}, nullcontext()))
        for kind in ("none", "found")
    ]
    table = measured(model, asked, made, units={}, about={})
    assert len(calls["evaluated"]) == 2 and len(calls["loaded"]) == 2
    assert set(table["measure"].tolist()) == {"zero_shot"}
    found = table.where(kind="found")
    assert found["example"].tolist() == ["boolq 0", "boolq 1", "openbookqa 0", "openbookqa 1"]
    assert found["value"].tolist() == [0, 1, 0, 1]
    assert set(found["expected"].tolist()) == {"neutral"}


def test_what_cannot_be_asked_is_refused(calls, model):
    with pytest.raises(InterlockError, match="No zero-shot task 'nonesuch' in lm-eval; those of"):
        questions_of(("boolq", "nonesuch"), 2)
    with pytest.raises(InterlockError, match="data of the zero-shot task 'strange'") as caught:
        questions_of(("strange",), 2)
    assert "\n" not in str(caught.value) and "Couldn't reach the Hub" in str(caught.value)
    with pytest.raises(InterlockError, match="'odd' is not judged by accuracy"):
        answers(model, questions_of(("odd",), 2), size=1)


def test_without_the_package_a_study_is_refused_before_it_starts(monkeypatch):
    from interlock.config import read_study_file, resolve
    from interlock.studies import built_in

    monkeypatch.setattr(zero_shot, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'interlock\[lm-eval\]'"):
        questions_of(("boolq",), 2)
    settings = read_study_file(built_in("weights"))
    resolve(settings)
    with pytest.raises(StudyError, match=r"steps.weights.pruned.zero_shot: .*interlock\[lm-eval\]"):
        resolve(settings, ["steps.weights.pruned.zero_shot=[boolq]"])


def test_questions_are_counted_in_the_cost():
    options = {"passages": 5, "zero_shot": ("boolq", "rte"), "questions": 10}
    asked = measuring_cost(3, 4, options).prompts - measuring_cost(3, 4, {"passages": 5}).prompts
    assert asked == 3 * 2 * 10 * 3


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_itself_agrees_with_likelihoods_by_hand(tmp_path, aligned):
    tasks = pytest.importorskip("lm_eval.tasks", reason="the optional lm-eval is not installed")
    lines = [
        {"q": f"How do I {verb} a process?", "a": ["yes", "no"], "right": number % 2}
        for number, verb in enumerate(("kill", "start", "stop", "find", "see"))
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    config = {
        "task": "small",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"validation": str(path)}},
        "output_type": "multiple_choice",
        "validation_split": "validation",
        "doc_to_text": "{{q}}",
        "doc_to_target": "right",
        "doc_to_choice": "a",
        "metric_list": [{"metric": "acc"}],
    }
    loaded = tasks.TaskManager().load([config])["tasks"]
    questions = Questions(loaded, 4)
    before, drawn = aligned.tokenizer.pad_token, torch.get_rng_state()
    found = answers(aligned, questions, size=2)
    assert found == answers(aligned, questions, size=1)
    assert aligned.tokenizer.pad_token == before
    assert torch.equal(drawn, torch.get_rng_state())
    assert [each.right for each in found] == [_by_hand(aligned, line) for line in lines[:4]]


def _by_hand(model, line):
    encode = model.tokenizer
    start = len(encode(line["q"], add_special_tokens=False).input_ids)
    sums = []
    for choice in line["a"]:
        ids = encode(f"{line['q']} {choice}", add_special_tokens=False).input_ids
        with torch.no_grad():
            logs = model.network(torch.tensor([ids])).logits[0].log_softmax(-1)
        sums.append(sum(float(logs[n - 1, ids[n]]) for n in range(start, len(ids))))
    return float((sums[1] > sums[0]) == (line["right"] == 1))
