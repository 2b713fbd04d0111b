"""Room that does not come before a notice's deadline: given back, and not bought a second time.

The daemon in active mode as it ships reads the queue; nodes boot for longer than a notice leaves.
What was on the lost nodes goes without its room, and gets the nodes that are on their way for it.
"""

import time

import pytest

from tests.controlplane.api import wait_until
from tests.core.events import INTERRUPTION
from tests.karpenter_aws.scene import aws_scene, instance_of, told
from tests.witness.scene import Shape

pytestmark = [pytest.mark.karpenter_aws, pytest.mark.large, pytest.mark.timeout(600)]

SHAPE = Shape(n_nodes=4, n_stateful=0, grace_s=2, consolidate_after="Never", calm_s=3)
N_LOST = 2
AGO_S, LEFT_S = 60.0, 60.0
"""Notices are two minutes ahead; these took half of that to arrive."""
BOOT_S = 80.0


@pytest.fixture(scope="module")
def aws():
    with aws_scene(SHAPE, hears=False) as aws:
        yield aws


def placeholders(aws):
    pods = aws.plane.api().items("/api/v1/namespaces/spotvortex/pods")
    return [p for p in pods if p["metadata"]["name"].startswith("spotvortex-")]


def test_room_that_comes_too_late_is_bought_once(aws, tmp_path):
    notice = {"ago_s": AGO_S, "instance-action": "terminate"}
    with aws.reader(tmp_path / "mover") as daemon:
        daemon.wait_ready()
        wait_until(aws.scene.all_running, 120)
        known = {claim["metadata"]["name"] for claim in aws.claims().values()}
        aws.karpenter.bridge.boot_s = BOOT_S
        lost = aws.nodes()[:N_LOST]
        began = time.monotonic()
        aws.karpenter.send(*(told(INTERRUPTION, node, **notice) for node in lost))
        wait_until(lambda: placeholders(aws), 30)
        wait_until(lambda: aws.scene.n_ready() < aws.scene.n_wanted, LEFT_S)
        # The pods go when they must, and what has no node yet goes with them.
        assert time.monotonic() - began > LEFT_S / 2
        wait_until(lambda: not placeholders(aws), 15)
        time.sleep(max(0.0, began + LEFT_S - time.monotonic()))
        for node in lost:
            aws.karpenter.end_instance(instance_of(node))
        wait_until(aws.scene.all_running, BOOT_S + 60)
        claims = aws.plane.api().items("/apis/karpenter.sh/v1/nodeclaims")
        new = {claim["metadata"]["name"] for claim in claims} - known
        assert len(new) == N_LOST, "as many nodes were bought as were lost"
        assert daemon.stop() == 0
