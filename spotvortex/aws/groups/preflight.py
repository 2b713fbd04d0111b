"""Whether what a group launches would come up: addresses, quota of vCPUs, launch template, image.

Comes in: groups as Auto Scaling describes them. Goes out: the same groups, with how many nodes are
left and what is short. Each question is optional: without its right, or without an answer, that
alone is not known. What changes rarely is kept for a while. May not write.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from spotvortex.aws.groups.asking import Answer, code_of, may_pass
from spotvortex.aws.groups.quotas import (
    UNTOLD,
    Quota,
    QuotaLeft,
    last_of,
    question_of,
    quota_code,
    quota_in,
)
from spotvortex.aws.groups.wire import (
    Template,
    subnets_of,
    template_of,
    types_of,
    with_addresses,
    with_vcpus,
)
from spotvortex.aws.session import RequestFailedError, answered, short_words
from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup
from spotvortex.core.domain.types import CapacityType

log = logging.getLogger(__name__)

DENIED_S: Final = 3600.0
"""A right that is missing is not asked for again before."""

QUOTA_S: Final = 3600.0
USE_S: Final = 120.0
TEMPLATE_S: Final = 600.0
USE_SPAN_S: Final = 1800.0
"""CloudWatch has a use every five minutes, and some minutes late."""

MAX_ASKED: Final = 100
"""Subnets, or instance types, of one request."""

_NOT_THERE: Final = (
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.VersionNotFound",
    "InvalidLaunchTemplateName.NotFoundException",
    "InvalidAMIID.NotFound",
    "InvalidAMIID.Unavailable",
    "NoSuchResourceException",
)
"""Codes that say that a thing is gone (EC2 API Reference, "Error codes"; Service Quotas)."""

Described = tuple[ScalingGroup, Answer]
Ask = Callable[[], Awaitable[Answer]]
T = TypeVar("T")


@dataclass(slots=True)
class Kept(Generic[T]):
    """Answers that are kept for a while; what is not known is asked for again."""

    longest_s: float
    _found: dict[object, tuple[float, T]] = field(default_factory=dict)

    async def get(
        self, key: object, ask: Callable[[], Awaitable[T | None]], within_s: float
    ) -> T | None:
        """Return what was answered within this time, or ask."""
        now = asyncio.get_running_loop().time()
        known = self._found.get(key)
        if known is not None and now - known[0] < min(within_s, self.longest_s):
            return known[1]
        found = await ask()
        if found is not None:
            self._found[key] = now, found
        return found

    def forget(self, key: object) -> None:
        """Ask again next time."""
        self._found.pop(key, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launch:
    """What a launch template says: its types, and why nothing comes up by it, "" where it may."""

    instance_type: str = ""
    trouble: str = ""


@dataclass(slots=True, kw_only=True)
class Preflight:
    """Asks what bounds the launches of groups.

    Attributes:
        now: the time of day, seconds since the epoch.
    """

    now: Callable[[], float]
    _ec2: Any
    _quotas: Any
    _metrics: Any
    _denied_until: dict[str, float] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)
    _vcpus: dict[str, int] = field(default_factory=dict)
    _limits: Kept[Quota] = field(default_factory=lambda: Kept(QUOTA_S))
    _uses: Kept[int] = field(default_factory=lambda: Kept(USE_S))
    _images: Kept[bool] = field(default_factory=lambda: Kept(TEMPLATE_S))
    _launches: Kept[_Launch] = field(default_factory=lambda: Kept(TEMPLATE_S))

    async def bounded(
        self, found: Sequence[Described], bound_s: float, within_s: float = math.inf
    ) -> list[ScalingGroup]:
        """Return the groups with what is short; those questions that many share are asked once.

        Args:
            found: groups, with what Auto Scaling says of each.
            bound_s: how long an answer may take.
            within_s: answers that are kept may be no older.
        """
        subnets = await self._subnets({s for _, a in found for s in subnets_of(a)}, bound_s)
        launches = [await self._launch(template_of(a), bound_s, within_s) for _, a in found]
        types = [
            types_of(answer) or tuple(filter(None, [launch.instance_type]))
            for (_, answer), launch in zip(found, launches, strict=True)
        ]
        await self._learn_vcpus({name for names in types for name in names}, bound_s)
        done = []
        for (group, answer), launch, names in zip(found, launches, types, strict=True):
            near = [subnets[name] for name in subnets_of(answer) if name in subnets]
            near_bound = with_addresses(group, near)
            left = await self._vcpus_left(group.capacity_type, names, bound_s, within_s)
            made = with_vcpus(near_bound, left, self._least(names)) if left else near_bound
            done.append(replace(made, no_launch=made.no_launch or launch.trouble))
        return done

    async def _subnets(self, names: Iterable[str], bound_s: float) -> dict[str, Answer]:
        found: dict[str, Answer] = {}
        for some in _by_hundreds(names):
            page = await self._optional(
                "ec2:DescribeSubnets",
                lambda some=some: self._ec2.describe_subnets(Filters=_by_id(some)),  # type: ignore[misc]
                bound_s,
            )
            rows = page.get("Subnets", ()) if isinstance(page, dict) else ()
            found |= {str(row.get("SubnetId", "")): row for row in rows}
        return found

    async def _learn_vcpus(self, types: Iterable[str], bound_s: float) -> None:
        for some in _by_hundreds(set(types) - self._vcpus.keys()):
            page = await self._optional(
                "ec2:DescribeInstanceTypes",
                lambda some=some: self._ec2.describe_instance_types(InstanceTypes=some),  # type: ignore[misc]
                bound_s,
            )
            rows = page.get("InstanceTypes", ()) if isinstance(page, dict) else ()
            for row in rows:
                n_vcpus = int((row.get("VCpuInfo") or {}).get("DefaultVCpus", 0))
                self._vcpus[str(row.get("InstanceType", ""))] = n_vcpus

    def _least(self, types: Sequence[str]) -> int:
        """Return the vCPUs of the smallest type, the least of a node; 0 where one is unknown."""
        return min((self._vcpus.get(name, 0) for name in types), default=0)

    async def _vcpus_left(
        self, bought: CapacityType, types: Sequence[str], bound_s: float, within_s: float
    ) -> QuotaLeft | None:
        code = quota_code(types, bought)
        if not code or not self._least(types):
            return None
        quota = await self._limits.get(code, lambda: self._quota(code, bound_s), math.inf)
        if quota is None or quota.n_vcpus is None:
            return None
        used = await self._uses.get(code, lambda: self._use(quota, bound_s), within_s)
        return None if used is None else QuotaLeft(code=code, n_vcpus=quota.n_vcpus, used=used)

    async def _quota(self, code: str, bound_s: float) -> Quota | None:
        told = await self._optional(
            "servicequotas:GetServiceQuota",
            lambda: self._quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code),
            bound_s,
        )
        if told is None:
            return None
        return quota_in(told) if isinstance(told, dict) else UNTOLD

    async def _use(self, quota: Quota, bound_s: float) -> int | None:
        question = question_of(quota.metric, self.now(), USE_SPAN_S)
        told = await self._optional(
            "cloudwatch:GetMetricStatistics",
            lambda: self._metrics.get_metric_statistics(**question),
            bound_s,
        )
        return last_of(told) if isinstance(told, dict) else None

    async def _launch(self, template: Template | None, bound_s: float, within_s: float) -> _Launch:
        if template is None:
            return _Launch()
        found = await self._launches.get(
            template, lambda: self._read_launch(template, bound_s, within_s), within_s
        )
        return found or _Launch()

    async def _read_launch(
        self, template: Template, bound_s: float, within_s: float
    ) -> _Launch | None:
        """Read a launch template and its image."""
        told = await self._optional(
            "ec2:DescribeLaunchTemplateVersions",
            lambda: self._ec2.describe_launch_template_versions(
                **template.question, Versions=[template.version]
            ),
            bound_s,
        )
        if told is None:
            return None
        versions = told.get("LaunchTemplateVersions", ()) if isinstance(told, dict) else ()
        if not versions:
            why = told if isinstance(told, str) else "no such version"
            return _Launch(trouble=f"its launch template {template} is not there: {why}")
        data = versions[0].get("LaunchTemplateData") or {}
        image = str(data.get("ImageId", ""))
        known = True if not image.startswith("ami-") else None
        known = known or await self._images.get(
            image, lambda: self._is_there(image, bound_s), within_s
        )
        trouble = "" if known is not False else f"its image {image} is not there: set another one"
        return _Launch(instance_type=str(data.get("InstanceType", "")), trouble=trouble)

    async def _is_there(self, image: str, bound_s: float) -> bool | None:
        """Tell whether an image can be launched; many templates share one. None if nobody says."""
        told = await self._optional(
            "ec2:DescribeImages", lambda: self._ec2.describe_images(ImageIds=[image]), bound_s
        )
        if told is None:
            return None
        rows = list(told.get("Images", ())) if isinstance(told, dict) else []
        return any(row.get("State", "available") == "available" for row in rows)

    async def _optional(self, action: str, ask: Ask, bound_s: float) -> Answer | str | None:
        """Return an answer, the code that says that a thing is gone, or None if nobody says."""
        now = asyncio.get_running_loop().time()
        if now < self._denied_until.get(action, 0.0):
            return None
        try:
            return dict(await answered(ask(), bound_s))
        except RequestFailedError as trouble:
            if code_of(trouble) in _NOT_THERE:
                return code_of(trouble)
            if not may_pass(trouble):
                self._denied_until[action] = now + DENIED_S
            self._say(action, short_words(trouble.words))
            return None

    def _say(self, action: str, error: str) -> None:
        if self._told.get(action) != error:
            self._told[action] = error
            log.info("scaling_groups.not_known", extra={"action": action, "error": error})


def _by_id(subnets: list[str]) -> list[dict[str, object]]:
    """Ask by a filter: one that is gone is then left out; asked for by name it refuses all."""
    return [{"Name": "subnet-id", "Values": subnets}]


def _by_hundreds(names: Iterable[str]) -> Iterable[list[str]]:
    ordered = sorted(names)
    return (ordered[n : n + MAX_ASKED] for n in range(0, len(ordered), MAX_ASKED))
