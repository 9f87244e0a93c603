"""A study far over its budget says so before it begins."""

from interlock.studies import planning


def test_a_study_over_its_budget_says_so_before_the_first_step(cli, isolated, monkeypatch):
    monkeypatch.setitem(planning._BUDGETS, "5m", 1e-9)
    result = cli(
        "behaviour", "--out", "run", "prompts.per_category=1", "prompts.passages=2"
    )  # fmt: skip
    assert result.code == 0, result.err
    first = result.err.splitlines()[0]
    assert "over the 5m" in first and "--dry-run" in first


def test_a_study_within_its_budget_says_nothing(cli, isolated):
    result = cli("behaviour", "--out", "run", "prompts.per_category=1", "prompts.passages=2")
    assert "--dry-run" not in result.err
