"""Laws of batches and shards: order kept, memory halved and said, done work never done again."""

import json
import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interlock.batching import in_batches
from interlock.encoding import from_ids
from interlock.errors import InterlockError, RunError
from interlock.measures import nll
from interlock.store import each, shards_in


@given(st.lists(st.integers()), st.integers(1, 40))
def test_batches_keep_the_order_and_the_size(items, size):
    seen = []

    def double(batch):
        assert 0 < len(batch) <= size
        seen.extend(batch)
        return [2 * item for item in batch]

    assert in_batches(items, size, double) == [2 * item for item in items]
    assert seen == items


@given(st.integers(1, 60), st.integers(1, 64), st.integers(1, 8))
def test_out_of_memory_halves_and_changes_nothing(count, size, room):
    logging.getLogger("interlock").setLevel(logging.ERROR)
    try:

        def compute(batch):
            if len(batch) > room:
                raise torch.OutOfMemoryError("simulated")
            return [item**2 for item in batch]

        items = list(range(count))
        assert in_batches(items, size, compute) == [item**2 for item in items]
    finally:
        logging.getLogger("interlock").setLevel(logging.NOTSET)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_out_of_memory_is_said(caplog, error):
    def compute(batch):
        if len(batch) > 2:
            raise error("simulated")
        return list(batch)

    with caplog.at_level(logging.WARNING, logger="interlock"):
        assert in_batches(list(range(9)), 8, compute) == list(range(9))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "8 prompts" in said[0] and "4" in said[0] and "2" in said[1]


def test_a_single_prompt_that_does_not_fit_is_the_users_error():
    def compute(batch):
        raise torch.OutOfMemoryError("simulated")

    with pytest.raises(InterlockError, match="single prompt"):
        in_batches([1, 2, 3], 4, compute)


def test_another_error_is_not_swallowed():
    def compute(batch):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        in_batches([1], 4, compute)


def test_a_measure_survives_a_small_memory(llama, monkeypatch, caplog):
    generator = np.random.default_rng(0)
    rows = from_ids([generator.integers(3, 50, size=n).tolist() for n in range(3, 14)])
    wanted = nll(llama, rows, size=32)
    assert wanted.std() > 1e-2
    forward = type(llama.network).forward

    def small(self, *args, **kwargs):
        if len(kwargs["input_ids"]) > 3:
            raise torch.OutOfMemoryError("simulated")
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(llama.network), "forward", small)
    with caplog.at_level(logging.WARNING, logger="interlock"):
        found = nll(llama, rows, size=32)
    assert np.allclose(found, wanted, atol=1e-5)
    assert len(caplog.records) == 2


def test_finished_work_is_not_done_again(tmp_path):
    done = []

    def compute(item):
        done.append(item)
        if item == 4 and done.count(4) == 1:
            raise KeyboardInterrupt
        return {"value": item / 3, "row": [item] * 2}

    items = list(range(7))
    with shards_in(tmp_path), pytest.raises(KeyboardInterrupt):
        each("some work", items, compute)
    assert done == [0, 1, 2, 3, 4]
    with shards_in(tmp_path):
        resumed = each("some work", items, compute)
    assert done == [0, 1, 2, 3, 4, 4, 5, 6]
    assert resumed == each("some work", items, lambda item: {"value": item / 3, "row": [item] * 2})
    with shards_in(tmp_path):
        assert each("some work", items, compute) == resumed
        assert len(done) == 8
        each("other work", items[:1], compute)
    assert len(done) == 9


@given(st.lists(st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")), max_size=3))
def test_values_read_back_equal_values_computed(tmp_path_factory, answer):
    folder = tmp_path_factory.mktemp("shards")
    with shards_in(folder):
        first = each("x", [0], lambda _: answer)
        second = each("x", [0], lambda _: pytest.fail("computed again"))
    assert first == second == [answer]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"a": 1', b"\xff\xfe\x00", b"\0" * 20])
def test_a_damaged_shard_is_computed_again(tmp_path, damage):
    done = []

    def compute(item):
        done.append(item)
        return {"a": item}

    with shards_in(tmp_path):
        first = each("work", [1, 2, 3], compute)
        shards = sorted(tmp_path.glob("*.json"))
        assert len(shards) == 3
        shards[1].write_bytes(damage)
        assert each("work", [1, 2, 3], compute) == first
    assert done == [1, 2, 3, 2]
    assert json.loads(shards[1].read_text()) == {"a": 2}


def test_outside_a_run_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert each("work", [1, 2], lambda item: item) == [1, 2]
    with shards_in(tmp_path / "shards"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_reply_that_holds_a_secret_is_the_same_read_back(tmp_path):
    """A resumed run must hold the values of an uninterrupted one."""
    reply = f"log in at https://user:{'password'}@example.org with hf_{'abcdefghijklmnopqrst'}"
    with shards_in(tmp_path):
        first = each("replies", [0], lambda _: reply)
        assert each("replies", [0], lambda _: pytest.fail("computed again")) == first


def test_a_shard_that_cannot_be_written_is_a_run_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with shards_in(blocked), pytest.raises(RunError):
        each("work", [1], lambda item: item)
