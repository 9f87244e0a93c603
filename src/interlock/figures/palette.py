"""Colours that survive colour-blindness and both page themes.

Source: Okabe & Ito (2008), https://jfly.uni-koeln.de/color/.
"""

from typing import Literal

Role = Literal["first", "second", "found", "random", "third"]

ROLES: dict[Role, str] = {
    "first": "#0072B2",
    "second": "#E69F00",
    "third": "#009E73",
    "found": "#D55E00",
    "random": "#7A8794",
}

# what an effect of either sign is drawn in, with its words in a legend
SIGNS: tuple[tuple[str, Role], ...] = (
    ("carries the effect", "found"),
    ("works against it", "first"),
)

# both ends keep apart under deuteranopia and protanopia; the middle of the diverging map is 0
DIVERGING: tuple[tuple[float, str], ...] = (
    (0.0, "#053f66"),
    (0.2, "#2f86bd"),
    (0.38, "#a9cfe6"),
    (0.5, "#f6f4f1"),
    (0.62, "#f5c9a4"),
    (0.8, "#dd7a33"),
    (1.0, "#8a3500"),
)
SEQUENTIAL: tuple[tuple[float, str], ...] = (
    (0.0, "#f4f7f9"),
    (0.35, "#a9cfe6"),
    (0.7, "#2f86bd"),
    (1.0, "#053f66"),
)


def ink(fraction: float, diverging: bool) -> str:
    """Black or white, whichever reads better on the map's colour at `fraction` of its range."""
    dark = abs(fraction - 0.5) > 0.37 if diverging else fraction > 0.6
    return "#ffffff" if dark else "#1b1f23"
