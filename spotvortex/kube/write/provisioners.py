"""The provisioners that need the API server alone: Karpenter, whoever made a node, and none.

Comes in: calls of the core. Goes out: Karpenter's labels for the nodes that are wanted, the
deletion of a drained node's NodeClaim, and the weights of a pair's NodePools; each call handed to
Karpenter, to Cluster Autoscaler or to AWS, by its groups; or, of none, why nothing is moved. May
not create a pod.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from spotvortex.core.domain.autoscaling import is_autoscaled, released_instance, released_uid
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    CreatePlaceholder,
    Done,
    Refused,
    ReleaseNode,
)
from spotvortex.core.drain.group_calls import GrowGroup, RestoreGroup, SettleGroup, SteerGroup
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write import manifests, node_pools
from spotvortex.kube.write.autoscaler.provisioner import AutoscalerProvisioner
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.kube.write.scaling.provisioner import ScalingProvisioner
from spotvortex.kube.write.wanted_nodes import nodes_wanted_of_karpenter
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.provisioner import Unable, WantedNodes

NOT_MOVED: Final = "SPOTVORTEX_PROVISIONER is none: decisions are advice, and no node is moved"


class _ClaimMeta(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    deletion_timestamp: str | None = None


class _ClaimStatus(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class _Claim(msgspec.Struct, frozen=True):
    metadata: _ClaimMeta
    status: _ClaimStatus = _ClaimStatus()


@dataclass(frozen=True, slots=True)
class KarpenterProvisioner:
    """Karpenter: implements `ports.provisioner.Provisioner` by labels of nodes and NodeClaims."""

    client: KubeClient
    timing: LeaseTiming
    name: str = "karpenter"

    def wanted_nodes(self, call: CreatePlaceholder) -> WantedNodes | Unable:
        """Ask by capacity type and NodePools; an offering is avoided in one of several ways."""
        if not call.sides:
            return Unable(f"no NodePool of pool {call.pool} is known to ask for room")
        return nodes_wanted_of_karpenter(call)

    async def release(self, call: ReleaseNode, until: float) -> Answer:
        """Delete the NodeClaim, with its uid as precondition, if it is that of the node meant."""
        requests = BoundedRequests(client=self.client, until=until, timing=self.timing)
        path = paths.node_claim(call.claim)
        claim = decoded(await requests.get(path), _Claim)
        named = claim.status.node_name
        if not named:
            # Karpenter writes the name a moment after the node has come.
            return Again(reason=f"NodeClaim {call.claim} names no node yet")
        if named != call.node:
            return Refused(reason=f"NodeClaim {call.claim} is for {named}, not {call.node}")
        if claim.metadata.deletion_timestamp:
            return Done()
        options = manifests.deletion(uid=claim.metadata.uid)
        await requests.send("DELETE", path, options)
        return Done()

    async def steer(self, call: SteerGroup | RestoreGroup, until: float) -> Answer:
        """Set weight and CPU limit of a NodePool, or give its owner's own back."""
        requests = BoundedRequests(client=self.client, until=until, timing=self.timing)
        if isinstance(call, SteerGroup):
            return await node_pools.steer(call, requests)
        return await node_pools.restore(call, requests)

    async def grow(self, call: GrowGroup | SettleGroup, until: float) -> Answer:  # noqa: ARG002
        """Refuse: a NodePool grows by itself."""
        return Refused(reason=f"{call.group} grows by itself")

    @property
    def cannot_move(self) -> str:
        """Nothing: what Karpenter cannot give shows in a placeholder that stays pending."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EachByItsOwn:
    """Both: implements `ports.provisioner.Provisioner` by who grows the groups of a call.

    Attributes:
        karpenter: grows NodePools.
        autoscaler: grows node groups.
        scaling: grows node groups by AWS where Cluster Autoscaler does not run; None without AWS.
        name: what it is called in settings and reports.
    """

    karpenter: KarpenterProvisioner
    autoscaler: AutoscalerProvisioner
    scaling: ScalingProvisioner | None = None
    name: str = "auto"

    def wanted_nodes(self, call: CreatePlaceholder) -> WantedNodes | Unable:
        """Ask whoever grows the groups that the call names; a call names those of one alone."""
        by_pods = any(map(is_autoscaled, call.sides))
        return (self.autoscaler if by_pods else self.karpenter).wanted_nodes(call)

    async def release(self, call: ReleaseNode, until: float) -> Answer:
        """Have the node ended by whoever made it."""
        if released_instance(call.claim):
            if self.scaling is None:
                return Refused(reason=f"AWS is not asked: {call.node} stays")
            return await self.scaling.release(call, until)
        by_pods = released_uid(call.claim)
        return await (self.autoscaler if by_pods else self.karpenter).release(call, until)

    async def steer(self, call: SteerGroup | RestoreGroup, until: float) -> Answer:
        """Steer NodePools: node groups have no weights."""
        return await self.karpenter.steer(call, until)

    async def grow(self, call: GrowGroup | SettleGroup, until: float) -> Answer:
        """Grow a group by AWS, where that is asked."""
        if self.scaling is None:
            return Refused(reason=f"AWS is not asked: {call.group} stays as it is")
        return await self.scaling.grow(call, until)

    @property
    def cannot_move(self) -> str:
        """Nothing: where nobody grows the groups of a pool, no node of it is a candidate."""
        return ""


@dataclass(frozen=True, slots=True)
class NoProvisioner:
    """None: implements `ports.provisioner.Provisioner`; what it is asked for, it refuses."""

    name: str = "none"

    def wanted_nodes(self, call: CreatePlaceholder) -> WantedNodes | Unable:  # noqa: ARG002
        """Refuse: nobody would answer."""
        return Unable(NOT_MOVED)

    async def release(self, call: ReleaseNode, until: float) -> Answer:  # noqa: ARG002
        """Refuse: the node is its owner's to end."""
        return Refused(reason=f"{NOT_MOVED}; {call.node} stays")

    async def steer(self, call: SteerGroup | RestoreGroup, until: float) -> Answer:  # noqa: ARG002
        """Refuse: the group is its owner's."""
        return Refused(reason=f"{NOT_MOVED}; {call.group} stays as it is")

    async def grow(self, call: GrowGroup | SettleGroup, until: float) -> Answer:  # noqa: ARG002
        """Refuse: the group is its owner's."""
        return Refused(reason=f"{NOT_MOVED}; {call.group} stays as it is")

    @property
    def cannot_move(self) -> str:
        """Say why."""
        return NOT_MOVED
