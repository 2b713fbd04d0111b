"""A scrape is read as a stream: what is wanted of it, however it is cut, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.market.karpenter import exposition
from spotvortex.market.karpenter.exposition import MAX_LINE_BYTES, Scrape, ScrapeParser
from tests.market.karpenter.metrics_text import Karpenter, offering

A, B = ("m5.large", "us-east-1a"), ("c5.xlarge", "us-east-1b")
KARPENTER = Karpenter(
    available={(*A, "spot"): 1, (*B, "spot"): 0, (*A, "on-demand"): 1, (*A, "reserved"): 0},
    prices={(*A, "spot"): 0.03, (*B, "spot"): 0.0, (*A, "on-demand"): 0.096, (*A, "reserved"): 0.0},
    interrupted={
        ("spot", "spot_interrupted"): 3,
        ("spot", "underutilized"): 7,
        ("on-demand", "spot_interrupted"): 1,
    },
)


def parsed(text, cuts=(), known=None):
    parser = ScrapeParser({} if known is None else known)
    for start, end in zip((0, *cuts), (*cuts, len(text)), strict=True):
        parser.feed(text[start:end])
    return parser.finish()


def test_of_33000_lines_only_offerings_interruptions_and_the_start_are_kept():
    found = parsed(KARPENTER.text())
    assert found.available == {offering(*A): True, offering(*B): False}
    assert found.spot == {offering(*A): 0.03}
    assert found.on_demand == {offering(*A): 0.096}
    assert found.n_interrupted == 3.0
    assert found.started_at == KARPENTER.started_at


@given(st.lists(st.integers(0, len(KARPENTER.text())), max_size=9).map(sorted))
def test_wherever_it_is_cut_it_says_the_same(cuts):
    assert parsed(KARPENTER.text(), cuts) == parsed(KARPENTER.text())


def test_the_checksum_changes_with_any_spot_price_and_with_nothing_else():
    first = parsed(KARPENTER.text()).price_digest
    other = Karpenter(**{**vars(KARPENTER), "available": {(*A, "spot"): 0}})
    assert parsed(other.text()).price_digest == first
    dearer = Karpenter(
        **{**vars(KARPENTER), "prices": KARPENTER.prices | {(*A, "on-demand"): 0.097}}
    )
    assert parsed(dearer.text()).price_digest == first
    moved = Karpenter(**{**vars(KARPENTER), "prices": KARPENTER.prices | {(*A, "spot"): 0.0301}})
    assert parsed(moved.text()).price_digest != first


def test_the_names_of_earlier_versions_count_too():
    labels = b'{reason="SpotInterruptionKind",capacity_type="spot"}'
    assert parsed(b"karpenter_nodeclaims_disrupted_total" + labels + b" 2").n_interrupted == 2.0


HEAD = b"karpenter_cloudprovider_instance_type_offering_price_estimate"
GOOD = HEAD + b'{capacity_type="spot",instance_type="m5.large",zone="us-east-1a"} '


@pytest.mark.parametrize(
    "line",
    [
        GOOD + b"NaN",
        GOOD + b"+Inf",
        GOOD + b"-1",
        GOOD + b"cheap",
        GOOD,
        HEAD + b'{capacity_type="spot",instance_type="m5.large"} 1',
        HEAD + b'{capacity_type="spot",instance_type="",zone="a"} 1',
        HEAD + b'{capacity_type="odd",instance_type="m5.large",zone="a"} 1',
        HEAD + b'{capacity_type="spot",instance_type="m5\\"large",zone="a"} 1',
        HEAD + b"{ 1",
        HEAD + b"{} 1",
        HEAD + b" 1",
        b"\xff\xfe",
        b"process_start_time_seconds soon",
    ],
)
def test_a_line_that_cannot_be_read_is_left_out_and_the_next_one_is_read(line):
    found = parsed(b"\n".join([line, GOOD.replace(b"1a", b"1b") + b"0.5 1784000000000"]))
    assert found.on_demand == {}
    assert dict(found.spot) == {offering("m5.large", "us-east-1b"): 0.5}


def test_an_endless_line_is_not_kept():
    parser = ScrapeParser({})
    for _ in range(100):
        parser.feed(GOOD + b" " * 60_000)
        assert len(parser._rest) <= MAX_LINE_BYTES
    assert parser.finish() == Scrape()


def test_series_are_bounded(monkeypatch):
    monkeypatch.setattr(exposition, "MAX_SERIES", 3)
    many = Karpenter(available={(f"m{i}.large", "us-east-1a", "spot"): 1 for i in range(9)})
    known = {}
    assert len(parsed(many.text(), known=known).available) == 3
    assert len(known) <= 6


def test_labels_that_were_read_before_are_not_read_again():
    known = {}
    first = parsed(KARPENTER.text(), known=known)
    n_known = len(known)
    assert parsed(KARPENTER.text(), known=known) == first
    assert len(known) == n_known
