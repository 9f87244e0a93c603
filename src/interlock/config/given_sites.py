"""Sites that the user names, put into a study in place of those that its steps would find."""

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.errors import SiteError
from interlock.sites import parse

_SIZES = (5, 10, 15, 20)


def read_sites(text: str) -> tuple[str, ...]:
    """The sites in a text, in its order, separated by commas or spaces.

    Raises:
        SiteError: there is none, one is named twice, or one is not written as a site.
    """
    named = tuple(str(parse(part)) for part in text.replace(",", " ").split())
    if not named:
        raise SiteError("No site named: write them as head.2.3,neuron.3.0:16.")
    again = next((site for site in named if named.count(site) > 1), None)
    if again:
        raise SiteError(f"{again} is named twice.")
    return named


def with_sites(settings: Mapping[str, Any], sites: Sequence[str]) -> dict[str, Any]:
    """A study whose ablations take these sites: each alone, and the first ones together.

    Steps that only looked for sites go; the claim that ablation is necessary is judged with all of
    the sites.
    """
    count = len(sites)
    sizes = list(range(1, count + 1)) if count <= _SIZES[0] else [*_under(count), count]
    own = {"sites": list(sites), "sizes": sizes, "singles": count}
    steps = [
        step | own if step["do"] == "ablation" else step
        for step in settings["steps"]
        if step["do"] != "patching"
    ]
    claims = [
        claim | {"size": count} if claim["rule"] == "necessary" else claim
        for claim in settings["claims"]
    ]
    budgets = {
        name: {
            place: value
            for place, value in (changed or {}).items()
            if not place.endswith((".sizes", ".singles"))
        }
        for name, changed in settings["budgets"].items()
    }
    return {**settings, "steps": steps, "claims": claims, "budgets": budgets}


def _under(count: int) -> list[int]:
    return [size for size in _SIZES if size < count]
