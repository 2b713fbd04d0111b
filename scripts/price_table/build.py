"""Build the on-demand price table that ships with the product.

Comes in: a CSV of AWS's public on-demand prices (columns date, commit, region, type, od) as
compiled in Karpenter's source. Goes out: `spotvortex/market/on_demand_us_east_1.json` with the
date, the source and the currency inside.

    python -m scripts.price_table.build CSV
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Final

TARGET: Final = Path("spotvortex/market/on_demand_us_east_1.json")
REGION: Final = "us-east-1"


def build_table(csv_path: Path) -> dict[str, object]:
    """Return the table of one CSV; all its rows must be of one date, commit and region."""
    with csv_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    origins = {(row["date"], row["commit"], row["region"]) for row in rows}
    if len(origins) != 1:
        raise SystemExit(f"{csv_path}: one date, commit and region is needed, found {origins}")
    date, commit, region = origins.pop()
    if region != REGION:
        raise SystemExit(f"{csv_path}: prices of {REGION} are needed, found {region}")
    return {
        "date": date,
        "source": f"aws/karpenter-provider-aws price tables, commit {commit}, {date}, Apache-2.0",
        "currency": "USD",
        "unit": "per hour, Linux, on-demand",
        "region": region,
        "prices": {row["type"]: float(row["od"]) for row in sorted(rows, key=lambda r: r["type"])},
    }


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    table = build_table(options.csv)
    options.out.write_text(json.dumps(table, indent=0) + "\n")
    print(f"{options.out}: {options.out.stat().st_size} bytes, {table['source']}")


if __name__ == "__main__":
    main()
