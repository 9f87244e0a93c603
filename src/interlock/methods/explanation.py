"""Why was this prompt answered? Beside the nearest refused one: what would have made it refuse.

1. Put the prompt to the model. If it is refused there is nothing to explain, and that is said.
2. Of the prompts that the model refused, take the nearest: equally long if there are any, then by
   tokens in common; and the next nearest, which show how far the answer depends on that choice.
3. Run the answered prompt with one site at a time set to what it holds in the refused one: residual
   stream, attention and MLP output of every layer at every position from the first difference on
   (of unequally long prompts at the template's closing tokens only), and every head and group of
   neurons. A site's share is the rise of the opening score over the gap between the two prompts.
4. The control sets the same sites to what they hold in the nearest other prompt that was answered.
5. Generate with the sites of the largest shares set so, and judge: what turns the reply to a
   refusal would have restored it.

One prompt is explained, so there is no interval over prompts, and the few nearest refused prompts
are no sample of any: `least` and `largest` are the range of a site's share over those of them that
the score sets apart from the asked one. Every text names it a range.

Source: denoising with single sites: Zhang & Nanda (2024, arXiv:2309.16042); Heimersheim & Nanda
(2024, arXiv:2404.15255).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interlock.contrast import Contrast, Example
from interlock.costs import Cost
from interlock.edits import put
from interlock.encoding import Encoded, encode
from interlock.errors import ContrastError
from interlock.exchange import READS, PairRows, Sides, effects, read_sides
from interlock.generation import Decoding
from interlock.measures import openers_of, replies
from interlock.metrics import Openers
from interlock.model import Model, Shape
from interlock.neighbours import nearest
from interlock.selection import unit_sites
from interlock.sites import Site
from interlock.store import each
from interlock.tables import Table, from_rows

_KINDS = ("resid_post", "attn", "mlp")
_CHUNK = 256  # sites to a shard
_TYPICAL = 12  # positions, where a cost is counted before a prompt is encoded
_ENOUGH = 0.8  # share of the gap that counts as carrying it
_SAME = 0.5  # of a site's share, from where on the control is said beside it
_ASKED = "asked"


@dataclass(frozen=True)
class _Case:
    """The prompt, refused ones beside it (nearest first), and an answered one as control.

    Attributes:
        asked: the prompt to be explained.
        refused: encoded prompts that the model refused.
        texts: of these.
        control: another answered prompt; None where there is none of the same length.
        first: the first position that is exchanged, counted from the end.
        aligned: whether all of them are equally long.
    """

    asked: Encoded
    refused: tuple[Encoded, ...]
    texts: tuple[str, ...]
    control: Encoded | None
    first: int
    aligned: bool

    def rows(self) -> PairRows:
        """Every source beside the asked prompt, which is the run that is patched."""
        sources = [*self.refused, *([self.control] if self.control else [])]
        return [(source, self.asked) for source in sources]


def explanation(
    model: Model,
    contrast: Contrast,
    replies: Table,
    *,
    prompt: str = "",
    neighbours: int = 3,
    top: int = 8,
    groups: int = 12,
    tokens: int = 48,
    batch: int = 32,
) -> Table:
    """One row per site: its share of the gap, beside the control's, and whether it makes a refusal.

    `about["finding"]` says it in words. A prompt that was refused has one row and no site.

    Args:
        model: the model asked.
        contrast: prompts among which the nearest refused one is looked for.
        replies: judged replies to these prompts.
        prompt: what is to be explained.
        neighbours: refused prompts to compare with, nearest first.
        top: of the residual stream, of components and of units: how many to generate with.
        groups: how many groups a layer's neurons are split into.
        tokens: at most so many new tokens a reply.
        batch: sources at once, at most.

    Raises:
        ContrastError: no prompt is given, or the model refused none of the prompts.
    """
    if not prompt.strip():
        raise ContrastError("No prompt to explain: set steps.ID.prompt.")
    openers = openers_of(replies)
    example = Example(_ASKED, prompt, "", "refuse", _ASKED)
    (asked,) = encode(model, [example], contrast.system)
    (said,) = _replies(model, asked, [], tokens)
    if said == "refuse":
        finding = "The prompt was refused: there is no missing refusal to explain."
        about = {"prompt": prompt, "reply": said, "finding": finding}
        return from_rows([_row(None, "", "", np.full(4, np.nan), said)], about=about)
    case = _case(model, contrast, replies, asked, prompt, neighbours)
    sites = _sites(model.shape, case, groups)
    shards = [sites[start : start + _CHUNK] for start in range(0, len(sites), _CHUNK)]
    parts = each("explanation", shards, lambda part: _measured(model, case, openers, part, batch))
    shares = np.concatenate([np.array(part["shares"]) for part in parts])
    tried = _tried(sites, shares, top)
    outcomes = dict(zip(tried, _generated(model, case, openers, tried, tokens), strict=True))
    rows = [
        _row(site, *_words(model, case, site), share, outcomes.get(site, ""))
        for site, share in zip(sites, shares, strict=True)
    ]
    about = {
        "prompt": prompt,
        "reply": said,
        "nearest refused prompt": case.texts[0],
        "refused prompts compared": str(len(case.refused)),
        "opening score": f"{parts[0]['score']:.3f} nat",
        "gap": f"{parts[0]['gaps'][0]:.3f} nat",
        "positions": "from the first difference" if case.aligned else "the template's closing ones",
        "acts on": "prompt tokens",
        "least and largest": _range_in_words(parts[0]["gaps"]),
        "finding": _finding(case, rows, parts[0]["gaps"]),
    }
    return from_rows(rows, units={"share": "share of the gap"}, about=about)


def explanation_cost(shape: Shape, examples: int, options: dict) -> Cost:
    """A pass per site and source of a prompt of typical length; replies with the largest."""
    sites = len(_KINDS) * shape.layers * _TYPICAL + len(unit_sites(shape, options["groups"]))
    reads = READS * -(-sites // _CHUNK)
    return Cost(
        prompts=(sites + reads) * (options["neighbours"] + 1), replies=1 + 3 * options["top"]
    )


def _case(
    model: Model, contrast: Contrast, judged: Table, asked: Encoded, prompt: str, count: int
) -> _Case:
    outcomes = dict(zip(judged["id"].tolist(), judged["observed"].tolist(), strict=True))
    others = [example for example in contrast.examples if example.prompt.strip() != prompt.strip()]
    rows = encode(model, others, contrast.system)
    texts = {row.id: example.prompt for row, example in zip(rows, others, strict=True)}
    refused, answered = (
        nearest(asked, [row for row in rows if outcomes.get(row.id) == outcome])
        for outcome in ("refuse", "comply")
    )
    if not refused:
        raise ContrastError(
            f"The model refused none of the prompts of {contrast.name}.{contrast.split}, so there "
            "is no refusal to compare with."
        )
    length = len(asked.ids)
    aligned = len(refused[0].ids) == length
    if aligned:  # whatever is compared must correspond position by position
        refused, answered = (
            [row for row in found if len(row.ids) == length] for found in (refused, answered)
        )
    chosen = tuple(refused[:count])
    unlike = min(_common(asked, row) for row in chosen)
    return _Case(
        asked,
        chosen,
        tuple(texts[row.id] for row in chosen),
        answered[0] if answered else None,
        length - unlike if aligned else asked.tail,
        aligned,
    )


def _common(first: Encoded, second: Encoded) -> int:
    """How many first tokens two prompts share."""
    both = enumerate(zip(first.ids, second.ids, strict=False))
    return next((place for place, (one, other) in both if one != other), len(first.ids))


def _sites(shape: Shape, case: _Case, groups: int) -> tuple[Site, ...]:
    found = [
        Site(kind, layer, position=str(-place))
        for place in range(case.first, 0, -1)
        for kind in _KINDS
        if kind in shape.kinds
        for layer in range(shape.layers)
    ]
    where = "all" if case.aligned else "post"
    return tuple(found + [site.at(where) for site in unit_sites(shape, groups)])


def _measured(
    model: Model, case: _Case, openers: Openers, sites: Sequence[Site], batch: int
) -> dict[str, object]:
    """Share, its ends and the control's share of every site; the gaps; the asked prompt's score."""
    rows, values, gaps, score = case.rows(), [], [], 0.0
    for start in range(0, len(rows), batch):
        sides = read_sides(model, rows[start : start + batch], openers, sites, "denoise")
        found = effects(sides, [((site,), ()) for site in sites])
        values.append(found.values.float().cpu().numpy())
        gaps += sides.gap.tolist()
        score = float(sides.score[0])
    changes = np.concatenate(values, axis=1)
    count = len(case.refused)
    shares = changes[:, :count] / np.array(gaps[:count])
    control = changes[:, count] / gaps[0] if case.control else np.full(len(sites), np.nan)
    compared = shares[:, _apart(gaps[:count])]
    columns = [shares[:, 0], compared.min(axis=1), compared.max(axis=1), control]
    return {"shares": np.stack(columns, axis=1).tolist(), "gaps": gaps[:count], "score": score}


def _apart(gaps: Sequence[float]) -> list[int]:
    """The refused prompts that the score sets apart from the asked one; at least the nearest."""
    return [place for place, gap in enumerate(gaps) if gap > 0] or [0]


def _tried(
    sites: Sequence[Site], shares: Float[np.ndarray, "site number"], top: int
) -> tuple[Site, ...]:
    """The sites to generate with: the largest of streams, of components, of units."""
    groups: dict[str, list[int]] = {"stream": [], "component": [], "unit": []}
    for row, site in enumerate(sites):
        component = "component" if site.index is None else "unit"
        groups["stream" if site.kind == "resid_post" else component].append(row)
    return tuple(
        sites[row]
        for rows in groups.values()
        for row in sorted(rows, key=lambda row: -shares[row, 0])[:top]
    )


def _generated(
    model: Model, case: _Case, openers: Openers, sites: Sequence[Site], tokens: int
) -> list[str]:
    sides: Sides = read_sides(model, case.rows()[:1], openers, sites, "denoise")
    found = each(
        "replies",
        sites,
        lambda site: _replies(model, case.asked, [put(site, sides.other.values[site])], tokens)[0],
    )
    return [str(outcome) for outcome in found]


def _replies(model: Model, row: Encoded, edits: list, tokens: int) -> list[str]:
    """Outcome of the reply; its text is not kept."""
    found = replies(model, [row], edits=edits, decoding=Decoding(tokens))
    return [reply.outcome for reply in found]


def _words(model: Model, case: _Case, site: Site) -> tuple[str, str]:
    """The tokens at a site's position in the asked prompt, and in the nearest refused one."""
    if site.index is not None or model.tokenizer is None:
        return "", ""
    place = int(site.position)
    one, other = (
        str(model.tokenizer.decode([row.ids[place]])) for row in (case.asked, case.refused[0])
    )
    return one, other


def _row(
    site: Site | None,
    token: str,
    other: str,
    share: Float[np.ndarray, " number"],
    reply: str,
) -> dict:
    value, least, largest, control = (float(each) for each in share)
    return {
        "site": "" if site is None else str(site),
        "kind": "" if site is None else site.kind,
        "layer": -1 if site is None else site.layer,
        "position": "" if site is None else site.position,
        "token": token,
        "other token": other,
        "share": value,
        "least": least,
        "largest": largest,
        "control": control,
        "reply": reply,
    }


def _finding(case: _Case, rows: Sequence[dict], gaps: Sequence[float]) -> str:
    """What the table says, in a few sentences."""
    gap = gaps[0]
    found = [f"Nearest refused prompt: {case.texts[0]!r}, {gap:.1f} nat of opening score above."]
    if gap <= 0:
        return f"{found[0]} The score does not tell the two apart, so no share means anything."
    found += [_stream(rows)]
    single = [row for row in rows if row["kind"] not in ("resid_post", "")]
    turned = sorted(
        (row for row in single if row["reply"] == "refuse"), key=lambda row: -row["share"]
    )
    if turned:
        named = ", ".join(f"{row['site']} ({_share_in_words(row)})" for row in turned)
        found.append(f"By itself each of these would have restored refusal: {named}.")
    else:
        best = max(single, key=lambda row: row["share"])
        found.append(
            "No single component restores refusal; most of the gap is carried by "
            f"{best['site']} ({_share_in_words(best)})."
        )
    return f"{' '.join(found)} {_range_in_words(gaps).capitalize()}."


def _share_in_words(row: dict) -> str:
    share = f"{row['share']:.2f} of the gap"
    if row["least"] < row["largest"]:
        share += f", range {row['least']:.2f} to {row['largest']:.2f}"
    # what an answered prompt holds there as well, such as a harmful verb, is not refusal's own
    return (
        f"{share}, and {row['control']:.2f} from an answered prompt"
        if row["control"] > _SAME * row["share"]
        else share
    )


def _range_in_words(gaps: Sequence[float]) -> str:
    """What the ends beside a share are, and that they are no interval."""
    compared = len(_apart(gaps))
    if compared == 1:
        return "one refused prompt is compared with, so no share has a range or an interval"
    return (
        f"a range is the least and largest share over the {compared} nearest refused prompts, not "
        "an interval: one prompt is explained"
    )


def _stream(rows: Sequence[dict]) -> str:
    """Where along layers the residual stream holds what would make a refusal."""
    held: dict[str, list[dict]] = {}
    for row in rows:
        if row["kind"] == "resid_post" and row["share"] >= _ENOUGH:
            held.setdefault(row["position"], []).append(row)
    if not held:
        return f"At no single position does the residual stream carry {_ENOUGH:.0%} of the gap."
    said = [
        f"{position} ({places[0]['token']!r}) after layers "
        f"{min(p['layer'] for p in places)} to {max(p['layer'] for p in places)}"
        for position, places in held.items()
    ]
    return f"The residual stream carries {_ENOUGH:.0%} of the gap at {'; '.join(said)}."
