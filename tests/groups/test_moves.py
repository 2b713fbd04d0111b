"""The daemon as a process moves a pool of two Auto Scaling groups by AWS, both ways.

Everything that ships is installed: rights, bounds and fence. There is neither Karpenter nor Cluster
Autoscaler: whatever a group has, the daemon or a person has asked for.
"""

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.groups.cloud import made_of
from tests.groups.scene import N_NODES, TwinGroups

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(400)]
OFF_SPOT = {"max_spot_ratio": "0"}


@pytest.fixture
def plane():
    with ControlPlane(with_kwok=True) as started:
        yield started


def test_a_pool_goes_to_on_demand_and_back_to_spot_and_each_wave_is_one_write_up(plane, tmp_path):
    with TwinGroups(plane) as twins:
        with twins.daemon(tmp_path / "out", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.on_demand), 150, every_s=0.5)
            assert daemon.stop() == 0
        with twins.daemon(tmp_path / "back") as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.spot), 200, every_s=0.5)
            assert daemon.stop() == 0
        writes = twins.cloud.writes()
        ups = [asked for operation, asked in writes if operation == "SetDesiredCapacity"]
        ends = [asked["InstanceId"] for operation, asked in writes if asked.get("InstanceId")]
        # Every node once each way, and fewer requests to grow than nodes.
        assert len(ends) == len(set(ends)) == 2 * N_NODES
        assert 2 <= len(ups) < 2 * N_NODES
        for kind in twins.kinds:
            assert max(twins.bridge.sizes[kind.group]) <= N_NODES


def test_managed_node_groups_are_sized_by_eks_and_their_nodes_end_by_their_group(plane, tmp_path):
    with TwinGroups(plane, 3, managed=True) as twins:
        with twins.daemon(tmp_path / "out", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.on_demand), 150, every_s=0.5)
            assert daemon.stop() == 0
        operations = {operation for operation, _ in twins.cloud.writes()}
        assert operations == {"UpdateNodegroupConfig", "TerminateInstanceInAutoScalingGroup"}
        assert twins.cloud.desired(made_of("web-od")) == 3
