"""The methods that are marked, each listed once; a new one joins by an entry of its kind."""

from collections.abc import Mapping

from interlock.calibrate.answers import Contestant
from interlock.calibrate.of_directions import DIRECTION_METHODS
from interlock.calibrate.of_units import UNIT_METHODS
from interlock.calibrate.of_weights import WEIGHT_METHODS

CONTESTANTS: Mapping[str, Contestant] = {**UNIT_METHODS, **DIRECTION_METHODS, **WEIGHT_METHODS}
