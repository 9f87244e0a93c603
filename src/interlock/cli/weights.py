"""`interlock weights`: which weights matter to refusal, which to everything else, and sets of them.

`groups` is the drift studies' pathway in one command: scores on a safety and a utility set in one
model load, then top safety, top utility, set difference, and controls. One set of scores is in
memory at a time and none is written unless asked for, so there are no temporary files.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interlock.cli.options import AsJson, Tokens
from interlock.cli.output import quiet, say
from interlock.errors import InterlockError, RunError

if TYPE_CHECKING:
    from interlock.mask import Mask
    from interlock.model import Model
    from interlock.tables import Table
    from interlock.weight_scores import WeightScores

weights_app = typer.Typer(
    help="Score single weights, and choose sets of them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_MODEL_SETTINGS = ("device", "dtype", "revision", "quantization")
_STUDY_NAMES = ("SNIP_TOP_K", "SET_DIFF_P", "SET_DIFF_Q")  # as the drift studies write them
_METHODS = ("snip", "wanda", "magnitude", "random")
_ROOM = 1.05  # of what is to be written

Column = Annotated[
    list[str] | None,
    typer.Option("--column", help="prompt=NAME or response=NAME; may be repeated."),
]
Examples = Annotated[int, typer.Option(help="Drawn from each set, at most; 0 takes all.")]
Seed = Annotated[int, typer.Option(help="Of every draw.")]
Batch = Annotated[int, typer.Option(help="Examples at once; 0 chooses.")]
Groups = Annotated[int, typer.Option(help="Groups of layers, a pass each: less memory.")]
Keep = Annotated[str, typer.Option(help="Where sums are kept: device or cpu.")]
Template = Annotated[str, typer.Option(help="chat, none (prompts are rendered) or auto.")]
Halves = Annotated[bool, typer.Option(help="Keep two halves apart: the test-retest ceiling.")]
Checkpointing = Annotated[bool, typer.Option("--checkpointing", help="Less memory, more time.")]
Dequantise = Annotated[bool, typer.Option("--dequantise", help="Score packed weights as used.")]
Partly = Annotated[bool, typer.Option("--partly", help="Leave experts and routers unscored.")]


@weights_app.command("score")
def weights_score(  # noqa: PLR0913 - an option each
    tokens: Tokens = None,
    replies: Annotated[
        Path | None, typer.Option(help="Prompts with replies: CSV, JSONL, ...")
    ] = None,
    method: Annotated[str, typer.Option(help="snip, wanda, magnitude or random.")] = "snip",
    out: Annotated[Path, typer.Option(help="A safetensors file.")] = Path("scores.safetensors"),
    column: Column = None,
    loss: Annotated[str, typer.Option(help="mean or sum over a reply's tokens.")] = "mean",
    skip: Annotated[int, typer.Option(help="Reply tokens left out at the start.")] = 0,
    first: Annotated[int, typer.Option(help="Reply tokens counted; 0 counts all.")] = 0,
    examples: Examples = 128,
    seed: Seed = 0,
    template: Template = "auto",
    halves: Halves = True,
    batch: Batch = 0,
    groups: Groups = 1,
    keep: Keep = "device",
    checkpointing: Checkpointing = False,
    dequantise: Dequantise = False,
    partly: Partly = False,
    as_json: AsJson = False,
) -> None:
    """One score for every weight of every linear map, in one pass over the data."""
    _require(method, _METHODS, "--method")
    _require(loss, ("mean", "sum"), "--loss")
    _require_ways(template, keep)
    name, settings, strange = _parsed(tokens or [])
    if strange:
        raise InterlockError(f"No setting '{next(iter(strange))}' of `weights score`.")
    data = _data(replies, column) if method in ("snip", "wanda") else None
    quiet()
    model = _opened(name, settings)
    _require_disk(model, out.parent, copies=2 if data is not None and halves else 1)
    from interlock import weight_scores
    from interlock.methods import salience

    drawn: dict[str, Any] = {"examples": examples, "seed": seed, "template": template}
    drawn |= {"skip": skip, "first": first}
    ways: dict[str, Any] = {"halves": halves, "batch": batch, "keep": keep, "partly": partly}
    layered: dict[str, Any] = {"groups": groups, "checkpointing": checkpointing, "loss": loss}
    if method == "snip":
        assert data is not None
        found = salience.snip(model, data, dequantise=dequantise, **drawn, **ways, **layered)
    elif method == "wanda":
        assert data is not None
        found = salience.wanda(model, data, dequantise=dequantise, **drawn, **ways)
    elif method == "magnitude":
        found = salience.magnitude(model, dequantise=dequantise, partly=partly)
    else:
        found = salience.random_weights(model, seed=seed, partly=partly)
    weight_scores.save(found, out)
    said = {"out": str(out), "matrices": len(found.names), "unit": found.unit, **found.about}
    say(json.dumps(said) if as_json else "\n".join(f"{k}: {v}" for k, v in said.items()))


@weights_app.command("groups")
def weights_groups(  # noqa: PLR0913 - an option each
    tokens: Tokens = None,
    safety: Annotated[Path | None, typer.Option(help="Harmful prompts with refusals.")] = None,
    utility: Annotated[Path | None, typer.Option(help="Harmless prompts with answers.")] = None,
    snip_top_k: Annotated[float, typer.Option(help="Share of the top sets.")] = 0.01,
    set_diff_p: Annotated[float, typer.Option(help="Share by utility that is left out.")] = 0.1,
    set_diff_q: Annotated[float, typer.Option(help="Share by safety.")] = 0.1,
    granularity: Annotated[str, typer.Option(help="row, matrix or global.")] = "matrix",
    out: Annotated[Path, typer.Option(help="A folder.")] = Path("groups"),
    indices: Annotated[
        bool, typer.Option("--indices", help="Also the JSON of the original study.")
    ] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Also write the scores.")] = False,
    column: Column = None,
    examples: Examples = 128,
    seed: Seed = 0,
    template: Template = "auto",
    halves: Halves = True,
    batch: Batch = 0,
    groups: Groups = 1,
    keep: Keep = "device",
    checkpointing: Checkpointing = False,
    dequantise: Dequantise = False,
    partly: Partly = False,
    as_json: AsJson = False,
) -> None:
    """Top safety, top utility, their set difference, and controls; SNIP_TOP_K=... also works."""
    name, settings, study = _parsed(tokens or [])
    shares = {
        "top_k": _number(study, "SNIP_TOP_K", snip_top_k),
        "p": _number(study, "SET_DIFF_P", set_diff_p),
        "q": _number(study, "SET_DIFF_Q", set_diff_q),
    }
    from interlock.mask import require_share

    for share, value in shares.items():
        require_share(share, value)
    _require(granularity, ("row", "matrix", "global"), "--granularity")
    _require_ways(template, keep)
    if safety is None or utility is None:
        raise InterlockError(
            "Two sets are needed: --safety FILE (harmful prompts with refusals) and --utility FILE "
            "(harmless prompts with answers). `interlock weights replies MODEL` makes both."
        )
    from interlock.files import require_writable

    require_writable(out)
    sets = [_data(safety, column), _data(utility, column)]
    quiet()
    model = _opened(name, settings)
    if scores:
        _require_disk(model, out, copies=4 if halves else 2)
    from interlock.methods import salience

    options: dict[str, Any] = {"examples": examples, "seed": seed, "template": template}
    options |= {"halves": halves, "batch": batch, "groups": groups, "keep": keep}
    options |= {"checkpointing": checkpointing, "dequantise": dequantise, "partly": partly}
    grain: Any = granularity
    made = _Groups(
        score=lambda data: salience.snip(model, data, **options),
        magnitude=lambda: salience.magnitude(model, dequantise=dequantise, partly=partly),
        grain=grain,
        seed=seed,
        folder=out if scores else None,
    )
    found, facts = made.make(sets[0], sets[1], **shares)
    said = _stored(found, out, indices=indices) | facts
    from interlock.files import write_json

    write_json(out / "groups.json", said)
    say(json.dumps({"out": str(out), **said}) if as_json else _table(said, out))


@weights_app.command("replies")
def weights_replies(  # noqa: PLR0913 - an option each
    tokens: Tokens = None,
    prompts: Annotated[str, typer.Option(help="A set by name, or a file.")] = "grammar",
    out: Annotated[Path, typer.Option(help="A folder.")] = Path("replies"),
    per_category: Annotated[int, typer.Option(help="Prompts of each kind and category.")] = 16,
    length: Annotated[int, typer.Option(help="New tokens a reply, at most.")] = 64,
    cut: Annotated[bool, typer.Option("--cut", help="Keep replies that were cut off.")] = False,
    batch: Annotated[int, typer.Option(help="Prompts at once.")] = 32,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """The model's own refusals and answers, judged and filtered, as sets to score on."""
    name, settings, strange = _parsed(tokens or [])
    if strange:
        raise InterlockError(f"No setting '{next(iter(strange))}' of `weights replies`.")
    from interlock import datasets
    from interlock.files import require_writable, write_text

    require_writable(out)
    asked = datasets.load(prompts, per_category=per_category, passages=1, seed=seed)
    quiet()
    model = _opened(name, settings)
    from interlock.methods.behaviour import behaviour
    from interlock.own_replies import sorted_out

    found = sorted_out(behaviour(model, asked.splits["find"], tokens=length, batch=batch), cut=cut)
    for title, table in (("safety", found.safety), ("utility", found.utility)):
        rows = (json.dumps(row, ensure_ascii=False) for row in table.rows())
        write_text(out / f"{title}.jsonl", "\n".join(rows) + "\n")
    said = {"out": str(out), "sets": list(found.report.rows())}
    if as_json:
        say(json.dumps(said))
        return
    for row in found.report.rows():
        say(
            f"{row['expected']}: {row['kept']} of {row['asked']} replies kept ({row['otherwise']} "
            f"otherwise than expected, {row['degenerate']} degenerate, {row['cut off']} cut off); "
            f"{row['words']:g} words ({row['shortest']} to {row['longest']})"
        )
    say(f"{out / 'safety.jsonl'}\n{out / 'utility.jsonl'}")


class _Groups:
    """The sets of one command; scores of one set of prompts are held at a time."""

    def __init__(
        self,
        *,
        score: "Callable[[Table], WeightScores]",
        magnitude: "Callable[[], WeightScores]",
        grain: Literal["row", "matrix", "global"],
        seed: int,
        folder: Path | None,
    ) -> None:
        self.score, self.magnitude = score, magnitude
        self.grain: Literal["row", "matrix", "global"] = grain
        self.seed, self.folder = seed, folder

    def make(
        self, safety: "Table", utility: "Table", *, top_k: float, p: float, q: float
    ) -> "tuple[dict[str, Mask], dict[str, Any]]":
        """Sets by name, and how far they agree with each other and over halves of the examples."""
        from interlock.mask import by, overlap
        from interlock.weight_controls import matched, random
        from interlock.weight_sets import retest, top, without

        found: dict[str, Mask] = {}
        facts: dict[str, Any] = {"retest": {}}

        def scored(title: str, data: "Table") -> "WeightScores":
            scores = self.score(data)
            self._write(scores, title)
            found[f"top_{title}"] = top(scores, top_k, granularity=self.grain)
            if len(scores.counts) == 2:
                again = retest(scores, lambda each: top(each, top_k, granularity=self.grain))
                facts["retest"][f"top_{title}"] = next(again.rows())
            facts[title] = dict(scores.about)
            return scores

        candidates = top(scored("safety", safety), q, granularity=self.grain)
        useful = scored("utility", utility)
        found["set_difference"] = without(candidates, useful, p=p, q=q, granularity=self.grain)
        chosen = found["set_difference"]
        found["matched_utility"] = matched(chosen, useful, seed=self.seed)
        del useful
        found["matched_magnitude"] = matched(chosen, self.magnitude(), seed=self.seed)
        found["random"] = random(chosen, seed=self.seed)
        table = overlap(found["top_safety"], found["top_utility"])
        facts["overlap"] = {key: list(by(table, key).rows()) for key in ("all", "layer", "type")}
        return found, facts

    def _write(self, scores: "WeightScores", title: str) -> None:
        if self.folder is not None:
            from interlock import weight_scores

            weight_scores.save(scores, self.folder / f"scores_{title}.safetensors")


def _stored(found: "dict[str, Mask]", out: Path, *, indices: bool) -> dict[str, Any]:
    from interlock import mask

    for title, each in found.items():
        mask.save(each, out / f"{title}.safetensors")
        if indices:
            mask.write_indices(each, out / f"{title}.json")
    return {
        "groups": {
            title: {"weights": each.count(), "sparsity": each.sparsity(), "set": each.about["set"]}
            for title, each in found.items()
        }
    }


def _table(said: dict[str, Any], out: Path) -> str:
    lines = [
        f"{title:18} {row['weights']:12,} weights  {row['sparsity']:8.3%}  {row['set']}"
        for title, row in said["groups"].items()
    ]
    whole = said["overlap"]["all"][0]
    lines.append(
        f"top safety and top utility share {whole['overlap']:.1%} (Jaccard {whole['jaccard']:.3f}, "
        f"by chance {whole['chance']:.1%})"
    )
    lines += [
        f"{title}: halves of the examples agree on {row['overlap']:.1%}"
        for title, row in said["retest"].items()
    ]
    return "\n".join([*lines, str(out)])


def _parsed(tokens: list[str]) -> tuple[str, dict[str, str], dict[str, str]]:
    """The model, settings of it, and the settings of the drift studies by their own names."""
    models = [token for token in tokens if "=" not in token]
    if len(models) != 1:
        raise InterlockError(
            f"One model at a time; got {', '.join(models) or 'none'}. Give a folder, a hub id or "
            "organism:NAME."
        )
    settings: dict[str, str] = {}
    study: dict[str, str] = {}
    for token in tokens:
        key, equals, value = token.partition("=")
        if not equals:
            continue
        if key in _STUDY_NAMES:
            study[key] = value
        elif key.startswith("model.") and key.removeprefix("model.") in _MODEL_SETTINGS:
            settings[key.removeprefix("model.")] = value
        else:
            known = [f"model.{name}" for name in _MODEL_SETTINGS] + list(_STUDY_NAMES)
            raise InterlockError(f"No setting '{key}'. Known: {', '.join(known)}.")
    return models[0], settings, study


def _number(study: dict[str, str], name: str, default: float) -> float:
    if name not in study:
        return default
    try:
        return float(study[name])
    except ValueError:
        raise InterlockError(f"{name}={study[name]} is no number.") from None


def _require(value: str, known: tuple[str, ...], option: str) -> None:
    if value not in known:
        raise InterlockError(f"{option} is '{value}'. Known: {', '.join(known)}.")


def _require_ways(template: str, keep: str) -> None:
    _require(template, ("auto", "chat", "none"), "--template")
    _require(keep, ("device", "cpu"), "--keep")


def _data(path: Path | None, column: list[str] | None) -> "Table":
    if path is None:
        raise InterlockError("A set is needed: --replies FILE with prompts and replies.")
    named = {"prompt": "", "response": ""}
    for each in column or []:
        role, equals, name = each.partition("=")
        if not equals or role not in named:
            raise InterlockError(f"--column {each}: write prompt=NAME or response=NAME.")
        named[role] = name
    from interlock.demonstrations import read_replies

    return read_replies(path, prompt=named["prompt"], reply=named["response"])


def _opened(name: str, settings: dict[str, str]) -> "Model":
    quantization = settings.get("quantization")
    if quantization not in (None, "nf4", "int8"):
        raise InterlockError(f"model.quantization is '{quantization}'. Known: nf4, int8.")
    from interlock.opening import open_model

    return open_model(
        name,
        device=settings.get("device"),
        dtype=settings.get("dtype"),
        revision=settings.get("revision"),
        quantization=quantization,
    )


def _require_disk(model: "Model", folder: Path, *, copies: int) -> None:
    """Refuse to score what could not be written afterwards."""
    from interlock.matrices import matrices
    from interlock.memory import in_words

    needed = copies * sum(4 * each.shape[0] * each.shape[1] for each in matrices(model))
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    if _ROOM * needed > free:
        raise RunError(
            f"The scores take {in_words(needed)} and {in_words(free)} are free in {there}: free "
            "some space, choose another folder, or store only the sets (`weights groups`)."
        )
