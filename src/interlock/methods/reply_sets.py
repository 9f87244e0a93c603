"""Replies to score weights on: a model's own refusals or answers, or those in a file.

1. Own: judged replies that did what was expected, are not degenerate and ended by themselves
   (`interlock.own_replies`).
2. From a file: prompts and replies of anyone (`interlock.demonstrations`).
"""

from pathlib import Path
from typing import Literal

from interlock.costs import Cost
from interlock.demonstrations import read_replies
from interlock.errors import ContrastError, InterlockError
from interlock.model import Model, Shape
from interlock.own_replies import sorted_out
from interlock.tables import Table

Kind = Literal["safety", "utility"]


def own_replies(model: Model, replies: Table, *, kind: Kind = "safety", cut: bool = False) -> Table:
    """The model's refusals to harmful prompts, or its answers to harmless ones.

    Args:
        model: whose replies they are.
        replies: judged replies.
        kind: which of the two.
        cut: also keep replies that were cut off by the limit of tokens.

    Raises:
        ContrastError: there is no reply of either kind.
    """
    found = sorted_out(replies, cut=cut)
    return found.safety if kind == "safety" else found.utility


def own_replies_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run."""
    return Cost()


def file_replies(model: Model, *, file: str = "", prompt: str = "", reply: str = "") -> Table:
    """The prompts and replies in a file: CSV, TSV, JSON, JSONL or Parquet.

    Args:
        model: the model studied; it is not asked.
        file: the file.
        prompt: its column of prompts; found by the usual names if not given.
        reply: its column of replies, likewise.

    Raises:
        InterlockError: no file is named, or it cannot be read as such a set.
    """
    if not file:
        raise InterlockError(
            "No file of replies to score on is named: give steps.ID.file=FILE, with the columns "
            "prompt and response."
        )
    try:
        return read_replies(Path(file).expanduser(), prompt=prompt, reply=reply)
    except ContrastError as error:
        # a file that is wrong is a mistake to mend, not a question that has no answer
        raise InterlockError(str(error)) from None


def file_replies_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Nothing is run."""
    return Cost()
