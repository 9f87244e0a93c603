"""Where something happens in a model: sites, their written form, and edges between them.

Grammar of the written form (it round-trips through `parse` and `str`)::

    site      = kind "." layer [ "." index ] [ "@" position ]
    index     = unit | first ":" past            heads, kv heads or neurons of that layer
    position  = "all" | "last" | "post" | "slot" | "rest" | offset
    edge      = site "->" site

`@all` (the default, not written) is every prompt token, `@last` the last prompt token, `@post` the
tokens after the user's text (the chat template's tail), `@slot` the word in which the two prompts
of a pair differ, `@rest` the user's text after that word; an offset counts prompt tokens from 0, a
negative one from the end.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from interlock.errors import SiteError

Kind = Literal[
    "resid_pre", "resid_mid", "resid_post", "attn", "mlp", "head", "query", "key", "value", "neuron"
]
KINDS: tuple[str, ...] = get_args(Kind)
INDEXED: tuple[str, ...] = ("head", "query", "key", "value", "neuron")
NAMED_POSITIONS: tuple[str, ...] = ("all", "last", "post", "slot", "rest")

# of a layer, in the order in which they are computed
_STAGES = (
    ("resid_pre",),
    ("query", "key", "value"),
    ("head",),
    ("attn",),
    ("resid_mid",),
    ("neuron",),
    ("mlp",),
    ("resid_post",),
)

_SITE = re.compile(r"(\w+)\.(\d+)(?:\.(\d+)(?::(\d+))?)?(?:@(-?\w+))?")


@dataclass(frozen=True)
class Site:
    """A place in the network: a kind, a layer, for heads and neurons an index, and a position.

    Attributes:
        kind: one of `KINDS`, named as in TransformerLens; `head` is a head's mixed values (`z`),
            before the output projection; `key` and `value` are counted in key-value heads.
        layer: counted from 0.
        index: half-open range of heads, key-value heads or neurons; None is all of them.
        position: `all`, `last`, `post`, `slot`, `rest`, or an offset as text.
    """

    kind: str
    layer: int
    index: tuple[int, int] | None = None
    position: str = "all"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SiteError(f"No site kind '{self.kind}'. Known: {', '.join(KINDS)}.")
        if self.layer < 0:
            raise SiteError(f"Layer {self.layer} of {self.kind} is negative; layers start at 0.")
        if self.index is not None:
            _check_index(self.kind, self.index)
        if self.position not in NAMED_POSITIONS and not _is_offset(self.position):
            names = ", ".join("@" + name for name in NAMED_POSITIONS)
            raise SiteError(f"No position '@{self.position}'. Use {names} or an offset (@-2).")

    def __str__(self) -> str:
        """The written form; `parse` reads it back."""
        text = f"{self.kind}.{self.layer}"
        if self.index is not None:
            first, past = self.index
            text += f".{first}" if past == first + 1 else f".{first}:{past}"
        return text if self.position == "all" else f"{text}@{self.position}"

    def at(self, position: str) -> "Site":
        """The same place at another position."""
        return replace(self, position=position)


@dataclass(frozen=True)
class Edge:
    """The path from one site's output to another site's input."""

    source: Site
    target: Site

    def __str__(self) -> str:
        """The written form, `source->target`."""
        return f"{self.source}->{self.target}"


def acts_before(first: Site, second: Site) -> bool:
    """Whether the first can act on the second: it comes earlier in the forward pass.

    Two sites of one place, such as two heads of a layer, cannot act on each other.
    """
    return _depth(first) < _depth(second)


def unit(kind: str, layer: int, index: int, position: str = "all") -> Site:
    """The site of one head, key-value head or neuron."""
    return Site(kind, layer, (index, index + 1), position)


def parse(text: str) -> Site:
    """The site that `text` writes, such as `head.2.5@last` or `neuron.3.0:16`.

    Raises:
        SiteError: the text does not follow the grammar of this module.
    """
    match = _SITE.fullmatch(text.strip())
    if match is None:
        raise SiteError(
            f"'{text}' is not a site. Write kind.layer[.index][@position], "
            "for example resid_post.3@last, head.2.5 or neuron.3.0:16."
        )
    kind, layer, first, past, position = match.groups()
    index = None
    if first is not None:
        index = (int(first), int(first) + 1 if past is None else int(past))
    return Site(kind, int(layer), index, position or "all")


def parse_edge(text: str) -> Edge:
    """The edge that `text` writes, such as `head.0.1->head.2.3`.

    Raises:
        SiteError: the text is not two sites joined by `->`.
    """
    ends = text.split("->")
    if len(ends) != 2:
        raise SiteError(f"'{text}' is not an edge. Write source->target.")
    return Edge(parse(ends[0]), parse(ends[1]))


def _depth(site: Site) -> tuple[int, int]:
    return site.layer, next(place for place, kinds in enumerate(_STAGES) if site.kind in kinds)


def _check_index(kind: str, index: tuple[int, int]) -> None:
    if kind not in INDEXED:
        raise SiteError(f"{kind} has no units to index; {', '.join(INDEXED)} have.")
    first, past = index
    if first < 0 or past <= first:
        raise SiteError(f"Index {first}:{past} of {kind} is empty.")


def _is_offset(position: str) -> bool:
    return re.fullmatch(r"-?\d+", position) is not None
