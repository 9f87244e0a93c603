"""What a claim's steps amount to: summary tables for the report, and evidence for the rule."""

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.direction import Direction
from interlock.mask import Mask
from interlock.scores import Scores
from interlock.stats import Estimate, mean
from interlock.subspaces import Subspaces
from interlock.tables import Cell, Table
from interlock.verdict import Evidence
from interlock.weight_scores import WeightScores

Value = Table | Scores | Direction | WeightScores | Subspaces | Mask


@dataclass(frozen=True)
class Findings:
    """Summary tables by name, and the evidence they hold."""

    tables: Mapping[str, Table]
    evidence: Evidence


def exact(value: float, n: int, how: str, unit: str) -> Estimate:
    """A number that was counted rather than estimated: its interval is itself."""
    return Estimate(value, value, value, n, n, how, unit)


def in_row(estimate: Estimate) -> dict[str, Cell]:
    """An estimate as the cells of a row."""
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "unit": estimate.unit,
        "n": estimate.n,
        "how": estimate.how,
    }


def count_topics(table: Table) -> Estimate:
    """How many independent topics a table's rows form."""
    topics = len(set(table["topic"].tolist()))
    return exact(topics, len(table), "counted", "topics")


def unseparated(table: Table) -> str:
    """Why no share of a table's gap means anything, or nothing: the model tells no pair apart."""
    gap = mean(table["gap"].astype(float), table["topic"].tolist(), unit="nat")
    if gap.clusters < 2 or gap.low > 0:
        return ""
    return (
        "The model does not separate the pairs: the harmful prompts' opening score is "
        f"{gap.value:.2f} nat [{gap.low:.2f}, {gap.high:.2f}] above their partners'."
    )
