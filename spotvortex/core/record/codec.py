"""Core values as JSON and back, by their own field types.

Comes in: frozen dataclasses and named tuples of the core. Goes out: what the json module writes,
and the very same values read back. A class that `rows` names becomes an array of those columns, any
other an object by field name; an enumeration its value; a figure that is not finite the text `NaN`,
`inf` or `-inf`. `fold` writes what texts have in common only once. Times become RFC 3339 text. May
not know any class by name.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import re
import sys
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import cache
from typing import Final, TypeAlias, TypeVar

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Value = TypeVar("Value")

Rows: TypeAlias = Mapping[type, tuple[str, ...]]
"""The columns, in order, of each class that is written as an array. A field without a column is not
written, and has its default when it is read."""

NO_ROWS: Final[Rows] = types.MappingProxyType({})

REFERENCE: Final = "@"
"""Stands before the place of a word; doubled where a text holds one of its own."""

_REFERRED: Final = re.compile(r"@(?:@|[0-9]*)")

MIN_WORD: Final = 8
"""A shorter text is not replaced by a word: nothing would be gained."""


class CodecError(ValueError):
    """A value that was read does not have the shape of the type asked for."""


def encode(value: object, rows: Rows = NO_ROWS) -> Json:
    """Turn a core value into what JSON can hold.

    Raises:
        CodecError: a value in it has no form in a record.
    """
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value).replace("nan", "NaN")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if _is_record(type(value)):
        return _encode_record(value, rows)
    if isinstance(value, Sequence):
        return [encode(item, rows) for item in value]
    raise CodecError(f"{type(value).__name__} has no form in a record")


def _encode_record(value: object, rows: Rows) -> Json:
    kind: type = type(value)
    columns = rows.get(kind)
    if columns is not None:
        return [encode(getattr(value, name), rows) for name in columns]
    return {name: encode(getattr(value, name), rows) for name in _field_types(kind)}


def decode(kind: type[Value], data: Json, rows: Rows = NO_ROWS) -> Value:
    """Read a value of a dataclass back.

    Raises:
        CodecError: a field is missing, unknown or of another type; the text names it.
    """
    result = _Reading(rows).value(kind, data, kind.__name__)
    assert isinstance(result, kind)
    return result


@dataclasses.dataclass(frozen=True, slots=True)
class _Reading:
    """Reads values with the columns of one schema; `where` says in texts of errors what is read."""

    rows: Rows

    def value(self, kind: object, data: Json, where: str) -> object:
        if kind is float:
            return _decode_float(data, where)
        origin = typing.get_origin(kind)
        if origin in (typing.Union, types.UnionType):
            return None if data is None else self.value(_but_none(kind), data, where)
        if origin is tuple:
            return self._tuple(typing.get_args(kind), data, where)
        assert isinstance(kind, type), f"{where}: no way to read {kind}"
        if _is_record(kind):
            return self._record(kind, data, where)
        if issubclass(kind, enum.Enum):
            return _decode_enum(kind, data, where)
        return _decode_plain(kind, data, where)

    def _record(self, kind: type, data: Json, where: str) -> object:
        fields, columns = _field_types(kind), self.rows.get(kind)
        if columns is not None:
            if not isinstance(data, list) or len(data) != len(columns):
                raise CodecError(f"{where}: a row of {len(columns)} values is expected")
            data = dict(zip(columns, data, strict=True))
        elif not isinstance(data, dict) or data.keys() != fields.keys():
            raise CodecError(f"{where}: exactly the fields {', '.join(fields)} are expected")
        read = {n: self.value(fields[n], item, f"{where}.{n}") for n, item in data.items()}
        return kind(**read)

    def _tuple(self, parts: tuple[object, ...], data: Json, where: str) -> object:
        if not isinstance(data, list):
            raise CodecError(f"{where}: an array is expected")
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(self.value(parts[0], d, f"{where}[{i}]") for i, d in enumerate(data))
        if len(parts) != len(data):
            raise CodecError(f"{where}: {len(parts)} values are expected")
        return tuple(
            self.value(part, item, f"{where}[{i}]")
            for i, (part, item) in enumerate(zip(parts, data, strict=True))
        )


def _but_none(kind: object) -> object:
    (only,) = [part for part in typing.get_args(kind) if part is not type(None)]
    return only


def _is_record(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


@cache
def _field_types(kind: type) -> Mapping[str, object]:
    """Return the types of a record's fields in the order of their declaration."""
    hints = typing.get_type_hints(kind)
    if dataclasses.is_dataclass(kind):
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return hints


def _decode_enum(kind: type[enum.Enum], data: Json, where: str) -> object:
    try:
        return kind(data)
    except ValueError as error:
        raise CodecError(f"{where}: {data!r} is none of {', '.join(map(str, kind))}") from error


def _decode_plain(kind: type, data: Json, where: str) -> object:
    if type(data) is not kind:
        raise CodecError(f"{where}: {kind.__name__} is expected, not {type(data).__name__}")
    return data


def _decode_float(data: Json, where: str) -> float:
    """Read a figure; a whole number stays one, so that it is written as it was."""
    if data in ("NaN", "inf", "-inf"):
        return float(data)
    if isinstance(data, bool) or not isinstance(data, (int, float)):
        raise CodecError(f"{where}: a number is expected")
    if not abs(data) <= sys.float_info.max:
        raise CodecError(f"{where}: a finite number is expected")
    return data


def fold(data: Json) -> tuple[Json, list[str]]:
    """Write texts, beginnings and ends of texts that come up more than once only once.

    Returns:
        The data with `@` and a place in the list instead of each such word, and the list.
    """
    counts = Counter(part for text in _texts(data) for part in _parts(text))
    common = {part for part, n in counts.items() if n > 1 and len(part) >= MIN_WORD}
    references: dict[str, str] = {}
    folded = _mapped(data, lambda text: _shortened(text, common, references))
    return folded, list(references)


def _texts(data: Json) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, list):
        for item in data:
            yield from _texts(item)
    elif isinstance(data, dict):
        yield from _texts(list(data.values()))


def _parts(text: str) -> set[str]:
    """Return what may be a word: all of it, a claim's NodePool, a node's domain."""
    return {text, text.rpartition("-")[0], text.partition(".")[2]}


def _shortened(text: str, common: Set[str], references: dict[str, str]) -> str:
    def refer(word: str) -> str:
        return references.setdefault(word, f"{REFERENCE}{len(references)}")

    if text in common:
        return refer(text)
    before, dash, last = text.rpartition("-")
    if before in common:
        return refer(before) + dash + _escaped(last)
    first, dot, after = text.partition(".")
    if after in common:
        return _escaped(first) + dot + refer(after)
    return _escaped(text)


def _escaped(text: str) -> str:
    return text.replace(REFERENCE, 2 * REFERENCE)


def unfold(data: Json, words: Json) -> Json:
    """Undo `fold`.

    Raises:
        CodecError: a text refers to no word, or the data is nested beyond reason.
    """
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CodecError("words: an array of texts is expected")
    known = {f"{REFERENCE}{i}": word for i, word in enumerate(words)} | {2 * REFERENCE: REFERENCE}
    try:
        return _mapped(data, lambda text: _REFERRED.sub(lambda found: _word(found[0], known), text))
    except RecursionError as error:
        raise CodecError("nested too deeply") from error


def _word(reference: str, known: Mapping[str, str]) -> str:
    if reference not in known:
        raise CodecError(f"words: there is no {reference}")
    return known[reference]


def _mapped(data: Json, change: Callable[[str], str]) -> Json:
    if isinstance(data, str):
        return change(data)
    if isinstance(data, list):
        return [_mapped(item, change) for item in data]
    if isinstance(data, dict):
        return {key: _mapped(item, change) for key, item in data.items()}
    return data


def rfc3339(at: float, timespec: str = "milliseconds") -> str:
    """Write a time in seconds since the epoch as RFC 3339 text in UTC.

    Args:
        at: the time.
        timespec: its precision, as `datetime.isoformat` names it.
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
