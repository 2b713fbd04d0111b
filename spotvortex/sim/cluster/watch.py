"""What a watch shows of the simulated cluster: the cluster as it was a moment ago.

Comes in: the cluster, captured after each change. Goes out: `History`, the last minutes of it, and
`Watch`, one process's view through a connection that lags, or is cut. May not change the cluster.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.domain.inputs import InputHealth, InputState
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, OwnPod
from spotvortex.core.drain.calls import PodView
from spotvortex.core.pool.survival.eviction import PodEvictability
from spotvortex.errors import UnreachableError
from spotvortex.sim.cluster.facts import FactsCache, inputs, pod_standing, pod_view
from spotvortex.sim.cluster.scenario import NodeGroup
from spotvortex.sim.cluster.state import ClusterObjects

KEPT_S: Final = 300.0
"""How far back a frame is kept: longer than any watch lags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterVersion:
    """The cluster at one instant.

    Attributes:
        at: the instant, seconds since the epoch.
        facts: the whole cluster.
        nodes: each node, by name.
        pods: the pods of each node, by its name.
        standings: the same pods with what holds them.
    """

    at: float
    facts: ClusterFacts
    nodes: Mapping[str, NodeFact]
    pods: Mapping[str, tuple[PodView, ...]]
    standings: Mapping[str, tuple[PodEvictability, ...]]


class History:
    """The last minutes of a cluster."""

    def __init__(self, cluster: ClusterObjects, groups: tuple[NodeGroup, ...], at: float) -> None:
        """Begin with the cluster as it is."""
        self._cluster = cluster
        self._cache = FactsCache(cluster, groups)
        self._frames: deque[ClusterVersion] = deque()
        self._nodes: dict[str, NodeFact] = {}
        self._pods: dict[str, tuple[PodView, ...]] = {}
        self._standings: dict[str, tuple[PodEvictability, ...]] = {}
        self.capture(at)

    def capture(self, at: float) -> None:
        """Keep the cluster as it is now."""
        changed = set(self._cluster.changed_nodes)
        facts = self._cache.facts(0.0)
        if changed or not self._frames:
            self._renew(changed or set(self._cluster.nodes))
        frame = ClusterVersion(
            at=at, facts=facts, nodes=self._nodes, pods=self._pods, standings=self._standings
        )
        if self._frames and self._frames[-1].at >= at:
            self._frames.pop()
        self._frames.append(frame)
        while self._frames[0].at < at - KEPT_S:
            self._frames.popleft()

    def _renew(self, changed: set[str]) -> None:
        """Copy what is kept, so that frames share what has not changed."""
        self._nodes, self._pods = dict(self._nodes), dict(self._pods)
        self._standings = dict(self._standings)
        for name in sorted(changed):
            node = self._cluster.nodes.get(name)
            if node is None:
                for kept in (self._nodes, self._pods, self._standings):
                    kept.pop(name, None)
                continue
            pods = sorted(node.pods.values(), key=lambda p: (p.workload.namespace, p.name))
            self._nodes[name] = self._cache.nodes[name]
            self._pods[name] = tuple(map(pod_view, pods))
            self._standings[name] = tuple(map(pod_standing, pods))

    def latest(self) -> ClusterVersion:
        """Return the newest frame."""
        return self._frames[-1]

    def as_of(self, at: float) -> ClusterVersion:
        """Return the newest frame of a time or before, the oldest kept where there is none."""
        index = bisect_right(self._frames, at, key=lambda frame: frame.at)
        return self._frames[max(0, index - 1)]


class Watch:
    """Implements `ports.ClusterView` for one process.

    Args:
        frames: the cluster.
        clock: the true time, seconds since the epoch.
        lag_s: how far behind the watch is.
        stale_after_s: the age from which an input says that it is stale.
    """

    def __init__(
        self, frames: History, clock: Callable[[], float], lag_s: float, stale_after_s: float
    ) -> None:
        self._frames = frames
        self._clock = clock
        self.lag_s = lag_s
        self._stale_after_s = stale_after_s
        self._cut_at: float | None = None
        self._shown_at = float("-inf")
        self._fresh: dict[str, ClusterVersion] = {}

    def cut(self) -> None:
        """Cut the connection: nothing comes through."""
        self._cut_at = self._clock() if self._cut_at is None else self._cut_at

    def heal(self) -> None:
        """Restore the connection: everything comes through again."""
        self._cut_at = None

    def _frame(self) -> ClusterVersion:
        """Return what is shown now; a watch never goes back."""
        until = self._clock() - self.lag_s
        if self._cut_at is not None:
            until = min(until, self._cut_at - self.lag_s)
        self._shown_at = max(self._shown_at, until)
        return self._frames.as_of(self._shown_at)

    def _frame_of(self, node: str) -> ClusterVersion:
        """Return what is shown of one node, which may have been read anew."""
        shown, fresh = self._frame(), self._fresh.get(node)
        if fresh is None or fresh.at <= shown.at:
            self._fresh.pop(node, None)
            return shown
        return fresh

    async def synced(self) -> None:
        """Wait while the connection is cut: nothing has been read yet."""
        while self._cut_at is not None:  # noqa: ASYNC110 - heals, or the process is stopped
            await asyncio.sleep(1.0)

    def snapshot(self, now: float) -> ClusterFacts:
        """Return the cluster as the watch shows it."""
        return replace(self._frame().facts, inputs=self.health(now))

    def health(self, now: float) -> tuple[InputHealth, ...]:  # noqa: ARG002 - as the port
        """Return the age of each input: the time since the connection was last seen alive."""
        age_s = 0.0 if self._cut_at is None else self._clock() - self._cut_at
        if age_s <= self._stale_after_s:
            return inputs(age_s)
        return tuple(replace(h, state=InputState.STALE) for h in inputs(age_s))

    def node(self, name: str) -> NodeFact | None:
        """Return one node as shown."""
        return self._frame_of(name).nodes.get(name)

    def pods_on(self, node: str) -> tuple[PodView, ...]:
        """Return the pods bound to a node as shown."""
        return self._frame_of(node).pods.get(node, ())

    def standings_on(self, node: str) -> tuple[PodEvictability, ...]:
        """Return the same pods with what holds them."""
        return self._frame_of(node).standings.get(node, ())

    def own_pods(self, for_uid: str) -> tuple[OwnPod, ...]:
        """Return the controller's pods that are about one node, sorted by name."""
        return tuple(p for p in self._frame().facts.own_pods if p.for_uid == for_uid)

    async def refresh(self, node: str) -> None:
        """Read one node anew.

        Raises:
            UnreachableError: the connection is cut.
        """
        if self._cut_at is not None:
            raise UnreachableError(f"GET nodes/{node}: the connection is cut")
        self._fresh[node] = self._frames.latest()
