"""Recorded Spot prices, as who keeps them asks for them. May not import an edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spotvortex.core.domain.types import Offering


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotPriceRecord:
    """One change of a Spot price.

    Attributes:
        offering: the instance type and zone.
        usd_per_hour: the price from then on, in USD per hour; positive and finite.
        at: wall time of the change.
    """

    offering: Offering
    usd_per_hour: float
    at: float


class SpotPriceHistory(Protocol):
    """What keeps the changes of Spot prices."""

    async def since(self, types: Sequence[str], start_at: float) -> list[SpotPriceRecord]:
        """Return every change since an instant, and the one in force then, in any order.

        Args:
            types: the instance types that are asked about.
            start_at: wall time of the instant.

        Raises:
            PriceSourceError: they could not be had, or not whole.
        """
        ...
