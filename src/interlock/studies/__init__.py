"""Studies: from a question through methods to verdicts; the built-in ones are files beside this."""

from pathlib import Path


def built_in(name: str) -> Path:
    """The study file of a built-in study (`audit`, `behaviour`, `locate`, `ablate`)."""
    return Path(__file__).parent / f"{name}.yaml"
