"""Bytes of the API server, read into the structs of `wire`.

Comes in: a page of a list, a watch line, an error body. Goes out: objects, and how many could not
be read: those are left out and counted, never fatal. May not interpret anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw

from spotvortex.errors import ServerError
from spotvortex.kube.api.wire import karpenter as karpenter_wire
from spotvortex.kube.api.wire import metrics as metrics_wire
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire import owners as owner_wire

T = TypeVar("T")
AnyObject = (
    wire.Pod
    | wire.Node
    | wire.Pdb
    | owner_wire.Owner
    | karpenter_wire.NodePool
    | wire.ConfigMap
    | metrics_wire.NodeMetrics
    | metrics_wire.PodMetrics
)
Obj = TypeVar("Obj", bound=AnyObject)

_EVENT = msgspec.json.Decoder(wire.WatchEvent)
_NAMED = msgspec.json.Decoder(owner_wire.Owner)
_VERSIONED = msgspec.json.Decoder(wire.Versioned)
_RAW_LIST = msgspec.json.Decoder(wire.ObjectList[Raw])


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        objects: the objects that could be read.
        token: what asks for the next page, "" on the last.
        version: resource version of the list, "" where it gives none.
        skipped: keys of the objects that could not be read.
    """

    objects: list[T]
    token: str
    version: str
    skipped: list[str]


class Codec(Generic[Obj]):
    """Reads lists and objects of one kind."""

    def __init__(self, kind: type[Obj]) -> None:
        self._one: msgspec.json.Decoder[Obj] = msgspec.json.Decoder(kind)
        self._list: msgspec.json.Decoder[wire.ObjectList[Obj]] = msgspec.json.Decoder(
            wire.ObjectList[kind]  # type: ignore[valid-type]
        )

    def page(self, body: bytes) -> Page[Obj]:
        """Read one page of a list.

        Raises:
            ServerError: it is not a list.
        """
        try:
            found = self._list.decode(body)
            return _page(found.metadata, found.items or [], [])
        except msgspec.ValidationError:
            return self._page_by_object(body)
        except msgspec.DecodeError as error:
            raise ServerError(f"unreadable list: {error}", reason="Unreadable") from error

    def _page_by_object(self, body: bytes) -> Page[Obj]:
        """Read a page in which at least one object is not as expected."""
        try:
            found = _RAW_LIST.decode(body)
        except msgspec.DecodeError as error:
            raise ServerError(f"unreadable list: {error}", reason="Unreadable") from error
        read = [(raw, self.object(raw)) for raw in found.items or []]
        objects = [obj for _, obj in read if obj is not None]
        return _page(found.metadata, objects, [read_key(raw) for raw, obj in read if obj is None])

    def object(self, raw: Raw) -> Obj | None:
        """Read one object, None where it cannot be read."""
        try:
            return self._one.decode(raw)
        except msgspec.DecodeError:
            return None


def decoded(body: bytes, kind: type[T], what: str = "answer") -> T:
    """Read one answer whole.

    Raises:
        ServerError: it is not of that kind; the text calls it `what`.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ServerError(f"unreadable {what}: {error}", reason="Unreadable") from error


def _page(meta: wire.ListMeta, objects: list[T], skipped: list[str]) -> Page[T]:
    return Page(
        objects=objects,
        token=meta.token or "",
        version=meta.resource_version or "",
        skipped=skipped,
    )


def read_event(line: bytes) -> wire.WatchEvent:
    """Read one line of a watch.

    Raises:
        ServerError: it is not an event.
    """
    try:
        return _EVENT.decode(line)
    except msgspec.DecodeError as error:
        raise ServerError(f"unreadable watch event: {error}", reason="Unreadable") from error


def read_key(raw: Raw) -> str:
    """Return the key of any object, "" where it has no name."""
    try:
        return _NAMED.decode(raw).metadata.key
    except msgspec.DecodeError:
        return ""


def read_version(raw: Raw) -> str:
    """Return the resource version of any object, "" where it has none."""
    try:
        return _VERSIONED.decode(raw).metadata.resource_version or ""
    except msgspec.DecodeError:
        return ""


def ordinal(version: str | None) -> int:
    """Return a resource version as a number, -1 where it is none; they grow (KEP-5504)."""
    return int(version) if version and version.isdecimal() else -1


def read_status(body: bytes | Raw) -> wire.ApiStatus:
    """Return the Status body of an error, an empty one where there is none."""
    try:
        status = msgspec.json.decode(body, type=wire.ApiStatus)
    except msgspec.DecodeError:
        return wire.ApiStatus()
    return status if status.kind == "Status" else wire.ApiStatus()
