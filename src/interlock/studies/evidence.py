"""What a claim's steps amount to: summary tables for the report, and evidence for the rule."""

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.direction import Direction
from interlock.mask import Mask
from interlock.scores import Scores
from interlock.stats import Estimate
from interlock.subspaces import Subspaces
from interlock.tables import Table
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


def count_topics(table: Table) -> Estimate:
    """How many independent topics a table's rows form."""
    topics = len(set(table["topic"].tolist()))
    return exact(topics, len(table), "counted", "topics")
