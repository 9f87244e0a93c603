"""Published numbers that a study is held against: what was measured, where, and by whom."""

from collections.abc import Collection
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict

Reading = Literal["mean", "best suffix", "perplexity"]


class Target(BaseModel):
    """One published number, and the rows of a step's table that answer it.

    Attributes:
        step: whose table.
        at: values that columns of the rows have.
        column: whose values are read.
        reading: their mean; the largest mean over suffixes, as some papers print it; or the
            exponential of their mean.
        value: the published number.
        source: who published it, and where.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: str
    at: dict[str, float | str] = {}
    column: str = "value"
    reading: Reading = "mean"
    value: float
    source: str = ""


def targets_of(raw: Any, steps: Collection[str], mistakes: list[str]) -> tuple[Target, ...]:  # noqa: ANN401
    """The targets in a study file; what is wrong is added to `mistakes`, a line each."""
    if not isinstance(raw, list):
        mistakes.append(f"targets: {raw!r} is not a list of targets.")
        return ()
    found = []
    for number, given in enumerate(raw):
        try:
            target = Target.model_validate(given)
        except pydantic.ValidationError as error:
            for each in error.errors():
                place = ".".join(map(str, ("targets", number, *each["loc"])))
                mistakes.append(f"{place}: {each['msg']}.")
            continue
        if target.step not in steps:
            mistakes.append(f"targets.{number}.step: no step '{target.step}'.")
        found.append(target)
    return tuple(found)
