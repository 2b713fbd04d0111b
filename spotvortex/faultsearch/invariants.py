"""Watches a simulated cluster and says when a promise is broken.

Comes in: each request that reaches the server, with the true state of the cluster at that moment,
and a look at the cluster after each of its steps. Goes out: breaches, and how often each promise
was checked. Shares no code with the controller: it knows the calls, the cluster itself, and the
text of the controller's journals, and nothing that decides.

The promises are numbered as in docs/simulator.md: 1 shadow writes nothing; 2 no voluntary eviction
before its room is Ready, on nodes that are kept; 3 never more nodes on the move than the budgets
say; 4 the floor; 5 nothing stays cordoned, or kept, by the controller without an order; 6 budgets
and do-not-disrupt; 7 lease, freeze, freshness, precondition; 8 one wave a pool and settle window;
9 nothing twice; 10 a model failure alone moves nothing; 11 what the controller made expires; 12
room is asked for where it can be had, within the pool, and only nodes that the provisioner releases
are moved; 13 no move to Spot lets one loss take more of a workload than its owner lets it; 14 no
capacity of a scaling group is lost or made twice (`capacity`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.types import CapacityType, Freeze, ProvisionerKind
from spotvortex.core.drain.calls import (
    UNDOING,
    Answer,
    Call,
    CreateAnchor,
    CreatePlaceholder,
    CreateRoom,
    Done,
    EvictPod,
    MarkNode,
)
from spotvortex.faultsearch.capacity import CapacityLedger
from spotvortex.faultsearch.facts import floor_said, is_kept, journal_of, nodes_named
from spotvortex.faultsearch.judged import Asker, Breach, EpisodeBounds, Record
from spotvortex.faultsearch.losses import LossLedger
from spotvortex.sim.cluster.objects import Own, SimNode, SimPod
from spotvortex.sim.cluster.scenario import NodeGroup, WorkloadKind
from spotvortex.sim.cluster.state import ClusterObjects

GRACE_S: Final = 6.0
"""A step of the world and a second: what may pass between a change and its being seen."""

LONGEST_LIFE_S: Final = 1800.0
"""What the controller puts into a cluster expires within half an hour."""


@dataclass(slots=True, kw_only=True)
class InvariantChecker:
    """Watches one episode and counts.

    Attributes:
        cluster: the true cluster.
        record: who led and what was frozen, at any time.
        bounds: what was asked of the controller.
        clock: wall time, seconds since the epoch.
        zero_at: the episode's start, seconds since the epoch.
        groups: all groups of nodes.
        capacity: watches the sizes of scaling groups.
        all_dead: every process has died for good: cordons with their journals may stay then.
        breaches: the promises that were broken; empty in a good episode.
        checks: how often each promise was checked, by its number.
        n_calls: requests that reached the server, by kind.
    """

    cluster: ClusterObjects
    record: Record
    bounds: EpisodeBounds
    clock: Callable[[], float]
    zero_at: float
    groups: tuple[NodeGroup, ...] = ()
    all_dead: bool = False
    breaches: list[Breach] = field(default_factory=list)
    checks: Counter[int] = field(default_factory=Counter)
    n_calls: Counter[str] = field(default_factory=Counter)
    _moving_since: dict[str, float] = field(default_factory=dict)
    _marked_since: dict[str, float] = field(default_factory=dict)
    _bound: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _evicted: Counter[str] = field(default_factory=Counter)
    _begun: dict[str, float] = field(default_factory=dict)
    _movable_ever: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _room_of: dict[str, str] = field(default_factory=dict)
    _asked_by: dict[str, dict[frozenset[str], frozenset[str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _plans: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    _before: tuple[SimPod | None, bool, int] = (None, False, 0)
    _to: dict[str, CapacityType] = field(default_factory=dict)
    _n_from_spot: int = 0
    _losses: LossLedger = field(init=False)
    capacity: CapacityLedger = field(init=False)

    def __post_init__(self) -> None:
        self._losses = LossLedger(self.cluster)
        self.capacity = CapacityLedger(cluster=self.cluster, check=self._check, clock=self.clock)

    # -- the cluster, step by step -------------------------------------------

    def look(self) -> None:
        """Look at the cluster after one of its steps."""
        now = self.clock()
        nodes = self.cluster.nodes
        for node in nodes.values():
            if node.moving or node.cordoned:
                self._moving_since.setdefault(node.uid, now)
            else:
                self._moving_since.pop(node.uid, None)
            if node.mark:
                since = self._marked_since.setdefault(node.uid, now)
                late = now - since > self.bounds.longest_order_s and not self.all_dead
                self._check(5, not late, f"{node.name} carries a journal for {now - since:.0f} s")
            else:
                self._marked_since.pop(node.uid, None)
            self._movable_ever[node.uid].update(pod.uid for pod in node.movable)
        self._note_bound()
        self._losses.look(now)
        self.capacity.look()

    def _note_bound(self) -> None:
        """Remember every placeholder that has ever had a Ready node."""
        for pod in self.cluster.own.values():
            if pod.own is None or pod.own.kind is not PodKind.PLACEHOLDER or not pod.node:
                continue
            node = self.cluster.nodes[pod.node]
            if node.ready and pod.uid not in self._bound[pod.own.plan_id]:
                self._bound[pod.own.plan_id].add(pod.uid)
                own, found = pod.workload.pool, node.group.pool
                self._check(12, own == found, f"{pod.name} of pool {own} is in {found}")

    # -- requests ---------------------------------------------------------------

    def asked(self, process: Asker, call: Call, checked_at: float) -> None:
        """Judge a request at the instant when the server carries it out, right before it does.

        `checked_at` is when the process asked itself whether it may: freeze and freshness are
        judged as they could be known then, the lease as it is now.
        """
        self.n_calls[type(call).__name__] += 1
        self._check(1, self.bounds.writes, f"a mode that does not write sent {call}")
        self._check(7, self._leads_alone(process.name), f"others may lead: {process.name}, {call}")
        self._judge_freeze(process, call, checked_at)
        blind_s = process.blind_s(checked_at)
        fresh = blind_s <= self.bounds.max_input_age_s + 1.0 or isinstance(call, UNDOING)
        self._check(7, fresh, f"{process.name} had seen nothing for {blind_s:.0f} s: {call}")
        self._note_bound()
        match call:
            case MarkNode():
                self._judge_mark(process, call, checked_at)
            case EvictPod():
                self._judge_eviction(call)
            case CreatePlaceholder() | CreateRoom() | CreateAnchor():
                if isinstance(call, CreatePlaceholder):
                    self._judge_loss(process, call)
                self._check(11, 0 < call.expires_s <= LONGEST_LIFE_S, f"lives too long: {call}")
            case _:
                return

    def _judge_loss(self, process: Asker, call: CreatePlaceholder) -> None:
        """A move to Spot is decided on what was seen then, which may be a while ago."""
        order = journal_of(call.order)
        node = next((n for n in self.cluster.nodes.values() if n.uid == call.for_uid), None)
        if order.get("kind") != "drain" or call.capacity_type is not CapacityType.SPOT or not node:
            return
        decided_at = float(str(order.get("deadline"))) - self.bounds.drain_deadline_s
        late_s = self.bounds.max_input_age_s + process.lag_now_s + self.bounds.skew_s + GRACE_S
        found = list(self._losses.moves(call.plan_id, node, decided_at - late_s))
        self._check(13, not found, "; ".join(found))

    def _leads_alone(self, who: str) -> bool:
        """Tell whether no other process may lead: the lease is this one's, and has not run out."""
        ends_at = self.record.renewed_at + self.bounds.lease_s
        return self.record.holder == who and self.clock() < ends_at

    def _judge_freeze(self, process: Asker, call: Call, checked_at: float) -> None:
        seen_at = checked_at - process.lag_now_s - GRACE_S
        freezes = {self.record.freeze_at(seen_at), self.record.freeze_at(checked_at)}
        if freezes == {Freeze.HARD}:
            self._check(7, False, f"frozen hard: {call}")  # noqa: FBT003 - the judgement itself
        elif Freeze.NONE not in freezes:
            passes = Freeze.SOFT in freezes and self._is_for_losses(call)
            self._check(7, isinstance(call, UNDOING) or passes, f"frozen: {call}")

    def _is_for_losses(self, call: Call) -> bool:
        """Tell whether a call names nodes, and none that is not lost anyway, or gone."""
        named = nodes_named(call)
        there = (n for n in self.cluster.nodes.values() if {n.uid, n.name} & named)
        return bool(named) and all(node.leaves_at is not None for node in there)

    def _judge_mark(self, process: Asker, call: MarkNode, checked_at: float) -> None:
        self._check(7, bool(call.uid and call.resource_version), f"no precondition: {call}")
        has_order = journal_of(call.order).get("uid") == call.uid
        self._check(5, has_order, f"a cordon without an order: {call}")
        node = self.cluster.nodes.get(call.node)
        if node is None or node.uid != call.uid or call.urgent or node.mark:
            return
        self._check(12, bool(node.claim), f"nobody would remove {node.name} of {node.group.name}")
        self._judge_receivers(call, node)
        seen_at = checked_at - process.lag_now_s - GRACE_S
        for pool in (node.group.pool, ""):
            self._judge_budget(node, pool, seen_at)
        if node.capacity_type is CapacityType.ON_DEMAND:
            others = (n for n in self._of_pool(node.group.pool) if n is not node)
            left = sum(map(is_kept, others))
            floor = max(self.bounds.floor_nodes, floor_said(node))
            self._check(4, left >= floor, f"{left} nodes on-demand would be left, floor {floor}")

    def _judge_receivers(self, call: MarkNode, node: SimNode) -> None:
        """Cluster Autoscaler is kept from removing what a node's pods are about to move to.

        Where they have all gone by themselves, the room that was asked for them is nobody's.
        """
        by_autoscaler = node.group.provisioner is ProvisionerKind.CLUSTER_AUTOSCALER
        if not by_autoscaler or not node.movable:
            return
        owns = (pod for pod in self.cluster.own.values() if pod.node and pod.own)
        about = (pod for pod in owns if pod.own and pod.own.for_uid == call.uid)
        hosts = {pod.node for pod in about if pod.own and pod.own.kind is PodKind.PLACEHOLDER}
        kept = any(self.cluster.nodes[name].scale_down_disabled for name in hosts)
        self._check(2, kept or not hosts, f"no receiver of {node.name} is kept: {sorted(hosts)}")

    def _judge_budget(self, node: SimNode, pool: str, seen_at: float) -> None:
        nodes = list(self._of_pool(pool)) if pool else list(self.cluster.nodes.values())
        ratio = self.bounds.max_pool_ratio if pool else self.bounds.max_cluster_ratio
        # What others began a moment ago cannot be known yet; what we marked is.
        since = self._moving_since
        known = [n for n in nodes if n.mark or since.get(n.uid, seen_at + 1.0) <= seen_at]
        moving = {n.uid for n in known if n.moving or n.cordoned} | {node.uid}
        most = max(1, int(len(nodes) * ratio + 1e-9))
        where = f"pool {pool}" if pool else "the cluster"
        self._check(3, len(moving) <= most, f"{len(moving)} of {where} on the move, at most {most}")

    def _judge_eviction(self, call: EvictPod) -> None:
        pod = self.cluster.pods.get(f"{call.namespace}/{call.name}")
        self._before = (None, False, 0)
        if pod is None or pod.uid != call.uid or pod.terminating:
            return
        node = self.cluster.nodes.get(pod.node)
        voluntary = node is not None and node.leaves_at is None and not node.moving
        self._before = (pod, voluntary, self._ready_of(pod))
        if node is not None and voluntary:
            onto_spot = self._to.get(call.plan_id) is CapacityType.SPOT
            self._n_from_spot += node.capacity_type is CapacityType.SPOT and not onto_spot
            held = pod.workload.do_not_disrupt or pod.workload.kind is WorkloadKind.BARE
            self._check(6, not held, f"{pod.key} must not be disrupted")
            self._judge_room_of(call, pod)

    def _judge_room_of(self, call: EvictPod, pod: SimPod) -> None:
        """One placeholder was Ready for every pod that the plan found.

        A pod that came after the first had gone has taken nobody's place yet: its own is still
        there, whatever node it was put on meanwhile.
        """
        begun_at = self._begun.get(call.plan_id, self.clock())
        if pod.created_at >= begun_at:
            return
        done, room = self._evicted[call.plan_id], len(self._bound[call.plan_id])
        text = f"plan {call.plan_id}: room for {room} pods was Ready, {done} evicted before"
        self._check(2, done < room, text)

    def answered(self, process: Asker, call: Call, answer: Answer) -> None:  # noqa: ARG002
        """Judge what the server has done."""
        if not isinstance(answer, Done):
            return
        if isinstance(call, EvictPod):
            self._judge_evicted(call)
        elif isinstance(call, CreatePlaceholder):
            self._judge_room(call)
        elif isinstance(call, CreateRoom):
            self._judge_shared_room(call)

    def _judge_evicted(self, call: EvictPod) -> None:
        pod, voluntary, n_ready = self._before
        if pod is None:
            return
        begun_at = self._begun.setdefault(call.plan_id, self.clock())
        self._evicted[call.plan_id] += voluntary and pod.created_at < begun_at
        if pod.workload.has_budget:
            least = min(pod.workload.desired_healthy, n_ready)
            left = self._ready_of(pod)
            self._check(6, left >= least, f"{pod.workload.key}: {left} Ready, {least} wanted")

    def _judge_room(self, call: CreatePlaceholder) -> None:
        self._judge_number(call)
        self._to[call.plan_id] = call.capacity_type
        self._check(12, self._can_be_had(call), f"no group of the pool can give room: {call}")
        order = journal_of(call.order)
        plans = self._plans[call.pool]
        if order.get("kind") != "drain" or call.plan_id in plans:
            return
        decided_at = float(str(order.get("deadline"))) - self.bounds.drain_deadline_s
        urgent = str(order.get("reason", "")).startswith("EMERGENCY_EXIT")
        apart = GRACE_S if urgent else self.bounds.settle_s - self.bounds.skew_s - GRACE_S
        since = decided_at - max(plans.values(), default=float("-inf"))
        text = f"plan {call.plan_id} of {call.pool} {since:.0f} s after the one before"
        self._check(8, since >= apart, text)
        plans[call.plan_id] = decided_at

    def _judge_shared_room(self, call: CreateRoom) -> None:
        """Room is asked for where it can be had, and no pod's twice by one process."""
        self._check(12, self._can_be_had(call), f"no group of the pool can give room: {call}")
        asked = self._asked_by[call.plan_id]
        before = asked.setdefault(call.pod_uids, call.pod_uids)
        twice = [uid for uids in asked.values() if uids != before for uid in uids & before]
        self._check(9, not twice, f"room was asked for {len(twice)} pods again: {call.plan_id}")

    def _can_be_had(self, call: CreatePlaceholder | CreateRoom) -> bool:
        """Tell whether a group that is asked, of that pool, may buy what is wanted."""
        any_kind = call.capacity_type is CapacityType.UNKNOWN
        return not self.groups or any(
            group.known_as in call.sides
            and (any_kind or call.capacity_type in group.capacity_types)
            for group in self.groups
            if group.pool == call.pool and group.known_as
        )

    def _judge_number(self, call: CreatePlaceholder) -> None:
        """No pod has two rooms, and a node no more than it ever had pods to move.

        A pod that went by itself, or was scaled away, leaves its room behind until the order ends.
        """
        node = next((n for n in self.cluster.nodes.values() if n.uid == call.for_uid), None)
        pods = self._movable_ever[call.for_uid]
        pods.update(pod.uid for pod in (node.movable if node else ()))
        self._room_of[call.name] = call.pod_uid
        rooms = [
            self._room_of.get(pod.name, pod.name)
            for pod in self.cluster.own.values()
            if pod.own is not None
            and pod.own.kind is PodKind.PLACEHOLDER
            and (pod.own.for_uid, pod.own.plan_id) == (call.for_uid, call.plan_id)
        ]
        text = f"{len(rooms)} placeholders for {len(pods)} pods: {call.name}"
        self._check(9, len(rooms) == len(set(rooms)) <= len(pods), text)

    # -- the end ------------------------------------------------------------------

    def conclude(self) -> None:
        """Judge what is left once the episode has ended and things have settled."""
        n_rooms = len(list(self._rooms()))
        self._check(11, n_rooms == 0, f"{n_rooms} placeholders are left")
        if self.all_dead:
            self._check(
                11, not self.cluster.own, f"{len(self.cluster.own)} pods of the controller are left"
            )
            return
        for node in self.cluster.nodes.values():
            ours = node.mark or node.labelled or node.kept
            self._check(5, not ours, f"{node.name} is still marked or kept")
        self.capacity.conclude()

    def model_alone(self, *, is_mute: bool) -> None:
        """Judge an episode in which nothing but the model failed.

        Where it could not be run, nothing may have moved. Where it gave no numbers, or not all the
        time, there was an answer that may return to Spot, or prefer other Spot: nothing may have
        left it.
        """
        n = self.n_calls["EvictPod"] if is_mute else self._n_from_spot
        self._check(10, n == 0, f"{n} pods were evicted although only the model had failed")

    def is_clear(self) -> bool:
        """Tell whether nothing is left that has to go or to be undone."""
        if self.all_dead:
            return not self.cluster.own
        nodes = self.cluster.nodes.values()
        marked = any(node.mark or node.labelled or node.kept for node in nodes)
        return not marked and not self.cluster.growths and next(self._rooms(), None) is None

    # -- small things -----------------------------------------------------------------

    def _check(self, promise: int, holds: bool, text: str) -> None:  # noqa: FBT001
        self.checks[promise] += 1
        if not holds:
            at_s = self.clock() - self.zero_at
            self.breaches.append(Breach(promise=promise, at_s=at_s, text=text))

    def _rooms(self) -> Iterator[Own]:
        owns = (pod.own for pod in self.cluster.own.values())
        return (own for own in owns if own is not None and own.kind is PodKind.PLACEHOLDER)

    def _of_pool(self, pool: str) -> Iterator[SimNode]:
        return (n for n in self.cluster.nodes.values() if n.group.pool == pool)

    def _ready_of(self, pod: SimPod) -> int:
        return sum(1 for p in self.cluster.pods_of[pod.workload.key].values() if p.ready)
