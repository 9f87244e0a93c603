"""Text that others wrote, made safe to show: model output, prompts, categories and site names."""

import math
import unicodedata

_SHORT = 34
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}


def visible(text: str, keep: str = "") -> str:
    """The text with every character that does not print (control, bidi, surrogate) spelled out."""
    return "".join(
        each
        if each.isprintable() or each in keep or unicodedata.category(each) == "Zs"
        else each.encode("unicode_escape").decode()
        for each in text
    )


def shortened(text: str, limit: int = _SHORT) -> str:
    """The text on one line, cut in its middle when it is longer than an axis has room for."""
    clean = visible(text)
    if len(clean) <= limit:
        return clean
    tail = limit // 3
    return f"{clean[: limit - tail - 1]}…{clean[-tail:]}"


def inert(text: str) -> str:
    """The text for plotly, which would read `<b>`, `<a href>`, entities and `$...$` as markup."""
    return "".join(_ENTITIES.get(each, each) for each in visible(text))


def decimal(value: float, places: int = 2) -> str:
    """A number with fixed decimals and a true minus sign; a dash when there is none."""
    if math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    text = f"{value:.{places}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.removeprefix("-")


def interval(value: float, low: float, high: float) -> str:
    """Value and 95 % interval, as hover texts print them."""
    return f"{decimal(value)} [{decimal(low)}, {decimal(high)}]"
