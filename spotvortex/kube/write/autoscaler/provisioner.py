"""Cluster Autoscaler as a provisioner: it is asked by pods, and it ends nodes by itself.

Comes in: calls of the core. Goes out: the labels that the nodes of its groups carry, and a drained
node freed of what the controller keeps it by. It is never asked directly: it makes nodes for pods
that wait, and ends a node that nothing needs for ten minutes, unless it is told otherwise. May not
create a pod, and writes nothing to a cloud.
"""

from __future__ import annotations

from dataclasses import dataclass

from spotvortex.core.domain import labels
from spotvortex.core.domain.autoscaling import released_uid
from spotvortex.core.drain.calls import Answer, CreatePlaceholder, Done, Gone, Refused, ReleaseNode
from spotvortex.core.drain.group_calls import GrowGroup, RestoreGroup, SettleGroup, SteerGroup
from spotvortex.core.drain.keeping import FreeNode
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.write import manifests
from spotvortex.kube.write.autoscaler import kept_nodes
from spotvortex.kube.write.autoscaler.wanted_nodes import nodes_wanted_of_autoscaler
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.provisioner import Unable, WantedNodes


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerProvisioner:
    """Cluster Autoscaler: implements `ports.provisioner.Provisioner` by pods and annotations.

    Attributes:
        client: sends the requests.
        timing: how long one of them may take.
        namespace: the controller's own, in which its anchors are.
        name: what it is called in settings and reports.
    """

    client: KubeClient
    timing: LeaseTiming
    namespace: str
    name: str = "cluster-autoscaler"

    def wanted_nodes(self, call: CreatePlaceholder) -> WantedNodes | Unable:
        """Ask by the labels of the groups; which type or zone a group buys it decides itself."""
        return nodes_wanted_of_autoscaler(call)

    async def release(self, call: ReleaseNode, until: float) -> Answer:
        """Delete the anchors on the node, and free it: it is then removed as any unneeded node.

        The cordon stays: it keeps pods off until Cluster Autoscaler has found the node unneeded.
        """
        uid = released_uid(call.claim)
        if not uid:
            return Refused(reason=f"{call.claim} is no node of Cluster Autoscaler's")
        requests = BoundedRequests(client=self.client, until=until, timing=self.timing)
        anchors = {labels.KIND: labels.PodKind.ANCHOR.value, labels.FOR: uid}
        await requests.send(
            "DELETE",
            paths.pods(self.namespace),
            manifests.deletion(grace_s=0),
            query={"labelSelector": ",".join(f"{k}={v}" for k, v in anchors.items())},
        )
        freed = await kept_nodes.free(FreeNode(node=call.node, uid=uid, plan_id=""), requests)
        return Gone() if isinstance(freed, Gone) else Done()

    async def steer(self, call: SteerGroup | RestoreGroup, until: float) -> Answer:  # noqa: ARG002
        """Refuse: a node group has no weight."""
        return Refused(reason=f"{call.group} has no weight that could be set")

    async def grow(self, call: GrowGroup | SettleGroup, until: float) -> Answer:  # noqa: ARG002
        """Refuse: it grows its groups by itself."""
        return Refused(reason=f"{call.group} is Cluster Autoscaler's to grow")

    @property
    def cannot_move(self) -> str:
        """Nothing: what it cannot give shows in a placeholder that stays pending."""
        return ""
