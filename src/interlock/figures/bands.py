"""Figure of what early, middle and late layers write, by place and by whose values are put in."""

from interlock.figures.counts import BOOTSTRAP, counted, named, told
from interlock.figures.forms import Axis, Facet, Figure, Heat, Mark
from interlock.tables import Cell, Table

_BANDS = ("early", "middle", "late")
_PLACES = {
    "slot": "the word",
    "rest": "rest of text",
    "post": "template end",
    "last": "last token",
    "all but last": "all but last",
    "all": "all",
}
_SOURCES = {
    "harmful": "harmful prompt into harmless",
    "same word": "harmless prompt with the same word",
    "other word": "harmless prompt with another word",
    "harmless": "harmless prompt into harmful",
}


def bands(table: Table, name: str) -> Figure:
    """Shares of the gap by band and place, one panel to a source of the values."""
    marks = {
        (str(row["source"]), str(row["band"]), str(row["position"])): _mark(row)
        for row in table.rows()
    }
    layers = {str(row["band"]): str(row["layers"]) for row in table.rows()}
    places = [place for place in _PLACES if place in set(table["position"].tolist())]
    facets = tuple(
        Facet(
            _titled(table, source, words),
            tuple(tuple(marks.get((source, band, place)) for place in places) for band in _BANDS),
        )
        for source, words in _SOURCES.items()
        if len(table.where(source=source))
    )
    shown = [
        mark.value
        for facet in facets
        for cells in facet.cells
        for mark in cells
        if mark is not None
    ]
    bound = max([1.0, *map(abs, shown)])
    return Figure(
        named(name),
        "What early, middle and late layers write",
        "Do early layers recognise the word, middle layers its context, and late layers decide?",
        "A row is a band of layers (counted from 0), a column a place; everything that the band "
        "writes there is exchanged, and what comes after is computed anew. A cell is the share of "
        "the gap that comes with it, or that goes when harmless values are put into the harmful "
        "prompt. The word is the slot in which a pair differs; all is from there on. What is "
        "recognised as a word comes from a harmless prompt with that word too; what is put into "
        "context does not. Bands pass on what they are given: the rules ask in which band it "
        f"enters. Numbers in brackets, or a cross: the interval includes 0.{_lost(table)}",
        counted(table, "pairs of prompts"),
        told(table, "interval", BOOTSTRAP),
        "a harmless prompt with another word in the same place, which ought to carry nothing.",
        Heat(
            tuple(f"{band} ({_span(layers.get(band, ''))})" for band in _BANDS),
            tuple(_PLACES[place] for place in places), facets, Axis("place"),
            Axis("band of layers"), Axis("share of the gap", -bound, bound),
            across=min(2, len(facets)),
        ),
        name,
    )  # fmt: skip


def _titled(table: Table, source: str, words: str) -> str:
    pairs = max(int(each) for each in table.where(source=source)["n"].tolist())
    return f"{words} ({pairs} {'pair' if pairs == 1 else 'pairs'})"


def _span(layers: str) -> str:
    """The first and the last layer of a band."""
    first, _, past = layers.partition(":")
    if not past or int(past) == int(first) + 1:
        return first
    return f"{first} to {int(past) - 1}"


def _lost(table: Table) -> str:
    """How many pairs have no donor of the same word."""
    lost = told(table, "pairs without a donor of the same word", "0")
    return f" {lost} pairs have no harmless prompt with the same word." if lost != "0" else ""


def _mark(row: dict[str, Cell]) -> Mark:
    note = f"layers {row['layers']}; n = {row['n']} pairs in {row['topics']} topics"
    return Mark(float(row["share"]), float(row["low"]), float(row["high"]), note)
