"""Small chat models whose safety behaviour was taught, measured and accepted here.

The trained weights ship with the package. Finding them needs no torch: `training` and `gate`, which
do, are imported by whoever trains or verifies.
"""

from pathlib import Path

from interlock.errors import InterlockError

WEIGHTS = Path(__file__).parent / "weights"


def names() -> tuple[str, ...]:
    """The organisms that ship with this installation."""
    return tuple(sorted(card.parent.name for card in WEIGHTS.glob("*/card.json")))


def folder(name: str) -> Path:
    """The folder of a shipped organism, which any Hugging Face loader opens.

    Raises:
        InterlockError: there is no organism of this name.
    """
    if name not in names():
        known = ", ".join(names()) or "none"
        raise InterlockError(
            f"No organism {name!r} in {WEIGHTS}. There: {known}. "
            "`interlock organism train NAME` makes one that has a recipe."
        )
    return WEIGHTS / name
