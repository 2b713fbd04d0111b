"""A scripted risk: the real daemon proposes to leave Spot under stress, and to return in calm."""

import time
from pathlib import Path

import pytest

from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon
from tests.witness.market import CALM, EMERGENCY, HIGH, MEDIUM, price_for, write_scripted_risk
from tests.witness.recording import Recording

STAGE_MARKET = {"instance_types": ("m5.xlarge",), "zones": ("us-east-1a",)}


def proposal(daemon: Daemon) -> str:
    """Return what the daemon proposes for the pool now."""
    return str(daemon.pools()["web"]["proposal"])


@pytest.mark.controlplane
def test_a_running_daemon_follows_the_script(stage, tmp_path: Path):
    began = time.time()
    script = [(0.0, CALM), (25.0, MEDIUM), (33.0, EMERGENCY), (41.0, CALM)]
    variables = write_scripted_risk(tmp_path, script, start=began, **STAGE_MARKET)
    variables["KUBECONFIG"] = str(stage.plane.kubeconfig("replica-a"))
    with Recording(stage.plane) as recording, Daemon(tmp_path, variables) as daemon:
        daemon.wait_ready(timeout=24)
        seen = []
        for wanted in ("INCREASE", "DECREASE_10", "EMERGENCY_EXIT", "INCREASE"):
            wait_until(lambda w=wanted: proposal(daemon).startswith(w), timeout=30)
            seen.append(time.time() - began)
    assert seen[0] < 25.0 <= seen[1] < 33.0 <= seen[2] < 41.0 <= seen[3]
    assert recording.breaches(shadow=True) == []


def test_scores_have_prices_below_on_demand_in_rising_order():
    prices = [price_for(score) for score in (CALM, MEDIUM, HIGH, EMERGENCY)]
    assert prices == sorted(prices)
    # Above the least discount at calm, and never above on-demand.
    assert 0.0 < prices[0] < 0.85 * 0.2
    assert prices[-1] < 0.2
