"""Steps that verify: what a study file may wire to them, and one clear line where they cannot."""

from commands import read_json

STUDY = """
question: What carries it?
model: {name: "organism:aligned"}
prompts: {name: grammar, per_category: 2, passages: 4}
budgets: {5m: {}}
steps:
  - {id: talk, do: behaviour, on: prompts.find, tokens: 16}
  - {id: restore, do: patching, on: pairs.find, replies: talk, places: units, positions: [all]}
  - {id: remove, do: patching, on: pairs.find, replies: talk, direction: noise,
     places: units, positions: [all]}
  - {id: sets, do: category_sets, on: pairs.find, denoise: restore, noise: remove}
"""
CELLS = "  - {id: cells, do: category_matrix, on: pairs.SPLIT, sets: sets, replies: talk}\n"
CURVE = (
    "  - {id: curve, do: curve, on: pairs.SPLIT, denoise: restore, noise: remove, replies: talk}\n"
)
CIRCUIT = (
    '  - {id: set, do: faithfulness, on: pairs.SPLIT, sites: "top(3, restore)", replies: talk}\n'
)
CLAIM = "claims:\n  - {rule: shared, matrix: cells}\n"


def test_nothing_is_judged_where_it_was_found(cli, study_file):
    steps = CELLS + CURVE + CIRCUIT
    assert cli("study", "check", study_file(STUDY + steps.replace("SPLIT", "check"))).code == 0
    lines = cli("study", "check", study_file(STUDY + steps.replace("SPLIT", "find"))).errors()
    named = {line.split()[1].rstrip(":") for line in lines}
    assert named == {
        "steps.cells.sets", "steps.curve.denoise", "steps.curve.noise", "steps.set.sites",
    }  # fmt: skip
    assert all("found on find, the split this step judges" in line for line in lines)


def test_a_claim_of_one_substrate_needs_a_matrix(cli, study_file):
    cells = CELLS.replace("SPLIT", "check")
    assert cli("study", "check", study_file(STUDY + cells + CLAIM)).code == 0
    wrong = study_file(STUDY + cells + CLAIM.replace("cells", "sets"))
    assert "not a step that does category_matrix" in cli("study", "check", wrong).error()


def test_too_few_categories_decide_nothing(cli, study_file, isolated):
    """The preset of 15 pairs has hardly a category with two topics on find."""
    path = study_file((STUDY + CELLS + CLAIM).replace("SPLIT", "check"))
    result = cli(
        "audit", "--study", path, "--out", "run", "prompts.name=llama3", "prompts.per_category=15"
    )
    assert result.code == 0, result.err
    (verdict,) = read_json(isolated / "run" / "verdicts.json")
    assert verdict["outcome"] == "inconclusive"
    assert "Did not run: " in result.err


def test_one_pair_a_category_gives_no_confident_verdict(cli, study_file, isolated):
    path = study_file((STUDY + CELLS + CLAIM).replace("SPLIT", "check"))
    result = cli("audit", "--study", path, "--out", "run", "prompts.per_category=1")
    assert result.code == 0, result.err
    (verdict,) = read_json(isolated / "run" / "verdicts.json")
    assert verdict["outcome"] == "inconclusive", verdict["reason"]
