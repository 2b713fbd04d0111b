"""The recorded markets that a model is trained on.

Comes in: a folder of capacity traces: `*.csv` of the project (`docs/capacity-trace.md`), `*.json`
availability series as the SkyPilot project publishes them, and `launch_counts*.csv.gz` in the form
of the SkyNomad artifact; or a cluster's own history (`spotvortex history export`). Goes out:
markets, each a set of offerings recorded at the same time. The files of one folder are one market.
May not repair a file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.market.price_file import read_price_file
from spotvortex.results import own_history
from spotvortex.sim.market.capacity_trace import read_availability, read_trace
from spotvortex.sim.market.counts import CapacityCounts, compressed
from spotvortex.sim.market.replay_prices import ReplayMarket

TYPES: Final = {
    "v100_1": "p3.2xlarge",
    "v100_8": "p3.16xlarge",
    "k80_1": "p2.xlarge",
    "k80_8": "p2.8xlarge",
    "intel_64": "r5.16xlarge",
}
"""Instance types by the words of the published files."""

H100_TYPE: Final = "p5.48xlarge"
"""What stands for the other cloud's H100 machine, of which AWS's kind is this."""

ON_DEMAND_USD: Final = {"p3.2xlarge": 3.06, "r5.16xlarge": 4.032}
"""On-demand prices of the types whose series hold Spot prices; unchanged in us-east-1, 2022-26."""


PRICE_STEP_S: Final = 600.0
"""The grid on which a cluster's own prices are laid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Spot prices of one offering on a grid, in USD an hour."""

    start_at: float
    step_s: float
    usd_per_hour: tuple[float, ...]
    on_demand_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Offerings recorded at the same time.

    Attributes:
        name: the class that figures are given by.
        counts: nodes to be had, by offering.
        start_at: start of the record, seconds since the epoch.
        end_at: its end.
        prices: Spot prices, of the offerings that have any.
        is_generated: it was drawn, not recorded.
    """

    name: str
    counts: dict[Offering, CapacityCounts]
    start_at: float
    end_at: float
    prices: dict[Offering, Prices] = field(default_factory=dict)
    is_generated: bool = False


def read_markets(folder: Path) -> list[Market]:
    """Read every market below a folder, in the order of their names."""
    folders = sorted({path.parent for path in folder.rglob("*") if path.is_file()})
    markets = [market for one in folders for market in _markets(one)]
    if not markets:
        raise SystemExit(f"{folder}: holds no capacity trace; see docs/training.md for the forms")
    return markets


def _markets(folder: Path) -> Iterator[Market]:
    if (folder / own_history.MANIFEST).is_file():
        yield _own(folder)
        return
    series = sorted(folder.glob("*.json"))
    if series and all("metadata" in path.read_text()[:200] for path in series):
        yield _published(folder.name, series)
    for path in sorted(folder.glob("*.csv")):
        if path.read_bytes()[:9] == b"timestamp":
            trace = read_trace(path)
            yield Market(
                name=path.stem,
                counts=dict(trace.counts),
                start_at=trace.start_at,
                end_at=trace.end_at,
            )
    for path in sorted(folder.glob("launch_counts*.csv.gz")):
        yield _launch_counts(path)


def _own(folder: Path) -> Market:
    """Read a cluster's own history: capacity as it could tell, and prices as they changed."""
    trace = read_trace(folder / own_history.CAPACITY)
    market = ReplayMarket(read_price_file(folder / own_history.PRICES), source=folder.name)
    n_steps = int((trace.end_at - trace.start_at) // PRICE_STEP_S) + 1
    times = [trace.start_at + PRICE_STEP_S * step for step in range(n_steps)]
    prices = {
        offering: Prices(
            start_at=trace.start_at,
            step_s=PRICE_STEP_S,
            usd_per_hour=tuple(market.spot_usd_per_hour(offering, at) for at in times),
            on_demand_usd=market.on_demand_usd_per_hour(offering),
        )
        for offering in market.offerings
        if offering in trace.counts and math.isfinite(market.spot_usd_per_hour(offering, times[0]))
    }
    return Market(
        name=folder.name,
        counts=dict(trace.counts),
        start_at=trace.start_at,
        end_at=trace.end_at,
        prices=prices,
    )


def _published(name: str, paths: list[Path]) -> Market:
    """Read availability series whose day of start stands in `metadata.source`."""
    counts, prices, ends = {}, {}, []
    start_at = 0.0
    for path in paths:
        zone, _, kind = path.stem.partition("_")
        offering = Offering(instance_type=TYPES.get(kind, kind), zone=zone)
        record, read = json.loads(path.read_text()), read_availability(path)
        start_at = _day(record["metadata"].get("source", ""))
        counts[offering] = read.counts(start_at, max(1, *read.values))
        ends.append(start_at + read.step_s * len(read.values))
        if "prices" in record:
            prices[offering] = Prices(
                start_at=start_at,
                step_s=read.step_s,
                usd_per_hour=tuple(record["prices"]),
                on_demand_usd=ON_DEMAND_USD[offering.instance_type],
            )
    return Market(name=name, counts=counts, start_at=start_at, end_at=min(ends), prices=prices)


def _day(source: str) -> float:
    """Return the day in a path like `.../aws-02-15-2023/...`, midnight UTC; 2023 began without."""
    for word in source.split("/"):
        parts = word.rpartition("aws-")[2].split("-")
        if word.startswith("aws-") and len(parts) == 3:
            month, day, year = parts
            return datetime.fromisoformat(f"{year}-{month}-{day}T00:00:00+00:00").timestamp()
    return datetime.fromisoformat("2023-01-01T00:00:00+00:00").timestamp()


def _launch_counts(path: Path) -> Market:
    """Read how many of the requested launches were fulfilled, probe by probe."""
    seen: dict[Offering, tuple[list[float], list[int]]] = {}
    with gzip.open(path) as file:
        for row in csv.DictReader(io.TextIOWrapper(file, "utf-8")):
            offering = Offering(instance_type=H100_TYPE, zone=row["zone"])
            times, values = seen.setdefault(offering, ([], []))
            at = datetime.fromisoformat(row["scheduled_at"]).timestamp()
            if not times or at > times[-1]:
                times.append(at)
                values.append(int(row["created"]))
    return Market(
        name="h100-counts",
        counts={offering: compressed(*columns) for offering, columns in seen.items()},
        start_at=max(times[0] for times, _ in seen.values()),
        end_at=min(times[-1] for times, _ in seen.values()),
    )
