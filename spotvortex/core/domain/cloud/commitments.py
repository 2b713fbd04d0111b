"""What an account has committed to pay for, whether it is used or not.

Comes in: rows that an owner states. Goes out: the same rows, and what one node draws from each. May
not allocate anything: see `core/pool/commitments/coverage.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.cloud.instance_types import family_of, vcpus_of

UNITS_PER_VCPU: Final = 2.0
"""AWS's normalised units: 4 for `large` (2 vCPU), 8 for `xlarge`, 0.25 for `nano`."""


class CommitmentKind(StrEnum):
    """The kinds of commitment, in the order in which AWS applies them."""

    ZONAL_RESERVED = "zonal-reserved-instances"
    REGIONAL_RESERVED = "regional-reserved-instances"
    INSTANCE_PLAN = "ec2-instance-savings-plan"
    COMPUTE_PLAN = "compute-savings-plan"

    @property
    def is_plan(self) -> bool:
        """Tell whether it is stated in money an hour, not in instances."""
        return self in (CommitmentKind.INSTANCE_PLAN, CommitmentKind.COMPUTE_PLAN)


KIND_RANK: Final = {kind: rank for rank, kind in enumerate(CommitmentKind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """One Savings Plan, or reserved instances of one kind.

    Attributes:
        name: what its owner calls it; no two have the same.
        kind: which nodes it applies to, and when its turn is.
        amount: how much of it this cluster may use in an hour: USD of a Savings Plan, instances of
            reserved ones that are bound to one type, normalised units of a family's.
        instance_type: the only type that it applies to, "" where any of the family will do.
        family: the only family that it applies to, "" of a Compute Savings Plan.
        region: the only region that it applies to, "" where any will do.
        zone: the only zone that it applies to, "" where any of the region will do.
        discount_ratio: share of the on-demand price that is saved by it, 0..1.
        discount_by_type: the same by instance type, or by family, where it differs.
        ends_at: wall time from which it no longer counts, infinite where nobody says.
    """

    name: str
    kind: CommitmentKind
    amount: float
    instance_type: str = ""
    family: str = ""
    region: str = ""
    zone: str = ""
    discount_ratio: float = 0.0
    discount_by_type: Mapping[str, float] = field(default_factory=dict)
    ends_at: float = math.inf

    def applies_to(self, instance_type: str, region: str) -> bool:
        """Tell whether nodes of a type in a region may fall under it, in some zone."""
        if self.region not in ("", region):
            return False
        if self.instance_type:
            return self.instance_type == instance_type
        return self.family in ("", family_of(instance_type))

    def discount_of(self, instance_type: str) -> float:
        """Return the share of the on-demand price of a type that it saves, 0..1."""
        of_type = self.discount_by_type.get(instance_type)
        if of_type is not None:
            return of_type
        return self.discount_by_type.get(family_of(instance_type), self.discount_ratio)

    def drawn_by(self, instance_type: str, usd_per_hour: float | None) -> float | None:
        """Return how much of `amount` one node draws, None where that cannot be known.

        Args:
            instance_type: the node's type, to which the commitment applies.
            usd_per_hour: its on-demand price.
        """
        if self.kind.is_plan:
            return None if usd_per_hour is None else self._rate(instance_type, usd_per_hour)
        return 1.0 if self.instance_type else units_of(instance_type)

    def worth_of(
        self, amount: float, instance_type: str, usd_per_hour: float | None
    ) -> float | None:
        """Return what some of `amount` costs in USD an hour, None where no price tells.

        Args:
            amount: how much of it.
            instance_type: a type that it applies to; a Savings Plan needs none.
            usd_per_hour: the on-demand price of that type.
        """
        if self.kind.is_plan:
            return amount
        drawn = self.drawn_by(instance_type, usd_per_hour)
        if usd_per_hour is None or not drawn:
            return None
        return amount / drawn * self._rate(instance_type, usd_per_hour)

    def _rate(self, instance_type: str, usd_per_hour: float) -> float:
        return usd_per_hour * (1.0 - self.discount_of(instance_type))


def units_of(instance_type: str) -> float | None:
    """Return the normalised units of a type, None where its size tells none (`metal`)."""
    return UNITS_PER_VCPU * vcpus_of(instance_type) or None


class CommitmentState(StrEnum):
    """What is known of the commitments."""

    UNSTATED = "unstated"
    """Nobody has said whether there are any."""
    STATED = "stated"
    UNREADABLE = "unreadable"
    """They are stated, and the statement has never been read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitments:
    """All that is known of the commitments of the account.

    Attributes:
        state: whether they are stated.
        items: the commitments, none where there are none or they are not known.
    """

    state: CommitmentState = CommitmentState.UNSTATED
    items: tuple[Commitment, ...] = ()

    def at(self, now: float) -> tuple[Commitment, ...]:
        """Return those that have not ended."""
        return tuple(c for c in self.items if now < c.ends_at)


UNSTATED: Final = Commitments()
