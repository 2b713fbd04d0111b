"""Price records for the tests."""

from __future__ import annotations

import gzip
import json
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from spotvortex.core.domain.types import Offering
from spotvortex.market.price_file import PriceRecords, SpotChanges

T0 = 1_790_000_400.0
"""A multiple of the 600 s step."""

M5_A = Offering(instance_type="m5.large", zone="us-east-1a")
M5_B = Offering(instance_type="m5.large", zone="us-east-1b")
C5_EU = Offering(instance_type="c5.large", zone="eu-west-1a")


def spot_record(at: float, price: object, **other: object) -> dict[str, object]:
    """Return a spot record as DescribeSpotPriceHistory gives it."""
    return {
        "InstanceType": "m5.large",
        "AvailabilityZone": "us-east-1a",
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": price,
        "Timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
        **other,
    }


def on_demand_record(price: object, **other: object) -> dict[str, object]:
    return {"InstanceType": "m5.large", "Region": "us-east-1", "OnDemandPrice": price, **other}


def write_file(path: Path, records: Sequence[dict[str, object]]) -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def spot_only(changes: Sequence[tuple[float, float]], offering: Offering = M5_A) -> PriceRecords:
    """Return records of one offering from (time, price) pairs."""
    times, prices = array("d", (t for t, _ in changes)), array("d", (p for _, p in changes))
    return PriceRecords(spot={offering: SpotChanges(times, prices)}, on_demand={})
