"""The embedded default: what `make run` starts."""

import re
import signal
from pathlib import Path

import pytest

from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon
from tests.model.bundles import without_networks

pytestmark = pytest.mark.program

PAGES = ("/healthz", "/readyz", "/metrics", "/decisions", "/pools", "/console")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_embedded_default_decides_serves_and_stops(number: signal.Signals, tmp_path: Path):
    variables = {"SPOTVORTEX_TICK_S": "30"}
    with Daemon(tmp_path, variables, "--simulated") as daemon:
        daemon.wait_ready()
        for page in PAGES:
            assert daemon.get(page)[0] == 200, page
        pools = daemon.pools()
        assert len(pools) >= 4
        # The first waves ask for room before anything goes: 61 nodes become 72 for a minute.
        assert 50 <= sum(sum(p["nodes"].values()) for p in pools.values()) <= 80
        first = daemon.get("/decisions?limit=1")[1]["decisions"][0]
        assert daemon.get(f"/decisions/{first['id']}")[1]["id"] == first["id"]
        wait_until(lambda: daemon.metric("spotvortex_cycles_total") >= 5, timeout=60)
        assert daemon.stop(number) == 0
    assert any(record["action"] == "HOLD" for record in daemon.records())
    assert "Traceback" not in daemon.log_path.read_text()


def test_without_a_log_decisions_are_lines_for_a_person_on_the_terminal(tmp_path: Path):
    variables = {"SPOTVORTEX_TICK_S": "30", "SPOTVORTEX_DECISION_LOG": ""}
    variables["SPOTVORTEX_STATE_DIR"] = str(tmp_path / "state")
    with Daemon(tmp_path, variables, "--simulated") as daemon:
        daemon.wait_ready()
        line = re.compile(r"^\d\d:\d\d:\d\d web +[A-Z]+[A-Z_0-9]* +spot \d+/\d+ ", re.MULTILINE)
        wait_until(lambda: line.search(daemon.log_path.read_text()), timeout=60)
        assert daemon.stop() == 0
    assert not daemon.records_path.exists()
    assert (
        "WARNING simulation.ignores variables=SPOTVORTEX_STATE_DIR" in daemon.log_path.read_text()
    )


def test_the_simulated_cluster_falls_back_and_is_shown_beside_its_twin(tmp_path: Path):
    """Without a mode it is moved; the famine of Spot begins after 75 simulated minutes."""
    done = 'spotvortex_drains_total{end="done",mode="active"}'
    with Daemon(tmp_path, {"SPOTVORTEX_TICK_S": "30"}, "--simulated", "--speed", "240") as daemon:
        daemon.wait_ready()
        wait_until(lambda: done in daemon.get("/metrics")[1], timeout=90)
        wait_until(lambda: any(r["n_nodes"] for r in daemon.records()), timeout=90)
        famine = "sim.story market=famine next=calm at=11:45"
        wait_until(lambda: famine in daemon.log_path.read_text(), timeout=90)
        _, page = daemon.get("/console")
        assert daemon.stop() == 0
    log = daemon.log_path.read_text()
    assert "mode=active" in log
    assert "sim.story market=calm next=famine at=10:15" in log
    lost = [line for line in log.splitlines() if "sim.node_lost" in line]
    assert {line.partition(" under=")[2] for line in lost} <= {"SpotVortex", '"Karpenter alone"'}
    for cluster in ("SpotVortex", "Karpenter alone"):
        assert re.search(rf'<th scope="row"[^>]*>{cluster}</th>', page)


def test_in_shadow_no_node_of_the_simulated_cluster_is_moved(tmp_path: Path):
    variables = {"SPOTVORTEX_TICK_S": "30", "SPOTVORTEX_MODE": "shadow"}
    with Daemon(tmp_path, variables, "--simulated", "--speed", "240") as daemon:
        daemon.wait_ready()
        wait_until(lambda: daemon.metric("spotvortex_cycles_total") >= 20, timeout=60)
        assert "spotvortex_calls_total{" not in daemon.get("/metrics")[1]
        assert daemon.stop() == 0
    assert "mode=shadow" in daemon.log_path.read_text()


def test_an_unknown_variable_stops_the_start_and_names_the_nearest(tmp_path: Path):
    with Daemon(tmp_path, {"SPOTVORTEX_TICKS_S": "3"}, "--simulated") as daemon:
        assert daemon.process is not None
        assert daemon.process.wait(60) == 2
    assert "did you mean SPOTVORTEX_TICK_S?" in daemon.log_path.read_text()


def test_the_learned_policy_without_a_bundle_that_has_one_stops_the_start(tmp_path: Path):
    with Daemon(
        tmp_path,
        {"SPOTVORTEX_POLICY_MODE": "rl", "SPOTVORTEX_MODEL_DIR": str(without_networks(tmp_path))},
        "--simulated",
    ) as daemon:
        assert daemon.process is not None
        assert daemon.process.wait(60) == 2
    said = daemon.log_path.read_text()
    assert "no learned policy" in said
    assert "unset SPOTVORTEX_POLICY_MODE" in said
