"""Whether early, middle and late layers do what the account says: three rules on one table."""

from collections.abc import Mapping

from interlock.studies.evidence import Findings, Value, in_row, unseparated
from interlock.tables import Table, from_rows
from interlock.verdict import RULES, Evidence
from interlock.verification import bands

_TABLE = "where.bands"


def conclude(parts: Mapping[str, Value], account: bands.Account) -> Findings:
    """Shares by band, place and source; part `denoise` decides, `noise` adds to the report."""
    denoise = parts["denoise"]
    assert isinstance(denoise, Table)
    tables = [each for each in parts.values() if isinstance(each, Table)]
    found: dict[bands.Account, Evidence] = {
        each: bands.evidence(denoise, each, _TABLE) for each in bands.ACCOUNT
    }
    shown = {
        _TABLE: from_rows(
            [row for table in tables for row in bands.summary(table).rows()],
            units={"share": "share of the gap"},
            about={**bands.summary(denoise).about, "direction": "denoise, noise"},
        ),
        f"{_TABLE}.quantities": _quantities(found, denoise),
    }
    why = unseparated(denoise.where(band="early", position="last", source="harmful"))
    if why:
        asked = RULES[account].conditions[0].meaning
        return Findings(shown, Evidence({}, found[account].control, _TABLE, {asked: why}))
    return Findings(shown, found[account])


def _quantities(found: Mapping[bands.Account, Evidence], denoise: Table) -> Table:
    """Everything that the three rules look at."""
    meanings = {
        (account, condition.quantity): condition.meaning
        for account in found
        for condition in (*RULES[account].conditions, *RULES[account].guards)
    }
    rows = [
        {"claim": RULES[account].claim, "quantity": meanings[account, name]} | in_row(each)
        for account, evidence in found.items()
        for name, each in evidence.estimates.items()
    ]
    return from_rows(rows, about=denoise.about)
