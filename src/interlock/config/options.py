"""A method's options as a checked model: types from its signature, bounds from their names."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from interlock.config.signatures import signature_of
from interlock.errors import InterlockError, JudgeError, SiteError
from interlock.sites import Site

_AT_LEAST_ONE = ("batch", "tokens", "groups", "questions")
_SHARES = ("p", "q", "share")


@cache
def options_model(name: str) -> type[BaseModel]:
    """The options of a registered method; unknown ones are refused."""
    fields: dict[str, Any] = {
        option: (_bounded(option, found.type), Field(found.default, description=found.meaning))
        for option, found in signature_of(name).options.items()
    }
    config = ConfigDict(extra="forbid", frozen=True)
    return pydantic.create_model(name, __config__=config, **fields)


def _bounded(option: str, kind: Any) -> Any:  # noqa: ANN401 - types
    """The option's type with what every option of that name or type must obey."""
    if option == "positions":
        return Annotated[kind, AfterValidator(_known_positions)]
    if option == "labels":
        return Annotated[kind, AfterValidator(_readable_labels)]
    if option == "judges":
        return Annotated[kind, AfterValidator(_known_judges)]
    if option == "zero_shot":
        return Annotated[kind, AfterValidator(_answerable)]
    if option in _SHARES:
        share = Annotated[float, Field(ge=0, le=1)]
        return share if kind is float else tuple[share, ...]
    if kind == tuple[int, ...]:
        return tuple[Annotated[int, Field(ge=1)], ...]
    if kind in (int, float):
        return Annotated[kind, Field(ge=1 if option in _AT_LEAST_ONE else 0)]
    return kind


def _known_judges(judges: tuple[str, ...]) -> tuple[str, ...]:
    from interlock.judges.specs import parse_spec

    if not judges:
        raise ValueError("no judge named")
    for judge in judges:
        try:
            parse_spec(judge)
        except JudgeError as error:
            raise ValueError(str(error).rstrip(".")) from None
    return judges


def _readable_labels(path: str) -> str:
    from interlock.transcripts.labelling import read_labels

    if path:
        try:
            read_labels(Path(path).expanduser())
        except InterlockError as error:
            raise ValueError(str(error).rstrip(".")) from None
    return path


def _answerable(tasks: tuple[str, ...]) -> tuple[str, ...]:
    from interlock.zero_shot import require_package

    if tasks:
        try:
            require_package()
        except InterlockError as error:
            raise ValueError(str(error).rstrip(".")) from None
    return tasks


def _known_positions(positions: tuple[str, ...]) -> tuple[str, ...]:
    if not positions:
        raise ValueError("no position named")
    for position in positions:
        try:
            Site("resid_pre", 0, position=position)
        except SiteError as error:
            raise ValueError(str(error)) from None
    return positions
