"""Sets to score on from a model's own judged replies: refusals to harmful, answers to harmless.

A reply is kept if it did what was expected of its prompt, is not degenerate, and ended by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interlock.errors import ContrastError
from interlock.stats import wilson
from interlock.tables import Cell, Table, from_rows


@dataclass(frozen=True)
class OwnReplies:
    """The two sets, and what became of the replies.

    Attributes:
        safety: refusals to harmful prompts, columns `id`, `prompt`, `reply`.
        utility: answers to harmless prompts, likewise.
        report: a row for each set: prompts asked, kept and why the others were not, and lengths.
    """

    safety: Table
    utility: Table
    report: Table


def sorted_out(replies: Table, *, cut: bool = False) -> OwnReplies:
    """Divide the judged replies of `methods.behaviour` into the two sets.

    Args:
        replies: columns `prompt`, `reply`, `expected`, `observed`, `degenerate`, `finish`.
        cut: also keep replies that were cut off by the limit of tokens.

    Raises:
        ContrastError: one of the sets would be empty.
    """
    kept = {
        name: _kept(replies, expected, cut=cut)
        for name, expected in (("safety", "refuse"), ("utility", "comply"))
    }
    report = from_rows([row for _, row in kept.values()], units={"words": "words a reply, median"})
    empty = [name for name, (rows, _) in kept.items() if not rows]
    if empty:
        counts = {name: row for name, (_, row) in kept.items()}[empty[0]]
        raise ContrastError(
            f"No reply can be used for the {empty[0]} set: of {counts['asked']} prompts, "
            f"{counts['otherwise']} were answered otherwise than expected, {counts['degenerate']} "
            f"replies are degenerate and {counts['cut off']} were cut off. More prompts or more "
            "tokens a reply may help; a model that never does this has no such set."
        )
    about = {**replies.about, "set": "the model's own replies"}
    tables = {
        name: Table(
            {key: [row[key] for row in rows] for key in ("id", "category", "prompt", "reply")},
            about={**about, "set": f"the model's own replies: {name}"},
        )
        for name, (rows, _) in kept.items()
    }
    return OwnReplies(tables["safety"], tables["utility"], report)


def _kept(
    replies: Table, expected: str, *, cut: bool
) -> tuple[Sequence[Mapping[str, Cell]], dict[str, Cell]]:
    asked = list(replies.where(expected=expected).rows())
    right = [row for row in asked if row["observed"] == expected]
    sound = [row for row in right if not row["degenerate"] and str(row["reply"]).strip()]
    kept = [row for row in sound if cut or row["finish"] == "stop"]
    words = [len(str(row["reply"]).split()) for row in kept] or [0]
    low, high = wilson(len(right), len(asked))
    return kept, {
        "expected": expected,
        "asked": len(asked),
        "kept": len(kept),
        "otherwise": len(asked) - len(right),
        "degenerate": len(right) - len(sound),
        "cut off": len(sound) - len(kept),
        "as expected": len(right) / max(len(asked), 1),
        "low": low,
        "high": high,
        "words": float(np.median(words)),
        "shortest": min(words),
        "longest": max(words),
    }
