"""Exactly the shipped rights: all of them are used, and with one less nothing is written at all."""

from collections.abc import Iterator

import pytest

from tests.active.scene.town import CONFIG_MAPS, POOL, town
from tests.controlplane.api import wait_until
from tests.controlplane.credentials import SHADOW_USER
from tests.deploy.manifests import ADVISE, active_roles, roles_of
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.kinds import REVIEWS
from tests.witness.judge.names import FREEZE
from tests.witness.recording import Recording
from tests.witness.writes import writes_of

pytestmark = pytest.mark.controlplane

USER = "replica-a"
Right = tuple[str, str, str, str]
"""API group, resource, verb, and the namespace or ""."""

OF_READING = "`check` asks for get, list and watch of every input in one"
ELSEWHERE: dict[Right, str] = {
    ("karpenter.sh", "nodepools", "get", ""): OF_READING,
    ("policy", "poddisruptionbudgets", "get", ""): OF_READING,
    ("apps", "replicasets", "get", ""): OF_READING,
    ("apps", "statefulsets", "get", ""): OF_READING,
    ("", "namespaces", "get", ""): OF_READING,
    ("", "events", "get", ""): OF_READING,
    ("metrics.k8s.io", "nodes", "get", ""): OF_READING,
    ("metrics.k8s.io", "pods", "get", ""): OF_READING,
    ("metrics.k8s.io", "pods", "list", ""): "tests/kube/usage/test_aggregated_api.py serves it",
    ("", "configmaps", "patch", "spotvortex"): "tests/e2e/test_kept_memory.py has the ConfigMap",
    ("batch", "jobs", "deletecollection", "spotvortex"): "tests/active/test_notices.py: lost nodes",
    ("", "events", "patch", ""): "only what is said of a node a second time is a patch",
}
"""Granted, and not used by what is tried here, with the reason; another one is a failure."""


@pytest.fixture(scope="module")
def place(starting):
    with town(starting) as built:
        yield built


def granted() -> set[Right]:
    """Every verb of every role that the active overlay gives; roles hold in their namespace."""
    found: set[Right] = set()
    for role in active_roles(SHADOW_USER):
        where = role["metadata"].get("namespace", "")
        for rule in role.get("rules", []):
            found |= {
                (group, resource, verb, where)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    return found


def used(recording) -> Iterator[Right]:
    """What the audit log says that we did, beside asking what we may."""
    for event in recording.events():
        target = event.get("objectRef") or {}
        ours = event["user"].get("username") == SHADOW_USER
        if not ours or not target.get("resource") or target["resource"] in REVIEWS:
            continue
        if event.get("responseStatus", {}).get("code", 200) == 403:
            continue
        part = f"/{target['subresource']}" if target.get("subresource") else ""
        yield (
            target.get("apiGroup", ""),
            f"{target['resource']}{part}",
            event["verb"],
            target.get("namespace", ""),
        )


def unused(rights: set[Right], done: set[Right]) -> set[Right]:
    """Leave out what was done, in the namespace of the right or, for one without, anywhere."""
    anywhere = {right[:3] for right in done}
    return {
        right
        for right in rights
        if right not in done and not (right[3] == "" and right[:3] in anywhere)
    }


def test_every_right_that_is_granted_is_used_by_a_fall_back_an_abort_and_a_return(place, tmp_path):
    with Recording(place.plane) as recording:
        with place.daemon(USER, tmp_path / "down") as daemon:
            wait_until(lambda: place.n_spot() <= 4, 90)
            place.await_wave()
            manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": FREEZE}}
            place.api.must("POST", CONFIG_MAPS, manifest)
            wait_until(place.is_quiet, 60)
            place.api.delete(f"{CONFIG_MAPS}/{FREEZE}")
            daemon.process.terminate()
            assert daemon.process.wait(60) == 0
        assert place.own_pods("anchor")
        changes = {"SPOTVORTEX_MAX_SPOT_RATIO": "1", "SPOTVORTEX_DWELL_S": "0"}
        with place.daemon(USER, tmp_path / "up", **changes) as daemon:
            before = len(place.own_pods("anchor"))
            wait_until(lambda: len(place.own_pods("anchor")) < before, 90)
            daemon.process.terminate()
            assert daemon.process.wait(60) == 0
    done = set(used(recording))
    never = unused(granted(), done)
    print("granted and not used:", *sorted(never), sep="\n  ")
    assert never <= set(ELSEWHERE)
    observer = recording.observer(max_in_flight={POOL: 6, CLUSTER: 6}, anchors_stay=True)
    print(observer.seen())
    assert observer.breaches() == []
    assert place.node_pool() == place.first_pool


def without(verb: str, resource: str):
    """The shipped roles but for one verb of one resource."""
    for role in active_roles(SHADOW_USER):
        for rule in role.get("rules", []):
            if resource in rule["resources"]:
                rule["verbs"] = [kept for kept in rule["verbs"] if kept != verb]
        if "rules" in role:
            role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
        yield role


@pytest.mark.parametrize(
    ("verb", "resource", "words"),
    [
        ("patch", "nodes", "patch nodes"),
        ("create", "jobs", "create batch/jobs in its own namespace"),
    ],
)
def test_with_one_right_to_write_less_it_advises_says_which_and_writes_nothing(
    place, tmp_path, verb, resource, words
):
    place.plane.apply(list(without(verb, resource)))
    try:
        with (
            Recording(place.plane) as recording,
            place.daemon(USER, tmp_path / "less") as daemon,
        ):
            daemon.wait_ready()
            wait_until(daemon.records, 60)
            assert daemon.records()[-1]["mode"] == "advise"
            said = daemon.log_path.read_text()
            assert "mode.weakened" in said
            assert f'missing="{words}"' in said
            assert daemon.stop() == 0
        written = writes_of(recording.events(), [SHADOW_USER])
        assert [str(w) for w in written if w.resource != "events"] == []
    finally:
        place.plane.apply(list(active_roles(SHADOW_USER)))


def test_without_a_provisioner_it_advises_says_so_and_writes_nothing(place, tmp_path):
    with (
        Recording(place.plane) as recording,
        place.daemon(USER, tmp_path / "none", SPOTVORTEX_PROVISIONER="none") as daemon,
    ):
        daemon.wait_ready()
        wait_until(daemon.records, 60)
        assert daemon.records()[-1]["mode"] == "advise"
        assert "SPOTVORTEX_PROVISIONER is none" in daemon.log_path.read_text()
        assert daemon.stop() == 0
    written = writes_of(recording.events(), [SHADOW_USER])
    assert [str(w) for w in written if w.resource != "events"] == []


def test_the_overlay_advise_says_what_it_would_do_at_the_nodes_and_writes_nothing_else(
    place, tmp_path
):
    """Under the rights of that overlay alone; the audit log says what was written."""
    writing = [m for m in active_roles(SHADOW_USER) if "Binding" in m["kind"]]
    for binding in writing:
        place.api.delete(place.api.path_of(binding))
    place.plane.apply(roles_of(ADVISE, SHADOW_USER))
    try:
        with (
            Recording(place.plane) as recording,
            place.daemon(USER, tmp_path / "advise", SPOTVORTEX_MODE="advise") as daemon,
        ):
            daemon.wait_ready()
            wait_until(lambda: advice(place), 60)
            assert "events.forbidden" not in daemon.log_path.read_text()
            assert daemon.stop() == 0
        written = writes_of(recording.events(), [SHADOW_USER])
        assert {w.resource for w in written} == {"events"}
    finally:
        place.plane.apply(active_roles(SHADOW_USER))


def advice(place):
    """The nodes that an Event advises to move, by what the API server keeps."""
    events = place.api.items("/api/v1/namespaces/default/events")
    return {e["involvedObject"]["name"] for e in events if e["reason"] == "SpotVortexAdvice"} & {
        node["metadata"]["name"] for node in place.nodes()
    }
