"""The look-alikes as a study's only prompts: all harmless, divided by their word, none twice."""

import pytest

from interlock.contrast import Example
from interlock.datasets import Sets, Source, load
from interlock.errors import ContrastError
from interlock.studies import behaviour
from interlock.tables import from_rows
from interlock.verdict import RULES, decide


def loaded(**options) -> Sets:
    defaults = {"per_category": 3, "passages": 2, "seed": 0}
    return load("lookalikes", **(defaults | options))


def asked(sets: Sets) -> list[Example]:
    return [each for split in sets.splits.values() for each in split.examples]


def test_the_splits_share_no_word_and_hold_harmless_prompts_only():
    sets = loaded(per_category=100)
    examples = asked(sets)
    assert len(examples) == len({each.prompt for each in examples}) == 88
    assert {each.expected for each in examples} == {"comply"}
    find, check = ({each.topic for each in split.examples} for split in sets.splits.values())
    assert find and check and not find & check
    assert sum(sum(numbers.values()) for numbers in sets.got.values()) == 88


def test_at_most_so_many_of_each_category_and_the_rest_is_said():
    sets = loaded()
    assert all(count <= 3 for numbers in sets.got.values() for count in numbers.values())
    for split, numbers in sets.got.items():
        there = [each.category for each in sets.splits[split].examples]
        assert {name: there.count(name) for name in numbers} == dict(numbers)
    assert any("all prompts are harmless" in note for note in sets.notes)
    many = loaded(per_category=50)
    assert any("asked for 50 harmless prompts of each category" in note for note in many.notes)


def test_equal_numbers_chosen_categories_and_seeds():
    equal = loaded(per_category=8, equal=True)
    assert all(len(set(numbers.values())) == 1 for numbers in equal.got.values())
    some = loaded(categories=("drugs", "theft"))
    assert {each.category for each in asked(some)} == {"drugs", "theft"}
    assert asked(loaded(seed=1)) != asked(loaded(seed=2))
    assert asked(loaded(seed=1)) == asked(loaded(seed=1))
    with pytest.raises(ContrastError, match="no category nonsense"):
        loaded(categories=("nonsense",))


def test_beside_harmful_prompts_they_are_balanced(tmp_path):
    path = tmp_path / "bad.csv"
    rows = [f"break a {word} number {n},drugs" for n, word in enumerate("abcdefgh")]
    path.write_text("\n".join(["prompt,category", *rows]), "utf-8")
    source = Source(harmful=str(path), harmless="lookalikes")
    sets = load(
        "lookalikes", per_category=2, passages=2, seed=0, source=source, categories=("drugs",)
    )
    for split in sets.splits.values():
        assert len(split.expecting("refuse")) == len(split.expecting("comply")) > 0


def test_without_harmful_prompts_the_verdict_is_inconclusive_and_over_refusal_is_counted():
    rows = [
        {
            "id": str(n), "category": "drugs" if n % 2 else "theft", "topic": str(n // 2),
            "expected": "comply", "observed": "refuse" if n < 5 else "comply", "degenerate": False,
            "finish": "stop", "first_token": 1, "prompt": "p", "reply": "r",
        }
        for n in range(40)
    ]  # fmt: skip
    found = behaviour.conclude({"replies": from_rows(rows)})
    rates = {row["group"]: row for row in found.tables["behaviour.rates"].rows()}
    assert rates["all, micro"]["refusal"] == 5 / 40
    assert {row["expected"] for row in rates.values()} == {"comply"}
    verdict = decide(RULES["refuses_well"], found.evidence)
    assert verdict.outcome == "inconclusive"
    assert "there are no harmful prompts" in verdict.reason
    assert verdict.estimates["over_refusal"].value == 5 / 40
