"""A run as one page: verdicts first, then figures, replies and protocol. Reads nothing but the run.

The page loads nothing. Its content-security policy names its two scripts by their digests, so
that text from a model that became markup by mistake could still not run.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Protocol, runtime_checkable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from interlock.figures import all_figures, drawable
from interlock.figures.labels import decimal, visible
from interlock.report.sections import anchors_of, sections_of
from interlock.report.verdicts import View, card, number
from interlock.tables import Table

_QUESTION = (
    "Does the model refuse what it should, where does refusal happen, and is that place necessary?"
)


@runtime_checkable
class Readable(Protocol):
    """What a report reads: a finished run, as plain values and tables."""

    @property
    def name(self) -> str:
        """The run's name."""
        ...

    @property
    def plan(self) -> dict:
        """Settings, what was set by hand, the rules and the hash, as declared before the run."""
        ...

    @property
    def protocol(self) -> dict[str, str]:
        """Model, decoding, judge, versions and the like, in reading order."""
        ...

    @property
    def verdicts(self) -> list[dict]:
        """The fields of `interlock.verdict.Verdict` as JSON values."""
        ...

    @property
    def tables(self) -> Mapping[str, Table]:
        """The run's tables by name."""
        ...

    @property
    def notices(self) -> list[str]:
        """What was dropped, truncated or halved, with counts."""
        ...

    @property
    def steps(self) -> list[dict]:
        """Every step: id, what it does, seconds, and what is known about it."""
        ...


def render(run: Readable) -> str:
    """One self-contained HTML page."""
    # imported here: reading this module's names must not cost plotly's import
    from plotly.offline import get_plotlyjs

    plotly, script = get_plotlyjs(), _template("report.js")
    tables = _shown(run)
    figures = all_figures(tables)
    environment = Environment(
        loader=PackageLoader("interlock"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["visible"] = lambda value: visible(str(value), keep="\n\t")
    environment.filters["slug"] = lambda text: text.replace(" ", "-")
    environment.filters["joined"] = lambda text: text.replace("n = ", "n\u00a0=\u00a0")
    study = run.plan.get("study", {})
    anchors = anchors_of(figures, tables)
    cards = [card(verdict, anchors) for verdict in run.verdicts]
    return environment.get_template("report.html").render(
        policy=_policy(plotly, script),
        plotly=_ours(plotly),
        script=_ours(script),
        css=_ours(_template("report.css")),
        name=run.name,
        model=run.protocol.get("model", run.name),
        question=study.get("question", _QUESTION),
        cards=cards,
        notices=run.notices,
        sections=sections_of(figures, tables),
        protocol=list(run.protocol.items()),
        plan_hash=run.plan.get("hash", ""),
        said_by_hand="set by hand" in run.protocol,
        given=", ".join(run.plan.get("given", ())),
        rules=run.plan.get("rules", ()),
        steps=[_step(step, anchors) for step in run.steps],
        study=json.dumps(study, indent=2, ensure_ascii=False, default=str),
    )


def _template(name: str) -> str:
    return (resources.files("interlock") / "templates" / name).read_text(encoding="utf-8")


def _ours(text: str) -> Markup:
    """Text that Jinja need not escape: shipped with a package, or free of markup."""
    return Markup(text)  # noqa: S704


def _policy(*scripts: str) -> str:
    digests = (base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in scripts)
    sources = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _shown(run: Readable) -> dict[str, Table]:
    """The tables that are read here: summaries, replies, and what steps wrote with intervals.

    Maps of the weights, which are counted and have none, are drawn too. Steps' rows of single
    prompts lie beside the page.
    """
    raw = {str(step["id"]) for step in run.steps} - {"behaviour.replies"}
    shown = {name: table for name, table in run.tables.items() if name not in raw}
    summed = [table.columns for table in shown.values()]
    return shown | {
        name: table
        for name, table in run.tables.items()
        if name in raw and _told(table) and table.columns not in summed
    }


def _told(table: Table) -> bool:
    return drawable(table) or any(column.endswith("low") for column in table.columns)


def _step(step: Mapping[str, Any], anchors: Mapping[str, str]) -> View:
    seconds = number(step.get("seconds"))
    minutes = f"{int(seconds // 60)} min {seconds % 60:.0f} s" if seconds >= 60 else ""
    about = step.get("about") or {}
    return {
        "id": step["id"],
        "do": step.get("do", ""),
        "time": minutes or f"{decimal(seconds, 1)} s",
        "about": [(key, str(value)) for key, value in about.items()],
        "href": anchors.get(str(step["id"])) or anchors.get(f"{step['id']}.summary", ""),
    }
