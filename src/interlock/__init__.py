"""Interlock finds, tests and tracks the safety mechanisms inside open-weight language models.

Names are loaded when they are first used, so that `import interlock` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.activations import record as record
    from interlock.contrast import Contrast as Contrast
    from interlock.contrast import Example as Example
    from interlock.edits import edited as edited
    from interlock.encoding import collate as collate
    from interlock.encoding import encode as encode
    from interlock.errors import InterlockError as InterlockError
    from interlock.generation import generate as generate
    from interlock.opening import open_model as open_model
    from interlock.scores import Scores as Scores
    from interlock.sites import Site as Site
    from interlock.sites import parse as parse
    from interlock.verdict import Verdict as Verdict

_HOMES = {
    "Contrast": "contrast",
    "Example": "contrast",
    "InterlockError": "errors",
    "Scores": "scores",
    "Site": "sites",
    "Verdict": "verdict",
    "collate": "encoding",
    "edited": "edits",
    "encode": "encoding",
    "generate": "generation",
    "open_model": "opening",
    "parse": "sites",
    "record": "activations",
}
__all__ = [  # noqa: PLE0604 - one list of names, in `_HOMES`
    "__version__",
    *_HOMES,
]


def __getattr__(name: str) -> object:
    """The public name, from the module that defines it."""
    if name == "__version__":
        from importlib.metadata import version

        return version("interlock")
    if name not in _HOMES:
        raise AttributeError(f"module 'interlock' has no attribute '{name}'")
    return getattr(import_module(f"interlock.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
