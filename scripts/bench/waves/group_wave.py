"""Fifteen of 50 nodes off Spot by groups of AWS: the daemon, and a bare script's same calls.

Usage: python -m scripts.bench.waves.group_wave asg|mng

Prints one JSON line a run: seconds from the first request that grows a group to the last instance
gone and every pod Ready. Each has a control plane and a cloud of its own, two pods a node under
budgets of 25 %. The bare script grows the other group once, cordons each node, evicts as fast as
budgets let it and ends each instance; it asks for no room, keeps no journal and judges nothing. The
daemon runs with everything that ships, as a process, where the budgets of nodes on the move let
fifteen go at once; its pauses between waves are set to a second. An instance boots for 30 s.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import boto3

from scripts.bench.machine import machine
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import Manifest
from tests.groups.cloud import CREDENTIALS, REGION
from tests.groups.scene import CLUSTER, SHOP, TwinGroups
from tests.witness.hand import Hand
from tests.witness.judge.case import CLUSTER as CLUSTER_WIDE
from tests.witness.scene import is_ready

BUDGET: Final = "25%"
PODS: Final = f"/api/v1/namespaces/{SHOP}/pods"
LIMIT_S: Final = 900.0
BOOT_S: Final = 30.0
N_NODES, N_MOVED = 50, 15
KEYS: Final = {
    "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
    "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
}


class BareScript:
    """What a person's script does: grow, cordon, evict, end."""

    def __init__(self, twins: TwinGroups) -> None:
        self.twins, self.api = twins, twins.api
        self.hand = Hand(twins.plane, api=twins.api)

    def client(self, service: str) -> Any:
        """Return a client at the address that the daemon has."""
        return boto3.client(service, region_name=REGION, endpoint_url=self.twins.cloud.url, **KEYS)

    def grow(self) -> None:
        """Ask once for as many nodes of the other kind."""
        kind, n = self.twins.on_demand, N_MOVED
        if self.twins.managed:
            self.client("eks").update_nodegroup_config(
                clusterName=CLUSTER, nodegroupName=kind.name, scalingConfig={"desiredSize": n}
            )
            return
        self.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=kind.group, DesiredCapacity=n
        )

    def nodes(self, group: str) -> list[Manifest]:
        """Return the nodes of a group."""
        return [n for n in self.twins.nodes() if n["metadata"]["name"].startswith(f"{group}-")]

    def pods(self, node: str) -> list[Manifest]:
        """Return the pods on a node."""
        return self.api.items(f"{PODS}?fieldSelector=spec.nodeName={node}")

    def empty(self, names: list[str]) -> None:
        """Evict all pods of nodes, and end each instance once its node is empty."""
        left = list(names)
        ends = self.client("autoscaling")
        instances = {
            n["metadata"]["name"]: n["spec"]["providerID"].rpartition("/")[2]
            for n in self.twins.nodes()
        }
        while left:
            for name in list(left):
                pods = self.pods(name)
                for pod in pods:
                    if not pod["metadata"].get("deletionTimestamp"):
                        self.hand.evict(pod)
                if not pods:
                    ends.terminate_instance_in_auto_scaling_group(
                        InstanceId=instances[name], ShouldDecrementDesiredCapacity=True
                    )
                    left.remove(name)
            time.sleep(0.1)

    def run(self) -> None:
        """Move every node."""
        self.grow()
        group = self.twins.on_demand.group
        wait_until(
            lambda: len([x for x in self.nodes(group) if is_ready(x)]) == N_MOVED,
            LIMIT_S,
            every_s=0.2,
        )
        names = [node["metadata"]["name"] for node in self.nodes(self.twins.spot.group)]
        names = names[:N_MOVED]
        for name in names:
            self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True}})
        self.empty(names)


def twins_of(plane: ControlPlane, kind: str) -> TwinGroups:
    """Return the pool."""
    twins = TwinGroups(plane, N_NODES, managed=kind == "mng", max_unavailable=BUDGET)
    twins.largest = N_NODES
    return twins


def is_moved(twins: TwinGroups) -> bool:
    """Tell whether the wave is over: the nodes are where they were to be, and nothing is left."""
    wanted = {twins.spot.group: N_NODES - N_MOVED, twins.on_demand.group: N_MOVED}
    return twins.desired() == twins.counts() == wanted and twins.is_quiet()


def bare_s(kind: str) -> float:
    """Return how long the bare script takes."""
    with ControlPlane(with_kwok=True) as plane:
        twins = twins_of(plane, kind)
        twins.rules = None
        with twins:
            twins.bridge.boot_s = BOOT_S
            begun = time.monotonic()
            BareScript(twins).run()
            wait_until(lambda: is_moved(twins), LIMIT_S, every_s=0.2)
            return time.monotonic() - begun


def daemon_s(kind: str) -> dict[str, object]:
    """Return how long the daemon takes, from its first write to the cloud."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ControlPlane(with_kwok=True) as plane,
        twins_of(plane, kind) as twins,
        twins.daemon(Path(folder) / "out", max_spot_ratio=str(1 - N_MOVED / N_NODES)) as daemon,
    ):
        twins.rules = {"max_in_flight": {CLUSTER_WIDE: N_MOVED}, "anchors_stay": True}
        twins.bridge.boot_s = BOOT_S
        daemon.wait_ready()
        ready = time.monotonic()
        wait_until(twins.cloud.writes, LIMIT_S, every_s=0.05)
        begun = time.monotonic()
        wait_until(lambda: is_moved(twins), LIMIT_S, every_s=0.2)
        ended = time.monotonic()
        ups = [1 for operation, _ in twins.cloud.writes() if operation == twins.grows]
        daemon.stop()
    return {
        "daemon_s": round(ended - begun, 1),
        "ready_to_first_write_s": round(begun - ready, 1),
        "n_waves": len(ups),
    }


def main(words: list[str]) -> int:
    """Measure both."""
    (kind,) = words
    print(json.dumps({"machine": machine()}), flush=True)
    bare = bare_s(kind)
    found = daemon_s(kind)
    seconds = found["daemon_s"]
    assert isinstance(seconds, float)
    ratio = round(seconds / bare, 2)
    print(json.dumps({"kind": kind, "bare_s": round(bare, 1), **found, "ratio": ratio}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
