"""Check that every public record documents its fields one by one.

Comes in: the Python modules of `spotvortex/`. Goes out: one `file:line Class.field` for each field
that no text explains, and exit status 1 if there is any. A record is a dataclass, a msgspec Struct
or a NamedTuple; one with fewer than four fields may go without. A field is explained by a line
`name: what it is` in an `Attributes:` section of the class, or by a string right below the field. A
line of such a section that names nothing in the class is a fault, too. Reads the source only:
nothing is imported.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

N_FIELDS_MIN = 4
"""A record with fewer fields may be plain from its names and types."""

BASES = frozenset({"NamedTuple", "Struct"})
"""The last word of a base class that makes a record."""

ENTRY = re.compile(r"^( *)(\w+(?:, \w+)*): +\S")


def last_word(node: ast.expr) -> str:
    """Return the last name of a decorator or a base class, without its arguments."""
    node = node.func if isinstance(node, ast.Call) else node
    node = node.value if isinstance(node, ast.Subscript) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def records(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Yield the public record classes of a module; a class below a record is one, too."""
    bases = set(BASES)
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        inherits = any(last_word(base) in bases for base in node.bases)
        if inherits:
            bases.add(node.name)
        decorated = any(last_word(decorator) == "dataclass" for decorator in node.decorator_list)
        if (inherits or decorated) and not node.name.startswith("_"):
            yield node


def fields(record: ast.ClassDef) -> dict[str, int]:
    """Return the public fields of a record, each with its line."""
    return {
        node.target.id: node.lineno
        for node in record.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not node.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(node.annotation)
    }


def listed(docstring: str) -> set[str]:
    """Return the names in the `Attributes:` section of a docstring."""
    _, _, section = docstring.partition("Attributes:\n")
    names: set[str] = set()
    indent = None
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        entry = ENTRY.match(line)
        if entry and indent in (None, entry[1]):
            indent = entry[1]
            names.update(entry[2].split(", "))
    return names


def explained_below(record: ast.ClassDef) -> set[str]:
    """Return the names of the fields that have a string right below them."""
    return {
        above.target.id
        for above, below in pairwise(record.body)
        if isinstance(above, ast.AnnAssign)
        and isinstance(above.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def faults(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and words of each field that no text explains, or that a text alone has."""
    for record in records(ast.parse(source)):
        found, said = fields(record), listed(ast.get_docstring(record) or "")
        for name in sorted(said - found.keys() - others(record)):
            yield record.lineno, f"{record.name}.{name} is no field"
        if len(found) >= N_FIELDS_MIN:
            known = said | explained_below(record)
            yield from (
                (n, f"{record.name}.{name}") for name, n in found.items() if name not in known
            )


def others(record: ast.ClassDef) -> set[str]:
    """Return the names in a class that are no fields: properties, and what it shares."""
    defined = (node.name for node in record.body if isinstance(node, ast.FunctionDef))
    targets = (node.target for node in record.body if isinstance(node, ast.AnnAssign))
    return {*defined, *(target.id for target in targets if isinstance(target, ast.Name))}


def main(root: Path) -> int:
    """Print every fault; return 1 where there is one."""
    found = [
        f"{path.relative_to(root).as_posix()}:{line} {what}"
        for path in sorted((root / "spotvortex").rglob("*.py"))
        for line, what in faults(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1]))
