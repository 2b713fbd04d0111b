"""Prices written as a price file.

Comes in: Spot price changes and on-demand prices of one region. Goes out: a file in the form of
`docs/price-file.md`, there whole or not at all: written beside, read back, then renamed. May not
judge a price: what the file's reader refuses is refused here.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from spotvortex.errors import PriceFileError, in_words
from spotvortex.market.price_file import read_price_file
from spotvortex.ports.prices import SpotPriceRecord


def write_price_file(
    path: Path, spot: Iterable[SpotPriceRecord], on_demand: Mapping[str, float], region: str
) -> None:
    """Write a price file.

    Args:
        path: where; what ends in `.gz` is compressed.
        spot: changes of Spot prices, in any order; the same one twice is written once.
        on_demand: on-demand prices in USD per hour, by instance type.
        region: the region of these.

    Raises:
        PriceFileError: it cannot be written, or would not be read.
    """
    text = "".join(f"{json.dumps(row)}\n" for row in _rows(spot, on_demand, region)).encode()
    if not text:
        raise PriceFileError(f"{path}: there is no price to write; see region and types.")
    # The same suffixes, since they say how it is read.
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        # Without the time of day, the same prices make the same file.
        beside.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
        read_price_file(beside)
        beside.replace(path)
    except OSError as error:
        fix = "name a file in a folder that can be written"
        raise PriceFileError(f"{path}: {in_words(error)}; {fix}.") from error
    finally:
        beside.unlink(missing_ok=True)


def _rows(
    spot: Iterable[SpotPriceRecord], on_demand: Mapping[str, float], region: str
) -> Iterator[dict[str, object]]:
    for instance_type, price in sorted(on_demand.items()):
        yield {"InstanceType": instance_type, "Region": region, "OnDemandPrice": price}
    changes = {(r.offering, r.at, r.usd_per_hour) for r in spot}
    for offering, at, price in sorted(changes):
        yield {
            "InstanceType": offering.instance_type,
            "AvailabilityZone": offering.zone,
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": price,
            "Timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
        }
