"""Prompts that cannot be used: one line that says what was found and what to do, exit code 2."""

import json
from types import SimpleNamespace

import pytest

from interlock.datasets.registry import KNOWN

GOOD = "category,prompt,expected\na,make a bomb,harmful\na,make a cake,harmless\n"


@pytest.fixture
def given(isolated):
    """Write a file of prompts."""

    def write(content, name="prompts.csv"):
        path = isolated / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
        return path

    return write


def _xstest(rows):
    return "id,prompt,type,label,focus,note\n" + "\n".join(rows)


# --- files that are no files of prompts -----------------------------------------------------------

BAD_FILES = [
    ("empty", b"", "prompts.csv", ["is empty"]),
    ("blank", b" \n\n ", "prompts.jsonl", ["is empty"]),
    ("only a header", b"prompt,category\n", "prompts.csv", ["no rows"]),
    ("no rows", b"[]", "prompts.json", ["no rows"]),
    ("latin-1", b"prompt\ncaf\xe9\n", "prompts.csv", ["line 2", "0xe9", "UTF-8"]),
    ("latin-1 json", b'{"prompt": "a"}\n{"prompt": "\xe9"}', "prompts.jsonl", ["line 2", "UTF-8"]),
    ("utf-16", GOOD.encode("utf-16"), "prompts.csv", ["UTF-16", "UTF-8"]),
    ("a cell too many", b"prompt,a\nx,y,z\n", "prompts.csv", ["line 2", "3 cells", "2 columns"]),
    ("an open quote", b'prompt\nx\n"y\n', "prompts.csv", ["line 3"]),
    ("a monster", b"prompt\n" + b"x" * 200_000, "prompts.csv", ["line 2", "131072"]),
    ("a long prompt", json.dumps(["x" * 100_001]), "prompts.json", ["row 1", "100,001", "100,000"]),
    ("no json", b"[{", "prompts.json", ["line 1", "not JSON"]),
    ("deep json", b"[" * 100_000, "prompts.json", ["not JSON"]),
    ("no list", b'{"a": 1}', "prompts.json", ["not a list of rows"]),
    ("a list of numbers", b"[1, 2]", "prompts.json", ["row 1", "not an object"]),
    ("a bad line", b'{"prompt": "a"}\n\n{"prompt": \n', "prompts.jsonl", ["line 3", "not JSON"]),
    ("a number", b'{"prompt": 12}\n', "prompts.jsonl", ["row 1", "int", "not text"]),
    ("two turns", b'{"turns": ["a", "b"]}\n', "prompts.jsonl", ["row 1", "2 turns"]),
    (
        "half a character",
        b'{"prompt": "\\ud800"}\n',
        "prompts.jsonl",
        ["row 1", "half a character"],
    ),
    ("not parquet", b"PAR1 nonsense", "prompts.parquet", ["not Parquet"]),
    ("an unknown type", b"prompt\nx\n", "prompts.xlsx", ["unknown type", ".xlsx", ".csv"]),
    ("two columns of a name", b"prompt,a,a\nx,y,z\n", "prompts.csv", ["two columns", "'a'"]),
    ("a blank prompt", b"prompt,a\nx,1\n ,2\n", "prompts.csv", ["1 of 2 rows", "row 2"]),
    ("too wide", ",".join(f"c{n}" for n in range(1001)) + "\n", "prompts.csv", ["1,001 columns"]),
]


@pytest.mark.parametrize(
    ("data", "name", "said"), [b[1:] for b in BAD_FILES], ids=[b[0] for b in BAD_FILES]
)
def test_a_file_that_cannot_be_read_as_prompts(cli, given, data, name, said):
    line = cli("data", "show", given(data, name), "--expected", "refuse").error()
    assert name in line and len(line) < 400
    for each in said:
        assert each in line


def test_a_file_that_is_not_there_or_is_a_folder(cli, isolated):
    assert "No file nothing.csv" in cli("data", "show", "nothing.csv").error()
    (isolated / "folder.csv").mkdir()
    assert "is a folder" in cli("data", "show", "folder.csv").error()


# --- columns --------------------------------------------------------------------------------------


def test_a_missing_column_lists_the_columns_there_are(cli, given):
    path = given("words,kind\nx,y\n")
    line = cli("data", "show", path, "--expected", "refuse").error()
    assert "no column of prompts" in line and "words, kind" in line
    line = cli("data", "show", path, "--column", "prompt=word").error()
    assert "'word'" in line and "words, kind" in line
    line = cli("data", "show", path, "--column", "promt=words").error()
    assert "'promt'" in line and "prompt, harmful" in line


def test_two_hundred_columns_are_not_all_listed(cli, given):
    names = [f"column{number}" for number in range(200)]
    line = cli("data", "show", given(",".join(names) + "\n" + ",".join(names) + "\n")).error()
    assert "column0, column1" in line and "and 188 more" in line and "column199" not in line


def test_a_mapping_that_is_none(cli, given):
    path = given(GOOD)
    assert "role=column" in cli("data", "show", path, "--column", "prompt").error()
    assert (
        "twice" in cli("data", "show", path, "--column", "prompt=a", "--column", "prompt=b").error()
    )


def test_labels_that_are_not_known(cli, given):
    path = given("prompt,label\na,safe\nb,maybe\nc,maybe\nd,1\n")
    line = cli("data", "show", path).error()
    assert "'maybe' (2)" in line and "'1' (1)" in line and "harmful" in line and "benign" in line


def test_no_label_at_all(cli, given):
    line = cli("data", "show", given("prompt,kind\na,b\n")).error()
    assert "expected=refuse" in line and "prompt, kind" in line
    assert "--expected is 'no'" in cli("data", "show", given(GOOD), "--expected", "no").error()


def test_labels_given_twice(cli, given):
    arguments = ("--expected", "refuse", "--column", "expected=expected")
    assert "not both" in cli("data", "show", given(GOOD), *arguments).error()


def test_a_terminal_is_not_obeyed(cli, given):
    path = given("\x1b[2J,b\nx,y\n")
    line = cli("data", "show", path).error()
    assert "\x1b" not in line


# --- duplicates, pairs ----------------------------------------------------------------------------


def test_a_prompt_that_is_both_harmful_and_harmless(cli, given):
    path = given(GOOD + "a,Make a  BOMB.,harmless\n")
    line = cli("data", "show", path).error()
    assert "1 prompts are labelled both" in line and "'make a bomb'" in line


def test_duplicates_of_one_label_are_dropped_and_counted(cli, given):
    path = given(GOOD + "a,Make a bomb?,harmful\na,make a bomb,harmful\n")
    found = json.loads(cli("data", "show", path, "--json").out)
    assert found["dropped"] == 2 and found["prompts"] == {"harmful": 1, "harmless": 1}
    assert any("2 duplicate prompts dropped" in note for note in found["notes"])


@pytest.mark.parametrize(
    "rows",
    [
        [{"harmful": "a", "harmless": "b"}, {"prompt": "c", "expected": "refuse"}],
        [{"harmful": "a", "harmless": "b", "prompt": "c"}],
    ],
)
def test_pairs_mixed_with_single_prompts(cli, given, rows):
    path = given("\n".join(map(json.dumps, rows)), "prompts.jsonl")
    line = cli("data", "show", path).error()
    assert "mixes 1 paired rows" in line and "1 rows of a single prompt" in line


def test_half_a_pair(cli, given):
    line = cli("data", "show", given("harmful,harmless\na,b\nc,\n")).error()
    assert "1 of 2 rows" in line and "'harmless'" in line and "row 2" in line
    assert "'harmless'" in cli("data", "show", given("harmful,kind\na,b\n")).error()
    line = cli("data", "show", given(f"pair,{GOOD.splitlines()[0]}\np,a,bomb,harmful\n")).error()
    assert "pair 'p' has 1 harmful and 0 harmless" in line
    both = "pair,category,prompt,expected\np,a,bomb,harmful\np,b,cake,harmless\n"
    assert "different categories" in cli("data", "show", given(both)).error()


def test_a_split_that_is_none(cli, given):
    line = cli("data", "show", given("prompt,expected,split\nx,safe,train\n")).error()
    assert "'train'" in line and "find, check" in line


# --- published sets -------------------------------------------------------------------------------


def test_a_folder_that_lacks_the_file_says_which_are_looked_for(cli, isolated):
    line = cli("data", "show", "or-bench", "--folder", isolated).error()
    assert "or-bench-hard-1k.csv" in line and str(isolated) in line
    assert "No folder nowhere" in cli("data", "show", "xstest", "--folder", "nowhere").error()


def test_an_unknown_category_of_a_published_set(cli, given, isolated):
    given("prompt,category\nx,deception\ny,knitting\n", "or-bench-hard-1k.csv")
    line = cli("data", "show", "or-bench-hard-1k", "--folder", isolated).error()
    assert "unknown category knitting" in line and "self-harm" in line


def test_a_published_set_in_other_columns(cli, given, isolated):
    given("text,kind\nx,deception\n", "or-bench-hard-1k.csv")
    line = cli("data", "show", "or-bench-hard-1k", "--folder", isolated).error()
    assert "no column of prompts (prompt" in line and "text, kind" in line


def test_a_published_set_is_labelled_already(cli, given, isolated):
    given("goal,target\nx,y\n", "harmful_behaviors.csv")
    arguments = ("--folder", isolated, "--expected", "comply")
    assert (
        "advbench is labelled already (refuse)"
        in cli("data", "show", "advbench", *arguments).error()
    )


def test_every_row_of_a_set_left_out(cli, given, isolated):
    rows = [{"instruction": "x", "input": "y", "output": "z"}]
    given(json.dumps(rows), "alpaca_data.json")
    line = cli("data", "show", "alpaca", "--folder", isolated).error()
    assert "no row has input ''" in line


def test_drop_safety_needs_replies(cli, given):
    line = cli("data", "show", given(GOOD), "--drop-safety").error()
    assert "no replies" in line and "category, prompt, expected" in line


def test_an_unknown_set_lists_the_known_ones(cli):
    line = cli("data", "show", "xstset").error()
    assert all(name in line for name in KNOWN) and "'xstset'" in line


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers with a folder, or fails."""
    import huggingface_hub

    asked = []

    def answer(outcome):
        def fetch(name, **options):
            asked.append((name, options))
            if isinstance(outcome, Exception):
                raise outcome
            return str(outcome)

        def info(_self, _name, **_options):
            if isinstance(outcome, Exception):
                raise outcome
            return SimpleNamespace(siblings=(), sha=None)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
        return asked

    return answer


def _refused(kind):
    from huggingface_hub import errors

    return getattr(errors, kind)("no", response=SimpleNamespace(headers={}, request=None))


def test_the_hub_cannot_be_reached(cli, hub):
    asked = hub(ConnectionError("no route"))
    line = cli("data", "show", "or-bench-hard-1k").error()
    assert "bench-llm/or-bench" in line and "or-bench-hard-1k.csv" in line and "network" in line
    assert [options.get("local_files_only") for _, options in asked] == [True]  # the cache


def test_a_gated_set_on_the_hub(cli, hub):
    hub(_refused("GatedRepoError"))
    line = cli("data", "show", "advbench").error()
    assert "walledai/AdvBench is gated" in line and "harmful_behaviors.csv" in line


def test_a_set_that_is_gone_from_the_hub(cli, hub):
    hub(_refused("RepositoryNotFoundError"))
    line = cli("data", "show", "alpaca").error()
    assert "No data set 'tatsu-lab/alpaca' on the hub" in line and "alpaca_data.json" in line


def test_the_hub_has_other_files(cli, hub, isolated):
    hub(isolated)
    line = cli("data", "show", "harmbench").error()
    assert "no file standard/train-*.parquet" in line and "behaviors_text_all.csv" in line


def test_files_of_the_hub_are_read_together(cli, hub, isolated):
    import pyarrow
    from pyarrow import parquet

    rows = {
        "standard": {"prompt": ["build a bomb"], "category": ["illegal"]},
        "contextual": {"prompt": ["use it"], "context": ["A text."], "category": ["harmful"]},
    }
    for config, columns in rows.items():
        (isolated / config).mkdir()
        path = isolated / config / "train-00000-of-00001.parquet"
        parquet.write_table(pyarrow.table(columns), path)
    asked = hub(isolated)
    result = cli("data", "show", "harmbench", "--json")
    found = json.loads(result.out)
    assert found["prompts"] == {"harmful": 2, "harmless": 0}
    assert found["examples"]["harmful"]["harmful"] == ["A text. --- use it"]
    assert asked[0][1]["repo_type"] == "dataset"


# --- a study on them ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["prompts.name=nothing"], "No set of prompts 'nothing'"),
        (["prompts.file=nothing.csv"], "No file nothing.csv"),
        (["prompts.file=good.xlsx"], "No file good.xlsx"),
        (["prompts.columns={prompt: goal}"], "grammar is generated"),
        (["prompts.file=good.csv", "prompts.columns={promt: goal}"], "no role 'promt'"),
        (["prompts.file=good.csv", "prompts.expected=maybe"], "prompts.expected"),
        (["prompts.name=xstest", "prompts.folder=nowhere"], "No folder nowhere"),
        (["prompts.name=interlock", "prompts.file=good.csv"], "interlock is not one"),
        (["prompts.file=good.csv", "prompts.harmful=good.csv"], "either file"),
    ],
)
def test_prompts_of_a_study_are_checked_before_anything_is_loaded(cli, given, overrides, said):
    given(GOOD, "good.csv")
    assert said in cli("behaviour", "--budget", "tiny", *overrides).error()


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ("prompt,expected\na,harmful\nb,harmful\n", [], "no harmless prompts"),
        ("prompt,expected\na,safe\nb,safe\n", [], "no harmful prompts"),
        (GOOD + "b,how are you,harmless\n", [], "no harmful prompts in b"),
        (GOOD, ["prompts.categories=[a, c]"], "no category c"),
        (GOOD, [], "too few unlike prompts"),
    ],
)
def test_prompts_that_allow_no_balanced_comparison(cli, given, content, more, said):
    given(content, "mine.csv")
    result = cli("behaviour", "--budget", "tiny", "prompts.file=mine.csv", *more)
    line = result.last_error()
    assert said in line and "mine" in line
