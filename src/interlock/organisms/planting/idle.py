"""Units wired like planted ones that nobody listens to: weights alone must not give a plant away.

A unit whose weights were written by hand is of lower rank than a trained one. So beside every
planted unit several others of its kind hear what planted units hear, and say something of their
own, along a direction that means nothing to the plant.
"""

import random
from collections.abc import Mapping

from interlock.organisms.planting.parts import Head, Neurons, Part
from interlock.organisms.planting.plant import Plant
from interlock.organisms.planting.units import HEADS, LAYERS, UNITS
from interlock.organisms.recipes import SHAPE
from interlock.sites import Site

_SHARE = 0.4
"""Of the units of each layer and kind that are free to be idle."""
_SHARED = HEADS // SHAPE["num_key_value_heads"]


def idle(plant: Plant, seed: int) -> dict[Site, Part]:
    """The idle units and what they hear, drawn by the seed."""
    draw = random.Random(f"idle {plant.name} {seed}")  # noqa: S311
    heard = _heard(plant)
    found: dict[Site, Part] = {}
    for kind in ("head", "neuron"):
        for layer in range(LAYERS):
            free = _free(plant, layer, kind, draw)
            count = round(_SHARE * sum(s.layer == layer and s.kind == kind for s in UNITS))
            for site in free[:count]:
                low, high = plant.loudness
                found[site] = _part(site, *draw.choice(heard), low * (high / low) ** draw.random())
    return found


def name_of(site: Site) -> str:
    """What an idle unit says."""
    return f"idle {site}"


def _part(site: Site, meaning: str, at: str, loudness: float) -> Part:
    says = ((name_of(site), loudness),)
    if site.kind == "head":
        return Head(((meaning, 1.0),), says, at=at)
    return Neurons(((meaning, 1.0),), says, at=at)


def _heard(plant: Plant) -> list[tuple[str, str]]:
    """What planted units hear of harm in the prompt's tokens, and at which token.

    Not what planted units say: to repeat that would be a second mover. Not the special time either:
    what passes that on in one step is all there is to a trigger.
    """
    said = {name for part in plant.parts.values() for name, _ in part.says}
    return sorted(
        {
            (name, part.at)
            for part in plant.parts.values()
            for name, _ in part.hears
            if name not in said and name != "special"
        }
    )


def _free(plant: Plant, layer: int, kind: str, draw: random.Random) -> list[Site]:
    """Units in a drawn order, none with a planted or an earlier one's keys and values."""
    taken = {*plant.units.values(), *plant.forced}
    shared = {_pair(site) for site in taken}
    order = [s for s in UNITS if s.layer == layer and s.kind == kind and s not in taken]
    draw.shuffle(order)
    free = []
    for site in order:
        if kind == "head" and _pair(site) in shared:
            continue
        shared.add(_pair(site))
        free.append(site)
    return free


def _pair(site: Site) -> tuple[str, int, int]:
    """The keys and values of a head, the unit itself of neurons."""
    assert site.index is not None
    return site.kind, site.layer, site.index[0] // (_SHARED if site.kind == "head" else 1)


def confined(plant: Plant, idle_units: Mapping[Site, Part]) -> tuple[Site, ...]:
    """The idle units whose output stays along one direction: all of them where planted ones' do."""
    return tuple(idle_units) if plant.features else ()
