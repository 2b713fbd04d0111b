"""What the training samples hold: what a tenant saw, and what became of its nodes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from scripts.train.dataset import STEP_S, live_through, samples_of
from scripts.train.samples import read_samples
from scripts.train.series import Market, read_markets
from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.counts import CapacityCounts

OFFERING = Offering(instance_type="p3.2xlarge", zone="us-east-1a")
START = 1_700_000_000.0
DAY = 86_400.0


def market(*changes: tuple[float, int], days: float = 4.0) -> Market:
    times, values = zip(*changes, strict=True)
    counts = CapacityCounts(times=tuple(START + h * 3600.0 for h in times), values=values)
    return Market(name="made", counts={OFFERING: counts}, start_at=START, end_at=START + days * DAY)


def test_tenant_holds_no_more_than_there_is_and_loses_what_is_taken() -> None:
    taken = market((0.0, 4), (30.0, 1), (50.0, 0), (60.0, 4))
    for at, (tenant,) in live_through(taken, seed=1, replica=2):
        assert tenant.held <= taken.counts[OFFERING].at(at)
        if at >= START + 60.0 * 3600.0:
            break
    assert tenant.known.losses > 0.0
    assert tenant.known.refusals > 0.0


def test_capacity_that_the_tenant_does_not_hold_reaches_no_feature() -> None:
    just_enough = market((0.0, 16), (40.0, 16), (70.0, 16))
    plenty = market((0.0, 400), (40.0, 17), (70.0, 999))
    seen = [samples_of([m], seed=3, replicas=2) for m in (just_enough, plenty)]
    np.testing.assert_array_equal(seen[0]["x"], seen[1]["x"])


def test_label_is_the_ten_minutes_in_which_the_node_went() -> None:
    lost_at = START + 48.0 * 3600.0
    arrays = samples_of([market((0.0, 1), (48.0, 0), (49.0, 1))], seed=1, replicas=3)
    before = (arrays["at"] < lost_at) & (arrays["at"] > lost_at - 7000.0)
    assert before.any()
    steps = ((lost_at - arrays["at"][before]) // 600.0).astype(int)
    assert arrays["lost_step"][before].tolist() == steps.tolist()
    after = (arrays["at"] > lost_at + 3600.0) | (arrays["at"] < lost_at - 7200.0)
    assert (arrays["lost_step"][after] == 12).all()


def test_of_the_end_of_a_record_only_what_is_known_counts() -> None:
    arrays = samples_of([market((0.0, 1))], seed=1, replicas=1)
    left = (START + 4 * DAY - arrays["at"]) // 600.0
    assert arrays["n_known"].tolist() == np.minimum(left, 12).astype(int).tolist()


def test_same_seed_gives_the_same_samples() -> None:
    record = market((0.0, 4), (30.0, 1), (60.0, 4))
    one, other, third = (samples_of([record], seed=seed, replicas=1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["x"], other["x"])
    assert len(one["x"]) != len(third["x"]) or not np.array_equal(
        one["x"], third["x"], equal_nan=True
    )


def test_uses_are_divided_by_time_with_a_gap_between(tmp_path: Path) -> None:
    arrays = samples_of([market((0.0, 2), (30.0, 1), days=20.0)], seed=1, replicas=1)
    np.savez(tmp_path / "data.npz", **arrays, sources=np.array("{}"))
    samples = read_samples(tmp_path / "data.npz")
    used = [samples.fit, samples.tune, samples.validate]
    assert (np.sum(used, axis=0) <= 1).all()
    ends = [samples.at[u].max() for u in used[:2]]
    starts = [samples.at[u].min() for u in used[1:]]
    assert all(b - a >= 7200.0 - STEP_S for a, b in zip(ends, starts, strict=True))


def test_every_form_of_trace_is_read(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    series = {"metadata": {"gap_seconds": 600, "source": "a/aws-04-19-2023/x.json"}, "data": [1, 0]}
    for name in ("us-east-1a_v100_1", "us-east-1b_v100_1"):
        (tmp_path / "json" / f"{name}.json").write_text(json.dumps(series))
    (tmp_path / "own.csv").write_text(
        "timestamp,instance_type,zone,count\n"
        "2026-11-20T12:00:00Z,m6i.large,us-east-1a,20\n"
        "2026-11-20T13:00:00Z,m6i.large,us-east-1a,7\n"
    )
    with gzip.open(tmp_path / "launch_counts_dev.csv.gz", "wt") as file:
        file.write("scheduled_at,zone,requested,created\n2025-10-03T17:10:00-07:00,asia-a,16,9\n")
    read = {m.name: m for m in read_markets(tmp_path)}
    assert set(read) == {"json", "own", "h100-counts"}
    assert len(read["json"].counts) == 2


def test_folder_without_traces_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no capacity trace"):
        read_markets(tmp_path)
