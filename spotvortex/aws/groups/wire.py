"""What AWS says of groups, as values of the core.

Comes in: answers of Auto Scaling and EKS. Goes out: `ScalingGroup`s, each with what contradicts
itself in its description. Nothing of an answer is trusted to be there. May not ask anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.aws.groups.asking import Answer
from spotvortex.aws.groups.quotas import QuotaLeft
from spotvortex.core.domain.autoscaling import labelled_group, managed_group
from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup, ScalingInstance
from spotvortex.core.domain.labels import POOL
from spotvortex.core.domain.types import CapacityType

EKS_GROUP: Final = "eks:nodegroup-name"
EKS_CLUSTER: Final = "eks:cluster-name"
"""Tags that EKS puts on the Auto Scaling group of a managed node group (EKS User Guide)."""

CLUSTER_TAG: Final = "kubernetes.io/cluster/"
"""Prefix of the tag by which a group says whose nodes it makes."""

_ILL: Final = frozenset(
    {
        "AmiIdNotFound",
        "AutoScalingGroupNotFound",
        "Ec2InstanceTypeDoesNotExist",
        "Ec2LaunchTemplateInvalidConfiguration",
        "Ec2LaunchTemplateNotFound",
        "Ec2LaunchTemplateVersionMismatch",
        "Ec2SecurityGroupNotFound",
        "Ec2SubnetNotFound",
        "IamInstanceProfileNotFound",
        "IamNodeRoleNotFound",
        "InstanceLimitExceeded",
        "InsufficientFreeAddresses",
        "SourceEc2LaunchTemplateNotFound",
    }
)
"""Health issues that stop every launch (EKS API Reference, "Issue"); lack of Spot is none."""

_ON_ITS_WAY: Final = ("Terminating", "Terminated", "Detaching", "Detached")
_WARM: Final = "Warmed:"
_BY_TAG: Final = {"spot": CapacityType.SPOT, "on-demand": CapacityType.ON_DEMAND}
_BY_EKS: Final = {"SPOT": CapacityType.SPOT, "ON_DEMAND": CapacityType.ON_DEMAND}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTags:
    """By which tags groups are found.

    Attributes:
        pool: its value is the pool.
        capacity_type: its value is `spot` or `on-demand`.
        cluster: only groups of this cluster count; "" where all do.
    """

    pool: str = "spotvortex.io/pool"
    capacity_type: str = "spotvortex.io/capacity-type"
    cluster: str = ""

    def are_ours(self, tags: Mapping[str, str]) -> bool:
        """Tell whether a group with these tags is of the cluster."""
        if not self.cluster or tags.get(EKS_CLUSTER) == self.cluster:
            return True
        return f"{CLUSTER_TAG}{self.cluster}" in tags


def tags_of(answer: Answer) -> dict[str, str]:
    """Return the tags of an Auto Scaling group."""
    return {str(t.get("Key", "")): str(t.get("Value", "")) for t in answer.get("Tags", ())}


def subnets_of(answer: Answer) -> tuple[str, ...]:
    """Return the subnets that a group launches into."""
    listed = str(answer.get("VPCZoneIdentifier", "")).split(",")
    return tuple(sorted(name for part in listed if (name := part.strip())))


def with_addresses(group: ScalingGroup, subnets: Iterable[Answer]) -> ScalingGroup:
    """Bound a group by the free addresses of its subnets: each node takes one at least."""
    free = {str(s.get("SubnetId", "")): int(s.get("AvailableIpAddressCount", 0)) for s in subnets}
    if not free:
        return group
    n_free, names = sum(free.values()), ", ".join(sorted(free))
    return _with_room(group, n_free, f"{n_free} free addresses in {names}")


def with_vcpus(group: ScalingGroup, left: QuotaLeft, least: int) -> ScalingGroup:
    """Bound a group by a quota of vCPUs: each node takes those of its smallest type at least."""
    n_left = max(0, left.n_vcpus - left.used)
    words = f"{n_left} of {left.n_vcpus} vCPUs are left of quota {left.code}, a node takes {least}"
    return _with_room(group, n_left // least, words)


def _with_room(group: ScalingGroup, n_nodes: int, words: str) -> ScalingGroup:
    """Keep the tighter of two bounds."""
    if group.room_nodes is not None and group.room_nodes <= n_nodes:
        return group
    return replace(group, room_nodes=n_nodes, room_words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A launch template as a group names it: by id, or by name alone, with its version."""

    id: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name or self.id}, version {self.version}"

    @property
    def question(self) -> dict[str, str]:
        """By what EC2 is asked for it."""
        if self.id:
            return {"LaunchTemplateId": self.id}
        return {"LaunchTemplateName": self.name}


def template_of(answer: Answer) -> Template | None:
    """Return the launch template of a group, None where it has none."""
    mixed = (answer.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    named = answer.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification") or {}
    found = Template(
        id=str(named.get("LaunchTemplateId", "")),
        name=str(named.get("LaunchTemplateName", "")),
        version=str(named.get("Version", "") or "$Default"),
    )
    return found if found.id or found.name else None


def types_of(answer: Answer) -> tuple[str, ...]:
    """Return the instance types that a group may launch, () where they are chosen by attributes.

    They are those that its policy lists, else that of the instances that it has.
    """
    mixed = (answer.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    listed = mixed.get("Overrides") or ()
    if any("InstanceRequirements" in entry for entry in listed):
        return ()
    rows = listed or answer.get("Instances", ())
    return tuple(sorted({name for row in rows if (name := str(row.get("InstanceType", "")))}))


def tagged_group(answer: Answer, tags: GroupTags, hook_s: float) -> ScalingGroup:
    """Reduce a group that its owner has tagged."""
    given = tags_of(answer)
    pool, word = given.get(tags.pool, ""), given.get(tags.capacity_type, "")
    said, bought = _BY_TAG.get(word, CapacityType.UNKNOWN), _bought(answer)
    trouble = ""
    if said is CapacityType.UNKNOWN:
        trouble = f"its tag {tags.capacity_type} is {word!r}: set spot or on-demand"
    elif bought is CapacityType.UNKNOWN:
        said = bought
    elif bought not in (None, said):
        trouble = f"its tag says {said}, and its instances distribution buys {bought}: mend one"
    trouble = trouble or _in_units(answer)
    kind = _BY_TAG.get(word, CapacityType.ON_DEMAND)
    group = _common(answer, labelled_group(pool, kind), hook_s)
    return replace(group, pool=pool, capacity_type=said, trouble=trouble)


def managed(answer: Answer, described: Answer, hook_s: float) -> ScalingGroup:
    """Reduce a group that EKS has made of a managed node group, with what EKS says of that."""
    given = tags_of(answer)
    name = given.get(EKS_GROUP, "")
    status = str(described.get("status", ""))
    scaling = described.get("scalingConfig") or {}
    group = _common(answer, managed_group(name), hook_s)
    return replace(
        group,
        pool=str((described.get("labels") or {}).get(POOL, "")),
        capacity_type=_BY_EKS.get(str(described.get("capacityType", "")), CapacityType.UNKNOWN),
        managed=name,
        cluster=given.get(EKS_CLUSTER, ""),
        smallest=int(scaling.get("minSize", group.smallest)),
        largest=int(scaling.get("maxSize", group.largest)),
        status="" if status == "ACTIVE" else status or group.status,
        no_launch=_ill(described),
    )


def _ill(described: Answer) -> str:
    """Return what EKS itself says against launches of a group that a person has to mend."""
    issues = (described.get("health") or {}).get("issues") or ()
    codes = {str(issue.get("code", "")) for issue in issues} & _ILL
    return f"EKS says {min(codes)} of it: see its health issues" if codes else ""


def told_apart(groups: Sequence[ScalingGroup]) -> list[ScalingGroup]:
    """Return one group of each name; of several that claim to be the same, one that says so."""
    claimed: dict[str, list[ScalingGroup]] = defaultdict(list)
    for group in groups:
        claimed[group.node_group].append(group)
    return [_one_of(same) for _, same in sorted(claimed.items())]


def _one_of(same: list[ScalingGroup]) -> ScalingGroup:
    if len(same) == 1:
        return same[0]
    names = ", ".join(sorted(group.name for group in same))
    words = f"{names} have the same tags: one group of a pool may buy each capacity type; of two "
    return replace(same[0], trouble=f"{words}clusters, set SPOTVORTEX_CLUSTER_NAME")


def is_leaving(instance: Answer) -> bool:
    """Tell whether an instance of a group is on its way out, by its lifecycle state."""
    return str(instance.get("LifecycleState", "")).startswith(_ON_ITS_WAY)


def longest_end_hook_s(hooks: Iterable[Answer]) -> float:
    """Return how long hooks may hold an instance that ends."""
    ends = (
        float(hook.get("HeartbeatTimeout", 3600))
        for hook in hooks
        if str(hook.get("LifecycleTransition", "")).endswith(":EC2_INSTANCE_TERMINATING")
    )
    return max(ends, default=0.0)


def _common(answer: Answer, node_group: str, hook_s: float) -> ScalingGroup:
    found = [
        ScalingInstance(
            id=str(i.get("InstanceId", "")),
            leaving=is_leaving(i),
            protected=bool(i.get("ProtectedFromScaleIn")),
        )
        for i in answer.get("Instances", ())
        if not str(i.get("LifecycleState", "")).startswith(_WARM)
    ]
    return ScalingGroup(
        name=str(answer.get("AutoScalingGroupName", "")),
        node_group=node_group,
        pool="",
        capacity_type=CapacityType.UNKNOWN,
        smallest=int(answer.get("MinSize", 0)),
        largest=int(answer.get("MaxSize", 0)),
        desired=int(answer.get("DesiredCapacity", 0)),
        instances=tuple(sorted(found, key=lambda i: i.id)),
        suspended=tuple(
            str(p.get("ProcessName", "")) for p in answer.get("SuspendedProcesses", ())
        ),
        protects=bool(answer.get("NewInstancesProtectedFromScaleIn")),
        warm_pool=bool(answer.get("WarmPoolConfiguration") or answer.get("WarmPoolSize")),
        hook_s=hook_s,
        n_zones=len(answer.get("AvailabilityZones") or ()) or 1,
        status=str(answer.get("Status", "")),
    )


def _in_units(answer: Answer) -> str:
    """Return why a group's size is no number of nodes, "" where it is.

    Weights, and sizes in vCPUs or MiB: a node then counts as several units ("Configure an Auto
    Scaling group to use instance weights", Amazon EC2 Auto Scaling User Guide).
    """
    unit = str(answer.get("DesiredCapacityType", "") or "units")
    if unit != "units":
        return f"its sizes count {unit}, not nodes: set its desired capacity type to units"
    mixed = (answer.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    weights = {str(entry.get("WeightedCapacity", "1")) for entry in mixed.get("Overrides") or ()}
    if weights <= {"1"}:
        return ""
    return "its sizes count weights, not nodes: take WeightedCapacity out of its overrides"


def _bought(answer: Answer) -> CapacityType | None:
    """Return how a policy of mixed instances buys, None without one; UNKNOWN of both ways."""
    policy = answer.get("MixedInstancesPolicy")
    if not policy:
        return None
    spread = policy.get("InstancesDistribution") or {}
    base = int(spread.get("OnDemandBaseCapacity", 0))
    percent = int(spread.get("OnDemandPercentageAboveBaseCapacity", 100))
    if percent == 100:
        return CapacityType.ON_DEMAND
    return CapacityType.SPOT if base == 0 and percent == 0 else CapacityType.UNKNOWN
