"""Fetch a region's on-demand prices from the Price List API, as the table that ships.

Comes in: regions, and what the AWS library finds of credentials (`AWS_*`; one right is needed,
pricing:GetProducts). Goes out: `spotvortex/market/on_demand_REGION.json` for each, with the date,
the source and the currency inside. A list that is too short to be whole is not written.

    python -m scripts.price_table.fetch REGION...
"""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from spotvortex.aio import retried
from spotvortex.aws.on_demand_prices import open_list_prices
from spotvortex.errors import SpotVortexError
from spotvortex.market.asked_types import RETRIES
from spotvortex.market.last_resort import name_of

TARGET: Final = Path("spotvortex/market")

LEAST_TYPES: Final = 100
"""Every commercial region sells more; fewer are a part of the list."""


async def table_of(region: str, date: str, least: int = LEAST_TYPES) -> dict[str, object]:
    """Return the table of one region.

    Raises:
        PriceSourceError: the list could not be had.
        SystemExit: it holds fewer types than can be right.
    """
    async with open_list_prices(region) as client:
        prices = await retried(client.all_prices, RETRIES, Random())
    if len(prices) < least:
        raise SystemExit(f"{region}: {len(prices)} types, at least {least} are expected")
    return {
        "date": date,
        "source": f"AWS Price List Query API, GetProducts, {date}",
        "currency": "USD",
        "unit": "per hour, Linux, on-demand",
        "region": region,
        "prices": dict(sorted(prices.items())),
    }


def main(arguments: list[str] | None = None) -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("regions", nargs="+", metavar="REGION")
    parser.add_argument("--out", type=Path, default=TARGET, help="the folder of the tables")
    parser.add_argument("--least", type=int, default=LEAST_TYPES, help="fewest types of a list")
    options = parser.parse_args(arguments)
    date = datetime.now(UTC).date().isoformat()
    for region in options.regions:
        try:
            table = asyncio.run(table_of(region, date, options.least))
        except SpotVortexError as error:
            raise SystemExit(f"{region}: {error}") from error
        path = options.out / name_of(region)
        path.write_text(json.dumps(table, indent=0) + "\n")
        print(f"{path}: {path.stat().st_size} bytes, {table['source']}")


if __name__ == "__main__":
    main()
