"""Auto Scaling groups and EKS node groups over HTTP: read as a whole now and then, and one by one.

Comes in: tags, and the driver's wishes. Goes out: groups as they are, and few writes. No request is
repeated here: who asks reads anew before each try. May not decide what is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from spotvortex.aio import pause
from spotvortex.aws.groups.wire import (
    EKS_CLUSTER,
    EKS_GROUP,
    Answer,
    GroupTags,
    is_leaving,
    longest_end_hook_s,
    managed,
    subnets_of,
    tagged_group,
    tags_of,
    told_apart,
    with_addresses,
)
from spotvortex.aws.session import (
    ANSWER_S,
    PASSING,
    NoClientError,
    RequestFailedError,
    answered,
    open_client,
    short_words,
)
from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup
from spotvortex.errors import QueueFault, ScalingError, SettingsError
from spotvortex.ports.scaling import Home

log = logging.getLogger(__name__)

EVERY_S: Final = 30.0
HOOKS_EVERY_S: Final = 600.0
MAX_PAGES: Final = 50
PAGE: Final = 100
MAX_IDS: Final = 50
"""Most instances of one request (Auto Scaling API Reference, "DescribeAutoScalingInstances")."""

_FINAL: Final = frozenset(
    {
        "ValidationError",
        "InvalidParameterException",
        "InvalidRequestException",
        "ResourceNotFoundException",
        "ClientException",
    }
)
"""Errors that the same request meets again (common errors, and those of the actions used)."""

Take = Callable[[Iterable[ScalingGroup]], None]


@dataclass(slots=True, kw_only=True)
class AwsGroups:
    """Reads and changes groups: implements `ports.scaling.ScalingService`.

    Attributes:
        tags: by which groups are found.
        tagged: groups that their owner has tagged count.
        all_managed: every managed node group counts; else those that EKS has tagged with a pool.
        seen_subnets: False once AWS has refused to tell the free addresses of subnets.
    """

    tags: GroupTags
    tagged: bool
    all_managed: bool
    _autoscaling: Any
    _eks: Any
    _ec2: Any
    seen_subnets: bool = True
    _hooks: dict[str, tuple[float, float]] = field(default_factory=dict)
    _told: str = ""

    async def run(self, take: Take, stop: asyncio.Event) -> None:
        """Read all groups again and again until told to stop, and hand them on."""
        while not stop.is_set():
            try:
                found = await self.all_groups(2 * ANSWER_S)
            except ScalingError as error:
                self._say("unread", str(error))
            else:
                take(found)
                self._say("seen", ", ".join(group.node_group for group in found))
            await pause(stop, EVERY_S)

    async def all_groups(self, bound_s: float) -> list[ScalingGroup]:
        """Return every group of the cluster, sorted by name.

        Raises:
            ScalingError: they could not be read.
        """
        keys = [self.tags.pool] if self.tagged else []
        filters = [{"Name": "tag-key", "Values": [*keys, EKS_GROUP]}]
        found: list[ScalingGroup] = []
        async for answer in self._described(bound_s, Filters=filters):
            group = await self._reduced(answer, bound_s)
            if group is not None:
                subnets = await self._subnets(subnets_of(answer), bound_s)
                found.append(with_addresses(group, subnets))
        return told_apart(found)

    async def group(self, node_group: str, bound_s: float) -> ScalingGroup | None:
        """Return one group as it is now; see the port."""
        found = await self.all_groups(bound_s)
        return next((group for group in found if group.node_group == node_group), None)

    async def home_of(self, instance_id: str, bound_s: float) -> Home | None:
        """Return the group of an instance; see the port."""
        found = await self._instances([instance_id], bound_s)
        name = next((str(i.get("AutoScalingGroupName", "")) for i in found), "")
        if not name:
            return None
        async for answer in self._described(bound_s, AutoScalingGroupNames=[name]):
            group = await self._reduced(answer, bound_s)
            if group is not None:
                return Home(group=group, leaving=any(map(is_leaving, found)))
        raise ScalingError(f"{instance_id} is in group {name}, which is not ours", is_passing=False)

    async def gone(self, instance_ids: Collection[str], bound_s: float) -> frozenset[str]:
        """Return those that are gone or going; see the port."""
        ids, staying = sorted(instance_ids), set[str]()
        for first in range(0, len(ids), MAX_IDS):
            found = await self._instances(ids[first : first + MAX_IDS], bound_s)
            staying |= {str(i.get("InstanceId", "")) for i in found if not is_leaving(i)}
        return frozenset(ids) - staying

    async def set_desired(self, group: ScalingGroup, desired: int, bound_s: float) -> None:
        """Set a group's size, of a managed one by its scaling configuration; see the port."""
        if group.managed:
            await self._ask(
                "eks:UpdateNodegroupConfig",
                self._eks.update_nodegroup_config(
                    clusterName=group.cluster,
                    nodegroupName=group.managed,
                    scalingConfig={"desiredSize": desired},
                ),
                bound_s,
            )
            return
        await self._ask(
            "autoscaling:SetDesiredCapacity",
            self._autoscaling.set_desired_capacity(
                AutoScalingGroupName=group.name, DesiredCapacity=desired, HonorCooldown=False
            ),
            bound_s,
        )

    async def end(self, instance_id: str, bound_s: float) -> None:
        """End an instance, with its group one smaller; see the port."""
        await self._ask(
            "autoscaling:TerminateInstanceInAutoScalingGroup",
            self._autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=instance_id, ShouldDecrementDesiredCapacity=True
            ),
            bound_s,
        )

    async def _reduced(self, answer: Answer, bound_s: float) -> ScalingGroup | None:
        given = tags_of(answer)
        if not self.tags.are_ours(given):
            return None
        if EKS_GROUP not in given:
            hook_s = await self._hook_s(answer, bound_s)
            return tagged_group(answer, self.tags, hook_s) if self.tagged else None
        if self._eks is None:
            return None
        described = await self.nodegroup(given.get(EKS_CLUSTER, ""), given[EKS_GROUP], bound_s)
        if not self.all_managed and self.tags.pool not in (described.get("tags") or {}):
            return None
        return managed(answer, described, 0.0)

    async def _subnets(self, names: tuple[str, ...], bound_s: float) -> list[Answer]:
        """Read the subnets of a group; without the right, or one that is gone, none are known."""
        if not names or not self.seen_subnets:
            return []
        try:
            page = await self._ask(
                "ec2:DescribeSubnets", self._ec2.describe_subnets(SubnetIds=list(names)), bound_s
            )
        except ScalingError as error:
            self.seen_subnets = error.is_passing
            log.info("scaling_groups.no_addresses", extra={"error": str(error)})
            return []
        return list(page.get("Subnets", ()))

    async def nodegroup(self, cluster: str, name: str, bound_s: float) -> Answer:
        """Return a managed node group as EKS describes it.

        Raises:
            ScalingError: it could not be read.
        """
        found = await self._ask(
            "eks:DescribeNodegroup",
            self._eks.describe_nodegroup(clusterName=cluster, nodegroupName=name),
            bound_s,
        )
        described: Answer = found.get("nodegroup") or {}
        return described

    async def _hook_s(self, answer: Answer, bound_s: float) -> float:
        """Return how long hooks may hold what ends; they change rarely, and are asked for so."""
        name, now = str(answer.get("AutoScalingGroupName", "")), asyncio.get_running_loop().time()
        known = self._hooks.get(name)
        if known is not None and now - known[0] < HOOKS_EVERY_S:
            return known[1]
        found = await self._ask(
            "autoscaling:DescribeLifecycleHooks",
            self._autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name),
            bound_s,
        )
        hook_s = longest_end_hook_s(found.get("LifecycleHooks", ()))
        self._hooks[name] = now, hook_s
        return hook_s

    async def _described(self, bound_s: float, **asked: object) -> AsyncIterator[Answer]:
        more: dict[str, object] = {}
        for _ in range(MAX_PAGES):
            page = await self._ask(
                "autoscaling:DescribeAutoScalingGroups",
                self._autoscaling.describe_auto_scaling_groups(**asked, **more, MaxRecords=PAGE),
                bound_s,
            )
            for answer in page.get("AutoScalingGroups", ()):
                yield answer
            more = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
            if not more:
                return
        raise ScalingError(f"more than {MAX_PAGES} pages of groups", is_passing=False)

    async def _instances(self, ids: list[str], bound_s: float) -> list[Answer]:
        if not ids:
            return []
        page = await self._ask(
            "autoscaling:DescribeAutoScalingInstances",
            self._autoscaling.describe_auto_scaling_instances(InstanceIds=ids),
            bound_s,
        )
        return list(page.get("AutoScalingInstances", ()))

    async def _ask(self, action: str, request: Awaitable[Answer], bound_s: float) -> Answer:
        try:
            return await answered(request, bound_s)
        except RequestFailedError as trouble:
            code = trouble.words.partition(":")[0]
            passing = trouble.fault in PASSING and code not in _FINAL
            text = f"{action}: {short_words(trouble.words)}{_fix(action, trouble)}"
            raise ScalingError(text, is_passing=passing) from trouble.__cause__

    def _say(self, how: str, detail: str) -> None:
        if f"{how} {detail}" != self._told:
            self._told = f"{how} {detail}"
            log.info("scaling_groups.read", extra={"found": how, "detail": detail})


def _fix(action: str, trouble: RequestFailedError) -> str:
    if trouble.fault is not QueueFault.DENIED:
        return ""
    return f"; let the role of this pod's ServiceAccount do {action} (spotvortex aws policies)"


@asynccontextmanager
async def open_groups(
    region: str, tags: GroupTags, *, tagged: bool, managed_too: bool, all_managed: bool
) -> AsyncIterator[AwsGroups]:
    """Open clients for groups; nothing is asked yet.

    Args:
        region: where the groups are.
        tags: by which they are found.
        tagged: groups that their owner has tagged count.
        managed_too: managed node groups may count.
        all_managed: they count without a tag of their own.

    Raises:
        SettingsError: no region is known, or a setting of AWS is wrong.
    """
    async with AsyncExitStack() as stack:
        try:
            ec2 = await stack.enter_async_context(open_client("ec2", region, 0, 2))
            autoscaling = await stack.enter_async_context(open_client("autoscaling", region, 0, 4))
            eks = None
            if managed_too:
                eks = await stack.enter_async_context(open_client("eks", region, 0, 4))
        except NoClientError as error:
            text = f"no client for SPOTVORTEX_PROVISIONER: {error}; set AWS_REGION"
            raise SettingsError(text) from error.__cause__
        yield AwsGroups(
            tags=tags,
            tagged=tagged,
            all_managed=all_managed,
            _autoscaling=autoscaling,
            _eks=eks,
            _ec2=ec2,
        )
