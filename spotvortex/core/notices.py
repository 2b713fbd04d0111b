"""placeholder until the branch lands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NoticeKind(StrEnum):
    INTERRUPTION = "interruption"
    REBALANCE = "rebalance"
    SCHEDULED_CHANGE = "scheduled-change"
    STATE_CHANGE = "state-change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    id: str
    kind: NoticeKind
    instance_id: str
    at: float
    deadline: float | None
    until: float
    received_at: float


def instance_id_of(provider_id: str) -> str:
    last = provider_id.rpartition("/")[2]
    return last if last.startswith("i-") else ""
