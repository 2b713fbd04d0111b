"""What our account may do, asked of a scripted server and of the real one."""

from random import Random

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.errors import ForbiddenError, ServerError
from spotvortex.kube.admin.access_review import (
    REVIEWS,
    VERBS,
    WRITES,
    WriteRight,
    missing_write_rights,
    offerings,
    survey,
)
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.patient_reads import PatientReads
from spotvortex.kube.cache.inputs import WATCHED
from tests.controlplane.cluster import ControlPlane
from tests.deploy.manifests import shadow_cluster_role
from tests.kube.fake_api import Answer, FakeApi, FakeCluster, listed, refused, serving

EVERYTHING = [
    "nodes",
    "pods",
    "poddisruptionbudgets",
    "replicasets",
    "statefulsets",
    "namespaces",
    "nodepools",
    "events",
]
GROUPS = ["/api/v1", "/apis/policy/v1", "/apis/apps/v1", "/apis/karpenter.sh/v1"]


def reviewed(allowed: bool) -> Answer:
    return Answer({"kind": "SelfSubjectAccessReview", "status": {"allowed": allowed}}, status=201)


def server(*answers: Answer, **changes: FakeApi) -> FakeCluster:
    discovery = Answer({"resources": [{"name": name} for name in EVERYTHING]})
    apis = {group: FakeApi([discovery]) for group in GROUPS}
    return FakeCluster(apis | {REVIEWS: FakeApi(list(answers))} | changes)


async def found(served: FakeCluster):
    async with serving(served) as client:
        return {a.watched.resource.name: a for a in await survey(client)}


async def test_every_right_is_asked_for_by_group_resource_and_verb():
    served = server(reviewed(allowed=True))
    accesses = await found(served)
    assert all(access.is_whole for access in accesses.values())
    asked = [review["spec"]["resourceAttributes"] for review in served.apis[REVIEWS].posted]
    assert len(asked) == len(WATCHED) * len(VERBS)
    assert {"group": "", "resource": "nodes", "verb": "get"} in asked
    assert {"group": "karpenter.sh", "resource": "nodepools", "verb": "watch"} in asked


async def test_a_missing_verb_is_named():
    accesses = await found(server(reviewed(True), reviewed(True), reviewed(False), reviewed(True)))
    assert accesses["nodes"].denied == ("watch",)
    assert not accesses["nodes"].is_whole
    assert accesses["pods"].is_whole


@pytest.mark.parametrize("answer", [refused(404), Answer({"resources": [{"name": "other"}]})])
async def test_what_the_cluster_does_not_serve_is_not_asked_for(answer):
    served = server(reviewed(True), **{"/apis/karpenter.sh/v1": FakeApi([answer])})
    nodepools = (await found(served))["nodepools"]
    assert (nodepools.served, nodepools.denied, nodepools.is_whole) == (False, (), False)
    assert len(served.apis[REVIEWS].posted) == (len(WATCHED) - 1) * len(VERBS)


async def test_closed_discovery_hides_nothing():
    served = server(reviewed(True), **{"/apis/karpenter.sh/v1": FakeApi([refused(403)])})
    assert (await found(served))["nodepools"].is_whole


async def test_an_answer_that_cannot_be_read_is_an_error():
    with pytest.raises(ServerError, match="unreadable"):
        await found(server(Answer({"status": {}})))


async def test_who_may_not_even_ask_is_told():
    with pytest.raises(ForbiddenError, match="not you"):
        await found(server(refused(403, "not you")))


def node(name, **labels):
    return {"metadata": {"name": name, "labels": labels}}


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (WriteRight(verb="patch", resource="nodes"), "patch nodes"),
        (
            WriteRight(verb="update", resource="configmaps", ours=True, name="spotvortex-state"),
            "update configmaps spotvortex-state in its own namespace",
        ),
    ],
)
def test_a_right_is_named_with_its_object_and_place(right, words):
    assert str(right) == words


async def test_offerings_come_from_all_pages_and_from_labels_alone():
    web = {
        "node.kubernetes.io/instance-type": "m6i.large",
        "topology.kubernetes.io/zone": "us-east-1a",
    }

    def half(label):
        return node("half", **{label: web[label]})

    api = FakeApi(
        [
            listed(node("a", **web), node("b"), *map(half, web), token="t"),
            listed(node("c", **web), node("d", **web | {"topology.kubernetes.io/zone": "z"})),
        ]
    )
    async with serving(api) as client:
        assert await offerings(PatientReads(client, Random(1))) == {
            Offering(instance_type="m6i.large", zone="us-east-1a"),
            Offering(instance_type="m6i.large", zone="z"),
        }
    assert [query.get("continue") for query in api.asked] == [None, "t"]
    assert "PartialObjectMetadataList" in api.headers[0]["Accept"]


@pytest.mark.controlplane
async def test_the_rights_that_we_ship_are_whole_and_nobody_has_none(control_plane: ControlPlane):
    role = shadow_cluster_role()
    control_plane.apply([role])
    control_plane.grant("spotvortex-shadow", role["metadata"]["name"])
    ours = await asked_of(control_plane, "spotvortex-shadow")
    assert all(access.is_whole for access in ours)
    theirs = await asked_of(control_plane, "nobody")
    assert [access.denied for access in theirs] == [VERBS] * len(WATCHED)


async def asked_of(plane: ControlPlane, user: str):
    client = await KubeClient.connect(kubeconfig=str(plane.kubeconfig(user)), context=user)
    try:
        return await survey(client)
    finally:
        await client.close()


async def test_the_rights_to_write_are_asked_for_where_they_are_needed():
    served = server(reviewed(allowed=True))
    async with serving(served) as client:
        assert await missing_write_rights(client, "ours") == ()
    asked = [review["spec"]["resourceAttributes"] for review in served.apis[REVIEWS].posted]
    assert len(asked) == len(WRITES)
    nowhere = {"subresource": "", "namespace": "", "name": ""}
    assert {"group": "", "resource": "nodes", "verb": "patch"} | nowhere in asked
    eviction = {"group": "", "resource": "pods", "verb": "create"}
    assert eviction | nowhere | {"subresource": "eviction"} in asked
    jobs = {"group": "batch", "resource": "jobs", "verb": "create"}
    assert jobs | nowhere | {"namespace": "ours"} in asked
    claims = {"group": "karpenter.sh", "resource": "nodeclaims", "verb": "delete"}
    assert claims | nowhere in asked


@pytest.mark.controlplane
async def test_missing_rights_to_write_are_named_on_a_real_server(control_plane: ControlPlane):
    rules = [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["spotvortex"],
            "verbs": ["get", "update"],
        },
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "some-writes"},
        "rules": rules,
    }
    control_plane.apply([role])
    assert await missing_of(control_plane, "admin") == ()
    before = await missing_of(control_plane, "spotvortex-shadow")
    assert len(before) == len(WRITES)
    control_plane.grant("spotvortex-shadow", "some-writes")
    after = await missing_of(control_plane, "spotvortex-shadow")
    assert set(before) - set(after) == {
        "patch nodes",
        "get coordination.k8s.io/leases spotvortex in its own namespace",
        "update coordination.k8s.io/leases spotvortex in its own namespace",
    }
    binding = "test-spotvortex-shadow-some-writes"
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{binding}"
    control_plane.api().delete(path)


async def missing_of(plane: ControlPlane, user: str):
    client = await KubeClient.connect(kubeconfig=str(plane.kubeconfig(user)), context=user)
    try:
        return await missing_write_rights(client, "ours")
    finally:
        await client.close()
