"""`interlock weights import` and `overlap`: sets of weights from files, and how far two agree."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.cli.options import AsJson
from interlock.cli.output import quiet, say
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.mask import Mask

_COUNTED = ("all", "layer", "type")

Indices = Annotated[Path, typer.Argument(help="JSON of indices by matrix.", metavar="FILE")]
Named = Annotated[str, typer.Argument(help="A folder, a hub id or organism:NAME.", metavar="MODEL")]
First = Annotated[Path, typer.Argument(help="A set: safetensors or JSON.", metavar="FIRST")]
Second = Annotated[Path, typer.Argument(help="Another.", metavar="SECOND")]


def weights_import(
    file: Indices,
    model: Named,
    out: Annotated[
        Path | None, typer.Option(help="A safetensors file; beside FILE if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the JSON of the original study as a set of this model's weights, and store it."""
    from interlock import mask

    where = out or file.with_suffix(".safetensors")
    _require_free(where)
    found = mask.read_indices(file, _shapes(model))
    mask.save(found, where)
    said = {"out": str(where), "weights": found.count(), "sparsity": found.sparsity()}
    text = f"{found.count():,} weights ({found.sparsity():.3%}) of {model}\n{where}"
    say(json.dumps(said) if as_json else text)


def weights_overlap(
    first: First,
    second: Second,
    model: Annotated[
        str | None, typer.Option(help="Whose weights they are; needed where both are JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How far two sets agree, in all, by layer and by type: Jaccard, overlap, and by chance."""
    from interlock.mask import by, overlap

    sets = _both(first, second, model)
    table = overlap(*sets)
    found = {key: list(by(table, key).rows()) for key in _COUNTED}
    if as_json:
        say(json.dumps({"first": str(first), "second": str(second), **found}))
        return
    whole = found["all"][0]
    say(
        f"{first.name}: {whole['first']:,} weights; {second.name}: {whole['second']:,}; both: "
        f"{whole['both']:,}\n"
        f"{'':24}{'overlap':>9}{'by chance':>11}{'Jaccard':>9}"
    )
    for key in _COUNTED:
        for row in found[key]:
            title = {"all": "all", "layer": f"layer {row['layer']}", "type": row["type"]}[key]
            say(f"{title:24}{row['overlap']:9.1%}{row['chance']:11.1%}{row['jaccard']:9.3f}")


def _both(first: Path, second: Path, model: str | None) -> "tuple[Mask, Mask]":
    """The two sets; indices say nothing of sizes, which then come from the model or other set."""
    from interlock import mask

    paths = (first, second)
    stored = {path: mask.load(path) for path in paths if path.suffix != ".json"}
    if len(stored) == len(set(paths)):
        return stored[first], stored[second]
    if model is not None:
        shapes = _shapes(model)
    elif stored:
        other = next(iter(stored.values()))
        shapes = {name: part.shape for name, part in other.parts.items()}
    else:
        raise InterlockError(
            "JSON of indices does not say how large the matrices are: add --model NAME."
        )
    a, b = (stored.get(path) or mask.read_indices(path, shapes) for path in paths)
    return a, b


def _shapes(model: str) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of every linear map of a model, by name, from its config alone."""
    quiet()
    from interlock.studies.planning import matrix_shapes

    return matrix_shapes(model)


def _require_free(out: Path) -> None:
    """Refuse to write over what is there, such as the set that the indices were written from."""
    if out.exists():
        raise InterlockError(f"{out} exists; name another file with --out.")
