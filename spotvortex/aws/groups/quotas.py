"""The quotas of vCPUs that bound what EC2 launches, by kind of instance and by how it is bought.

Comes in: a group's types. Goes out: the code of the quota that counts them. Codes are those of
Service Quotas (service code `ec2`); families that are not listed are bound by quotas that are not
looked at. May not ask anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from spotvortex.core.domain.types import CapacityType

_FAMILY: Final = re.compile(r"([a-z]+)\d")
_STANDARD: Final = frozenset("acdhimrtz")

_CODES: Final = {
    ("Standard", CapacityType.SPOT): "L-34B43A08",
    ("Standard", CapacityType.ON_DEMAND): "L-1216C47A",
    ("G and VT", CapacityType.SPOT): "L-3819A6DF",
    ("G and VT", CapacityType.ON_DEMAND): "L-DB2E81BA",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One quota as Service Quotas tells it.

    Attributes:
        n_vcpus: most vCPUs at once, None where nobody tells it, or no metric of its use.
        metric: where CloudWatch says how many are in use: namespace, name and dimensions.
    """

    n_vcpus: int | None = None
    metric: Mapping[str, Any] = field(default_factory=dict)


UNTOLD: Final = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLeft:
    """What is left of a quota.

    Attributes:
        code: the quota's code.
        n_vcpus: most vCPUs at once.
        used: vCPUs in use, by the latest figure.
    """

    code: str
    n_vcpus: int
    used: int


def quota_in(answer: Mapping[str, Any]) -> Quota:
    """Read a quota; one that says nothing that can be compared with a use is untold."""
    found = answer.get("Quota") or {}
    metric = found.get("UsageMetric") or {}
    value = found.get("Value")
    if not isinstance(value, int | float) or not metric.get("MetricName"):
        return UNTOLD
    return Quota(n_vcpus=int(value), metric=metric)


def question_of(metric: Mapping[str, Any], now: float, span_s: float) -> dict[str, object]:
    """Return what CloudWatch is asked for a use: its largest values of the last while."""
    dimensions = metric.get("MetricDimensions") or {}
    return {
        "Namespace": str(metric.get("MetricNamespace", "")),
        "MetricName": str(metric.get("MetricName", "")),
        "Dimensions": [{"Name": n, "Value": v} for n, v in sorted(dimensions.items())],
        "StartTime": now - span_s,
        "EndTime": now,
        "Period": 300,
        "Statistics": ["Maximum"],
    }


def last_of(answer: Mapping[str, Any]) -> int | None:
    """Return the latest use that CloudWatch tells, None of none."""
    points = sorted(answer.get("Datapoints", ()), key=lambda point: str(point.get("Timestamp", "")))
    return int(points[-1].get("Maximum", 0)) if points else None


def quota_code(types: Iterable[str], capacity_type: CapacityType) -> str:
    """Return the quota that counts all of these types, "" where that is not one."""
    kinds = {_kind_of(name) for name in types}
    kind = kinds.pop() if len(kinds) == 1 else ""
    return _CODES.get((kind, capacity_type), "")


def _kind_of(instance_type: str) -> str:
    found = _FAMILY.match(instance_type)
    letters = found[1] if found else ""
    if letters in ("g", "gr", "vt"):
        return "G and VT"
    # `is`, `im` and the like are storage-optimized; `inf` and `trn`, `mac`, `hpc` are quotas apart.
    known = letters[:1] in _STANDARD and letters not in ("inf", "trn", "mac", "hpc", "dl")
    return "Standard" if known else ""
