"""What do heads and groups of neurons respond to, which tokens move them, and what do they write?

A unit's activity on a prompt is one number: its value at one place, along the line from the mean of
the harmless prompts to that of the harmful ones, in units of that distance. So 0 is the mean
harmless prompt and 1 the mean harmful one. The place is the end of the word in which the prompts of
a pair differ (`slot`), or the last prompt token: whichever has the longer line.

- `unit_prompts`: the prompts with the highest activity.
- `unit_tokens`: how far activity falls when one token of a prompt is replaced by the mean token.
- `unit_lens`: what the unit adds to the logits if the residual stream ended after its layer.

All three describe the given prompts; whether a unit deserves a name, `unit_selectivity` tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interlock.activations import record, reference
from interlock.batching import in_batches
from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.edits import Edit, edited, put
from interlock.encoding import Encoded, Pairs, collate, encode_pairs
from interlock.errors import ContrastError
from interlock.lens import lens
from interlock.model import Model, Shape
from interlock.replacements import request
from interlock.sites import Site
from interlock.stats import CONFIDENCE, mean
from interlock.tables import Table, from_rows

_KINDS = ("head", "neuron")
_TYPICAL = 24  # tokens to a prompt, where a cost is counted before any is known
_EMBEDDED = Site("resid_pre", 0)
_ACTIVITY = "1 = mean harmful, 0 = mean harmless prompt"


def unit_prompts(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    *,
    units: int = 6,
    prompts: int = 5,
    batch: int = 32,
) -> Table:
    """The prompts, harmful or harmless, on which each unit is most active, strongest first.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        sites: heads and groups of neurons, most important first; other kinds are passed over.
        units: how many of them at most.
        prompts: to a unit, at most.
        batch: prompts at once, at most.

    Raises:
        ContrastError: the contrast has no pairs, or no head or group of neurons is given.
    """
    usable, axes = _fitted(model, pairs, sites, units, batch)
    asked = {example.id: example for example in pairs.examples}
    rows = []
    everything = (*usable.harmful, *usable.harmless)
    active = _activities(model, axes, everything, batch)
    for axis, values in zip(axes, active.T, strict=True):
        for rank, place in enumerate(np.argsort(-values, kind="stable")[:prompts].tolist()):
            example = asked[everything[place].id]
            rows.append(
                {
                    "site": str(axis.site),
                    "rank": rank + 1,
                    "activity": float(values[place]),
                    "category": example.category,
                    "expected": example.expected,
                    "example": example.id,
                    "prompt": example.prompt,
                }
            )
    return from_rows(rows, units={"activity": _ACTIVITY}, about=_about(model, pairs, usable))


def unit_prompts_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every prompt twice: once for the lines, once for the activities."""
    return Cost(prompts=2 * examples)


def unit_tokens(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    *,
    units: int = 6,
    prompts: int = 2,
    batch: int = 32,
) -> Table:
    """How far each token moves each unit on its strongest harmful prompts, by exact replacement.

    Each token of the request in turn is replaced by the mean over the requests' tokens (at the
    embedding), and the unit is read again; `moved` is by how much its activity falls.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        sites: heads and groups of neurons, most important first; other kinds are passed over.
        units: how many of them at most.
        prompts: to a unit.
        batch: prompts at once, at most.

    Raises:
        ContrastError: the contrast has no pairs, or no head or group of neurons is given.
    """
    usable, axes = _fitted(model, pairs, sites, units, batch)
    asked = {example.id: example for example in pairs.examples}
    active = _activities(model, axes, usable.harmful, batch)
    strongest = np.argsort(-active, axis=0, kind="stable")[:prompts]
    shown = sorted(set(strongest.reshape(-1).tolist()))
    chosen = [usable.harmful[place] for place in shown]
    blank = _mean_token(model, usable, batch)
    moved = _moved(model, axes, chosen, blank, batch)
    rows = [
        line
        for unit, axis in enumerate(axes)
        for place in strongest[:, unit].tolist()
        for line in _token_lines(
            model,
            axis,
            usable.harmful[place],
            asked[usable.harmful[place].id],
            float(active[place, unit]),
            moved[shown.index(place)][:, unit],
        )
    ]
    about = _about(model, pairs, usable) | {
        "replaced by": "the mean over the tokens of these prompts' requests, at the embedding"
    }
    return from_rows(rows, units={"activity": _ACTIVITY, "moved": _ACTIVITY}, about=about)


def unit_tokens_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every prompt three times, and every token of the shown prompts once."""
    shown = min(options["units"] * options["prompts"], examples // 2)
    return Cost(prompts=3 * examples + shown * _TYPICAL)


def unit_lens(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    *,
    units: int = 6,
    tokens: int = 5,
    batch: int = 32,
) -> Table:
    """The tokens that each unit raises and lowers most, read by the logit lens after its layer.

    What a unit writes more on the harmful prompt of a pair than on the harmless one is taken away
    from the residual stream after the unit's layer; `change` is what the lens's logits lose by it,
    over the mean of all tokens.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split.
        sites: heads and groups of neurons, most important first; other kinds are passed over, and
            so are kinds that write through a norm of the family.
        units: how many of them at most.
        tokens: raised, and as many lowered, to a unit.
        batch: prompts at once, at most.

    Raises:
        ContrastError: the contrast has no pairs, or no unit among the sites adds to the stream.
    """
    kept = tuple(site for site in sites if model.architecture.adds_up(site.kind))
    if sites and not kept:
        raise ContrastError(
            f"Units of a {model.architecture.family} model write through a norm, so that none has "
            "a share of the stream to read; leave unit_lens out."
        )
    usable, axes = _fitted(model, pairs, kept, units, batch)
    rows = []
    for axis in axes:
        streams, writes = _writes(model, axis, usable, batch)
        average = torch.zeros(model.shape.vocab)
        for part in torch.arange(len(streams)).split(batch):
            average += _changes(model, streams[part], writes[part]).sum(dim=0) / len(streams)
        order = average.argsort(descending=True)[: model.shape.vocab].tolist()
        picked = [*order[:tokens], *order[::-1][:tokens][::-1]]
        changes = torch.cat(
            [
                _changes(model, streams[part], writes[part])[:, picked]
                for part in torch.arange(len(streams)).split(batch)
            ]
        ).numpy(force=True)
        for column, token in enumerate(picked):
            found = mean(changes[:, column].astype(float), usable.topics, unit="logit")
            rows.append(
                {
                    "site": str(axis.site),
                    "at": axis.place,
                    "does": "raises" if column < tokens else "lowers",
                    "token": model.tokenizer.decode([token]),  # type: ignore[union-attr]
                    "change": found.value,
                    "low": found.low,
                    "high": found.high,
                    "n": found.n,
                    "topics": found.clusters,
                }
            )
    about = _about(model, pairs, usable) | {
        "read": "after the unit's layer, harmful prompts, with and without the pair's difference",
        "interval": f"{CONFIDENCE:.0%}, bootstrap over topics; tokens chosen on the same prompts, "
        "so the first come out too large",
    }
    return from_rows(rows, units={"change": "logit"}, about=about)


def unit_lens_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every prompt once for the lines, and once for every unit."""
    return Cost(prompts=(1 + options["units"]) * examples)


@dataclass(frozen=True, eq=False)
class _Axis:
    """The line along which a unit's activity is read, at one place of the prompt."""

    site: Site
    place: str
    zero: Float[Tensor, " part"]
    along: Float[Tensor, " part"]

    def activity(self, values: Float[Tensor, "example part"]) -> Float[Tensor, " example"]:
        """0 at the harmless mean, 1 at the harmful mean."""
        return (values - self.zero) @ self.along


def _fitted(
    model: Model, pairs: Contrast, sites: Sequence[Site], count: int, batch: int
) -> tuple[Pairs, tuple[_Axis, ...]]:
    """The pairs that are read, and the line of every unit."""
    chosen = tuple(dict.fromkeys(site.at("all") for site in sites if site.kind in _KINDS))[:count]
    if not chosen:
        raise ContrastError("No head or group of neurons is among the sites: no unit to describe.")
    encoded = encode_pairs(model, pairs)
    aligned = encoded.only_aligned()
    usable = aligned if aligned.harmful else encoded
    # prompts of unequal length have a comparable end only
    places = ("slot", "last") if aligned.harmful else ("last",)
    wanted = tuple(site.at(place) for site in chosen for place in places)
    harmful, harmless = (
        {site: found.mean(dim=0) for site, found in _values(model, wanted, rows, batch).items()}
        for rows in (usable.harmful, usable.harmless)
    )
    axes = []
    for site in chosen:
        lines = {place: harmful[site.at(place)] - harmless[site.at(place)] for place in places}
        place = max(places, key=lambda name: float(lines[name].norm()))
        line = lines[place]
        length = line @ line
        along = line / length if float(length) else line
        axes.append(_Axis(site, place, harmless[site.at(place)], along))
    return usable, tuple(axes)


def _values(
    model: Model, sites: Sequence[Site], rows: Sequence[Encoded], batch: int
) -> dict[Site, Float[Tensor, "example part"]]:
    """Values of sites at the last token of their position, for every row."""

    def read(part: Sequence[Encoded]) -> list[dict[Site, Tensor]]:
        found = record(model, collate(model, part), sites).values
        return [{site: found[site][row, -1].float() for site in sites} for row in range(len(part))]

    kept = in_batches(rows, batch, read)
    return {site: torch.stack([each[site] for each in kept]) for site in sites}


def _activities(
    model: Model, axes: Sequence[_Axis], rows: Sequence[Encoded], batch: int
) -> Float[np.ndarray, "example unit"]:
    """Every unit's activity on every row."""
    found = _values(model, _places(axes), rows, batch)
    columns = [axis.activity(found[axis.site.at(axis.place)]) for axis in axes]
    return torch.stack(columns, dim=1).numpy(force=True)


def _places(axes: Sequence[_Axis]) -> tuple[Site, ...]:
    return tuple(axis.site.at(axis.place) for axis in axes)


def _mean_token(model: Model, usable: Pairs, batch: int) -> Float[Tensor, "1 1 width"]:
    """The mean over the requests' tokens of what enters the first layer."""
    rows = (*usable.harmful, *usable.harmless)
    found = reference(model, rows, [_EMBEDDED], name="these prompts", size=batch)
    return found.means[_EMBEDDED][:, found.head : found.head + 1]


def _moved(
    model: Model,
    axes: Sequence[_Axis],
    rows: Sequence[Encoded],
    blank: Float[Tensor, "1 1 width"],
    batch: int,
) -> list[Float[np.ndarray, "token unit"]]:
    """By how much activity falls with each token of each row's request replaced; nan elsewhere."""
    jobs = [(number, place) for number, row in enumerate(rows) for place in request(row)]
    before = _activities(model, axes, rows, batch)
    found = [np.full((len(row.ids), len(axes)), np.nan) for row in rows]
    for place in sorted({place for _, place in jobs}):
        own = [number for number, each in jobs if each == place]
        edit = put(_EMBEDDED.at(str(place)), blank, source="the mean token")
        after = in_batches(
            [rows[number] for number in own],
            batch,
            lambda part, edit=edit: _read_edited(model, axes, part, edit),
        )
        for number, values in zip(own, after, strict=True):
            found[number][place] = before[number] - values
    return found


def _read_edited(
    model: Model, axes: Sequence[_Axis], part: Sequence[Encoded], edit: Edit
) -> list[Float[np.ndarray, " unit"]]:
    batch = collate(model, part)
    with edited(model, [edit], batch):
        found = record(model, batch, _places(axes)).values
    columns = [axis.activity(found[axis.site.at(axis.place)][:, -1].float()) for axis in axes]
    return list(torch.stack(columns, dim=1).numpy(force=True))


def _token_lines(
    model: Model,
    axis: _Axis,
    row: Encoded,
    example: Example,
    active: float,
    moved: Float[np.ndarray, " token"],
) -> list[dict]:
    assert model.tokenizer is not None  # the prompt was encoded
    return [
        {
            "site": str(axis.site),
            "at": axis.place,
            "example": example.id,
            "prompt": example.prompt,
            "category": example.category,
            "activity": active,
            "position": place,
            "token": model.tokenizer.decode([row.ids[place]]),
            "moved": float(moved[place]),
        }
        for place in np.flatnonzero(np.isfinite(moved)).tolist()
    ]


@torch.no_grad()
def _writes(
    model: Model, axis: _Axis, usable: Pairs, batch: int
) -> tuple[Float[Tensor, "example width"], Float[Tensor, "example width"]]:
    """The harmful prompts' stream after the unit's layer, and what the pair's difference wrote."""
    place, after = axis.site.at(axis.place), Site("resid_post", axis.site.layer)
    harmful = _values(model, (place, after.at(axis.place)), usable.harmful, batch)
    harmless = _values(model, (place,), usable.harmless, batch)
    change = harmful[place] - harmless[place]
    module, _ = model.tap(axis.site.kind, axis.site.layer)
    width = model.shape.unit_width(axis.site.kind) * model.shape.units(axis.site.kind)
    whole = change.new_zeros(len(change), width, dtype=model.network.dtype)
    whole[:, model.shape.columns(axis.site)] = change.to(whole.dtype)
    # the difference of two inputs leaves the bias out
    written = module(whole) - module(torch.zeros_like(whole))
    return harmful[after.at(axis.place)], written.float()


@torch.no_grad()
def _changes(
    model: Model, streams: Float[Tensor, "example width"], writes: Float[Tensor, "example width"]
) -> Float[Tensor, "example vocab"]:
    """What the lens's logits lose without the writes, over the mean of all tokens."""
    dtype = model.network.dtype
    lost = (
        lens(model, streams.to(dtype)).float() - lens(model, (streams - writes).to(dtype)).float()
    )
    return (lost - lost.mean(dim=-1, keepdim=True)).cpu()


def _about(model: Model, pairs: Contrast, usable: Pairs) -> dict[str, str]:
    dropped = len(pairs.pairs()) - len(usable.harmful)
    return {
        "model": model.name,
        "split": pairs.split,
        "activity": "value along the line from the harmless to the harmful mean of these prompts",
        "pairs dropped (not aligned)": str(dropped),
    }
