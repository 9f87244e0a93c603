"""Small chat models whose safety behaviour was taught, measured and accepted here.

The trained weights ship with the package. Finding them needs no torch: `training` and `gate`, which
do, are imported by whoever trains or verifies.
"""

from pathlib import Path

from interlock.sources import organism_folder

WEIGHTS = Path(__file__).parent / "weights"


def names() -> tuple[str, ...]:
    """The organisms that ship with this installation."""
    return tuple(sorted(card.parent.name for card in WEIGHTS.glob("*/card.json")))


def folder(name: str) -> Path:
    """The folder of an organism, shipped or trained here, which any Hugging Face loader opens.

    Raises:
        ModelError: there is no organism of this name.
    """
    return organism_folder(name)
