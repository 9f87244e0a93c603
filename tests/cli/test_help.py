"""Help, usage mistakes, and what help may cost."""

import subprocess
import sys

import pytest
from commands import environment

from interlock import cli as command_line

HEAVY = ("torch", "transformers", "plotly", "matplotlib", "pyarrow", "scipy")


def _names(app, prefix=()):
    for each in app.registered_commands:
        yield (*prefix, each.name or each.callback.__name__.replace("_", "-"))
    for group in app.registered_groups:
        yield (*prefix, group.name)
        yield from _names(group.typer_instance, (*prefix, group.name))


COMMANDS = [(), *_names(command_line.app)]


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_has_help(cli, names):
    result = cli(*names, "--help")
    assert result.code == 0
    assert result.err == ""
    first = result.out.split("\n")[0]
    assert first.startswith("Usage: ")
    assert " ".join(names) in first
    # something is said beyond the usage line and the options
    assert len(result.out.split("Options:")[0].strip().splitlines()) >= 3


def test_the_tree_holds_the_commands_of_the_first_studies():
    found = {" ".join(names) for names in COMMANDS}
    assert {"audit", "behaviour", "locate", "ablate", "doctor"} <= found
    assert {"run show", "run verify", "study check", "study plan", "organism list"} <= found


def _imported(program, cache):
    listing = "; import sys; print(' '.join(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program + listing],
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split())


def test_import_and_help_import_nothing_heavy(cache):
    bare = _imported("import interlock", cache)
    helped = _imported("from interlock.cli import main; assert main(['--help']) == 0", cache)
    sub = _imported("from interlock.cli import main; assert main(['audit', '--help']) == 0", cache)
    assert "interlock" in bare
    for found in (bare, helped, sub):
        assert not found & set(HEAVY)


def test_a_study_is_checked_without_torch(cache, tmp_path):
    (tmp_path / "study.yaml").write_text("question: x\nmodel: {nme: y}\n", encoding="utf-8")
    path = tmp_path / "study.yaml"
    program = f"from interlock.cli import main; assert main(['study', 'check', {str(path)!r}]) == 2"
    assert "torch" not in _imported(program, cache)


def test_a_wrong_setting_is_refused_before_torch_is_loaded(cache):
    program = "from interlock.cli import main; assert main(['audit', 'model.nme=x']) == 2"
    assert "torch" not in _imported(program, cache)


def test_no_command_shows_help_that_is_not_an_error(cli):
    result = cli()
    assert result.code in (0, 2)
    assert "Usage: " in result.out + result.err
    assert "error:" not in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["audit", "--bogus"], "--bogus"),
        (["audit", "--budget"], "--budget"),
        (["autid"], "autid"),
        (["run"], None),
        (["run", "verfy", "x"], "verfy"),
        (["run", "show"], "folder"),
        (["doctor"], "model"),
        (["organism", "train", "base", "--seed", "x"], "--seed"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_usage_mistakes(cli, arguments, said):
    if said is None:
        result = cli(*arguments)
        assert "Usage:" in result.out + result.err
        return
    assert said in cli(*arguments).error()


def test_a_usage_mistake_in_a_subprocess(interlock, isolated):
    line = interlock("audit", "--bogus", cwd=isolated).error()
    assert "--bogus" in line
