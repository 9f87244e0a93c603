"""Study files: checked, described, planned; a plan counts what a run really does."""

import json
import logging
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from interlock.config import read_study_file, resolve, schema
from interlock.errors import StudyError
from interlock.studies import built_in

ROOT = Path(__file__).parents[2]
STUDIES = sorted(
    {
        path
        for folder in ("src/interlock/studies", "studies")
        for path in ROOT.glob(f"{folder}/**/*.yaml")
    }
)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_study_file_of_the_repository_is_whole(cli, path):
    result = cli("study", "check", path)
    assert result.code == 0, result.err
    settings = read_study_file(path)
    for budget in settings.get("budgets", {}):
        study = resolve(settings, budget=budget)
        assert study.budget == budget
        # nothing a budget sets is lost on the way
        for place, value in settings["budgets"][budget].items():
            head, *rest = place.split(".")
            if head == "prompts":
                assert getattr(study.prompts, rest[0]) == value


def test_there_are_study_files():
    assert len(STUDIES) >= 4


def test_the_first_lines_say_what_a_study_is_for():
    for path in STUDIES:
        assert path.read_text(encoding="utf-8").startswith("# "), path


# --- the schema -----------------------------------------------------------------------------------

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def _fits(value, rule, root):
    """Whether a value follows a JSON Schema, of the words that `schema` uses."""
    known = {
        "$schema", "$defs", "$ref", "title", "description", "default", "type", "required",
        "properties", "additionalProperties", "const", "enum", "oneOf", "anyOf", "allOf", "items",
        "propertyNames", "minimum", "maximum", "exclusiveMinimum", "minItems", "pattern",
    }  # fmt: skip
    assert set(rule) <= known, set(rule) - known
    if "$ref" in rule:
        node = root
        for part in rule["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        return _fits(value, node, root)
    if "type" in rule:
        wanted = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        right = [isinstance(value, TYPES[each]) for each in wanted]
        if not any(right) or (isinstance(value, bool) and "boolean" not in wanted):
            return False
    checks = [
        "const" not in rule or value == rule["const"],
        "enum" not in rule or value in rule["enum"],
        "oneOf" not in rule or sum(_fits(value, each, root) for each in rule["oneOf"]) == 1,
        "anyOf" not in rule or any(_fits(value, each, root) for each in rule["anyOf"]),
        "allOf" not in rule or all(_fits(value, each, root) for each in rule["allOf"]),
        not isinstance(value, int | float) or value >= rule.get("minimum", value),
        not isinstance(value, int | float) or value > rule.get("exclusiveMinimum", value - 1),
    ]
    if isinstance(value, list):
        checks += [_fits(each, rule.get("items", {}), root) for each in value]
        checks.append(len(value) >= rule.get("minItems", 0))
    if isinstance(value, dict):
        own, more = rule.get("properties", {}), rule.get("additionalProperties", {})
        checks.append(set(rule.get("required", ())) <= set(value))
        checks += [_fits(each, own[key], root) for key, each in value.items() if key in own]
        others = {key: each for key, each in value.items() if key not in own}
        checks += [more is not False or not others]
        if isinstance(more, dict):
            checks += [_fits(each, more, root) for each in others.values()]
        checks += [_fits(key, rule.get("propertyNames", {}), root) for key in value]
    return all(checks)


@pytest.fixture
def described(cli):
    result = cli("study", "schema")
    assert result.code == 0
    return json.loads(result.out)


def test_the_schema_accepts_every_study_file(described):
    assert described == schema()
    assert described["$schema"].startswith("https://json-schema.org/draft/2020-12")
    for path in STUDIES:
        assert _fits(read_study_file(path), described, described), path


def test_the_schema_accepts_what_the_checker_accepts(described):
    """A list of sites instead of `top(...)`, a step without an id, thresholds of rules."""
    settings = read_study_file(built_in("audit"))
    settings["rules"] = {"refuses_well": {"refusal": 0.8}}
    step = next(step for step in settings["steps"] if step["id"] == "necessary.mean")
    step["sites"] = ["head.0.1", "neuron.3.0:16"]
    resolve(settings, budget="tiny")
    assert _fits(settings, described, described)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"nam": "x"}},
        {"prompts": {"per_category": 0}},
        {"prompts": {"per_categry": 1}},
        {"steps": [{"id": "a", "do": "nonesuch", "on": "prompts.find"}]},
        {"steps": [{"id": "a", "do": "behaviour", "on": "prompts.find", "tokns": 3}]},
        {"steps": [{"id": "a", "do": "behaviour", "on": "prompts.find", "tokens": "lots"}]},
        {"rules": {"nonesuch": {}}},
        {"nonesuch": 1},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses_what_the_checker_refuses(described, change):
    settings = read_study_file(built_in("behaviour")) | change
    with pytest.raises(StudyError):
        resolve(settings)
    assert not _fits(settings, described, described)


# --- the plan -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["audit", "behaviour", "locate", "ablate"])
def test_a_dry_run_opens_no_weights(cli, organism_copy, isolated, command, monkeypatch):
    def opened(_):
        raise AssertionError("a dry run opened the weights")

    monkeypatch.setattr("interlock.loading._network", opened)
    result = cli(command, organism_copy, "--budget", "tiny", "--dry-run", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert [step["id"] for step in found["steps"]] == [
        step["id"] for step in read_study_file(built_in(command))["steps"]
    ]
    assert found["seconds"] > 0 and found["memory_bytes"] > 0
    assert not list(isolated.iterdir())


def test_plan_and_dry_run_say_the_same(cli):
    plan = json.loads(cli("study", "plan", built_in("audit"), "--budget", "tiny", "--json").out)
    dry = json.loads(cli("audit", "--budget", "tiny", "--dry-run", "--json").out)
    for step, same in zip(plan["steps"], dry["steps"], strict=True):
        for key in ("id", "prompts", "replies", "passages"):
            assert step[key] == same[key]
    text = cli("audit", "--budget", "tiny", "--dry-run")
    assert text.code == 0
    assert all(step["id"] in text.out for step in plan["steps"])
    assert text.out.splitlines()[-1].startswith("about ")


def test_a_larger_budget_costs_more(cli):
    seconds = [
        json.loads(cli("audit", "--budget", each, "--dry-run", "--json").out)["steps"]
        for each in ("tiny", "5m", "1h", "overnight")
    ]
    work = [sum(s["prompts"] + s["replies"] + s["passages"] for s in steps) for steps in seconds]
    assert work == sorted(set(work))


class _Counter(logging.Handler):
    """Rows put through the network, by the step that the log last named."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.step = ""
        self.read: dict[str, int] = defaultdict(int)
        self.replies: dict[str, int] = defaultdict(int)
        self.layered: dict[str, int] = defaultdict(int)  # tokens through each layer
        self.longest = 1

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("["):
            self.step = text.split("] ")[1]


SCORED = ("weights.safety", "weights.utility")


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """What a tiny audit put through the network, step by step, and what was planned."""
    import contextlib
    import io

    from interlock import cli as command_line

    counter = _Counter()
    network, layer = PreTrainedModel.__call__, LlamaDecoderLayer.__call__

    def counting(self, *arguments, **options):
        if counter.step and self.base_model is not self:  # not the decoder inside it again
            rows = len(options["input_ids"])
            counter.longest = max(counter.longest, options["input_ids"].shape[1])
            cache = options.get("past_key_values")
            if not options.get("use_cache"):
                counter.read[counter.step] += rows
            elif cache.get_seq_length() == 0:
                counter.replies[counter.step] += rows
        return network(self, *arguments, **options)

    def layer_counting(self, states, *arguments, **options):
        counter.layered[counter.step] += states.shape[0] * states.shape[1]
        return layer(self, states, *arguments, **options)

    folder = tmp_path_factory.mktemp("counted") / "run"
    log = logging.getLogger("interlock")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log.addHandler(counter)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(PreTrainedModel, "__call__", counting, raising=False)
        patch.setattr(LlamaDecoderLayer, "__call__", layer_counting, raising=False)
        assert command_line.main(["audit", "--budget", "tiny", "--dry-run", "--json"]) == 0
        plan = json.loads(out.getvalue())
        code = command_line.main(["audit", "--budget", "tiny", "--out", str(folder)])
    log.removeHandler(counter)
    root.handlers[:] = handlers
    root.setLevel(level)
    assert code == 0
    return counter, plan


def test_a_plan_counts_what_the_run_does(counted):
    counter, plan = counted
    planned = {
        step["id"]: (step["prompts"] + step["passages"], step["replies"]) for step in plan["steps"]
    }
    done = {name: (counter.read[name], counter.replies[name]) for name in planned}
    replayed = [name for name in planned if name.startswith("where.")]
    scored = [step["id"] for step in plan["steps"] if step["id"] in SCORED]
    wrong = {
        name: (planned[name], done[name])
        for name in planned
        if planned[name] != done[name] and name not in (*replayed, *scored)
    }
    assert not wrong, f"(read, replies) planned and done: {wrong}"
    # weights are scored on the replies that can be used, at most as many as there are prompts
    assert scored == list(SCORED)
    for name in scored:
        assert 0 < done[name][0] <= planned[name][0], name
    # replay runs parts of prompts through some layers: at most as much as planned, and where only
    # the last token is edited, a token of each prompt
    assert replayed
    for name in replayed:
        passes = counter.layered[name] / (4 * counter.longest)
        assert planned[name][0] / counter.longest < passes <= planned[name][0], name


def test_yaml_reads_on_as_a_word(study_file):
    """YAML 1.1 reads `on` as true; a study file may not."""
    assert True in yaml.safe_load("{on: 1}")
    assert list(read_study_file(study_file("{on: 1, off: no}")).items()) == [
        ("on", 1),
        ("off", "no"),
    ]
