"""The actuators: one that writes down and changes nothing, and the choice between it and another.

Comes in: calls of the drainer. Goes out: the answers a calm cluster would give, and every call,
counted and kept. So that a drain can be followed to its end, the effects of the recorded calls are
laid over the real view: asked capacity counts as bound, an evicted pod as gone. The hand that does
write is in `guard`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.domain.types import Mode
from spotvortex.core.drain.calls import (
    Answer,
    Call,
    CreatePlaceholder,
    CreateRoom,
    Done,
    EvictPod,
    MarkNode,
    UnmarkNode,
)
from spotvortex.core.drain.messages import DrainOrder
from spotvortex.core.drain.views import NodeView
from spotvortex.ports.cluster import ClusterActuator, ClusterView
from spotvortex.ports.series import SHADOW_CALLS
from spotvortex.ports.telemetry import Telemetry

MAX_CALLS_KEPT: Final = 10_000
MAX_NODES_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Actuators:
    """The actuator of each mode: `writing` for the modes that write, `recording` for the others."""

    recording: ClusterActuator
    writing: ClusterActuator

    def of(self, mode: Mode) -> ClusterActuator:
        """Return the hand that carries out what was decided in a mode."""
        return self.writing if mode.writes else self.recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What the recorded calls would have done to one node."""

    bound: int = 0
    cordoned: bool = False
    evicted: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class RecordingActuator:
    """Records calls instead of making them."""

    cluster: ClusterView
    telemetry: Telemetry
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=MAX_CALLS_KEPT))
    _effects: OrderedDict[str, Effects] = field(default_factory=OrderedDict)

    async def apply(self, call: Call) -> Answer:
        """Write the call down and answer as if it had been carried out."""
        self.calls.append(call)
        self.telemetry.count(SHADOW_CALLS, type(call).__name__)
        self._take_effect(call)
        return Done()

    async def look(self, order: DrainOrder) -> NodeView:
        """Return the real node with the recorded effects laid over it."""
        effects = self._effects.get(order.uid, Effects())
        node = self.cluster.node(order.node)
        present = node is not None and node.uid == order.uid
        pods = self.cluster.pods_on(order.node) if present else ()
        return NodeView(
            node=order.node,
            uid=order.uid,
            present=present,
            cordoned=effects.cordoned or (node is not None and node.cordoned),
            marked=effects.cordoned,
            # What is released by a record alone counts as on its way.
            leaving=effects.cordoned,
            pods=tuple(pod for pod in pods if pod.uid not in effects.evicted),
            bound=effects.bound,
            n_room=effects.bound,
            resource_version=node.resource_version if node is not None else "",
            zone=node.offering.zone if node is not None else "",
        )

    async def refresh(self, order: DrainOrder) -> None:
        """Do nothing: what is only recorded needs no fresher view, and asks for none."""

    def forget(self, order: DrainOrder) -> None:
        """Drop the effects of an order that has ended: the real cluster never saw them."""
        self._effects.pop(order.uid, None)

    def _take_effect(self, call: Call) -> None:
        match call:
            case CreatePlaceholder(for_uid=uid):
                effects = self._effects.get(uid, Effects())
                self._keep(uid, replace(effects, bound=effects.bound + 1))
            case CreateRoom(for_uids=uids):
                for uid in uids:
                    effects = self._effects.get(uid, Effects())
                    self._keep(uid, replace(effects, bound=effects.bound + len(call.pod_uids)))
            case MarkNode(uid=uid):
                self._keep(uid, replace(self._effects.get(uid, Effects()), cordoned=True))
            case UnmarkNode(uid=uid):
                self._keep(uid, replace(self._effects.get(uid, Effects()), cordoned=False))
            case EvictPod():
                self._evict(call)
            case _:
                # The others change nothing that a drain looks at.
                return

    def _evict(self, call: EvictPod) -> None:
        effects = self._effects.get(call.node_uid, Effects())
        self._keep(call.node_uid, replace(effects, evicted=effects.evicted | {call.uid}))

    def _keep(self, uid: str, effects: Effects) -> None:
        self._effects[uid] = effects
        while len(self._effects) > MAX_NODES_KEPT:
            self._effects.popitem(last=False)
