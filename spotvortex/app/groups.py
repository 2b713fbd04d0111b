"""Who makes and ends nodes, and groups that the controller grows by AWS where that is wished.

Comes in: settings. Goes out: a provisioner, and what reads and changes groups, or nothing. With
`auto` AWS is asked only where the pod was given a role of its own: that of its node is not meant.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, assert_never

from spotvortex.app.prices import SystemClock
from spotvortex.aws.groups.service import AwsGroups, GroupScope, open_groups
from spotvortex.aws.groups.wire import GroupTags
from spotvortex.errors import SettingsError
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.cache.groups.node_groups import AutoscalerUse
from spotvortex.kube.write.autoscaler.provisioner import AutoscalerProvisioner
from spotvortex.kube.write.provisioners import EachByItsOwn, KarpenterProvisioner, NoProvisioner
from spotvortex.kube.write.scaling.provisioner import ScalingProvisioner
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.provisioner import Provisioner
from spotvortex.ports.scaling import ScalingService
from spotvortex.settings.load import aws_region, has_role_of_its_own
from spotvortex.settings.model import Settings

ANSWER_S: Final = 20.0

log = logging.getLogger(__name__)


def asks_for_groups(settings: Settings) -> bool:
    """Tell whether AWS is asked about groups."""
    match settings.provisioner:
        case "asg" | "mng":
            return True
        case "auto":
            return has_role_of_its_own() and bool(aws_region())
        case _:
            return False


async def described_nodegroup(cluster: str, name: str) -> Mapping[str, Any]:
    """Read a managed node group as EKS describes it.

    Raises:
        SettingsError: no region is known, or a setting of AWS is wrong.
        ScalingError: it could not be read.
    """
    scope = GroupScope(tags=GroupTags(), tagged=False, managed_too=True, all_managed=True)
    async with open_groups(aws_region(), scope, SystemClock().now) as groups:
        return await groups.nodegroup(cluster, name, ANSWER_S)


@asynccontextmanager
async def scaling_groups(settings: Settings) -> AsyncIterator[AwsGroups | None]:
    """Open the groups of AWS, None where they are not asked about, or where nobody could be asked.

    Raises:
        SettingsError: they are wished by name, and no client can be made.
    """
    if not asks_for_groups(settings):
        yield None
        return
    tags = GroupTags(
        pool=settings.pool_tag,
        capacity_type=settings.capacity_type_tag,
        cluster=settings.cluster_name,
    )
    kind = settings.provisioner
    scope = GroupScope(
        tags=tags, tagged=kind != "mng", managed_too=kind != "asg", all_managed=kind == "mng"
    )
    opening = open_groups(aws_region(), scope, SystemClock().now)
    try:
        found = await opening.__aenter__()
    except SettingsError as error:
        if kind != "auto":
            raise
        log.warning("scaling_groups.off", extra={"error": str(error)})
        yield None
        return
    try:
        yield found
    finally:
        await opening.__aexit__(None, None, None)


def provisioner_of(
    settings: Settings,
    client: KubeClient,
    timing: LeaseTiming,
    groups: ScalingService | None = None,
) -> Provisioner:
    """Return what makes and ends the cluster's nodes, as the settings say."""
    karpenter = KarpenterProvisioner(client, timing)
    match settings.provisioner:
        case "karpenter":
            return karpenter
        case "auto" | "cluster-autoscaler" | "asg" | "mng":
            autoscaler = AutoscalerProvisioner(
                client=client, timing=timing, namespace=settings.namespace
            )
            return EachByItsOwn(
                karpenter=karpenter,
                autoscaler=autoscaler,
                scaling=_scaling(settings, client, timing, groups),
            )
        case "none":
            return NoProvisioner()
        case _ as never:
            assert_never(never)


def _scaling(
    settings: Settings, client: KubeClient, timing: LeaseTiming, groups: ScalingService | None
) -> ScalingProvisioner | None:
    if groups is None:
        return None
    return ScalingProvisioner(
        client=client, timing=timing, namespace=settings.namespace, service=groups
    )


def use_of(settings: Settings) -> AutoscalerUse:
    """Return whether node groups are taken for Cluster Autoscaler's, as the settings say."""
    match settings.provisioner:
        case "auto":
            return AutoscalerUse.WHERE_IT_RUNS
        case "cluster-autoscaler":
            return AutoscalerUse.ALWAYS
        case "karpenter" | "asg" | "mng" | "none":
            return AutoscalerUse.NEVER
        case _ as never:
            assert_never(never)
