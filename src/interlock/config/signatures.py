"""Reading a method's nouns and options from its source, without importing it (or torch)."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from interlock import methods
from interlock.methods import METHODS

_PLAIN: Mapping[str, Any] = {"bool": bool, "int": int, "float": float, "str": str}


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of a method.

    Attributes:
        type: bool, int, float, str, a Literal or a tuple of these.
        default: its value when nothing is given.
        meaning: its line in the docstring.
    """

    type: Any
    default: Any
    meaning: str


@dataclass(frozen=True)
class Signature:
    """What a method takes and returns.

    Attributes:
        nouns: positional parameters after the model, name to noun (`Contrast`, `Table`, `Sites`).
        options: keyword-only parameters; they alone are the method's configuration.
        returns: the value's type by name.
        meaning: the first line of the docstring.
    """

    nouns: Mapping[str, str]
    options: Mapping[str, Option]
    returns: str
    meaning: str


@cache
def signature_of(name: str) -> Signature:
    """The signature of a registered method, read from its source."""
    module, function = METHODS[name].function.split(":")
    path = Path(methods.__path__[0]) / f"{module}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    node = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)
    aliases = _aliases(tree)
    docstring = ast.get_docstring(node) or ""
    options = {
        parameter.arg: Option(
            _type(parameter.annotation, aliases),
            ast.literal_eval(default) if default is not None else None,
            _meaning(docstring, parameter.arg),
        )
        for parameter, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    }
    nouns = {each.arg: _noun(each.annotation) for each in node.args.args[1:]}
    assert node.returns is not None
    return Signature(nouns, options, ast.unparse(node.returns), docstring.split("\n")[0])


def _aliases(tree: ast.Module) -> Mapping[str, ast.expr]:
    """Module-level names for Literals, such as `Direction`."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found


def _type(node: ast.expr | None, aliases: Mapping[str, ast.expr]) -> Any:  # noqa: ANN401
    if isinstance(node, ast.Name):
        return _PLAIN[node.id] if node.id in _PLAIN else _type(aliases[node.id], aliases)
    assert isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
    if node.value.id == "Literal":
        values = ast.literal_eval(node.slice)
        return Literal[values]
    assert node.value.id == "tuple" and isinstance(node.slice, ast.Tuple)
    return tuple[_type(node.slice.elts[0], aliases), ...]


def _noun(node: ast.expr | None) -> str:
    assert node is not None
    text = ast.unparse(node)
    return "Sites" if text.startswith("tuple[Site") else text


def _meaning(docstring: str, name: str) -> str:
    match = re.search(rf"^\s*{name}: (.+?)(?=^\s*\w+: |^\s*$|\Z)", docstring, re.M | re.S)
    return " ".join(match.group(1).split()) if match else ""
