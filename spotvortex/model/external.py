"""Which other files an ONNX graph opens, read from its bytes.

Comes in: the bytes of an ONNX file, trusted in nothing. Goes out: every tensor that lies in another
file, with the place in it. Walks the protobuf by field numbers (onnx.proto, stable by the format's
own rules), without recursion and each byte at most once. May not open a file. Anything that is not
protobuf is a `ModelContractError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from spotvortex.errors import ModelContractError


class _Message(Enum):
    """The messages on the way from a model to its tensors."""

    MODEL = auto()
    TRAINING = auto()
    GRAPH = auto()
    FUNCTION = auto()
    NODE = auto()
    ATTRIBUTE = auto()
    SPARSE_TENSOR = auto()
    TENSOR = auto()


_CHILDREN: Final[Mapping[_Message, Mapping[int, _Message]]] = {
    _Message.MODEL: {7: _Message.GRAPH, 20: _Message.TRAINING, 25: _Message.FUNCTION},
    _Message.TRAINING: {1: _Message.GRAPH, 2: _Message.GRAPH},
    _Message.GRAPH: {1: _Message.NODE, 5: _Message.TENSOR, 15: _Message.SPARSE_TENSOR},
    _Message.FUNCTION: {7: _Message.NODE, 11: _Message.ATTRIBUTE},
    _Message.NODE: {5: _Message.ATTRIBUTE},
    _Message.ATTRIBUTE: {
        5: _Message.TENSOR,
        6: _Message.GRAPH,
        10: _Message.TENSOR,
        11: _Message.GRAPH,
        22: _Message.SPARSE_TENSOR,
        23: _Message.SPARSE_TENSOR,
    },
    _Message.SPARSE_TENSOR: {1: _Message.TENSOR, 2: _Message.TENSOR},
}

_EXTERNAL_DATA: Final = 13
_KEY: Final = 1
_VALUE: Final = 2

_VARINT: Final = 0
_LENGTH: Final = 2
_FIXED_BYTES: Final = {1: 8, 5: 4}
_MAX_VARINT_BYTES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """One tensor that lies in another file.

    Attributes:
        location: the file, as the graph names it.
        offset: the first byte of the tensor.
        n_bytes: its length, None for all bytes to the end of the file.
    """

    location: str
    offset: int = 0
    n_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Field:
    """One length-delimited field: its number, and where its content lies."""

    number: int
    start: int
    end: int


def external_tensors(graph: bytes) -> tuple[External, ...]:
    """Return every tensor of a graph that names another file.

    A tensor that names one counts, whether or not it also says that its data lie there: too many
    files listed harm nobody, one opened unseen would.

    Raises:
        ModelContractError: these are not the bytes of an ONNX model.
    """
    found: list[External] = []
    pending = [(_Message.MODEL, 0, len(graph))]
    while pending:  # ends: what is added is shorter than what was taken
        message, start, end = pending.pop()
        if message is _Message.TENSOR:
            found.extend(_external(graph, start, end))
            continue
        children = _CHILDREN[message]
        pending.extend(
            (children[field.number], field.start, field.end)
            for field in _fields(graph, start, end)
            if field.number in children
        )
    return tuple(found)


def _external(graph: bytes, start: int, end: int) -> list[External]:
    """Read the `external_data` entries of one tensor."""
    entries = dict(
        _entry(graph, field)
        for field in _fields(graph, start, end)
        if field.number == _EXTERNAL_DATA
    )
    if "location" not in entries:
        return []
    length = entries.get("length")
    return [
        External(
            location=entries["location"],
            offset=_count(entries.get("offset", "0")),
            n_bytes=None if length is None else _count(length),
        )
    ]


def _entry(graph: bytes, entry: _Field) -> tuple[str, str]:
    words = {
        field.number: _text(graph[field.start : field.end])
        for field in _fields(graph, entry.start, entry.end)
    }
    return words.get(_KEY, ""), words.get(_VALUE, "")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _broken("a name in it is not UTF-8") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _broken(f"a tensor lies at {text[:40]!r} in its file, which is no number of bytes")
    return int(text)


def _fields(graph: bytes, start: int, end: int) -> Iterator[_Field]:
    """Yield the length-delimited fields of one message, and skip the others."""
    at = start
    while at < end:
        tag, at = _varint(graph, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, at = _varint(graph, at, end)
            continue
        if wire == _LENGTH:
            size, at = _varint(graph, at, end)
        elif wire in _FIXED_BYTES:
            size = _FIXED_BYTES[wire]
        else:
            raise _broken(f"byte {at} begins a field of an unknown kind")
        if size > end - at:
            raise _broken(f"a field at byte {at} is cut short")
        if wire == _LENGTH:
            yield _Field(number, at, at + size)
        at += size


def _varint(graph: bytes, at: int, end: int) -> tuple[int, int]:
    """Read one number; returns it with the place behind it."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if at + index >= end:
            break
        byte = graph[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise _broken(f"a number at byte {at} does not end")


def _broken(what: str) -> ModelContractError:
    return ModelContractError(f"is no ONNX file: {what}. Export it again.")
