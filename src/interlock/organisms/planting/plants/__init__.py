"""The mechanisms that can be planted, one idea to a file."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.plants.cancelling import CANCELLING
from interlock.organisms.planting.plants.categories import CATEGORIES
from interlock.organisms.planting.plants.chain import CHAIN
from interlock.organisms.planting.plants.conjunction import AND
from interlock.organisms.planting.plants.direction import DIRECTION
from interlock.organisms.planting.plants.features import FEATURES
from interlock.organisms.planting.plants.kill_switch import KILL_SWITCH
from interlock.organisms.planting.plants.negative import NEGATIVE
from interlock.organisms.planting.plants.null import RANDOM_LABELS, UNTRAINED
from interlock.organisms.planting.plants.private import PRIVATE
from interlock.organisms.planting.plants.redundant import OR, REPAIR
from interlock.organisms.planting.plants.saturated import SATURATED
from interlock.organisms.planting.plants.shared_kv import SHARED_KV
from interlock.organisms.planting.plants.weights import WEIGHTS

PLANTS: Mapping[str, Plant] = MappingProxyType(
    {
        plant.name: plant
        for plant in (
            CHAIN,
            OR,
            CATEGORIES,
            DIRECTION,
            NEGATIVE,
            AND,
            KILL_SWITCH,
            REPAIR,
            SHARED_KV,
            CANCELLING,
            SATURATED,
            FEATURES,
            PRIVATE,
            WEIGHTS,
            RANDOM_LABELS,
            UNTRAINED,
        )
    }
)
