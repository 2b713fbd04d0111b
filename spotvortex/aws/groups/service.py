"""Auto Scaling groups and EKS node groups over HTTP: read as a whole now and then, and one by one.

Comes in: tags, and the driver's wishes. Goes out: groups as they are, and few writes. No request is
repeated here: who asks reads anew before each try. May not decide what is written.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from spotvortex.aio import pause
from spotvortex.aws.groups.asking import Answer, asked
from spotvortex.aws.groups.preflight import Kept, Preflight
from spotvortex.aws.groups.wire import (
    EKS_CLUSTER,
    EKS_GROUP,
    GroupTags,
    is_leaving,
    longest_end_hook_s,
    managed,
    tagged_group,
    tags_of,
    told_apart,
)
from spotvortex.aws.session import ANSWER_S, NoClientError, open_client
from spotvortex.core.domain.autoscaling import labels_of, managed_name
from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup
from spotvortex.errors import ScalingError, SettingsError
from spotvortex.ports.scaling import Home

log = logging.getLogger(__name__)

EVERY_S: Final = 30.0
HOOKS_EVERY_S: Final = 600.0
NODEGROUPS_EVERY_S: Final = 300.0
ANEW_S: Final = 10.0
"""What is kept may be no older where a write follows."""

MAX_PAGES: Final = 50
PAGE: Final = 100
MAX_IDS: Final = 50
"""Most instances of one request (Auto Scaling API Reference, "DescribeAutoScalingInstances")."""

Take = Callable[[Iterable[ScalingGroup]], None]


@dataclass(slots=True, kw_only=True)
class AwsGroups:
    """Reads and changes groups: implements `ports.scaling.ScalingService`.

    Attributes:
        tags: by which groups are found.
        tagged: groups that their owner has tagged count.
        all_managed: every managed node group counts; else those that EKS has tagged with a pool.
    """

    tags: GroupTags
    tagged: bool
    all_managed: bool
    _autoscaling: Any
    _eks: Any
    _preflight: Preflight
    _hooks: Kept[float] = field(default_factory=lambda: Kept(HOOKS_EVERY_S))
    _nodegroups: Kept[Answer] = field(default_factory=lambda: Kept(NODEGROUPS_EVERY_S))
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
        return await self._read(filters, bound_s, math.inf)

    async def group(
        self, node_group: str, bound_s: float, *, ahead: bool = True
    ) -> ScalingGroup | None:
        """Return one group as it is now; see the port."""
        key, value = EKS_GROUP, managed_name(node_group)
        labelled = labels_of(node_group)
        if labelled is not None:
            key, value = self.tags.pool, labelled[0]
        filters = [{"Name": f"tag:{key}", "Values": [value]}]
        found = await self._read(filters, bound_s, ANEW_S, ahead=ahead)
        return next((group for group in found if group.node_group == node_group), None)

    async def _read(
        self,
        filters: Sequence[Mapping[str, object]],
        bound_s: float,
        within_s: float,
        *,
        ahead: bool = True,
    ) -> list[ScalingGroup]:
        found: list[tuple[ScalingGroup, Answer]] = []
        async for answer in self._described(bound_s, Filters=filters):
            group = await self._reduced(answer, bound_s, within_s)
            if group is not None:
                found.append((group, answer))
        if not ahead:
            return told_apart([group for group, _ in found])
        return told_apart(await self._preflight.bounded(found, bound_s, within_s))

    async def home_of(self, instance_id: str, bound_s: float) -> Home | None:
        """Return the group of an instance; see the port."""
        found = await self._instances([instance_id], bound_s)
        name = next((str(i.get("AutoScalingGroupName", "")) for i in found), "")
        if not name:
            return None
        async for answer in self._described(bound_s, AutoScalingGroupNames=[name]):
            group = await self._reduced(answer, bound_s, ANEW_S)
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
            await self._set_managed(group, desired, bound_s)
            return
        await asked(
            "autoscaling:SetDesiredCapacity",
            self._autoscaling.set_desired_capacity(
                AutoScalingGroupName=group.name, DesiredCapacity=desired, HonorCooldown=False
            ),
            bound_s,
        )

    async def _set_managed(self, group: ScalingGroup, desired: int, bound_s: float) -> None:
        request = self._eks.update_nodegroup_config(
            clusterName=group.cluster,
            nodegroupName=group.managed,
            scalingConfig={"desiredSize": desired},
        )
        try:
            await asked("eks:UpdateNodegroupConfig", request, bound_s)
        finally:
            # IMPORTANT: it is UPDATING from now on, which what is kept of it would hide.
            self._nodegroups.forget((group.cluster, group.managed))

    async def end(self, instance_id: str, bound_s: float) -> None:
        """End an instance, with its group one smaller; see the port."""
        await asked(
            "autoscaling:TerminateInstanceInAutoScalingGroup",
            self._autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=instance_id, ShouldDecrementDesiredCapacity=True
            ),
            bound_s,
        )

    async def _reduced(
        self, answer: Answer, bound_s: float, within_s: float
    ) -> ScalingGroup | None:
        given = tags_of(answer)
        if not self.tags.are_ours(given):
            return None
        if EKS_GROUP not in given:
            hook_s = await self._hook_s(answer, bound_s)
            return tagged_group(answer, self.tags, hook_s) if self.tagged else None
        if self._eks is None:
            return None
        try:
            described = await self._known(given, bound_s, within_s)
        except ScalingError as error:
            if error.is_passing:
                raise
            # Of another cluster, or being deleted: the others go on.
            return replace(managed(answer, {}, 0.0), trouble=str(error))
        if not self.all_managed and self.tags.pool not in (described.get("tags") or {}):
            return None
        return managed(answer, described, 0.0)

    async def _known(self, tags: Mapping[str, str], bound_s: float, within_s: float) -> Answer:
        """Read a managed group; one that is busy is asked for again each time."""
        cluster, name = tags.get(EKS_CLUSTER, ""), tags[EKS_GROUP]
        key = (cluster, name)

        async def ask() -> Answer:
            return await self.nodegroup(cluster, name, bound_s)

        found = await self._nodegroups.get(key, ask, within_s) or {}
        if found.get("status") != "ACTIVE":
            self._nodegroups.forget(key)
        return found

    async def nodegroup(self, cluster: str, name: str, bound_s: float) -> Answer:
        """Return a managed node group as EKS describes it.

        Raises:
            ScalingError: it could not be read.
        """
        found = await asked(
            "eks:DescribeNodegroup",
            self._eks.describe_nodegroup(clusterName=cluster, nodegroupName=name),
            bound_s,
        )
        described: Answer = found.get("nodegroup") or {}
        return described

    async def _hook_s(self, answer: Answer, bound_s: float) -> float:
        """Return how long hooks may hold what ends; they change rarely, and are asked for so."""
        name = str(answer.get("AutoScalingGroupName", ""))

        async def ask() -> float:
            found = await asked(
                "autoscaling:DescribeLifecycleHooks",
                self._autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name),
                bound_s,
            )
            return longest_end_hook_s(found.get("LifecycleHooks", ()))

        return await self._hooks.get(name, ask, math.inf) or 0.0

    async def _described(self, bound_s: float, **question: object) -> AsyncIterator[Answer]:
        more: dict[str, object] = {}
        for _ in range(MAX_PAGES):
            page = await asked(
                "autoscaling:DescribeAutoScalingGroups",
                self._autoscaling.describe_auto_scaling_groups(**question, **more, MaxRecords=PAGE),
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
        page = await asked(
            "autoscaling:DescribeAutoScalingInstances",
            self._autoscaling.describe_auto_scaling_instances(InstanceIds=ids),
            bound_s,
        )
        return list(page.get("AutoScalingInstances", ()))

    def _say(self, how: str, detail: str) -> None:
        if f"{how} {detail}" != self._told:
            self._told = f"{how} {detail}"
            log.info("scaling_groups.read", extra={"found": how, "detail": detail})


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupScope:
    """Which groups count.

    Attributes:
        tags: by which they are found.
        tagged: groups that their owner has tagged count.
        managed_too: managed node groups may count.
        all_managed: they count without a tag of their own.
    """

    tags: GroupTags
    tagged: bool
    managed_too: bool
    all_managed: bool


@asynccontextmanager
async def open_groups(
    region: str, scope: GroupScope, now: Callable[[], float]
) -> AsyncIterator[AwsGroups]:
    """Open clients for groups; nothing is asked yet.

    Args:
        region: where the groups are.
        scope: which of them count.
        now: the time of day, seconds since the epoch.

    Raises:
        SettingsError: no region is known, or a setting of AWS is wrong.
    """
    async with AsyncExitStack() as stack:

        async def opened(service: str, n_connections: int) -> Any:  # noqa: ANN401 - untyped
            return await stack.enter_async_context(open_client(service, region, 0, n_connections))

        try:
            preflight = Preflight(
                now=now,
                _ec2=await opened("ec2", 2),
                _quotas=await opened("service-quotas", 1),
                _metrics=await opened("cloudwatch", 1),
            )
            autoscaling = await opened("autoscaling", 4)
            eks = await opened("eks", 4) if scope.managed_too else None
        except NoClientError as error:
            text = f"no client for SPOTVORTEX_PROVISIONER: {error}; set AWS_REGION"
            raise SettingsError(text) from error.__cause__
        yield AwsGroups(
            tags=scope.tags,
            tagged=scope.tagged,
            all_managed=scope.all_managed,
            _autoscaling=autoscaling,
            _eks=eks,
            _preflight=preflight,
        )
