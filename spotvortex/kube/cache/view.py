"""The cluster as kept up to date by watches: the port `ClusterView` over a real API server.

Comes in: a client. Goes out: snapshots, health and the pods of a node. Reads only. `run` has to be
running for anything to arrive; it ends only when told to.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from random import Random
from typing import Any, Final

from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, OwnPod
from spotvortex.core.domain.usage import Amount
from spotvortex.core.drain.calls import PodView
from spotvortex.core.pool.survival.eviction import PodEvictability
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.reflector import ObjectSink, Reflector
from spotvortex.kube.api.wire import karpenter as karpenter_wire
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire import owners as owner_wire
from spotvortex.kube.api.wire.codec import Codec, Obj
from spotvortex.kube.api.wire.events import Event
from spotvortex.kube.cache.groups.autoscaler import AutoscalerWatch
from spotvortex.kube.cache.groups.growths import GrowthWatch
from spotvortex.kube.cache.groups.node_groups import AutoscalerUse
from spotvortex.kube.cache.inputs import (
    INTERRUPTIONS,
    LAUNCHES,
    NAMESPACES,
    NODEPOOLS,
    NODES,
    OWNERS,
    PDBS,
    PODS,
    PROBE_EVERY_S,
    STATEFUL_SETS,
    Input,
    confirm_by_probes,
    health_of,
)
from spotvortex.kube.cache.refresh import NodeRefresher
from spotvortex.kube.cache.snapshot import SnapshotBuilder
from spotvortex.kube.cache.store import Store
from spotvortex.ports.edges import Traffic

OPTIONAL_WAIT_S: Final = 10.0
"""How long `synced` waits for inputs that are not required."""

REMIND_EVERY_S: Final = 30.0
FIRST_LIST_S: Final = 300.0
"""Longest time without garbage collection while the first lists come in."""

log = logging.getLogger(__name__)


class KubeClusterView:
    """Implements `spotvortex.ports.ClusterView` by list and watch.

    An input that was not confirmed for `stale_after_s` seconds is stale. Placeholders and anchors
    are looked for in `namespace`.
    """

    def __init__(
        self,
        client: KubeClient,
        rng: Random,
        stale_after_s: float,
        namespace: str = "",
        use: AutoscalerUse = AutoscalerUse.NEVER,
    ) -> None:
        self._client = client
        self._rng = rng
        self._stale_after_s = stale_after_s
        store = self._store = Store(namespace, use)
        autoscaled = store.node_pools.autoscaled
        self._autoscaler = (
            None if use is AutoscalerUse.NEVER else AutoscalerWatch(client, autoscaled.take)
        )
        self.take_scaling = autoscaled.take_scaling
        self.growths = GrowthWatch(client, namespace, autoscaled.take_growths)
        fresh = self._fresh = NodeRefresher(client, store)
        self._cluster = SnapshotBuilder(store)
        self._seen = False
        self.reflectors: dict[Input, Reflector[Any]] = {
            NODES: self._reflector(NODES, Codec(wire.Node), fresh.nodes),
            PODS: self._reflector(PODS, Codec(wire.Pod), fresh.pods),
            PDBS: self._reflector(PDBS, Codec(wire.Pdb), fresh.budgets),
            OWNERS: self._reflector(OWNERS, Codec(owner_wire.Owner), store.workloads),
            STATEFUL_SETS: self._reflector(
                STATEFUL_SETS, Codec(owner_wire.Owner), store.workloads.stateful_sets
            ),
            NAMESPACES: self._reflector(
                NAMESPACES, Codec(owner_wire.Owner), store.workloads.namespaces
            ),
            NODEPOOLS: self._reflector(NODEPOOLS, Codec(karpenter_wire.NodePool), store.node_pools),
            INTERRUPTIONS: self._reflector(INTERRUPTIONS, Codec(Event), store.interruptions),
            LAUNCHES: self._reflector(LAUNCHES, Codec(Event), store.launches),
        }

    def _reflector(
        self, watched: Input, codec: Codec[Obj], sink: ObjectSink[Obj]
    ) -> Reflector[Obj]:
        return Reflector(self._client, watched.resource, codec, sink, self._rng)

    @property
    def n_requests(self) -> Counter[str]:
        """Requests sent, by verb."""
        return self._client.n_requests

    def traffic(self) -> Traffic:
        """Return what was asked of the API server since start."""
        reflectors = {r.resource.name: r for r in self.reflectors.values()}
        return Traffic(
            requests=dict(self.n_requests),
            relists={name: r.n_relists for name, r in reflectors.items()},
            skipped={name: r.n_skipped for name, r in reflectors.items()},
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the view up to date until told to stop."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(r.run()) for r in self.reflectors.values()]
            watched = self.reflectors.values()
            probes = confirm_by_probes(self._client, watched, "view", PROBE_EVERY_S)
            tasks.append(group.create_task(probes))
            tasks.append(group.create_task(self._first_lists()))
            if self._autoscaler is not None:
                tasks.append(group.create_task(self._autoscaler.run()))
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _first_lists(self) -> None:
        """Keep the garbage collector out of the first lists, and what they bring out of it.

        A collection in mid-list walks everything that the page brought, for nothing.
        """
        with _collector_off():
            try:
                async with asyncio.timeout(FIRST_LIST_S):
                    for reflector in self.reflectors.values():
                        await reflector.settled.wait()
            except TimeoutError:
                log.warning("view.first_list_slow", extra={"seconds": FIRST_LIST_S})

    async def synced(self) -> None:
        """Wait until every required resource has been listed once, and the others have had time.

        A right that is missing is logged again and again, since nothing else will happen.
        """
        for watched, reflector in self.reflectors.items():
            while watched.required and not reflector.listed.is_set():
                try:
                    await asyncio.wait_for(reflector.listed.wait(), REMIND_EVERY_S)
                except TimeoutError:
                    self._remind(watched, reflector)
        try:
            async with asyncio.timeout(OPTIONAL_WAIT_S):
                for reflector in self.reflectors.values():
                    await reflector.settled.wait()
                if self._autoscaler is not None:
                    await self._autoscaler.first.wait()
        except TimeoutError:
            log.warning("view.synced_in_part")

    def _remind(self, watched: Input, reflector: Reflector[Any]) -> None:
        health = self._health(watched, reflector)
        log.warning("view.waiting", extra={"input": health.name, "detail": health.detail})

    def snapshot(self, now: float) -> ClusterFacts:
        """Return the cluster at this instant; unchanged parts are the same objects as before."""
        if self._seen:
            return self._cluster.snapshot(self.health(now))
        # What the first snapshot makes lives as long as the lists that it was made from.
        with _collector_off():
            self._seen = True
            return self._cluster.snapshot(self.health(now))

    def health(self, now: float) -> tuple[InputHealth, ...]:  # noqa: ARG002
        """Return the state and age of each resource; ages are differences of the loop's clock."""
        return tuple(self._health(watched, r) for watched, r in self.reflectors.items())

    def _health(self, watched: Input, reflector: Reflector[Any]) -> InputHealth:
        age_s = asyncio.get_running_loop().time() - reflector.last_confirmed
        return health_of(watched, reflector, age_s, self._stale_after_s)

    def node(self, name: str) -> NodeFact | None:
        """Return one node as it is now, None where there is none of that name."""
        return self._cluster.node(name)

    async def refresh(self, node: str) -> None:
        """Read a node, its pods and their budgets anew, and take them as if watched.

        Raises:
            ApiError: something could not be read.
        """
        await self._fresh.refresh(node)

    @property
    def n_pods(self) -> int:
        """Number of pods in the cluster."""
        return len(self._store.pods)

    @property
    def has_pods(self) -> bool:
        """Whether they have all been listed once."""
        return self.reflectors[PODS].listed.is_set()

    def node_names(self) -> AbstractSet[str]:
        """Return the names of all nodes."""
        return self._store.nodes.keys()

    def asked(self, key: str) -> tuple[str, Amount] | None:
        """Return a pod's workload and what it requests, None of one unknown or without an owner."""
        pod = self._store.pods.get(key)
        if pod is None or not pod.owner:
            return None
        workload = self._store.workloads.name_of(pod.owner)
        return workload, Amount(pod.cpu_milli, pod.memory_bytes)

    def own_pods(self, for_uid: str) -> tuple[OwnPod, ...]:
        """Return the placeholders and anchors that are about one node, sorted by name."""
        return self._store.own_pods_about(for_uid)

    def pods_on(self, node: str) -> tuple[PodView, ...]:
        """Return the pods bound to a node, sorted by namespace and name."""
        pods = self._store.pods
        views = (pods.view_of(pod) for pod in pods.on(node))
        return tuple(sorted(views, key=lambda v: (v.namespace, v.name)))

    def standings_on(self, node: str) -> tuple[PodEvictability, ...]:
        """Return the pods bound to a node with what holds them, sorted by namespace and name."""
        pods = self._store.pods
        found = (pods.standing_of(pod) for pod in pods.on(node))
        return tuple(sorted(found, key=lambda s: (s.namespace, s.name)))


@contextmanager
def _collector_off() -> Iterator[None]:
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()
