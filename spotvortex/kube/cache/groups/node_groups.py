"""The node groups that Cluster Autoscaler grows, or the controller itself by AWS.

Comes in: rows of nodes, what Cluster Autoscaler says of its groups, and what AWS says of those that
the controller may grow where Cluster Autoscaler does not run. Goes out: `NodeGroupFact`s,
and to which group a node belongs: to none while nobody is known to grow it. A group once seen is
kept while the process runs, since the twin that a pool could fall back to often has no node. May
not know how the status arrives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.autoscaling import (
    claim_of,
    instance_claim,
    managed_group,
    managed_name,
)
from spotvortex.core.domain.cloud.notices import instance_id_of
from spotvortex.core.domain.cloud.scaling_groups import (
    ScalingGroup,
    no_growth,
    no_release,
    nodes_left,
)
from spotvortex.core.domain.group_state import GroupWords
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import CapacityType
from spotvortex.kube.cache.indexes import DirtySet
from spotvortex.kube.cache.nodes import GroupNames, NodeRow

MAX_GROUPS: Final = 2_000
"""Groups that are kept at most; further ones are not moved."""

_OF_EKS: Final = re.compile(r"eks-(.+)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""How EKS names the Auto Scaling group of a managed node group."""

_BY_NAME: Final = {"-spot": CapacityType.SPOT, "-od": CapacityType.ON_DEMAND}
"""What a group without a node buys, by the end of its name; nothing else tells it."""


class AutoscalerUse(StrEnum):
    """Whether node groups are taken for Cluster Autoscaler's."""

    WHERE_IT_RUNS = "where-it-runs"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSize:
    """How many nodes a group may have.

    Attributes:
        smallest: nodes that it always has.
        largest: nodes that it has at most.
        target: nodes that it is to have now.
    """

    smallest: int
    largest: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerStatus:
    """What Cluster Autoscaler says of itself.

    Attributes:
        runs: it is there, and has said something lately.
        sizes: its groups by name; of AWS the name of the Auto Scaling group.
    """

    runs: bool = False
    sizes: Mapping[str, GroupSize] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A group as its nodes show it: the pool that their label names, and how they are bought."""

    pool: str
    capacity_type: CapacityType


class AutoscaledGroups:
    """Groups by name, with what is known of each."""

    def __init__(self, changes: DirtySet, names: GroupNames, use: AutoscalerUse) -> None:
        """Start with no group.

        Args:
            changes: where it is noted that groups have changed.
            names: the managed node groups by the names that EKS gives them.
            use: whether there are such groups at all.
        """
        self._changes = changes
        self._names = names
        self._use = use
        self._status = AutoscalerStatus()
        self._sizes: dict[str, GroupSize] = {}
        self._seen: dict[str, _Group] = {}
        self._scaling: dict[str, ScalingGroup] = {}
        self.growths: tuple[tuple[str, str], ...] = ()

    @property
    def active(self) -> bool:
        """Tell whether somebody is known to grow the groups."""
        if self._use is AutoscalerUse.WHERE_IT_RUNS:
            return self._status.runs
        return self._use is AutoscalerUse.ALWAYS

    def take(self, status: AutoscalerStatus) -> None:
        """Take what Cluster Autoscaler says now."""
        was, before = self.active, self._status
        self._status = status
        if status.sizes != before.sizes:
            self._changes.node_pools = True
            # EKS makes one Auto Scaling group of each managed group.
            self._sizes = {_managed_by(name): size for name, size in status.sizes.items()}
            self._sizes.pop("", None)
            for name in self._sizes:
                self._changes.pool_names |= self._names.see(name)
        if self.active is not was:
            self._changes.pool_names = self._changes.node_pools = True

    def take_scaling(self, groups: Iterable[ScalingGroup]) -> None:
        """Take what AWS says now of the groups that the controller may grow."""
        found = {group.node_group: group for group in groups}
        if found == self._scaling:
            return
        if found.keys() != self._scaling.keys():
            self._changes.pool_names = True
            for group in found.values():
                self._names.see(group.managed)
        self._scaling = found
        self._changes.node_pools = True

    def take_growths(self, growths: tuple[tuple[str, str], ...]) -> None:
        """Take what the journal says now: groups with the plan that each was grown for."""
        self.growths = growths

    def see(self, row: NodeRow) -> None:
        """Take note of the group that a node belongs to."""
        group = _Group(pool=row.pool_label, capacity_type=row.fact.capacity_type)
        name = row.autoscaled_group
        if not name or self._seen.get(name) == group:
            return
        if name in self._seen or len(self._seen) < MAX_GROUPS:
            self._seen[name] = group
            self._changes.node_pools = True

    def group_of(self, row: NodeRow) -> str:
        """Return the group of a node, "" where nobody is known to grow it."""
        grown = self._seen if self.active else self._scaling
        return row.autoscaled_group if row.autoscaled_group in grown else ""

    def claim_of(self, row: NodeRow) -> str:
        """Return by what name a node of such a group is released, "" where nobody does it."""
        if self.active:
            return claim_of(row.fact.uid)
        instance = instance_id_of(row.fact.provider_id)
        return instance_claim(instance) if instance else ""

    def facts(self) -> Iterator[NodeGroupFact]:
        """Return the groups with their pools, sorted by name; none where nobody grows them."""
        if not self.active:
            yield from map(self._of_aws, sorted(self._scaling.values(), key=lambda g: g.node_group))
            return
        found = {name: self._pool_of(name, group) for name, group in self._seen.items()}
        kinds = {name: group.capacity_type for name, group in self._seen.items()}
        for name, pool, kind in self._unseen():
            found[name], kinds[name] = pool, kind
        for name in sorted(found):
            yield self._sized(name, found[name], kinds[name])

    def _pool_of(self, name: str, group: _Group) -> str:
        return group.pool or self._names.pool_of(managed_name(name))

    def _unseen(self) -> Iterator[tuple[str, str, CapacityType]]:
        """Return the managed groups without a node that are a twin, by name, of one with nodes.

        Such a group is of its twin's pool.
        """
        for managed in self._sizes:
            name, pool = managed_group(managed), self._names.pool_of(managed)
            end = managed.removeprefix(pool)
            if name in self._seen or end not in _BY_NAME:
                continue
            others = (managed_group(pool + other) for other in _BY_NAME)
            twin = next((other for other in others if other in self._seen), "")
            if twin:
                yield name, self._pool_of(twin, self._seen[twin]), _BY_NAME[end]

    def _of_aws(self, group: ScalingGroup) -> NodeGroupFact:
        left, bound = nodes_left(group)
        full = f"{group.name}: no node more may be added: {bound}" if left == 0 else ""
        kind = group.capacity_type
        return NodeGroupFact(
            name=group.node_group,
            pool=group.pool or self._names.pool_of(group.managed),
            capacity_types=() if kind is CapacityType.UNKNOWN else (kind,),
            nodes_left=left,
            nodes_spare=max(0, group.desired - group.smallest),
            words=GroupWords(no_growth=no_growth(group) or full, no_release=no_release(group)),
        )

    def _sized(self, name: str, pool: str, kind: CapacityType) -> NodeGroupFact:
        size = self._sizes.get(managed_name(name))
        return NodeGroupFact(
            name=name,
            pool=pool,
            capacity_types=() if kind is CapacityType.UNKNOWN else (kind,),
            nodes_left=None if size is None else max(0, size.largest - size.target),
            nodes_spare=None if size is None else max(0, size.target - size.smallest),
        )


def _managed_by(scaling_group: str) -> str:
    """Return the managed node group that an Auto Scaling group is made for, "" of none."""
    match = _OF_EKS.fullmatch(scaling_group)
    return match.group(1) if match is not None else ""


Taker = Callable[[AutoscalerStatus], None]
