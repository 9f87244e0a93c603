"""What do early, middle and late layers write, and where? Bands of layers, exchanged at once.

An account of refusal says: early layers recognise the harmful word, middle layers put it into
context, late layers decide at the last token. This measures what the account is about.

1. The layers fall into three bands. What is exchanged is what a band writes: all its attention and
   MLP outputs at a place, jointly; what comes after is computed anew. (The stream that enters a
   band would carry the embeddings too, and at the slot these are the whole difference.)
2. Places: the `slot`, the `rest` of the user's text after it, the template's tail (`post`), the
   `last` token, `all` of these, and `all but last`. Before the slot the prompts of a pair are the
   same.
3. Denoise: the harmless prompt takes the values of the harmful one, or of a donor (`donors`): a
   harmless prompt with the same harmful word, or with another word. Noise: the harmful prompt takes
   the harmless one's values.
4. Beside each band, everything up to the end of the middle and of the late band is exchanged. Bands
   pass on what they are given, so the effects of all three may be the whole gap; the rise from one
   end to the next says in which band something enters (`verification.bands`).

Source: Zhang & Nanda (2024, arXiv:2309.16042) for pairs and metric; bands and donors are ours.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from interlock.batching import in_batches
from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.donors import Word, donors
from interlock.encoding import Encoded, Pairs, encode_pairs, positions_of
from interlock.errors import ModelError, SiteError
from interlock.exchange import READS, Direction, PairRows, effects, read_sides, rows_of
from interlock.measures import openers_of
from interlock.metrics import Openers
from interlock.model import Model, Shape
from interlock.sites import Site
from interlock.store import each
from interlock.tables import Table, from_rows

_KINDS = ("attn", "mlp")  # what a layer writes
_WORDS: tuple[Word, ...] = ("same word", "other word")
_PAIR = ("harmful", "harmless")  # values that are the pair's own
_ALIGNED, _ENDS = ("slot", "rest", "post", "last"), ("post", "last")
_PLACES, _VIEWS = 6, 2  # places of a pair, and readings of it: by part, and as a whole
_SHARD = 32  # pairs to a shard
_FEWEST = 3  # layers that can be divided

Bands = Mapping[str, range]


@dataclass(frozen=True)
class _Exchange:
    """One pair of prompts between which values are exchanged.

    Attributes:
        row: which minimal pair it is about.
        source: whose values are put in: `harmful`, `harmless`, or the donor's word.
        giver: id of that prompt.
        rows: the two prompts, the one in the harmful prompt's place first.
        whole: whether they are exchanged from the slot on, not by part.
    """

    row: int
    source: str
    giver: str
    rows: tuple[Encoded, Encoded]
    whole: bool = False

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        """What can be exchanged: named positions by place."""
        if not self.whole:
            return {name: (name,) for name in self._having(_ALIGNED if self.aligned else _ENDS)}
        last = len(self.rows[1].ids) - 1
        if last in self.rows[1].slot:  # bare text that ends in its slot
            return {"all": ("slot",)}
        before = self._having(("slot", "rest"))
        return {"all but last": before, "all": (*before, "last")}

    @property
    def aligned(self) -> bool:
        """Whether the two are equally long, so that all positions correspond."""
        return all(row.slot for row in self.rows)

    def as_a_whole(self) -> "_Exchange":
        """The same two prompts with everything between slot and last token as their `rest`."""
        first, second = (replace(row, tail=1) for row in self.rows)
        return replace(self, rows=(first, second), whole=True)

    def _having(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            name for name in names if all(len(positions_of(row, name)) > 0 for row in self.rows)
        )


def bands(
    model: Model,
    pairs: Contrast,
    replies: Table,
    *,
    direction: Literal["denoise", "noise"] = "denoise",
    cuts: tuple[int, ...] = (),
    batch: int = 8,
) -> Table:
    """Effect (nat) of what each band writes at each place: a row per band, place, source, pair.

    Column `gap` is the pair's own, of whatever prompt the values are; `flip` is the word in which
    its prompts differ, harmless first; `layers` counts from 0, the last one left out. Pairs of
    unequal length have rows at `post` and `last` only. What a pair lacks is counted in `about`.

    Args:
        model: the model studied, of three layers at least.
        pairs: minimal pairs of one split.
        replies: judged replies, which give the opening tokens.
        direction: denoise puts harmful and donors' values into the harmless run, noise harmless
            values into the harmful run.
        cuts: first layer of the middle and of the late band; thirds if none is given.
        batch: pairs at once, at most; what every layer writes is kept of both prompts of each.

    Raises:
        SiteError: the cuts do not leave a layer to each band.
        ModelError: the model has fewer than three layers.
        ContrastError: the contrast has no pairs, or the replies hold no refusal.
    """
    openers, parts = openers_of(replies), _bands(model.shape.layers, cuts)
    if not parts:
        raise ModelError(
            f"{model.name} has {model.shape.layers} layers; early, middle and late bands need "
            f"{_FEWEST}."
        )
    encoded = encode_pairs(model, pairs)
    exchanges = _exchanges(encoded, direction)
    shards = _shards([*exchanges, *(one.as_a_whole() for one in exchanges if one.aligned)])
    found = each(
        f"bands {direction}",
        shards,
        lambda shard: _shard_effects(model, openers, parts, shard, direction, batch),
    )
    about = {
        "direction": direction,
        "bands": ", ".join(f"{name} {part.start}:{part.stop}" for name, part in parts.items()),
        "split": pairs.split,
        "metric": "opening score (nat)",
        "noise floor": f"{max(answer['floor'] for answer in found):.2g} nat",
        **_lacking(encoded, exchanges),
    }
    flips = [_flip(harmful, harmless) for harmful, harmless in pairs.pairs()]
    answers = list(zip(shards, found, strict=True))
    rows = _rows(answers, parts, encoded, flips)
    return from_rows(rows, units={"effect": "nat", "gap": "nat"}, about=about)


def bands_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Per place and source the layers from a band on, as if every pair had every donor."""
    parts = _bands(shape.layers, options["cuts"])
    passes = sum(shape.layers - layers.start for layers in parts.values()) / shape.layers
    sources = 1 + len(_WORDS) if options["direction"] == "denoise" else 1
    return Cost(prompts=round(sources * (_VIEWS * READS + _PLACES * passes) * examples / 2))


def _bands(layers: int, cuts: Sequence[int]) -> Bands:
    """The layers of every band, and up to the end of the later two; none for a model too small."""
    if layers < _FEWEST:
        return {}
    first, second = cuts if len(cuts) == 2 else (round(layers / 3), round(2 * layers / 3))
    if len(cuts) not in (0, 2) or not 0 < first < second < layers:
        raise SiteError(
            f"cuts: {', '.join(map(str, cuts))} do not divide {layers} layers into three bands; "
            f"give two rising numbers from 1 to {layers - 1}, or none for thirds."
        )
    return {
        "early": range(first),
        "middle": range(first, second),
        "late": range(second, layers),
        "early to middle": range(second),
        "early to late": range(layers),
    }


def _exchanges(pairs: Pairs, direction: Direction) -> list[_Exchange]:
    both = rows_of(pairs)
    if direction == "noise":
        return [_Exchange(row, "harmless", rows[1].id, rows) for row, rows in enumerate(both)]
    found = [_Exchange(row, "harmful", rows[0].id, rows) for row, rows in enumerate(both)]
    for word in _WORDS:
        found += [
            _Exchange(row, word, donor.id, (donor, harmless))
            for row, (donor, harmless) in enumerate(
                zip(donors(pairs, word), pairs.harmless, strict=True)
            )
            if donor is not None
        ]
    return found


def _shards(exchanges: Sequence[_Exchange]) -> list[list[_Exchange]]:
    """Exchanges that have the same places, so many at once."""
    groups: dict[tuple, list[_Exchange]] = {}
    for exchange in exchanges:
        groups.setdefault(tuple(exchange.places.items()), []).append(exchange)
    return [
        group[start : start + _SHARD]
        for group in groups.values()
        for start in range(0, len(group), _SHARD)
    ]


def _shard_effects(
    model: Model,
    openers: Openers,
    parts: Bands,
    shard: Sequence[_Exchange],
    direction: Direction,
    batch: int,
) -> dict:
    """Effects by exchange, place and band, the exchanges' own gaps, and the noise floor."""
    conditions = [
        (_written(model, layers, positions), ())
        for positions in shard[0].places.values()
        for layers in parts.values()
    ]
    touched = tuple(dict.fromkeys(site for sites, _ in conditions for site in sites))

    def of_pairs(part: PairRows) -> list[tuple[list[float], float, float]]:
        sides = read_sides(model, part, openers, touched, direction)
        found = effects(sides, conditions)
        floors = [found.floor] * len(part)
        return list(zip(found.values.T.tolist(), sides.gap.tolist(), floors, strict=True))

    found = in_batches([exchange.rows for exchange in shard], batch, of_pairs)
    return {
        "effects": [values for values, _, _ in found],
        "gap": [gap for _, gap, _ in found],
        "floor": max(floor for _, _, floor in found),
    }


def _rows(
    answers: Sequence[tuple[Sequence[_Exchange], dict]],
    parts: Bands,
    pairs: Pairs,
    flips: Sequence[str],
) -> list[dict]:
    """A row per exchange, place and band."""
    gaps = {
        exchange.row: gap
        for shard, answer in answers
        for exchange, gap in zip(shard, answer["gap"], strict=True)
        if exchange.source in _PAIR
    }
    rows = []
    for shard, answer in answers:
        conditions = [(place, *part) for place in shard[0].places for part in parts.items()]
        for exchange, values in zip(shard, answer["effects"], strict=True):
            pair = {
                "example": pairs.harmful[exchange.row].id,
                "topic": pairs.topics[exchange.row],
                "category": pairs.categories[exchange.row],
                "flip": flips[exchange.row],
                "giver": exchange.giver,
            }
            rows += [
                {
                    "band": band,
                    "layers": f"{layers.start}:{layers.stop}",
                    "position": place,
                    "source": exchange.source,
                    **pair,
                    "effect": value,
                    "gap": gaps[exchange.row],
                }
                for (place, band, layers), value in zip(conditions, values, strict=True)
            ]
    return rows


def _written(model: Model, layers: range, positions: Sequence[str]) -> tuple[Site, ...]:
    """What these layers write at these positions."""
    return tuple(
        Site(kind, layer, position=position)
        for layer in layers
        for kind in _KINDS
        if kind in model.shape.kinds
        for position in positions
    )


def _lacking(pairs: Pairs, exchanges: Sequence[_Exchange]) -> dict[str, str]:
    """How many pairs lack a place or a donor."""
    own = [exchange for exchange in exchanges if exchange.source in _PAIR]
    have = Counter(name for exchange in own for name in exchange.places)
    given = Counter(exchange.source for exchange in exchanges)
    count = len(pairs.harmful)
    about = {f"pairs without {name}": str(count - have[name]) for name in _ALIGNED}
    if own[0].source == "harmful":
        about |= {
            f"pairs without a donor of the {word}": str(count - given[word]) for word in _WORDS
        }
    return about


def _flip(harmful: Example, harmless: Example) -> str:
    """The words in which two prompts differ, harmless first."""
    old, new = harmless.prompt.split(), harmful.prompt.split()
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return f"{' '.join(old)} -> {' '.join(new)}"
