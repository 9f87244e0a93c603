"""Out of memory halves the batch: the run ends, its numbers are the same, and it is said."""

import json

import numpy as np
import pyarrow.parquet as pq
import torch
import transformers

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
    paths = sorted((folder / "tables").glob("*.parquet"))
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
