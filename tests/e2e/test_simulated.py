"""The embedded default: what `make run` starts."""

import signal
from pathlib import Path

import pytest

from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon

pytestmark = pytest.mark.program

PAGES = ("/healthz", "/readyz", "/metrics", "/decisions", "/pools")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_embedded_default_decides_serves_and_stops(number: signal.Signals, tmp_path: Path):
    variables = {"SPOTVORTEX_TICK_S": "30"}
    with Daemon(tmp_path, variables, "--simulated") as daemon:
        daemon.wait_ready()
        for page in PAGES:
            assert daemon.get(page)[0] == 200, page
        pools = daemon.pools()
        assert len(pools) >= 4
        assert 50 <= sum(sum(p["nodes"].values()) for p in pools.values()) <= 70
        first = daemon.get("/decisions?limit=1")[1]["decisions"][0]
        assert daemon.get(f"/decisions/{first['id']}")[1]["id"] == first["id"]
        wait_until(lambda: daemon.metric("spotvortex_cycles_total") >= 5, timeout=60)
        assert daemon.stop(number) == 0
    lines = daemon.records_path.read_text().splitlines()
    assert any("HOLD" in line for line in lines)
    assert all(not line.startswith("{") for line in lines), "one readable line each"
    assert "Traceback" not in daemon.log_path.read_text()


def test_in_active_mode_nodes_of_the_simulated_cluster_are_moved(tmp_path: Path):
    """With the mode of the variable, as on a real cluster; shadow moves none (above)."""
    variables = {"SPOTVORTEX_TICK_S": "30", "SPOTVORTEX_MODE": "active"}
    with Daemon(tmp_path, variables, "--simulated", "--speed", "240") as daemon:
        daemon.wait_ready()
        before = n_spot(daemon)
        wait_until(lambda: n_spot(daemon) > before, timeout=60)
        moved = daemon.metric('spotvortex_drains_total{end="done",mode="active"}')
        assert moved >= 1
        assert daemon.stop() == 0
    assert "mode=active" in daemon.log_path.read_text()


def n_spot(daemon):
    return sum(pool["nodes"]["spot"] for pool in daemon.pools().values())


def test_an_unknown_variable_stops_the_start_and_names_the_nearest(tmp_path: Path):
    with Daemon(tmp_path, {"SPOTVORTEX_TICKS_S": "3"}, "--simulated") as daemon:
        assert daemon.process is not None
        assert daemon.process.wait(60) == 2
    assert "did you mean SPOTVORTEX_TICK_S?" in daemon.log_path.read_text()


def test_the_learned_policy_without_a_bundle_that_has_one_stops_the_start(tmp_path: Path):
    with Daemon(tmp_path, {"SPOTVORTEX_POLICY_MODE": "rl"}, "--simulated") as daemon:
        assert daemon.process is not None
        assert daemon.process.wait(60) == 2
    said = daemon.log_path.read_text()
    assert "no learned policy" in said
    assert "unset SPOTVORTEX_POLICY_MODE" in said
