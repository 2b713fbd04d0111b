"""The floor and the ratio are kept under perturbation, with both consolidation policies.

The owner's wishes come by annotation and by setting. Karpenter would undo each fall back at once,
as `consolidateAfter` is 0 s; anchors keep it from that, and nothing else moves while all is quiet.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.active.scene.play import (
    SETTLE_S,
    Clock,
    anchored,
    daemon_of,
    empty_nodes,
    gone_nodes,
    lasting_tethers,
    most_moving,
    own_pods,
    played_scene,
    surplus,
    unexplained,
    wait_still,
)
from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import ANCHOR, CAPACITY_TYPE, KIND, NAMESPACE, PLACEHOLDER
from tests.witness.recording import Recording
from tests.witness.scene import POOL, SHOP, ActiveScene, Counts, Shape

pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(600)]

FLOOR = 3
N_NODES = 6
_ANCHORS = f"{KIND.replace('/', '%2F')}%3D{ANCHOR}"
QUIET_S, LONG_QUIET_S = (45.0, 120.0), 900.0
STILL_S = SETTLE_S + 8.0
"""A pool that has not changed for this long has settled: longer than two waves are apart."""


@dataclass
class Played:
    """A scene with its running daemon."""

    scene: ActiveScene
    daemon: Daemon
    recording: Recording
    clock: Clock
    cap: float
    lost: set[str] = field(default_factory=set)

    def annotate(self, **values: str | None) -> None:
        notes = {f"spotvortex.io/{k.replace('_', '-')}": value for k, value in values.items()}
        path = f"/apis/karpenter.sh/v1/nodepools/{POOL}"
        self.scene.plane.api().patch(path, {"metadata": {"annotations": notes}})

    def await_split(self, floor: int, timeout_s: float = 240) -> Counts:
        """Wait until the pool keeps its floor and its cap within a node, and changes no more."""

        def look() -> Counts | None:
            counts = self.scene.counts()
            n = counts.spot + counts.on_demand
            wanted = min(n - floor, int(self.cap * n + 1e-9))
            good = counts.on_demand >= floor and abs(counts.spot - wanted) <= 1
            settled = self.scene.all_running() and not own_pods(self.scene.plane, PLACEHOLDER)
            return counts if good and settled else None

        try:
            counts: Counts = wait_still(look, STILL_S, timeout_s)
        except TimeoutError:
            print(self.scene.counts(), self.daemon.records()[-1], flush=True)
            raise
        return counts

    def await_kept(self) -> None:
        """Wait until every on-demand node is one that an anchor keeps.

        A node that was released is Karpenter's to take, which it may do up to five minutes later.
        """

        def all_kept() -> bool:
            return self.scene.counts().on_demand == len(anchored(self.scene))

        wait_still(all_kept, STILL_S, 400)


RULES = {"WhenEmptyOrUnderutilized": "", "WhenEmpty": '{"web": {"max-spot-ratio": "0.7"}}'}
"""Settings by pool, in one of the two scenes: beside the annotation the more careful one counts."""

CAPS = {"WhenEmptyOrUnderutilized": 1.0, "WhenEmpty": 0.7}


@pytest.fixture(
    scope="module",
    params=[
        "WhenEmptyOrUnderutilized",
        pytest.param("WhenEmpty", marks=[pytest.mark.large, pytest.mark.timeout(1800)]),
    ],
)
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    """A pool whose owner wants three nodes on-demand, by annotation."""
    folder = tmp_path_factory.mktemp("ratio")
    shape = Shape(
        n_nodes=N_NODES,
        n_stateful=3,
        grace_s=2,
        consolidation=request.param,
        budgets=({"nodes": "50%"},),
        # Whatever may go to Spot may go: pool safety has scenes of its own.
        max_unavailable="25%",
        after_loss="0",
        annotations={"spotvortex.io/on-demand-floor": f"{FLOOR}"},
    )
    with played_scene(shape) as scene:
        daemon = daemon_of(scene, folder, pool_rules=RULES[request.param])
        with Recording(scene.plane) as recording, daemon:
            daemon.wait_ready()
            yield Played(scene, daemon, recording, Clock(request.param), CAPS[request.param])


def test_the_floor_of_the_annotation_is_reached_and_anchored(played: Played):
    counts = played.await_split(FLOOR)
    played.clock.tell(f"floor reached: {counts}")
    assert len(anchored(played.scene)) >= FLOOR


def test_the_split_is_kept_when_the_pool_grows_and_shrinks(played: Played):
    before = played.scene.counts()
    first = len([p for p in played.scene.pods() if p["metadata"]["labels"]["app"] == "app-0"])
    n_spare = 4 * (before.spot + before.on_demand - N_NODES)
    played.scene.scale("app-0", first + 8 + n_spare)
    wait_until(played.scene.all_running, 120)
    counts = played.await_split(FLOOR)
    assert counts.spot + counts.on_demand > before.spot + before.on_demand
    played.clock.tell(f"grown: {counts}")
    played.scene.scale("app-0", first)
    wait_until(played.scene.all_running, 120)
    counts = played.await_split(FLOOR)
    played.clock.tell(f"shrunk: {counts}")


@pytest.mark.parametrize("kind", ["on-demand", "spot"])
def test_the_split_comes_back_after_the_loss_of_a_node(played: Played, kind: str):
    held = anchored(played.scene)
    nodes = [n["metadata"] for n in played.scene.nodes()]
    of_kind = [m for m in nodes if m["labels"][CAPACITY_TYPE] == kind]
    lost = next(m for m in of_kind if kind == "spot" or m["name"] in held)
    api = played.scene.plane.api()
    api.delete(f"/api/v1/nodes/{lost['name']}")
    played.lost.add(lost["uid"])
    wait_until(lambda: lost["uid"] not in {n["metadata"]["uid"] for n in played.scene.nodes()}, 120)
    counts = played.await_split(FLOOR)
    played.clock.tell(f"after the loss of an {kind} node: {counts}")
    assert len(anchored(played.scene)) >= FLOOR


def test_the_ratio_of_the_annotation_is_obeyed_beside_the_floor(played: Played):
    played.annotate(max_spot_ratio="0.34")
    played.cap = 0.34
    counts = played.await_split(FLOOR)
    played.clock.tell(f"ratio 0.34 reached: {counts}")
    assert counts.spot / (counts.spot + counts.on_demand) <= 0.34 + 1e-9


def test_a_floor_in_vcpu_counts_whole_nodes_and_lets_the_rest_return(played: Played):
    played.annotate(on_demand_floor="8 vcpu", max_spot_ratio="0.8")
    played.cap = min(0.8, CAPS[played.scene.shape.consolidation])
    counts = played.await_split(2, timeout_s=280)
    played.clock.tell(f"floor of 8 vCPU reached: {counts}")
    assert len(anchored(played.scene)) >= 2


@pytest.mark.parametrize("quiet_s", [QUIET_S[0], pytest.param(QUIET_S[1], marks=pytest.mark.large)])
def test_nothing_moves_while_all_is_quiet(played: Played, quiet_s: float):
    played.await_kept()
    keep_quiet(played, quiet_s)


@pytest.mark.large
@pytest.mark.timeout(1800)
def test_while_pods_alone_come_and_go_we_move_nothing_and_what_is_anchored_stays(played: Played):
    """Fifteen minutes, so 90 settle times, in which a pod ends every half minute.

    The pod that follows comes before there is room again, so Karpenter adds a node and takes one
    away: with `consolidateAfter: 0s` that is its own doing, of Spot nodes alone.
    """
    played.await_split(2)
    played.await_kept()
    scene, end = played.scene, time.monotonic() + LONG_QUIET_S
    kept, on_demand = anchored(scene), scene.counts().on_demand
    before = played.recording.observer().seen()
    while time.monotonic() < end:
        pod = scene.pods()[0]["metadata"]
        scene.plane.api().delete(f"/api/v1/namespaces/{SHOP}/pods/{pod['name']}")
        wait_until(scene.all_running, 60)
        time.sleep(30)
        assert anchored(scene) == kept
        assert scene.counts().on_demand == on_demand
    after = played.recording.observer().seen()
    moved = {name: after[name] - before[name] for name in ("marks", "evictions", "placeholders")}
    gone = gone_nodes(played.recording.history, POOL)
    played.clock.tell(f"{LONG_QUIET_S:g} s of churn: {moved}, {len(gone)} nodes went in all")
    assert set(moved.values()) == {0}


def keep_quiet(played: Played, seconds: float) -> None:
    """Look for a while at a pool that has settled: the same nodes, no mark, no room asked for."""
    before = node_uids(played.scene)
    seen = played.recording.observer().seen()
    anchors = anchored(played.scene)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert node_uids(played.scene) == before
        assert not own_pods(played.scene.plane, PLACEHOLDER)
        time.sleep(2)
    after = played.recording.observer().seen()
    assert (after["marks"], after["evictions"]) == (seen["marks"], seen["evictions"])
    assert anchored(played.scene) == anchors
    played.clock.tell(f"{seconds:g} s of quiet: no node went or came")


def node_uids(scene: ActiveScene) -> set[str]:
    return {node["metadata"]["uid"] for node in scene.nodes()}


def test_every_node_that_went_is_explained_and_nothing_was_broken(played: Played):
    scene = played.scene
    assert played.daemon.stop() == 0
    played.recording.__exit__()
    found = [u for u in unexplained(scene, played.recording) if u.uid not in played.lost]
    assert found == []
    most, node_s = surplus(played.recording.history, POOL, N_NODES)
    # The bound is a share of the nodes, and Karpenter adds some while it replaces others.
    bound = most_moving(N_NODES + most)
    observer = played.recording.observer(
        max_in_flight={POOL: bound, CLUSTER: bound},
        floors={POOL: 2},
        settle_s=SETTLE_S,
        anchors_stay=True,
    )
    gone = gone_nodes(played.recording.history, POOL)
    played.clock.tell(
        f"{observer.seen()}, {len(gone)} nodes went, at most {most} more than {N_NODES} nodes, "
        f"{node_s:.0f} node-seconds"
    )
    assert observer.breaches() == []
    assert scene.pool_is_unchanged()
    assert scene.all_running()
    # An anchor keeps no node on which nothing runs.
    assert anchored(scene) & empty_nodes(scene) == set()
    assert lasting_tethers(scene.plane) == []


def test_without_us_karpenter_would_give_the_floor_away(played: Played):
    if played.scene.shape.consolidation == "WhenEmpty":
        pytest.skip("this policy replaces no node")
    scene = played.scene
    assert not played.daemon.is_ready()
    before = scene.counts()
    # Anchors end by themselves half an hour later; here at once.
    scene.plane.api().delete(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={_ANCHORS}")
    wait_until(lambda: scene.counts().on_demand < before.on_demand, 290, every_s=1)
    played.clock.tell(f"without us: {before} became {scene.counts()}")
