"""What the daemon says and does while its API server is away, and after."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.proxy import LoopbackProxy
from tests.e2e.conftest import USER, prepare
from tests.e2e.equipment import scene
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.equipment.prices import write_price_file

pytestmark = pytest.mark.controlplane

PARTITION_S = 30.0


@pytest.fixture
def plane(fresh_control_plane: Callable[..., ControlPlane]) -> ControlPlane:
    return prepare(fresh_control_plane(with_kwok=True, karpenter_crds=True))


def variables(plane: ControlPlane, folder: Path, server: str | None = None) -> dict[str, str]:
    return {
        "KUBECONFIG": str(plane.kubeconfig(USER, server=server)),
        "SPOTVORTEX_PRICE_FILE": str(write_price_file(folder / "prices.jsonl")),
        "SPOTVORTEX_MAX_INPUT_AGE_S": "10",
    }


def n_on_demand(daemon: Daemon) -> int:
    count: int = daemon.pools()["web"]["nodes"]["on_demand"]
    return count


def holds_for_lack_of_input(daemon: Daemon) -> bool:
    pools = daemon.pools()
    return all(
        pools[name]["action"] == "HOLD"
        and ("input_freshness", "refuse")
        in [(gate["gate"], gate["outcome"]) for gate in pools[name]["gates"]]
        for name in scene.POOLS
    )


def is_back(daemon: Daemon) -> bool:
    return daemon.is_ready() and daemon.metric('spotvortex_input_ok{input="nodes"}') == 1


def test_an_api_server_that_dies_and_returns_is_said_and_survived(plane, tmp_path: Path):
    with Daemon(tmp_path, variables(plane, tmp_path)) as daemon:
        daemon.wait_ready()
        before = n_on_demand(daemon)

        plane.kill_apiserver()
        wait_until(lambda: not daemon.is_ready(), timeout=60)
        wait_until(lambda: holds_for_lack_of_input(daemon), timeout=60)
        wait_until(lambda: daemon.metric('spotvortex_input_ok{input="nodes"}') == 0, timeout=60)
        assert daemon.get("/healthz")[0] == 200

        plane.start_apiserver()
        plane.api().create(scene.extra_node(1))
        wait_until(lambda: is_back(daemon), timeout=120)
        wait_until(lambda: n_on_demand(daemon) == before + 1, timeout=60)
        assert daemon.stop() == 0


def test_an_expired_watch_is_listed_again(plane, tmp_path: Path):
    with (
        LoopbackProxy(plane.url) as proxy,
        Daemon(tmp_path, variables(plane, tmp_path, proxy.url)) as daemon,
    ):
        daemon.wait_ready()
        before = n_on_demand(daemon)

        proxy.partition()
        wait_until(lambda: not daemon.is_ready(), timeout=60)
        plane.api().create(scene.extra_node(2))
        plane.expire_watches()
        proxy.cut()
        proxy.heal()

        wait_until(lambda: is_back(daemon), timeout=120)
        wait_until(lambda: n_on_demand(daemon) == before + 1, timeout=60)
        assert daemon.stop() == 0
    assert "410" in daemon.log_path.read_text() or "expired" in daemon.log_path.read_text()


def test_a_partition_of_30_seconds_is_said_and_survived(plane, tmp_path: Path):
    with (
        LoopbackProxy(plane.url) as proxy,
        Daemon(tmp_path, variables(plane, tmp_path, proxy.url)) as daemon,
    ):
        daemon.wait_ready()
        before = n_on_demand(daemon)

        proxy.partition()
        wait_until(lambda: not daemon.is_ready(), timeout=60)
        wait_until(lambda: holds_for_lack_of_input(daemon), timeout=60)
        plane.api().create(scene.extra_node(3))
        silent_since = daemon.metric('spotvortex_input_age_seconds{input="nodes"}')
        wait_until(
            lambda: daemon.metric('spotvortex_input_age_seconds{input="nodes"}') >= PARTITION_S,
            timeout=PARTITION_S,
        )
        assert silent_since < PARTITION_S

        proxy.heal()
        wait_until(lambda: is_back(daemon), timeout=120)
        wait_until(lambda: n_on_demand(daemon) == before + 1, timeout=60)
        assert daemon.stop() == 0
