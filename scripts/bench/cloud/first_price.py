"""From the start of the daemon to its first decision with prices, as shadow is shipped.

Usage: python -m scripts.bench.cloud.first_price [TIMES]

The shadow overlay is applied to a control plane of its own, the daemon is a process with that
account's token, and EC2 and the Pricing API are an emulator in a process of its own. Prints one
JSON line a start: seconds from the start of the process to ready, to the first price in its
metrics, and to the first decision that has judged with prices.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from scripts.bench.machine import machine
from tests.aws.memory_ec2 import MemoryEc2, beside
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import NodeShape, node_manifest
from tests.deploy.elsewhere import Elsewhere
from tests.deploy.manifests import SHADOW
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.test_aws_prices import HERE, HOME, PRICE, history, variables

LIMIT_S = 120.0


def priced(record: dict[str, float]) -> bool:
    """Tell whether a decision had prices; without them its confidence is 0."""
    return record["confidence"] > 0.0


def seconds(begun: float, seen: Callable[[], object]) -> float:
    """Wait for something, and return when it was there."""
    wait_until(seen, LIMIT_S, every_s=0.05)
    return round(time.monotonic() - begun, 2)


def once(place: Elsewhere, ec2: MemoryEc2, folder: Path) -> dict[str, float]:
    """Start the daemon once."""
    begun = time.monotonic()
    with Daemon(folder, variables(place, folder, ec2)) as daemon:
        daemon.wait_ready()
        return {
            "ready_s": round(time.monotonic() - begun, 2),
            "price_s": seconds(begun, lambda: PRICE in daemon.get("/metrics")[1]),
            "decision_s": seconds(begun, lambda: any(map(priced, daemon.records()))),
        }


def main(words: list[str]) -> int:
    """Start it so many times."""
    print(json.dumps({"machine": machine()}), flush=True)
    with tempfile.TemporaryDirectory() as base, ControlPlane() as plane:
        place = Elsewhere(plane, SHADOW, HOME, Path(base))
        shape = NodeShape(pool=HOME, instance_type=HERE[0], zone=HERE[1])
        place.admin.create(node_manifest(f"{HOME}-a", shape))
        for number in range(int(words[0]) if words else 3):
            folder = Path(base) / str(number)
            folder.mkdir()
            with beside(history(time.time())) as ec2:
                print(json.dumps(once(place, ec2, folder)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
