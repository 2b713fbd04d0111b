"""What is really used, as the tasks ask for it. May not import an edge."""

from __future__ import annotations

from typing import Final, Protocol

from spotvortex.core.domain.usage import NO_USAGE, UsageFacts


class Usage(Protocol):
    """What measures nodes and pods."""

    def facts(self, now: float) -> UsageFacts:
        """Return what was measured last, at no cost; nothing where that is too old to count."""
        ...


class Unmeasured:
    """Implements `Usage` where nobody measures: requests count."""

    def facts(self, now: float) -> UsageFacts:  # noqa: ARG002 - as the port
        """Return nothing."""
        return NO_USAGE


UNMEASURED: Final = Unmeasured()
