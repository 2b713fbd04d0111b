"""Instance types: their size and on-demand price.

Comes in: the name of an instance type. Goes out: an `InstanceType`: from a table of those that the
simulated region has, or, for any other, by what AWS's names tell and the shipped price table. May
not hold anything that changes; on-demand prices of general families in us-east-1 did not change
once from 2022 to 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from spotvortex.core.domain.cloud.instance_types import vcpus_of
from spotvortex.errors import UnknownMachineError
from spotvortex.market.last_resort import home_table

GIB: Final = 1024**3
MIB: Final = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """What one node of an instance type offers to pods, and its list price."""

    cpu_milli: int
    memory_bytes: int
    on_demand_usd_per_hour: float


def _machine(instance_type: str, memory_gib: int, on_demand_usd_per_hour: float) -> InstanceType:
    """Take off what EKS keeps for kubelet and kernel: about 80 milli-cores, 7 % and 700 MiB."""
    return InstanceType(
        cpu_milli=round(vcpus_of(instance_type) * 1000) - 80,
        memory_bytes=round(memory_gib * GIB * 0.93) - 700 * MIB,
        on_demand_usd_per_hour=on_demand_usd_per_hour,
    )


MACHINES: Final[dict[str, InstanceType]] = {
    name: _machine(name, memory_gib, price)
    for name, memory_gib, price in (
        ("c5.2xlarge", 16, 0.34),
        ("c6i.large", 4, 0.085),
        ("c6i.xlarge", 8, 0.17),
        ("c6i.2xlarge", 16, 0.34),
        ("g5.xlarge", 16, 1.006),
        ("m5.xlarge", 16, 0.192),
        ("m6i.large", 8, 0.096),
        ("m6i.xlarge", 16, 0.192),
        ("m6i.2xlarge", 32, 0.384),
        ("m7g.xlarge", 16, 0.1632),
        ("r6i.xlarge", 32, 0.252),
        ("r6i.2xlarge", 64, 0.504),
        ("x9g.xlarge", 64, 0.3908),
    )
}
"""Linux list prices of AWS in us-east-1, July 2026, USD per hour."""

_GIB_PER_VCPU: Final = {"c": 2.0, "m": 4.0, "t": 4.0, "r": 8.0, "i": 8.0, "x": 16.0, "z": 8.0}
_OTHER_GIB_PER_VCPU: Final = 4.0
"""Memory by the class letter of a family, as AWS's current generations have it; an accelerated or
unknown class is taken to have 4 GiB, of which workloads that are bound by CPU see nothing."""


@lru_cache(maxsize=4096)
def instance_type_of(instance_type: str) -> InstanceType:
    """Return what a node of an instance type offers, and its list price.

    Raises:
        UnknownMachineError: the name tells no size, or there is no list price.
    """
    known = MACHINES.get(instance_type)
    if known is not None:
        return known
    vcpus = vcpus_of(instance_type)
    price = home_table().prices.get(instance_type)
    if vcpus <= 0.0 or price is None:
        raise UnknownMachineError(
            f"instance type {instance_type!r} is not known: there is no size in its name, or no "
            "on-demand price in the shipped table"
        )
    per_vcpu = _GIB_PER_VCPU.get(instance_type[:1], _OTHER_GIB_PER_VCPU)
    return _machine(instance_type, round(vcpus * per_vcpu), price)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRoom:
    """What the limits of a group leave, None where it has none."""

    cpu_milli: int | None
    memory_bytes: int | None
    nodes: int | None

    def takes(self, instance_type: str) -> bool:
        """Tell whether one more node of a type stays within the limits."""
        machine = instance_type_of(instance_type)
        needs = (
            (machine.cpu_milli, self.cpu_milli),
            (machine.memory_bytes, self.memory_bytes),
            (1, self.nodes),
        )
        return all(left is None or need <= left for need, left in needs)
