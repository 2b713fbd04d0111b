"""With our own token, what a request changes is bounded even where its right is granted."""

import itertools
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.domain.labels import PodKind, pod_labels
from spotvortex.kube.write.manifests import owner_job, owner_reference, room_job
from tests.controlplane.api import MERGE_PATCH, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    NodeShape,
    PodShape,
    namespace_manifest,
    node_manifest,
    nodepool_manifest,
    pod_manifest,
)
from tests.deploy.manifests import ACTIVE, active_bounds, active_fence, active_roles

pytestmark = pytest.mark.controlplane

MARK = {
    "metadata": {
        "labels": {labels.CORDONED: labels.CORDONED_VALUE},
        "annotations": {labels.DRAIN: "{}"},
    },
    "spec": {"unschedulable": True},
}
UNMARK = {
    "metadata": {"labels": {labels.CORDONED: None}, "annotations": {labels.DRAIN: None}},
    "spec": {"unschedulable": None},
}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
CLAIM_SPEC = {
    "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
    "requirements": [],
}
numbers = itertools.count()


class Place:
    """One namespace as ours is, a user behind the fence, and the admin who sets scenes."""

    def __init__(
        self, plane: ControlPlane, user: str, namespace: str, overlay: Path = ACTIVE
    ) -> None:
        self.plane, self.overlay = plane, overlay
        self.namespace, self.username = namespace, plane.username(user)
        self.admin, self.us = plane.api(), plane.api(user)
        here = namespace_manifest(namespace)
        here["metadata"]["labels"] = RESTRICTED
        self.admin.apply([here, *active_bounds(namespace)])
        self.tether = self.admin.create(
            owner_job(f"{labels.TETHER_PREFIX}scene", namespace, labels.LONGEST_LIFE_S)
        )

    def put_up_the_fence(self):
        self.admin.apply(active_fence(self.username, self.namespace, self.overlay))
        wait_until(self._refuses_nodes, 60)
        # Each policy, and each right, is taken up in its own time; a dry run does no harm.
        job = owner_job(f"{labels.TETHER_PREFIX}probe", self.namespace, 60)
        untied, other = self.pod(), deepcopy(job)
        del untied["metadata"]["ownerReferences"]
        other["metadata"]["name"] = "other"
        wait_until(lambda: all(is_fenced(self.try_out(m)) for m in (untied, other)), 60)
        wait_until(lambda: all(self.try_out(m)[0] == 201 for m in (self.pod(), job)), 60)

    def clear(self):
        """Take away what other tests of the session would meet: nodes, policies, rights."""
        for manifest in active_fence(self.username, self.namespace, self.overlay):
            self.admin.delete(self.admin.path_of(manifest))
        for node in self.admin.items("/api/v1/nodes"):
            if node["metadata"]["name"].startswith(self.namespace):
                self.admin.delete(f"/api/v1/nodes/{node['metadata']['name']}")
        self.admin.delete(f"/api/v1/namespaces/{self.namespace}")

    def _refuses_nodes(self):
        name = self.node()
        changed = self.patch(name, {"metadata": {"labels": {"a": "b"}}}, query="?dryRun=All")
        return is_fenced(changed)

    def node(self, *, cordoned=False, **shape) -> str:
        manifest = node_manifest(f"{self.namespace}-{next(numbers)}", NodeShape(**shape))
        manifest["spec"]["unschedulable"] = cordoned
        return self.admin.create(manifest)["metadata"]["name"]

    def patch(self, node, change, *, part="", query=""):
        path = f"/api/v1/nodes/{node}{part}{query}"
        return self.us.request("PATCH", path, change, content_type=MERGE_PATCH)

    def pod(self, kind=PodKind.PLACEHOLDER, **spec):
        name = f"{kind}-{next(numbers)}"
        own = {"priorityClassName": labels.PRIORITY_CLASS}
        if kind is PodKind.ANCHOR:
            own = {"nodeName": self.node()}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": pod_labels(kind, plan_id="p-1", for_uid="u-1", pool="web"),
                "ownerReferences": [
                    owner_reference(self.tether["metadata"]["name"], self.tether["metadata"]["uid"])
                ],
            },
            "spec": self._quiet() | own | spec,
        }

    def rooms(self, **spec):
        """A Job that makes placeholders."""
        pod = self.pod()
        job = room_job(f"{labels.TETHER_PREFIX}{next(numbers)}", pod, 2, 600)
        return job | {"spec": job["spec"] | spec}

    def _quiet(self):
        job = owner_job(f"{labels.TETHER_PREFIX}x", self.namespace, 60)
        template = deepcopy(job["spec"]["template"]["spec"])
        requests = {"cpu": "1m", "memory": "1Mi"}
        template["containers"][0]["resources"] = {"requests": requests}
        return template | {"activeDeadlineSeconds": 600, "terminationGracePeriodSeconds": 0}

    def try_out(self, manifest):
        path = f"{self.admin.collection_of(manifest)}?dryRun=All"
        return self.us.request("POST", path, manifest)

    def create(self, manifest):
        return self.us.request("POST", self.admin.collection_of(manifest), manifest)


def is_fenced(answer) -> bool:
    status, body = answer
    told = body.get("message", "")
    assert "resulted in error" not in told, told
    return status == 422 and "ValidatingAdmissionPolicy" in told


@pytest.fixture(scope="module")
def ours(control_plane: ControlPlane) -> Iterator[Place]:
    """Our account with the rights that are shipped, and behind the fence."""
    place = Place(control_plane, "spotvortex-active", "fence-ours")
    place.admin.apply(active_roles(place.username, place.namespace))
    place.put_up_the_fence()
    yield place
    place.clear()


@pytest.fixture(scope="module")
def wide(control_plane: ControlPlane) -> Iterator[Place]:
    """Our account as somebody made it the cluster's admin by mistake, behind the same fence."""
    place = Place(control_plane, "spotvortex-wide", "fence-wide")
    control_plane.grant("spotvortex-wide", "cluster-admin")
    place.put_up_the_fence()
    yield place
    place.clear()


def ok(answer):
    status, body = answer
    assert status < 300, body["message"]
    return body


def test_a_node_is_marked_journalled_and_unmarked(ours):
    node = ours.node(labels={"team": "shop"}, annotations={"note": "keep"})
    marked = ok(ours.patch(node, MARK))
    assert marked["spec"]["unschedulable"] is True
    ok(ours.patch(node, {"metadata": {"annotations": {labels.DRAIN: '{"phase": "Evicting"}'}}}))
    ok(ours.patch(node, MARK))
    unmarked = ok(ours.patch(node, UNMARK))
    assert not unmarked["spec"].get("unschedulable")
    assert labels.CORDONED not in unmarked["metadata"]["labels"]
    assert unmarked["metadata"]["annotations"]["note"] == "keep"


def test_what_a_person_uncordoned_is_unmarked_and_not_cordoned_again(ours):
    node = ours.node()
    ok(ours.patch(node, MARK))
    ours.admin.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})
    assert is_fenced(ours.patch(node, {"spec": {"unschedulable": True}}))
    ok(ours.patch(node, UNMARK))


def test_risk_is_noted_on_a_node_and_taken_off(ours):
    node = ours.node()
    for value in ("{}", None):
        ok(ours.patch(node, {"metadata": {"annotations": {labels.AT_RISK: value}}}))


def keeping(disabled="true", note="{}"):
    return {"metadata": {"annotations": {labels.SCALE_DOWN_DISABLED: disabled, labels.KEPT: note}}}


def test_a_node_is_kept_from_scale_down_handed_on_and_given_back(ours):
    node = ours.node(annotations={"note": "keep"})
    for change in (keeping(), keeping(note='{"v":1}'), keeping(None, None)):
        notes = ok(ours.patch(node, change))["metadata"]["annotations"]
    assert notes["note"] == "keep"
    assert not {labels.KEPT, labels.SCALE_DOWN_DISABLED} & notes.keys()


def test_a_note_of_ours_goes_where_a_person_took_away_what_it_stood_for(ours):
    node = ours.node()
    ok(ours.patch(node, keeping()))
    change = {"metadata": {"annotations": {labels.SCALE_DOWN_DISABLED: None}}}
    ours.admin.patch(f"/api/v1/nodes/{node}", change)
    ok(ours.patch(node, keeping()))
    ours.admin.patch(f"/api/v1/nodes/{node}", change)
    ok(ours.patch(node, keeping(None, None)))


def test_placeholders_anchors_and_tethers_are_made_and_deleted(ours):
    for kind in PodKind:
        manifest = ours.pod(kind)
        ok(ours.create(manifest))
    pods = f"/api/v1/namespaces/{ours.namespace}/pods"
    ok(ours.us.request("DELETE", f"{pods}?labelSelector={labels.selector()}"))
    job = owner_job(f"{labels.TETHER_PREFIX}y", ours.namespace, 60)
    ok(ours.create(job))
    assert ours.us.request("DELETE", ours.admin.path_of(job))[0] == 403
    ok(ours.create(ours.rooms()))
    path = f"{ours.admin.collection_of(job)}?labelSelector={labels.selector(plan='p-1')}"
    ok(ours.us.request("DELETE", path))


def test_a_pod_elsewhere_is_evicted_by_its_uid_alone(ours):
    pod = ours.admin.create(pod_manifest("evicted", PodShape(node_name=ours.node())))
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "evicted", "namespace": "default"},
    }
    path = "/api/v1/namespaces/default/pods/evicted/eviction"
    assert is_fenced(ours.us.request("POST", path, eviction))
    exact = {"deleteOptions": {"preconditions": {"uid": pod["metadata"]["uid"]}}}
    ok(ours.us.request("POST", path, eviction | exact))


def test_a_claim_is_deleted_by_its_uid_alone(ours):
    claim = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": "fenced"},
        "spec": CLAIM_SPEC,
    }
    uid = ours.admin.create(claim)["metadata"]["uid"]
    path = ours.admin.path_of(claim)
    # Each policy is taken up in its own time; a dry run does no harm meanwhile.
    wait_until(lambda: is_fenced(ours.us.request("DELETE", f"{path}?dryRun=All")), 30)
    assert is_fenced(ours.us.request("DELETE", path))
    assert ours.us.request("GET", path)[0] == 200
    ok(ours.us.request("DELETE", path, {"preconditions": {"uid": uid}}))


def test_our_state_lease_and_events_are_written(ours):
    state = configmap(labels.STATE, ours.namespace)
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": labels.LEASE, "namespace": ours.namespace},
    }
    for manifest in (state, lease):
        stored = ok(ours.create(manifest))
        ok(ours.us.request("PUT", ours.admin.path_of(manifest), stored))
        ok(ours.us.request("GET", ours.admin.path_of(manifest)))
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "drained", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": "a"},
    }
    ok(ours.create(event))
    path = ours.admin.path_of(event)
    ok(ours.us.request("PATCH", path, {"count": 2}, content_type=MERGE_PATCH))


def configmap(name, namespace):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
    }


def test_rights_end_where_the_fence_need_not_stand(ours):
    foreign = configmap("foreign", ours.namespace)
    freeze = configmap(labels.FREEZE, ours.namespace)
    ours.admin.apply([foreign, freeze])
    assert ours.us.request("GET", ours.admin.path_of(freeze))[0] == 200
    assert ours.us.request("DELETE", ours.admin.path_of(freeze))[0] == 403
    assert ours.us.request("GET", ours.admin.path_of(foreign))[0] == 403
    ours.admin.delete(ours.admin.path_of(freeze))
    elsewhere = ours.pod()
    elsewhere["metadata"]["namespace"] = "default"
    assert ours.create(elsewhere)[0] == 403
    assert ours.patch(ours.node(), {"status": {"phase": "Running"}}, part="/status")[0] == 403
    assert ours.us.request("DELETE", f"/api/v1/nodes/{ours.node()}")[0] == 403
    assert ours.us.request("GET", "/api/v1/secrets")[0] == 403


LABELS = "of a node's labels only"
NOTES = "of a node's annotations only"
META = "of a node's metadata only"
SPEC = "of a node's spec only"
TOGETHER = "our label goes onto a node with our cordon and our journal alone"
CORDON = "a cordon comes and goes with our label alone"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"metadata": {"labels": {"team": "ours"}}}, LABELS),
        ({"metadata": {"labels": {"team": None}}}, LABELS),
        ({"metadata": {"labels": {labels.POOL: "web"}}}, LABELS),
        ({"metadata": {"annotations": {"note": "changed"}}}, NOTES),
        ({"metadata": {"annotations": {"note": None}}}, NOTES),
        ({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}}, NOTES),
        ({"metadata": {"annotations": {"spotvortex.io/other": "x"}}}, NOTES),
        ({"metadata": {"finalizers": ["spotvortex.io/last"]}}, META),
        ({"metadata": {"ownerReferences": [owner_reference("a", "b")]}}, META),
        ({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, SPEC),
        ({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}}, SPEC),
        ({"spec": {"unschedulable": True}}, CORDON),
        ({"metadata": MARK["metadata"]}, TOGETHER),
        ({"metadata": {"labels": MARK["metadata"]["labels"]}, "spec": MARK["spec"]}, TOGETHER),
        (MARK | {"metadata": MARK["metadata"] | {"labels": {labels.CORDONED: "yes"}}}, TOGETHER),
    ],
)
def test_a_foreign_change_of_a_node_is_refused(wide, change, why):
    node = wide.node(labels={"team": "shop"}, annotations={"note": "keep"})
    refused = wide.patch(node, change)
    assert is_fenced(refused)
    assert why in refused[1]["message"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (keeping(None, None), keeping(note=None)),
        (keeping(None, None), keeping(disabled=None)),
        (keeping(None, None), keeping(disabled="false")),
        (keeping(note=None), keeping(None, None)),
        (keeping(note=None), keeping()),
        (keeping(note=None), keeping(disabled="false", note=None)),
        (keeping(), keeping(note=None)),
        (keeping(), keeping(disabled=None)),
    ],
)
def test_what_keeps_a_node_comes_and_goes_with_our_note_alone(wide, before, after):
    node = wide.node()
    wide.admin.patch(f"/api/v1/nodes/{node}", before)
    refused = wide.patch(node, after)
    assert is_fenced(refused)
    assert "scale-down-disabled comes with our note of it" in refused[1]["message"]


@pytest.mark.parametrize("change", [MARK, {"spec": {"unschedulable": None}}])
def test_a_persons_cordon_is_neither_taken_over_nor_lifted(wide, change):
    assert is_fenced(wide.patch(wide.node(cordoned=True), change))


@pytest.mark.parametrize(
    "change",
    [
        {"spec": UNMARK["spec"]},
        {"metadata": UNMARK["metadata"]},
        {"metadata": {"labels": {labels.CORDONED: None}}, "spec": UNMARK["spec"]},
    ],
)
def test_no_cordon_of_ours_is_ever_without_its_label(wide, change):
    node = wide.node()
    ok(wide.patch(node, MARK))
    assert is_fenced(wide.patch(node, change))


def test_nodes_are_neither_made_nor_deleted_nor_is_their_status_written(wide):
    node = wide.node()
    assert is_fenced(wide.create(node_manifest("made-by-us")))
    assert is_fenced(wide.us.request("DELETE", f"/api/v1/nodes/{node}"))
    assert is_fenced(wide.patch(node, {"status": {"phase": "Running"}}, part="/status"))


@pytest.mark.parametrize(
    "spec",
    [
        {"activeDeadlineSeconds": None},
        {"activeDeadlineSeconds": labels.LONGEST_LIFE_S + 1},
        {"automountServiceAccountToken": None},
        {"priorityClassName": None},
        {"priorityClassName": "system-cluster-critical", "priority": None},
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {"initContainers": [{"name": "i", "image": "example.test/i:1"}]},
        {"hostNetwork": True},
        {"containers": []},
    ],
)
def test_a_pod_that_does_more_than_ask_for_room_is_refused(wide, spec):
    manifest = wide.pod()
    manifest["spec"] = {k: v for k, v in (manifest["spec"] | spec).items() if v is not None}
    # Restricted pod security may be the first to say no.
    assert wide.create(manifest)[0] in {403, 422}
    ok(wide.create(wide.pod()))


@pytest.mark.parametrize("missing", [labels.MANAGED_BY, labels.KIND, labels.PLAN, labels.FOR])
def test_a_pod_without_our_labels_is_refused(wide, missing):
    manifest = wide.pod()
    del manifest["metadata"]["labels"][missing]
    assert is_fenced(wide.create(manifest))


def test_a_pod_that_would_stay_or_run_a_command_is_refused(wide):
    untied, busy, loose = wide.pod(), wide.pod(), wide.pod(PodKind.ANCHOR)
    del untied["metadata"]["ownerReferences"]
    busy["spec"]["containers"][0]["command"] = ["sh"]
    del loose["spec"]["nodeName"]
    assert [is_fenced(wide.create(m)) for m in (untied, busy, loose)] == [True] * 3


def test_a_pod_elsewhere_and_a_pod_of_others_are_left_alone(wide):
    elsewhere = wide.pod()
    elsewhere["metadata"]["namespace"] = "default"
    assert wide.create(elsewhere)[0] == 422
    theirs = wide.admin.create(pod_manifest("theirs", PodShape(node_name=wide.node())))
    path = wide.admin.path_of(theirs)
    assert is_fenced(wide.us.request("DELETE", path))
    patch = {"metadata": {"labels": {"a": "b"}}}
    assert is_fenced(wide.us.request("PATCH", path, patch, content_type=MERGE_PATCH))
    quiet = wide.pod()
    quiet["metadata"]["labels"] = {"app": "other"}
    wide.admin.create(quiet)
    assert is_fenced(wide.us.request("DELETE", wide.admin.path_of(quiet)))


@pytest.mark.parametrize(
    "spec",
    [
        {"completions": 1},
        {"parallelism": 1},
        {"ttlSecondsAfterFinished": None},
        {"ttlSecondsAfterFinished": labels.LONGEST_LIFE_S + 1},
    ],
)
def test_a_job_that_would_run_or_stay_is_refused(wide, spec):
    job = owner_job(f"{labels.TETHER_PREFIX}{next(numbers)}", wide.namespace, 60)
    job["spec"] = {k: v for k, v in (job["spec"] | spec).items() if v is not None}
    assert is_fenced(wide.create(job))


@pytest.mark.parametrize(
    "spec",
    [
        {"backoffLimitPerIndex": 1},
        {"completionMode": "NonIndexed", "backoffLimitPerIndex": None},
        {"completions": 10_001, "parallelism": 10_001},
        {"parallelism": 1},
        {"activeDeadlineSeconds": None},
        {"activeDeadlineSeconds": labels.LONGEST_LIFE_S + 1},
        {"ttlSecondsAfterFinished": None},
    ],
)
def test_a_job_whose_placeholders_would_stay_or_come_again_is_refused(wide, spec):
    assert wide.try_out(wide.rooms())[0] == 201
    job = wide.rooms(**spec)
    job["spec"] = {k: v for k, v in job["spec"].items() if v is not None}
    assert is_fenced(wide.create(job))


@pytest.mark.parametrize(
    "pod",
    [
        {"activeDeadlineSeconds": labels.LONGEST_LIFE_S + 1},
        {"priorityClassName": None},
        {"automountServiceAccountToken": True},
        {"serviceAccountName": "other"},
        {"hostNetwork": True},
        {"nodeName": "some-node"},
        {"volumes": [{"name": "v", "emptyDir": {}}]},
    ],
)
def test_a_job_that_makes_other_pods_than_placeholders_is_refused(wide, pod):
    job = wide.rooms()
    template = job["spec"]["template"]
    merged = template["spec"] | pod
    template["spec"] = {k: v for k, v in merged.items() if v is not None}
    assert is_fenced(wide.create(job))
    unlabelled = wide.rooms()
    unlabelled["spec"]["template"]["metadata"]["labels"] = {"app": "web"}
    assert is_fenced(wide.create(unlabelled))


def test_a_job_of_another_name_or_place_is_refused(wide):
    named = owner_job(f"{labels.TETHER_PREFIX}z", wide.namespace, 60)
    named["metadata"]["name"] = "other"
    placed = owner_job(f"{labels.TETHER_PREFIX}z", "default", 60)
    assert [is_fenced(wide.create(job)) for job in (named, placed)] == [True, True]


def test_no_nodepool_is_ever_written(wide):
    pool = nodepool_manifest("fenced")
    assert is_fenced(wide.create(pool))
    wide.admin.create(pool)
    path = wide.admin.path_of(pool)
    change = {"spec": {"weight": 10}}
    assert is_fenced(wide.us.request("PATCH", path, change, content_type=MERGE_PATCH))
    assert is_fenced(wide.us.request("DELETE", path))
    wide.admin.delete(path)


def test_the_server_finds_nothing_wrong_with_the_types_of_the_expressions(wide):
    for manifest in active_fence(wide.username, wide.namespace):
        if manifest["kind"] == "ValidatingAdmissionPolicy":
            path = wide.admin.path_of(manifest)
            status = wait_until(lambda path=path: checked(wide.admin.get(path)), 30)
            assert not status["typeChecking"].get("expressionWarnings"), status


def checked(policy):
    status = policy.get("status", {})
    return status if "typeChecking" in status else None


def test_nobody_else_is_fenced_in(wide):
    node = wide.node(cordoned=True)
    wide.admin.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"team": "x"}}})
