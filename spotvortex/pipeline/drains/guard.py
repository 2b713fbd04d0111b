"""The actuator that writes, and what it checks right before each write.

Comes in: calls of the drainer. Goes out: requests through the `ClusterWriter`, and its answers. The
guard may only say no: whether this process holds the lease, whether a person has frozen the
controller, whether the inputs are fresh, how many nodes anybody is moving, and how fast it writes.
A request that only removes what the controller made passes stale inputs, the budgets, and a freeze
that is not hard; one that empties a node that is lost anyway passes a soft freeze; nothing passes
without the lease.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain.autoscaling import plan_noted
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, OwnPod
from spotvortex.core.domain.types import CapacityType, Freeze, disrupted_at_most
from spotvortex.core.drain.calls import (
    UNDOING,
    Again,
    Answer,
    Call,
    CreatePlaceholder,
    CreateRoom,
    DeletePlaceholders,
    Done,
    EvictPod,
    MarkNode,
    Refused,
    empties_lost_node,
)
from spotvortex.core.drain.keeping import anchored_until
from spotvortex.core.drain.messages import DrainOrder, OrderKind
from spotvortex.core.drain.orders import from_text
from spotvortex.core.drain.views import Halt, NodeView, Receiver
from spotvortex.pipeline.drains.shared_room import RoomDesk, SharedRoom
from spotvortex.pipeline.drains.write_rate import FIRST, Rank, Slots, WriteRate
from spotvortex.ports.cluster import ClusterView, WallClock
from spotvortex.ports.series import CALLS, EXTRA_ROOM
from spotvortex.ports.telemetry import Telemetry
from spotvortex.ports.writing import Authority, ClusterWriter

MAX_ASKING: Final = 32
"""Requests for room on their way at once."""

MAX_SENDING: Final = 2 * MAX_ASKING
"""Requests of any kind on their way at once. A server with more to do than it can answers none in
time, and what has timed out has to be sent again."""

LEAST_SENDING: Final = 8
"""The same while the server does not keep up: halved at each answer that it should be tried again,
one more with each request that was carried out."""

_FROZEN: Final = {Freeze.SOFT: "frozen by a person", Freeze.LEAVE: "frozen by an uninstall"}
_COUNTED: Final = (CapacityType.SPOT, CapacityType.ON_DEMAND, CapacityType.RESERVED)


@dataclass(slots=True, kw_only=True)
class GuardedActuator:
    """Makes the calls that every check lets through.

    Attributes:
        cluster: the view of the cluster.
        writer: sends the requests.
        authority: tells whether the controller may write.
        clock: the wall clock.
        telemetry: where calls and answers are counted.
        limits: the budgets and the age of inputs that are checked.
        rate: bounds the writes per second.
    """

    cluster: ClusterView
    writer: ClusterWriter
    authority: Authority
    clock: WallClock
    telemetry: Telemetry
    limits: Limits
    rate: WriteRate
    _marking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asking: Slots = field(default_factory=lambda: Slots(MAX_ASKING))
    _sending: Slots = field(default_factory=lambda: Slots(MAX_SENDING))
    _marked: set[str] = field(default_factory=set)
    _turns: dict[str, int] = field(default_factory=dict)
    _n_turns: int = 0
    _desk: RoomDesk = field(init=False)
    _room: SharedRoom = field(init=False)

    def __post_init__(self) -> None:
        """Open the desk for what lost nodes ask for together."""
        self._desk = RoomDesk(self._ask_for_room)
        self._room = SharedRoom(self.cluster.own_pods, self._is_bound)

    async def apply(self, call: Call) -> Answer:
        """Send a call, or say why not; the checks come after every wait, right before the write."""
        if isinstance(call, CreateRoom):
            return await self._desk.ask(call)
        if isinstance(call, DeletePlaceholders) and call.unbound:
            return await self._desk.give_back(call, lambda: self._applied(call, (1,)))
        rank = self._rank(call)
        if isinstance(call, MarkNode) and call.urgent:
            # Right after it the room of its pods is asked for.
            with self._desk.expecting(call.plan_id):
                return await self._applied(call, rank)
        if isinstance(call, CreatePlaceholder):
            # Two requests each, of which a burst would bring a small API server to its knees.
            async with self._asking.slot(rank):
                return await self._applied(call, rank)
        return await self._applied(call, rank)

    async def _ask_for_room(self, call: CreateRoom) -> Answer:
        answer = await self._applied(call, (1,))
        n_extra = sum(shape.n_extra for shape in call.shapes)
        if n_extra and isinstance(answer, Done):
            self.telemetry.count(EXTRA_ROOM, n=n_extra)
        return answer

    async def _applied(self, call: Call, rank: Rank) -> Answer:
        if not (isinstance(call, MarkNode | EvictPod) and call.urgent):
            # What saves a lost node's pods waits for no rate, only for its turn among the others.
            await self.rate.take(rank)
        async with self._sending.slot(rank):
            return await self._sent(call)

    async def _sent(self, call: Call) -> Answer:
        if not isinstance(call, MarkNode):
            answer = await self._checked(call)
        elif call.urgent:
            # Counted before it is sent, so that a planned mark beside it cannot overlook it.
            self._marked.add(call.uid)
            answer = await self._checked(call)
        else:
            answer = await self._planned_mark(call)
        self.telemetry.count(CALLS, type(call).__name__, type(answer).__name__)
        return answer

    def _rank(self, call: Call) -> Rank:
        """Say what goes first where writes have to wait.

        Cordons of lost nodes before all else. Then what empties nodes or undoes, then room: all of
        one node's before the next one's, so that the first node is emptied while others still ask.
        """
        if isinstance(call, MarkNode) and call.urgent:
            return FIRST
        if not isinstance(call, CreatePlaceholder):
            return (1,)
        turn = self._turns.get(call.for_uid)
        if turn is None:
            self._n_turns += 1
            turn = self._turns[call.for_uid] = self._n_turns
        return 2, turn

    async def _planned_mark(self, call: MarkNode) -> Answer:
        """Mark one node at a time, so that two never take the same last place of a budget."""
        async with self._marking:
            answer = await self._checked(call)
            if not isinstance(answer, Again | Refused):
                self._marked.add(call.uid)
            return answer

    async def _checked(self, call: Call) -> Answer:
        objection = self._objection(call)
        if objection is not None:
            return objection
        answer = await self.writer.apply(call, self.authority.writes_until())
        if isinstance(answer, Again):
            self._sending.n = max(LEAST_SENDING, self._sending.n // 2)
        elif isinstance(answer, Done):
            self._sending.n = min(MAX_SENDING, self._sending.n + 1)
        return answer

    def _objection(self, call: Call) -> Again | Refused | None:
        standing = self.authority.standing()
        if not standing.leader:
            return Again("this replica does not hold the lease", is_sent=False)
        if standing.freeze in (Freeze.HARD, Freeze.UNKNOWN):
            return Again(f"frozen: {standing.freeze}", is_sent=False)
        if isinstance(call, UNDOING):
            return None
        freeze = standing.freeze
        if freeze.undoes and not (freeze.lets_losses_pass and empties_lost_node(call)):
            return Refused(_FROZEN[freeze])
        stale = self._stale()
        if stale:
            return Again(f"{stale} is not fresh", is_sent=False)
        if isinstance(call, MarkNode) and not call.urgent:
            return self._over_budget(call)
        return None

    def _stale(self) -> str:
        """Return the name of a required input that is too old to act on, "" where none is."""
        limit = self.limits.max_input_age_s
        for health in self.cluster.health(self.clock.now()):
            if health.required and (health.state is not InputState.OK or health.age_s > limit):
                return health.name
        return ""

    def _over_budget(self, call: MarkNode) -> Again | None:
        """Count every node on the move, whoever moves it, and those marked that a view lacks."""
        facts = self.cluster.snapshot(self.clock.now())
        node = next((n for n in facts.nodes if n.uid == call.uid), None)
        if node is None:
            return None
        pools = (node.pool, self.limits.max_pool_disruption_ratio)
        for name, ratio in (pools, ("", self.limits.max_cluster_disruption_ratio)):
            n_nodes, n_moving = self._count(facts, name, call.uid)
            most = disrupted_at_most(n_nodes, ratio)
            if n_moving >= most:
                where = f"pool {name}" if name else "the cluster"
                words = f"{n_moving} nodes of {where} are on the move, at most {most} may be"
                return Again(words, is_sent=False)
        return None

    def _count(self, facts: ClusterFacts, pool: str, leaving_out: str) -> tuple[int, int]:
        nodes = [n for p in facts.pools if not pool or p.name == pool for n in p.nodes]
        counted = [n for n in nodes if n.capacity_type in _COUNTED]
        there = {n.uid for n in nodes}
        moving = {n.uid for n in nodes if n.moving or n.cordoned}
        moving |= self._marked & there
        return len(counted), len(moving - {leaving_out})

    async def look(self, order: DrainOrder) -> NodeView:
        """Return the node of an order, with the newest write laid over a view that lacks it."""
        node = self.cluster.node(order.node)
        here = node if node is not None and node.uid == order.uid else None
        cordoned, plan_id = self._newest(here) if here is not None else (False, "")
        lost = order.kind is OrderKind.INTERRUPTION
        halt, reason = self._halt(lost=lost)
        own = [p for p in self.cluster.own_pods(order.uid) if p.plan_id == order.plan_id]
        room = [p for p in own if p.kind is PodKind.PLACEHOLDER and not p.finished]
        receivers = [r for p in room if (r := self._receiver(p, order.plan_id)) is not None]
        shared = self._room.of(order.plan_id) if lost else None
        return NodeView(
            node=order.node,
            uid=order.uid,
            present=here is not None,
            cordoned=cordoned,
            marked=plan_id == order.plan_id,
            leaving=here is not None and here.moving,
            pods=self.cluster.pods_on(order.node) if here is not None else (),
            bound=len(receivers),
            n_room=len(room),
            n_shared=shared.there if shared is not None else 0,
            n_waiting=shared.waiting if shared is not None else 0,
            given=shared.given if shared is not None else None,
            receivers=tuple({r.uid: r for r in receivers}.values()),
            pending_reason=next((p.pending_reason for p in room if p.pending_reason), ""),
            resource_version=here.resource_version if here is not None else "",
            zone=here.offering.zone if here is not None else "",
            halt=halt,
            halt_reason=reason,
        )

    def _newest(self, node: NodeFact) -> tuple[bool, str]:
        """Return whether a node is cordoned, and the plan of the controller's journal on it."""
        own = self.writer.own_write(node.uid, node.resource_version)
        if own is not None:
            return own.cordoned, own.plan_id
        order = from_text(node.mark) if node.mark else None
        return node.cordoned, order.plan_id if order is not None else ""

    def _receiver(self, pod: OwnPod, plan_id: str) -> Receiver | None:
        """Return the node that a placeholder is bound to, None while there is no Ready one."""
        node = self.cluster.node(pod.node) if pod.node and not pod.terminating else None
        if node is None or not node.ready:
            return None
        until = anchored_until(self.cluster.own_pods(node.uid), self.clock.now())
        return Receiver(
            node=node.name,
            uid=node.uid,
            anchored_until=until.get(node.uid, 0.0),
            kept=plan_noted(node.kept) == plan_id,
        )

    def _is_bound(self, pod: OwnPod, ready: dict[str, bool]) -> bool:
        """Tell whether a placeholder has a Ready node; `ready` keeps what was found of nodes."""
        if not pod.node or pod.terminating:
            return False
        if pod.node not in ready:
            node = self.cluster.node(pod.node)
            ready[pod.node] = node is not None and node.ready
        return ready[pod.node]

    def _halt(self, *, lost: bool) -> tuple[Halt, str]:
        standing = self.authority.standing()
        if not standing.leader:
            return Halt.DROP, "this replica does not hold the lease"
        freeze = standing.freeze
        if freeze in (Freeze.HARD, Freeze.UNKNOWN):
            return Halt.DROP, f"frozen: {freeze}"
        if freeze.undoes and not (lost and freeze.lets_losses_pass):
            return Halt.UNDO, _FROZEN[freeze]
        return Halt.NONE, ""

    async def refresh(self, order: DrainOrder) -> None:
        """Read the node, its pods and their budgets anew."""
        await self.cluster.refresh(order.node)

    def forget(self, order: DrainOrder) -> None:
        """Take note that an order has ended."""
        self._marked.discard(order.uid)
        self._turns.pop(order.uid, None)
