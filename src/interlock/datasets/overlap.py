"""The same prompt twice: exactly, or nearly; within a set and between two.

1. Text is compared in a plain form: Unicode's compatibility form, case folded, quotes straightened,
   white space collapsed, closing punctuation taken off. Equal plain forms are **exact**.
2. The shingles of a prompt are its pairs of neighbouring words. Two prompts are **near** when they
   share at least four fifths of the shingles that either has (Jaccard).
3. Near pairs are found without comparing all: order shingles by rarity; two sets of at least that
   similarity must share one of the first `size - ceil(.8 size) + 1` shingles of each. Every pair
   found is then compared in full, so the result is that of brute force.

Source: prefix filter, Bayardo, Ma, Srikant 2007, Scaling up all pairs similarity search, section 3.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np

_SHARE = (4, 5)  # near from this Jaccard on, as a fraction so that no rounding decides
_BLOCK = 2_000_000  # candidate pairs looked at together
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
_END = "\x00"  # of a text, when many are searched for words together
_WORD = re.compile(rf"[^\W\u3040-\u30ff\u3400-\u9fff]+|[\u3040-\u30ff\u3400-\u9fff]|{_END}")
_TEXTS = 8192  # searched together
_EXAMPLES = 5


@dataclass(frozen=True)
class Overlap:
    """How much of one set is in another, or twice in itself.

    Attributes:
        exact: prompts of the first set whose plain form the second has.
        near: further prompts of the first set that are nearly one of the second.
        prompts: of the first set.
        examples: some pairs, the exact ones first.
    """

    exact: int
    near: int
    prompts: int
    examples: tuple[tuple[str, str], ...]


@lru_cache(maxsize=2**18)
def plain(text: str) -> str:
    """The form in which prompts are compared."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    return " ".join(text.casefold().split()).rstrip(" .?!\u2026")


def between(first: Sequence[str], second: Sequence[str]) -> Overlap:
    """How many prompts of the first set are in the second, exactly or nearly."""
    ours, theirs = [plain(text) for text in first], [plain(text) for text in second]
    where = {text: place for place, text in reversed(list(enumerate(theirs)))}
    exact = [(place, where[text]) for place, text in enumerate(ours) if text in where]
    same = {place for place, _ in exact}
    rest = [place for place in range(len(ours)) if place not in same]
    near: dict[int, int] = {}
    for left, right in near_pairs([ours[place] for place in rest], theirs):
        near.setdefault(rest[left], right)
    found = [*exact, *sorted(near.items())][:_EXAMPLES]
    examples = tuple((first[left], second[right]) for left, right in found)
    return Overlap(len(exact), len(near), len(first), examples)


def within_set(texts: Sequence[str]) -> Overlap:
    """How many prompts of a set repeat an earlier one, exactly or nearly."""
    forms = [plain(text) for text in texts]
    first: dict[str, int] = {}
    exact: list[tuple[int, int]] = []
    for place, text in enumerate(forms):
        if first.setdefault(text, place) != place:
            exact.append((place, first[text]))
    kept = list(first.values())
    near: dict[int, int] = {}
    for left, right in near_pairs([forms[place] for place in kept]):
        near.setdefault(kept[right], kept[left])
    found = [*exact, *sorted(near.items())][:_EXAMPLES]
    examples = tuple((texts[later], texts[earlier]) for later, earlier in found)
    return Overlap(len(exact), len(near), len(texts), examples)


def near_pairs(first: Sequence[str], second: Sequence[str] | None = None) -> list[tuple[int, int]]:
    """Places of every near pair, in order: between two lists, or `a < b` within one."""
    texts = [*first, *(second or ())]
    tokens, starts = _shingles(texts)
    if not len(tokens):
        return []
    split = len(first) if second is not None else len(texts)
    found: list[tuple[int, int]] = []
    for left, right in _candidates(tokens, starts, split, within=second is None):
        near = _near(tokens, starts, left, right)
        offset = 0 if second is None else split
        found += zip(left[near].tolist(), (right[near] - offset).tolist(), strict=True)
    return sorted(set(found))


def _shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Each text's distinct shingles, rarest first, as one array and where each text's start.

    Shingles are numbered by rarity over all texts, so that sorted numbers are in that order.
    """
    ids = _words(texts)
    owner, ends = np.cumsum(ids == 0), ids[1:] == 0
    words = ids[:-1] != 0
    alone = words & ends & np.concatenate([[True], ~words[:-1]])
    inside = (words & ~ends) | alone  # a word alone, with the end of its text, is its own shingle
    pairs, owner = (ids[:-1] * (int(ids.max(initial=0)) + 1) + ids[1:])[inside], owner[:-1][inside]
    if not len(pairs):
        return np.zeros(0, dtype=np.int64), np.zeros(len(texts) + 1, dtype=np.int64)
    order = np.argsort(pairs, kind="stable")  # like shingles together, each by its texts in order
    pairs, owner = pairs[order], owner[order]
    unlike = np.diff(pairs, prepend=-1) != 0
    once = unlike | (np.diff(owner, prepend=-1) != 0)
    ids, owner = (np.cumsum(unlike) - 1)[once], owner[once]
    often = np.minimum(np.bincount(ids), 2**16 - 1).astype(np.uint16)  # sorted by radix
    rarity = np.empty(len(often), dtype=np.int64)
    rarity[np.argsort(often, kind="stable")] = np.arange(len(often))
    ids = np.sort(owner * len(often) + rarity[ids]) % len(often)
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(np.bincount(owner, minlength=len(texts)), out=starts[1:])
    return ids, starts


def _words(texts: Sequence[str]) -> np.ndarray:
    """The words of all texts as numbers from 1 on, in order, and a 0 at the end of each text."""
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    assert numbers[_END] == 0
    blocks = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(texts), _TEXTS):
        # what ends a text is no word, so a text that holds one has a blank for it
        joined = _END.join(each.replace(_END, " ") for each in texts[start : start + _TEXTS])
        found = _WORD.findall(joined + _END)
        blocks.append(np.fromiter(map(numbers.__getitem__, found), np.int64, len(found)))
    return np.concatenate(blocks)


def _distinct(numbers: np.ndarray) -> np.ndarray:
    """The numbers sorted, each once; several times as fast as `numpy.unique` on this many."""
    found = np.sort(numbers)
    return found[np.diff(found, prepend=-1) != 0]


def _candidates(
    tokens: np.ndarray, starts: np.ndarray, split: int, *, within: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of pairs that share a shingle of their prefixes and are of like size."""
    sizes = np.diff(starts)
    prefix = sizes - -(-sizes * _SHARE[0] // _SHARE[1]) + 1
    owner = np.repeat(np.arange(len(sizes)), sizes)
    kept = (np.arange(len(tokens)) - starts[owner]) < prefix[owner]
    tokens, owner = tokens[kept], owner[kept]
    ours = owner < split
    theirs = ours if within else ~ours
    order = np.argsort(tokens[theirs], kind="stable")
    right_tokens, right_owner = tokens[theirs][order], owner[theirs][order]
    left_tokens, left_owner = tokens[ours], owner[ours]
    low = np.searchsorted(right_tokens, left_tokens, "left")
    counts = np.searchsorted(right_tokens, left_tokens, "right") - low
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        base = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, base + _BLOCK, "right")))
        many = counts[begin:end]
        left = np.repeat(left_owner[begin:end], many)
        offset = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        right = right_owner[np.repeat(low[begin:end], many) + offset]
        small, large = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        fits = small * _SHARE[1] >= large * _SHARE[0]
        if within:
            fits &= left < right
        pairs = _distinct(left[fits] * len(sizes) + right[fits])
        yield pairs // len(sizes), pairs % len(sizes)
        begin = end


def _near(
    tokens: np.ndarray, starts: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Which pairs share enough: shingles in common over shingles in either."""
    sizes = np.diff(starts)
    keys = np.concatenate([_spread(tokens, starts, each) for each in (left, right)])
    keys.sort()
    twice = keys[:-1][keys[:-1] == keys[1:]]
    common = np.bincount(twice // max(int(tokens.max()) + 1, 1), minlength=len(left))
    either = sizes[left] + sizes[right] - common
    return common * _SHARE[1] >= either * _SHARE[0]


def _spread(tokens: np.ndarray, starts: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Every shingle of every listed text, as (place in the list, shingle) in one number."""
    sizes = np.diff(starts)[texts]
    row = np.repeat(np.arange(len(texts)), sizes)
    offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return row * (int(tokens.max()) + 1) + tokens[np.repeat(starts[texts], sizes) + offset]
