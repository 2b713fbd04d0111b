"""What the server may show of the running daemon.

Comes in: the latest plan, the views' health. Goes out: the same, read only. May not be read by any
task: tasks learn from each other through channels alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.observation import InputHealth, InputState
from spotvortex.ports.cluster import ClusterView


@dataclass(slots=True, kw_only=True)
class Status:
    """The latest plan, and whether the daemon is fit to be asked."""

    cluster: ClusterView
    max_input_age_s: float
    plan: Plan | None = None

    def planned(self, plan: Plan) -> None:
        """Take note of the latest plan."""
        self.plan = plan

    def last_plan(self) -> Plan | None:
        """Return the latest plan, None before the first."""
        return self.plan

    def reasons(self, now: float) -> list[str]:
        """Return why the daemon is not ready, in words; empty when it is."""
        found = [self._words(h) for h in self.cluster.health(now) if self._unfit(h)]
        if self.plan is None:
            found.append("no decision yet")
        return found

    def _unfit(self, health: InputHealth) -> bool:
        if not health.required:
            return False
        return health.state is not InputState.OK or not health.age_s <= self.max_input_age_s

    @staticmethod
    def _words(health: InputHealth) -> str:
        detail = f": {health.detail}" if health.detail else ""
        return f"{health.name} {health.state}, confirmed {health.age_s:.0f} s ago{detail}"
