"""Prices of AWS, fetched once into a price file.

Comes in: settings, a region, types and how far back. Goes out: a file, and what it holds. The
clients are those of the daemon; the cluster is read only where nobody names types or a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from spotvortex.aio import retried
from spotvortex.app.kubernetes import answering_client
from spotvortex.app.prices import SystemClock
from spotvortex.aws.on_demand_prices import open_list_prices
from spotvortex.aws.spot_prices import open_spot_prices
from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.types import Offering
from spotvortex.errors import SettingsError
from spotvortex.kube.admin import access_review
from spotvortex.kube.api.patient_reads import PatientReads
from spotvortex.market.asked_types import MAX_TYPES, RETRIES
from spotvortex.market.files.price_writer import write_price_file
from spotvortex.ports.prices import OnDemandPrices, SpotPriceHistory, SpotPriceRecord
from spotvortex.settings.load import aws_region
from spotvortex.settings.model import Settings

DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be fetched.

    Attributes:
        path: the price file.
        region: the region, "" for that of the environment, or of the cluster's nodes.
        types: the instance types, none for those of the cluster's nodes.
        days: how far back Spot prices go.
    """

    path: Path
    region: str = ""
    types: tuple[str, ...] = ()
    days: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a file holds now.

    Attributes:
        region: the region.
        n_types: instance types that were asked about.
        n_changes: changes of Spot prices.
        n_on_demand: on-demand prices.
        missing: types without an on-demand price or without any Spot price, sorted.
    """

    region: str
    n_types: int
    n_changes: int
    n_on_demand: int
    missing: tuple[str, ...]


async def fetch(settings: Settings, wanted: Wanted) -> Fetched:
    """Fetch prices and write them; a file that is there is replaced whole, or left as it is.

    Raises:
        SettingsError: no region or no types are known, or a setting of AWS is wrong.
        PriceSourceError: AWS did not give the prices.
        PriceFileError: the file cannot be written.
        ApiError: the nodes of the cluster cannot be read.
    """
    region, types = await _scope(settings, wanted)
    rng = Random()  # noqa: S311 - jitter of retries
    start_at = SystemClock().now() - wanted.days * DAY_S
    async with open_spot_prices(region) as history, open_list_prices(region) as lists:
        spot = await _spot(history, types, start_at, rng)
        on_demand = await _on_demand(lists, types, rng)
    write_price_file(wanted.path, spot, on_demand, region)
    seen = {record.offering.instance_type for record in spot}
    return Fetched(
        region=region,
        n_types=len(types),
        n_changes=len(spot),
        n_on_demand=len(on_demand),
        missing=tuple(t for t in types if t not in seen or t not in on_demand),
    )


async def _spot(
    history: SpotPriceHistory, types: Sequence[str], start_at: float, rng: Random
) -> list[SpotPriceRecord]:
    return await retried(partial(history.since, types, start_at), RETRIES, rng)


async def _on_demand(lists: OnDemandPrices, types: Sequence[str], rng: Random) -> dict[str, float]:
    found = {t: await retried(partial(lists.price, t), RETRIES, rng) for t in types}
    return {t: price for t, price in found.items() if price is not None}


async def _scope(settings: Settings, wanted: Wanted) -> tuple[str, tuple[str, ...]]:
    """Return the region and the types, sorted; the cluster is asked only for what nobody names."""
    region, types = wanted.region or aws_region(), set(wanted.types)
    if not region or not types:
        held = await _held(settings)
        region = region or _only_region(held)
        types = types or {o.instance_type for o in held if region_of(o.zone) == region}
    if not types:
        raise SettingsError(f"no node of {region} is there: name types with --type")
    if len(types) > MAX_TYPES:
        raise SettingsError(f"{len(types)} types: name at most {MAX_TYPES} with --type")
    return region, tuple(sorted(types))


def _only_region(held: frozenset[Offering]) -> str:
    regions = sorted({region_of(o.zone) for o in held} - {""})
    if len(regions) != 1:
        found = ", ".join(regions) or "no zone"
        raise SettingsError(f"the nodes are in {found}: name one region with --region")
    return regions[0]


async def _held(settings: Settings) -> frozenset[Offering]:
    """Return what the nodes of the cluster run on."""
    async with answering_client(settings) as client:
        reads = PatientReads(client, Random())  # noqa: S311 - jitter of retries
        return await access_review.offerings(reads)
