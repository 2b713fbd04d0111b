"""The cloud's side of simulated Auto Scaling groups: sizes, launches, and instances that end.

Comes in: the cluster, sizes that somebody sets, instances that somebody ends. Goes out: nodes that
come and go until each group has as many as it is to have. As in AWS a lost instance is replaced, a
smaller size ends instances of the group's own choice (the newest here), and an end with decrement
lowers the size. May not know the controller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup, ScalingInstance
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.sim.cluster.objects import SimNode
from spotvortex.sim.cluster.scenario import NodeGroup
from spotvortex.sim.cluster.scheduler import Scheduler
from spotvortex.sim.cluster.state import ClusterObjects


@dataclass(slots=True, kw_only=True)
class ScalingCloud:
    """Keeps the nodes of scaling groups as their sizes say.

    Attributes:
        cluster: where the nodes are, and the sizes.
        placement: launches nodes.
        groups: all groups of the cluster; those with a largest size count.
        chance: what draws the offerings.
        starved: groups get no instance that they ask for.
    """

    cluster: ClusterObjects
    placement: Scheduler
    groups: tuple[NodeGroup, ...]
    chance: Random
    starved: bool = False
    _ends_at: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Take the nodes that there are for the sizes that are wanted."""
        for group in self.groups:
            if group.largest is not None:
                self.cluster.desired[group.known_as] = len(self._nodes(group))

    def step(self, at: float) -> None:
        """Let instances end and come."""
        nodes = list(self.cluster.nodes.values()) if self._ends_at else ()
        for node in nodes:
            ends_at = self._ends_at.get(node.uid)
            if ends_at is not None and ends_at <= at:
                self.cluster.remove_node(node, at, silent=True)
        self._ends_at = {u: t for u, t in self._ends_at.items() if t > at}
        for group in self.groups:
            if group.largest is not None:
                self._reconcile(group, at)

    def _reconcile(self, group: NodeGroup, at: float) -> None:
        living = [n for n in self._nodes(group) if not self._leaves(n)]
        missing = self.cluster.desired[group.known_as] - len(living)
        for node in sorted(living, key=lambda n: (-n.created_at, n.name))[: max(0, -missing)]:
            self._end(node, at)
        for _ in range(0 if self.starved else max(0, missing)):
            self._launch(group, at)

    def _launch(self, group: NodeGroup, at: float) -> None:
        """Launch one instance where there is one: of Spot none may be had anywhere."""
        kind = group.capacity_types[0]
        offerings = [
            Offering(instance_type=instance_type, zone=zone)
            for instance_type in group.instance_types
            for zone in group.zones
        ]
        for offering in self.chance.sample(offerings, len(offerings)):
            if kind is CapacityType.ON_DEMAND or self.placement.try_spot(group, offering, at):
                self.placement.launch(group, kind, offering, at)
                return

    def view(self, known_as: str) -> ScalingGroup | None:
        """Return a group as the cloud describes it."""
        group = self._named(known_as)
        if group is None or group.largest is None:
            return None
        return ScalingGroup(
            name=group.name,
            node_group=known_as,
            pool=group.pool,
            capacity_type=group.capacity_types[0],
            largest=group.largest,
            desired=self.cluster.desired[known_as],
            instances=tuple(
                ScalingInstance(id=n.instance_id, leaving=self._leaves(n))
                for n in sorted(self._nodes(group), key=lambda n: n.instance_id)
            ),
        )

    def node_of(self, instance_id: str) -> SimNode | None:
        """Return the node of an instance of any group, None where it has ended."""
        nodes = self.cluster.nodes.values()
        return next((n for n in nodes if n.instance_id == instance_id), None)

    def leaves(self, instance_id: str) -> bool:
        """Tell whether an instance has ended, or is about to."""
        node = self.node_of(instance_id)
        return node is None or self._leaves(node)

    def resize(self, known_as: str, desired: int) -> bool:
        """Set a size, as anybody may; one that the group's bounds refuse changes nothing."""
        group = self._named(known_as)
        if group is None or group.largest is None or not 0 <= desired <= group.largest:
            return False
        self.cluster.desired[known_as] = desired
        return True

    def end(self, instance_id: str, at: float, *, decrement: bool = True) -> None:
        """End an instance, and have its group one smaller."""
        node = self.node_of(instance_id)
        if node is None or self._leaves(node):
            return
        self.cluster.desired[node.group.known_as] -= decrement
        self._end(node, at)

    def _end(self, node: SimNode, at: float) -> None:
        self._ends_at[node.uid] = at + node.group.terminate_s

    def _leaves(self, node: SimNode) -> bool:
        return node.uid in self._ends_at or node.deleting or node.leaves_at is not None

    def _named(self, known_as: str) -> NodeGroup | None:
        return next((g for g in self.groups if g.known_as == known_as), None)

    def _nodes(self, group: NodeGroup) -> list[SimNode]:
        return [n for n in self.cluster.nodes.values() if n.group is group]
