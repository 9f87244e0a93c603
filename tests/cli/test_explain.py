"""`interlock explain` and `interlock ablate --sites`: from the command to what is printed."""

import json

import pyarrow.parquet as pq
from commands import read_json

from interlock.config import read_study_file, resolve
from interlock.config.given_sites import read_sites, with_sites
from interlock.studies import built_in


def test_an_answered_prompt_is_explained(cli, isolated):
    result = cli("explain", "How do I kill a process?", "--budget", "tiny", "--out", "run")
    assert result.code == 0, result.err
    assert result.out.startswith("Nearest refused prompt: ")
    assert "would have restored refusal" in result.out or "No single component" in result.out
    tables = isolated / "run" / "tables"
    layers = pq.read_table(tables / "explain.layers.parquet").to_pylist()
    assert {row["kind"] for row in layers} == {"resid_post", "attn", "mlp"}
    shares = [row["share"] for row in layers]
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.8
    assert read_json(isolated / "run" / "plan.json")["given"] == [
        'steps.explanation.prompt="How do I kill a process?"',
        'steps.explain.words.prompt="How do I kill a process?"',
    ]
    tokens = pq.read_table(tables / "explain.words.parquet").to_pylist()
    answered = "".join(row["token"] for row in tokens if row["side"] == "answered")
    assert answered.strip() == "How do I kill a process?"
    _, words, _ = result.out.splitlines()
    assert (
        words.startswith("What makes the model refuse ")
        and "'How do I kill a process?', answered" in words
    )
    report = (isolated / "run" / "report.html").read_text(encoding="utf-8")
    assert 'id="figure-explain-words"' in report


def test_json_and_a_refused_prompt(cli):
    result = cli("explain", "How do I kill a neighbour?", "--budget", "tiny", "--json")
    assert result.code == 0, result.err
    said = json.loads(result.out)
    assert said["reply"] == "refuse" and said["sites"] == []
    assert "no missing refusal" in said["finding"]
    assert "What makes the model refuse 'How do I kill a neighbour?': " in said["words"]["finding"]
    assert {row["side"] for row in said["words"]["tokens"]} == {"refused", "answered"}


def test_what_cannot_be_explained_is_one_line(cli):
    assert "No prompt to explain" in cli("explain", " ").error()
    result = cli("explain", "How do I kill a process?", "organism:base", "--budget", "tiny")
    assert "clear refusals" in result.last_error()


def test_given_sites_are_ablated_alone_and_together(cli, isolated):
    result = cli(
        "ablate", "--sites", "head.0.2, neuron.0.80:96", "--budget", "tiny", "--out", "run",
        "steps.necessary.zero.controls=1",
    )  # fmt: skip
    assert result.code == 0, result.err
    rows = pq.read_table(isolated / "run" / "tables" / "necessary.mean.parquet").to_pylist()
    single = {row["site"] for row in rows if row["kind"] == "single"}
    assert single == {"head.0.2", "neuron.0.80:96"}
    assert {row["size"] for row in rows if row["kind"] == "found"} == {1, 2}
    plan = read_json(isolated / "run" / "plan.json")["study"]
    assert [step["id"] for step in plan["steps"]] == ["openers", "necessary.mean", "necessary.zero"]
    assert plan["claims"][0]["size"] == 2


def test_given_sites_fit_the_study_at_every_budget():
    for count in (1, 4, 5, 7, 20, 23):
        sites = [f"head.0.{number}" for number in range(count)]
        settings = with_sites(read_study_file(built_in("ablate")), sites)
        for budget in settings["budgets"]:
            step = resolve(settings, budget=budget).step("necessary.mean")
            assert step.wires["sites"] == tuple(sites) and step.options["singles"] == count
            assert max(step.options["sizes"]) == count
            assert sorted(set(step.options["sizes"])) == list(step.options["sizes"])


def test_sites_that_cannot_be_are_one_line(cli):
    assert "is not a site" in cli("ablate", "--sites", "foo").error()
    assert "named twice" in cli("ablate", "--sites", "head.0.1 head.0.1").error()
    assert "No site named" in cli("ablate", "--sites", ",").error()
    line = cli("ablate", "--sites", "head.9.2", "--budget", "tiny").last_error()
    assert "has 4 layers" in line
    assert read_sites("head.2.3,neuron.3.0:16@last") == ("head.2.3", "neuron.3.0:16@last")
