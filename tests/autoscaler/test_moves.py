"""The daemon as a process moves a pool of node groups by pods, both ways, with a stand-in.

Everything that ships is installed: rights, bounds and fence. There is no Karpenter, not even its
CRDs. The on-demand group is empty at first, so that it is known by the status alone.
"""

import pytest
from typer.testing import CliRunner

from spotvortex.cli.main import cli
from tests.autoscaler.scene import KEPT, Twins
from tests.autoscaler.stand_in import DISABLED
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(400)]
OFF_SPOT = {"max_spot_ratio": "0"}


@pytest.fixture
def plane():
    with ControlPlane(with_kwok=True) as started:
        yield started


def annotate(twins, node, notes):
    twins.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"annotations": notes}})


def calls(daemon, kind):
    """How often a call was carried out."""
    _, text = daemon.get("/metrics")
    lines = [line for line in str(text).splitlines() if line.startswith("spotvortex_calls_total{")]
    found = [line for line in lines if f'call="{kind}"' in line and 'answer="Done"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_a_pool_goes_to_on_demand_and_back_to_spot_by_pods_alone(plane, tmp_path):
    with Twins(plane) as twins:
        with twins.daemon(tmp_path / "out", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.on_demand), 150, every_s=0.5)
            assert calls(daemon, "KeepNode") > 0
            assert calls(daemon, "FreeNode") > 0
            assert daemon.stop() == 0
        out = list(twins.autoscaler.removed)
        with twins.daemon(tmp_path / "back") as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.spot), 200, every_s=0.5)
            assert daemon.stop() == 0
    back = twins.autoscaler.removed[len(out) :]
    assert {node.group for node in out} == {"web-spot"}
    assert {node.group for node in back} == {"web-od"}
    # We had drained each, and none was kept by us: it had nothing to evict itself.
    for node in (*out, *back):
        assert node.cordoned, node
        assert not node.kept, node
        assert node.pods == (), node
    for group in (twins.spot, twins.on_demand):
        assert max(twins.autoscaler.sizes[group.name]) <= group.largest
    assert twins.own_pods("placeholder") == []


def test_what_a_crash_leaves_kept_is_given_back_by_the_next_process(plane, tmp_path):
    with Twins(plane, scales_down=False) as twins:
        with twins.daemon(tmp_path / "first", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.noted(KEPT), 90)
        twins.release_lease()
        assert twins.noted(KEPT)
        with twins.daemon(tmp_path / "next", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: set(twins.noted("spotvortex.io/cordoned")), 90)
            twins.autoscaler.scales_down = True
            wait_until(lambda: twins.is_all(twins.on_demand), 150, every_s=0.5)


def test_a_drained_node_that_nobody_removes_is_given_back_once_and_named(plane, tmp_path):
    with Twins(plane, scales_down=False) as twins:
        variables = OFF_SPOT | {"drain_deadline_s": "60", "settle_s": "600", "max_wave_nodes": "1"}
        with twins.daemon(tmp_path / "one", **variables) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.noted("spotvortex.io/cordoned"), 90)
            wait_until(lambda: not twins.noted(), 120, every_s=0.5)
            assert twins.counts()["web-spot"] == 3
            said = daemon.log_path.read_text().splitlines()
            assert daemon.stop() == 0
    words = [line for line in said if "its provisioner has not removed it: web-spot-" in line]
    assert len(words) == 1, said


def test_a_wave_is_no_larger_than_its_group_may_grow(plane, tmp_path):
    with Twins(plane, unneeded_s=1.0) as twins:
        twins.on_demand.largest = 1
        with twins.daemon(tmp_path / "one", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.counts().get("web-od") == 1, 90)
            wait_until(lambda: twins.counts().get("web-spot") == 2 and not twins.noted(), 120)
            full = "nodes limit of nodegroup/web-od"

            def refused():
                return any(full in verdict["reason"] for verdict in daemon.pools()["web"]["gates"])

            wait_until(refused, 90, every_s=0.5)
            assert daemon.stop() == 0
    assert twins.autoscaler.sizes["web-od"] <= {0, 1}


def test_uninstall_gives_kept_nodes_back_and_leaves_an_owners(plane, tmp_path):
    with Twins(plane, scales_down=False) as twins:
        ours, theirs = (f"web-spot-{number}" for number in (1, 2))
        notes = {DISABLED: "true", KEPT: '{"v":1,"plan":"p"}'}
        annotate(twins, ours, notes)
        annotate(twins, theirs, {DISABLED: "true"})
        config = str(plane.kubeconfig("admin"))
        done = CliRunner().invoke(cli, ["uninstall", "--apply"], env={"KUBECONFIG": config})
        assert "kept from scale-down by SpotVortex" in done.output, done.output
        assert twins.noted() == [theirs]
