"""JSON Schema of the core's values, by their own field types and docstrings.

Comes in: a dataclass, and which classes are written as arrays. Goes out: a schema with one
definition a class. What is not said is allowed: later versions add fields. May not know what a
class is for.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import types
import typing
from collections.abc import Mapping, Set
from typing import Any

Schema = dict[str, Any]

ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): +(\S.*(?:\n {6,}\S.*)*)", re.MULTILINE)


class Classes:
    """Makes schemas, and keeps the definition of every class that they refer to.

    Args:
        rows: the columns of each class that is written as an array.
        words: texts may stand for others (`@3`), so that no text is bound to a list of values.
    """

    def __init__(self, rows: Mapping[type, tuple[str, ...]], *, words: bool) -> None:
        self.definitions: dict[str, Schema] = {}
        self._rows, self._words = rows, words

    def of(self, kind: Any) -> Schema:
        """Return the schema of a type."""
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if kind is float:
            # What is not finite is null in a report and a text in a record.
            return {"type": ["number", "string" if self._words else "null"]}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            values = [str(member.value) for member in kind]
            return {"type": "string"} if self._words else {"enum": values}
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
            return self._reference(kind)
        if origin in (typing.Union, types.UnionType):
            return self._any_of(inner)
        if origin is tuple:
            return self._of_tuple(inner)
        if isinstance(origin, type) and issubclass(origin, Set):
            return {"type": "array", "items": self.of(inner[0])}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(inner[1])}
        names = {bool: "boolean", int: "integer", str: "string", type(None): "null"}
        return {"type": names[kind]} if kind in names else {}

    def _any_of(self, kinds: tuple[Any, ...]) -> Schema:
        found = [self.of(kind) for kind in kinds]
        return {"anyOf": [one for i, one in enumerate(found) if one not in found[:i]]}

    def _of_tuple(self, inner: tuple[Any, ...]) -> Schema:
        if len(inner) == 2 and inner[1] is ...:
            return {"type": "array", "items": self.of(inner[0])}
        return {"type": "array", "prefixItems": [self.of(kind) for kind in inner]}

    def _reference(self, kind: type) -> Schema:
        if kind.__name__ not in self.definitions:
            self.definitions[kind.__name__] = {}  # so that a class may name itself
            self.definitions[kind.__name__] = self._defined(kind)
        return {"$ref": f"#/$defs/{kind.__name__}"}

    def _defined(self, kind: type) -> Schema:
        hints, said = typing.get_type_hints(kind), explained(kind)
        first = (inspect.getdoc(kind) or "").partition("\n")[0]
        names = self._rows.get(kind) or field_names(kind)
        members = {name: self.of(hints[name]) | described(said.get(name)) for name in names}
        if kind in self._rows:
            columns = [{"title": name} | schema for name, schema in members.items()]
            return {"description": first, "type": "array", "prefixItems": columns}
        return {
            "description": first,
            "type": "object",
            "required": list(names),
            "properties": members,
        }


def field_names(kind: type) -> tuple[str, ...]:
    """Return the fields of a dataclass or a named tuple, in their order."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(typing.get_type_hints(kind))


def described(text: str | None) -> Schema:
    """Return the keyword of a description, nothing where there is none."""
    return {"description": text} if text else {}


def explained(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of each field."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    return {
        name: " ".join(text.split())
        for names, text in ENTRY.findall(section)
        for name in names.split(", ")
    }
