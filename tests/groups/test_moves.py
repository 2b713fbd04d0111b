"""The daemon as a process moves a pool of two groups by AWS, both ways.

They are Auto Scaling groups, or EKS managed node groups.

Everything that ships is installed: rights, bounds and fence. There is neither Karpenter nor Cluster
Autoscaler: whatever a group has, the daemon or a person has asked for.
"""

import json

import pytest

from spotvortex.report.aws.policies import GroupRights, rights_policy
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.groups.scene import N_NODES, TwinGroups

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(900)]
OFF_SPOT = {"max_spot_ratio": "0"}


@pytest.fixture
def plane():
    with ControlPlane(with_kwok=True) as started:
        yield started


def granted():
    """The operations that the printed policy of groups grants."""
    policy = json.loads(rights_policy(groups=GroupRights(reads=True, writes=True, cluster="blue")))
    return {a.partition(":")[2] for s in policy["Statement"] for a in s["Action"]}


@pytest.mark.parametrize(
    "managed",
    # Of Auto Scaling groups tests/groups/test_failures.py tells enough.
    [pytest.param(False, id="asg", marks=pytest.mark.large), pytest.param(True, id="mng")],
)
def test_a_pool_goes_to_on_demand_and_back_to_spot_and_each_wave_is_one_write_up(
    plane, tmp_path, managed
):
    with TwinGroups(plane, managed=managed) as twins:
        with twins.daemon(tmp_path / "out", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.on_demand), 300, every_s=0.5)
            assert daemon.stop() == 0
        with twins.daemon(tmp_path / "back") as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.spot), 300, every_s=0.5)
            assert daemon.stop() == 0
        writes = twins.cloud.writes()
        # A managed group is sized by EKS, and its nodes end by Auto Scaling.
        end = "TerminateInstanceInAutoScalingGroup"
        assert {operation for operation, _ in writes} == {twins.grows, end}
        ups = [asked for operation, asked in writes if operation == twins.grows]
        ends = [asked["InstanceId"] for operation, asked in writes if operation == end]
        # Every node once each way, and fewer requests to grow than nodes.
        assert len(ends) == len(set(ends)) == 2 * N_NODES
        assert 2 <= len(ups) < 2 * N_NODES
        assert {operation for operation, _ in twins.cloud.asked} <= granted()
        for kind in twins.kinds:
            assert max(twins.bridge.sizes[kind.group]) <= N_NODES
