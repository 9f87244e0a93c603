"""Nothing planted: what a method finds here is a false discovery."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, never


def _by_coin(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    del source, on
    return Outcome(base.coin, never(base.coin))


RANDOM_LABELS = Plant(
    name="random_labels",
    description="Refuses half of all combinations, drawn by a coin that knows nothing of harm.",
    units=MappingProxyType({}),
    model=_by_coin,
    edges=(),
    steps=1500,
)

UNTRAINED = Plant(
    name="untrained",
    description="Random weights that were never trained.",
    units=MappingProxyType({}),
    model=_by_coin,
    edges=(),
    steps=0,
)
