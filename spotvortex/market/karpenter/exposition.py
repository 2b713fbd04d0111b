"""Karpenter's metrics as text, read as a stream, and the few series of it that are wanted.

Comes in: chunks of a scrape, 33,000 lines and 6 MB on AWS. Goes out: availability and prices by
offering, the count of interrupted nodes, and when the process began. A line that cannot be read is
left out. May not keep any other line, nor more of one than a line's bound.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain.types import CapacityType, Offering

AVAILABLE: Final = "karpenter_cloudprovider_instance_type_offering_available"
PRICE: Final = "karpenter_cloudprovider_instance_type_offering_price_estimate"
DISRUPTED: Final = "karpenter_nodeclaims_disrupted_total"
STARTED: Final = "process_start_time_seconds"
INTERRUPTION_REASONS: Final = ("spot_interrupted", "SpotInterruptionKind")
"""What Karpenter calls an interruption of a node of its own: since 1.0, and before."""

MAX_LINE_BYTES: Final = 4096
MAX_SERIES: Final = 60_000
"""Lines of one scrape that are kept; AWS's 850 types in four zones make 22,000."""

_LABEL: Final = re.compile(rb'(\w+)="([^"\\]*)"')
_WANTED: Final = (
    *(f"{name}{{".encode() for name in (AVAILABLE, PRICE, DISRUPTED)),
    f"{STARTED} ".encode(),
)

Key = tuple[Offering, CapacityType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """What one scrape says.

    Attributes:
        available: whether an offering can be launched on Spot, as Karpenter sees it.
        spot: Spot prices, USD per hour; never zero.
        on_demand: on-demand prices, USD per hour; never zero.
        n_interrupted: Spot nodes that were interrupted since the process began, None where none was
            or this is not counted.
        started_at: when the process began, None where it does not say.
        price_digest: a checksum over all Spot prices, which changes when any of them does.
    """

    available: Mapping[Offering, bool] = field(default_factory=dict)
    spot: Mapping[Offering, float] = field(default_factory=dict)
    on_demand: Mapping[Offering, float] = field(default_factory=dict)
    n_interrupted: float | None = None
    started_at: float | None = None
    price_digest: int = 0


class ScrapeParser:
    """Takes one scrape in chunks.

    Args:
        known: labels that were read before, as text; it is added to, so that the next scrape, whose
            labels are the same, is read faster.
    """

    def __init__(self, known: dict[bytes, Key | None]) -> None:
        self._known = known
        self._rest = b""
        self._available: dict[Offering, bool] = {}
        self._prices: dict[CapacityType, dict[Offering, float]] = {
            CapacityType.SPOT: {},
            CapacityType.ON_DEMAND: {},
        }
        self._n_interrupted: float | None = None
        self._started_at: float | None = None
        self._digest = 0
        self._n_series = 0

    def feed(self, chunk: bytes) -> None:
        """Take some more of the text; what is cut at its end waits for the next."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(_WANTED):
                self._take(line)
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = b"#"  # what follows up to the end of the line is a comment now

    def finish(self) -> Scrape:
        """Return what was said."""
        self.feed(b"\n")
        return Scrape(
            available=self._available,
            spot=self._prices[CapacityType.SPOT],
            on_demand=self._prices[CapacityType.ON_DEMAND],
            n_interrupted=self._n_interrupted,
            started_at=self._started_at,
            price_digest=self._digest,
        )

    def _take(self, line: bytes) -> None:
        head, _, text = line.partition(b"} ") if b"{" in line else line.partition(b" ")
        name, _, labels = head.partition(b"{")
        value = _number(text)
        if value is None:
            return
        if name == STARTED.encode():
            self._started_at = value
        elif name == DISRUPTED.encode():
            self._take_count(labels, value)
        else:
            self._take_gauge(name.decode(), labels, value)

    def _take_count(self, labels: bytes, value: float) -> None:
        said = dict(_LABEL.findall(labels))
        reason, kind = said.get(b"reason", b""), said.get(b"capacity_type", b"")
        if reason.decode() in INTERRUPTION_REASONS and kind == b"spot":
            self._n_interrupted = (self._n_interrupted or 0.0) + value

    def _take_gauge(self, gauge: str, labels: bytes, value: float) -> None:
        if self._n_series >= MAX_SERIES:
            return
        key = self._key(labels)
        if key is None:
            return
        self._n_series += 1
        offering, kind = key
        if gauge == AVAILABLE:
            if kind is CapacityType.SPOT:
                self._available[offering] = value > 0.0
        elif value > 0.0:
            self._prices[kind][offering] = value
            if kind is CapacityType.SPOT:
                self._digest = zlib.crc32(b"%s %r" % (labels, value), self._digest)

    def _key(self, labels: bytes) -> Key | None:
        """Return what labels name; None where they name nothing that can be launched by price."""
        if labels in self._known:
            return self._known[labels]
        said = {
            name.decode(): text.decode("utf-8", "replace") for name, text in _LABEL.findall(labels)
        }
        kinds = {"spot": CapacityType.SPOT, "on-demand": CapacityType.ON_DEMAND}
        kind = kinds.get(said.get("capacity_type", ""))
        instance_type, zone = said.get("instance_type", ""), said.get("zone", "")
        key = None
        if kind is not None and instance_type and zone:
            key = Offering(instance_type=instance_type, zone=zone), kind
        if len(self._known) < 2 * MAX_SERIES:
            self._known[labels] = key
        return key


def _number(text: bytes) -> float | None:
    """Read a value; a time stamp may follow it."""
    try:
        value = float(text.split(b" ", 1)[0])
    except ValueError:
        return None
    return value if math.isfinite(value) else None
