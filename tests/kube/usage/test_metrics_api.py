"""What metrics.k8s.io says counts while it is fresh, and its lack is said with the fix."""

import asyncio

import pytest

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.usage import Amount, UsageSource
from spotvortex.kube.usage import metrics_api
from spotvortex.kube.usage.metrics_api import MAX_PODS, OLD_S, MetricsApi
from tests.kube.fake_api import FakeApi, FakeCluster, listed, refused, serving, until
from tests.kube.usage.metrics import AT, NODES, PODS, Requests, node_metrics, pod_metrics

MIB = 1 << 20


class Clock:
    def __init__(self):
        self.at = AT

    def now(self):
        return self.at


class Scene:
    """An endpoint, and who knows what pods have asked for."""

    def __init__(self, nodes, pods=(), requests=None):
        self.apis = {NODES: FakeApi(list(nodes)), PODS: FakeApi(list(pods) or [listed()])}
        self.requests = requests or Requests()
        self.clock = Clock()

    async def looked(self, times=1, later_s=0.0):
        async with serving(FakeCluster(self.apis)) as client:
            subject = MetricsApi(client, self.clock, self.requests)
            for _ in range(times):
                await subject.look()
                self.clock.at += later_s
        return subject.facts(self.clock.now())


async def test_nodes_are_measured_in_milli_cores_and_bytes():
    found = await Scene([listed(node_metrics("a"), node_metrics("b", "1", "1Gi"))]).looked()
    assert found.source is UsageSource.METRICS_API
    assert found.nodes == {"a": Amount(1500, 2048 * MIB), "b": Amount(1000, 1024 * MIB)}
    (health,) = found.inputs
    assert (health.state, health.required, health.detail) == (InputState.OK, False, "")


async def test_pods_are_summed_by_workload_the_one_that_asks_for_most_in_vain_first():
    requests = Requests(
        shop__a_1=("shop/Deployment/a", 2000, 2 * MIB),
        shop__a_2=("shop/Deployment/a", 2000, 2 * MIB),
        shop__b_1=("shop/Deployment/b", 300, MIB),
    )
    pods = listed(
        pod_metrics("b-1"),
        pod_metrics("a-1", ("100000000n", "512Ki"), ("100000000n", "512Ki")),
        pod_metrics("a-2"),
        pod_metrics("nobodys"),
    )
    found = await Scene([listed(node_metrics("a"))], [pods], requests).looked()
    assert [use.workload for use in found.workloads] == ["shop/Deployment/a", "shop/Deployment/b"]
    first = found.workloads[0]
    assert (first.n_pods, first.asked, first.used) == (
        2,
        Amount(4000, 4 * MIB),
        Amount(450, 2 * MIB),
    )


async def test_a_sample_that_is_old_or_cannot_be_read_leaves_out_its_node_alone():
    nodes = listed(
        node_metrics("good"),
        node_metrics("old", at=AT - OLD_S - 1.0),
        node_metrics("odd", cpu="many"),
        node_metrics("negative", cpu="-5"),
        {"metadata": {"name": "empty"}},
    )
    assert set((await Scene([nodes]).looked()).nodes) == {"good"}


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (404, InputState.ABSENT, "install metrics-server"),
        (403, InputState.DENIED, "grant get,list"),
    ],
)
async def test_what_is_not_served_or_not_allowed_is_said_with_the_fix(status, state, words):
    found = await Scene([refused(status)]).looked()
    (health,) = found.inputs
    assert (health.state, found.source) == (state, UsageSource.REQUESTS)
    assert words in health.detail
    assert "utilisation is taken from requests" in health.detail


async def test_an_outage_leaves_what_was_read_until_it_is_old():
    answers = [listed(node_metrics("a")), refused(503, "the server is currently unable")]
    assert (await Scene(answers).looked(2, later_s=60.0)).nodes.keys() == {"a"}
    answers = [listed(node_metrics("a")), refused(503, "the server is currently unable")]
    late = await Scene(answers).looked(2, later_s=OLD_S)
    assert late.source is UsageSource.REQUESTS
    assert late.inputs[0].state is InputState.STALE


async def test_an_endpoint_that_never_answered_is_said_to_be_silent():
    (health,) = (await Scene([refused(503, "no endpoints")]).looked()).inputs
    assert health.state is InputState.STALE
    assert "does not answer" in health.detail


async def test_an_endpoint_that_measures_nothing_yet_counts_as_none():
    found = await Scene([listed()]).looked()
    assert found.source is UsageSource.REQUESTS
    assert found.inputs[0].state is InputState.STALE


async def test_in_a_large_cluster_pods_are_not_read_and_it_says_so():
    scene = Scene([listed(node_metrics("a"))])
    scene.requests.n_pods = MAX_PODS + 1
    found = await scene.looked()
    assert scene.apis[PODS].asked == []
    assert found.nodes.keys() == {"a"}
    assert "nodes alone are measured" in found.inputs[0].detail


async def test_without_the_right_to_read_pods_nodes_are_measured_all_the_same():
    found = await Scene([listed(node_metrics("a"))], [refused(403)]).looked()
    assert found.nodes.keys() == {"a"}
    assert "nodes alone are measured" in found.inputs[0].detail


async def test_it_is_read_once_a_minute_after_the_pods_have_been_listed(monkeypatch):
    monkeypatch.setattr(metrics_api, "EVERY_S", 0.05)
    scene = Scene([listed(node_metrics("a"))])
    scene.requests.has_pods = False
    async with serving(FakeCluster(scene.apis)) as client:
        subject, stop = MetricsApi(client, scene.clock, scene.requests), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run(stop))
            await asyncio.sleep(0)
            assert not subject.first.is_set()
            scene.requests.has_pods = True
            await until(lambda: scene.apis[NODES].n_lists == 3)
            assert subject.first.is_set()
            stop.set()
