"""On real Karpenter: no capacity ends a wave early, and a death in mid-wave changes nothing."""

import pytest

from tests.active.scene.bench import LEASE_PATH, USER, Ours
from tests.active.scene.lives import Lives, Point, tail
from tests.controlplane.api import wait_until
from tests.deploy.manifests import active_bounds, active_fence, active_roles
from tests.e2e.equipment.daemon import Daemon
from tests.witness.crash_proxy import CrashProxy
from tests.witness.judge.case import CLUSTER
from tests.witness.market import EMERGENCY, write_scripted_risk
from tests.witness.recording import Recording
from tests.witness.scene import ActiveScene, Shape, active_scene

pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(900)]

DEATHS = (Point("create-anchor"), Point("evict", after=True), Point("delete-nodeclaim"))
NO_CAPACITY = [{"capacity_type": "on-demand"}]


def settings(scene: ActiveScene, folder, url: str) -> dict[str, str]:
    return write_scripted_risk(folder, [(-60.0, EMERGENCY)]) | {
        "KUBECONFIG": str(scene.plane.kubeconfig(USER, server=url)),
        "SPOTVORTEX_MODE": "active",
        "SPOTVORTEX_SETTLE_S": "10",
        "SPOTVORTEX_BIND_S": "20",
        "SPOTVORTEX_MAX_POOL_DISRUPTION_RATIO": "0.4",
        "SPOTVORTEX_MAX_CLUSTER_DISRUPTION_RATIO": "0.4",
    }


@pytest.mark.parametrize(
    "pair", [False, pytest.param(True, marks=pytest.mark.large)], ids=["mixed", "pair"]
)
def test_without_capacity_nothing_moves_and_with_it_no_death_in_mid_wave_is_seen_in_the_end(
    fresh_control_plane, tmp_path, pair
):
    shape = Shape(n_nodes=5, n_stateful=0, grace_s=2, pair=pair)
    with active_scene(fresh_control_plane, shape) as scene, CrashProxy(scene.plane) as proxy:
        plane, ours = scene.plane, Ours(scene.plane)
        user = plane.username(USER)
        plane.apply([*active_bounds(), *active_roles(user), *active_fence(user)])
        first, variables = scene.counts(), settings(scene, tmp_path, proxy.url)
        with Recording(plane) as recording:
            plane.set_unavailable_offerings(NO_CAPACITY)
            _ends_for_want_of_capacity(scene, Daemon(tmp_path, variables), proxy)
            assert scene.counts() == first
            plane.set_unavailable_offerings([])
            lives = Lives(bench=ours, proxy=proxy, folder=tmp_path)
            lives.die_at(DEATHS, variables)
            lives.live_on(variables, lambda: _has_left_spot(scene, ours), timeout_s=240)
        observer = recording.observer(max_in_flight={CLUSTER: 4}, anchors_stay=True)
        print(f"{len(lives.reached)} crash points, judged {observer.seen()}, {scene.counts()}")
        assert observer.breaches() == []
        assert scene.pool_is_unchanged()


def _ends_for_want_of_capacity(scene: ActiveScene, daemon: Daemon, proxy: CrashProxy) -> None:
    def ended() -> bool:
        lines = daemon.log_path.read_text().splitlines()
        wanted = ("drain.ended", "end=no-replacement", "nodes are available")
        return any(all(word in line for word in wanted) for line in lines)

    with daemon:
        try:
            wait_until(ended, 120)
        except TimeoutError:
            raise AssertionError(tail(daemon)) from None
        assert daemon.stop() == 0
    assert "evict" not in proxy.counts()
    assert "mark" not in proxy.counts()
    wait_until(lambda: not [left for left in scene.ours_left() if "placeholder" in left], 30)
    assert scene.plane.api().get(LEASE_PATH)["spec"].get("holderIdentity", "") == ""


def _has_left_spot(scene: ActiveScene, ours: Ours) -> bool:
    if scene.counts().spot or not scene.all_running():
        return False
    return not (ours.own_pods("placeholder") or ours.marked())
