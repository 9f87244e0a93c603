"""What a model says while units are patched: rates of refusal, by kind of set."""

import numpy as np

from interlock.stats import CONFIDENCE, rate
from interlock.tables import Table, from_rows

_KINDS = ("unpatched", "found", "matched random")


def summary(table: Table) -> Table:
    """Refusals and broken replies to the patched prompts: a row per kind of set.

    Args:
        table: of `methods.patched_replies`.
    """
    direction = table.about.get("direction", "")
    rows = []
    for kind in _KINDS:
        part = table.where(kind=kind)
        if not len(part):
            continue
        topics = part["topic"].tolist()
        refused = rate(part["observed"] == "refuse", topics)
        broken = rate(part["degenerate"].astype(bool), topics)
        rows.append(
            {
                "direction": direction,
                "prompts": "harmless" if direction == "denoise" else "harmful",
                "patched": kind,
                "sets": len(np.unique(part["set"])),
                "refusal": refused.value,
                "low": refused.low,
                "high": refused.high,
                "degenerate": broken.value,
                "degenerate_low": broken.low,
                "degenerate_high": broken.high,
                "n": refused.n,
                "topics": refused.clusters,
            }
        )
    about = {**table.about, "interval": f"{CONFIDENCE:.0%}, Wilson on n over the design effect"}
    return from_rows(rows, about=about)
