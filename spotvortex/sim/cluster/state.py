"""The state of the simulated cluster and the operations that change it.

Comes in: operations, one at a time, each with its time. Goes out: nodes and pods, and the names of
what changed since somebody last looked. It keeps the cluster consistent (every pod pending or on
an existing node, sums exact, owners restored, budgets obeyed) and decides nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from random import Random
from typing import Final

from spotvortex.core.domain.cloud.exits import MAX_EXITS, ExitNotice, NodeExit
from spotvortex.core.domain.types import Offering
from spotvortex.core.drain.calls import Answer, BlockedByBudget, Done, Gone
from spotvortex.sim.cluster.objects import ClusterChanges, Own, SimNode, SimPod
from spotvortex.sim.cluster.scenario import NodeGroup, Workload, WorkloadKind
from spotvortex.sim.market.instance_types import GroupRoom, instance_type_of

_NAME_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


class ClusterObjects:
    """Nodes and pods by name, in the order of their making.

    `by_pool` has the nodes of each pool; `changes` counts, by pool, what may matter to a
    provisioner. `desired` has the size of each scaling group by the name that its nodes know it by,
    `growths` the controller's journal of them, with the version of its object, 0 where it is none.
    """

    def __init__(self, chance: Random, workloads: tuple[Workload, ...]) -> None:
        """Start empty.

        Args:
            chance: where names and uids are drawn from.
            workloads: all there are; DaemonSets follow the nodes, the others need `restore`.
        """
        self._chance = chance
        self.workloads = {workload.key: workload for workload in workloads}
        self._daemons = tuple(w for w in workloads if w.kind is WorkloadKind.DAEMON_SET)
        self._serial = 0
        self._volume_zone: dict[str, str] = {}
        self.nodes: dict[str, SimNode] = {}
        self.pods: dict[str, SimPod] = {}
        self.pods_of: dict[str, dict[str, SimPod]] = {key: {} for key in self.workloads}
        self.pending: dict[str, SimPod] = {}
        self.starting: dict[str, SimPod] = {}
        self.terminating: dict[str, SimPod] = {}
        self.own: dict[str, SimPod] = {}
        self.changed_nodes: set[str] = set()
        self.changed_workloads: set[str] = set(self.workloads)
        self.changes: Counter[str] = Counter()
        self.by_pool: dict[str, dict[str, SimNode]] = {}
        self.exits: deque[NodeExit] = deque(maxlen=MAX_EXITS)
        self.news = ClusterChanges(workloads=set(self.workloads))
        self.desired: dict[str, int] = {}
        self.growths: dict[str, str] = {}
        self.growths_version = 0
        self._n_ready: Counter[str] = Counter()
        self._offerings: dict[Offering, Offering] = {}

    def left(self, group: NodeGroup) -> GroupRoom:
        """Return what the limits of a group leave, never negative."""
        machines = [
            instance_type_of(n.offering.instance_type)
            for n in self.nodes.values()
            if n.group is group
        ]
        return GroupRoom(
            cpu_milli=_less(group.cpu_limit_milli, sum(m.cpu_milli for m in machines)),
            memory_bytes=_less(group.memory_limit_bytes, sum(m.memory_bytes for m in machines)),
            nodes=_less(group.node_limit, len(machines)),
        )

    def draw_uid(self) -> str:
        """Return a fresh uid in the form of a UUID."""
        digits = f"{self._chance.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def draw_suffix(self) -> str:
        """Return five letters as the API server puts after a generated name."""
        return "".join(self._chance.choice(_NAME_LETTERS) for _ in range(5))

    def draw_node_name(self) -> str:
        """Return the private DNS name of a free address."""
        self._serial += 1
        high, low = divmod(self._serial * 37 % 4096, 256)
        return f"ip-10-0-{high + 16 * (self._serial // 4096)}-{low}.ec2.internal"

    def add_node(self, node: SimNode) -> None:
        """Add a node with its DaemonSet pods."""
        # Nodes that are alike share one object, which looking it up is faster by.
        node.offering = self._offerings.setdefault(node.offering, node.offering)
        self.nodes[node.name] = node
        self.by_pool.setdefault(node.group.pool, {})[node.name] = node
        for workload in self._daemons:
            pod = self._create_pod(workload, self._free_name(workload), node.created_at)
            self.bind(pod, node, node.ready_at, node.ready_at)
        self.changed_nodes.add(node.name)

    def make_ready(self, node: SimNode) -> None:
        """Let a node's kubelet report Ready."""
        node.ready = True
        self._touch(node)

    def cordon(self, node: SimNode, *, cordoned: bool) -> None:
        """Set `spec.unschedulable`."""
        node.cordoned = cordoned
        self._touch(node)

    def give_notice(self, node: SimNode, leaves_at: float, *, is_heard: bool = True) -> None:
        """Set when a node goes; a provisioner that hears of it taints the node."""
        node.moving = node.moving or is_heard
        node.is_told_of = node.is_told_of or is_heard
        node.leaves_at = leaves_at
        self._touch(node)

    def taint(self, node: SimNode, *, tainted: bool = True) -> None:
        """Let the provisioner take a node out of scheduling, or back in."""
        node.moving = tainted
        self._touch(node)

    def delete_claim(self, node: SimNode) -> None:
        """Let the provisioner end a node: taint it, drain it, and then remove it."""
        node.deleting = node.moving = True
        self._touch(node)

    def mark(self, node: SimNode, order: str) -> None:
        """Cordon a node with a journal and a label, in one patch."""
        node.cordoned, node.labelled, node.mark = True, True, order
        self._touch(node)

    def unmark(self, node: SimNode, *, uncordon: bool) -> None:
        """Take journal and label away, and the cordon where that is wanted."""
        node.cordoned = node.cordoned and not uncordon
        node.labelled, node.mark = False, ""
        self._touch(node)

    def note_risk(self, node: SimNode, note: str) -> None:
        """Write a note of a risk, "" to take it away."""
        node.at_risk = note
        self._touch(node)

    def keep(self, node: SimNode, note: str) -> None:
        """Keep a node from being scaled down, with a note of why; "" to keep it no more."""
        node.kept, node.scale_down_disabled = note, bool(note)
        self._touch(node)

    def remove_node(self, node: SimNode, at: float, *, silent: bool = False) -> None:
        """Take a node away with everything on it; owners make new pods.

        Args:
            node: which.
            at: when.
            silent: its instance has ended under it: it is not Ready for a moment, and is then
                deleted, as the cloud controller does.
        """
        del self.nodes[node.name], self.by_pool[node.group.pool][node.name]
        self.news.removed.append((node, at))
        self.exits.append(
            NodeExit(
                uid=node.uid,
                in_order=node.moving or node.cordoned,
                not_ready_since=at if silent else None,
                notice=ExitNotice.KARPENTER if node.is_told_of else ExitNotice.NONE,
            )
        )
        self._show(node)
        for pod in [p for p in self.pending.values() if p.promised == node.name]:
            pod.promised = ""
        for pod in list(node.pods.values()):
            self.delete_pod(pod, at)

    def restore(self, workload: Workload, at: float) -> None:
        """Create the pods that a workload lacks; a terminating StatefulSet pod keeps its name."""
        pods = self.pods_of[workload.key]
        if workload.kind is WorkloadKind.DEPLOYMENT:
            n_live = sum(1 for pod in pods.values() if not pod.terminating)
            for _ in range(workload.replicas - n_live):
                self._create_pod(workload, self._free_name(workload), at)
        elif workload.kind is WorkloadKind.STATEFUL_SET:
            for name in (f"{workload.name}-{ordinal}" for ordinal in range(workload.replicas)):
                if f"{workload.namespace}/{name}" not in pods:
                    self._create_pod(workload, name, at)

    def scale(self, workload: Workload, replicas: int, at: float) -> None:
        """Let a Deployment want another number of pods; the newest ones go first."""
        wanted = replace(workload, replicas=replicas)
        self.workloads[workload.key] = wanted
        for pod in self.pods_of[workload.key].values():
            pod.workload = wanted
        live = [p for p in self.pods_of[workload.key].values() if not p.terminating]
        for pod in sorted(live, key=lambda p: (p.created_at, p.name))[replicas:]:
            self.delete_pod(pod, at)
        self.changed_workloads.add(workload.key)
        self.restore(wanted, at)

    def create_own(self, workload: Workload, own: Own, at: float, zone: str = "") -> SimPod:
        """Create a pod of the controller's; its workload is its own and goes with it."""
        self.workloads[workload.key] = workload
        self.pods_of[workload.key] = {}
        pod = self._create_pod(workload, workload.name, at)
        pod.own, pod.zone = own, zone
        self.own[pod.key] = pod
        return pod

    def add_workload(self, workload: Workload, at: float) -> None:
        """Add a workload, as when a person creates it."""
        self.workloads[workload.key] = workload
        self.pods_of[workload.key] = {}
        self.changed_workloads.add(workload.key)
        self.restore(workload, at)

    def create_bare(self, workload: Workload, at: float) -> None:
        """Create the one pod of a workload that nobody owns."""
        self._create_pod(workload, workload.name, at)

    def promise(self, pod: SimPod, node: SimNode) -> None:
        """Keep room on a node for a pending pod."""
        assert not pod.node
        assert not pod.promised
        pod.promised = node.name
        node.hold(pod)

    def break_promise(self, pod: SimPod) -> None:
        """Give up the room kept for a pod, where there is any."""
        node = self.nodes.get(pod.promised)
        if node is not None:
            node.hold(pod, -1)
        pod.promised = ""

    def bind(self, pod: SimPod, node: SimNode, at: float, ready_at: float) -> None:
        """Bind a pending pod; it is Ready later."""
        self.break_promise(pod)
        self.promise(pod, node)
        pod.promised, pod.node, pod.bound_at, pod.ready_at = "", node.name, at, ready_at
        if pod.workload.zonal_volume:
            pod.zone = self._volume_zone[pod.key] = node.offering.zone
        node.pods[pod.key] = pod
        del self.pending[pod.key]
        self.starting[pod.key] = pod
        self._show(node)

    def make_pod_ready(self, pod: SimPod) -> None:
        """Let a pod pass its readiness probe."""
        pod.ready = pod.running = True
        del self.starting[pod.key]
        self._n_ready[pod.workload.key] += 1
        self._show_pod(pod)

    def lose_readiness(self, pod: SimPod) -> None:
        """Let a running pod fail its probe."""
        self._n_ready[pod.workload.key] -= pod.ready
        pod.ready = False
        self._show_pod(pod)

    def evict(self, pod: SimPod, at: float, stop_s: float) -> Answer:
        """Evict a pod as the Eviction API does: never below its budget.

        Args:
            pod: the pod to evict.
            at: now.
            stop_s: how long the pod takes to stop, within its grace period.
        """
        if self.pods.get(pod.key) is not pod or pod.terminating:
            return Gone()
        if not pod.node:
            self.delete_pod(pod, at)
            return Done()
        if self.is_held(pod):
            return BlockedByBudget(retry_s=0.0)
        self.starting.pop(pod.key, None)
        node = self.nodes[pod.node]
        if node.leaves_at is None and not node.moved:
            node.moved = True
            self.news.moved.append(node)
        self._n_ready[pod.workload.key] -= pod.ready
        pod.ready, pod.terminating, pod.gone_at = False, True, at + stop_s
        self.terminating[pod.key] = pod
        self._show_pod(pod)
        self.restore(pod.workload, at)
        return Done()

    def delete_pod(self, pod: SimPod, at: float) -> None:
        """Remove a pod at once; its owner makes a new one."""
        node = self.nodes.get(pod.node)
        if node is not None:
            del node.pods[pod.key]
            node.hold(pod, -1)
            node.emptied_at = at
            self._show(node)
        self.break_promise(pod)
        for index in (self.pods, self.pods_of[pod.workload.key]):
            del index[pod.key]
        for index in (self.pending, self.starting, self.terminating):
            index.pop(pod.key, None)
        self._n_ready[pod.workload.key] -= pod.ready
        self.changes[pod.workload.pool] += 1
        if pod.own is not None:
            del self.workloads[pod.workload.key], self.pods_of[pod.workload.key]
            del self.own[pod.key], self._n_ready[pod.workload.key]
            self.changed_workloads.discard(pod.workload.key)
            return
        self._show_pod(pod)
        self.restore(pod.workload, at)

    def healthy(self, workload: Workload) -> int:
        """Count the Ready pods of a workload."""
        return self._n_ready[workload.key]

    def disruptions_allowed(self, workload: Workload) -> int:
        """Return how many pods may be evicted now; many where there is no budget."""
        if not workload.has_budget:
            return len(self.pods_of[workload.key])
        return max(0, self.healthy(workload) - workload.desired_healthy)

    def is_held(self, pod: SimPod) -> bool:
        """Tell whether its budget keeps a pod.

        It keeps none that is Pending; nor one that is not Ready, while enough others are healthy.
        """
        workload = pod.workload
        if not pod.running or not workload.has_budget:
            return False
        if not pod.ready and self.healthy(workload) >= workload.desired_healthy > 0:
            return False
        return self.disruptions_allowed(workload) < 1

    def _free_name(self, workload: Workload) -> str:
        """Return a name as a ReplicaSet or DaemonSet generates it; ends when one is free."""
        while True:
            name = f"{workload.name}-{self.draw_suffix()}"
            if f"{workload.namespace}/{name}" not in self.pods:
                return name

    def _create_pod(self, workload: Workload, name: str, at: float) -> SimPod:
        pod = SimPod(name=name, uid=self.draw_uid(), workload=workload, created_at=at)
        pod.zone = self._volume_zone.get(pod.key, "")
        self.pods[pod.key] = self.pods_of[workload.key][pod.key] = self.pending[pod.key] = pod
        self._show_pod(pod)
        return pod

    def _touch(self, node: SimNode) -> None:
        """Take note that somebody has written to the node itself."""
        node.version += 1
        self._show(node)

    def _show(self, node: SimNode) -> None:
        self.changed_nodes.add(node.name)
        self.changes[node.group.pool] += 1

    def _show_pod(self, pod: SimPod) -> None:
        if pod.node:
            self.changed_nodes.add(pod.node)
        key = pod.workload.key
        self.changed_workloads.add(key)
        self.news.workloads.add(key)
        self.changes[pod.workload.pool] += 1


def _less(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)
