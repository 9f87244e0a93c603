"""Models from a hub: one pinned commit, and one clear line for everything that can go wrong."""

import json
from pathlib import Path

import pytest
from fake_hub import COMMIT, NAME, OLDER, Hub
from fake_hub import nobody as _closed


def test_a_model_opens_and_its_commit_is_recorded(ask, files, tmp_path):
    (files / "README.pdf").write_bytes(b"not wanted")
    (files / "pytorch_model.bin").write_bytes(b"not wanted")
    with Hub(NAME, files) as hub:
        result = ask(
            hub.address, "behaviour", NAME, "--budget", "tiny", "prompts.per_category=1",
            "--out", "run", "--json",
        )  # fmt: skip
        assert result.code == 0, result.err
        plan = json.loads((tmp_path / "run" / "plan.json").read_text("utf-8"))
        protocol = json.loads((tmp_path / "run" / "protocol.json").read_text("utf-8"))
        assert plan["weights"] == protocol["revision"] == COMMIT
        assert protocol["model"] == NAME
        fetched = [line for line in hub.asked if "/resolve/" in line]
        assert any("model.safetensors" in line for line in fetched)
        assert not any(".bin" in line or ".pdf" in line for line in fetched)
        assert all(COMMIT in line for line in fetched)
        assert (files / "model.safetensors").stat().st_size > 0
        # the second opening fetches nothing
        hub.asked.clear()
        again = ask(hub.address, "doctor", NAME)
        assert again.code == 0, again.err
        assert not any(line.startswith("GET") and "/resolve/" in line for line in hub.asked)
        # a named revision is that revision
        result = ask(
            hub.address, "behaviour", NAME, "model.revision=v1", "--budget", "tiny",
            "prompts.per_category=1", "--out", "older",
        )  # fmt: skip
        assert result.code == 0, result.err
        plan = json.loads((tmp_path / "older" / "plan.json").read_text("utf-8"))
        assert plan["weights"] == OLDER


@pytest.mark.parametrize("trouble", ["gated-401", "gated-403"])
def test_a_gated_model(ask, files, trouble):
    with Hub(NAME, files, trouble) as hub:
        line = ask(hub.address, "doctor", NAME).error()
    assert NAME in line and "gated" in line and "hf auth login" in line


@pytest.mark.parametrize("trouble", ["missing", "private"])
def test_a_model_that_is_not_there(ask, files, trouble):
    with Hub(NAME, files, trouble) as hub:
        line = ask(hub.address, "doctor", NAME).error()
    assert NAME in line and "spelling" in line and "hf auth login" in line


def test_a_revision_that_is_not_there(ask, files):
    with Hub(NAME, files) as hub:
        line = ask(hub.address, "behaviour", NAME, "model.revision=v9").error()
    assert NAME in line and "v9" in line


def test_weights_only_as_pickle(ask, files):
    (files / "model.safetensors").rename(files / "pytorch_model.bin")
    with Hub(NAME, files) as hub:
        line = ask(hub.address, "doctor", NAME).error()
        assert not any("/resolve/" in each for each in hub.asked)
    assert "pickle" in line and "pytorch_model.bin" in line and "safetensors" in line


def test_no_weights_at_all(ask, files):
    (files / "model.safetensors").unlink()
    with Hub(NAME, files) as hub:
        line = ask(hub.address, "doctor", NAME).error()
    assert NAME in line and "safetensors" in line


def test_a_model_larger_than_the_disk_is_refused_before_anything_is_fetched(ask, files, tmp_path):
    with Hub(NAME, files, stated={"model.safetensors": 10**16}) as hub:
        line = ask(hub.address, "doctor", NAME).error()
        assert not any("/resolve/" in each for each in hub.asked)
    assert NAME in line and "9313225.7 GiB" in line and "are free" in line
    assert str(tmp_path / "hf") in line and "HF_HOME" in line


def test_files_that_are_not_wanted_need_no_room(ask, files):
    (files / "pytorch_model.bin").write_bytes(b"not wanted")
    (files / "consolidated.00.safetensors").write_bytes(b"the weights a second time")
    stated = {"pytorch_model.bin": 10**16, "consolidated.00.safetensors": 10**16}
    with Hub(NAME, files, stated=stated) as hub:
        result = ask(hub.address, "doctor", NAME)
        assert result.code == 0, result.err
        assert not any("consolidated" in each for each in hub.asked)


def test_what_is_cached_needs_no_room(ask, files):
    with Hub(NAME, files) as hub:
        assert ask(hub.address, "doctor", NAME).code == 0
        hub.stated = {"model.safetensors": 10**16}
        again = ask(hub.address, "doctor", NAME)
        assert again.code == 0, again.err


def test_a_download_that_was_broken_off_is_not_taken_for_a_model(ask, files):
    with Hub(NAME, files, trouble_after="model.safetensors") as hub:
        assert NAME in ask(hub.address, "doctor", NAME).error()
        for env in ({}, {"HF_HUB_OFFLINE": "1"}):
            assert NAME in ask(_closed(), "doctor", NAME, **env).error()
        hub.trouble_after = ""
        assert ask(hub.address, "doctor", NAME).code == 0


def test_a_cached_model_that_has_lost_its_weights_is_refused(ask, files, tmp_path):
    with Hub(NAME, files) as hub:
        assert ask(hub.address, "doctor", NAME).code == 0
    (weights,) = (tmp_path / "hf").rglob("model.safetensors")
    weights.unlink()
    line = ask(_closed(), "doctor", NAME).error()
    assert NAME in line and ("no weights" in line or "not in the cache" in line)


def test_refused_without_and_with_a_cache(ask, files):
    assert "not in the cache" in ask(_closed(), "doctor", NAME).error()
    with Hub(NAME, files) as hub:
        assert ask(hub.address, "doctor", NAME).code == 0
    cached = ask(_closed(), "doctor", NAME, "--json")
    assert cached.code == 0, cached.err
    assert json.loads(cached.out)["passed"]
    offline = ask(_closed(), "doctor", NAME, HF_HUB_OFFLINE="1")
    assert offline.code == 0, offline.err
    # what was cached is one commit; another one is not there
    line = ask(_closed(), "behaviour", NAME, "model.revision=v1").error()
    assert NAME in line and "cache" in line


def test_offline_without_a_cache(ask):
    line = ask(_closed(), "doctor", NAME, HF_HUB_OFFLINE="1").error()
    assert "not in the cache" in line


def test_a_cached_model_that_has_become_gated_says_so(ask, files):
    """The answer of the hub wins over the cache: no silent use of what may no longer be used."""
    with Hub(NAME, files) as hub:
        assert ask(hub.address, "doctor", NAME).code == 0
        hub.trouble = "gated-403"
        assert "gated" in ask(hub.address, "doctor", NAME).error()


@pytest.mark.slow
def test_a_hub_that_does_not_answer_in_time(ask, files):
    with Hub(NAME, files, "slow") as hub:
        line = ask(hub.address, "doctor", NAME, HF_HUB_ETAG_TIMEOUT="2").error()
    assert NAME in line and "did not answer" in line


@pytest.mark.parametrize("trouble", ["error", "garbage"])
def test_a_hub_that_answers_nonsense(ask, files, trouble):
    with Hub(NAME, files, trouble) as hub:
        line = ask(hub.address, "doctor", NAME).error()
    assert NAME in line


def test_a_file_that_ends_early_is_not_used(ask, files, tmp_path):
    with Hub(NAME, files, cut=True) as hub:
        line = ask(hub.address, "doctor", NAME).error()
        assert NAME in line
        # and nothing of it is taken for the whole file later
        hub.cut = False
        result = ask(hub.address, "doctor", NAME)
        assert result.code == 0, result.err
    assert not list(Path(tmp_path).rglob("*.safetensors.incomplete"))


@pytest.mark.parametrize("name", ["owner/na me", "owner/name!", "-owner/name", "owner/.."])
def test_a_name_that_no_hub_has(ask, name):
    line = ask(_closed(), "doctor", "--", name).error()
    assert name in line


def test_a_plan_fetches_the_config_of_one_commit_and_no_weights(ask, files):
    with Hub(NAME, files) as hub:
        result = ask(hub.address, "behaviour", NAME, "--budget", "tiny", "--dry-run", "--json")
        assert result.code == 0, result.err
        fetched = [line for line in hub.asked if "/resolve/" in line]
    assert fetched and all(COMMIT in line and "config.json" in line for line in fetched)
    assert json.loads(result.out)["shape"]["layers"] > 0
    # planned again without the hub; what would run is not here
    again = ask(_closed(), "behaviour", NAME, "--budget", "tiny", "--dry-run", "--json")
    assert again.code == 0, again.err
    assert "not in the cache" in ask(_closed(), "behaviour", NAME).error()
