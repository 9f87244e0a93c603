"""A run killed at any moment goes on where it was; a finished one is not run again."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import SECONDS, command, digests, environment, read_json

AUDIT = ("audit", "--budget", "tiny", "--out", "run")


def _started(folder: Path) -> bool:
    return (folder / "plan.json").is_file()


def _after(step: str):
    return lambda folder: (folder / "steps" / f"{step}.json").is_file()


def _shards(step: str, count: int):
    return lambda folder: len(list(folder.glob(f"shards/{step}-*/*.json"))) >= count


def _stop_when(reached, cwd: Path, cache: Path, how: int) -> subprocess.Popen:
    """Run the audit until its folder has come to a certain point, then send a signal."""
    child = subprocess.Popen(
        command(*AUDIT),
        cwd=cwd,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + SECONDS
    while not reached(cwd / "run") and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert child.poll() is None, f"ended before the moment came:\n{child.stderr.read()}"
    os.kill(child.pid, how)
    return child


def _same_tables(folder: Path, wanted: Path) -> None:
    names = sorted(path.name for path in (wanted / "tables").glob("*.parquet"))
    assert sorted(path.name for path in (folder / "tables").glob("*.parquet")) == names
    for name in names:
        found, want = (pq.read_table(each / "tables" / name) for each in (folder, wanted))
        assert found.schema.equals(want.schema, check_metadata=True), name
        assert repr(found.to_pydict()) == repr(want.to_pydict()), name  # NaN equals NaN
        text = (folder / "tables" / name).with_suffix(".csv").read_bytes()
        assert text == (wanted / "tables" / name).with_suffix(".csv").read_bytes(), name


def test_killed_again_and_again_it_ends_as_if_never_killed(interlock, finished, cache, isolated):
    moments = [
        _started,
        _shards("where.units.denoise", 1),
        _shards("necessary.mean", 3),
    ]
    folder = isolated / "run"
    done: dict[Path, int] = {}
    for moment in moments:
        child = _stop_when(moment, isolated, cache, signal.SIGKILL)
        assert child.wait(timeout=30) == -signal.SIGKILL
        child.communicate()
        assert not (folder / "manifest.json").exists()
        for path, changed in done.items():
            assert path.stat().st_mtime_ns == changed, f"{path.name} was computed again"
        steps = [path.stem for path in (folder / "steps").glob("*.json")]
        tables = [folder / "tables" / f"{step}.parquet" for step in steps]
        done = {path: path.stat().st_mtime_ns for path in tables}
    shards = list(folder.glob("shards/necessary.mean-*/*.json"))
    assert shards and len(done) >= 11
    result = interlock(*AUDIT, cwd=isolated)
    assert result.code == 0, result.err
    for path, changed in done.items():
        assert path.stat().st_mtime_ns == changed, f"{path.name} was computed again"
    _same_tables(folder, finished[0])
    assert read_json(folder / "verdicts.json") == read_json(finished[0] / "verdicts.json")
    assert read_json(folder / "plan.json") == read_json(finished[0] / "plan.json")
    assert not (folder / "shards").exists()


def test_control_c_is_one_line_that_says_how_to_go_on(cache, isolated):
    child = _stop_when(_after("openers"), isolated, cache, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 2
    assert out == ""
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("error: interrupted") and "same command again" in last
    assert (isolated / "run" / "tables" / "openers.parquet").is_file()


@pytest.mark.parametrize("left", ["plan.json.4242.part", ".writable", ".writable.4242.part"])
def test_a_kill_while_the_first_file_is_written_does_not_block_the_folder(cli, isolated, left):
    """What `write_bytes` and `require_writable` leave behind when the process dies in them."""
    (isolated / "run").mkdir()
    (isolated / "run" / left).write_bytes(b"{")
    result = cli("behaviour", "--budget", "tiny", "prompts.per_category=1", "--out", "run")
    assert result.code == 0, result.err


def test_a_sealed_run_answers_at_once_and_is_not_touched(cli, finished, sealed, monkeypatch):
    import transformers

    def loaded(*_, **__):
        raise AssertionError("weights were loaded for a run that is complete")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", loaded)
    before = digests(sealed)
    result = cli("audit", "--budget", "tiny", "--out", sealed, "--json")
    assert result.code == 0, result.err
    assert result.out == finished[1].out.replace('"run": "run"', f'"run": "{sealed}"')
    assert digests(sealed) == before


def test_what_is_damaged_in_an_unsealed_run_is_computed_again(cli, finished, sealed):
    (sealed / "manifest.json").unlink()
    kept = sealed / "tables" / "where.units.noise.parquet"
    changed = kept.stat().st_mtime_ns
    table = sealed / "tables" / "behaviour.replies.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    (sealed / "tables" / "behaviour.nll.parquet").unlink()
    record = read_json(sealed / "steps" / "where.slot.noise.json")
    (sealed / "steps" / "where.slot.noise.json").unlink()
    shards = sealed / "shards" / f"where.slot.noise-{record['key'][:12]}"
    shards.mkdir(parents=True)
    (shards / "patching-noise-00000.json").write_text('{"site": 0, "pai', encoding="utf-8")
    result = cli("audit", "--budget", "tiny", "--out", sealed)
    assert result.code == 0, result.err
    assert kept.stat().st_mtime_ns == changed
    _same_tables(sealed, finished[0])


def test_a_damaged_step_record_is_computed_again(cli, finished, sealed):
    (sealed / "manifest.json").unlink()
    (sealed / "steps" / "behaviour.nll.json").write_bytes(b'{"id": "behav')
    result = cli("audit", "--budget", "tiny", "--out", sealed)
    assert result.code == 0, result.err
    _same_tables(sealed, finished[0])


def test_unfinished_writes_of_a_killed_process_do_not_stay(cli, sealed):
    (sealed / "manifest.json").unlink()
    (sealed / "tables" / "openers.parquet.4242.part").write_bytes(b"PAR1")
    assert cli("audit", "--budget", "tiny", "--out", sealed).code == 0
    assert not list(sealed.rglob("*.part"))
