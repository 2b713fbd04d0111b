from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotvortex.errors import PriceFileError
from spotvortex.market.price_file import read_price_file
from tests.examples import examples
from tests.market.records import M5_A, T0, on_demand_record, spot_record, write_file


@pytest.mark.parametrize("name", ["prices.jsonl", "prices.jsonl.gz"])
def test_both_kinds_of_record_are_read(tmp_path: Path, name: str) -> None:
    path = write_file(
        tmp_path / name,
        [spot_record(T0, "0.0312"), spot_record(T0 + 9, 0.04), on_demand_record(0.096)],
    )
    records = read_price_file(path)
    assert list(records.spot[M5_A].times) == [T0, T0 + 9]
    assert list(records.spot[M5_A].prices) == [0.0312, 0.04]
    assert records.on_demand == {("m5.large", "us-east-1"): 0.096}


def test_other_products_are_ignored_and_counted(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "p.jsonl",
        [
            spot_record(T0, 0.1, ProductDescription="Windows"),
            spot_record(T0, 0.2, ProductDescription="Linux/UNIX (Amazon VPC)"),
        ],
    )
    records = read_price_file(path)
    assert records.n_ignored == 1
    assert list(records.spot[M5_A].prices) == [0.2]


def test_empty_lines_and_further_fields_do_not_matter(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.1, AvailabilityZoneId="use1-az4")])
    path.write_bytes(b"\n  \n" + path.read_bytes() + b"\n")
    assert list(read_price_file(path).spot[M5_A].prices) == [0.1]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({}, "InstanceType"),
        (spot_record(T0, 0.1, InstanceType=""), "InstanceType"),
        ({"InstanceType": "m5.large"}, "neither SpotPrice nor OnDemandPrice"),
        (spot_record(T0, "cheap"), "SpotPrice is 'cheap'"),
        (spot_record(T0, 0), "SpotPrice is 0"),
        (spot_record(T0, -0.1), "SpotPrice is -0.1"),
        (spot_record(T0, "NaN"), "SpotPrice is 'NaN'"),
        (spot_record(T0, "inf"), "SpotPrice is 'inf'"),
        (spot_record(T0, 1000.1), "SpotPrice is 1000.1"),
        (spot_record(T0, True), "SpotPrice"),
        (spot_record(T0, 0.1, ProductDescription=None), "ProductDescription is missing"),
        (spot_record(T0, 0.1, AvailabilityZone=None), "AvailabilityZone is missing"),
        (spot_record(T0, 0.1, AvailabilityZone="us-east-1"), "AvailabilityZone is 'us-east-1'"),
        (spot_record(T0, 0.1, Timestamp=None), "Timestamp is missing"),
        (spot_record(T0, 0.1, Timestamp="2026-11-20T12:00:00"), "no time zone"),
        (spot_record(T0, 0.1, Timestamp="yesterday"), "Timestamp"),
        (on_demand_record(0.1, Region=""), "Region is missing"),
        (on_demand_record(-1), "OnDemandPrice is -1"),
        (on_demand_record(0.5), "given twice"),
    ],
)
def test_bad_record_is_refused_with_its_line_and_field(
    tmp_path: Path, record: dict[str, object], told: str
) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.1), on_demand_record(0.096), record])
    with pytest.raises(PriceFileError) as caught:
        read_price_file(path)
    assert "p.jsonl, line 3" in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"\xff\xfe", b'{"InstanceType": "\xff"}', b" " * 70_000, b'{"a":' * 12_000],
)
def test_line_that_is_no_record_is_refused(tmp_path: Path, line: bytes) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.1)])
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(PriceFileError, match=r"p\.jsonl, line 2"):
        read_price_file(path)


def test_same_on_demand_price_twice_is_no_mistake(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [on_demand_record(0.096), on_demand_record("0.096")])
    assert len(read_price_file(path).on_demand) == 1


def test_file_without_a_usable_record_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 1, ProductDescription="Windows")])
    with pytest.raises(PriceFileError, match="1 were ignored"):
        read_price_file(path)


def test_empty_file_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match=r"p\.jsonl: .* in 0 lines, .* write spot records"):
        read_price_file(write_file(tmp_path / "p.jsonl", []))


@pytest.mark.parametrize("name", ["none.jsonl", "broken.jsonl.gz", "cut.jsonl.gz", "a\0b.jsonl"])
def test_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    whole = write_file(tmp_path / "cut.jsonl.gz", [spot_record(T0, 0.1)]).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-12])
    (tmp_path / "broken.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(PriceFileError, match="cannot be read"):
        read_price_file(tmp_path / name)


RECORDS = st.fixed_dictionaries(
    {"InstanceType": st.just("m5.large")},
    optional={
        name: st.sampled_from(["m5.large", "us-east-1a", "Linux/UNIX", "0.1", "1e400", "0" * 500])
        | st.sampled_from(["2026-11-20T12:00:00Z", "0001-01-01T00:00:00+14:00", 10**400, None])
        | st.floats()
        | st.text(max_size=5)
        for name in ("AvailabilityZone", "ProductDescription", "SpotPrice", "Timestamp")
    },
).map(lambda record: json.dumps(record).encode())


@settings(examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200) | st.lists(RECORDS, max_size=4).map(b"\n".join),
    st.sampled_from(["p.jsonl", "p.jsonl.gz", "whole.jsonl.gz"]),
)
def test_any_bytes_give_records_or_a_message(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.startswith("whole") else content)
    message = name
    try:
        assert read_price_file(path).spot is not None
    except PriceFileError as error:
        message = str(error)
    assert name in message
