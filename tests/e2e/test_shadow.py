"""The main job on real parts: the daemon in shadow mode beside a real API server."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from spotvortex.core.domain.types import Blocker, GateName
from spotvortex.core.record.checkpoint import is_checkpoint
from spotvortex.core.record.record import read_record
from spotvortex.core.record.replay import replay
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.e2e.conftest import USER
from tests.e2e.equipment import scene
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.equipment.otlp import TraceReceiver
from tests.e2e.equipment.prices import write_price_file

pytestmark = pytest.mark.controlplane

N_TICKS = 20


@dataclass(frozen=True)
class Run:
    """What a finished run of the daemon left behind."""

    events: list
    daemon: Daemon
    traces: TraceReceiver
    n_cycles: int
    exit_code: int
    pools: dict
    decisions: list
    metrics: str


@pytest.fixture(scope="module")
def run(shop: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder: Path = tmp_path_factory.mktemp("shadow")
    # Other tests of the session act as the same user.
    n_before = len(shop.audit_events(USER))
    with TraceReceiver() as traces:
        variables = {
            "KUBECONFIG": str(shop.kubeconfig(USER)),
            "SPOTVORTEX_PRICE_FILE": str(write_price_file(folder / "prices.jsonl")),
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        with Daemon(folder, variables) as daemon:
            daemon.wait_ready()
            wait_until(lambda: daemon.metric("spotvortex_cycles_total") >= N_TICKS, timeout=120)
            pools = daemon.pools()
            decisions = daemon.get("/decisions?limit=1000")[1]["decisions"]
            metrics = daemon.get("/metrics")[1]
            exit_code = daemon.stop(signal.SIGTERM)
        n_cycles = sum(1 for span in traces.spans if span.name == "cycle")
        events = shop.audit_events(USER)[n_before:]
        yield Run(events, daemon, traces, n_cycles, exit_code, pools, decisions, metrics)


def test_every_pool_gets_a_decision_with_every_gates_verdict(run: Run):
    assert set(scene.POOLS) <= set(run.pools)
    for pool in scene.POOLS:
        records = [r for r in run.daemon.records() if r["pool"] == pool]
        assert records, f"no record for {pool}"
        for record in records:
            assert [verdict[0] for verdict in record["verdicts"]] == list(GateName)
            assert all(verdict[2] for verdict in record["verdicts"])


def test_pools_are_found_by_each_of_the_three_kinds_of_label(run: Run):
    counts = {name: pool["nodes"] for name, pool in run.pools.items() if name in scene.POOLS}
    assert counts["web"]["spot"] == 6
    assert counts["web"]["on_demand"] == 4
    assert counts["api"]["spot"] == 3
    assert counts["api"]["on_demand"] == 3
    assert counts["batch"]["on_demand"] == 4


def test_there_is_one_trace_a_cycle_with_one_span_a_decision_and_gates_as_events(run: Run):
    traces = run.traces.by_trace()
    assert run.n_cycles >= N_TICKS
    assert len(traces) == run.n_cycles
    for spans in traces.values():
        names = [span.name for span in spans]
        assert names.count("cycle") == 1
        decided = [s for s in spans if s.name == "decide"]
        assert {s.attributes["spotvortex.pool"] for s in decided} >= set(scene.POOLS)
        assert all(s.events == tuple(GateName) for s in decided)
        (assessed,) = (s for s in spans if s.name == "assess")
        assert all(s.began_ns >= assessed.ended_ns for s in decided)


def test_the_api_server_saw_nothing_but_reading_from_us(run: Run):
    assert len(run.events) > 10
    assert {event["verb"] for event in run.events} <= {"get", "list", "watch"}


def test_the_records_are_a_chain(run: Run):
    records = run.daemon.records()
    for before, record in pairwise(records):
        assert record["previous"] == before["digest"]


def test_the_server_shows_records_and_metrics(run: Run):
    assert {d["pool"] for d in run.decisions} >= set(scene.POOLS)
    assert 'spotvortex_spot_ratio_current{pool="web"} 0.6' in run.metrics
    assert 'spotvortex_input_ok{input="pods"} 1' in run.metrics
    assert 'spotvortex_nodes{capacity_type="spot",pool="web"} 6' in run.metrics


def record_lines(run: Run) -> list[str]:
    lines = run.daemon.records_path.read_text().splitlines()
    return [line for line in lines if not is_checkpoint(line)]


def test_a_single_replica_keeps_its_node_where_it_is(run: Run):
    lines = record_lines(run)
    pools = [read_record(line).basis.pool for line in lines]
    batch = next(pool for pool in pools if pool.pool == "batch")
    assert dict(batch.blocked)[Blocker.SINGLE_REPLICA] == 1


def test_every_record_is_made_again_to_the_byte(run: Run):
    lines = record_lines(run)
    assert lines
    assert all(replay(line).same for line in lines)


def test_sigterm_ends_the_daemon_in_order(run: Run):
    assert run.exit_code == 0
    log = run.daemon.log_path.read_text()
    assert "daemon.stopped" in log
    assert "Traceback" not in log
