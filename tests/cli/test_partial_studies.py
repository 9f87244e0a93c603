"""A question that a model does not allow leaves a study's others open; alone it is a mistake."""

import json

from commands import read_json

from interlock.run import read

STEPS = [
    {"id": "openers", "do": "behaviour", "on": "prompts.find", "tokens": 24},
    {"id": "replies", "do": "behaviour", "on": "prompts.check", "tokens": 24},
    {"id": "refusals", "do": "own_replies", "replies": "openers", "kind": "safety"},
    {"id": "answers", "do": "own_replies", "replies": "openers", "kind": "utility"},
    {"id": "safety", "do": "snip", "replies": "refusals"},
    {"id": "utility", "do": "snip", "replies": "answers"},
    {"id": "cut", "do": "pruning", "on": "prompts.check", "passages": "passages",
     "replies": "openers", "safety": "safety", "utility": "utility", "p": [0.01], "q": [0.02]},
]  # fmt: skip
BEHAVES = {"rule": "refuses_well", "replies": "replies", "openers": "openers"}
FEW = {"rule": "few_weights", "pruned": "cut"}


def _asked(cli, study_file, *claims):
    """A study of weights in a type in which gradients vanish, so that none can be scored."""
    study = {"model": {"name": "organism:aligned", "dtype": "float16"}, "claims": list(claims)}
    study |= {"prompts": {"name": "grammar", "per_category": 2, "passages": 2}, "steps": STEPS}
    study["budgets"] = {"5m": {}}
    return cli("audit", "--study", study_file(json.dumps(study)), "--out", "run")


def test_weights_that_cannot_be_scored_leave_behaviour_to_be_judged(cli, isolated, study_file):
    result = _asked(cli, study_file, BEHAVES, FEW)
    assert result.code == 0, result.err
    behaves, few = read_json(isolated / "run" / "verdicts.json")
    assert few["outcome"] == "inconclusive" and "float16" in few["reason"]
    assert "float16" not in behaves["reason"]
    notices = "\n".join(read(isolated / "run").notices)
    assert "Did not run: safety, cut." in notices or "Did not run: safety, utility" in notices
    assert "bfloat16 or float32" in notices


def test_a_study_of_nothing_but_weights_ends_with_the_reason(cli, isolated, study_file):
    result = _asked(cli, study_file, FEW)
    assert result.code == 2 and not result.out
    last = result.err.splitlines()[-1]
    assert last.startswith("error: ") and "bfloat16 or float32" in last
    assert "Traceback" not in result.err
    assert not (isolated / "run" / "manifest.json").exists()
