"""Utilisation through the aggregator of a real API server, with the rights of the manifests."""

import asyncio
import time
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.usage import Amount, UsageSource
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.cache.view import KubeClusterView
from spotvortex.kube.usage.metrics_api import MetricsApi
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.deploy.manifests import shadow_cluster_role
from tests.kube.cache.test_real_api_server import deployment, node
from tests.kube.usage.metrics import node_metrics, pod_metrics
from tests.kube.usage.stand_in import MetricsServer, api_service, service, serving

pytestmark = [pytest.mark.controlplane, pytest.mark.filterwarnings("ignore::ResourceWarning")]

USER = "spotvortex-shadow"


class Clock:
    def now(self):
        return time.time()


@pytest.fixture(scope="module")
def plane():
    with ControlPlane() as started:
        role = shadow_cluster_role()
        api = started.api()
        api.apply([role, node("n1"), node("n2"), deployment("web", 2), service()])
        started.grant(USER, role["metadata"]["name"])
        yield started


def pods_of(api, n):
    """The names of the pods of the Deployment, once they are there."""

    def named():
        names = [p["metadata"]["name"] for p in api.items("/api/v1/namespaces/default/pods")]
        return names if len(names) == n else None

    return wait_until(named, 60)


@asynccontextmanager
async def measuring(plane, user=USER):
    client = await KubeClient.connect(kubeconfig=str(plane.kubeconfig(user)), context=user)
    view, stop = KubeClusterView(client, Random(1), 20.0), asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(view.run(stop))
            if user == USER:
                await asyncio.wait_for(view.synced(), 60.0)
            yield MetricsApi(client, Clock(), view)
            stop.set()
    finally:
        await client.close()


async def looked_until(subject, state):
    """Look until the source is as wanted: the aggregator notices a change after some seconds."""
    async with asyncio.timeout(60.0):
        while True:
            await subject.look()
            found = subject.facts(time.time())
            if found.inputs[0].state is state:
                return found
            await asyncio.sleep(0.5)


async def test_it_is_absent_then_served_then_gone(plane):
    api = plane.api()
    names = await asyncio.to_thread(pods_of, api, 2)
    now = time.time()
    server = MetricsServer(
        [node_metrics("n1", at=now), node_metrics("n2", "20m", "1Gi", at=now)],
        [pod_metrics(name, namespace="default", at=now) for name in names],
    )
    async with measuring(plane) as subject:
        await looked_until(subject, InputState.ABSENT)
        async with serving(plane, server) as port:
            await asyncio.to_thread(api.apply, [api_service(port)])
            found = await looked_until(subject, InputState.OK)
            assert found.source is UsageSource.METRICS_API
            assert found.nodes == {"n1": Amount(1500, 2 << 30), "n2": Amount(20, 1 << 30)}
            (web,) = found.workloads
            assert web.workload == "default/Deployment/web"
            assert (web.n_pods, web.asked) == (2, Amount(200, 2 << 20))
            assert web.used == Amount(500, 2 << 20)
        await subject.look()
        assert subject.facts(time.time()).nodes.keys() == {"n1", "n2"}
        assert subject.facts(time.time() + 301.0).inputs[0].state is InputState.STALE
        async with measuring(plane, user="nobody") as stranger:
            await looked_until(stranger, InputState.DENIED)
    reads = [
        event
        for event in plane.audit_events(USER)
        if event["requestURI"].startswith("/apis/metrics.k8s.io")
    ]
    assert {event["verb"] for event in reads} <= {"get", "list"}
