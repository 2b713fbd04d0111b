"""Prices of a whole region, in the answers by which Karpenter asks for them.

Comes in: the list of instance types that ships with Karpenter. Goes out: the bodies of GetProducts
and DescribeSpotPriceHistory, and single prices. May not make a price that the list does not hold,
but for spreading the zones of a type a little: else no Spot price would differ from zone to zone.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
ZONE_SPREAD = 0.01
METAL = "bare metal"


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per hour: Spot by type and zone, on-demand by type."""

    spot: dict[tuple[str, str], float]
    on_demand: dict[str, float]

    def of(self, instance_type: str, zone: str, kind: str) -> float:
        """Return one price; what is not sold costs more than anything."""
        if kind == "spot":
            return self.spot.get((instance_type, zone), 1e9)
        return self.on_demand.get(instance_type, 1e9)

    def products(self, body: bytes) -> dict[str, Any]:
        """Answer GetProducts: one page with the on-demand prices of a product family."""
        asked = {f["Field"]: f["Value"] for f in json.loads(body)["Filters"]}
        metal = METAL in asked.get("productFamily", "")
        listed = [
            json.dumps(_product(name, price))
            for name, price in self.on_demand.items()
            if (".metal" in name) == metal
        ]
        return {"FormatVersion": "aws_v1", "PriceList": listed}

    def history(self) -> str:
        """Answer DescribeSpotPriceHistory: one page with the price of every offering, as of now."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        items = "".join(
            f"<item><instanceType>{escape(kind)}</instanceType>"
            f"<productDescription>Linux/UNIX</productDescription><spotPrice>{price:.6f}</spotPrice>"
            f"<timestamp>{now}</timestamp><availabilityZone>{zone}</availabilityZone></item>"
            for (kind, zone), price in self.spot.items()
        )
        return answer(
            "DescribeSpotPriceHistory", f"<spotPriceHistorySet>{items}</spotPriceHistorySet>"
        )


def read_prices(path: Path) -> Prices:
    """Read the list of instance types."""
    spot: dict[tuple[str, str], float] = {}
    on_demand: dict[str, float] = {}
    for listed in json.loads(path.read_text()):
        for offering in listed["offerings"]:
            said = {r["key"]: r["values"][0] for r in offering["Requirements"]}
            zone = said["topology.kubernetes.io/zone"]
            if said["karpenter.sh/capacity-type"] == "spot":
                factor = 1.0 + ZONE_SPREAD * "abcdef".index(zone[-1])
                spot[listed["name"], zone] = round(offering["Price"] * factor, 6)
            else:
                on_demand[listed["name"]] = offering["Price"]
    return Prices(spot, on_demand)


def answer(operation: str, inner: str) -> str:
    """Wrap what EC2 answers to an operation."""
    head = f'<{operation}Response xmlns="{EC2_NAMESPACE}"><requestId>r</requestId>'
    return f"{head}{inner}</{operation}Response>"


def _product(name: str, price: float) -> dict[str, Any]:
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": f"{price:.10f}"}}
    return {
        "product": {"attributes": {"instanceType": name}},
        "terms": {"OnDemand": {"t": {"priceDimensions": {"d": dimension}}}},
    }
