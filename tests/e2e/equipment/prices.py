"""Recorded prices for test scenes, in the form of docs/price-file.md."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.controlplane.fill import ZONES

SPOT_SHARE = {"c5.xlarge": 0.41, "m5.xlarge": 0.36, "m6i.xlarge": 0.38, "r5.xlarge": 0.34}
ON_DEMAND = {"c5.xlarge": 0.17, "m5.xlarge": 0.192, "m6i.xlarge": 0.192, "r5.xlarge": 0.252}


def write_price_file(path: Path) -> Path:
    """Write two days of prices that change every six hours, for every type and zone."""
    lines = [
        {"InstanceType": kind, "Region": "us-east-1", "OnDemandPrice": str(price)}
        for kind, price in ON_DEMAND.items()
    ]
    lines += [
        _change(kind, zone, step) for kind in SPOT_SHARE for zone in ZONES for step in range(9)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _change(kind: str, zone: str, step: int) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(hours=48 - 6 * step, minutes=1)
    price = ON_DEMAND[kind] * SPOT_SHARE[kind] * (1 + 0.002 * step)
    return {
        "InstanceType": kind,
        "AvailabilityZone": zone,
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": f"{price:.6f}",
        "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
