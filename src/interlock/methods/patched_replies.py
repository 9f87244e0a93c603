"""What does the model say while a set of units is patched? Whole replies, judged.

The opening score speaks of the reply's first token; this of the reply. The units' values at the
prompt's tokens are exchanged between the two prompts of each pair, and the reply is generated from
there: denoise puts harmful values into the harmless prompt (does it refuse?), noise harmless values
into the harmful prompt (does it answer?). Later tokens are not patched: they are the model's own.

Beside the set found are the same prompts unpatched, and matched random sets.

Source: Heimersheim & Nanda (2024, arXiv:2404.15255) for metrics of patching and the two directions.
"""

from collections.abc import Sequence
from typing import Literal

import torch

from interlock.activations import record
from interlock.batching import in_batches
from interlock.contrast import Contrast
from interlock.costs import Cost
from interlock.edits import put
from interlock.encoding import collate
from interlock.errors import ContrastError
from interlock.exchange import PairRows, rows_of, usable_pairs
from interlock.generation import Decoding
from interlock.measures import JUDGE, Reply, answered
from interlock.model import Model, Shape
from interlock.selection import matched_sets, unit_sites
from interlock.sites import Site
from interlock.store import each
from interlock.tables import Table, from_rows


def patched_replies(
    model: Model,
    pairs: Contrast,
    sites: tuple[Site, ...],
    *,
    direction: Literal["denoise", "noise"] = "denoise",
    controls: int = 3,
    groups: int = 12,
    tokens: int = 48,
    batch: int = 32,
    seed: int = 0,
) -> Table:
    """One row per set and pair: the reply to the patched prompt, and what the judge makes of it.

    Column `kind` is `unpatched`, `found` or `matched random`; `set` numbers them.

    Args:
        model: the model studied.
        pairs: minimal pairs of one split, not the one the sites were found on.
        sites: the set found.
        direction: denoise patches the harmless prompt of a pair, noise the harmful one.
        controls: how many matched random sets.
        groups: how many groups a layer's neurons were split into.
        tokens: at most so many new tokens a reply.
        batch: pairs at once, at most.
        seed: of the random sets.

    Raises:
        ContrastError: no site is given, or no pair can be used.
    """
    if not sites:
        raise ContrastError("No site is given, so there is nothing to patch.")
    usable, dropped = usable_pairs(model, pairs, ("all",))
    candidates = unit_sites(model.shape, groups)
    found = tuple(site.at("all") for site in sites)
    sets: list[tuple[Site, ...]] = [(), found, *matched_sets(found, candidates, controls, seed)]
    decoding = Decoding(tokens)

    def reply(one: tuple[Site, ...]) -> list[dict]:
        said = in_batches(
            rows_of(usable), batch, lambda part: _replies(model, part, one, direction, decoding)
        )
        return [
            {"observed": each.outcome, "degenerate": each.degenerate, "reply": each.text}
            for each in said
        ]

    answers = each(f"patched replies {direction}", sets, reply)
    rows = [
        {
            "set": number,
            "kind": ("unpatched", "found", "matched random")[min(number, 2)],
            "direction": direction,
            "size": len(one),
            "example": row.id,
            "topic": topic,
            "category": category,
            **said,
        }
        for number, (one, replies) in enumerate(zip(sets, answers, strict=True))
        for row, topic, category, said in zip(
            usable.harmful, usable.topics, usable.categories, replies, strict=True
        )
    ]
    about = {
        "direction": direction,
        "judge": JUDGE,
        "patched": "prompt tokens",
        "sites": " ".join(map(str, found)),
        "split": pairs.split,
        "pairs dropped (not aligned)": str(dropped),
    }
    return from_rows(rows, about=about)


def patched_replies_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """Per set and pair one reply, and one pass to read the other prompt."""
    sets = options["controls"] + 2
    return Cost(prompts=sets * examples // 2, replies=sets * examples // 2)


@torch.no_grad()
def _replies(
    model: Model, part: PairRows, sites: Sequence[Site], direction: str, decoding: Decoding
) -> list[Reply]:
    """The judged replies to one side of each pair, with these sites as in the other side."""
    harmful, harmless = (collate(model, [pair[side] for pair in part]) for side in (0, 1))
    base, source = (harmless, harmful) if direction == "denoise" else (harmful, harmless)
    values = record(model, source, sites).values if sites else {}
    edits = [put(site, values[site], source="the pair's other prompt") for site in sites]
    return answered(model, base, edits, decoding)
