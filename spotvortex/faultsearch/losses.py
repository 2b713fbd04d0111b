"""What one loss of Spot would take of each workload, counted by the observer's own code.

Comes in: the true cluster after each of its steps, and the pods that a plan moves to Spot. Goes
out: whether so many could be spared at any time at which the plan may have been decided. Pods that
are on Spot already may also go where no loss takes more of their workload than the worst one took.
Shares no code with the controller.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.sim.cluster.objects import SimNode, SimPod
from spotvortex.sim.cluster.scenario import Workload, WorkloadKind
from spotvortex.sim.cluster.state import ClusterObjects

N_LOOKS: Final = 200
"""Steps of the world that are remembered."""

JUDGED: Final = frozenset({WorkloadKind.DEPLOYMENT, WorkloadKind.STATEFUL_SET})


@dataclass(frozen=True, slots=True)
class Exposure:
    """A workload's Ready pods at one time, and what a loss of Spot may take of them.

    Attributes:
        have: Ready pods that stay where they are.
        after_offering: pods that must stay after the loss of an offering.
        after_zone: the same after the loss of a zone's Spot.
        on_spot: where the pods on Spot are.
    """

    have: int
    after_offering: int
    after_zone: int
    on_spot: tuple[Offering, ...]

    @property
    def needed(self) -> int:
        """Return how many Ready pods the worst loss asks for."""
        offerings, zones = Counter(self.on_spot), Counter(o.zone for o in self.on_spot)
        return max(
            self.after_offering + max(offerings.values(), default=0),
            self.after_zone + max(zones.values(), default=0),
        )

    def spares(self) -> int:
        """Return the pods that may come to Spot, wherever they land."""
        return max(0, self.have - self.needed)

    def spares_from(self, left: Offering) -> int:
        """Return the pods that may leave an offering for other Spot, wherever they land."""
        others = Counter(o for o in self.on_spot if o != left)
        zones = Counter(o.zone for o in self.on_spot if o.zone != left.zone)
        beside = max(
            self.after_offering + max(others.values(), default=0),
            self.after_zone + max(zones.values(), default=0),
        )
        return max(0, max(self.have, self.needed) - beside)


@dataclass(slots=True)
class LossLedger:
    """What each workload could spare lately, and what each plan has moved of it.

    Attributes:
        cluster: the true cluster.
    """

    cluster: ClusterObjects
    _looks: deque[tuple[float, dict[str, Exposure]]] = field(
        default_factory=lambda: deque(maxlen=N_LOOKS)
    )
    _moved: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def look(self, now: float) -> None:
        """Take note of what every workload has and needs now."""
        pods = self.cluster.pods_of
        seen = {
            key: found
            for key, workload in self.cluster.workloads.items()
            if workload.kind in JUDGED
            and (found := self._exposure(workload, list(pods[key].values()))) is not None
        }
        self._looks.append((now, seen))

    def moves(self, plan_id: str, node: SimNode, since: float) -> Iterator[str]:
        """Take note of a node that a plan moves to Spot; yield what it could not spare since then.

        Where an anchor of the controller keeps a node of the pool, the plan may undo a fall back,
        which is held to nothing here.
        """
        if (plan_id, node.uid) in self._seen:
            return
        self._seen.add((plan_id, node.uid))
        moved = self._moved[plan_id]
        ready = Counter(p.workload.key for p in node.pods.values() if p.ready and not p.terminating)
        moved.update(ready)
        if self._is_anchored(node.group.pool):
            return
        for key in ready:
            seen = [look[key] for at, look in self._looks if at >= since and key in look]
            known = [_spared(exposure, node) for exposure in seen]
            if known and moved[key] > max(known):
                yield f"plan {plan_id} moves {moved[key]} pods of {key}, which spares {max(known)}"

    def _is_anchored(self, pool: str) -> bool:
        return any(
            own.own is not None
            and own.own.kind is PodKind.ANCHOR
            and own.node
            and self.cluster.nodes[own.node].group.pool == pool
            for own in self.cluster.own.values()
        )

    def _exposure(self, workload: Workload, all_pods: list[SimPod]) -> Exposure | None:
        """Return what a workload has and needs, None where a loss may take all of it."""
        pods = [pod for pod in all_pods if not pod.terminating]
        nodes = [self.cluster.nodes[pod.node] for pod in pods if pod.ready]
        after_offering, after_zone = _must_stay(workload.min_available_after_loss, len(pods))
        if not nodes or (not after_offering and not after_zone):
            return None
        staying = [node for node in nodes if not (node.cordoned or node.moving)]
        return Exposure(
            have=len(staying),
            after_offering=after_offering,
            after_zone=after_zone,
            on_spot=tuple(n.offering for n in staying if n.capacity_type is CapacityType.SPOT),
        )


def _spared(exposure: Exposure, node: SimNode) -> int:
    """Return the pods that may leave a node for Spot: a node of Spot is exposed already."""
    if node.capacity_type is CapacityType.SPOT:
        return exposure.spares_from(node.offering)
    return exposure.spares()


def _must_stay(word: str, n: int) -> tuple[int, int]:
    """Return what must stay after the loss of an offering, and of a zone's Spot.

    A word that cannot be read is taken to ask for every pod.
    """
    if word.isdigit():
        return int(word), int(word)
    if word.endswith("%") and word[:-1].isdigit():
        pods = -(-int(word[:-1]) * n // 100)
        return pods, pods
    if word:
        return n, n
    if n <= 1:
        return 0, 0
    return -(-n // 2), max(1, -(-n // 3))
