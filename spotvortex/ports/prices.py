"""Prices that somebody else keeps, as who reads them asks for them. May not import an edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class OnDemandPrices(Protocol):
    """What keeps the list prices of on-demand capacity in one region."""

    async def price(self, instance_type: str) -> float | None:
        """Return the list price in USD per hour, None where the type is not sold there.

        Raises:
            PriceSourceError: it could not be had.
        """
        ...


class PlacementScores(Protocol):
    """What says how likely a request for Spot instances would be fulfilled now."""

    async def scores(self, instance_type: str, n_instances: int) -> Mapping[str, int]:
        """Return, by zone, a score from 1 to 10; a zone without one is not there.

        Raises:
            PriceSourceError: they could not be had.
        """
        ...
