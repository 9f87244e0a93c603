"""The prompts of a set that are nearest to a given one, by length and tokens in common."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from interlock.encoding import Encoded


def nearest(asked: Encoded, rows: Sequence[Encoded]) -> list[Encoded]:
    """Equally long prompts first, then by tokens in common in the same order."""

    def distance(row: Encoded) -> tuple[bool, float]:
        alike = SequenceMatcher(None, asked.ids, row.ids, autojunk=False).ratio()
        return len(row.ids) != len(asked.ids), -alike

    return sorted(rows, key=distance)
