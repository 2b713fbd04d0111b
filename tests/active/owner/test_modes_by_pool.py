"""Two pools under one active daemon: what `spotvortex.io/mode` lets it do to each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.active.scene.play import (
    QUICK,
    SETTLE_S,
    USER,
    install,
    lasting_tethers,
    own_pods,
    scripted,
)
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_class_manifest,
    nodepool_manifest,
    pdb_manifest,
)
from tests.e2e.equipment.daemon import Daemon
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import CAPACITY_TYPE, NODE_POOL_LABEL, PLACEHOLDER
from tests.witness.market import HIGH
from tests.witness.recording import Recording
from tests.witness.scene import INSTANCE_TYPES, PATIENT, is_ready

pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(600)]

GUEST, CANARY = "guest", "canary"
N_NODES = 3
MODE = "spotvortex.io/mode"
N_CYCLES = 24
"""Cycles in which a pool that is to be left alone is left alone: well over a settle window."""


@dataclass
class TwoPools:
    """One pool whose mode the tests change, and one that moves a node at a time."""

    plane: ControlPlane
    daemon: Daemon
    recording: Recording
    first: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def annotate(self, value: str | None, pool: str = GUEST) -> None:
        change = {"metadata": {"annotations": {MODE: value}}}
        self.plane.api().patch(f"/apis/karpenter.sh/v1/nodepools/{pool}", change)

    def nodes(self, pool: str) -> list[dict[str, Any]]:
        selector = f"{NODE_POOL_LABEL.replace('/', '%2F')}%3D{pool}"
        return self.plane.api().items(f"/api/v1/nodes?labelSelector={selector}")

    def kinds(self, pool: str) -> list[str]:
        return [n["metadata"]["labels"][CAPACITY_TYPE] for n in self.nodes(pool)]

    def touched(self, pool: str) -> list[str]:
        """Return our writes about nodes of a pool, Events left out."""
        names = {n["metadata"]["name"]: n["metadata"]["uid"] for n in self.nodes(pool)}
        case = self.recording.observer().case
        found = [str(e.write) for e in case.evictions if e.node_uid in names.values()]
        for write in case.writes:
            about = {write.name, json.dumps(write.body)} if write.resource != "events" else set()
            if any(name in text for name in names for text in about):
                found.append(str(write))
        return found

    def advice(self, pool: str) -> list[dict[str, Any]]:
        names = {n["metadata"]["name"] for n in self.nodes(pool)}
        events = self.plane.api().items("/api/v1/namespaces/default/events")
        return [
            e
            for e in events
            if e["involvedObject"].get("name") in names and e["reason"].startswith("SpotVortex")
        ]

    def last_record(self, pool: str) -> dict[str, Any]:
        records = [r for r in self.daemon.records() if r["pool"] == pool]
        return records[-1] if records else {}

    def await_cycles(self, n: int = N_CYCLES) -> None:
        start = self.daemon.metric("spotvortex_cycles_total")
        wait_until(lambda: self.daemon.metric("spotvortex_cycles_total") >= start + n, 120)

    def node_pool(self, pool: str) -> tuple[int, Any]:
        stored = self.plane.api().get(f"/apis/karpenter.sh/v1/nodepools/{pool}")
        return stored["metadata"]["generation"], stored["spec"]


def build(plane: ControlPlane) -> None:
    """Create both pools, each with one pod a node."""
    types = {
        "key": "node.kubernetes.io/instance-type",
        "operator": "In",
        "values": list(INSTANCE_TYPES),
    }
    plane.apply([namespace_manifest("shop"), node_class_manifest()])
    modes = {GUEST: "shadow", CANARY: "canary"}
    for name, mode in modes.items():
        disruption = {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "0s"}
        pool = nodepool_manifest(name, spec={"disruption": disruption})
        pool["metadata"]["annotations"] = {MODE: mode}
        pool["spec"]["template"]["spec"]["requirements"].append(types)
        shape = PodShape(
            app=name,
            namespace="shop",
            cpu="3",
            memory="1Gi",
            grace_s=2,
            annotations=dict(PATIENT),
            spec={"nodeSelector": {NODE_POOL_LABEL: name}},
        )
        workload = deployment_manifest(shape, replicas=N_NODES)
        plane.apply([pool, workload, pdb_manifest(name, "shop", max_unavailable=1)])
    wait_until(lambda: all_run(plane), 120)


def all_run(plane: ControlPlane) -> bool:
    """Tell whether every pod of both pools is Ready, and none is left over."""
    pods = plane.api().items("/api/v1/namespaces/shop/pods")
    return len(pods) == 2 * N_NODES and all(map(is_ready, pods))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoPools]:
    folder = tmp_path_factory.mktemp("modes")
    with ControlPlane(with_kwok=True, with_karpenter=True) as plane:
        install(plane)
        build(plane)
        config = {"KUBECONFIG": str(plane.kubeconfig(USER))}
        variables = config | QUICK | scripted(folder, [(-60.0, HIGH)])
        with Recording(plane) as recording, Daemon(folder, variables) as daemon:
            scene = TwoPools(plane, daemon, recording)
            scene.first = {name: scene.node_pool(name) for name in (GUEST, CANARY)}
            daemon.wait_ready()
            yield scene


def test_a_pool_in_shadow_is_untouched_while_another_moves_one_node_at_a_time(two: TwoPools):
    wait_until(lambda: two.kinds(CANARY) == ["on-demand"] * N_NODES, 240)
    wait_until(lambda: all_run(two.plane), 60)
    assert two.touched(GUEST) == []
    assert two.kinds(GUEST) == ["spot"] * N_NODES
    assert two.advice(GUEST) == []
    record = two.last_record(GUEST)
    assert record["mode"] == "shadow"
    # It would have moved: what is not done is recorded.
    assert any(r["n_nodes"] for r in two.daemon.records() if r["pool"] == GUEST)
    moved = [r["n_nodes"] for r in two.daemon.records() if r["pool"] == CANARY and r["n_nodes"]]
    assert moved == [1] * N_NODES


def test_a_pool_in_advise_gets_events_and_nothing_else(two: TwoPools):
    two.annotate("advise")
    wait_until(lambda: two.advice(GUEST), 60)
    two.await_cycles()
    assert {e["reason"] for e in two.advice(GUEST)} == {"SpotVortexAdvice"}
    assert all(e["message"] for e in two.advice(GUEST))
    assert two.touched(GUEST) == []
    assert two.last_record(GUEST)["mode"] == "advise"


def test_an_annotation_that_cannot_be_read_stops_its_pool_and_says_why(two: TwoPools):
    two.annotate("wild")

    def refused() -> list[str]:
        verdicts = two.last_record(GUEST).get("verdicts", [])
        return [v[2] for v in verdicts if v[0] == "mode" and v[1] == "refuse"]

    (reason,) = wait_until(refused, 60)
    assert "spotvortex.io/mode='wild'" in reason
    assert "shadow, advise, canary, active" in reason
    two.await_cycles()
    assert two.last_record(GUEST)["action"] == "HOLD"
    assert two.touched(GUEST) == []


def test_a_deleted_annotation_does_not_widen_what_may_be_done(two: TwoPools):
    two.annotate(None)
    wait_until(lambda: two.last_record(GUEST)["reason"] != "refused_by_mode", 60)
    two.await_cycles()
    # What was said last, and could be read, is still in force.
    assert two.last_record(GUEST)["mode"] == "advise"
    assert two.touched(GUEST) == []
    assert two.kinds(GUEST) == ["spot"] * N_NODES


def test_the_same_pool_moves_once_it_may_and_nothing_but_anchors_is_left(two: TwoPools):
    two.annotate("canary")
    wait_until(lambda: two.kinds(GUEST) == ["on-demand"] * N_NODES, 240)
    wait_until(lambda: all_run(two.plane) and not own_pods(two.plane, PLACEHOLDER), 60)
    assert two.daemon.stop() == 0
    assert lasting_tethers(two.plane) == []
    two.recording.__exit__()
    observer = two.recording.observer(
        max_in_flight={GUEST: 1, CANARY: 1, CLUSTER: 2}, settle_s=SETTLE_S, anchors_stay=True
    )
    assert observer.breaches() == []
    print("modes by pool:", observer.seen())
    assert observer.seen()["marks"] == 2 * N_NODES
    assert {name: two.node_pool(name) for name in two.first} == two.first
