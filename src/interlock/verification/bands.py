"""Do early, middle and late layers do what the account says? From a table of `methods.bands`.

The account: early layers recognise the harmful word, middle layers put it into context, late layers
decide at the last token. A band passes on what it is given, so in a chain each band's effect may be
the whole gap, and "the largest effect" would be a matter of noise. What belongs to one band is what
*enters* there: with everything up to the end of the early, of the middle and of the late band
exchanged, the rise from one end to the next. The three rises sum to the effect of all layers. So
every rule asks that the band's own writes carry a fifth of the gap and that more enters in it than
in each other band: two paired differences, both to be met, so that no largest of several is ever
taken.

- `early_word`, at the slot. The harmful prompt's values there may hold the word or its context
  already; so the word is what a harmless prompt with the same word gives (`donors`), and it must
  carry more than the harmful context adds to it.
- `middle_context`, at all places. Context is what the harmful prompt gives beyond the harmless
  prompt with the same word. Later layers inherit it, whoever made it: their own effect cannot be
  held against the middle, what enters in them can.
- `late_decision`, at the last token. What the middle has written there already and the late band
  only reads again does not enter in the late band. It must also write more there than at all other
  tokens.

The guard `other` is what another harmless word gives in the same place, which ought to be nothing.
The decision has no such guard: no donor is needed for it, and it is judged also where there is
none. Intervals resample topics.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from interlock.stats import CONFIDENCE, Estimate, by_group, ratio
from interlock.tables import Table, from_rows
from interlock.verdict import RULES, Evidence

Account = Literal["early_word", "middle_context", "late_decision"]
ACCOUNT: tuple[Account, ...] = ("early_word", "middle_context", "late_decision")

_EARLY, _MIDDLE, _LATE = "early", "middle", "late"
_TO_MIDDLE, _TO_LATE = "early to middle", "early to late"
_HARMFUL, _SAME, _OTHER = "harmful", "same word", "other word"
_UNIT = "share of the gap"
_KEYS = ("band", "layers", "position", "source")
_PLACE: Mapping[Account, str] = {
    "early_word": "slot",
    "middle_context": "all",
    "late_decision": "last",
}

# a weighted sum of effects, by band, place and source
_Terms = Mapping[tuple[str, str, str], float]


def summary(table: Table) -> Table:
    """The share of the gap, with its interval, of every band, place and source."""
    rows = []
    effect, gap, topic = (table[name] for name in ("effect", "gap", "topic"))
    columns = zip(*(table[name].tolist() for name in _KEYS), strict=True)
    for key, members in by_group(["\0".join(map(str, each)) for each in columns]).items():
        found = ratio(effect[members], gap[members], topic[members].tolist(), unit=_UNIT)
        rows.append(
            dict(zip(_KEYS, key.split("\0"), strict=True))
            | {"direction": table.about.get("direction", "")}
            | {"share": found.value, "low": found.low, "high": found.high}
            | {"n": found.n, "topics": found.clusters}
        )
    about = {**table.about, "interval": f"{CONFIDENCE:.0%}, bootstrap over topics"}
    return from_rows(rows, units={"share": _UNIT}, about=about)


def evidence(table: Table, account: Account, name: str) -> Evidence:
    """What one rule of `verdict.RULES` looks at.

    Args:
        table: of `methods.bands`, denoised.
        account: which part of the account.
        name: of the table that a verdict points to.
    """
    effects = _Effects(table)
    wanted = _terms(account)
    estimates, missing = {}, {}
    for condition in (*RULES[account].conditions, *RULES[account].guards):
        if condition.quantity not in wanted:
            continue
        found = effects.share(wanted[condition.quantity])
        if found is None:
            missing[condition.meaning] = _why(table, wanted[condition.quantity])
        else:
            estimates[condition.quantity] = found
    place = table.where(band=_EARLY, position=_PLACE[account])
    estimates["topics"] = _topics(place.where(source=_HARMFUL))
    if account != "late_decision":
        estimates["donors"] = _topics(place.where(source=_SAME))
    return Evidence(estimates, _control(account), name, missing)


class _Effects:
    """Effects by band, place, source and pair."""

    def __init__(self, table: Table) -> None:
        self._found: dict[tuple[str, str, str], dict[str, float]] = {}
        self._gap: dict[str, float] = {}
        self._topic: dict[str, str] = {}
        for row in table.rows():
            key, pair = (str(row["band"]), str(row["position"]), str(row["source"])), row["example"]
            self._found.setdefault(key, {})[str(pair)] = float(row["effect"])
            self._gap[str(pair)] = float(row["gap"])
            self._topic[str(pair)] = str(row["topic"])

    def share(self, terms: _Terms) -> Estimate | None:
        """The weighted sum over the gap, on the pairs that have every term; None if none has."""
        found = [self._found.get(key, {}) for key in terms]
        pairs = [pair for pair in found[0] if all(pair in each for each in found)]
        if not pairs:
            return None
        weights = list(terms.values())
        sums = [
            sum(w * each[pair] for w, each in zip(weights, found, strict=True)) for pair in pairs
        ]
        gap = np.array([self._gap[pair] for pair in pairs])
        return ratio(np.array(sums), gap, [self._topic[pair] for pair in pairs], unit=_UNIT)


def _terms(account: Account) -> Mapping[str, _Terms]:
    """Every quantity of a rule as a weighted sum of effects."""
    place = _PLACE[account]
    if account == "early_word":
        word = _rises(place, {_SAME: 1.0})
        return {
            "carried": {(_EARLY, place, _HARMFUL): 1.0},
            "word": {(_EARLY, place, _SAME): 1.0},
            # the word, less what its context adds to it
            "beyond_context": {(_EARLY, place, _SAME): 2.0, (_EARLY, place, _HARMFUL): -1.0},
            "over_middle": _less(word[_EARLY], word[_MIDDLE]),
            "over_late": _less(word[_EARLY], word[_LATE]),
            "other": {(_EARLY, place, _OTHER): 1.0},
        }
    if account == "middle_context":
        context = _rises(place, {_HARMFUL: 1.0, _SAME: -1.0})
        return {
            "carried": {(_MIDDLE, place, _HARMFUL): 1.0, (_MIDDLE, place, _SAME): -1.0},
            "over_early": _less(context[_MIDDLE], context[_EARLY]),
            "over_late": _less(context[_MIDDLE], context[_LATE]),
            "other": {(_TO_MIDDLE, place, _OTHER): 1.0},
        }
    decision = _rises(place, {_HARMFUL: 1.0})
    own = {(_LATE, place, _HARMFUL): 1.0}
    return {
        "carried": own,
        "over_elsewhere": _less(own, {(_LATE, "all but last", _HARMFUL): 1.0}),
        "over_early": _less(decision[_LATE], decision[_EARLY]),
        "over_middle": _less(decision[_LATE], decision[_MIDDLE]),
    }


def _rises(place: str, sources: Mapping[str, float]) -> Mapping[str, _Terms]:
    """What enters in each band: the rise from the end of the one before it to its own."""
    early, middle, late = (
        {(band, place, source): weight for source, weight in sources.items()}
        for band in (_EARLY, _TO_MIDDLE, _TO_LATE)
    )
    return {_EARLY: early, _MIDDLE: _less(middle, early), _LATE: _less(late, middle)}


def _less(first: _Terms, second: _Terms) -> _Terms:
    """The difference of two weighted sums."""
    keys = dict.fromkeys((*first, *second))
    return {key: first.get(key, 0.0) - second.get(key, 0.0) for key in keys}


def _why(table: Table, terms: _Terms) -> str:
    """Which place or donor no pair has."""
    for _, place, source in terms:
        if not len(table.where(position=place, source=_HARMFUL)):
            return "no pair has two equally long prompts that differ in a word."
        if not len(table.where(position=place, source=source)):
            pairs = len(set(table["example"].tolist()))
            return (
                f"no harmless prompt has the {source} there, as long, and ends alike "
                f"({pairs} {'pair' if pairs == 1 else 'pairs'})."
            )
    return "no pair has everything that it is made of."


def _topics(rows: Table) -> Estimate:
    count = len(set(rows["topic"].tolist())) if len(rows) else 0
    return Estimate(count, count, count, len(rows), count, "counted", "topics")


def _control(account: Account) -> str:
    if account == "late_decision":
        return "the same layers at all other tokens, and the other layers at the last one"
    return "harmless prompts with the same word and with another, and the other layers"
