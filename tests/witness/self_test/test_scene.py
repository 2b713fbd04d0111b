"""The standard active scene comes up on real Karpenter, and one node can be moved in it by hand."""

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.witness.hand import Hand
from tests.witness.judge.names import ANCHOR, CAPACITY_TYPE
from tests.witness.recording import Recording
from tests.witness.scene import STATEFUL, ActiveScene, Counts, Shape, active_scene, is_ready

pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def scene():
    started: list[ControlPlane] = []

    def start(**options) -> ControlPlane:
        started.append(ControlPlane(**options))
        return started[0].start()

    # Whoever consolidates beside us would take the room that was asked for by hand.
    with active_scene(start, Shape(n_nodes=5, n_stateful=3, still=True)) as built:
        yield built
    started[0].stop()


def one_on_demand_node(scene: ActiveScene) -> list[dict]:
    nodes = scene.nodes()
    return [n for n in nodes if n["metadata"]["labels"][CAPACITY_TYPE] == "on-demand"]


def test_one_node_is_moved_by_hand_and_nothing_is_left(scene: ActiveScene):
    plane, start = scene.plane, scene.counts()
    assert start.on_demand == 0
    # Zones may ask for a node more than the number of pods does.
    assert 5 <= start.spot <= 8
    assert scene.n_ready() == 20
    assert {p["spec"]["terminationGracePeriodSeconds"] for p in scene.pods()} == {5}
    zones = {n["metadata"]["name"]: n["metadata"]["labels"] for n in scene.nodes()}
    stateful = [p for p in scene.pods() if p["metadata"]["name"].startswith(STATEFUL)]
    where = {zones[p["spec"]["nodeName"]]["topology.kubernetes.io/zone"] for p in stateful}
    assert len(where) == 3

    plane.grant("replica-a", "cluster-admin")
    hand = Hand(plane, "replica-a")
    hand.cpu = "900m"
    with Recording(plane) as recording:
        hand.take_lease(seconds=300)
        stateful_nodes = {p["spec"]["nodeName"] for p in stateful}
        node = next(n for n in scene.nodes() if n["metadata"]["name"] not in stateful_nodes)
        pods = [p for p in scene.pods() if p["spec"]["nodeName"] == node["metadata"]["name"]]
        assert pods
        keep: list[dict] = []

        def anchor() -> None:
            keep.extend(one_on_demand_node(scene))
            for number, receiver in enumerate(keep):
                hand.anchor(f"keep-{number}", receiver, "plan-1")
            assert "pod keep-0" in scene.ours_left()

        hand.move(node, pods, "plan-1", before_mark=anchor)
        hand.delete_claim(node)
        wait_until(lambda: scene.counts() == Counts(start.spot - 1, len(keep)), 120)
        wait_until(scene.all_running, 120)
        hand.delete_own(ANCHOR, plan="plan-1")
        wait_until(lambda: not scene.ours_left())
    observer = recording.observer(max_in_flight={"web": 1}, settle_s=60.0)
    assert observer.breaches() == []
    seen = observer.seen()
    assert (seen["placeholders"], seen["marks"], seen["evictions"]) == (len(pods), 1, len(pods))
    assert seen["without a mark"] == 0
    assert scene.pool_is_unchanged()


def test_the_scene_tells_what_has_changed(scene: ActiveScene):
    n_apps = len([p for p in scene.pods() if p["metadata"]["labels"]["app"] == "app-0"])
    scene.scale("app-0", n_apps + 1)
    wait_until(scene.all_running, 120)
    assert scene.n_ready() == 21
    assert scene.pool_is_unchanged()
    api = scene.plane.api()
    api.patch("/apis/karpenter.sh/v1/nodepools/web", {"spec": {"weight": 3}})
    assert not scene.pool_is_unchanged()
    pod = scene.pods()[0]
    path = "/api/v1/namespaces/{namespace}/pods/{name}".format_map(pod["metadata"])
    api.delete(path)
    # It takes its grace period to end, and does not count meanwhile.
    ending = api.get(path)
    assert ending["metadata"]["deletionTimestamp"]
    assert not is_ready(ending)
