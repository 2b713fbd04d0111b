"""The price file as records.

Comes in: JSON Lines, plain or gzip, as documented in `docs/price-file.md`. Goes out: spot price
changes by offering and on-demand prices by type and region, checked. May not repair a record: the
first one that cannot be read ends the reading, with file, line, field and fix.
"""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceFileError, in_words

MAX_USD_PER_HOUR: Final = 1000.0
"""No instance costs as much; a higher figure is in another unit."""

MAX_RECORDS: Final = 5_000_000
MAX_LINE_BYTES: Final = 64 * 1024
_LINUX: Final = "Linux/UNIX"


class _Line(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    """Any record; which fields must be there depends on its kind. Other fields are ignored."""

    instance_type: str
    availability_zone: str | None = None
    product_description: str | None = None
    spot_price: str | float | None = None
    timestamp: datetime | None = None
    region: str | None = None
    on_demand_price: str | float | None = None


@dataclass(frozen=True, slots=True)
class SpotChanges:
    """Price changes of one offering in the order of the file: epoch seconds and USD per hour."""

    times: array[float] = field(default_factory=lambda: array("d"))
    prices: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRecords:
    """What a price file holds.

    Attributes:
        spot: the price changes of each offering.
        on_demand: on-demand prices in USD per hour, by instance type and region.
        n_ignored: Spot records of another product than Linux.
    """

    spot: Mapping[Offering, SpotChanges]
    on_demand: Mapping[tuple[str, str], float]
    n_ignored: int = 0
    """Spot records of other products than Linux."""


class _BadRecordError(Exception):
    """What is wrong with one line, without its place."""


def read_price_file(path: Path) -> PriceRecords:
    """Read a price file.

    Args:
        path: a `.jsonl` or `.jsonl.gz` file.

    Raises:
        PriceFileError: it cannot be read; the text names file, line, field and fix.
    """
    reader = _Reader()
    try:
        with _open(path) as file:
            for text in iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""):
                reader.take(text)
    except _BadRecordError as error:
        raise PriceFileError(f"{path.name}, line {reader.n_lines}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PriceFileError(
            f"{path.name}, line {reader.n_lines}: {error}. Write one JSON record a line, with the "
            "fields of docs/price-file.md."
        ) from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise PriceFileError(
            f"{path}: cannot be read ({in_words(error)}). "
            "Give the path of a .jsonl or .jsonl.gz file."
        ) from error
    if not reader.spot and not reader.on_demand:
        raise PriceFileError(
            f"{path.name}: the file holds no usable record in {reader.n_lines} lines, "
            f"{reader.n_ignored} were ignored; write spot records of {_LINUX}, or on-demand ones "
            "(see docs/price-file.md)."
        )
    return PriceRecords(spot=reader.spot, on_demand=reader.on_demand, n_ignored=reader.n_ignored)


class _Reader:
    """Collects records; raises `_BadRecordError` at the first that is not what it should be."""

    def __init__(self) -> None:
        self.spot: dict[Offering, SpotChanges] = {}
        self.on_demand: dict[tuple[str, str], float] = {}
        self.n_lines = 0
        self.n_ignored = 0
        self._decode = msgspec.json.Decoder(_Line).decode

    def take(self, text: bytes) -> None:
        """Take one line; an empty one is skipped."""
        self.n_lines += 1
        if self.n_lines > MAX_RECORDS or len(text) > MAX_LINE_BYTES:
            raise _BadRecordError(
                f"is beyond {MAX_RECORDS} lines or longer than {MAX_LINE_BYTES} bytes; "
                "write one record a line, and only the last weeks."
            )
        if not text.strip():
            return
        line = self._decode(text)
        if not line.instance_type:
            raise _BadRecordError("InstanceType is empty; give one such as m6i.large.")
        if line.spot_price is not None:
            self._take_spot(line, _price("SpotPrice", line.spot_price))
        elif line.on_demand_price is not None:
            self._take_on_demand(line, _price("OnDemandPrice", line.on_demand_price))
        else:
            raise _BadRecordError("has neither SpotPrice nor OnDemandPrice; give one of them.")

    def _take_spot(self, line: _Line, price: float) -> None:
        if not _needed("ProductDescription", line.product_description).startswith(_LINUX):
            self.n_ignored += 1
            return
        zone = _needed("AvailabilityZone", line.availability_zone)
        if not region_of(zone):
            raise _BadRecordError(f"AvailabilityZone is {zone!r}; give one such as us-east-1a.")
        if line.timestamp is None or line.timestamp.tzinfo is None:
            raise _BadRecordError(
                "Timestamp is missing or has no time zone; give one such as 2026-11-20T12:00:00Z."
            )
        offering = Offering(instance_type=line.instance_type, zone=zone)
        changes = self.spot.setdefault(offering, SpotChanges())
        changes.times.append(line.timestamp.timestamp())
        changes.prices.append(price)

    def _take_on_demand(self, line: _Line, price: float) -> None:
        key = (line.instance_type, _needed("Region", line.region))
        if self.on_demand.setdefault(key, price) != price:
            raise _BadRecordError(
                f"OnDemandPrice of {key[0]} in {key[1]} is given twice, as {self.on_demand[key]} "
                f"and {price}; keep one."
            )


def _price(name: str, value: str | float) -> float:
    try:
        price = float(value)
    except ValueError:
        price = 0.0
    if not 0.0 < price <= MAX_USD_PER_HOUR:
        raise _BadRecordError(
            f"{name} is {value!r}; give US dollars per hour, above 0 and at most "
            f"{MAX_USD_PER_HOUR:g}."
        )
    return price


def _needed(name: str, value: str | None) -> str:
    if not value:
        raise _BadRecordError(f"{name} is missing; give it (see docs/price-file.md).")
    return value


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
