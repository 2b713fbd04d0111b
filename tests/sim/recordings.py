"""Price files and snapshots as a recorder would write them, made from the simulated market."""

import json
from datetime import UTC, datetime

from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.instance_types import instance_type_of
from spotvortex.sim.market.prices import SimulatedMarket

START_AT = 1_785_229_200.0
TYPES = ("c6i.xlarge", "m5.xlarge", "m6i.xlarge", "r6i.xlarge")
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
DAY_S = 86_400.0
STEP_S = 6.2 * 3600.0


def write_prices(path, n_days, *, seed=1, types=TYPES, zones=ZONES):
    """Write a price file of JSON Lines that covers so many days."""
    market = SimulatedMarket(seed=seed, start_at=START_AT)
    lines = [
        {
            "InstanceType": kind,
            "Region": "us-east-1",
            "OnDemandPrice": instance_type_of(kind).on_demand_usd_per_hour,
        }
        for kind in types
    ]
    for kind in types:
        for zone in zones:
            offering = Offering(instance_type=kind, zone=zone)
            for number in range(int(n_days * DAY_S / STEP_S) + 2):
                at = START_AT + number * STEP_S
                lines.append(
                    {
                        "InstanceType": kind,
                        "AvailabilityZone": zone,
                        "ProductDescription": "Linux/UNIX",
                        "SpotPrice": f"{market.spot_usd_per_hour(offering, at):.6f}",
                        "Timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
                    }
                )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
