from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from scripts.price_table.build import build_table
from spotvortex.market.last_resort import PriceTable

HEAD = "date,commit,region,type,od\n"


def test_table_is_built_from_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "od.csv"
    path.write_text(
        HEAD + "2026-07-20,abc,us-east-1,m5.large,0.096\n2026-07-20,abc,us-east-1,c5.large,0.085\n"
    )
    table = msgspec.json.decode(json.dumps(build_table(path)), type=PriceTable)
    assert list(table.prices.items()) == [("c5.large", 0.085), ("m5.large", 0.096)]
    assert table.source == (
        "aws/karpenter-provider-aws price tables, commit abc, 2026-07-20, Apache-2.0"
    )


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1\n2026-07-21,abc,us-east-1"])
def test_other_region_or_mixed_dates_are_refused(tmp_path: Path, region: str) -> None:
    path = tmp_path / "od.csv"
    rows = "\n".join(f"{row},m5.large,0.1" for row in f"2026-07-20,abc,{region}".split("\n"))
    path.write_text(HEAD + rows + "\n")
    with pytest.raises(SystemExit):
        build_table(path)
