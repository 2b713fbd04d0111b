"""New prices and commitments count while the daemon runs, and where they are bad the old ones do.

The files are mounted as a kubelet mounts a ConfigMap. The rights are those of the shadow overlay.
"""

import json
from pathlib import Path

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.e2e.commands.test_assess import assess
from tests.e2e.conftest import USER
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.equipment.prices import write_price_file
from tests.market.files.config_map import mounted

pytestmark = pytest.mark.controlplane

PLAN = {"name": "all", "type": "compute", "usd_per_hour": 10_000, "discount_percent": 25}
STALE = 'spotvortex_input_state{{input="{}",state="stale"}}'
PRICE = 'spotvortex_spot_price_usd{instance_type="m5.xlarge",zone="us-east-1a"}'
COVERED = "covered_by_commitment"


class Mount:
    """A folder into which versions of one file come."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self._folder, self._name, self._n = folder, name, 0
        self.path = folder / name

    def bring(self, text: str) -> None:
        self._n += 1
        mounted(self._folder, f"..v{self._n}", self._name, text)


@pytest.fixture
def prices(tmp_path: Path) -> Mount:
    mount = Mount(tmp_path / "prices", "prices.jsonl")
    mount.bring(write_price_file(tmp_path / "first.jsonl").read_text())
    return mount


@pytest.fixture
def statement(tmp_path: Path) -> Mount:
    return Mount(tmp_path / "commitments", "commitments.json")


@pytest.fixture
def daemon(shop: ControlPlane, tmp_path: Path, prices: Mount, statement: Mount):
    variables = {
        "KUBECONFIG": str(shop.kubeconfig(USER)),
        "SPOTVORTEX_PRICE_FILE": str(prices.path),
        "SPOTVORTEX_COMMITMENTS_PATH": str(statement.path),
    }
    with Daemon(tmp_path, variables) as running:
        running.wait_ready()
        yield running


def has(daemon: Daemon, series: str) -> bool:
    try:
        return daemon.metric(series) == 1.0
    except AssertionError:
        return False


def reason(daemon: Daemon) -> str:
    """Why the newest record of a pool with on-demand nodes that may move proposes what it does."""
    found = [r["proposal"][1] for r in daemon.records() if r["pool"] == "web"]
    return found[-1] if found else ""


def test_a_statement_that_comes_changes_and_breaks_is_taken_up_as_it_runs(daemon, statement):
    wait_until(lambda: reason(daemon) == "economic_increase", timeout=60)
    statement.bring(json.dumps({"savings_plans": [PLAN]}))
    wait_until(lambda: reason(daemon) == COVERED, timeout=60)
    assert daemon.metric('spotvortex_committed_nodes{pool="web"}') == 4.0
    statement.bring("{")
    wait_until(lambda: has(daemon, STALE.format("commitments")), timeout=60)
    assert reason(daemon) == COVERED
    assert "commitments.unread" in daemon.log_path.read_text()
    statement.bring("{}")
    wait_until(lambda: reason(daemon) == "economic_increase", timeout=60)
    assert not has(daemon, STALE.format("commitments"))
    assert daemon.stop() == 0


def test_new_prices_count_without_a_restart_and_bad_ones_keep_the_old(daemon, prices):
    wait_until(daemon.records, timeout=60)
    first = daemon.metric(PRICE)
    prices.bring("no price file\n")
    wait_until(lambda: has(daemon, STALE.format("price_file")), timeout=60)
    assert daemon.metric(PRICE) == first
    text = (prices.path.parent / "..v1" / "prices.jsonl").read_text()
    prices.bring(text.replace(f'"{first:.6f}"', f'"{first / 2:.6f}"'))
    wait_until(lambda: daemon.metric(PRICE) < first, timeout=60)
    assert not has(daemon, STALE.format("price_file"))
    assert daemon.stop() == 0


def test_assess_shows_which_nodes_are_paid_for(shop, prices, statement):
    statement.bring(json.dumps({"savings_plans": [PLAN]}))
    variables = {
        "SPOTVORTEX_PRICE_FILE": str(prices.path),
        "SPOTVORTEX_COMMITMENTS_PATH": str(statement.path),
    }
    report = json.loads(assess(shop, "--output", "json", **variables).stdout)
    web = next(row for row in report["commitments"]["pools"] if row["pool"] == "web")
    assert (web["n_nodes"], web["n_covered"], web["by"]) == (4, 4.0, ["all"])
    assert report["commitments"]["unused_usd_per_hour"] > 1000.0
    assert report["saving_usd_per_hour"] == [0.0, 0.0]
    unstated = assess(shop, SPOTVORTEX_PRICE_FILE=str(prices.path)).stdout
    assert unstated.count("SPOTVORTEX_COMMITMENTS_PATH") == 1
