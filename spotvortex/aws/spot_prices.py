"""Changes of Spot prices, from EC2.

Comes in: instance types and an instant. Goes out: every change since then, over as many pages as
it takes, or an error that says the fix. One right is needed: ec2:DescribeSpotPriceHistory. May not
keep what it has read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from spotvortex.aws.session import (
    ANSWER_S,
    PASSING,
    NoClientError,
    RequestFailedError,
    answered,
    open_client,
    rights_to,
    short_words,
)
from spotvortex.core.domain.types import Offering, is_price
from spotvortex.errors import PriceSourceError, QueueFault, SettingsError
from spotvortex.ports.prices import SpotPriceRecord

_OPERATION: Final = "ec2:DescribeSpotPriceHistory"
_LINUX: Final = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")
_TYPES_AT_ONCE: Final = 50
_PAGE: Final = 1000
_MAX_PAGES: Final = 100
"""A week of 50 types in six zones has some 10,000 changes."""


class SpotPriceClient:
    """Asks EC2 for the changes of Spot prices: implements `ports.SpotPriceHistory`."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - untyped
        self._client = client

    async def since(self, types: Sequence[str], start_at: float) -> list[SpotPriceRecord]:
        """Return every change since an instant; see the port.

        Raises:
            PriceSourceError: a page could not be had, or there are too many.
        """
        found: list[SpotPriceRecord] = []
        for first in range(0, len(types), _TYPES_AT_ONCE):
            asked = {
                "InstanceTypes": list(types[first : first + _TYPES_AT_ONCE]),
                "ProductDescriptions": list(_LINUX),
                "StartTime": datetime.fromtimestamp(start_at, UTC),
                "MaxResults": _PAGE,
            }
            async for rows in self._pages(asked):
                found += (record for row in rows if (record := _price_of(row)) is not None)
        return found

    async def _pages(self, asked: dict[str, object]) -> AsyncIterator[list[Mapping[str, Any]]]:
        token = ""
        for _ in range(_MAX_PAGES):
            more = {"NextToken": token} if token else {}
            request = self._client.describe_spot_price_history(**asked, **more)
            try:
                page = await answered(request, 2 * ANSWER_S)
            except RequestFailedError as trouble:
                text = f"{_OPERATION}: {short_words(trouble.words)}; {_price_fix(trouble)}"
                passing = trouble.fault in PASSING
                raise PriceSourceError(text, is_passing=passing) from trouble.__cause__
            yield page.get("SpotPriceHistory", [])
            token = str(page.get("NextToken") or "")
            if not token:
                return
        text = f"{_OPERATION} gave more than {_MAX_PAGES} pages of {_PAGE} records"
        raise PriceSourceError(text, is_passing=False)


@asynccontextmanager
async def open_spot_prices(region: str) -> AsyncIterator[SpotPriceClient]:
    """Open a client for Spot prices; nothing is asked yet.

    Raises:
        SettingsError: no region is known, or a setting of AWS is wrong.
    """
    try:
        async with open_client("ec2", region, 0, 2) as client:
            yield SpotPriceClient(client)
    except NoClientError as error:
        text = f"no client for SPOTVORTEX_PRICE_SOURCE=aws: {error}; set AWS_REGION"
        raise SettingsError(text) from error.__cause__


def _price_of(row: Mapping[str, Any]) -> SpotPriceRecord | None:
    """Read one record; what names no offering, or is no price, says nothing."""
    at, price = row.get("Timestamp"), row.get("SpotPrice")
    zone, instance_type = str(row.get("AvailabilityZone", "")), str(row.get("InstanceType", ""))
    try:
        usd = float(str(price))
    except ValueError:
        return None
    if not isinstance(at, datetime) or not zone or not instance_type or not is_price(usd):
        return None
    offering = Offering(instance_type=instance_type, zone=zone)
    return SpotPriceRecord(offering=offering, usd_per_hour=usd, at=at.timestamp())


def _price_fix(trouble: RequestFailedError) -> str:
    if trouble.fault is QueueFault.DENIED:
        return f"{rights_to(_OPERATION)}, or set SPOTVORTEX_PRICE_SOURCE=file"
    return "see to the network way to EC2, or wait"
