"""People, and what else befalls a cluster from outside the controller.

Comes in: a world and the faults whose time has come. Goes out: the cluster changed by them. May not
touch a process of the controller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from spotvortex.core.domain.cloud.notices import KEPT_S, Notice, NoticeKind
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.types import CapacityType, Freeze
from spotvortex.sim.cluster.objects import SimNode
from spotvortex.sim.runtime.coordination import CoordinationObjects
from spotvortex.sim.runtime.faults import ONCE, Fault, FaultKind, Schedule
from spotvortex.sim.runtime.world import World

OF_PROCESSES: Final = frozenset(
    {FaultKind.TASK_CRASH, FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LATE_WRITE}
)
OF_PEOPLE: Final = ONCE - OF_PROCESSES - {FaultKind.DEATH}

NOTICE_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalActors:
    """Whoever else acts on one cluster.

    Attributes:
        world: the cluster and its market.
        shelf: the lease, freeze, state and notices, kept beside the cluster.
        schedule: the faults of the episode.
        chance: what draws the nodes concerned.
        clock: wall time, seconds since the epoch.
        zero_at: the episode's start, seconds since the epoch.
    """

    world: World
    shelf: CoordinationObjects
    schedule: Schedule
    chance: Random
    clock: Callable[[], float]
    zero_at: float

    def act(self) -> None:
        """Do what is due."""
        now_s = self.clock() - self.zero_at
        for fault in self.schedule.due(now_s, OF_PEOPLE):
            self._befall(fault, max(1, round(fault.size)))
            self.world.frames.capture(self.clock())
        self.world.scaling.starved = self._is_at_work(FaultKind.GROUPS_STARVED, now_s)
        self._freeze(now_s)
        self._pass_notices_on()

    def _freeze(self, now_s: float) -> None:
        """Let a person freeze the controller, and take the freeze away."""
        if self.schedule.is_clear and not self.shelf.freezes:
            return
        wanted = Freeze.NONE
        for kind, freeze in (
            (FaultKind.FREEZE_SOFT, Freeze.SOFT),
            (FaultKind.FREEZE_LEAVE, Freeze.LEAVE),
            (FaultKind.FREEZE_HARD, Freeze.HARD),
        ):
            if self._is_at_work(kind, now_s):
                wanted = freeze
        if self.shelf.freeze_at(self.clock()) is not wanted:
            self.shelf.freezes.append((self.clock(), wanted))

    def _is_at_work(self, kind: FaultKind, now_s: float) -> bool:
        return any(self.schedule.at_work(kind, now_s, who) is not None for who in (0, 1))

    def _befall(self, fault: Fault, n: int) -> None:
        cluster = self.world.cluster
        match fault.kind:
            case FaultKind.UNCORDON | FaultKind.PERSON_CORDON:
                cordoned = fault.kind is FaultKind.PERSON_CORDON
                others = [x for x in cluster.nodes.values() if x.cordoned is not cordoned]
                for node in self._some(others, n if cordoned else len(others)):
                    cluster.cordon(node, cordoned=cordoned)
            case FaultKind.NODE_DELETED:
                for node in self._some(list(cluster.nodes.values()), n):
                    cluster.delete_claim(node)
            case FaultKind.PLACEHOLDERS_DELETED:
                self._delete_own(PodKind.PLACEHOLDER)
            case FaultKind.ANCHORS_DELETED:
                self._delete_own(PodKind.ANCHOR)
            case _:
                self._befall_more(fault, n)

    def _befall_more(self, fault: Fault, n: int) -> None:
        match fault.kind:
            case FaultKind.INTERRUPTION:
                spot = [x for x in self.world.cluster.nodes.values() if _may_be_lost(x)]
                for node in self._some(spot, n):
                    self.world.interrupt(node, self.clock() + NOTICE_S)
            case FaultKind.NOTICE_STORM:
                for number in range(n):
                    self._tell_of_somebody(number)
            case FaultKind.STATE_LOST | FaultKind.STATE_UNREADABLE:
                is_lost = fault.kind is FaultKind.STATE_LOST
                self._rewrite_state(None if is_lost else '{"v":99}')
            case FaultKind.SCALED:
                self.world.scale(fault.size)
            case FaultKind.GROUP_RESIZED:
                self._resize_a_group(round(fault.size))
            case _:
                raise AssertionError(f"nobody does {fault.kind}")

    def _resize_a_group(self, by: int) -> None:
        """Set the size of one scaling group, as far as its bounds let a person."""
        sizes = self.world.cluster.desired
        if sizes:
            name = self.chance.choice(sorted(sizes))
            self.world.scaling.resize(name, sizes[name] + by)

    def _rewrite_state(self, text: str | None) -> None:
        self.shelf.state = text
        self.shelf.version += 1

    def _delete_own(self, kind: PodKind) -> None:
        own = self.world.cluster.own.values()
        for pod in [p for p in own if p.own is not None and p.own.kind is kind]:
            self.world.cluster.delete_pod(pod, self.clock())

    def _some(self, nodes: list[SimNode], n: int) -> list[SimNode]:
        return self.chance.sample(nodes, min(n, len(nodes)))

    def _tell_of_somebody(self, number: int) -> None:
        """Announce that a foreign instance goes, or that one of the cluster's is at risk."""
        key = f"storm-{number}-{self.chance.getrandbits(32):08x}"
        if self.chance.random() < 0.8:
            instance = f"i-{self.chance.getrandbits(68):017x}"
            self._tell(key, NoticeKind.INTERRUPTION, instance, self.clock() + NOTICE_S)
        else:
            nodes = list(self.world.cluster.nodes.values())
            instance = self.chance.choice(nodes).instance_id
            self._tell(key, NoticeKind.REBALANCE, instance, None)

    def _pass_notices_on(self) -> None:
        """Put what the provisioner does not act on into the queue, once each."""
        for node in self.world.take_at_risk():
            key = f"risk-{node.uid}-{self.clock():.0f}"
            self._tell(key, NoticeKind.REBALANCE, node.instance_id, None)
        for node in self.world.take_unheard():
            key = f"event-{node.uid}"
            self._tell(key, NoticeKind.INTERRUPTION, node.instance_id, node.leaves_at)

    def _tell(self, key: str, kind: NoticeKind, instance_id: str, deadline: float | None) -> None:
        now = self.clock()
        self.shelf.tell(
            Notice(
                id=key,
                kind=kind,
                instance_id=instance_id,
                at=now,
                deadline=deadline,
                until=(deadline or now) + KEPT_S,
                received_at=now,
            )
        )


def _may_be_lost(node: SimNode) -> bool:
    return node.capacity_type is CapacityType.SPOT and node.ready and node.leaves_at is None
