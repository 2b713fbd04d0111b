"""Quantities in all their spellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.kube.api.quantities import cpu_milli, memory_bytes


@pytest.mark.parametrize(
    ("text", "milli"),
    [
        ("100m", 100),
        ("1", 1000),
        (2, 2000),
        (0.5, 500),
        ("0.1", 100),
        (".5", 500),
        ("1.", 1000),
        ("1500u", 2),
        ("1n", 1),
        ("2k", 2_000_000),
        ("1e3", 1_000_000),
        ("1E-3", 1),
        ("+3", 3000),
        ("0", 0),
    ],
)
def test_cpu_is_counted_in_thousandths_rounded_up(text, milli):
    assert cpu_milli(text) == milli


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("128Mi", 128 * 2**20),
        ("1Gi", 2**30),
        ("1.5Ki", 1536),
        ("1G", 10**9),
        ("1E", 10**18),
        ("1e2", 100),
        ("1Ei", 2**60),
        ("3Ti", 3 * 2**40),
        ("1Pi", 2**50),
        ("7M", 7 * 10**6),
        ("1T", 10**12),
        ("1P", 10**15),
        ("100m", 1),
        (1024, 1024),
        ("-1Ki", -1024),
        ("1e999", 2**63 - 1),
    ],
)
def test_memory_is_counted_in_bytes_rounded_up(text, size):
    assert memory_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "1 Gi", "1gi", "1Kim", "1e", "1e9999", "0x1", "1,5", "."]
)
def test_what_is_no_quantity_is_an_error(text):
    with pytest.raises(ValueError, match="not a quantity"):
        memory_bytes(text)


@given(st.integers(0, 2**62))
def test_whole_bytes_are_exact(size):
    assert memory_bytes(str(size)) == size
    assert memory_bytes(f"{size}000m") == size


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_a_value_error(text):
    try:
        found = cpu_milli(text)
    except ValueError:
        return
    assert isinstance(found, int)
