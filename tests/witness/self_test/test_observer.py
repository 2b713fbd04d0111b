"""The observer finds each breach in a hand-driven scene, and nothing in a clean one."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from spotvortex.core.domain import labels
from tests.controlplane.credentials import SHADOW_USER
from tests.paths import ROOT
from tests.witness.hand import Hand, after_lag, pod_path
from tests.witness.judge import names
from tests.witness.judge.case import CLUSTER, Breach
from tests.witness.judge.names import ANCHOR, CAPACITY_TYPE, NAMESPACE, PLACEHOLDER
from tests.witness.judge.observer import Observer
from tests.witness.recording import Recording

pytestmark = pytest.mark.controlplane


def observed(stage, play: Callable[[Hand], object], *, lease: bool = True, **rules) -> list[Breach]:
    """Play a scene with one hand, and return what the observer says of it."""
    with Recording(stage.plane) as recording:
        hand = stage.hand()
        if lease:
            hand.take_lease()
        play(hand)
    return recording.breaches(**rules)


def remove(stage, node) -> None:
    """Take a drained node away, as its provisioner does."""
    stage.plane.api().delete(f"/api/v1/nodes/{node['metadata']['name']}")


def empty_as_one_wave(stage, hand: Hand, *nodes) -> None:
    """Mark nodes for one plan, evict all their pods, and clean up."""
    for node in nodes:
        hand.mark(node, "plan-1")
    for node in nodes:
        for pod in stage.pods_on(node):
            hand.evict(pod)
    hand.delete_own(PLACEHOLDER, plan="plan-1")
    for node in nodes:
        hand.unmark(node)


def only(breaches: list[Breach], invariant: int, words: str) -> None:
    """Assert that there are breaches of one invariant alone, and that one says so."""
    assert {b.invariant for b in breaches} == {invariant}, breaches
    assert any(words in b.text for b in breaches), breaches


def test_a_clean_wave_breaches_nothing(stage):
    first, second, _ = stage.spot

    def play(hand: Hand) -> None:
        hand.anchor("keep", stage.on_demand[0], "plan-1")
        hand.move(first, stage.pods_on(first), "plan-1")
        remove(stage, first)
        after_lag(2.2)
        hand.move(second, stage.pods_on(second), "plan-2")
        hand.unmark(second)
        hand.delete_own(ANCHOR, uid=stage.on_demand[0]["metadata"]["uid"])

    rules = {
        "max_in_flight": {"web": 1, CLUSTER: 1},
        "floors": {"web": 2},
        "settle_s": 2.0,
        "wave_slack_s": 0.5,
    }
    assert observed(stage, play, **rules) == []


def test_1_a_write_in_shadow_is_found_even_when_it_is_refused(stage):
    def play(hand: Hand) -> None:
        assert hand.evict({"metadata": {"namespace": "no", "name": "no", "uid": "no"}}) == 404

    only(observed(stage, play, shadow=True), 1, "in shadow: create pods/eviction no/no")


def test_1_reading_and_asking_for_rights_is_no_write(stage):
    def play(hand: Hand) -> None:
        hand.api.get("/api/v1/nodes?limit=1")
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        attributes = {"resourceAttributes": {"verb": "list", "resource": "pods"}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        hand.api.must("POST", path, review | {"spec": attributes})

    assert observed(stage, play, lease=False, shadow=True) == []


def test_2_an_eviction_without_a_mark_is_found(stage):
    node = stage.spot[0]
    only(observed(stage, lambda hand: hand.evict(stage.pods_on(node)[0])), 2, "without a mark")


def test_2_an_eviction_without_room_is_found(stage):
    node = stage.spot[0]

    def play(hand: Hand) -> None:
        hand.mark(node, "plan-1")
        hand.evict(stage.pods_on(node)[0])
        hand.unmark(node)

    only(observed(stage, play), 2, "plan-1: 1 pods evicted, room was asked for 0")


def test_2_room_that_is_not_bound_when_the_node_is_marked_is_found(stage):
    node = stage.spot[0]

    def play(hand: Hand) -> None:
        hand.placeholder("lost", node, "plan-1", place="nowhere")
        hand.mark(node, "plan-1")
        hand.evict(stage.pods_on(node)[0])
        hand.delete_own(PLACEHOLDER, plan="plan-1")
        hand.unmark(node)

    only(observed(stage, play), 2, "marked with room for 0 of 1 pods")


def test_2_room_that_comes_after_the_mark_is_found(stage):
    node = stage.spot[0]

    def play(hand: Hand) -> None:
        hand.mark(node, "plan-1")
        after_lag()
        hand.placeholder("late", node, "plan-1")
        hand.await_running("late")
        hand.evict(stage.pods_on(node)[0])
        hand.delete_own(PLACEHOLDER, plan="plan-1")
        hand.unmark(node)

    only(observed(stage, play), 2, "marked with room for 0 of 1 pods")


def test_2_room_of_a_wave_that_is_too_little_for_its_second_node_is_found(stage):
    first, second, _ = stage.spot

    def play(hand: Hand) -> None:
        for name, node in (("one", first), ("two", first), ("three", second)):
            hand.placeholder(name, node, "plan-1")
        hand.await_running("one", "two", "three")
        empty_as_one_wave(stage, hand, first, second)

    breaches = observed(stage, play)
    only(breaches, 2, "marked with room for 3 of 4 pods")
    assert any("4 pods evicted, room was asked for 3" in b.text for b in breaches)


def test_2_the_room_of_a_wave_is_nobodys_own(stage):
    first, second, _ = stage.spot

    def play(hand: Hand) -> None:
        names = ["one", "two", "three", "four"]
        for name in names:
            hand.placeholder(name, first if name != "four" else second, "plan-1")
        hand.await_running(*names)
        empty_as_one_wave(stage, hand, first, second)

    # That one node asked for more than it had pods is another matter.
    assert {b.invariant for b in observed(stage, play)} == {9}


def test_2_a_node_that_is_lost_anyway_needs_no_room_first(stage):
    node = stage.spot[0]

    def play(hand: Hand) -> None:
        hand.mark(node, "notice-1", kind="interruption")
        hand.evict(stage.pods_on(node)[0])
        remove(stage, node)

    assert observed(stage, play) == []


def test_3_a_mark_over_the_bound_is_found(stage):
    first, second, third = stage.spot
    admin = stage.plane.api()

    def play(hand: Hand) -> None:
        admin.patch(f"/api/v1/nodes/{third['metadata']['name']}", {"spec": {"unschedulable": True}})
        after_lag(1.2)
        hand.mark(first, "plan-1")
        hand.mark(second, "plan-1")
        hand.unmark(first)
        hand.unmark(second)

    breaches = observed(stage, play, max_in_flight={"web": 2})
    only(breaches, 3, "is number 3 on the move in pool web, at most 2")
    assert len(breaches) == 1


def test_4_a_mark_below_the_floor_is_found(stage):
    node = stage.on_demand[0]

    def play(hand: Hand) -> None:
        hand.mark(node, "plan-1")
        hand.unmark(node)

    only(observed(stage, play, floors={"web": 2}), 4, "leaves 1 on-demand nodes in web")


def test_4_a_node_that_goes_without_its_anchor_is_found(stage):
    node = stage.on_demand[0]

    def play(hand: Hand) -> None:
        hand.anchor("keep", node, "plan-1")
        hand.delete_own(ANCHOR, uid=node["metadata"]["uid"])
        remove(stage, node)

    only(observed(stage, play, floors={"web": 2}), 4, "went without its anchor")


def test_5_a_node_that_stays_marked_is_found(stage):
    node = stage.spot[0]
    breaches = observed(stage, lambda hand: hand.mark(node, "plan-1"))
    only(breaches, 5, "is still marked by SpotVortex at the end")
    assert breaches[0].events


def test_6_an_eviction_of_a_pod_that_must_not_be_disrupted_is_found(stage):
    node = stage.spot[0]
    held = stage.add_pod(node, annotations={names.DO_NOT_DISRUPT: "true"})

    def play(hand: Hand) -> None:
        hand.move(node, [held], "plan-1")
        hand.unmark(node)

    only(observed(stage, play), 6, "although it must not be disrupted")


def test_6_a_pod_deleted_past_the_eviction_api_is_found(stage):
    pod = stage.pods_on(stage.spot[0])[0]
    breaches = observed(stage, lambda hand: hand.api.delete(pod_path(pod)))
    only(breaches, 6, "a pod of others deleted past the Eviction API")


def test_0_writes_to_what_is_not_ours_are_found(stage):
    node = stage.spot[0]
    uid = node["metadata"]["uid"]

    def play(hand: Hand) -> None:
        hand.patch_node(node, {"metadata": {"uid": uid, "labels": {"their": "label"}}})
        hand.patch_node(node, {"metadata": {"uid": uid}, "spec": {"taints": None}})
        hand.api.patch("/apis/karpenter.sh/v1/nodepools/web", {"spec": {"weight": 7}})

    breaches = observed(stage, play)
    only(breaches, 0, "a node's their written")
    assert len(breaches) == 3


def test_7_writes_without_preconditions_are_found(stage):
    node, pod = stage.spot[0], stage.pods_on(stage.spot[0])[0]

    def play(hand: Hand) -> None:
        hand.move(node, stage.pods_on(node)[1:], "plan-1")
        hand.mark(node, "plan-1", uid=None)
        hand.evict(pod, uid=False)
        hand.unmark(node)
        claims = "/apis/karpenter.sh/v1/nodeclaims/none"
        assert hand.api.request("DELETE", claims)[0] == 404

    breaches = [b.text for b in observed(stage, play) if b.invariant == 7]
    assert len(breaches) == 3
    for words in ("a node written without", "an eviction without", "a NodeClaim deleted without"):
        assert any(words in text for text in breaches), breaches


def test_7_a_mark_in_two_steps_is_found(stage):
    node = stage.spot[0]

    def play(hand: Hand) -> None:
        hand.mark(node, "plan-1", labels={})
        hand.unmark(node)

    only(observed(stage, play), 7, "not cordon, label and journal in one")


def test_7_a_write_without_any_lease_is_found(stage):
    node = stage.spot[0]

    def play(hand: Hand) -> None:
        hand.mark(node, "plan-1")
        hand.unmark(node)

    only(observed(stage, play, lease=False), 7, "while nobody held the lease")


def test_7_a_leader_that_writes_after_another_took_over_is_found(stage):
    first, second, _ = stage.spot

    def play(hand: Hand) -> None:
        hand.mark(first, "plan-1")
        other = stage.hand("replica-b")
        other.take_lease()
        other.unmark(first)
        hand.mark(second, "plan-1")
        other.unmark(second)

    breaches = observed(stage, play)
    only(breaches, 7, "while replica-b-pod held the lease")
    assert len(breaches) == 1


def test_7_a_write_after_the_lease_has_run_out_or_was_released_is_found(stage):
    first, second, _ = stage.spot

    def play(hand: Hand) -> None:
        hand.take_lease(seconds=1)
        hand.mark(first, "plan-1")
        after_lag(1.2)
        hand.unmark(first)
        hand.take_lease()
        hand.release_lease()
        hand.mark(second, "plan-1")

    breaches = observed(stage, play, orders_stay=True)
    only(breaches, 7, "while nobody held the lease")
    assert len(breaches) == 2


def test_8_a_wave_within_the_settle_window_is_found(stage):
    first, second, _ = stage.spot

    def play(hand: Hand) -> None:
        for node, plan in ((first, "plan-1"), (second, "plan-2")):
            hand.move(node, stage.pods_on(node), plan)
            hand.unmark(node)

    only(observed(stage, play, settle_s=60.0), 8, "at least 60 s are due")


def test_8_a_wave_within_a_wave_is_found(stage):
    first, second, _ = stage.spot

    def play(hand: Hand) -> None:
        def other() -> None:
            hand.move(second, stage.pods_on(second), "plan-2")
            hand.unmark(second)

        hand.move(first, stage.pods_on(first), "plan-1", before_mark=other)
        hand.unmark(first)

    only(observed(stage, play), 8, "which was not over")


def test_9_a_pod_that_is_evicted_twice_is_found(stage):
    node, pods = stage.spot[0], stage.pods_on(stage.spot[0])
    patient = stage.add_pod(node, annotations={"test.spotvortex.io/hold": "true"})

    def play(hand: Hand) -> None:
        for number in range(2):
            hand.placeholder(f"room-{number}", node, "plan-1")
        hand.await_running("room-0", "room-1")
        hand.mark(node, "plan-1")
        for pod in (pods[0], patient, patient):
            assert hand.evict(pod) == 201
        hand.delete_own(PLACEHOLDER, plan="plan-1")
        hand.unmark(node)

    only(observed(stage, play), 9, "evicted 2 times")


def test_9_room_that_somebody_else_took_away_may_be_asked_for_again(stage):
    node = stage.spot[0]
    lost = {"metadata": {"namespace": NAMESPACE, "name": "room-0"}}

    def play(hand: Hand) -> None:
        for name in ("room-0", "room-1"):
            hand.placeholder(name, node, "plan-1")
        stage.plane.api().delete(pod_path(lost), {"gracePeriodSeconds": 0})
        hand.placeholder("room-0", node, "plan-1")
        hand.await_running("room-0", "room-1")
        hand.mark(node, "plan-1")
        for pod in stage.pods_on(node):
            hand.evict(pod)
        hand.delete_own(PLACEHOLDER, plan="plan-1")
        hand.unmark(node)

    assert observed(stage, play) == []


def test_9_a_second_set_of_the_same_plan_is_found(stage):
    node = stage.spot[0]

    def play(hand: Hand) -> None:
        for number in range(3):
            hand.placeholder(f"room-{number}", node, "plan-1")
        hand.delete_own(PLACEHOLDER, plan="plan-1")
        hand.await_gone({"metadata": {"namespace": NAMESPACE, "name": "room-0"}})
        hand.placeholder("room-0", node, "plan-1")
        hand.delete_own(PLACEHOLDER, plan="plan-1")

    breaches = observed(stage, play)
    only(breaches, 9, "asked for room-0 again")
    only(breaches, 9, "asked for room for 3 pods, its node had 2")


def test_9_a_second_set_of_another_plan_is_found(stage):
    node = stage.spot[0]

    def play(hand: Hand) -> None:
        hand.placeholder("one", node, "plan-1")
        hand.await_running("one")
        hand.delete_own(PLACEHOLDER, plan="plan-1")
        after_lag(1.2)
        hand.placeholder("two", node, "plan-2")
        after_lag(1.2)
        hand.placeholder("three", node, "plan-3")
        after_lag(1.2)
        hand.delete_own(PLACEHOLDER, uid=node["metadata"]["uid"])

    breaches = [b for b in observed(stage, play) if b.invariant == 9]
    assert [b.text.split(" both")[0] for b in breaches] == ["plans plan-2 and plan-3"]


def test_11_pods_of_ours_that_are_left_are_found(stage):
    node = stage.on_demand[0]

    def play(hand: Hand) -> None:
        hand.anchor("left-anchor", node, "plan-1")
        hand.placeholder("left-placeholder", stage.spot[0], "plan-1", **{CAPACITY_TYPE: "none"})

    breaches = observed(stage, play)
    only(breaches, 11, "anchor left-anchor is left")
    only(breaches, 11, "placeholder left-placeholder is left")


def test_the_writes_of_others_are_not_ours(stage):
    node = stage.spot[0]
    with Recording(stage.plane) as recording:
        admin = Hand(stage.plane, "admin")
        admin.evict(stage.pods_on(node)[0], uid=False)
        admin.api.delete(pod_path(stage.pods_on(node)[1]))
    assert recording.breaches() == []
    events = stage.plane.audit_events()
    assert Observer(events, [SHADOW_USER]).case.writes


def steer(hand: Hand, change) -> None:
    """Write on the NodePool `web` under the version that it has."""
    path = "/apis/karpenter.sh/v1/nodepools/web"
    version = hand.api.get(path)["metadata"]["resourceVersion"]
    metadata = {"resourceVersion": version} | change.pop("metadata", {})
    hand.api.patch(path, {"metadata": metadata} | change)


def test_a_nodepool_is_written_where_pairs_are_steered_alone(stage):
    def weigh(hand: Hand) -> None:
        note = {"annotations": {names.RESTORE: "{}"}}
        steer(hand, {"metadata": note, "spec": {"weight": 10, "limits": {"cpu": "8"}}})

    assert observed(stage, weigh, steers=True) == []
    only(observed(stage, weigh), 0, "not ours to write")


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"limits": {"memory": "1Ti"}}},
        {"spec": {"disruption": {"consolidateAfter": "1m"}}},
        {"metadata": {"annotations": {"team": "ours"}}},
    ],
)
def test_nothing_else_of_a_nodepool_is_ours_to_write(stage, change):
    found = observed(stage, lambda hand: steer(hand, dict(change)), steers=True)
    only(found, 0, "a NodePool's")


def test_the_names_are_those_of_the_product():
    shared = [name for name in vars(names) if name.isupper() and hasattr(labels, name)]
    assert len(shared) >= 13
    assert {n: getattr(names, n) for n in shared} == {n: getattr(labels, n) for n in shared}


def test_the_observer_imports_nothing_of_the_product():
    code = (
        "import sys, tests.witness.judge.observer, tests.witness.recording\n"
        "print([name for name in sys.modules if name.startswith('spotvortex')])"
    )
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
