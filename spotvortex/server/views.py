"""What the server answers from: views of the daemon that answer at once from what is in memory.

Comes in: nothing. Goes out: protocols. Declares only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.types import Action
from spotvortex.core.ledger.ledger import Ledger
from spotvortex.core.record.record import DecisionRecord
from spotvortex.ports.cluster import WallClock


class Health(Protocol):
    """What knows the heartbeats of the tasks."""

    def failing(self) -> Sequence[str]:
        """Name the tasks whose heartbeat is older than their own limit."""
        ...


class ReadinessSource(Protocol):
    """What knows what is still missing before decisions can be made."""

    def reasons(self, now: float) -> Sequence[str]:
        """Say in words why not; empty where ready."""
        ...


class Exposition(Protocol):
    """What renders the metrics."""

    def exposition(self, *, open_metrics: bool = False) -> bytes:
        """Return every series as Prometheus text, or as OpenMetrics, which has exemplars."""
        ...


class Plans(Protocol):
    """What keeps the newest plan."""

    def last_plan(self) -> Plan | None:
        """Return the newest plan, None before the first."""
        ...


class Decisions(Protocol):
    """What keeps the latest decision records: the journal's ring."""

    def get(self, decision_id: str) -> DecisionRecord | None:
        """Return the record of a decision."""
        ...

    def find(
        self, *, pool: str | None, action: Action | None, since: float | None, limit: int
    ) -> Sequence[DecisionRecord]:
        """Return matching records, newest first."""
        ...


class LedgerSource(Protocol):
    """What keeps the savings ledger."""

    @property
    def ledger(self) -> Ledger:
        """All that is accounted for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAnswer:
    """The answer to a path of the console.

    Attributes:
        status: the HTTP status.
        content_type: the media type of the body, always UTF-8.
        body: the page, style sheet or script.
    """

    status: int
    content_type: str
    body: str


class ConsolePages(Protocol):
    """What makes the pages of the console."""

    def answer(self, path: str, query: Mapping[str, str]) -> PageAnswer:
        """Answer a path below `/console/`, without the slash before it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSources:
    """What the server answers from.

    Attributes:
        health: heartbeats of the tasks, for `/healthz`.
        readiness: what is still missing, for `/readyz`.
        metrics: every series, for `/metrics`.
        decisions: the latest decision records, for `/decisions`.
        plans: the newest plan, for `/pools`.
        clock: the wall clock.
        ledger: what is accounted for, for `/ledger`.
        console: pages for a browser, None without them.
        leader_address: says where another replica that leads answers, "" where there is none.
    """

    health: Health
    readiness: ReadinessSource
    metrics: Exposition
    decisions: Decisions
    plans: Plans
    clock: WallClock
    ledger: LedgerSource
    console: ConsolePages | None = None
    leader_address: Callable[[], str] = str
