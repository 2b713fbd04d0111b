"""Where the nodes of a pool could go, as its NodePools say.

Comes in: the NodePools of one pool, and movable nodes, the first to move first. Goes out: the same
nodes with those first that one NodePool may take, and a `GroupFit` that describes it. It is judged
by its requirements for zone and instance type and by its limits. Taints, labels and other
requirements are not read: placeholders prove that a pod may run there, before any eviction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.domain.cloud.instance_types import vcpus_of
from spotvortex.core.domain.observation import NodeFact, NodeGroupFact
from spotvortex.core.domain.sides import allows, is_driven, receiving_sides
from spotvortex.core.domain.types import Blocker, CapacityType, ProvisionerKind
from spotvortex.core.pool.input import MAX_CANDIDATES, GroupFit

MIB: Final = 1 << 20

Sizes = Mapping[str, tuple[int, int]]
"""Allocatable milli-CPU and bytes of instance types, as far as they are known."""


def sizes_of(nodes: Iterable[NodeFact]) -> Sizes:
    """Return the largest allocatable figures seen of each instance type."""
    found: dict[str, tuple[int, int]] = {}
    for node in nodes:
        if node.allocatable_cpu_milli > 0 and node.allocatable_memory_bytes > 0:
            cpu, memory = found.get(node.offering.instance_type, (0, 0))
            found[node.offering.instance_type] = (
                max(cpu, node.allocatable_cpu_milli),
                max(memory, node.allocatable_memory_bytes),
            )
    return found


def place(
    node_groups: Sequence[NodeGroupFact],
    wanted: CapacityType,
    nodes: Sequence[NodeFact],
    seen: Sizes,
) -> tuple[tuple[NodeFact, ...], GroupFit]:
    """Choose the NodePool that has most room for the nodes to move first.

    One NodePool is chosen although several may share a wave, the more careful reading: first of
    those whose limits let anything through, then the one that takes the earliest node, then the
    one with most room.

    Args:
        node_groups: the NodePools of the pool; none where none is served.
        wanted: what the nodes would become.
        nodes: movable nodes in the order in which they would be moved.
        seen: sizes of instance types.
    """
    going = _Going(node_groups, wanted)
    offers = [_offer(p, nodes, seen, going) for p in node_groups if allows(p, wanted)]
    if not offers:
        cpu, memory = _largest(seen.values())
        return tuple(nodes), GroupFit(launch_cpu_milli=cpu, launch_memory_mib=mib_up(memory))
    best = min(offers, key=_rank)
    hosted = {id(node) for node in best.hosted}
    others = [node for node in nodes if id(node) not in hosted]
    return (*best.hosted, *others), best.room(others, seen, going)


def room_for(
    ranked: Sequence[NodeFact],
    nodes: Sequence[NodeFact],
    groups: Sequence[NodeGroupFact],
    wanted: CapacityType,
    seen: Sizes,
) -> tuple[tuple[NodeFact, ...], GroupFit]:
    """Return the nodes that may move, best first, and the room that NodePools have for them.

    Nodes that no driver moves are left out where others may move, and else said to be such.

    Args:
        ranked: movable nodes in the order in which they would be moved.
        nodes: whose maker is named where no driver moves any of them.
        groups: the NodePools of the pool; none where none is served.
        wanted: what the nodes would become.
        seen: sizes of instance types.
    """
    driven = tuple(filter(is_driven, ranked))
    free, held = releasable(driven, groups)
    found, room = place(groups, wanted, spare_nodes(free, groups) if driven else ranked, seen)
    why = _no_driver(driven, ranked or nodes) or held or room.no_driver
    return found, room if why == room.no_driver else replace(room, no_driver=why)


def _no_driver(driven: Sequence[NodeFact], nodes: Sequence[NodeFact]) -> str:
    """Return who makes these nodes where no driver moves any of them, "" where one does."""
    if driven or not nodes or any(map(is_driven, nodes)):
        return ""
    return nodes[0].provisioner.value


def spare_nodes(
    nodes: Iterable[NodeFact], node_groups: Iterable[NodeGroupFact]
) -> tuple[NodeFact, ...]:
    """Leave out the nodes without which a group would be below its smallest: nobody ends those."""
    left = {group.name: group.nodes_spare for group in node_groups}
    found = []
    for node in nodes:
        n = left.get(node.node_group)
        if n is None or n > 0:
            found.append(node)
            left[node.node_group] = None if n is None else n - 1
    return tuple(found)


def releasable(
    nodes: Sequence[NodeFact], node_groups: Iterable[NodeGroupFact]
) -> tuple[tuple[NodeFact, ...], str]:
    """Leave out the nodes that must not be ended, and say why where that leaves none."""
    why = {group.name: group.words.no_release for group in node_groups}
    free = tuple(node for node in nodes if not why.get(node.node_group))
    return free, "" if free or not nodes else why[nodes[0].node_group]


@dataclass(frozen=True, slots=True)
class LaunchHeadroom:
    """How many launches the limits let through, and what the next one would exceed.

    Attributes:
        n: launches that the limits let through.
        short_of: the limit that the next one would exceed, `cpu_milli`, `memory_mib` or `nodes`; ""
            where all are let through.
        asked: what the launches and the next one come to, in that unit.
        left: what the limit leaves, in that unit.
    """

    n: int
    short_of: str = ""
    asked: int = 0
    left: int = 0


def launches(room: GroupFit, needs: Sequence[tuple[int, int]]) -> LaunchHeadroom:
    """Count the nodes, in this order, for whose pods the limits leave room.

    A wave adds capacity before it takes any away. Near a limit Karpenter counts a launch that is
    under way as the largest type that it might become, so every launch but the last one asked for
    counts as `launch_*`, and the last as what its pods request: the least that it can be.

    Args:
        room: what the limits leave.
        needs: milli-CPU and bytes of the pods of each node.
    """
    cpu = memory = 0
    for n_before, (need_cpu, need_memory) in enumerate(needs):
        need_mib = mib_up(need_memory)
        asked = (
            ("nodes", n_before + 1, room.nodes_left),
            ("cpu_milli", cpu + need_cpu, room.cpu_left_milli),
            ("memory_mib", memory + need_mib, room.memory_left_mib),
        )
        for what, amount, left in asked:
            if left is not None and amount > left:
                return LaunchHeadroom(n_before, what, amount, left)
        cpu += max(need_cpu, room.launch_cpu_milli)
        memory += max(need_mib, room.launch_memory_mib)
    return LaunchHeadroom(len(needs))


class _Going:
    """Where the nodes of each NodePool go, worked out once a NodePool."""

    def __init__(self, node_groups: Sequence[NodeGroupFact], wanted: CapacityType) -> None:
        self._node_groups = node_groups
        self._wanted = wanted
        self._sides: dict[tuple[ProvisionerKind, str], tuple[str, ...]] = {}

    def sides_of(self, node: NodeFact) -> tuple[str, ...]:
        """Return the NodePools that may take the pods of a node."""
        key = node.provisioner, node.node_group
        if key not in self._sides:
            self._sides[key] = receiving_sides(node, self._node_groups, self._wanted)
        return self._sides[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """A NodePool with the nodes that it may take, and what a launch of it may count as."""

    node_group: NodeGroupFact
    hosted: tuple[NodeFact, ...]
    n_launches: int
    first: int
    launch: tuple[int, int]

    def room(self, others: Sequence[NodeFact], seen: Sizes, going: _Going) -> GroupFit:
        """Return the room of this NodePool; `others` are the nodes that it cannot take."""
        return replace(
            _limits_of(self.node_group, self.launch),
            n_placed=len(self.hosted),
            misfit=_misfit(self.node_group, others[0], seen, going) if others else "",
            sizes_known=_sizes_known(self.node_group, seen),
        )


def _rank(offer: _Offer) -> tuple[bool, int, int, str]:
    return offer.n_launches == 0, offer.first, -offer.n_launches, offer.node_group.name


def _offer(
    node_group: NodeGroupFact, nodes: Sequence[NodeFact], seen: Sizes, going: _Going
) -> _Offer:
    taken = [i for i, node in enumerate(nodes) if not _misfit(node_group, node, seen, going)]
    launch = _launch(node_group, seen)
    loads = (nodes[i].load for i in taken[:MAX_CANDIDATES])
    needs = [(load.workload_cpu_milli, load.workload_memory_bytes) for load in loads]
    return _Offer(
        node_group=node_group,
        hosted=tuple(nodes[i] for i in taken),
        n_launches=launches(_limits_of(node_group, launch), needs).n,
        first=taken[0] if taken else len(nodes),
        launch=launch,
    )


def _limits_of(node_group: NodeGroupFact, launch: tuple[int, int]) -> GroupFit:
    memory = node_group.memory_left_bytes
    return GroupFit(
        node_group=node_group.name,
        cpu_left_milli=node_group.cpu_left_milli,
        memory_left_mib=None if memory is None else memory // MIB,
        nodes_left=node_group.nodes_left,
        no_driver=node_group.words.no_growth,
        launch_cpu_milli=launch[0],
        launch_memory_mib=mib_up(launch[1]),
    )


def _misfit(node_group: NodeGroupFact, node: NodeFact, seen: Sizes, going: _Going) -> str:
    """Return the zone or size that a NodePool lacks for the pods of a node, "" where it fits.

    A pod cannot leave the zone of its volume, and a pod larger than every node that may be bought
    can run on none. What is not known counts as fitting. Pods that go to another NodePool are
    named by the one that they come from.
    """
    if node_group.name not in going.sides_of(node):
        return node.node_group or "no NodePool"
    bound = any(blocked.blocker is Blocker.VOLUME for blocked in node.load.blocked)
    if bound and node_group.zones and node.offering.zone not in node_group.zones:
        return node.offering.zone or "no zone"
    cpu, memory = node.load.largest_cpu_milli, node.load.largest_memory_bytes
    types = node_group.instance_types
    too_large = types and not any(_holds(kind, cpu, memory, seen) for kind in types)
    too_large = too_large or _exceeds(cpu, node_group.max_cpu_milli)
    if too_large or _exceeds(memory, node_group.max_memory_bytes):
        return f"{cpu}m, {mib_up(memory)}Mi"
    return ""


def _exceeds(need: int, most: int | None) -> bool:
    return most is not None and need > most


def _holds(instance_type: str, cpu: int, memory: int, seen: Sizes) -> bool:
    """Tell whether a type may hold a pod: by nodes seen, else by the vCPUs that its name tells."""
    known = seen.get(instance_type)
    if known is not None:
        return cpu <= known[0] and memory <= known[1]
    vcpus = vcpus_of(instance_type)
    return vcpus == 0.0 or cpu <= vcpus * 1000


def _sizes_known(node_group: NodeGroupFact, seen: Sizes) -> bool:
    if node_group.max_cpu_milli is not None and node_group.max_memory_bytes is not None:
        return True
    return bool(node_group.instance_types) and all(t in seen for t in node_group.instance_types)


def _launch(node_group: NodeGroupFact, seen: Sizes) -> tuple[int, int]:
    """Return the largest milli-CPU and bytes that one launch may count as.

    By the types that are listed, or else by the largest seen: a NodePool without a list may buy
    larger ones. Limits count capacity, which is a little more than what a node can allocate.
    """
    types = node_group.instance_types or tuple(seen)
    cpu, memory = _largest(seen[kind] for kind in types if kind in seen)
    cpu = max([cpu, *(int(vcpus_of(kind) * 1000) for kind in types)])
    if node_group.max_cpu_milli is not None:
        cpu = node_group.max_cpu_milli
    return cpu, node_group.max_memory_bytes or memory


def _largest(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    found = list(sizes)
    return max((cpu for cpu, _ in found), default=0), max((m for _, m in found), default=0)


def mib_up(memory_bytes: int) -> int:
    """Return whole MiB, rounded up."""
    return -(-memory_bytes // MIB)
