"""Memory: out of it the batch is halved; what was used is recorded; before it runs out it is said.

A device's memory is read from the system: here from files as Linux has them, and a fake cuda.
"""

import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from commands import environment, read_json

from interlock import memory
from interlock.memory import Memory, Watch, in_words, look

LIMIT = 5


def test_out_of_memory_above_a_batch_size(cli, finished, isolated, monkeypatch):
    forward, refused = transformers.LlamaForCausalLM.forward, []

    def small(self, *arguments, **options):
        if len(options["input_ids"]) > LIMIT:
            refused.append(len(options["input_ids"]))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return forward(self, *arguments, **options)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", small)
    result = cli("ablate", "--budget", "tiny", "--out", "run", "--json")
    assert result.code == 0, result.err
    assert refused
    folder = isolated / "run"
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    notices = [json.loads(line)["notice"] for line in lines]
    assert any("Out of memory" in notice for notice in notices)
    assert "Out of memory" in (folder / "report.html").read_text(encoding="utf-8")
    _alike(folder, finished[0])
    mine = {v["claim"]: v["outcome"] for v in json.loads(result.out)["verdicts"]}
    wanted = {v["claim"]: v["outcome"] for v in json.loads(finished[1].out)["verdicts"]}
    assert mine.items() <= wanted.items()


def _alike(folder, wanted):
    """Numbers agree up to the rounding of differently padded batches; words agree."""
    kept = wanted / "tables"  # summaries of steps that no claim sums up there are not in an audit
    paths = [p for p in sorted((folder / "tables").glob("*.parquet")) if (kept / p.name).is_file()]
    assert len(paths) >= 5
    for path in paths:
        found = pq.read_table(path).to_pydict()
        for name, values in pq.read_table(wanted / "tables" / path.name).to_pydict().items():
            if values and isinstance(values[0], float):
                # bootstrap ends and ratios may move by the same rounding
                np.testing.assert_allclose(
                    found[name], values, rtol=2e-3, atol=2e-3, err_msg=f"{path.name} {name}"
                )
            else:
                assert found[name] == values, (path.name, name)


# --- what a device has ----------------------------------------------------------------------------

CPU = torch.device("cpu")
GIB = 2**30


LARGE = """
import json, torch
from interlock.memory import look, start_peak
cpu = torch.device("cpu")
start_peak(cpu)
found = [look(cpu)]
large = torch.ones(2**26)
found.append(look(cpu))
del large
found.append(look(cpu))
start_peak(cpu)
found.append(look(cpu))
print(json.dumps([vars(each) for each in found]))
"""


def test_a_large_tensor_is_seen_while_it_is_there_and_as_the_peak_afterwards(cache):
    """In a process of its own: what this one has freed it may have kept."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE],
        env=environment(cache),
        capture_output=True,
        text=True,
        check=True,
    )
    before, during, after, anew = (Memory(**each) for each in json.loads(done.stdout))
    size = 256 * 2**20
    assert during.used - before.used > 0.9 * size
    assert after.used < during.used - 0.9 * size
    assert 0 < before.free <= before.total
    if sys.platform == "linux":  # elsewhere a past peak is not told
        assert after.peak - before.used > 0.9 * size
        assert anew.peak - before.used < 0.1 * size


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Files as Linux has them, to be filled by the test."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "proc")
    machine = SimpleNamespace(total=64 * GIB, available=40 * GIB)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "ascii")

    return write


def test_without_control_groups_the_machine_counts(system):
    found = look(CPU)
    assert (found.free, found.total) == (40 * GIB, 64 * GIB)


def test_a_container_of_version_2(system):
    system("proc/cgroup", "0::/\n")
    system("cgroup/memory.max", f"{8 * GIB}\n")
    system("cgroup/memory.current", f"{5 * GIB}\n")
    system("cgroup/memory.stat", f"anon 1\ninactive_file {GIB}\n")
    found = look(CPU)
    # file pages that can be dropped are not in the way
    assert (found.free, found.total) == (4 * GIB, 8 * GIB)


def test_the_tightest_of_nested_groups_counts(system):
    system("proc/cgroup", "0::/batch/job\n")
    for folder, limit, used in (("", "max", 9), ("batch/", 4 * GIB, GIB), ("batch/job/", "max", 1)):
        system(f"cgroup/{folder}memory.max", f"{limit}\n")
        system(f"cgroup/{folder}memory.current", f"{used}\n")
    found = look(CPU)
    assert (found.free, found.total) == (3 * GIB, 4 * GIB)


def test_a_container_of_version_1_that_sees_its_own_group_as_the_root(system):
    system("proc/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n")
    system("cgroup/memory/memory.limit_in_bytes", f"{2 * GIB}\n")
    system("cgroup/memory/memory.usage_in_bytes", f"{GIB}\n")
    system("cgroup/memory/memory.stat", f"total_inactive_file {GIB // 2}\n")
    found = look(CPU)
    assert (found.free, found.total) == (1.5 * GIB, 2 * GIB)


def test_a_limit_above_the_machine_is_none(system):
    system("proc/cgroup", "4:memory:/\n")
    system("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    system("cgroup/memory/memory.usage_in_bytes", f"{GIB}\n")
    found = look(CPU)
    assert (found.free, found.total) == (40 * GIB, 64 * GIB)


def test_a_group_that_is_over_its_limit_has_nothing_free(system):
    system("proc/cgroup", "0::/\n")
    system("cgroup/memory.max", f"{GIB}\n")
    system("cgroup/memory.current", f"{2 * GIB}\n")
    assert look(CPU).free == 0


def test_the_peak_is_what_linux_saw(system):
    system("proc/status", f"Name:\tpython\nVmHWM:\t{30 * 2**20} kB\nVmRSS:\t1 kB\n")
    assert look(CPU).peak == 30 * GIB


def test_cuda_counts_what_torch_keeps_as_free(monkeypatch):
    """As an 80 GiB card: 50 held by torch, 30 of them in use, 10 taken by others."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (20 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 30 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 50 * GIB)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 45 * GIB)
    found = look(torch.device("cuda"))
    assert found == Memory(used=30 * GIB, peak=45 * GIB, free=40 * GIB, total=80 * GIB)


def test_mps_shares_the_machines_memory(monkeypatch, system):
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 4 * GIB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 6 * GIB)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 20 * GIB)
    found = look(torch.device("mps"))
    assert found == Memory(used=4 * GIB, peak=4 * GIB, free=16 * GIB, total=20 * GIB)
    monkeypatch.setattr(
        memory.psutil, "virtual_memory", lambda: SimpleNamespace(total=1, available=GIB)
    )
    assert look(torch.device("mps")).free == GIB


def test_sizes_in_words():
    assert [in_words(n) for n in (0, 2048, 3 * 2**20, int(1.5 * GIB))] == [
        "0 KiB", "2 KiB", "3 MiB", "1.5 GiB",
    ]  # fmt: skip


# --- the watch ------------------------------------------------------------------------------------


def looks(monkeypatch, *found):
    """Give these looks one after the other, the last one for ever."""
    left = list(found)
    monkeypatch.setattr(memory, "look", lambda _: left.pop(0) if len(left) > 1 else left[0])
    monkeypatch.setattr(memory, "start_peak", lambda _: None)


def test_it_warns_once_and_before_memory_runs_out(monkeypatch, caplog):
    caplog.set_level(logging.WARNING, logger="interlock")
    watch = Watch([CPU])
    looks(monkeypatch, Memory(80, 80, 10, 100), Memory(81, 81, 9, 100), Memory(90, 95, 1, 100))
    watch.start()
    assert caplog.messages == []
    watch.sample()
    watch.sample()
    watch.sample()
    (line,) = caplog.messages
    assert "cpu is nearly used up" in line and "batch" in line and "nf4" in line


def test_a_steps_peak_is_the_most_of_its_own_looks(monkeypatch):
    watch = Watch([CPU])
    looks(monkeypatch, Memory(5, 0, 90, 100), Memory(30, 0, 70, 100), Memory(10, 0, 90, 100))
    watch.start()
    watch.sample()
    assert watch.stop() == {"used": 10, "peak": 30, "total": 100}
    looks(monkeypatch, Memory(7, 0, 93, 100))
    watch.start()
    assert watch.stop() == {"used": 7, "peak": 7, "total": 100}


def test_devices_are_summed(monkeypatch):
    monkeypatch.setattr(memory, "start_peak", lambda _: None)
    monkeypatch.setattr(memory, "look", lambda device: Memory(device.index, 9, 50, 100))
    watch = Watch([torch.device("cuda", 0), torch.device("cuda", 1)])
    watch.start()
    assert watch.stop() == {"used": 1, "peak": 18, "total": 200}


def test_it_looks_between_passes_and_lets_go(monkeypatch):
    watch, seen = Watch([CPU]), []
    monkeypatch.setattr(watch, "sample", lambda: seen.append(1))
    network = torch.nn.Linear(2, 2)
    with pytest.raises(RuntimeError), watch.following(network):
        network(torch.ones(1, 2))
        network(torch.ones(1, 2))  # at once after the first: not looked at again
        raise RuntimeError
    network(torch.ones(1, 2))
    assert len(seen) == 1 and not network._forward_hooks


# --- in a run -------------------------------------------------------------------------------------


def test_every_step_and_the_protocol_say_what_was_used(finished):
    folder = finished[0]
    steps = [read_json(path)["memory"] for path in sorted((folder / "steps").glob("*.json"))]
    assert len(steps) >= 5
    for each in steps:
        assert 10 * 2**20 < each["used"] <= each["peak"] < each["total"]
    line = read_json(folder / "protocol.json")["memory"]
    most = max(each["peak"] for each in steps)
    assert "weights 2 MiB on cpu" in line and f"at most {in_words(most)}" in line
    assert line in (folder / "report.html").read_text("utf-8")


def test_a_warning_is_in_the_runs_log_and_report(cli, isolated, monkeypatch):
    monkeypatch.setattr(memory, "look", lambda _: Memory(95, 95, 5, 100))
    monkeypatch.setattr("interlock.footprint.look", lambda _: Memory(0, 0, GIB, GIB))
    monkeypatch.setattr("interlock.studies.planning.look", lambda _: Memory(0, 0, GIB, GIB))
    result = cli(
        "behaviour", "--budget", "tiny", "prompts.per_category=1", "--out", "run", "--json"
    )
    assert result.code == 0, result.err
    assert result.err.count("nearly used up") == 1
    assert "nearly used up" in (isolated / "run" / "log.jsonl").read_text("utf-8")
    assert "nearly used up" in (isolated / "run" / "report.html").read_text("utf-8")


def test_a_model_larger_than_memory_is_one_line(cli, isolated, monkeypatch):
    monkeypatch.setattr("interlock.footprint.look", lambda _: Memory(0, 0, 2**20, GIB))
    for arguments in (("behaviour", "--budget", "tiny", "--out", "run"), ("doctor",)):
        line = cli(arguments[0], "organism:aligned", *arguments[1:]).last_error()
        assert "organism:aligned does not fit in memory" in line and "model.device=auto" in line
    assert not (isolated / "run" / "manifest.json").exists()


def test_a_model_without_a_template_is_said_in_the_report(cli, isolated, organism_copy):
    (organism_copy / "chat_template.jinja").unlink()
    result = cli(
        "behaviour", organism_copy, "--budget", "tiny", "prompts.per_category=1", "--out", "run"
    )
    assert result.code == 0, result.err
    report = (isolated / "run" / "report.html").read_text("utf-8")
    assert "has no chat template: prompts are put to it as bare text" in report
    assert "no chat template" in read_json(isolated / "run" / "protocol.json")["chat template"]
