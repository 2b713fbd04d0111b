"""Notices: what the cloud says about single instances, read from EventBridge events.

Comes in: the bytes of one message. Goes out: the notices that it holds, or the reason why it holds
none, out of a closed set. Any bytes get an answer: a stranger may have written the message. May not
judge whether an instance belongs to this cluster, nor what is to be done.

Events as documented by AWS: "Spot Instance interruption notices", "EC2 instance rebalance
recommendations", "State change events for EC2 instances" (EC2 User Guide) and "Monitoring events in
AWS Health with Amazon EventBridge" (AWS Health User Guide).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias

MAX_BYTES: Final = 64 * 1024
"""A larger message is not read; an event on one instance has less than 1 KiB."""

INTERRUPTION_S: Final = 120.0
"""A Spot interruption notice comes two minutes ahead ("Spot Instance interruption notices")."""

KEPT_S: Final = 600.0
"""A notice with a deadline counts for this long after it: by then the instance is gone."""

REBALANCE_TTL_S: Final = 1800.0
"""How long a rebalance recommendation counts, unless told otherwise."""

_INSTANCE: Final = re.compile(r"i-[0-9a-f]{1,32}")
_PROVIDER: Final = re.compile(r"aws:///[^/]{0,64}/(i-[0-9a-f]{1,32})")
_EVENT_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_LONGEST_TIME: Final = 64
_HEALTH_TIME: Final = "%a, %d %b %Y %H:%M:%S GMT"
_LOST_STATES: Final = frozenset({"stopping", "stopped", "shutting-down", "terminated"})
_KEPT_STATES: Final = frozenset({"pending", "running"})

_Json: TypeAlias = "bool | int | float | str | Sequence[_Json] | Mapping[str, _Json] | None"
_Object: TypeAlias = Mapping[str, _Json]


class NoticeKind(StrEnum):
    """What a notice says about an instance."""

    INTERRUPTION = "interruption"
    REBALANCE = "rebalance"
    SCHEDULED_CHANGE = "scheduled-change"
    STATE_CHANGE = "state-change"


class RejectReason(StrEnum):
    """Why a message holds no notice."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    HUGE = "huge"
    NOT_A_LOSS = "not-a-loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An outside signal that one instance will go, or is at risk.

    Attributes:
        id: the event's own; an event on several instances adds "/" and the instance.
        kind: what is said.
        instance_id: `i-...`.
        at: when it happened, seconds since the epoch, never after `received_at`.
        deadline: when the machine goes, seconds since the epoch; None where nobody knows.
        until: when the notice stops counting, seconds since the epoch.
        received_at: when it came, seconds since the epoch.
    """

    id: str
    kind: NoticeKind
    instance_id: str
    at: float
    deadline: float | None
    until: float
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """The answer to a message that holds no notice."""

    reason: RejectReason


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope:
    """What all events have in common."""

    id: str
    at: float
    received_at: float
    rebalance_ttl_s: float
    detail: _Object

    def notice(
        self, kind: NoticeKind, instance_id: str, deadline: float | None, *, suffix: str = ""
    ) -> Notice:
        """Make a notice on one instance."""
        kept = (self.at if deadline is None else deadline) + KEPT_S
        return Notice(
            id=self.id + suffix,
            kind=kind,
            instance_id=instance_id,
            at=self.at,
            deadline=deadline,
            until=self.at + self.rebalance_ttl_s if kind is NoticeKind.REBALANCE else kept,
            received_at=self.received_at,
        )


_Read: TypeAlias = tuple[Notice, ...] | Reject

_MALFORMED: Final = Reject(reason=RejectReason.MALFORMED)
_UNKNOWN: Final = Reject(reason=RejectReason.UNKNOWN)
_NOT_A_LOSS: Final = Reject(reason=RejectReason.NOT_A_LOSS)


def read_notice(
    body: bytes, received_at: float, rebalance_ttl_s: float = REBALANCE_TTL_S
) -> tuple[Notice, ...] | Reject:
    """Read one message.

    Args:
        body: an EventBridge event as JSON, in UTF-8.
        received_at: now, seconds since the epoch.
        rebalance_ttl_s: how long a rebalance recommendation counts from its event on, in seconds.

    Returns:
        At least one notice, each instance once; more than one only of a scheduled change.
    """
    if len(body) > MAX_BYTES:
        return Reject(reason=RejectReason.HUGE)
    event = _decode(body)
    if event is None:
        return _MALFORMED
    source, detail_type = event.get("source"), event.get("detail-type")
    if not isinstance(source, str) or not isinstance(detail_type, str):
        return _UNKNOWN
    reader = _READERS.get((source, detail_type))
    if reader is None:
        return _UNKNOWN
    envelope = _envelope(event, received_at, rebalance_ttl_s)
    return _MALFORMED if envelope is None else reader(envelope)


def instance_id_of(provider_id: str) -> str:
    """Return the instance of a node's `spec.providerID` on AWS, "" of any other."""
    found = _PROVIDER.fullmatch(provider_id)
    return found[1] if found else ""


def risk_until(text: str) -> float:
    """Read until when a note of ours counts, seconds since the epoch; what is no time is over."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp()


def _decode(body: bytes) -> _Object | None:
    try:
        event = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):  # deep nesting ends in the latter
        return None
    return event if isinstance(event, dict) else None


def _envelope(event: _Object, received_at: float, rebalance_ttl_s: float) -> _Envelope | None:
    identity, detail = event.get("id"), event.get("detail")
    at = _seconds(event.get("time"))
    if not isinstance(identity, str) or not _EVENT_ID.fullmatch(identity):
        return None
    if at is None or not isinstance(detail, dict):
        return None
    return _Envelope(
        id=identity,
        # Nothing happens after it is heard of: the sender's clock is ahead, or the time is made up.
        at=min(at, received_at),
        received_at=received_at,
        rebalance_ttl_s=rebalance_ttl_s,
        detail=detail,
    )


def _interruption(event: _Envelope) -> _Read:
    instance = _instance(event.detail.get("instance-id"))
    if instance is None:
        return _MALFORMED
    return (event.notice(NoticeKind.INTERRUPTION, instance, event.at + INTERRUPTION_S),)


def _rebalance(event: _Envelope) -> _Read:
    instance = _instance(event.detail.get("instance-id"))
    if instance is None:
        return _MALFORMED
    return (event.notice(NoticeKind.REBALANCE, instance, None),)


def _state_change(event: _Envelope) -> _Read:
    instance, state = _instance(event.detail.get("instance-id")), event.detail.get("state")
    if instance is None or not isinstance(state, str):
        return _MALFORMED
    if state in _LOST_STATES:
        return (event.notice(NoticeKind.STATE_CHANGE, instance, event.at),)
    return _NOT_A_LOSS if state in _KEPT_STATES else _MALFORMED


def _health(event: _Envelope) -> _Read:
    """Read a planned change; one that is over, or of another category, is no loss."""
    detail = event.detail
    if detail.get("service") != "EC2":
        return _UNKNOWN
    if detail.get("eventTypeCategory") != "scheduledChange" or detail.get("statusCode") == "closed":
        return _NOT_A_LOSS
    entities = detail.get("affectedEntities")
    if not isinstance(entities, list):
        return _MALFORMED
    named = (_instance(e.get("entityValue")) for e in entities if isinstance(e, dict))
    # A dictionary keeps the order and takes each once.
    instances = list(dict.fromkeys(instance for instance in named if instance is not None))
    start = _seconds(detail.get("startTime"))
    kind = NoticeKind.SCHEDULED_CHANGE
    found = tuple(event.notice(kind, i, start, suffix=f"/{i}") for i in instances)
    return found or _UNKNOWN


_READERS: Final[Mapping[tuple[str, str], Callable[[_Envelope], _Read]]] = {
    ("aws.ec2", "EC2 Spot Instance Interruption Warning"): _interruption,
    ("aws.ec2", "EC2 Instance Rebalance Recommendation"): _rebalance,
    ("aws.ec2", "EC2 Instance State-change Notification"): _state_change,
    ("aws.health", "AWS Health Event"): _health,
}

EVENTS: Final = tuple(_READERS)
"""Source and detail type of every event that is read."""


def _instance(value: _Json) -> str | None:
    return value if isinstance(value, str) and _INSTANCE.fullmatch(value) else None


def _seconds(value: _Json) -> float | None:
    """Read RFC 3339, or the form of AWS Health (`Sat, 05 Jun 2021 15:10:09 GMT`)."""
    if not isinstance(value, str) or len(value) > _LONGEST_TIME:
        return None
    try:
        if value.endswith("GMT"):
            moment = datetime.strptime(value, _HEALTH_TIME).replace(tzinfo=UTC)
        else:
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None
