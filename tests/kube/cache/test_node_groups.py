"""Node groups that Cluster Autoscaler grows: whose nodes belong to one, and what it may buy."""

import logging
from dataclasses import replace

import pytest

from spotvortex.core.domain.sides import is_driven, receiving_sides
from spotvortex.core.domain.types import CapacityType
from spotvortex.kube.cache.groups import autoscaler
from spotvortex.kube.cache.groups.autoscaler import PATH, AutoscalerWatch, sizes_in
from spotvortex.kube.cache.groups.node_groups import AutoscalerStatus, AutoscalerUse, GroupSize
from spotvortex.kube.cache.snapshot import SnapshotBuilder
from spotvortex.kube.cache.store import Store
from tests.kube.cache.test_store import Scene
from tests.kube.fake_api import Answer, FakeApi, FakeCluster, refused, serving
from tests.kube.objects import node

SPOT, ON_DEMAND = CapacityType.SPOT, CapacityType.ON_DEMAND
UUID = "0a1b2c3d-1111-2222-3333-444455556666"
RUNS = AutoscalerStatus(runs=True)
DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"

YAML = """time: 2026-11-30 11:00:00 +0000 UTC
autoscalerStatus: Running
clusterWide:
  health:
    status: Healthy
    nodeCounts:
      registered:
        total: 5
nodeGroups:
- name: eks-web-spot-0a1b2c3d-1111-2222-3333-444455556666
  health:
    status: Healthy
    nodeCounts:
      registered:
        total: 3
    cloudProviderTarget: 3
    minSize: 1
    maxSize: 10
  scaleUp:
    status: NoActivity
- name: "plain"
  health:
    cloudProviderTarget: 0
    minSize: 0
    maxSize: 4
- name: without-a-size
"""

TEXT = """Cluster-autoscaler status at 2021-11-30 11:00:00.000000001 +0000 UTC:
Cluster-wide:
  Health:      Healthy (ready=5 unready=0 notStarted=0 registered=5 longUnregistered=0)

NodeGroups:
  Name:        plain
  Health:      Healthy (ready=3 unready=0 cloudProviderTarget=3 (minSize=1, maxSize=10))
  ScaleUp:     NoActivity (ready=3 cloudProviderTarget=3)
"""


class GroupScene(Scene):
    def __init__(self, use=AutoscalerUse.WHERE_IT_RUNS):
        self.store = Store("", use)
        self.cluster = SnapshotBuilder(self.store)

    def told(self, status):
        self.store.node_pools.autoscaled.take(status)
        return self

    def pool(self, name="web"):
        return next(p for p in self.snapshot().pools if p.name == name)


def of_group(name, group, word, **labels):
    labels |= {"eks.amazonaws.com/nodegroup": group, "eks.amazonaws.com/capacityType": word}
    return node(name, labels)


def twins(scene):
    return scene.put(
        "nodes", of_group("n1", "web-spot", "SPOT"), of_group("n2", "web-od", "ON_DEMAND")
    )


def test_nobody_moves_a_node_group_until_cluster_autoscaler_shows_itself():
    scene = twins(GroupScene())
    assert not any(map(is_driven, scene.pool().nodes))
    assert scene.pool().node_groups == ()
    pool = scene.told(RUNS).pool()
    assert all(map(is_driven, pool.nodes))
    spot = next(n for n in pool.nodes if n.capacity_type is SPOT)
    assert spot.claim == "node/uid-n1"
    assert receiving_sides(spot, pool.node_groups, ON_DEMAND) == ("nodegroup/web-od",)
    back = next(n for n in pool.nodes if n.capacity_type is ON_DEMAND)
    assert receiving_sides(back, pool.node_groups, SPOT) == ("nodegroup/web-spot",)
    pool = scene.told(AutoscalerStatus()).pool()
    assert not any(map(is_driven, pool.nodes))
    assert (pool.node_groups, pool.nodes[0].claim) == ((), "")


@pytest.mark.parametrize(
    ("use", "moved"), [(AutoscalerUse.ALWAYS, True), (AutoscalerUse.NEVER, False)]
)
def test_the_owner_says_it_where_no_status_can_be_read(use, moved):
    scene = twins(GroupScene(use))
    assert is_driven(scene.pool().nodes[0]) is moved
    assert is_driven(scene.told(replace(RUNS, runs=not moved)).pool().nodes[0]) is moved


def test_a_group_without_a_twin_can_be_bought_one_way_alone():
    scene = GroupScene().told(RUNS).put("nodes", of_group("n1", "web", "SPOT"))
    pool = scene.pool()
    assert receiving_sides(pool.nodes[0], pool.node_groups, ON_DEMAND) == ()


def test_two_groups_are_twins_by_the_pool_that_their_nodes_name():
    scene = GroupScene().told(RUNS)
    label = {"spotvortex.io/pool": "web"}
    scene.put("nodes", of_group("n1", "blue", "SPOT", **label))
    scene.put("nodes", of_group("n2", "green", "ON_DEMAND", **label))
    pool = scene.pool()
    assert receiving_sides(pool.nodes[0], pool.node_groups, ON_DEMAND) == ("nodegroup/green",)


def test_groups_that_no_cloud_names_are_known_by_pool_and_capacity_type():
    scene = GroupScene().told(RUNS)
    for name, word in (("n1", "spot"), ("n2", "on-demand")):
        labels = {"spotvortex.io/pool": "web", "spotvortex.io/capacity-type": word}
        scene.put("nodes", node(name, labels))
    pool = scene.pool()
    assert receiving_sides(pool.nodes[0], pool.node_groups, ON_DEMAND) == ("labels/web/on-demand",)


def test_a_node_whose_labels_do_not_say_how_it_is_bought_belongs_to_no_group():
    labels = {"spotvortex.io/pool": "web", "node.kubernetes.io/lifecycle": "spot"}
    scene = GroupScene().told(RUNS).put("nodes", node("n1", labels))
    assert not is_driven(scene.pool().nodes[0])


def test_an_empty_twin_is_known_by_what_cluster_autoscaler_says():
    size = GroupSize(smallest=0, largest=5, target=2)
    sizes = {f"eks-{name}-{UUID}": size for name in ("web-spot", "web-od", "other-od", "lone")}
    scene = GroupScene().put("nodes", of_group("n1", "web-spot", "SPOT"))
    pool = scene.told(AutoscalerStatus(runs=True, sizes=sizes)).pool()
    assert [(g.name, g.capacity_types) for g in pool.node_groups] == [
        ("nodegroup/web-od", (ON_DEMAND,)),
        ("nodegroup/web-spot", (SPOT,)),
    ]
    assert [(g.nodes_left, g.nodes_spare) for g in pool.node_groups] == [(3, 2)] * 2
    assert receiving_sides(pool.nodes[0], pool.node_groups, ON_DEMAND) == ("nodegroup/web-od",)


def test_an_empty_twin_is_of_the_pool_that_the_other_ones_nodes_name():
    size = GroupSize(smallest=0, largest=5, target=0)
    sizes = {f"eks-{name}-{UUID}": size for name in ("web-spot", "web-od")}
    scene = GroupScene().told(AutoscalerStatus(runs=True, sizes=sizes))
    scene.put("nodes", of_group("n1", "web-spot", "SPOT", **{"spotvortex.io/pool": "shop"}))
    pool = scene.pool("shop")
    assert receiving_sides(pool.nodes[0], pool.node_groups, ON_DEMAND) == ("nodegroup/web-od",)


def test_a_group_that_has_lost_its_last_node_stays_a_twin():
    scene = twins(GroupScene().told(RUNS))
    scene.remove("nodes", "n2")
    pool = scene.pool()
    assert receiving_sides(pool.nodes[0], pool.node_groups, ON_DEMAND) == ("nodegroup/web-od",)


def test_sizes_that_change_reach_the_next_snapshot():
    name = f"eks-web-spot-{UUID}"
    scene = twins(GroupScene())
    for target in (1, 4):
        size = GroupSize(smallest=1, largest=5, target=target)
        pool = scene.told(AutoscalerStatus(runs=True, sizes={name: size})).pool()
        group = next(g for g in pool.node_groups if g.name == "nodegroup/web-spot")
        assert (group.nodes_left, group.nodes_spare) == (5 - target, target - 1)


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ({DISABLED: "true"}, True),
        ({DISABLED: "false"}, False),
        ({DISABLED: "true", "spotvortex.io/kept": "{}"}, False),
    ],
)
def test_what_keeps_a_node_for_a_wave_is_no_word_of_its_owner(notes, said):
    found = node("n1", {"eks.amazonaws.com/nodegroup": "web"}, annotations=notes)
    fact = GroupScene().put("nodes", found).pool().nodes[0]
    assert (fact.do_not_disrupt, fact.kept) == (said, notes.get("spotvortex.io/kept", ""))


def test_sizes_are_read_from_both_forms_of_the_status():
    assert sizes_in(YAML) == {
        f"eks-web-spot-{UUID}": GroupSize(smallest=1, largest=10, target=3),
        "plain": GroupSize(smallest=0, largest=4, target=0),
    }
    assert sizes_in(TEXT) == {"plain": GroupSize(smallest=1, largest=10, target=3)}
    assert sizes_in("Initializing") == sizes_in("") == {}


def status_map(version, text=YAML):
    return Answer({"metadata": {"resourceVersion": version}, "data": {"status": text}})


async def looked(*answers, n=None):
    found = []
    async with serving(FakeCluster({PATH: FakeApi(list(answers))})) as client:
        watch = AutoscalerWatch(client, found.append)
        for _ in range(n or len(answers)):
            await watch.look()
    return found


async def test_a_status_is_read_with_its_groups():
    (status,) = await looked(status_map("1"))
    assert status.runs
    assert len(status.sizes) == 2


async def test_a_status_that_does_not_change_any_more_is_of_one_that_runs_no_more(monkeypatch):
    async with serving(FakeCluster({PATH: FakeApi([status_map("1")])})) as client:
        found = []
        watch = AutoscalerWatch(client, found.append)
        await watch.look()
        monkeypatch.setattr(autoscaler, "SILENT_S", 0.0)
        await watch.look()
    assert [status.runs for status in found] == [True, False]


@pytest.mark.parametrize("code", [403, 404])
async def test_a_status_that_is_not_there_or_denied_says_that_nobody_is_known(code, caplog):
    caplog.set_level(logging.INFO)
    found = await looked(status_map("1"), refused(code), refused(code))
    assert [status.runs for status in found] == [True, False, False]
    assert [r.found for r in caplog.records if r.msg == "autoscaler.status"] == [
        "seen",
        "denied" if code == 403 else "unseen",
    ]


async def test_an_outage_leaves_what_was_read_before():
    assert [status.runs for status in await looked(status_map("1"), refused(500))] == [True]


async def test_what_is_no_config_map_is_an_outage_too():
    assert await looked(Answer({"kind": "x"})) == []
