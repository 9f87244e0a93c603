"""The tree of `src/interlock` with what each module is for, from the modules' first lines.

`python docs/file_tree.py` prints it; `--write README.md` puts it between `<!-- tree -->` and
`<!-- /tree -->`; `--check README.md` exits 1 when the file holds another one.
"""

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "interlock"
START, END = "<!-- tree -->", "<!-- /tree -->"
OTHERS = {
    "studies/*.yaml": "the built-in studies",
    "templates": "the report's page, style and script",
    "organisms/weights": "the shipped organisms",
}


def purpose(module: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    found = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    return (found or "").split("\n")[0].removesuffix(".")


def entries(folder: Path, indent: str = "  ") -> list[tuple[str, str]]:
    """Name and purpose of every module and subfolder, folders last, each sorted by name."""
    modules = sorted(folder.glob("*.py"))
    found = [
        (f"{indent}{module.name}", purpose(module))
        for module in modules
        if module.name != "__init__.py"
    ]
    for each in sorted(path.parent for path in folder.glob("*/__init__.py")):
        found.append((f"{indent}{each.name}/", purpose(each / "__init__.py")))
        found += entries(each, indent + "  ")
    if folder == PACKAGE:
        found += [
            (f"{indent}{pattern}", what)
            for pattern, what in OTHERS.items()
            if any(folder.glob(pattern))
        ]
    return found


def tree() -> str:
    """The tree as a block of text."""
    rows = [("src/interlock/", purpose(PACKAGE / "__init__.py")), *entries(PACKAGE)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {what}".rstrip() for name, what in rows)


def written(text: str) -> str:
    """A text with the tree put between its two marks."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n```text\n{tree()}\n```\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Print the tree, write it into a file, or compare it with a file's."""
    if not arguments:
        sys.stdout.write(tree() + "\n")
        return 0
    option, name = arguments
    path = Path(name)
    text = path.read_text(encoding="utf-8")
    if option == "--write":
        path.write_text(written(text), encoding="utf-8")
        return 0
    if option == "--check":
        return 0 if written(text) == text else 1
    sys.stderr.write(f"{__doc__}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
