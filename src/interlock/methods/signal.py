"""At which layer is refusal there to be read? The residual stream of both prompts, layer by layer.

Both read, after every layer, the stream of the harmful and of the harmless prompt of a pair:

- `signal_lens`: the opening score that the logit lens gives it, as if the model ended there; after
  the last layer, at the last prompt token, that is the model's own.
- `signal_projection`: its coordinate along the refusal direction, 0 at the harmless and 1 at the
  harmful mean of the prompts on which the direction was fitted, at the place where it was read.

Each is read at a token, the last one of a named position. What can be read is not thereby used:
`patching` says what carries the decision.

Sources: nostalgebraist (2020), "interpreting GPT: the logit lens"; Arditi et al. (2024,
arXiv:2406.11717), section 5.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interlock.activations import record
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.direction import Direction
from interlock.encoding import Encoded, Pairs, collate, encode_pairs
from interlock.errors import ContrastError
from interlock.lens import lens
from interlock.measures import openers_of
from interlock.metrics import opening_score
from interlock.model import Model, Shape
from interlock.sites import Site
from interlock.tables import Table, from_rows

_ENDS = ("last", "post")  # comparable in prompts of unequal length
_Reading = Callable[[Float[Tensor, "example width"]], Float[Tensor, " example"]]


def signal_lens(
    model: Model,
    pairs: Contrast,
    replies: Table,
    *,
    positions: tuple[str, ...] = ("slot", "last"),
    batch: int = 32,
) -> Table:
    """Opening score (nat) by the logit lens: a row per layer, position and pair.

    Column `layers` counts the layers that the stream has passed; 0 is the embeddings.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        replies: judged replies, which give the opening tokens.
        positions: where to read, at the last token of each. Beside `last` and `post` only pairs of
            equal length that have the position are read; the others are counted in `about`.
        batch: prompts at once, at most.

    Raises:
        ContrastError: the contrast has no pairs, no pair has a position, or the replies hold no
            refusal.
    """
    openers = openers_of(replies)

    @torch.no_grad()
    def score(stream: Float[Tensor, "example width"]) -> Float[Tensor, " example"]:
        return opening_score(lens(model, stream), openers)

    about = {"reading": "opening score by the logit lens", "unit": "nat"}
    return _read(model, pairs, score, positions, batch, about)


def signal_projection(
    model: Model,
    pairs: Contrast,
    direction: Direction,
    *,
    positions: tuple[str, ...] = ("slot", "last"),
    batch: int = 32,
) -> Table:
    """Coordinate along a direction, in units of its own gap: a row per layer, position and pair.

    Column `layers` counts the layers that the stream has passed; 0 is the embeddings.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split, not the one the direction was fitted on.
        direction: one direction.
        positions: as in `signal_lens`.
        batch: prompts at once, at most.

    Raises:
        ContrastError: several directions are given, the contrast has no pairs, or no pair has a
            position.
    """
    if len(direction.names) != 1:
        raise ContrastError(
            f"{len(direction.names)} directions are given ({', '.join(direction.names)}); the "
            "signal is read along one."
        )
    zero, gap = _level(direction), float(direction.norms[0])
    along = torch.tensor(direction.units[0], dtype=torch.float32, device=model.device)

    def coordinate(stream: Float[Tensor, "example width"]) -> Float[Tensor, " example"]:
        return (stream.float().to(along.device) @ along - zero) / gap

    about = {
        "reading": f"coordinate along the direction read at {direction.site}",
        "unit": "1 = the direction's own gap",
        "direction": ", ".join(f"{key} {text}" for key, text in direction.about.items()),
    }
    return _read(model, pairs, coordinate, positions, batch, about)


def signal_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every prompt once to a position."""
    return Cost(prompts=len(options["positions"]) * examples)


def _level(direction: Direction) -> float:
    """The harmless mean's coordinate where the direction was read."""
    stream = Site(direction.site.kind, direction.site.layer)
    # places end with the template's closing tokens and one for the replies
    place = int(direction.site.position) - 1
    return float(direction.harmless[0, direction.streams.index(stream), place])


def _streams(shape: Shape) -> tuple[Site, ...]:
    """The residual stream after 0, 1, 2, ... layers."""
    after = [Site("resid_post", layer) for layer in range(shape.layers)]
    return (Site("resid_pre", 0), *after)


def _read(
    model: Model,
    pairs: Contrast,
    reading: _Reading,
    positions: Sequence[str],
    batch: int,
    about: dict[str, str],
) -> Table:
    encoded = encode_pairs(model, pairs)
    rows, without = [], []
    for position in positions:
        usable = encoded
        if position not in _ENDS:
            usable = encoded.only_aligned().with_positions((position,))
        if not usable.harmful:
            without.append(position)
            continue
        rows += _at(model, usable, reading, position, batch)
        lost = len(encoded.harmful) - len(usable.harmful)
        about = about | {f"pairs left out at {position}": str(lost)}
    if not rows:
        raise ContrastError(
            f"None of the {len(encoded.harmful)} pairs of {pairs.name}.{pairs.split} has two "
            f"equally long prompts with a position {', '.join(positions)}; read at last instead."
        )
    if without:
        about = about | {"positions that no pair has": ", ".join(without)}
    units = {"harmful": about["unit"], "harmless": about["unit"]}
    return from_rows(rows, units=units, about=about | {"split": pairs.split, "model": model.name})


def _at(model: Model, usable: Pairs, reading: _Reading, position: str, batch: int) -> list[dict]:
    """The rows of one position."""
    streams = _streams(model.shape)
    sites = [stream.at(position) for stream in streams]

    def read(part: Sequence[Encoded]) -> list[list[float]]:
        found = record(model, collate(model, part), sites).values
        columns = [reading(found[site][:, -1]).tolist() for site in sites]
        return [list(row) for row in zip(*columns, strict=True)]

    harmful, harmless = (
        in_batches(rows, batch, read) for rows in (usable.harmful, usable.harmless)
    )
    return [
        {
            "site": str(sites[layers]),
            "layers": layers,
            "position": position,
            "example": row.id,
            "topic": topic,
            "category": category,
            "harmful": high[layers],
            "harmless": low[layers],
        }
        for layers in range(len(streams))
        for row, topic, category, high, low in zip(
            usable.harmful, usable.topics, usable.categories, harmful, harmless, strict=True
        )
    ]
