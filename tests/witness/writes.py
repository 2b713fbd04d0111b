"""The audit log's events as writes: who asked what of which object, when, and was it done.

Comes in: audit events. Goes out: `Write`, and small questions about its body. Reads nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.witness.judge.kinds import REVIEWS
from tests.witness.judge.names import DRAIN

WRITING_VERBS = {"create", "update", "patch", "delete", "deletecollection"}
Writer = tuple[str, str, str]
"""User name, uid of the user and user agent: replicas differ in one of them at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request that may have changed the cluster; times are seconds since the epoch."""

    at: float  # when the server received it
    done_at: float  # when it had answered
    writer: Writer
    verb: str
    resource: str  # with its subresource: `pods/eviction`
    namespace: str
    name: str
    code: int
    body: dict[str, Any]
    answer: dict[str, Any]
    selector: str
    event: dict[str, Any] = field(repr=False)

    @property
    def done(self) -> bool:
        """Whether the server did it."""
        return 200 <= self.code < 300

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata in the request's body."""
        return _dict(self.body.get("metadata"))

    @property
    def label(self) -> dict[str, Any]:
        """The labels in the request's body."""
        return _dict(self.metadata.get("labels"))

    @property
    def note(self) -> dict[str, Any]:
        """The annotations in the request's body."""
        return _dict(self.metadata.get("annotations"))

    @property
    def is_mark(self) -> bool:
        """Whether it puts a journal of ours on a node."""
        return self.resource == "nodes" and self.note.get(DRAIN) is not None

    @property
    def is_unmark(self) -> bool:
        """Whether it takes the journal away."""
        return self.resource == "nodes" and DRAIN in self.note and self.note[DRAIN] is None

    def precondition(self) -> str:
        """Return the uid that the request insists on, "" where it insists on none."""
        options = _dict(self.body.get("deleteOptions")) or self.body
        uid = _dict(options.get("preconditions")).get("uid", "")
        return str(uid or self.metadata.get("uid") or "")

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}".strip("/")
        return f"{self.verb} {self.resource} {where} by {self.writer[0]} answered {self.code}"


def writes_of(events: Iterable[dict[str, Any]], users: Iterable[str]) -> list[Write]:
    """Return the writes of some users in the order in which the server received them."""
    ours = set(users)
    found = (event for event in events if event["user"].get("username") in ours)
    return sorted(_writes(found), key=lambda write: (write.at, write.done_at))


def _writes(events: Iterable[dict[str, Any]]) -> Iterator[Write]:
    for event in events:
        target = event.get("objectRef") or {}
        query = parse_qs(urlsplit(event["requestURI"]).query)
        if event["verb"] not in WRITING_VERBS or event["stage"] == "RequestReceived":
            continue
        if target.get("resource") in REVIEWS or query.get("dryRun"):
            continue
        subresource = target.get("subresource", "")
        body = _dict(event.get("requestObject"))
        yield Write(
            at=seconds(event["requestReceivedTimestamp"]),
            done_at=seconds(event["stageTimestamp"]),
            writer=(
                event["user"].get("username", ""),
                event["user"].get("uid", ""),
                event.get("userAgent", ""),
            ),
            verb=event["verb"],
            resource=f"{target.get('resource', '')}/{subresource}".strip("/"),
            namespace=target.get("namespace", ""),
            name=target.get("name", "") or _dict(body.get("metadata")).get("name", ""),
            code=(event.get("responseStatus") or {}).get("code", 0),
            body=body,
            answer=_dict(event.get("responseObject")),
            selector=",".join(query.get("labelSelector", [])),
            event=event,
        )


def answers_of(events: Iterable[dict[str, Any]]) -> Iterator[tuple[int, float]]:
    """Yield what the server wrote for anybody: its revision, and when it had answered."""
    for event in events:
        stored = _dict(_dict(event.get("responseObject")).get("metadata"))
        if event["verb"] in WRITING_VERBS and str(stored.get("resourceVersion", "")).isdigit():
            yield int(stored["resourceVersion"]), seconds(event["stageTimestamp"])


def selected(write: Write, key: str) -> str:
    """Return the value that a label selector asks of a key, "" where it asks for none."""
    pairs = (part.partition("=") for part in write.selector.split(","))
    return next((value.lstrip("=") for name, _, value in pairs if name == key), "")


def order_of(text: Any) -> dict[str, Any]:
    """Read an order's journal; what cannot be read is an empty one."""
    try:
        return _dict(json.loads(text)) if isinstance(text, str) else {}
    except ValueError:
        return {}


def seconds(text: str) -> float:
    """Read a time of the API server."""
    return datetime.fromisoformat(text).timestamp()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
