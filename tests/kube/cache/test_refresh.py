"""One node read anew: what the watch has not brought yet, and what it brings meanwhile."""

import json
from random import Random

import pytest
from msgspec import Raw

from spotvortex.errors import ServerError
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import Codec
from spotvortex.kube.cache import refresh as freshness
from spotvortex.kube.cache.refresh import NodeRefresher
from spotvortex.kube.cache.store import Store
from spotvortex.kube.cache.view import KubeClusterView
from tests.controlplane.manifests import NodeShape, PodShape, pdb_manifest
from tests.kube.fake_api import Answer, FakeApi, FakeCluster, listed, refused, serving
from tests.kube.objects import node, pdb, pod
from tests.kube.scenes import anchor_call, fresh, site

NODE, PODS = "/api/v1/nodes/n1", "/api/v1/pods"
PDBS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
KINDS = {"nodes": wire.Node, "pods": wire.Pod, "budgets": wire.Pdb}


def of(kind, plain, version):
    plain["metadata"]["resourceVersion"] = str(version)
    return Codec(KINDS[kind]).object(Raw(json.dumps(plain).encode()))


class Scene:
    """What a server answers about one node, and what the watch brings while it does."""

    def __init__(self, store):
        self.store = store
        self.answers = {
            NODE: FakeApi([Answer(node("n1", version="50"))]),
            PODS: FakeApi([listed(version="50")]),
            PDBS: FakeApi([listed(version="50")]),
        }
        self.meanwhile = {}

    async def handle(self, request):
        if what := self.meanwhile.pop(request.path, None):
            what(self.freshness)
        return await FakeCluster(self.answers).handle(request)

    def listed_pods(self, *pods, version="50"):
        self.answers[PODS] = FakeApi([listed(*pods, version=version)])

    async def refresh(self):
        async with serving(self) as client:
            self.freshness = NodeRefresher(client, self.store)
            await self.freshness.refresh("n1")
        return sorted(p.key for p in self.store.pods.on("n1"))


@pytest.fixture
def scene():
    store = Store()
    store.nodes.put("n1", of("nodes", node("n1"), 10))
    store.pods.put("default/old", of("pods", pod("old"), 10))
    store.pods.put("default/elsewhere", of("pods", pod("elsewhere", "n2"), 10))
    store.budgets.put("default/gone", of("budgets", pdb("gone", {}), 10))
    store.budgets.put("other/kept", of("budgets", pdb("kept", {}, namespace="other"), 10))
    return Scene(store)


async def test_what_is_new_is_taken_and_what_is_gone_is_forgotten(scene):
    scene.listed_pods(pod("new", version="40"))
    scene.answers[NODE] = FakeApi([Answer(node("n1", version="50", spec={"unschedulable": True}))])
    scene.answers[PDBS] = FakeApi([listed(pdb("new", {}), version="50")])
    assert await scene.refresh() == ["default/new"]
    assert scene.store.nodes.get("n1").fact.cordoned
    assert scene.store.pods.keys() == {"default/new", "default/elsewhere"}
    assert scene.store.budgets.keys() == {"default/new", "other/kept"}
    asked = scene.answers[PODS].asked[0]["fieldSelector"]
    assert asked == "spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed"


async def test_a_node_that_is_gone_is_forgotten(scene):
    scene.answers[NODE] = FakeApi([refused(404)])
    assert await scene.refresh() == []
    assert scene.store.nodes.get("n1") is None


async def test_pages_are_followed(scene):
    pages = [listed(pod("a"), version="50", token="t"), listed(pod("b"), version="50")]
    scene.answers[PODS] = FakeApi(pages)
    assert await scene.refresh() == ["default/a", "default/b"]


async def test_pages_without_end_are_an_error(scene, monkeypatch):
    monkeypatch.setattr(freshness, "MAX_PAGES", 2)
    scene.answers[PODS] = FakeApi([listed(pod("a"), token="t")])
    with pytest.raises(ServerError, match="more than 2 pages"):
        await scene.refresh()


async def test_a_pod_that_the_watch_removes_meanwhile_does_not_come_back(scene):
    scene.listed_pods(pod("old", version="40"))
    scene.meanwhile[PODS] = lambda f: f.pods.remove("default/old")
    assert await scene.refresh() == []


@pytest.mark.parametrize(("watched", "kept"), [(60, True), (45, False)])
async def test_of_two_states_of_a_pod_the_newer_one_counts(scene, watched, kept):
    scene.listed_pods(pod("old", ready=False, version="50"))
    newer = of("pods", pod("old", ready=True), watched)
    scene.meanwhile[PODS] = lambda f: f.pods.put("default/old", newer)
    await scene.refresh()
    (record,) = scene.store.pods.on("n1")
    assert record.ready is kept


@pytest.mark.parametrize(("watched", "kept"), [(60, ["default/old"]), (45, [])])
async def test_a_pod_made_anew_meanwhile_stays_and_one_that_is_only_late_goes(scene, watched, kept):
    again = of("pods", pod("old"), watched)
    scene.meanwhile[PODS] = lambda f: f.pods.put("default/old", again)
    assert await scene.refresh() == kept


async def test_a_node_that_the_watch_brings_meanwhile_is_not_forgotten(scene):
    scene.answers[NODE] = FakeApi([refused(404)])
    again = of("nodes", node("n1"), 60)
    scene.meanwhile[NODE] = lambda f: f.nodes.put("n1", again)
    await scene.refresh()
    assert scene.store.nodes.get("n1") is not None


@pytest.mark.parametrize(
    "change",
    [
        {NODE: FakeApi([Answer({"metadata": 1})])},
        {PODS: FakeApi([listed({"metadata": {}})])},
        {PODS: FakeApi([listed(pod("a", spec={"overhead": {"cpu": "much"}}))])},
        {PODS: FakeApi([listed(pod("a")), refused(500)]), PDBS: FakeApi([refused(500)])},
    ],
)
async def test_what_cannot_be_read_is_an_error_and_no_guess(scene, change):
    scene.answers |= change
    with pytest.raises(ServerError):
        await scene.refresh()


async def test_listening_ends_with_the_reading(scene):
    await scene.refresh()
    assert scene.freshness.pods._listeners == []
    with scene.freshness.pods.listen() as one, scene.freshness.pods.listen() as two:
        scene.freshness.pods.put("default/x", of("pods", pod("x"), 70))
    assert one == two == {"default/x": 70.0}
    assert scene.freshness.pods.keys() >= {"default/x"}


@pytest.mark.controlplane
async def test_without_any_watch_a_real_node_is_read_whole(control_plane):
    async with site(control_plane) as here:
        made = await here.node(NodeShape(pool=fresh("pool")))
        name, app = made["metadata"]["name"], fresh("app")
        await here.do(here.plane.apply, [pdb_manifest(app)])
        kept = await here.pod(PodShape(app=app, node_name=name))
        going = await here.pod(PodShape(app=app, node_name=name))
        call = anchor_call(made)
        await here.apply(call)
        view = KubeClusterView(here.client, Random(1), 20.0, here.namespace)
        await view.refresh(name)
        assert view.node(name).uid == made["metadata"]["uid"]
        names = {p["metadata"]["name"] for p in (kept, going)}
        assert {p.name: p.stays for p in view.pods_on(name)} == dict.fromkeys(names, False) | {
            call.name: True
        }
        (own,) = view.own_pods(made["metadata"]["uid"])
        assert (own.name, own.node) == (call.name, name)
        path = f"/api/v1/namespaces/default/pods/{going['metadata']['name']}"
        await here.do(here.plane.api().delete, path, {"gracePeriodSeconds": 0})
        await view.refresh(name)
        assert going["metadata"]["name"] not in {p.name for p in view.pods_on(name)}
        assert view.node(name).load.n_workload_pods == 1
        await here.do(here.plane.api().delete, f"/api/v1/nodes/{name}")
        await view.refresh(name)
        assert view.node(name) is None
