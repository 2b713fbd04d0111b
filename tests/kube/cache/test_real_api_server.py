"""The view against a real API server: restarts, expired versions, partitions, missing rights."""

import asyncio
import gc
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from spotvortex.core.domain.inputs import InputState
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.cache.view import KubeClusterView
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.proxy import LoopbackProxy
from tests.kube.fake_api import until

# A TLS handshake that the proxy or a killed server cuts short is left to the collector by asyncio.
pytestmark = [pytest.mark.controlplane, pytest.mark.filterwarnings("ignore::ResourceWarning")]

NODES_AND_PODS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "nodes-and-pods"},
    "rules": [
        {
            "apiGroups": [""],
            "resources": ["nodes", "pods"],
            "verbs": ["get", "list", "watch"],
        }
    ],
}


@asynccontextmanager
async def viewing(kubeconfig: Path, user: str = "admin", stale_after_s: float = 20.0):
    client = await KubeClient.connect(kubeconfig=str(kubeconfig), context=user)
    view, stop = KubeClusterView(client, Random(1), stale_after_s), asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(view.run(stop))
            await asyncio.wait_for(view.synced(), 60.0)
            yield view
            stop.set()
    finally:
        await client.close()


def node(name, pool="web"):
    labels = {
        "karpenter.sh/nodepool": pool,
        "karpenter.sh/capacity-type": "spot",
        "node.kubernetes.io/instance-type": "m6i.large",
        "topology.kubernetes.io/zone": "us-east-1a",
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def deployment(name, replicas, pool="web"):
    spec = {
        "nodeSelector": {"karpenter.sh/nodepool": pool},
        "containers": [
            {"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}}}
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def budget(name):
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}},
    }


def n_pods(view, node_name):
    return {n.name: n.load.n_pods for p in view.snapshot(0.0).pools for n in p.nodes}.get(node_name)


def states(view):
    return {h.name: h.state for h in view.health(0.0)}


def all_ok(view):
    return set(states(view).values()) == {InputState.OK}


@pytest.fixture(autouse=True)
def collected():
    """Collect what a test left before the next one is judged by its warnings."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def plane():
    with ControlPlane(with_kwok=True, karpenter_crds=True) as started:
        yield started


async def test_a_deployment_is_seen_whole_with_its_budget(plane):
    async with viewing(plane.kubeconfig("admin")) as view:
        await asyncio.to_thread(
            plane.apply, [node("a1", "a"), budget("a"), deployment("a", 3, "a")]
        )
        await until(lambda: n_pods(view, "a1") == 3, 60.0)

        def fact():
            pool = next(p for p in view.snapshot(0.0).pools if p.name == "a")
            return pool.pdbs[0] if pool.pdbs else None

        await until(lambda: fact() is not None and fact().disruptions_allowed == 2, 60.0)
        assert fact().workload == "default/Deployment/a"
        assert fact().healthy_by_node == (("a1", 3),)
        pods = view.pods_on("a1")
        assert [p.cpu_milli for p in pods] == [100, 100, 100]
        assert all(p.uid and not p.stays and not p.blockers for p in pods)
        facts = view.snapshot(0.0)
        loaded = next(n for p in facts.pools for n in p.nodes if n.name == "a1").load
        assert (loaded.workload_cpu_milli, loaded.workload_memory_bytes) == (300, 3 * 2**20)


async def test_pages_are_followed_on_a_real_list(plane, monkeypatch):
    monkeypatch.setattr("spotvortex.kube.api.reflector.PAGE_SIZE", 3)
    await asyncio.to_thread(plane.apply, [node(f"p{i}", "paged") for i in range(10)])
    async with viewing(plane.kubeconfig("admin")) as view:
        pool = next(p for p in view.snapshot(0.0).pools if p.name == "paged")
        assert [n.name for n in pool.nodes] == [f"p{i}" for i in range(10)]
        assert view.n_requests["list"] >= 8


async def test_missing_rights_are_told_and_rights_that_come_later_are_found(plane, monkeypatch):
    monkeypatch.setattr("spotvortex.kube.api.reflector.SLOW_RETRY_S", 0.5)
    client = await KubeClient.connect(kubeconfig=str(plane.kubeconfig("nobody")), context="nobody")
    view, stop = KubeClusterView(client, Random(1), 20.0), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(view.run(stop))
        await until(lambda: set(states(view).values()) == {InputState.DENIED}, 60.0)
        await asyncio.to_thread(plane.apply, [NODES_AND_PODS])
        await asyncio.to_thread(plane.grant, "nobody", "nodes-and-pods")
        await asyncio.wait_for(view.synced(), 60.0)
        found = states(view)
        assert (found["nodes"], found["pods"]) == (InputState.OK, InputState.OK)
        assert found["pdbs"] is found["owners"] is found["nodepools"] is InputState.DENIED
        detail = next(h.detail for h in view.health(0.0) if h.name == "pdbs")
        assert "grant get,list,watch on policy/poddisruptionbudgets" in detail
        stop.set()
    await client.close()


async def test_expired_versions_are_listed_again_and_nothing_is_lost(plane):
    async with viewing(plane.kubeconfig("admin")) as view:
        await asyncio.to_thread(plane.apply, [node("e1", "e"), node("e2", "e")])
        await until(lambda: n_pods(view, "e2") == 0, 60.0)
        reflector = next(r for r in view.reflectors.values() if r.resource.name == "nodes")
        before = reflector.n_lists

        def expire():
            plane.expire_watches()
            plane.api("admin").delete("/api/v1/nodes/e1")

        await asyncio.to_thread(expire)
        await until(lambda: n_pods(view, "e1") is None, 60.0)
        assert n_pods(view, "e2") == 0
        assert reflector.n_lists > before


async def test_a_restarted_server_is_found_again_and_the_view_is_right(plane):
    async with viewing(plane.kubeconfig("admin")) as view:
        await asyncio.to_thread(plane.apply, [node("r1", "r")])
        await until(lambda: n_pods(view, "r1") == 0, 60.0)
        await asyncio.to_thread(plane.kill_apiserver)
        # What was known stays readable while nobody answers.
        assert n_pods(view, "r1") == 0
        await asyncio.to_thread(plane.start_apiserver)
        await asyncio.to_thread(plane.apply, [node("r2", "r")])
        await asyncio.to_thread(plane.api("admin").delete, "/api/v1/nodes/r1")
        await until(lambda: n_pods(view, "r2") == 0, 60.0)
        await until(lambda: n_pods(view, "r1") is None, 60.0)
        await until(lambda: all_ok(view), 60.0)


async def test_a_partition_is_seen_within_seconds_and_healed(plane, monkeypatch):
    monkeypatch.setattr("spotvortex.kube.cache.view.PROBE_EVERY_S", 0.2)
    monkeypatch.setattr("spotvortex.kube.api.client.PROBE_S", 0.5)
    with LoopbackProxy(plane.url) as proxy:
        config = plane.kubeconfig("admin", server=proxy.url)
        async with viewing(config, stale_after_s=1.5) as view:
            await until(lambda: all_ok(view), 60.0)
            proxy.partition()
            await until(lambda: set(states(view).values()) == {InputState.STALE}, 60.0)
            await asyncio.to_thread(plane.apply, [node("z1", "z")])
            proxy.heal()
            await until(lambda: all_ok(view), 60.0)
            await until(lambda: n_pods(view, "z1") == 0, 60.0)
            proxy.cut()
            await asyncio.to_thread(plane.apply, [node("z2", "z")])
            await until(lambda: n_pods(view, "z2") == 0, 60.0)


async def test_a_cluster_without_karpenter_is_a_cluster(fresh_control_plane):
    plane = await asyncio.to_thread(fresh_control_plane)
    async with viewing(plane.kubeconfig("admin")) as view:
        assert states(view)["nodepools"] is InputState.ABSENT
        assert states(view)["nodes"] is InputState.OK
