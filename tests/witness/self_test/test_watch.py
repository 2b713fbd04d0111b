"""The watch beside a scene: what it knows of each moment, also over an outage."""

import time
from dataclasses import replace

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.manifests import NodeShape, node_manifest
from tests.witness.watch import ClusterWatch, History, PodState

pytestmark = pytest.mark.controlplane


def test_a_node_is_known_as_it_was_at_each_moment(stage):
    node, api = stage.spot[0], stage.plane.api()
    name, uid = node["metadata"]["name"], node["metadata"]["uid"]
    with ClusterWatch(stage.plane) as watch:
        before = time.time()
        api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True}})
        wait_until(lambda: (n := watch.history.node_at(uid, time.time())) and n.cordoned)
        cordoned = time.time()
        api.delete(f"/api/v1/nodes/{name}")
    history = watch.history
    states = [history.node_at(uid, at) for at in (before, cordoned, time.time())]
    assert [state and state.cordoned for state in states] == [False, True, None]
    assert states[0] is not None
    assert (states[0].pool, states[0].capacity_type) == ("web", "spot")
    assert history.node_uid(name, before) == uid
    assert history.gone_by(uid, time.time())
    assert not history.gone_by(uid, cordoned)
    pod = stage.pods_on(node)[0]["metadata"]
    assert history.pod_at(pod["uid"], before).node == name


def test_what_happens_over_an_outage_is_seen_after_it(fresh_control_plane):
    plane = fresh_control_plane(with_controllers=False, with_scheduler=False)
    plane.api().create(node_manifest("goes", NodeShape()))
    with ClusterWatch(plane) as watch:
        plane.kill_apiserver()
        plane.start_apiserver()
        plane.api().delete("/api/v1/nodes/goes")
        plane.api().create(node_manifest("comes", NodeShape()))

        def seen() -> set[str]:
            return {node.name for node in watch.history.nodes_at(time.time())}

        wait_until(lambda: seen() == {"comes"})


def test_what_is_shown_late_is_moved_to_before_the_answer_that_it_came_before():
    pod = PodState(
        uid="p",
        namespace="own",
        name="room",
        node="",
        deleting=False,
        finished=False,
        held=False,
        stays=False,
    )
    shown = History()
    shown.add("pod", "p", 100.0, pod, revision=10)
    shown.add("pod", "p", 109.0, replace(pod, node="n"), revision=20)
    shown.add("pod", "p", 109.5, None, revision=40)
    # An answer of revision 30 at 104 s, and two of others that say nothing of the binding.
    moved = shown.corrected([(15, 101.0), (30, 104.0), (30, 108.0)])
    assert [at for at, _ in moved.pod_states("p")] == [100.0, 104.0, 109.5]
    assert moved.ever_on("n") == ["p"]
    assert [at for at, _ in shown.corrected([]).pod_states("p")] == [100.0, 109.0, 109.5]
