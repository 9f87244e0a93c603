"""`interlock data`: what a set of prompts holds, before anything is run on it."""

import json
from typing import Annotated

import typer

from interlock.cli.options import AsJson
from interlock.cli.output import quiet_downloads, say
from interlock.errors import ContrastError

data_app = typer.Typer(
    help="Look into a set of prompts.", no_args_is_help=True, rich_markup_mode=None
)


@data_app.callback()
def _group() -> None:
    """Look into a set of prompts."""


@data_app.command("show")
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A set, sets joined by +, or a file.")
    ],
    file: Annotated[str, typer.Option(help="A copy of the named set.")] = "",
    folder: Annotated[str, typer.Option(help="Holds copies under their original names.")] = "",
    column: Annotated[
        list[str] | None, typer.Option(help="role=column, such as prompt=goal; may be repeated.")
    ] = None,
    expected: Annotated[str, typer.Option(help="refuse or comply, for every prompt.")] = "",
    drop_safety: Annotated[
        bool, typer.Option("--drop-safety", help="Leave out instructions about safety.")
    ] = False,
    against: Annotated[
        list[str] | None, typer.Option(help="Another set or file: what is in both?")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Counts, imbalance, lengths, examples, duplicates, licence, and overlap with other sets."""
    from interlock.datasets import Source, showing

    if expected not in ("", "refuse", "comply"):
        raise ContrastError(f"--expected is '{expected}'. Known: refuse, comply.")
    source = Source(
        file=file,
        folder=folder,
        columns=_mapping(column or []),
        expected=expected,  # pyright: ignore[reportArgumentType] - checked above
        drop_safety=drop_safety,
    )
    quiet_downloads()
    found = showing.show(name, source, against=tuple(against or ()))
    say(json.dumps(found.plain()) if as_json else showing.text(found))


def _mapping(columns: list[str]) -> dict[str, str]:
    found = dict[str, str]()
    for each in columns:
        role, equals, name = each.partition("=")
        if not equals:
            raise ContrastError(f"--column {each}: write it as role=column, such as prompt=goal.")
        if role in found:
            raise ContrastError(f"--column {role} is given twice.")
        found[role] = name
    return found
