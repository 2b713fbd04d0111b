"""How much more room than was lost is asked for at notices, and what that is learned from.

Comes in: the controller's own pods and the nodes that they were bound to; then the orders for lost
nodes of an observation, with what an extra node costs and spares. Goes out: how long nodes take
from being asked for to Ready, the ratio that follows from it, and the same orders, some of which
ask for the room of their node twice. May not ask for more than pays, than the limits of the
receiving groups leave, nor where extras cannot be given back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

from spotvortex.core.domain.autoscaling import is_autoscaled, is_slow
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, NodeGroupFact, Observation
from spotvortex.core.domain.types import short
from spotvortex.core.drain.messages import DrainOrder, InFlight, OrderKind

UNKNOWN_RATIO: Final = 0.3
"""The ratio while too few launches are known: the one that the policy study found to remove 30 to
60 % of the outage minutes for at most 0.2 % of net profit."""

IN_TIME_S: Final = 75.0
"""Seconds from a notice in which a new node has to be Ready so that nothing is evicted before: two
minutes less the usual grace of 30 s and the margin of 15 s of `progress`."""

LEAST_KNOWN: Final = 5
"""Launches from which on what was learned counts."""

MOST_KNOWN: Final = 50
"""Launches of which the latest counts at least so much: older ones fade."""

ASKED_BEFORE_S: Final = 2.0
"""Seconds by which a node may be older than the pod that asked for it: clocks tell whole seconds
only. A node that is older yet was there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchTimes:
    """How long nodes have taken from being asked for to Ready, as logarithms of seconds.

    Attributes:
        n: launches that count, at most `MOST_KNOWN`.
        mean: mean of the logarithms.
        variance: their variance.
        until: wall time of the latest of them, so that none is counted twice.
    """

    n: int = 0
    mean: float = 0.0
    variance: float = 0.0
    until: float = 0.0

    def with_launch(self, seconds: float, at: float) -> LaunchTimes:
        """Return the same with one launch more."""
        n = min(self.n + 1, MOST_KNOWN)
        off = math.log(max(1.0, seconds)) - self.mean
        return LaunchTimes(
            n=n,
            mean=self.mean + off / n,
            variance=(1.0 - 1.0 / n) * (self.variance + off * off / n),
            until=max(self.until, at),
        )


NO_LAUNCHES: Final = LaunchTimes()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpread:
    """What is known of the launches of a pool when nodes are lost.

    Attributes:
        n: launches whose time is known.
        median_s: median time from being asked for to Ready, in seconds.
        sigma: standard deviation of the logarithm of that time.
        failed_ratio: share of the launches on the pool's offerings that failed, 0..1.
    """

    n: int = 0
    median_s: float = 0.0
    sigma: float = 0.0
    failed_ratio: float = 0.0

    @property
    def in_time_ratio(self) -> float:
        """How likely a node that is asked for at a notice is Ready in time, 0..1."""
        late = math.log(IN_TIME_S / max(1.0, self.median_s))
        if self.sigma <= 0.0:
            return (1.0 - self.failed_ratio) * float(late >= 0.0)
        return (1.0 - self.failed_ratio) * NormalDist().cdf(late / self.sigma)

    @property
    def late_s(self) -> float:
        """By how much a node that is not Ready in time is late, in the mean, in seconds.

        What is left of a log-normal time beyond `IN_TIME_S`; a launch that failed is begun again,
        and takes the median time once more.
        """
        in_time = self.in_time_ratio
        if in_time >= 1.0:
            return 0.0
        beyond = (1.0 - self.failed_ratio) * self._mean_beyond_s()
        return (beyond + self.failed_ratio * self.median_s) / (1.0 - in_time)

    def _mean_beyond_s(self) -> float:
        """Return E[max(0, T - c)] = m exp(s^2 / 2) Phi(s - z) - c Phi(-z), z = ln(c / m) / s."""
        median = max(1.0, self.median_s)
        if self.sigma <= 0.0:
            return max(0.0, median - IN_TIME_S)
        z, phi = math.log(IN_TIME_S / median) / self.sigma, NormalDist().cdf
        mean = median * math.exp(self.sigma * self.sigma / 2.0)
        return max(0.0, mean * phi(self.sigma - z) - IN_TIME_S * phi(-z))


UNKNOWN_SPREAD: Final = LaunchSpread()

ASSUMED_SPREAD: Final = LaunchSpread(median_s=50.0, sigma=0.443, failed_ratio=0.05)
"""Launches while too few are known: 50 s in the median and 140 s at p99, as in published logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """What one node more than was lost costs and spares; for a plan of any size.

    Attributes:
        most_ratio: extras as a share of what was lost, at most.
        in_time_ratio: how likely a node that is asked for at a notice is Ready in time, 0..1.
        late_s: by how much it is late otherwise, in seconds.
        outage_usd: what losing one node costs its workloads, as their owners say.
        saved_usd: what an extra that is needed and in time spares of that.
        node_usd: what an extra costs from its launch until it has been given back.
    """

    most_ratio: float = 0.0
    in_time_ratio: float = 0.0
    late_s: float = 0.0
    outage_usd: float = 0.0
    saved_usd: float = 0.0
    node_usd: float = 0.0

    def n_extra(self, n_lost: int) -> int:
        """Return how many extras pay where so many nodes are lost.

        The k-th is needed where d + k - 1 launches do not give d nodes in time: 1 less the sum over
        j < k of C(d + j - 1, j) p^d (1 - p)^j (negative binomial distribution). It pays while that
        chance times p times what it spares is more than it costs. Each is needed less often than
        the one before.
        """
        p, most = self.in_time_ratio, math.ceil(self.most_ratio * n_lost - 1e-9)
        if not 0.0 < p < 1.0:
            return 0
        found, needed, log_term = 0, 1.0, n_lost * math.log(p)
        for j in range(most):
            needed -= math.exp(log_term)
            if needed * p * self.saved_usd <= self.node_usd:
                break
            found += 1
            log_term += math.log((n_lost + j) / (j + 1) * (1.0 - p))
        return found


NO_HEDGE: Final = Hedge()


def learned(known: Mapping[str, LaunchTimes], cluster: ClusterFacts) -> dict[str, LaunchTimes]:
    """Add the launches of each pool that this observation shows for the first time.

    One launch a node: from the creation of the earliest placeholder on it to its binding, which the
    scheduler does once the node is Ready.
    """
    nodes = {node.name: node for node in cluster.nodes}
    first: dict[str, tuple[float, float]] = {}
    for pod in cluster.own_pods:
        node = nodes.get(pod.node)
        if pod.kind is not PodKind.PLACEHOLDER or pod.bound_at is None or node is None:
            continue
        if node.created_at >= pod.created_at - ASKED_BEFORE_S:
            came = pod.bound_at, pod.created_at
            first[node.name] = min(first.get(node.name, came), came)
    found = {pool.name: known.get(pool.name, NO_LAUNCHES) for pool in cluster.pools}
    for name, (bound_at, asked_at) in sorted(first.items(), key=lambda item: item[1]):
        pool = nodes[name].pool
        if pool in found and bound_at > known.get(pool, NO_LAUNCHES).until:
            found[pool] = found[pool].with_launch(bound_at - asked_at, bound_at)
    return found


def spread_of(times: LaunchTimes, n_launched: float, n_failed: float) -> LaunchSpread:
    """Return what is known of a pool's launches.

    Args:
        times: how long they took.
        n_launched: launches on its offerings that came up, as the memory counts them.
        n_failed: launches on them that failed.
    """
    asked = n_launched + n_failed
    return LaunchSpread(
        n=times.n,
        median_s=short(math.exp(times.mean)) if times.n else 0.0,
        sigma=short(math.sqrt(times.variance)),
        failed_ratio=short(n_failed / asked) if asked > 0.0 else 0.0,
    )


def hedge_ratio(spread: LaunchSpread, most: float) -> float:
    """Return the extra room as a share of what was lost, at most `most`.

    Each launch is Ready in time with probability p. Until d of them are, d / p have to be begun in
    the mean (negative binomial distribution), so (1 - p) / p of d are extra.
    """
    if spread.n < LEAST_KNOWN:
        return min(UNKNOWN_RATIO, most)
    p = spread.in_time_ratio
    return short((1.0 - p) / p) if p > 1.0 / (1.0 + most) else most


def with_extras(
    orders: Iterable[DrainOrder],
    flying: InFlight,
    observation: Observation,
    hedges: Mapping[str, Hedge],
) -> list[DrainOrder]:
    """Let as many orders of each plan ask for their room twice as pays in its pool.

    That is counted of all lost nodes of a plan, those in flight included, less those that do so
    already, and no more than the groups' limits leave beyond the room of all of them.
    """
    found = list(orders)
    plans: dict[str, list[DrainOrder]] = {}
    for order in (*flying.orders, *found):
        if order.kind is OrderKind.INTERRUPTION and _can_give_back(order):
            plans.setdefault(order.plan_id, []).append(order)
    new = {order.uid for order in found}
    chosen: set[str] = set()
    for plan in plans.values():
        n_paying = hedges.get(plan[0].pool, NO_HEDGE).n_extra(len(plan))
        n_extra = min(n_paying, _left_beyond(plan, observation))
        n_extra -= sum(order.hedged for order in plan)
        # What is in hand was chosen a moment ago, and is not shown as in flight yet.
        fresh = sorted(
            (order for order in plan if order.uid in new),
            key=lambda o: (o.uid not in observation.in_hand, o.deadline, o.node),
        )
        chosen.update(order.uid for order in fresh[: max(0, n_extra)])
    return [replace(order, hedged=True) if order.uid in chosen else order for order in found]


def _can_give_back(order: DrainOrder) -> bool:
    """Tell whether the provisioner of an order's room makes nodes for pods, and ends empty ones.

    Cluster Autoscaler keeps an empty node for ten minutes, and who grows a group by its size makes
    no node for an extra pod.
    """
    return (
        bool(order.sides)
        and not is_slow(order.claim)
        and not any(is_autoscaled(side) for side in order.sides)
    )


def _left_beyond(plan: list[DrainOrder], observation: Observation) -> int:
    """Return for how many nodes more than those of a plan the limits of its groups leave room."""
    sides = {side for order in plan for side in order.sides}
    lost = {order.uid for order in plan}
    pool = next((p for p in observation.cluster.pools if p.name == plan[0].pool), None)
    if pool is None:
        return 0
    nodes = [node for node in pool.nodes if node.uid in lost]
    room = sum(_nodes_left(group, nodes) for group in pool.node_groups if group.name in sides)
    return max(0, int(min(room, 1e9)) - len(plan))


def _nodes_left(group: NodeGroupFact, like: list[NodeFact]) -> float:
    """Return how many nodes as large as the largest of these a group's limits leave room for."""
    cpu = max((node.allocatable_cpu_milli for node in like), default=0)
    memory = max((node.allocatable_memory_bytes for node in like), default=0)
    left = (
        (group.cpu_left_milli, cpu),
        (group.memory_left_bytes, memory),
        (group.nodes_left, 1),
    )
    return min(
        (n // size for n, size in left if n is not None and size > 0),
        default=math.inf,
    )
