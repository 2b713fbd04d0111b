"""A pool of an EKS node group beside a Karpenter pool, under a risk that would have both off Spot.

Nobody makes or ends nodes for the daemon there: the node group is decided on and advised, and left
alone, while the nodes of Karpenter beside it are moved. The gate `fit` says whose nodes they are,
wherever a person may look.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.active.scene.bench import RULES, ZONES, Bench, Size
from tests.active.scene.lives import tail
from tests.controlplane.api import wait_until
from tests.controlplane.manifests import (
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_manifest,
)
from tests.e2e.equipment.daemon import Daemon
from tests.paths import ROOT
from tests.witness.judge.case import CLUSTER
from tests.witness.market import EMERGENCY
from tests.witness.recording import Recording
from tests.witness.scene import is_ready

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]

GROUP = "batch-workers"
NAMES = tuple(f"{GROUP}-{number}" for number in range(3))
GROUP_LABEL = "eks.amazonaws.com/nodegroup"
WHOSE = "nodes of an EKS node group: advised only, no driver moves such nodes"


@contextmanager
def node_group(bench: Bench) -> Iterator[None]:
    """Add a node group of Spot nodes with a workload on them, as EKS labels them."""
    space = namespace_manifest(GROUP)
    shape = NodeShape(style="nodegroup", pool=GROUP, instance_type="c5.xlarge", zone=ZONES[0])
    pod = PodShape(app="job", namespace=GROUP, spec={"nodeSelector": {GROUP_LABEL: GROUP}})
    bench.plane.apply([space, *(node_manifest(name, shape) for name in NAMES)])
    bench.plane.apply([deployment_manifest(pod, replicas=6)])
    pods = f"/api/v1/namespaces/{GROUP}/pods"

    def all_run() -> bool:
        found = bench.api.items(pods)
        return len(found) == 6 and all(map(is_ready, found))

    wait_until(all_run, 60)
    before = {pod["metadata"]["uid"] for pod in bench.api.items(pods)}
    try:
        yield
        assert {pod["metadata"]["uid"] for pod in bench.api.items(pods)} == before
        nodes = [bench.api.get(f"/api/v1/nodes/{name}") for name in NAMES]
        assert not any(node["spec"].get("unschedulable") for node in nodes)
    finally:
        bench.api.request("DELETE", f"/api/v1/namespaces/{GROUP}")
        at_once = {"gracePeriodSeconds": 0}
        bench.api.request("DELETE", pods, at_once)
        for name in NAMES:
            bench.api.request("DELETE", f"/api/v1/nodes/{name}")


def said_by(variables: dict[str, str], *arguments: str) -> str:
    """Run a command as a person does, with the daemon's own settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPOTVORTEX_")}
    done = subprocess.run(
        [sys.executable, "-m", "spotvortex", *arguments],
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def decided(daemon: Daemon, pool: str) -> bool:
    """Tell whether a pool has been decided on under this risk."""
    found = daemon.pools().get(pool)
    return found is not None and found["proposal"] == "EMERGENCY_EXIT"


def test_a_node_group_is_decided_on_and_advised_while_karpenters_nodes_beside_it_move(
    plane, tmp_path: Path
):
    with Bench(plane, Size()) as bench, node_group(bench):
        variables = bench.variables(tmp_path, EMERGENCY) | {"SPOTVORTEX_PROVISIONER": "karpenter"}
        with Recording(plane) as recording, Daemon(tmp_path, variables) as daemon:
            daemon.wait_ready()
            wait_until(lambda: decided(daemon, GROUP), 60)
            try:
                wait_until(lambda: bench.at_end(on_demand=2), 120)
            except TimeoutError:
                raise AssertionError(f"{bench.standing()}\n{tail(daemon)}") from None
            seen = daemon.pools()[GROUP]
            account = said_by(
                variables, "explain", GROUP, "--url", f"http://127.0.0.1:{daemon.port}"
            )
            assessed = json.loads(said_by(variables, "assess", "--output", "json"))
            on_screen = said_by(variables | {"COLUMNS": "140"}, "assess", "--details")
            assert daemon.stop() == 0
        observer = recording.observer(**(RULES | {"max_in_flight": {CLUSTER: 3}, "floors": {}}))
        print(observer.seen())
        assert observer.breaches() == []
        assert {mark.write.name for mark in observer.case.marks}.isdisjoint(NAMES)
        assert {mark.write.name for mark in observer.case.marks} != set()
    # /pools
    assert seen["provisioner"] == "managed-nodegroup"
    assert (seen["proposal"], seen["action"], seen["n_nodes"]) == ("EMERGENCY_EXIT", "HOLD", 0)
    assert {"gate": "fit", "outcome": "refuse", "reason": WHOSE, "limit": None} in seen["gates"]
    # records
    records = [record for record in daemon.records() if record["pool"] == GROUP]
    assert {(record["action"], record["n_nodes"]) for record in records} == {("HOLD", 0)}
    assert ["fit", "refuse", WHOSE] in [v[:3] for v in records[-1]["verdicts"]]
    # explain and assess
    assert WHOSE in account
    (decision,) = [d for d in assessed["decisions"] if d["pool"] == GROUP]
    assert WHOSE in json.dumps(decision)
    assert WHOSE in on_screen
