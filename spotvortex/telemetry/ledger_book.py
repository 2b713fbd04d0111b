"""The savings ledger of a running daemon: what goes into it, and who may see it.

Comes in: every plan, and how drains have ended. Goes out: the ledger, for pages and metrics; and it
is given to its store with each plan. Nothing is accounted for before it is known what was kept
before. What decides may not read it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.decision.messages import Plan
from spotvortex.core.drain.messages import DrainResult
from spotvortex.core.ledger.flow import Pricing
from spotvortex.core.ledger.ledger import EMPTY_LEDGER, Beside, Ledger, Restarts, accrue
from spotvortex.core.ledger.ledger_join import joined
from spotvortex.core.ledger.sums import PoolSums
from spotvortex.ports.ledger import LedgerStore
from spotvortex.results.course import CoursePoint

_NO_TOTALS: Final[Mapping[str, PoolSums]] = {}

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class LedgerBook:
    """Keeps the ledger.

    Attributes:
        store: where it survives a restart.
        offload: runs what blocks.
        writes: the mode writes, so that of two replicas one leads.
        alone: how the same cluster fares under its provisioner alone, None where nobody follows it.
        ledger: what is accounted for.
    """

    store: LedgerStore
    offload: Callable[..., Awaitable[object]]
    writes: bool = False
    alone: Callable[[], CoursePoint] | None = None
    ledger: Ledger = EMPTY_LEDGER
    _pricing: Pricing = field(default_factory=Pricing)
    _restarts: dict[str, Restarts] = field(default_factory=dict)
    _startup_s: Mapping[str, float] = field(default_factory=dict)
    _alone_usd: float = math.nan
    _was_recalled: bool = False
    _speaks: bool = False

    def drained(self, result: DrainResult) -> None:
        """Count the pods that a drain has evicted; what is only recorded evicts none."""
        pool = result.order.pool
        if not result.n_evicted or not result.order.mode.writes:
            return
        known = self._restarts.get(pool, Restarts())
        hours = result.n_evicted * self._startup_s.get(pool, 0.0) / 3600.0
        self._restarts[pool] = Restarts(
            pods=known.pods + result.n_evicted, pod_hours=known.pod_hours + hours
        )

    async def planned(self, plan: Plan) -> None:
        """Account for the time up to a plan, and save: the store decides when it writes."""
        self._speaks = plan.observation.standing.leader or not self.writes
        if not self._recall():
            return
        self._take(plan)
        await self.offload(self.store.save, self.ledger)

    def totals(self) -> Mapping[str, PoolSums]:
        """Return what counters show: nothing that a restart could take back, and nothing twice.

        Where a store keeps the ledger that is what it holds; only who leads shows anything.
        """
        if not self._speaks:
            return _NO_TOTALS
        if not self.store.keeps:
            return self.ledger.totals
        saved = self.store.saved
        return saved.totals if saved is not None else _NO_TOTALS

    def _recall(self) -> bool:
        """Take what was kept before; False while that is not known.

        Later on, join what the leader before this process has written since.
        """
        if not self.store.is_settled:
            return False
        found, is_first = self.store.recall(), not self._was_recalled
        self._was_recalled = True
        if found is not None and found.periods:
            self.ledger = found if is_first else joined(self.ledger, found)
            log.info("ledger.recalled", extra={"n_periods": len(found.periods)})
        return True

    def _take(self, plan: Plan) -> None:
        self._startup_s = {d.pool: d.input.startup_s for d in plan.decisions}
        beside = Beside(restarts=self._restarts, alone_usd=self._alone_since())
        self._restarts = {}
        self.ledger, self._pricing = accrue(self.ledger, plan, self._pricing, beside)

    def _alone_since(self) -> float | None:
        """Return what the cluster that is left alone has cost since the last look."""
        if self.alone is None:
            return None
        before, self._alone_usd = self._alone_usd, self.alone().usd
        return None if math.isnan(before) else self._alone_usd - before
