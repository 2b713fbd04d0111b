"""Shadow says what active would do: the same scene, first recorded only, then carried out.

The daemon runs under the ClusterRole of the shadow overlay until a few of its waves are over. Then
it runs in active mode on the very same nodes, which nobody has touched. What is compared is the
sequence of decisions until the first wave, and the requests of that wave, node by node: its nodes
are drained beside each other, and which of them ends first is chance. From there on acting changes
the cluster, and the two must part.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from spotvortex.core.record.record import read_record
from tests.active.scene.play import SETTLE_S, USER, Clock, daemon_of, install, own_pods
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.deploy.manifests import shadow_cluster_role
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.equipment.otlp import SeenSpan, TraceReceiver
from tests.witness.judge.case import CLUSTER, Breach
from tests.witness.judge.names import PLACEHOLDER
from tests.witness.market import CALM, HIGH
from tests.witness.recording import Recording
from tests.witness.scene import POOL, ActiveScene, Shape, active_scene

# Both runs are within the first test.
pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(600)]

N_NODES = 5
SCRIPT = [(-60.0, CALM), (30.0, HIGH)]
"""Calm until it leads, on a busy machine too."""

N_SHADOW = 3
"""Drains of shadow: its first wave, of at most two nodes, and more."""
N_ACTIVE = 2
"""Drains of active: its first wave."""
SHADOW = "spotvortex-shadow"
ACTING_ONLY = {"CreateAnchor"}
"""A receiver is known only where placeholders are bound: nobody binds what is not there."""


@dataclass(frozen=True)
class Run:
    """What one run of the daemon left behind."""

    records: list[dict[str, Any]]
    drains: list[SeenSpan]  # those that have ended, in order; their events are their requests
    n_writes: int
    breaches: list[Breach]
    calls: dict[str, int]

    @property
    def first_wave(self) -> dict[str, Any]:
        return next(r for r in self.records if r["n_nodes"])

    def until_first_wave(self) -> list[tuple[Any, ...]]:
        """Return what was decided, each thing once: who waits for its lease says HOLD twice."""
        end = self.records.index(self.first_wave) + 1
        shown = "action", "reason", "n_nodes", "target_ratio"
        said = [tuple(record[name] for name in shown) for record in self.records[:end]]
        return [decision for decision, _ in groupby(said)]

    def first_nodes(self) -> list[str]:
        """Return the nodes of the first wave."""
        pool = read_record(json.dumps(self.first_wave)).basis.pool
        return [c.node for c in pool.to_on_demand[: self.first_wave["n_nodes"]]]

    def first_drains(self) -> list[tuple[str, ...]]:
        """Return the requests of the first drain of each node of the first wave."""
        made = {span.attributes["k8s.node.name"]: span.events for span in reversed(self.drains)}
        return [made[node] for node in self.first_nodes()]


@dataclass(frozen=True)
class Both:
    """The same scene twice."""

    shadow: Run
    active: Run
    untouched: bool
    pool_unchanged: bool


def run_of(scene: ActiveScene, folder: Path, user: str, mode: str, n_drains: int) -> Run:
    """Run the daemon until so many of its drains have ended."""
    with TraceReceiver() as traces, Recording(scene.plane) as recording:
        otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        daemon = daemon_of(scene, folder, user=user, script=SCRIPT, mode=mode)
        daemon.add(otel)
        with daemon:
            daemon.wait_ready()
            wait_until(lambda: len(drains_of(traces)) >= n_drains, 200)
            if mode == "active":
                # Not in the middle of a wave, which a stop would undo.
                wait_until(lambda: not own_pods(scene.plane, PLACEHOLDER), 60)
            calls = calls_of(daemon)
            assert daemon.stop() == 0
        wait_until(scene.all_running, 60)
        # A node whose drain has ended bears our mark until Karpenter has taken it away.
        wait_until(lambda: not any(thing.startswith("node") for thing in scene.ours_left()), 120)
    bounds = {POOL: 2, CLUSTER: 2}
    observer = recording.observer(
        shadow=mode == "shadow", max_in_flight=bounds, settle_s=SETTLE_S, anchors_stay=True
    )
    return Run(
        daemon.records(), drains_of(traces), observer.seen()["writes"], observer.breaches(), calls
    )


def drains_of(traces: TraceReceiver) -> list[SeenSpan]:
    return [span for span in traces.spans if span.name == "drain"]


def calls_of(daemon: Daemon) -> dict[str, int]:
    """Return the recorded calls by kind."""
    head = 'spotvortex_shadow_calls_total{call="'
    lines = [x for x in str(daemon.get("/metrics")[1]).splitlines() if x.startswith(head)]
    return {x.removeprefix(head).partition('"')[0]: int(float(x.split()[-1])) for x in lines}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="mixed"),
        pytest.param(True, id="pair", marks=pytest.mark.large),
    ],
)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    started: list[ControlPlane] = []

    def start(**options: Any) -> ControlPlane:
        started.append(ControlPlane(**options))
        return started[0].start()

    clock = Clock("shadow parity")
    try:
        # Karpenter must move nothing between the two runs, or they are not of the same cluster.
        shape = Shape(n_nodes=N_NODES, n_stateful=2, grace_s=2, still=True, pair=request.param)
        with active_scene(start, shape) as scene:
            role = shadow_cluster_role()
            scene.plane.apply([role])
            scene.plane.grant(SHADOW, role["metadata"]["name"])
            before = versions(scene)
            shadow = run_of(scene, tmp_path_factory.mktemp("shadow"), SHADOW, "shadow", N_SHADOW)
            untouched = versions(scene) == before
            clock.tell(f"shadow: {shadow.calls}, {shadow.n_writes} writes")
            install(scene.plane)
            active = run_of(scene, tmp_path_factory.mktemp("active"), USER, "active", N_ACTIVE)
            clock.tell(f"active: {active.n_writes} writes")
            yield Both(shadow, active, untouched, scene.pool_is_unchanged())
    finally:
        for plane in started:
            plane.stop()


def versions(scene: ActiveScene) -> dict[str, Any]:
    """Return what a person would see of each node and where each pod runs."""
    nodes = {n["metadata"]["uid"]: (n["metadata"]["labels"], n["spec"]) for n in scene.nodes()}
    pods = {p["metadata"]["uid"]: p["spec"].get("nodeName") for p in scene.pods()}
    return nodes | pods


def test_shadow_makes_no_request_that_changes_anything(both: Both):
    assert both.shadow.n_writes == 0
    assert both.shadow.breaches == []
    assert both.untouched
    assert both.shadow.calls["EvictPod"] > 0


def test_both_decide_the_same_until_the_first_wave(both: Both):
    assert both.shadow.until_first_wave() == both.active.until_first_wave()
    assert len(both.active.until_first_wave()) >= 2
    assert both.shadow.first_nodes() == both.active.first_nodes()
    assert both.shadow.first_nodes()


def test_each_node_of_the_wave_meets_the_requests_that_shadow_has_recorded(both: Both):
    pairs = list(zip(both.shadow.first_drains(), both.active.first_drains(), strict=True))
    print(pairs)
    for recorded, made in pairs:
        assert in_order(kind for kind in made if kind not in ACTING_ONLY) == in_order(recorded)
        assert "EvictPod" in recorded
    assert {kind for _, made in pairs for kind in made} >= ACTING_ONLY


def test_as_much_room_is_asked_for_as_shadow_would(both: Both):
    for recorded, made in zip(both.shadow.first_drains(), both.active.first_drains(), strict=True):
        for kind in ("CreatePlaceholder", "MarkNode", "ReleaseNode"):
            assert made.count(kind) == recorded.count(kind), kind
        # A budget may make it ask for an eviction more than once.
        assert made.count("EvictPod") >= recorded.count("EvictPod") > 0


def test_the_active_run_broke_nothing(both: Both):
    assert both.active.breaches == []
    assert both.active.n_writes > 0
    assert both.pool_unchanged


def in_order(calls: Iterable[str]) -> list[str]:
    """Return the kinds of requests in order, those that follow each other once."""
    return [kind for kind, _ in groupby(calls)]
