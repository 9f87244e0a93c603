"""The three studies run on a tiny random model of every family, and end in verdicts."""

import json
import shutil

import pytest

from interlock.organisms import folder
from interlock.run import read
from tiny_models import FAMILIES, save_tiny

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
SMALL = ("prompts.per_category=1", "prompts.passages=2", "steps.openers.tokens=4")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_random_model_is_studied_to_the_end(cli, isolated, family):
    """It says nothing worth locating; the run must say so, and not fail."""
    target = save_tiny(family, isolated / family, vocab_size=600, max_position_embeddings=128)
    for name in TOKENIZER:
        shutil.copy(folder("base") / name, target / name)
    result = cli(
        "audit", target, "--budget", "tiny", "--out", "run", "--json", *SMALL,
        "steps.behaviour.replies.tokens=4",
    )  # fmt: skip
    assert result.code == 0, result.err
    verdicts = json.loads(result.out)["verdicts"]
    assert len(verdicts) == 4
    assert all(verdict["outcome"] != "supported" for verdict in verdicts)
    assert read(isolated / "run").sealed
