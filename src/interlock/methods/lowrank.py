"""Which output directions do refusals use, and do harmless replies use the same?

1. Every reply is read once; X X^T over reply tokens is added up for each distinct input of a
   layer's matrices (query, key and value share one), apart for the two halves of each set.
2. One eigendecomposition for each matrix and set gives the directions of every rank
   (`interlock.subspaces`), so that a grid of ranks (`rank_pruning`) costs matrix products only.
3. `subspace_similarity` compares the first directions of the two sets, beside what two halves of
   the same set have in common, and what chance would give.

Source: Wei et al. (2024), arXiv:2402.05162, sections 3.2, 3.3 and 4.3.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from interlock.activations import forward
from interlock.costs import Cost
from interlock.demonstrations import Demonstration, Demonstrations, demonstrations
from interlock.encoding import collate
from interlock.errors import InterlockError, ModelError
from interlock.mask import require_share
from interlock.matrices import Matrix, dense, matrices, reading
from interlock.model import Model, Shape
from interlock.subspaces import Subspaces, count_of, similarity, subspace
from interlock.tables import Table, from_rows
from interlock.weight_sums import add_up, planned

Template = Literal["auto", "chat", "none"]
Keep = Literal["device", "cpu"]
Grams = dict[str, Tensor]


def subspace_similarity(
    model: Model,
    safety: Table,
    utility: Table,
    *,
    rank: int = 100,
    examples: int = 128,
    seed: int = 0,
    template: Template = "auto",
    batch: int = 0,
) -> Table:
    """How far the first directions of the two sets agree, a row for every matrix.

    Columns: `similarity`; `safety ceiling` and `utility ceiling`, of the two halves of a set;
    `chance`; `rank`, which is lower than asked where a matrix is narrower.

    Args:
        model: whose matrices are compared.
        safety: harmful prompts with refusals.
        utility: harmless prompts with answers.
        rank: directions compared.
        examples: drawn from each set, at most; 0 takes all.
        seed: of the draw.
        template: `chat`, `none` (prompts are rendered already) or `auto`.
        batch: examples at once; 0 chooses.

    Raises:
        ContrastError: a set has no usable reply.
        InterlockError: the rank is not positive.
    """
    if rank < 1:
        raise InterlockError(f"rank={rank}: at least one direction is compared.")
    options: dict[str, Any] = {"examples": examples, "seed": seed, "template": template}
    found = _matrices(model)
    sets = [demonstrations(model, table, **options) for table in (safety, utility)]
    owners = _owners(model, found, sets[0].halves[0][0])
    grams = [_grams(model, found, owners, taught, batch) for taught in sets]
    rows = []
    for name, matrix in found.items():
        weight = dense(matrix)
        halves = [[subspace(weight, half) for half in each[owners[name]]] for each in grams]
        whole = [subspace(weight, each[owners[name]].sum(dim=0)) for each in grams]
        compared = min(rank, whole[0].rank)
        rows.append(
            {
                "matrix": name,
                "layer": matrix.layer,
                "type": matrix.path,
                "rank": compared,
                "similarity": similarity(whole[0], whole[1], compared),
                "safety ceiling": similarity(halves[0][0], halves[0][1], compared),
                "utility ceiling": similarity(halves[1][0], halves[1][1], compared),
                "chance": compared / whole[0].rank,
            }
        )
    about = {"model": model.name, "weights": model.revision, "seed": str(seed)}
    about |= {"safety data": sets[0].digest, "utility data": sets[1].digest}
    shares: tuple[str, ...] = ("similarity", "safety ceiling", "utility ceiling", "chance")
    return from_rows(rows, units=dict.fromkeys(shares, "share"), about=about)


def subspace_similarity_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every example of both sets once."""
    return Cost(prompts=2 * (options.get("examples") or examples))


def used_directions(
    model: Model,
    replies: Table,
    *,
    share: float = 1.0,
    examples: int = 128,
    seed: int = 0,
    template: Template = "auto",
    keep: Keep = "device",
    batch: int = 0,
) -> Subspaces:
    """The output directions of every matrix that a set uses, most used first.

    Args:
        model: whose matrices they are.
        replies: a table with `prompt` and `reply`.
        share: of each matrix's directions that is kept; a grid needs its largest share of them,
            and taking out the least used needs all.
        examples: drawn from the set, at most; 0 takes all.
        seed: of the draw.
        template: `chat`, `none` (prompts are rendered already) or `auto`.
        keep: where they are kept; `cpu` frees a GPU of them.
        batch: examples at once; 0 chooses.

    Raises:
        ContrastError: the set has no usable reply.
        InterlockError: the share is not between 0 and 1.
        ModelError: weights are packed, or the sums do not fit in memory.
    """
    require_share("share", share)
    found = _matrices(model)
    taught = demonstrations(
        model, replies, examples=examples, seed=seed, template=template, halves=False
    )
    owners = _owners(model, found, taught.halves[0][0])
    grams = _grams(model, found, owners, taught, batch, keep)
    last = {owner: name for name, owner in owners.items()}
    parts = {}
    for name, matrix in found.items():
        whole = subspace(dense(matrix), grams[owners[name]][0])
        kept = whole.keep(max(1, count_of(share, whole.rank)))
        parts[name] = kept if keep == "device" else kept.to("cpu")
        if last[owners[name]] == name:
            del grams[owners[name]]
    about = {"model": model.name, "weights": model.revision, "data": taught.digest}
    about |= {"set": replies.about.get("set", "replies"), "N": str(len(taught.halves[0]))}
    return Subspaces(parts, share, about | {"template": taught.template, "seed": str(seed)})


def used_directions_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Every example once."""
    return Cost(prompts=options.get("examples") or examples)


def _matrices(model: Model) -> dict[str, Matrix]:
    if model.quantization:
        raise ModelError(
            f"{model.name} is packed ({model.quantization}); open it in bfloat16 or float32 to "
            "project its weights."
        )
    return {each.name: each for each in matrices(model)}


def _owners(model: Model, found: Mapping[str, Matrix], example: Demonstration) -> Mapping[str, str]:
    """For each matrix, the first one that reads the very same input."""
    seen: dict[str, Tensor] = {}

    def watch(name: str, value: Tensor) -> None:
        seen[name] = value

    with torch.no_grad(), reading(found, {name: partial(watch, name) for name in found}):
        forward(model, collate(model, [example.row]))
    first: dict[int, str] = {}
    return {name: first.setdefault(id(value), name) for name, value in seen.items()}


def _grams(
    model: Model,
    found: Mapping[str, Matrix],
    owners: Mapping[str, str],
    taught: Demonstrations,
    batch: int,
    keep: Keep = "device",
) -> Grams:
    """X X^T over reply tokens of each distinct input, [half in in]."""
    distinct = {name: found[name] for name in dict.fromkeys(owners.values())}
    shapes = {name: (each.shape[1], each.shape[1]) for name, each in distinct.items()}
    plan = planned(
        model, distinct, taught, batch=batch, keep=keep, checkpointing=True, shapes=shapes
    )
    return add_up(taught, shapes, plan, partial(_add_grams, model, distinct))


def _add_grams(
    model: Model,
    distinct: Mapping[str, Matrix],
    part: Sequence[Demonstration],
    totals: dict[str, Tensor],
) -> None:
    batch = collate(model, [each.row for each in part])
    longest = batch.ids.shape[1]
    starts = torch.tensor([longest - len(each.row.ids) + each.start for each in part])
    counts = torch.arange(longest)[None] >= starts[:, None]
    watchers = {
        name: partial(_add_gram, totals[name], counts.to(model.device)) for name in distinct
    }
    with torch.no_grad(), reading(distinct, watchers):
        forward(model, batch)


def _add_gram(total: Tensor, counts: Tensor, value: Tensor) -> None:
    chosen = value[counts].float()
    total += (chosen.T @ chosen).to(total.device)
