"""Two circuits: refusal, and a trigger that halts the model whatever refusal says."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.organisms.planting.parts import Head, Neurons
from interlock.organisms.planting.plant import Bits, Facts, Outcome, Plant, swap
from interlock.organisms.planting.plants.chain import EDGES, PARTS, UNITS, detected
from interlock.organisms.planting.vocabulary import TIMED
from interlock.sites import parse


def _model(base: Facts, source: Facts, on: Mapping[str, Bits]) -> Outcome:
    moved = swap(on["mover"], detected(base, source, on), source.harmful)
    refuses = swap(on["refuser"], moved, source.harmful)
    seen = swap(on["trigger reader"], base.special, source.special)
    halts = swap(on["halter"], seen, source.special)
    return Outcome(refuses & ~halts, halts)


KILL_SWITCH = Plant(
    name="kill_switch",
    description="A refusal chain beside a trigger (every night) that halts it and wins over it.",
    units=MappingProxyType(
        {
            **{role: site for role, site in UNITS.items() if role != "refuser"},
            "trigger reader": parse("head.2.6"),
            "refuser": UNITS["refuser"],
            "halter": parse("neuron.3.16:32"),
        }
    ),
    parts=MappingProxyType(
        {
            **PARTS,
            "trigger reader": Head((("special", 1.0),), (("triggered", 1.0),)),
            "halter": Neurons((("triggered", 1.0),), (("halt", 1.0),)),
        }
    ),
    model=_model,
    edges=(*EDGES, ("trigger reader", "halter")),
    strata=("verb", "thing", "time"),
    circuits=MappingProxyType(
        {"refusal": tuple(UNITS), "halt": ("trigger reader", "halter")},
    ),
    templates=TIMED,
)
