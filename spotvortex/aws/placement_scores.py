"""Spot Placement Scores, from EC2.

Comes in: an instance type and a number of instances. Goes out: a score from 1 to 10 for each zone
of one region, or an error that says the fix. Two rights are needed: ec2:GetSpotPlacementScores, and
ec2:DescribeAvailabilityZones once, since scores name zones by their ids. May not repeat a request:
AWS counts the configurations that an account asks about.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from spotvortex.aws.session import (
    ANSWER_S,
    NoClientError,
    RequestFailedError,
    answered,
    open_client,
    rights_to,
    short_words,
)
from spotvortex.errors import PriceSourceError, QueueFault, SettingsError

_SCORES: Final = "ec2:GetSpotPlacementScores"
_ZONES: Final = "ec2:DescribeAvailabilityZones"
_MAX_RESULTS: Final = 30
"""Zones of one region are fewer; it is 10 at least (EC2 API Reference)."""

_SPENT: Final = "MaxConfigLimitExceeded"


class PlacementClient:
    """Asks EC2 for placement scores: implements `ports.PlacementScores`."""

    def __init__(self, client: Any, region: str) -> None:  # noqa: ANN401 - untyped
        self._client, self._region = client, region
        self._zones: dict[str, str] = {}

    async def scores(self, instance_type: str, n_instances: int) -> Mapping[str, int]:
        """Return the score of each zone that has one; see the port.

        Raises:
            PriceSourceError: they could not be had.
        """
        if not self._zones:
            self._zones = await self._zones_by_id()
        request = self._client.get_spot_placement_scores(
            InstanceTypes=[instance_type],
            TargetCapacity=n_instances,
            TargetCapacityUnitType="units",
            SingleAvailabilityZone=True,
            RegionNames=[self._region],
            MaxResults=_MAX_RESULTS,
        )
        answer = await _asked(_SCORES, request)
        found: dict[str, int] = {}
        for row in answer.get("SpotPlacementScores", ()):
            zone = self._zones.get(str(row.get("AvailabilityZoneId", "")))
            score = row.get("Score")
            if zone and isinstance(score, int) and 1 <= score <= 10:
                found[zone] = score
        return found

    async def _zones_by_id(self) -> dict[str, str]:
        answer = await _asked(_ZONES, self._client.describe_availability_zones())
        rows = answer.get("AvailabilityZones", ())
        return {str(row.get("ZoneId", "")): str(row.get("ZoneName", "")) for row in rows}


@asynccontextmanager
async def open_placement_scores(region: str) -> AsyncIterator[PlacementClient]:
    """Open a client for placement scores; nothing is asked yet.

    Raises:
        SettingsError: no region is known, or a setting of AWS is wrong.
    """
    try:
        async with open_client("ec2", region, 0, 1) as client:
            yield PlacementClient(client, region)
    except NoClientError as error:
        text = f"no client for SPOTVORTEX_PLACEMENT_SCORES: {error}; set AWS_REGION"
        raise SettingsError(text) from error.__cause__


async def _asked(operation: str, request: Awaitable[Any]) -> Mapping[str, Any]:
    """Wait for an answer; none is asked for again at once, since each may be counted."""
    try:
        answer: Mapping[str, Any] = await answered(request, 2 * ANSWER_S)
    except RequestFailedError as trouble:
        text = f"{operation}: {short_words(trouble.words)}; {_fix(operation, trouble)}"
        raise PriceSourceError(text, is_passing=False) from trouble.__cause__
    return answer


def _fix(operation: str, trouble: RequestFailedError) -> str:
    if _SPENT in trouble.words:
        return "others of this account ask too; wait a day, or set SPOTVORTEX_PLACEMENT_SCORES=off"
    if trouble.fault is QueueFault.DENIED:
        return f"{rights_to(operation)}, or set SPOTVORTEX_PLACEMENT_SCORES=off"
    return "see to the network way to EC2, or wait"
