"""Ports behind which there is nothing, one for each that a daemon may be without.

Comes in: what the ports take. Goes out: nothing, or what there is where nothing is: no authority,
an empty memory, no notices. So no task asks whether a port is there. May not keep anything.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from spotvortex.core.decision.messages import ControllerState, Decision, Plan
from spotvortex.core.domain.cloud.notices import Notice
from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.observation import NO_AUTHORITY, Observation, WriteAuthority
from spotvortex.core.drain.messages import DrainResult
from spotvortex.core.ledger.ledger import Ledger
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY, Memory
from spotvortex.ports.series import Counted, Measured
from spotvortex.ports.telemetry import AttributeValue, Span


class NullAuthority:
    """Never the leader: the authority where nothing is written."""

    def standing(self) -> WriteAuthority:
        """Return that nothing may be written."""
        return NO_AUTHORITY

    def writes_until(self) -> float:
        """Return a moment that is always past."""
        return -math.inf


class NullAnnouncer:
    """Says nothing: the announcer where nothing is written."""

    def say(self, node: str, uid: str, reason: str, text: str, *, warning: bool = False) -> None:
        """Drop it."""

    def warn_of_group(self, group: str, uid: str, reason: str, text: str) -> None:
        """Drop it."""


class NullStateStore:
    """Keeps no state: what a controller remembers then ends with its process."""

    async def load(self) -> ControllerState:
        """Return the state of a controller that has just been installed."""
        return ControllerState()

    async def save(self, state: ControllerState) -> bool:  # noqa: ARG002 - as the port
        """Drop it; nothing stands against acting on it."""
        return True


class NullMemoryStore:
    """Keeps no interruption memory beyond the process."""

    def load(self) -> Memory:
        """Return an empty memory."""
        return EMPTY_MEMORY

    def save(self, memory: Memory) -> bool:  # noqa: ARG002 - as the port
        """Drop it."""
        return True


class NullLedgerStore:
    """Keeps no ledger: what is accounted for then ends with its process."""

    is_settled = True
    keeps = False
    saved: Ledger | None = None

    def recall(self) -> Ledger | None:
        """Return nothing."""
        return None

    def save(self, ledger: Ledger) -> bool:  # noqa: ARG002 - as the port
        """Drop it."""
        return True


class NullRecall:
    """Recalls nothing: there was nothing before, or the store has loaded it."""

    is_settled = True

    def recall(self, memory: Memory) -> Memory | None:  # noqa: ARG002 - as the port
        """Return nothing."""
        return None


class NullNotices:
    """A source from which no notice ever comes, and which is no input."""

    evidence_only = False

    def pending(self, now: float) -> tuple[Notice, ...]:  # noqa: ARG002 - as the port
        """Return none."""
        return ()

    def settle(self, ids: Collection[str]) -> None:
        """Drop it."""

    async def arrived(self) -> None:
        """Wait for ever; who waits is cancelled."""
        await asyncio.Event().wait()

    def health(self, now: float) -> tuple[InputHealth, ...]:  # noqa: ARG002 - as the port
        """Return no input."""
        return ()


class NullSpan:
    """A span that nobody looks at."""

    traceparent = ""

    def describe(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Drop them."""

    def event(self, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        """Drop it."""


NULL_SPAN: Final = NullSpan()


class NullTelemetry:
    """Telemetry that nobody looks at."""

    def span(
        self,
        name: str,  # noqa: ARG002 - as the port
        parent: str = "",  # noqa: ARG002
        attributes: Mapping[str, AttributeValue] | None = None,  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        """Open a span that nobody looks at."""
        return nullcontext(NULL_SPAN)

    def seen(self, message: Observation | Assessment | DrainResult) -> None:
        """Drop it."""

    def decided(self, span: Span, decision: Decision) -> None:
        """Drop it."""

    async def planned(self, plan: Plan, seconds: float) -> None:
        """Drop it."""

    def count(self, series: Counted, *labels: str, n: int = 1) -> None:
        """Drop it."""

    def measure(self, series: Measured, value: float, *labels: str) -> None:
        """Drop it."""
