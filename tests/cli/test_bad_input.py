"""Mistakes: exit code 2, one line per mistake, no traceback, and nothing computed is lost."""

import errno
import json
import os
import shutil
import struct

import pytest
import torch
from commands import digests, read_json

from interlock.organisms import folder as organism_folder

TINY = ("--budget", "tiny")


# --- the model ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuchmodel", "nosuchmodel"),
        ("./no/such/folder", "./no/such/folder"),
        ("/no/such/folder", "/no/such/folder"),
        ("~/no-such-folder", "no-such-folder"),
        ("organism:nobody", "aligned"),
        ("organism:", "aligned"),
        ("organism:../weights/aligned", "organism:"),
        ("too/many/parts", "too/many/parts"),
        ("", "model"),
    ],
)
@pytest.mark.parametrize("command", ["behaviour", "doctor"])
def test_a_model_that_is_not_there(cli, isolated, command, name, said):
    more = ("--budget", "tiny", "prompts.per_category=1") if command == "behaviour" else ()
    assert said in cli(command, name, *more).error()
    assert not list(isolated.iterdir())


def test_a_model_that_is_a_file(cli, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert "not a folder" in cli("doctor", tmp_path / "model.safetensors").error()


def test_a_folder_without_weights(cli, tmp_path):
    (tmp_path / "model").mkdir()
    line = cli("behaviour", tmp_path / "model").error()
    assert "no weights" in line and str(tmp_path / "model") in line


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "weights.ckpt", "a.pkl"])
def test_weights_only_as_pickle_are_refused_unread(cli, organism_copy, pickle):
    (organism_copy / "model.safetensors").rename(organism_copy / pickle)
    line = cli("behaviour", organism_copy).error()
    assert "pickle" in line and pickle in line and "safetensors" in line


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _bad_header(path):
    path.write_bytes(struct.pack("<Q", 10) + b"not a json")


def _empty(path):
    path.write_bytes(b"")


def _foreign(path):
    """Weights of another shape: one tensor only."""
    header = json.dumps(
        {"model.norm.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))


@pytest.mark.parametrize("damage", [_cut, _bad_header, _empty, _foreign])
def test_weights_that_do_not_load(cli, organism_copy, isolated, damage):
    damage(organism_copy / "model.safetensors")
    result = cli("behaviour", organism_copy, *TINY, "--out", isolated / "run")
    assert str(organism_copy) in result.last_error()
    assert not (isolated / "run" / "manifest.json").exists()


def test_weights_that_lack_some_of_the_network(cli, organism_copy):
    """Hugging Face fills them with random numbers; no result on those could be trusted."""
    from safetensors.torch import load_file, save_file

    path = organism_copy / "model.safetensors"
    weights = load_file(path)
    lost = next(name for name in weights if "down_proj" in name)
    del weights[lost]
    save_file(weights, path, {"format": "pt"})
    assert str(organism_copy) in cli("doctor", organism_copy).last_error()


def test_weights_with_a_part_missing(cli, organism_copy):
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (organism_copy / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    line = cli("doctor", organism_copy).error()
    assert "model-2.safetensors" in line


def test_an_index_that_is_not_one(cli, organism_copy):
    (organism_copy / "model.safetensors.index.json").write_text("{}", "utf-8")
    assert "index" in cli("doctor", organism_copy).error()


@pytest.mark.parametrize("text", [None, "{", "[]", '{"model_type": "nonesuch"}', "{}"])
def test_a_config_that_cannot_be_read(cli, organism_copy, text):
    path = organism_copy / "config.json"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert "config" in cli("doctor", organism_copy).error()
    assert "config" in cli("behaviour", organism_copy, "--dry-run").error()


def test_an_architecture_without_an_entry(cli, organism_copy):
    config = {"model_type": "ctrl", "n_layer": 1, "n_head": 2, "n_embd": 8, "vocab_size": 10}
    (organism_copy / "config.json").write_text(json.dumps(config), "utf-8")
    for arguments in (("doctor",), ("audit", "--out", "run"), ("audit", "--dry-run")):
        line = cli(arguments[0], organism_copy, *arguments[1:]).last_error()
        assert "ctrl" in line and "llama" in line


def test_a_tokenizer_that_cannot_be_read(cli, organism_copy):
    (organism_copy / "tokenizer.json").write_text("{", "utf-8")
    assert "tokenizer" in cli("behaviour", organism_copy, *TINY).last_error()


def test_a_model_without_a_tokenizer(cli, organism_copy):
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (organism_copy / name).unlink()
    assert "no tokenizer" in cli("behaviour", organism_copy, *TINY).last_error()


@pytest.mark.parametrize("device", ["cuda:99", "nonesuch", "meta"])
def test_a_device_that_is_not_there(cli, device):
    assert device in cli("behaviour", f"model.device={device}", *TINY).error()
    assert device in cli("doctor", "organism:aligned", "--device", device).error()


def test_a_dtype_that_there_is_not(cli):
    assert "dtype" in cli("behaviour", "model.dtype=float99").error()
    line = cli("doctor", "organism:aligned", "--dtype", "float99").error()
    assert "float99" in line and "bfloat16" in line


# --- the study file -------------------------------------------------------------------------------

GOOD = """\
question: Does it?
model: {name: "organism:aligned"}
prompts: {per_category: 1, passages: 2}
budgets: {5m: {}}
steps:
  - {id: openers, do: behaviour, on: prompts.find}
  - {id: units, do: patching, on: pairs.find, replies: openers, places: units, positions: [all]}
  - {id: cut, do: ablation, on: prompts.check, passages: passages, sites: "top(5, units)"}
"""


def test_the_good_study_is_good(cli, study_file):
    result = cli("study", "check", study_file(GOOD))
    assert result.code == 0 and "3 steps" in result.out


@pytest.mark.parametrize("change", [
    ("question: Does it?", "question: 3", "question"),
    ("question: Does it?", "qestion: Does it?", "qestion"),
    ("per_category: 1", "per_categry: 1", "per_categry"),
    ("per_category: 1", "per_category: 0", "per_category"),
    ("per_category: 1", "per_category: many", "per_category"),
    ("per_category: 1", "name: nonesuch", "nonesuch"),
    ('{name: "organism:aligned"}', "{nam: x}", "nam"),
    ('{name: "organism:aligned"}', "[x]", "model"),
    ("do: behaviour", "do: behavior", "steps.0"),
    ("id: cut, do", "id: openers, do", "openers"),
    ("on: prompts.find", "on: prompts.found", "prompts.find"),
    ("on: prompts.find", "on: prompts.find, tokens: lots", "tokens"),
    ("on: prompts.find", "on: prompts.find, tokns: 3", "tokns"),
    ("replies: openers", "replies: opener", "openers"),
    ("replies: openers", "reply: openers", "repl"),
    ("positions: [all]", "positions: [al]", "al"),
    ("positions: [all]", "places: rooms", "places"),
    ('sites: "top(5, units)"', 'sites: "top(5, openers)"', "openers"),
    ('sites: "top(5, units)"', 'sites: "best(5, units)"', "top("),
    ('sites: "top(5, units)"', "sites: [heads.0.1]", "heads"),
    ('sites: "top(5, units)"', "sites: [head.0.1@nowhere]", "nowhere"),
    ('sites: "top(5, units)"', "sites: []", "sites"),
    ('sites: "top(5, units)"', "sites: 5", "sites"),
    ("on: prompts.check", "on: prompts.find", "split"),
    ("budgets: {5m: {}}", "budgets: {1m: {}}", "5m"),
    ("budgets: {5m: {}}", "budgets: [5m]", "budgets"),
    ("budgets: {5m: {}}", "budgets: {5m: 5}", "5m"),
    ("budgets: {5m: {}}", "budgets: {5m: {steps.nobody.tokens: 3}}", "nobody"),
    ("budgets: {5m: {}}", "budgets: {5m: {}}\nclaims: 5", "claims"),
    ("budgets: {5m: {}}", "budgets: {5m: {}}\nclaims: [{rule: nonesuch}]", "nonesuch"),
    ("budgets: {5m: {}}", "budgets: {5m: {}}\nclaims: [{rule: refuses_well}]", "refuses_well"),
    (
        "budgets: {5m: {}}",
        "budgets: {5m: {}}\nclaims: [{rule: refuses_well, replies: openers, openrs: openers}]",
        "openrs",
    ),
    ("budgets: {5m: {}}", "budgets: {5m: {}}\nrules: 5", "rules"),
    ("budgets: {5m: {}}", "budgets: {5m: {}}\nrules: {nonesuch: {a: 1}}", "nonesuch"),
    ("budgets: {5m: {}}", "budgets: {5m: {}}\nrules: {refuses_well: {refusal: high}}", "high"),
    ("budgets: {5m: {}}", "budgets: {5m: {}}\nrules: {refuses_well: {refused: .5}}", "refused"),
    ("budgets: {5m: {}}", "budgets: {5m: {}}\nrules: {refuses_well: 5}", "refuses_well"),
    ("steps:\n", "stps:\n", "stps"),
], ids=lambda change: " ".join(change[1].split()))  # fmt: skip
def test_one_mistake_in_a_study_file(cli, study_file, change):
    old, new, said = change
    assert old in GOOD
    lines = cli("study", "check", study_file(GOOD.replace(old, new))).errors()
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize("steps", ["steps: 5", "steps: {a: 1}", "steps: [1]", "steps: [{}]", ""])
def test_steps_that_are_no_steps(cli, study_file, steps):
    text = GOOD[: GOOD.index("steps:")] + steps + "\n"
    assert "steps" in cli("study", "check", study_file(text)).error()


def test_several_mistakes_are_reported_together(cli, study_file):
    text = (
        GOOD.replace("per_category: 1", "per_categry: 1")
        .replace('name: "organism:aligned"', "name: x, dtyp: float32")
        .replace("on: prompts.find", "on: prompts.find, tokns: 3")
        .replace("top(5, units)", "top(5, unit)")
        + "rules: {refuses_well: {refused: 1}}\nclaims: [{rule: none}]\nextra: 1\n"
    )
    lines = cli("study", "check", study_file(text)).errors()
    for said in ("per_categry", "dtyp", "tokns", "'unit'", "refused", "claims.0", "extra"):
        assert sum(said in line for line in lines) == 1, (said, lines)


@pytest.mark.parametrize(
    "text",
    ["steps: [", "a: b: c", "\tx: 1", "x: !!python/object/apply:os.system [id]", "&a [*b]"],
)
def test_yaml_that_is_not_yaml(cli, study_file, text):
    path = study_file(text)
    for arguments in (("study", "check", path), ("audit", "--study", path, "--out", "run")):
        line = cli(*arguments).error()
        assert "study.yaml" in line and "YAML" in line


@pytest.mark.parametrize("text", ["", "- a", "3", "text"])
def test_yaml_that_is_not_a_study(cli, study_file, text):
    assert "not a study" in cli("study", "check", study_file(text)).error()


def test_a_study_file_that_is_not_there(cli, tmp_path):
    line = cli("audit", "--study", tmp_path / "none.yaml").error()
    assert "none.yaml" in line
    assert "cannot be read" in cli("study", "check", tmp_path).error()
    (tmp_path / "latin.yaml").write_bytes(b"question: caf\xe9\n")
    assert "latin.yaml" in cli("study", "check", tmp_path / "latin.yaml").error()


# --- overrides ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("nonesuch=1", "nonesuch"),
        ("model.nonesuch=1", "nonesuch"),
        ("nonesuch.key=1", "nonesuch"),
        ("steps.nobody.tokens=3", "openers"),
        ("steps.openers.nonesuch=3", "nonesuch"),
        ("steps.openers.tokens=lots", "tokens"),
        ("steps.openers.tokens=[1]", "tokens"),
        ("steps.openers.tokens=0", "tokens"),
        ("steps.openers.tokens=-5", "tokens"),
        ("steps.openers.batch=0", "batch"),
        ("steps.openers.temperature=-1", "temperature"),
        ("steps.openers=3", "openers"),
        ("steps.99.tokens=3", "99"),
        ("prompts.per_category=many", "per_category"),
        ("prompts.per_category=2.5", "per_category"),
        ("prompts.per_category=0", "per_category"),
        ("prompts.per_category.x=0", "per_category"),
        ("prompts.seed=[", "seed"),
        ("model=x", "model"),
        ("model.dtype=float99", "dtype"),
        ("rules.nonesuch.refusal=0.5", "nonesuch"),
        ("rules.refuses_well.nonesuch=0.5", "nonesuch"),
        ("rules.refuses_well.refusal=high", "refusal"),
        ("=3", "=3"),
        (".=3", ".=3"),
        ("claims.0.size=big", "size"),
        ("claims=3", "claims"),
        ("rules=3", "rules"),
        ("budget=nonesuch", "nonesuch"),
    ],
)
def test_an_override_that_does_not_fit(cli, isolated, token, said):
    lines = cli("behaviour", *TINY, token, "--out", "run").errors()
    assert any(said in line for line in lines), lines
    if "steps.openers=3" in token:
        assert not any("no step 'openers'" in line for line in lines), lines
    assert not list(isolated.iterdir())


def test_several_wrong_overrides_are_reported_together(cli):
    lines = cli("behaviour", *TINY, "a.b=1", "steps.nobody.tokens=3", "prompts.x.y=2").errors()
    assert len(lines) == 3


def test_two_models(cli):
    line = cli("audit", "organism:aligned", "organism:base").error()
    assert "organism:aligned" in line and "organism:base" in line


def test_two_models_by_word_and_by_override(cli):
    """Not a mistake that may pass unseen: the later one would win."""
    lines = cli("behaviour", *TINY, "organism:aligned", "model.name=organism:base").errors()
    assert any("organism:base" in line for line in lines)


def test_a_budget_that_there_is_not(cli):
    line = cli("audit", "--budget", "huge").error()
    assert "huge" in line and "tiny" in line


# --- where the run is put -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["through a file", "a file", "proc", "not mine", "too long"])
def test_a_folder_that_cannot_be_written(cli, tmp_path, kind):
    (tmp_path / "file").write_text("mine", "utf-8")
    paths = {
        "through a file": tmp_path / "file" / "run",
        "a file": tmp_path / "file",
        "proc": "/proc/interlock/run",
        "not mine": tmp_path / "closed" / "run",
        "too long": tmp_path / ("x" * 300),
    }
    if kind == "not mine":
        if os.geteuid() == 0:
            pytest.skip("permission bits do not bind root")
        (tmp_path / "closed").mkdir(mode=0o500)
    line = cli("behaviour", *TINY, "--out", paths[kind]).error()
    assert str(paths[kind])[:60] in line
    assert (tmp_path / "file").read_text("utf-8") == "mine"


def test_a_folder_that_cannot_be_written_is_found_before_the_model_is_opened(cli, tmp_path):
    (tmp_path / "file").write_text("mine", "utf-8")
    line = cli("behaviour", "./no/such/model", "--out", tmp_path / "file" / "run").error()
    assert str(tmp_path / "file") in line
    assert "already computed" not in line  # nothing was


def test_out_that_holds_another_study(cli, sealed):
    before = digests(sealed)
    line = cli("audit", *TINY, "prompts.seed=7", "--out", sealed).error()
    assert "another study" in line and "--out" in line
    assert "another study" in cli("behaviour", *TINY, "--out", sealed).error()
    assert digests(sealed) == before


def test_out_that_is_not_a_run(cli, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("mine", "utf-8")
    before = digests(tmp_path)
    assert "is not a run" in cli("behaviour", *TINY, "--out", tmp_path / "home").error()
    assert digests(tmp_path) == before


def test_an_empty_folder_is_fine(cli, isolated):
    (isolated / "run").mkdir()
    assert cli("behaviour", *TINY, "prompts.per_category=1", "--out", "run").code == 0


@pytest.mark.parametrize("command", ["show", "verify", "report", "figures"])
def test_run_commands_on_what_is_not_a_run(cli, tmp_path, isolated, command):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.txt").write_text("mine", "utf-8")
    assert "is not a run" in cli("run", command, tmp_path / "plain").error()
    assert "none" in cli("run", command, tmp_path / "none").error()
    assert not list(isolated.iterdir())


@pytest.mark.parametrize("command", ["show", "report", "figures"])
def test_run_commands_on_a_run_that_has_only_begun(cli, sealed, tmp_path, command):
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(sealed / "plan.json", begun)
    result = cli("run", command, begun)
    if command == "figures" and result.code == 0:
        return  # no tables, no figures
    line = result.error()
    assert "begun" in line


def test_a_figure_format_that_there_is_not(cli, sealed):
    before = digests(sealed)
    line = cli("run", "figures", sealed, "--format", "bmp").error()
    assert "bmp" in line and "svg" in line
    assert digests(sealed) == before


def test_a_report_where_none_can_be_written(cli, sealed, tmp_path):
    (tmp_path / "file").write_text("mine", "utf-8")
    cli("run", "report", sealed, "--to", tmp_path / "file" / "x.html").error()


@pytest.mark.parametrize("arguments", [("verify",), ("train",)])
def test_an_organism_that_there_is_not(cli, tmp_path, arguments):
    more = ("--out", tmp_path / "o") if arguments == ("train",) else ()
    assert "nobody" in cli("organism", *arguments, "nobody", *more).error()


# --- what stops a run -----------------------------------------------------------------------------

SMALL = ("behaviour", *TINY, "prompts.per_category=2", "--out", "run")


@pytest.mark.parametrize("writes", [0, 1, 4, 9])
def test_a_full_disk_loses_nothing(cli, isolated, monkeypatch, writes):
    """`os.fsync` is where `files` learns that the disk is full."""
    cli("behaviour", *TINY, "--dry-run")  # fill the caches, which may also write
    left, fsync = [writes], os.fsync

    def full(handle):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        line = cli(*SMALL).last_error()
    assert "disk is full" in line and "run" in line
    folder = isolated / "run"
    assert not list(folder.rglob("*.part"))
    assert not (folder / "manifest.json").exists()
    done = {path: path.stat().st_mtime_ns for path in folder.glob("steps/*.json")}
    assert len(done) >= (writes - 1) // 3 - 1
    assert cli(*SMALL).code == 0
    assert all(path.stat().st_mtime_ns == changed for path, changed in done.items())
    assert cli("run", "verify", folder).code == 0


def test_interrupted(cli, isolated, monkeypatch):
    import interlock.measures

    answer, calls = interlock.measures.generate, []

    def stop(*arguments, **options):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return answer(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(interlock.measures, "generate", stop)
        line = cli(*SMALL).last_error()
    assert "interrupted" in line and "same command again" in line
    first = isolated / "run" / "tables" / "openers.parquet"
    changed = first.stat().st_mtime_ns
    assert cli(*SMALL).code == 0
    assert first.stat().st_mtime_ns == changed
    outcomes = read_json(isolated / "run" / "verdicts.json")
    assert len(outcomes) == 1


def test_out_of_memory_with_a_single_prompt(cli, monkeypatch):
    import transformers

    def forward(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    cli("doctor", "organism:aligned")
    monkeypatch.setattr("interlock.opening.require", lambda _: None)
    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", forward)
    line = cli(*SMALL).last_error()
    assert "memory" in line and "model.dtype=bfloat16" in line


def test_a_broken_cache_only_costs_time(cli, isolated, tmp_path, monkeypatch):
    (tmp_path / "cache" / "interlock").mkdir(parents=True)
    (tmp_path / "cache" / "interlock" / "digests.json").write_text("[", "utf-8")
    (tmp_path / "cache" / "interlock" / "self_checks.json").write_text("{", "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cli(*SMALL).code == 0
    (tmp_path / "cache" / "interlock" / "digests.json").write_text("[]", "utf-8")
    (tmp_path / "cache" / "interlock" / "self_checks.json").write_text("3", "utf-8")
    assert cli(*SMALL).code == 0


def test_a_cache_that_cannot_be_written_only_costs_time(cli, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file", "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cli(*SMALL).code == 0


def test_the_shipped_organism_was_not_touched_by_these_tests():
    names = {path.name for path in organism_folder("aligned").iterdir()}
    assert "model.safetensors" in names and not any(".part" in name for name in names)
