"""All that is kept of the cluster, and the sums that are computed from it.

Comes in: objects, through one sink a resource. Goes out: loads of nodes, rows of nodes, facts of
NodePools and budgets, and what has changed since it was last asked. May not know how objects
arrive, and makes no snapshot: `cluster` does.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace

from spotvortex.core.domain.cloud.exits import MAX_EXITS, ExitNotice, NodeExit
from spotvortex.core.domain.observation import (
    BlockedWorkload,
    NodeGroupFact,
    NodeLoad,
    OwnPod,
)
from spotvortex.core.domain.types import Blocker
from spotvortex.core.domain.workloads import WorkloadFact
from spotvortex.core.drain.calls import PodView
from spotvortex.core.pool.survival.eviction import PodEvictability
from spotvortex.kube.api.wire import karpenter as karpenter_wire
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.events import Event
from spotvortex.kube.cache.groups.node_groups import AutoscaledGroups, AutoscalerUse
from spotvortex.kube.cache.indexes import DirtySet
from spotvortex.kube.cache.launch_events import LaunchEvents
from spotvortex.kube.cache.nodes import GroupNames, NodeRow, named_pool, node_pool_fact, row_of
from spotvortex.kube.cache.own_pods import OwnPods
from spotvortex.kube.cache.pods import PodCosts, PodRecord, is_finished, record_of
from spotvortex.kube.cache.workloads.facts import workload_fact
from spotvortex.kube.cache.workloads.label_sets import MatchedPdbs
from spotvortex.kube.cache.workloads.owners import Workloads
from spotvortex.kube.cache.workloads.pdbs import Lookup


class Pods:
    """Unfinished pods by key and by node, and the controller's own; the sink of pods."""

    def __init__(
        self, changes: DirtySet, workloads: Workloads, budgets: MatchedPdbs, own: OwnPods
    ) -> None:
        self._changes = changes
        self._own = own
        self._workloads = workloads
        self._budgets = budgets
        self._pods: dict[str, PodRecord] = {}
        self._on_node: dict[str, dict[str, PodRecord]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def keys(self) -> AbstractSet[str]:
        """Return the pods known, `namespace/name`."""
        finished = self._own.keys() - self._pods.keys()
        return self._pods.keys() | finished if finished else self._pods.keys()

    def put(self, key: str, obj: wire.Pod) -> None:
        """Take a pod; a finished one is forgotten, unless the controller made it."""
        ours = self._own.put(key, obj)
        if is_finished(obj):
            self._forget(key)
            return
        new = record_of(key, obj, self._budgets.label_set, ours=ours)
        old = self._pods.get(key)
        if new != old:
            self._pods[key] = new
            self._replace(old, new)

    def remove(self, key: str) -> None:
        """Forget a pod."""
        self._own.remove(key)
        self._forget(key)

    def _forget(self, key: str) -> None:
        old = self._pods.pop(key, None)
        if old is not None:
            self._replace(old, None)

    def _replace(self, old: PodRecord | None, new: PodRecord | None) -> None:
        if new is not None:
            self._on_node.setdefault(new.node, {})[new.key] = new
            self._changes.nodes.add(new.node)
        if old is not None and (new is None or new.node != old.node):
            self._leave(old)
        self._workloads.replace(old, new)
        self._budgets.replace(old, new)

    def _leave(self, pod: PodRecord) -> None:
        pods = self._on_node[pod.node]
        del pods[pod.key]
        if not pods:
            del self._on_node[pod.node]
        self._changes.nodes.add(pod.node)

    def get(self, key: str) -> PodRecord | None:
        """Return one pod, None of a key that is not known."""
        return self._pods.get(key)

    def on(self, node: str) -> Iterator[PodRecord]:
        """Return the pods bound to a node."""
        return iter(self._on_node.get(node, {}).values())

    def load_of(self, node: str) -> NodeLoad:
        """Sum the pods of a node anew."""
        n_pods = n_workload = cpu = memory = workload_cpu = workload_memory = 0
        largest_cpu = largest_memory = n_critical = n_stateful = 0
        costs: list[PodCosts] = []
        blocked: set[tuple[Blocker, str]] = set()
        for pod in self.on(node):
            n_pods += 1
            cpu += pod.cpu_milli
            memory += pod.memory_bytes
            if not pod.stays:
                n_workload += 1
                workload_cpu += pod.cpu_milli
                workload_memory += pod.memory_bytes
                largest_cpu = max(largest_cpu, pod.cpu_milli)
                largest_memory = max(largest_memory, pod.memory_bytes)
                costs.append(pod.costs)
                n_critical += pod.costs.critical
                n_stateful += "/StatefulSet/" in pod.owner
            for blocker in self.blockers_of(pod):
                blocked.add((blocker, self._workloads.workload_of(pod)))
        return NodeLoad(
            n_pods=n_pods,
            n_workload_pods=n_workload,
            cpu_milli=cpu,
            memory_bytes=memory,
            workload_cpu_milli=workload_cpu,
            workload_memory_bytes=workload_memory,
            largest_cpu_milli=largest_cpu,
            largest_memory_bytes=largest_memory,
            outage_hours=_largest(c.outage_hours for c in costs),
            startup_s=_largest(c.startup_s for c in costs),
            blocked=tuple(BlockedWorkload(blocker=b, workload=w) for b, w in sorted(blocked)),
            n_critical_pods=n_critical,
            n_stateful_pods=n_stateful,
        )

    def blockers_of(self, pod: PodRecord) -> tuple[Blocker, ...]:
        """Return everything that speaks against moving a pod; nothing does once it is going."""
        if pod.terminating:
            return ()
        if pod.stays:
            return pod.blockers
        found = pod.blockers
        if self._workloads.is_single(pod):
            found = (*found, Blocker.SINGLE_REPLICA)
        # The Eviction API refuses a pod that more than one budget covers, always; it asks no
        # budget about a pending one.
        if not pod.pending and self._budgets.n_budgets(pod) > 1:
            found = (*found, Blocker.TWO_PDBS)
        return found

    def view_of(self, pod: PodRecord) -> PodView:
        """Return a pod as a drain sees it."""
        namespace, _, name = pod.key.partition("/")
        return PodView(
            namespace=namespace,
            name=name,
            uid=pod.uid,
            cpu_milli=pod.cpu_milli,
            memory_bytes=pod.memory_bytes,
            grace_s=pod.grace_s,
            stays=pod.stays,
            terminating=pod.terminating,
            blockers=tuple(sorted(self.blockers_of(pod))),
            owner=pod.owner,
        )

    def standing_of(self, pod: PodRecord) -> PodEvictability:
        """Return a pod with everything that speaks against moving it."""
        namespace, _, name = pod.key.partition("/")
        return PodEvictability(
            namespace=namespace,
            name=name,
            uid=pod.uid,
            workload=self._workloads.workload_of(pod),
            ready=pod.ready,
            pending=pod.pending,
            terminating=pod.terminating,
            stays=pod.stays,
            grace_s=pod.grace_s,
            cpu_milli=pod.cpu_milli,
            blockers=tuple(sorted(self.blockers_of(pod))),
            budgets=tuple(sorted(self._budgets.budgets_of(pod.label_set))),
        )


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


class NodePools:
    """NodePools by name, and the names of all groups; the sink of NodePools."""

    def __init__(self, changes: DirtySet, use: AutoscalerUse) -> None:
        self._changes = changes
        self._facts: dict[str, NodeGroupFact] = {}
        self.names = GroupNames()
        self.group_names = GroupNames()
        self.autoscaled = AutoscaledGroups(changes, self.group_names, use)

    def keys(self) -> AbstractSet[str]:
        """Return the NodePools known."""
        return self._facts.keys()

    def put(self, key: str, obj: karpenter_wire.NodePool) -> None:
        """Take a NodePool."""
        named = named_pool(obj)
        if self.names.served.get(key) != named:
            self.names.served[key] = named
            self._changes.pool_names = True
        self._facts[key] = node_pool_fact(obj)
        self._changes.node_pools = True

    def remove(self, key: str) -> None:
        """Forget a NodePool."""
        if self._facts.pop(key, None) is not None:
            del self.names.served[key]
            self._changes.pool_names = self._changes.node_pools = True

    def get(self, name: str) -> NodeGroupFact | None:
        """Return a NodePool without its pool, None where it is not known."""
        return self._facts.get(name)

    def facts(self) -> Iterator[NodeGroupFact]:
        """Return the groups with their pools, by name: NodePools, then what else is grown."""
        for name in sorted(self._facts):
            yield replace(self._facts[name], pool=self.names.pool_of(name))
        yield from self.autoscaled.facts()

    def see(self, row: NodeRow) -> None:
        """Take note of the groups that a node belongs to."""
        new_pool = self.names.see(row.fact.node_group)
        if self.group_names.see(row.node_group) or new_pool:
            self._changes.pool_names = True
        self.autoscaled.see(row)

    def pool_of(self, row: NodeRow) -> str:
        """Return the pool of a node, "" for one that belongs to none."""
        if row.is_control_plane:
            return ""
        if row.pool_label:
            return row.pool_label
        if row.fact.node_group:
            return self.names.pool_of(row.fact.node_group)
        return self.group_names.pool_of(row.node_group) if row.node_group else ""


class Nodes:
    """Nodes by name, and how those went that are gone; the sink of nodes."""

    def __init__(self, changes: DirtySet, node_pools: NodePools, told: InterruptionEvents) -> None:
        self._changes = changes
        self._node_pools = node_pools
        self._told = told
        self._rows: dict[str, NodeRow] = {}
        self._going: set[str] = set()
        self._deleted: dict[str, float] = {}
        self._exits: deque[NodeExit] = deque(maxlen=MAX_EXITS)

    def exits(self) -> tuple[NodeExit, ...]:
        """Return how nodes went, the latest last."""
        return tuple(self._exits)

    def keys(self) -> AbstractSet[str]:
        """Return the nodes known."""
        return self._rows.keys()

    def get(self, name: str) -> NodeRow | None:
        """Return a node, None if it is gone."""
        return self._rows.get(name)

    def put(self, key: str, obj: wire.Node) -> None:
        """Take a node."""
        row, old = row_of(obj), self._rows.get(key)
        self._rows[key] = row
        self._changes.nodes.add(key)
        self._node_pools.see(row)
        if old is not None and old.fact.uid != row.fact.uid:
            self._end(old)
            old = None
        if row.deleted_at is not None and old is not None and not old.taken and row.fact.ready:
            self._deleted[row.fact.uid] = row.deleted_at
        # Who takes a silent node away only clears up; in doubt it was taken away in order.
        if row.taken and (old is None or row.fact.ready):
            self._going.add(row.fact.uid)
        elif not row.taken and row.fact.ready:
            self._going.discard(row.fact.uid)

    def remove(self, key: str) -> None:
        """Forget a node."""
        row = self._rows.pop(key, None)
        if row is not None:
            self._changes.nodes.add(key)
            self._end(row)

    def _end(self, row: NodeRow) -> None:
        uid = row.fact.uid
        notice = ExitNotice.TERMINATION_HANDLER if row.interrupted else ExitNotice.NONE
        if self._told.has(uid):
            notice = ExitNotice.KARPENTER
        self._exits.append(
            NodeExit(
                uid=uid,
                in_order=uid in self._going,
                not_ready_since=row.not_ready_since,
                notice=notice,
                deleted_at=self._deleted.pop(uid, None),
            )
        )
        self._going.discard(uid)


class InterruptionEvents:
    """The nodes of which Karpenter has said that the cloud takes them; the sink of such Events."""

    def __init__(self) -> None:
        self._about: dict[str, str] = {}
        self._uids: Counter[str] = Counter()

    def keys(self) -> AbstractSet[str]:
        """Return the Events known; the server forgets each after an hour."""
        return self._about.keys()

    def put(self, key: str, obj: Event) -> None:
        """Take an Event."""
        self.remove(key)
        uid = (obj.involved_object.uid or "") if obj.involved_object is not None else ""
        self._about[key] = uid
        self._uids[uid] += 1

    def remove(self, key: str) -> None:
        """Forget an Event."""
        uid = self._about.pop(key, None)
        if uid is not None:
            self._uids[uid] -= 1
            if not self._uids[uid]:
                del self._uids[uid]

    def has(self, uid: str) -> bool:
        """Tell whether a node of this uid is meant by one of them."""
        return bool(uid) and uid in self._uids


class Store:
    """The tables of all resources, and the marks they share.

    `namespace` is the controller's own: placeholders and anchors are looked for there, and nowhere
    where it is "". `use` says whose node groups are taken for Cluster Autoscaler's.
    """

    def __init__(
        self, namespace: str = "", use: AutoscalerUse = AutoscalerUse.WHERE_IT_RUNS
    ) -> None:
        self._own = OwnPods(namespace)
        self.changes = DirtySet()
        self.workloads = Workloads(self.changes)
        self.budgets = MatchedPdbs(self.changes)
        self.pods = Pods(self.changes, self.workloads, self.budgets, self._own)
        self.node_pools = NodePools(self.changes, use)
        self.interruptions = InterruptionEvents()
        self.launches = LaunchEvents(self.node_pools.get)
        self.nodes = Nodes(self.changes, self.node_pools, self.interruptions)

    def workload_fact(self, key: str, lookup: Lookup) -> tuple[WorkloadFact, frozenset[str]] | None:
        """Work out one workload, with the pools of its pods; None where there is nothing to say."""
        workloads = self.workloads
        return workload_fact(key, workloads.pods_of(key), workloads.words_on(key), lookup)

    def workloads_on(self, node: str) -> Iterator[str]:
        """Return the workloads of the pods on a node, each maybe more than once."""
        return (self.workloads.name_of(pod.owner) for pod in self.pods.on(node) if pod.owner)

    def own_pods(self) -> tuple[OwnPod, ...]:
        """Return the placeholders and anchors, sorted by name."""
        return self._own.all()

    def own_pods_about(self, node_uid: str) -> tuple[OwnPod, ...]:
        """Return the placeholders and anchors that are about one node, sorted by name."""
        return self._own.about(node_uid)
