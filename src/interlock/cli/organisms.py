"""`interlock organism`: the small models with known behaviour, some with a known mechanism."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.cli.options import AsJson
from interlock.cli.output import quiet, say
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.organisms.training import Progress

app = typer.Typer(
    help="The small models with known behaviour that ship with the package.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_PLANTED = "planted-"


@app.command("list")
def organism_list() -> None:
    """The organisms that ship with the package, and the plants that can be trained."""
    from interlock import organisms
    from interlock.files import read_json
    from interlock.organisms.planting import PLANTS

    for name in organisms.names():
        card = read_json(organisms.folder(name) / "card.json")
        say(f"organism:{name}  {card['parameters']:,} parameters  {card['description']}")
    say("\nPlants, each with any seed (`interlock organism train planted-PLANT-SEED`):")
    for plant in PLANTS.values():
        say(f"  {plant.name}  {plant.description}")


@app.command("train")
def organism_train(
    name: str,
    out: Annotated[
        Path | None, typer.Option(help="Folder; in the user's cache if not given.")
    ] = None,
    seed: int = 0,
) -> None:
    """Train an organism and put it through its gate; one that fails is not stored."""
    quiet()
    from interlock.organisms.planting.making import train_planted
    from interlock.organisms.training import train
    from interlock.sources import trained_organisms

    target = out or trained_organisms() / name
    with _bar(name) as advance:
        if name.startswith(_PLANTED):
            plant, planted_seed = _plant_and_seed(name)
            train_planted(plant, target, seed=planted_seed, progress=advance)
        else:
            train(name, target, seed=seed, progress=advance)
    say(str(target))


@app.command("suite")
def organism_suite(
    folder: Annotated[
        Path | None, typer.Option(help="Where they go; in the user's cache if not given.")
    ] = None,
    plants: Annotated[
        str | None, typer.Option(help="Names of plants, with commas; all if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Accepted organisms of each plant, wanted.")] = 3,
) -> None:
    """Train every plant with several seeds; what is there stays, so it can be stopped and resumed.

    Several of these commands may share a folder if they take different plants.
    """
    quiet()
    from interlock.organisms.planting import PLANTS
    from interlock.organisms.planting.making import train_suite
    from interlock.sources import trained_organisms

    chosen = [name.strip() for name in plants.split(",")] if plants else list(PLANTS)
    home = folder or trained_organisms()
    with _bar("suite") as advance:
        train_suite(
            home,
            chosen,
            seeds,
            report=lambda name, said: say(f"{name}: {said}"),
            progress=advance,
        )
    say(str(home))


@app.command("verify")
def organism_verify(name: str, as_json: AsJson = False) -> None:
    """Measure an organism again and hold it against its gate."""
    quiet()
    from interlock import organisms

    folder = organisms.folder(name)
    found = _planted_gate(folder) if name.startswith(_PLANTED) else _gate(name, folder)
    say(json.dumps(found, indent=None if as_json else 1))
    if not found["accepted"]:
        raise typer.Exit(1)


def _gate(name: str, folder: Path) -> dict:
    from interlock import organisms
    from interlock.organisms.gate import gate
    from interlock.organisms.recipes import RECIPES

    parent = RECIPES[name].starts_from
    return gate(name, folder, None if parent is None else organisms.folder(parent))


def _planted_gate(folder: Path) -> dict:
    from interlock.organisms.planting.making import verify

    return verify(folder)


def _plant_and_seed(name: str) -> tuple[str, int]:
    plant, _, seed = name.removeprefix(_PLANTED).rpartition("-")
    if not seed.isdecimal():
        raise InterlockError(f"'{name}' is not a planted organism; write planted-PLANT-SEED.")
    return plant, int(seed)


@contextmanager
def _bar(title: str) -> "Iterator[Progress]":
    """A progress bar over the optimiser's steps, with the loss."""
    from tqdm import tqdm

    with tqdm(desc=title, disable=None) as bar:

        def advance(done: int, total: int, loss: float) -> None:
            bar.total = total
            bar.set_postfix(loss=f"{loss:.3f}")
            bar.update(done - bar.n)

        yield advance
