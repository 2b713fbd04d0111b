"""What one loss of Spot would take of each workload, counted by the observer's own code.

Comes in: the true cluster after each of its steps, and the pods that a plan moves to Spot. Goes
out: whether so many could be spared at any time at which the plan may have been decided. Shares no
code with the controller.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.types import CapacityType
from spotvortex.sim.cluster.objects import SimNode, SimPod
from spotvortex.sim.cluster.scenario import Workload, WorkloadKind
from spotvortex.sim.cluster.state import ClusterObjects

N_LOOKS: Final = 200
"""Steps of the world that are remembered."""

JUDGED: Final = frozenset({WorkloadKind.DEPLOYMENT, WorkloadKind.STATEFUL_SET})


@dataclass(slots=True)
class LossLedger:
    """What each workload could spare lately, and what each plan has moved of it.

    Attributes:
        cluster: the true cluster.
    """

    cluster: ClusterObjects
    _looks: deque[tuple[float, dict[str, int]]] = field(
        default_factory=lambda: deque(maxlen=N_LOOKS)
    )
    _moved: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def look(self, now: float) -> None:
        """Take note of what every workload can spare now."""
        pods = self.cluster.pods_of
        spare = {
            key: found
            for key, workload in self.cluster.workloads.items()
            if workload.kind in JUDGED
            and (found := self._spare(workload, list(pods[key].values()))) is not None
        }
        self._looks.append((now, spare))

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
            known = [spare[key] for at, spare in self._looks if at >= since and key in spare]
            if known and moved[key] > max(0, *known):
                yield f"plan {plan_id} moves {moved[key]} pods of {key}, which spares {max(known)}"

    def _is_anchored(self, pool: str) -> bool:
        return any(
            own.own is not None
            and own.own.kind is PodKind.ANCHOR
            and own.node
            and self.cluster.nodes[own.node].group.pool == pool
            for own in self.cluster.own.values()
        )

    def _spare(self, workload: Workload, all_pods: list[SimPod]) -> int | None:
        """Return the pods that may be lost beyond the loss that hits most, None where all may."""
        pods = [pod for pod in all_pods if not pod.terminating]
        ready = [pod for pod in pods if pod.ready]
        if not ready:
            return None
        after_offering, after_zone = _must_stay(workload.min_available_after_loss, len(pods))
        if not after_offering and not after_zone:
            return None
        nodes = [self.cluster.nodes[pod.node] for pod in ready]
        n_leaving = sum(1 for node in nodes if node.cordoned or node.moving)
        on_spot = [
            node.offering
            for node in nodes
            if node.capacity_type is CapacityType.SPOT and not (node.cordoned or node.moving)
        ]
        offerings, zones = Counter(on_spot), Counter(offering.zone for offering in on_spot)
        left = min(
            len(ready) - after_offering - max(offerings.values(), default=0),
            len(ready) - after_zone - max(zones.values(), default=0),
        )
        return left - n_leaving


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
