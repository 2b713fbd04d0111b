"""What a run costs and what it serves, by hours and days, to the cent.

Comes in: the cluster's changes after each step of the world, and prices. Goes out: `DayTotals`,
hours and events. Each node is billed from its launch to its end at the price of every second, at
least a minute, as EC2 does; pods are counted as the share of a node that they would fill. May not
change anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.results.accounting import DayTotals
from spotvortex.results.timeline import EventKind, Hour, TimelineEvent
from spotvortex.sim.cluster.objects import SimNode
from spotvortex.sim.cluster.scenario import Workload, WorkloadKind
from spotvortex.sim.cluster.state import ClusterObjects
from spotvortex.sim.market.instance_types import instance_type_of

DAY_S: Final = 86_400.0
HOUR_S: Final = 3600.0
MINIMUM_S: Final = 60.0
"""EC2 bills Linux instances by the second, a minute at least."""

_SERVING: Final = (WorkloadKind.DEPLOYMENT, WorkloadKind.STATEFUL_SET)


class Prices(Protocol):
    """What billing asks of a market."""

    def on_demand_usd_per_hour(self, offering: Offering) -> float:
        """Return the list price."""
        ...

    def spot_usd(self, offering: Offering, since: float, until: float) -> float:
        """Return what one Spot node costs from a time to another, in USD."""
        ...


@dataclass(slots=True)
class _Sums:
    """What is being added up for one day."""

    node_usd: float = 0.0
    demanded_od_usd: float = 0.0
    unserved_od_usd: float = 0.0
    moved: float = 0.0
    interrupted: float = 0.0
    n_moved: int = 0
    n_interrupted: int = 0
    outage_s: float = 0.0
    unserved_node_s: float = 0.0
    node_s: float = 0.0
    spot_node_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Serving:
    """How much workloads want and how much they lack, in nodes and in on-demand money."""

    wanted_usd_per_hour: float = 0.0
    unserved: float = 0.0
    unserved_usd_per_hour: float = 0.0
    n_out: int = 0


@dataclass(slots=True, kw_only=True)
class Billing:
    """Counts what one world costs and serves.

    Attributes:
        cluster: the cluster that is counted.
        prices: what nodes cost.
        since: the start, seconds since the epoch.
        unit_of: by pool, the offering in whose nodes demand is counted.
        spare: by workload, pods that are wanted beyond its demand, and so never missed.
        outage_minutes: by workload, what an interruption costs it; one of a node then counts by the
            mean of its pods, weighted by their CPU requests. None where each counts once.
        growth_grace_s: for so long pods that a workload has grown by are not missed in outages: no
            provisioner has nodes for them at once.
        days: the sums of the days that are over.
        hours: the hours that are over.
        events: interruptions and moves, in order of time.
        n_launch_failures: launches that have failed since the day began.
    """

    cluster: ClusterObjects
    prices: Prices
    since: float
    unit_of: dict[str, Offering]
    spare: dict[str, int] = field(default_factory=dict)
    outage_minutes: Mapping[str, float] | None = None
    growth_grace_s: float = 0.0
    days: list[DayTotals] = field(default_factory=list)
    hours: list[Hour] = field(default_factory=list)
    events: list[TimelineEvent] = field(default_factory=list)
    n_launch_failures: int = 0
    _sums: _Sums = field(default_factory=_Sums)
    _serving: dict[str, _Serving] = field(default_factory=dict)
    _total: _Serving = field(default_factory=_Serving)
    _billed_until: dict[str, float] = field(default_factory=dict)
    _at_hour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _on_demand_usd: float = 0.0
    _settled: dict[str, int] = field(default_factory=dict)
    _grown_until: dict[str, float] = field(default_factory=dict)

    def step(self, at: float, seconds: float) -> None:
        """Take note of one step of the world, which ends at a time."""
        news = self.cluster.news
        for node, ended_at in news.removed:
            self._bill(node, ended_at)
            self._billed_until.pop(node.uid, None)
        for node in news.moved:
            self._note(at, EventKind.MOVE, node)
        due = {key for key, until in self._grown_until.items() if until <= at}
        if news.workloads or due:
            self._recount((*news.workloads, *due), at)
        self._add(seconds)
        if at - self.since >= HOUR_S * (len(self.hours) + 1):
            self._close_hour(at)
        if at - self.since >= DAY_S * (len(self.days) + 1):
            self._close_day()

    def struck(self, node: SimNode, at: float) -> None:
        """Take note of a node that the provider takes away."""
        self._note(at, EventKind.INTERRUPTION, node)

    def _note(self, at: float, kind: EventKind, node: SimNode) -> None:
        per_minute = self.prices.on_demand_usd_per_hour(node.offering) / 60.0
        if kind is EventKind.MOVE:
            self._sums.n_moved += 1
            self._sums.moved += per_minute
        else:
            self._sums.n_interrupted += 1
            self._sums.interrupted += per_minute * self._weight(node)
        at_h = (at - self.since) / HOUR_S
        self.events.append(TimelineEvent(at_h=at_h, kind=kind, detail=str(node.offering)))

    def _weight(self, node: SimNode) -> float:
        """Return by what an interruption of a node counts, 0 of an empty one that is weighed."""
        if self.outage_minutes is None:
            return 1.0
        pods = node.movable
        cpu = sum(pod.workload.cpu_milli for pod in pods)
        minutes = sum(self.outage_minutes[p.workload.key] * p.workload.cpu_milli for p in pods)
        return minutes / cpu if cpu else 0.0

    def _bill(self, node: SimNode, until: float) -> None:
        since = self._billed_until.get(node.uid, max(node.created_at, self.since))
        if until <= since:
            return
        if node.created_at == since:
            until = max(until, since + MINIMUM_S)
        seconds = until - since
        is_spot = node.capacity_type is CapacityType.SPOT
        if is_spot:
            usd = self.prices.spot_usd(node.offering, since, until)
        else:
            usd = self.prices.on_demand_usd_per_hour(node.offering) * seconds / HOUR_S
            self._on_demand_usd += usd
        self._sums.node_usd += usd
        self._sums.node_s += seconds
        self._sums.spot_node_s += seconds if is_spot else 0.0
        self._billed_until[node.uid] = until

    def _recount(self, keys: Iterable[str], at: float) -> None:
        # In one order: a sum of floats by another order is another number.
        for key in sorted(keys):
            workload = self.cluster.workloads.get(key)
            if workload is not None and workload.kind in _SERVING:
                self._serving[key] = self._served(workload, at)
        found = self._serving.values()
        self._total = _Serving(
            wanted_usd_per_hour=sum(s.wanted_usd_per_hour for s in found),
            unserved=sum(s.unserved for s in found),
            unserved_usd_per_hour=sum(s.unserved_usd_per_hour for s in found),
            n_out=sum(s.n_out for s in found),
        )

    def _served(self, workload: Workload, at: float) -> _Serving:
        unit = self.unit_of[workload.pool]
        share = 1.0 / pods_per_node(unit.instance_type, workload)
        price = self.prices.on_demand_usd_per_hour(unit)
        wanted = max(0, workload.replicas - self.spare.get(workload.key, 0))
        missing = max(0, wanted - self.cluster.healthy(workload))
        allowed = wanted - workload.desired_healthy if workload.has_budget else 0
        missed = max(0, self._expected(workload.key, wanted, at) - self.cluster.healthy(workload))
        return _Serving(
            wanted_usd_per_hour=wanted * share * price,
            unserved=missing * share,
            unserved_usd_per_hour=missing * share * price,
            n_out=int(missed > max(0, allowed)),
        )

    def _expected(self, key: str, wanted: int, at: float) -> int:
        """Return how many pods a workload can be expected to have: growth counts after a while."""
        settled = self._settled.get(key, wanted)
        has_grown = wanted > settled and self.growth_grace_s > 0.0
        if has_grown and self._grown_until.setdefault(key, at + self.growth_grace_s) > at:
            return settled
        self._grown_until.pop(key, None)
        self._settled[key] = wanted
        return wanted

    def _add(self, seconds: float) -> None:
        sums, hours = self._sums, seconds / HOUR_S
        sums.demanded_od_usd += self._total.wanted_usd_per_hour * hours
        sums.unserved_od_usd += self._total.unserved_usd_per_hour * hours
        sums.unserved_node_s += self._total.unserved * seconds
        sums.outage_s += self._total.n_out * seconds

    def _close_hour(self, at: float) -> None:
        for node in self.cluster.nodes.values():
            self._bill(node, at)
        now = (self._sums.node_usd, self._sums.node_s, self._sums.spot_node_s)
        usd, node_s, spot_s = (a - b for a, b in zip(now, self._at_hour, strict=True))
        self._at_hour = now
        self.hours.append(
            Hour(
                at_h=(at - self.since) / HOUR_S,
                cost_usd_per_hour=usd,
                spot_ratio=spot_s / node_s if node_s > 0.0 else 0.0,
                n_nodes=len(self.cluster.nodes),
                on_demand_usd=self._on_demand_usd,
            )
        )
        self._on_demand_usd = 0.0

    def _close_day(self) -> None:
        sums = self._sums
        self.days.append(
            DayTotals(
                day=len(self.days),
                node_usd=sums.node_usd,
                demanded_od_usd=sums.demanded_od_usd,
                unserved_od_usd=sums.unserved_od_usd,
                all_on_demand_usd=0.0,
                moved_od_usd_per_minute=sums.moved,
                interrupted_od_usd_per_minute=sums.interrupted,
                n_moved=sums.n_moved,
                n_interrupted=sums.n_interrupted,
                n_launch_failures=self.n_launch_failures,
                outage_minutes=sums.outage_s / 60.0,
                unserved_node_minutes=sums.unserved_node_s / 60.0,
                node_minutes=sums.node_s / 60.0,
                spot_node_minutes=sums.spot_node_s / 60.0,
            )
        )
        self._sums, self._at_hour = _Sums(), (0.0, 0.0, 0.0)
        self.n_launch_failures = 0


def pods_per_node(instance_type: str, workload: Workload) -> int:
    """Return how many pods of a workload fill a node of a type, at least one."""
    machine = instance_type_of(instance_type)
    by_cpu = machine.cpu_milli // max(1, workload.cpu_milli)
    by_memory = machine.memory_bytes // max(1, workload.memory_bytes)
    return max(1, min(by_cpu, by_memory))
