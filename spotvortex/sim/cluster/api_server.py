"""The API server of the simulated cluster, as far as the controller writes to it.

Comes in: a `Call`. Goes out: an `Answer`, and the cluster changed by it, with the same
preconditions, conflicts and refusals that `kube.write.writer` gets from a real one. Calls that read
before they write are two requests, and what was read may be old when the write comes. What goes
wrong on the way (slow, lost, refused) is the matter of `faults`. May not decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final, assert_never

from spotvortex.core.domain.autoscaling import (
    is_autoscaled,
    labelled_group,
    managed_group,
    note_of,
    plan_noted,
    released_uid,
)
from spotvortex.core.domain.labels import POOL, TETHER_PREFIX, PodKind
from spotvortex.core.domain.types import CapacityType, short_digest
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    BlockedByBudget,
    Call,
    ClearRisk,
    CreateAnchor,
    CreatePlaceholder,
    CreateRoom,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    NoteRisk,
    Refused,
    ReleaseNode,
    UnmarkNode,
)
from spotvortex.core.drain.group_calls import GrowGroup, RestoreGroup, SettleGroup, SteerGroup
from spotvortex.core.drain.keeping import FreeNode, KeepNode
from spotvortex.core.drain.orders import plan_in
from spotvortex.core.record.codec import rfc3339
from spotvortex.kube.api.node_labels import NODEGROUP, NODEPOOL, POOL_CAPACITY_TYPE, normalised
from spotvortex.kube.write import wanted_nodes
from spotvortex.kube.write.autoscaler import wanted_nodes as autoscaler_nodes
from spotvortex.ports.provisioner import Unable
from spotvortex.sim.cluster.objects import Own, SimNode
from spotvortex.sim.cluster.scenario import Workload, WorkloadKind
from spotvortex.sim.cluster.state import ClusterObjects
from spotvortex.sim.market.instance_types import MIB

NAMESPACE: Final = "spotvortex"

QUOTA_PODS: Final = 200
"""Pods that the ResourceQuota of the controller's namespace allows."""

_ANCHOR_CPU_MILLI: Final = 1
_ANCHOR_MEMORY_BYTES: Final = 8 * MIB

ReadsFirst = CreatePlaceholder | UnmarkNode | ReleaseNode
"""Calls that are a request to read and then one to write."""

AtOnce = (
    MarkNode
    | NoteRisk
    | ClearRisk
    | EvictPod
    | CreateAnchor
    | CreateRoom
    | DeletePlaceholders
    | DeleteAnchors
    | KeepNode
    | FreeNode
    | SteerGroup
    | RestoreGroup
    | GrowGroup
    | SettleGroup
)
"""Calls that are one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the first request of a call has read.

    Attributes:
        version: of the node to unmark.
        demanded: the capacity type that the pod demands whose room is asked for.
        pools: the pools that this pod may run in.
        sides: the node groups that the provisioner keeps its placeholder to.
    """

    version: int = 0
    demanded: CapacityType | None = None
    pools: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class SimulatedApiServer:
    """Carries requests out on a cluster, each at an instant."""

    cluster: ClusterObjects
    chance: Random
    quota_pods: int = QUOTA_PODS

    def read(self, call: ReadsFirst) -> Answer | Seen:
        """Answer the first of a call's two requests: what was read, or that nothing is to do."""
        match call:
            case UnmarkNode():
                node = self._node(call.node, call.uid)
                if node is None:
                    return Gone()
                return Seen(version=node.version) if plan_on(node) == call.plan_id else Done()
            case CreatePlaceholder():
                return self._original(call)
            case ReleaseNode():
                return self._claim(call)
            case _:
                assert_never(call)

    def apply(self, call: Call, at: float, seen: Seen | None = None) -> Answer:
        """Carry one call out.

        Args:
            call: what to do.
            at: when, in seconds since the epoch.
            seen: what the call has read before, None where it reads at the same instant.
        """
        if isinstance(call, ReadsFirst):
            found = seen if seen is not None else self.read(call)
            return self._after(call, found, at) if isinstance(found, Seen) else found
        return self._at_once(call, at)

    def _at_once(self, call: AtOnce, at: float) -> Answer:
        match call:
            case MarkNode() | NoteRisk() | ClearRisk():
                return self._write(call)
            case EvictPod():
                return self._evict(call, at)
            case CreateAnchor():
                return self._anchor(call, at)
            case CreateRoom():
                return self._rooms(call, at)
            case DeletePlaceholders() | DeleteAnchors():
                return self._delete_own(call, at)
            case KeepNode() | FreeNode():
                return self._keep(call)
            case SteerGroup() | RestoreGroup() | GrowGroup() | SettleGroup():
                return Refused(reason=f"{call.group} is no object here")
            case _:
                assert_never(call)

    def _delete_own(self, call: DeletePlaceholders | DeleteAnchors, at: float) -> Answer:
        if isinstance(call, DeleteAnchors):
            return self._release_anchors(call.node_uid, at)
        for pod in [p for p in self.cluster.own.values() if not (call.unbound and p.node)]:
            if pod.own and pod.own.is_of(PodKind.PLACEHOLDER, call.for_uid, call.plan_id):
                self.cluster.delete_pod(pod, at)
        return Done()

    def _after(self, call: ReadsFirst, seen: Seen, at: float) -> Answer:
        """Carry out the second request of a call on what the first one read."""
        match call:
            case UnmarkNode():
                return self._unmark(call, seen)
            case CreatePlaceholder():
                return self._place(call, seen, at)
            case ReleaseNode():
                return self._end(call, at)
            case _:
                assert_never(call)

    def _write(self, call: MarkNode | NoteRisk | ClearRisk) -> Answer:
        node = self._node(call.node, call.uid)
        if node is None:
            return Gone()
        match call:
            case MarkNode():
                return self._mark(call, node)
            case NoteRisk(until=until):
                self.cluster.note_risk(node, rfc3339(until, "seconds"))
            case ClearRisk():
                self.cluster.note_risk(node, "")
        return Done()

    def _keep(self, call: KeepNode | FreeNode) -> Answer:
        """Write or remove a note; where another keeps the node, or for another plan, do nothing."""
        node, plan = self._node(call.node, call.uid), call.plan_id
        if node is None:
            return Gone()
        noted = plan_noted(node.kept)
        if isinstance(call, FreeNode):
            if node.kept and plan in ("", noted):
                self.cluster.keep(node, "")
        elif noted != plan and (node.kept or not node.scale_down_disabled):
            self.cluster.keep(node, note_of(plan))
        return Done()

    def _node(self, name: str, uid: str) -> SimNode | None:
        node = self.cluster.nodes.get(name)
        return node if node is not None and node.uid == uid else None

    def _mark(self, call: MarkNode, node: SimNode) -> Answer:
        if str(node.version) != call.resource_version:
            is_ours = plan_on(node) == call.plan_id
            return Done() if is_ours else Again(reason="the object has been modified")
        self.cluster.mark(node, call.order)
        return Done()

    def _unmark(self, call: UnmarkNode, seen: Seen) -> Answer:
        node = self._node(call.node, call.uid)
        if node is None:
            return Gone()
        if node.version != seen.version:
            return Again(reason="the object has been modified")
        self.cluster.unmark(node, uncordon=call.uncordon and node.labelled)
        return Done()

    def _evict(self, call: EvictPod, at: float) -> Answer:
        pod = self.cluster.pods.get(f"{call.namespace}/{call.name}")
        if pod is None:
            return Gone()
        if pod.uid != call.uid:
            # The server asks the budget before it looks at the uid.
            blocked = not pod.terminating and self.cluster.is_held(pod)
            return BlockedByBudget(retry_s=0.0) if blocked else Gone()
        if pod.terminating:
            return Done()
        stop_s = self.chance.uniform(1.0, max(1.0, pod.workload.grace_s))
        return self.cluster.evict(pod, at, stop_s)

    def _original(self, call: CreatePlaceholder) -> Answer | Seen:
        if not call.sides:
            return Refused(reason=f"no NodePool of pool {call.pool} is known to ask for room")
        original = self.cluster.pods.get(call.for_pod)
        if original is None or original.uid != call.pod_uid:
            return Gone()
        demanded, wanted = original.workload.capacity_type, _wanted(call)
        if demanded is not None and wanted not in (None, demanded):
            return Refused(reason=f"{call.for_pod} itself demands {demanded}, not {wanted}")
        pools = (original.workload.pool, *original.workload.other_pools)
        return Seen(demanded=demanded, pools=pools, sides=_sides(call))

    def _place(
        self, call: CreatePlaceholder, seen: Seen, at: float, *, extra: bool = False
    ) -> Answer:
        workload = Workload(
            namespace=NAMESPACE,
            name=call.name,
            kind=WorkloadKind.OURS,
            pool=call.pool,
            cpu_milli=call.cpu_milli,
            memory_bytes=call.memory_bytes,
            grace_s=0.0,
            capacity_type=_wanted(call) or seen.demanded,
            other_pools=seen.pools,
        )
        own = Own(
            kind=PodKind.PLACEHOLDER,
            plan_id=call.plan_id,
            for_uid=call.for_uid,
            expires_at=at + call.expires_s,
            order=call.order,
            sides=seen.sides,
            avoid=call.avoid,
            extra=extra,
            n_pods=call.n_pods,
        )
        return self._create(workload, own, at, call.zone)

    def _rooms(self, call: CreateRoom, at: float) -> Answer:
        """Make a Job and, at once, the pods that its controller makes as far as the quota goes."""
        whom = "|".join((call.plan_id, *sorted(call.pod_uids)))
        name = TETHER_PREFIX + short_digest(whom)
        if any(pod.name.startswith(name) for pod in self.cluster.own.values()):
            return Done()
        answers: list[Answer] = [Gone()]
        extras: list[tuple[CreatePlaceholder, Seen]] = []
        for number, shape in enumerate(call.shapes):
            found = [(pod, self._original(call.single(shape, pod))) for pod in shape.pods]
            there = next(((p, s) for p, s in found if isinstance(s, Seen)), None)
            if there is None:
                answers += [answer for _, answer in found if isinstance(answer, Refused)]
                continue
            answers.append(Done())
            for i in range(len(shape.pods) // shape.together):
                self._place(call.single(shape, there[0], f"{name}-{number}-{i}"), there[1], at)
            extras += (
                (call.single(shape, there[0], f"{name}-{number}-x{i}"), there[1])
                for i in range(shape.n_extra // shape.together)
            )
        for one, seen in extras:
            self._place(one, seen, at, extra=True)
        return next((a for kind in (Done, Refused) for a in answers if isinstance(a, kind)), Gone())

    def _anchor(self, call: CreateAnchor, at: float) -> Answer:
        workload = Workload(
            namespace=NAMESPACE,
            name=call.name,
            kind=WorkloadKind.OURS,
            pool=call.pool,
            cpu_milli=_ANCHOR_CPU_MILLI,
            memory_bytes=_ANCHOR_MEMORY_BYTES,
            grace_s=0.0,
        )
        own = Own(
            kind=PodKind.ANCHOR,
            plan_id=call.plan_id,
            for_uid=call.node_uid,
            expires_at=at + call.expires_s,
        )
        answer = self._create(workload, own, at)
        pod = self.cluster.pending.get(f"{NAMESPACE}/{call.name}")
        if isinstance(answer, Done) and pod is not None:
            node = self._node(call.node, call.node_uid)
            # A pod that names a node which is not there is collected with it.
            if node is None:
                self.cluster.delete_pod(pod, at)
            else:
                self.cluster.bind(pod, node, at, at + 1.0)
        return answer

    def _create(self, workload: Workload, own: Own, at: float, zone: str = "") -> Answer:
        known = self.cluster.pods.get(f"{workload.namespace}/{workload.name}")
        if known is not None and known.own is not None and known.own.plan_id == own.plan_id:
            return Done()
        # As the server: the quota comes before the name.
        if len(self.cluster.own) >= self.quota_pods:
            return Refused(reason=f"exceeded quota: pods={self.quota_pods}")
        if known is not None:
            return Refused(reason=f"pods {workload.name} already exists")
        self.cluster.create_own(workload, own, at, zone)
        return Done()

    def _claim(self, call: ReleaseNode) -> Answer | Seen:
        node = self._node_of(call)
        if node is None:
            return Gone()
        if node.name != call.node:
            return Refused(reason=f"NodeClaim {call.claim} is for {node.name}")
        return Done() if node.deleting else Seen()

    def _node_of(self, call: ReleaseNode) -> SimNode | None:
        nodes = self.cluster.nodes.values()
        return next((n for n in nodes if n.claim == call.claim), None)

    def _end(self, call: ReleaseNode, at: float) -> Answer:
        """Delete a NodeClaim; of Cluster Autoscaler free the node, which it then ends itself."""
        node = self._node_of(call)
        if node is None:
            return Gone()
        if released_uid(call.claim):
            self._release_anchors(node.uid, at)
            if node.kept:
                self.cluster.keep(node, "")
        elif not node.deleting:
            self.cluster.delete_claim(node)
        return Done()

    def _release_anchors(self, node_uid: str, at: float) -> Answer:
        for pod in list(self.cluster.own.values()):
            if pod.own and pod.own.is_of(PodKind.ANCHOR, node_uid):
                self.cluster.delete_pod(pod, at)
        return Done()


def _sides(call: CreatePlaceholder) -> tuple[str, ...]:
    """Return the node groups that a placeholder is kept to, as the product asks for them."""
    if any(map(is_autoscaled, call.sides)):
        asked = autoscaler_nodes.nodes_wanted_of_autoscaler(call)
        rules = () if isinstance(asked, Unable) else asked.all_of
        by_key = {rule.key: rule.values for rule in rules}
        named = tuple(map(managed_group, by_key.get(NODEGROUP, ())))
        kinds = {normalised(word) for word in by_key.get(POOL_CAPACITY_TYPE, ())}
        pools = by_key.get(POOL, ()) if kinds else ()
        return named + tuple(labelled_group(p, kind) for p in pools for kind in sorted(kinds))
    wanted = wanted_nodes.nodes_wanted_of_karpenter(call)
    return next((rule.values for rule in wanted.all_of if rule.key == NODEPOOL), ())


def _wanted(call: CreatePlaceholder) -> CapacityType | None:
    return None if call.capacity_type is CapacityType.UNKNOWN else call.capacity_type


def plan_on(node: SimNode) -> str:
    """Return the plan whose mark is on a node, "" where none is named."""
    return plan_in(node.mark)
