"""The view as a whole: what it says of inputs that are there, late, denied or absent."""

import asyncio
import gc
import logging
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.core.domain.inputs import InputState
from spotvortex.kube.cache import view as module
from spotvortex.kube.cache.view import KubeClusterView
from spotvortex.ports.cluster import ClusterView
from tests.kube.fake_api import (
    CUT,
    SILENCE,
    FakeApi,
    FakeCluster,
    event,
    listed,
    refused,
    serving,
    until,
    watched,
)
from tests.kube.objects import node, node_pool, pdb, pod, replica_set

NODES, PODS = "/api/v1/nodes", "/api/v1/pods"
PDBS, OWNERS = "/apis/policy/v1/poddisruptionbudgets", "/apis/apps/v1/replicasets"
NODEPOOLS, EVENTS = "/apis/karpenter.sh/v1/nodepools", "/api/v1/events"
STATEFUL_SETS, NAMESPACES = "/apis/apps/v1/statefulsets", "/api/v1/namespaces"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "PROBE_EVERY_S", 0.05)
    monkeypatch.setattr(module, "REMIND_EVERY_S", 0.05)
    monkeypatch.setattr(module, "OPTIONAL_WAIT_S", 0.2)


def cluster(**changes):
    web = {"owner": ("ReplicaSet", "web-1"), "labels": {"app": "web"}}
    apis = {
        NODES: FakeApi([listed(node("n1", {"karpenter.sh/nodepool": "web"}))]),
        PODS: FakeApi([listed(pod("b", **web), pod("a", **web))]),
        PDBS: FakeApi([listed(pdb("web", {}))]),
        OWNERS: FakeApi([listed(replica_set("web-1", "web"))]),
        STATEFUL_SETS: FakeApi([listed()]),
        NAMESPACES: FakeApi([listed()]),
        NODEPOOLS: FakeApi([listed(node_pool("web"))]),
        EVENTS: FakeApi([listed()]),
    }
    return FakeCluster(apis | changes)


@asynccontextmanager
async def viewing(served, stale_after_s=20.0):
    async with serving(served) as client:
        view, stop = KubeClusterView(client, Random(1), stale_after_s), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(view.run(stop))
            yield view
            stop.set()


def states(view):
    return {h.name: h.state for h in view.health(0.0)}


def detail(view, name):
    return next(h.detail for h in view.health(0.0) if h.name == name)


async def test_a_snapshot_joins_all_that_is_watched():
    async with viewing(cluster()) as view:
        as_port: ClusterView = view
        await as_port.synced()
        facts = as_port.snapshot(0.0)
        assert set(states(view).values()) == {InputState.OK}
        assert [h.required for h in facts.inputs] == [True] * 2 + [False] * 7
    (pool,) = facts.pools
    assert (pool.name, len(pool.nodes), len(pool.node_groups)) == ("web", 1, 1)
    assert pool.pdbs[0].workload == "default/Deployment/web"
    assert (facts.n_pods, facts.n_pdbs) == (2, 1)
    assert [v.name for v in view.pods_on("n1")] == ["a", "b"]
    assert view.pods_on("n9") == ()
    assert view.traffic().requests["list"] == view.n_requests["list"] == 9
    assert set(view.traffic().relists.values()) == {0}


async def test_owners_are_asked_for_metadata_only():
    served = cluster()
    async with viewing(served) as view:
        await view.synced()
        await until(lambda: len(served.apis[OWNERS].headers) == 2)
    accepts = [h["Accept"] for h in served.apis[OWNERS].headers]
    assert "as=PartialObjectMetadataList" in accepts[0]
    assert "as=PartialObjectMetadata;" in accepts[1]
    assert served.apis[PODS].asked[0]["fieldSelector"].startswith("status.phase!=Succeeded")


async def test_what_is_optional_may_be_denied_or_absent_and_says_what_it_costs():
    served = cluster(**{PDBS: FakeApi([refused(403)]), NODEPOOLS: FakeApi([refused(404)])})
    async with viewing(served) as view:
        await view.synced()
        assert states(view)["pdbs"] is InputState.DENIED
        assert states(view)["nodepools"] is InputState.ABSENT
        assert detail(view, "pdbs") == (
            "no right to list poddisruptionbudgets: pool safety cannot be judged; "
            "grant get,list,watch on policy/poddisruptionbudgets"
        )
        assert "serves no karpenter.sh/nodepools" in detail(view, "nodepools")
        assert view.snapshot(0.0).pools[0].pdbs == ()


async def test_denied_pods_are_never_synced_and_the_log_says_why(caplog):
    caplog.set_level(logging.WARNING)
    async with viewing(cluster(**{PODS: FakeApi([refused(403)])})) as view:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(view.synced(), 0.3)
        assert states(view)["pods"] is InputState.DENIED
        assert "grant get,list,watch on pods" in detail(view, "pods")
    waiting = [r.detail for r in caplog.records if r.message == "view.waiting"]
    assert any("no right to list pods" in said for said in waiting)


async def test_an_optional_input_that_hangs_does_not_hold_up_the_rest():
    async with viewing(cluster(**{OWNERS: FakeApi([watched(SILENCE)])})) as view:
        await asyncio.wait_for(view.synced(), 20.0)
        assert states(view)["owners"] is InputState.STALE
        assert "the first list is not complete" in detail(view, "owners")


async def test_probes_confirm_silent_streams():
    async with viewing(cluster(), stale_after_s=0.3) as view:
        await view.synced()
        await asyncio.sleep(0.6)
        # Without probes all would be old by now, and for good.
        await until(lambda: set(states(view).values()) == {InputState.OK})
        assert all(h.age_s < 0.3 for h in view.health(0.0))


async def test_a_stream_that_is_down_goes_stale_though_the_server_answers():
    broken = FakeApi([listed(pod("a"))], [watched(0.05, CUT), refused(500, "etcd is down")])
    async with viewing(cluster(**{PODS: broken}), stale_after_s=0.2) as view:
        await view.synced()
        await until(lambda: "etcd is down" in detail(view, "pods"))
        assert states(view)["pods"] is InputState.STALE
        assert states(view)["nodes"] is InputState.OK
        assert view.snapshot(0.0).n_pods == 1


async def test_unreadable_objects_are_told():
    odd = FakeApi([listed(pod("a"), {"metadata": 7})])
    async with viewing(cluster(**{PODS: odd})) as view:
        await view.synced()
        assert detail(view, "pods") == "1 objects could not be read"
        assert view.traffic().skipped["pods"] == 1


async def test_events_reach_the_next_snapshot():
    script = watched(0.05, event("DELETED", pod("a", version="11")), SILENCE)
    served = cluster(**{PODS: FakeApi([listed(pod("a"))], [script])})
    async with viewing(served) as view:
        await view.synced()
        await until(lambda: view.snapshot(0.0).n_pods == 0)


async def test_the_collector_rests_during_the_first_lists_only():
    slow = FakeApi([watched(0.5, b'{"metadata":{"resourceVersion":"1"}}')])
    async with viewing(cluster(**{PDBS: slow})) as view:
        await until(lambda: not gc.isenabled())
        await view.synced()
        await until(gc.isenabled)


async def test_what_the_first_snapshot_makes_is_left_to_no_later_collection():
    async with viewing(cluster()) as view:
        await view.synced()
        view.snapshot(0.0)
        n_frozen = gc.get_freeze_count()
        assert n_frozen > 0
        kept = [[] for _ in range(100)]
        view.snapshot(0.0)
        assert gc.get_freeze_count() <= n_frozen
        assert len(kept) == 100


async def test_a_view_stopped_before_its_first_list_leaves_the_collector_on():
    async with viewing(cluster(**{PDBS: FakeApi([watched(SILENCE)])})):
        await until(lambda: not gc.isenabled())
    assert gc.isenabled()
