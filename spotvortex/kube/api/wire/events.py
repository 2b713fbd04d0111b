"""Shapes of Events on the wire: what they are about, what they say, and when.

Comes in: nothing. Goes out: frozen structs, as in `wire`. May not interpret anything.
"""

from __future__ import annotations

from spotvortex.kube.api.wire.objects import Meta, Wire


class InvolvedObject(Wire, frozen=True, gc=False):
    """What an Event is about."""

    uid: str | None = None
    name: str | None = None


class EventMeta(Meta, frozen=True, gc=False):
    """The metadata of an Event; when it was created is RFC 3339."""

    creation_timestamp: str | None = None


class Event(Wire, frozen=True, gc=False):
    """An Event, as far as it tells what it is about, what it says, and when.

    Attributes:
        metadata: its metadata.
        involved_object: what it is about.
        message: what it says.
        event_time: when it was first seen, RFC 3339, of the newer API.
        last_timestamp: when it was last seen, RFC 3339, of the older one.
    """

    metadata: EventMeta
    involved_object: InvolvedObject | None = None
    message: str | None = None
    event_time: str | None = None
    last_timestamp: str | None = None
