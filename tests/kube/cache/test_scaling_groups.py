"""Node groups that the controller grows by AWS: whose nodes belong to one, and what it may buy."""

from dataclasses import replace

from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup
from spotvortex.core.domain.sides import is_driven, receiving_sides
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.growth import Growth, growth_text
from spotvortex.kube.cache.groups.growths import GrowthWatch
from spotvortex.kube.cache.groups.node_groups import AutoscalerUse
from tests.kube.cache.test_node_groups import RUNS, GroupScene, of_group, twins
from tests.kube.fake_api import Answer, FakeApi, refused, serving
from tests.kube.objects import node

SPOT, ON_DEMAND = CapacityType.SPOT, CapacityType.ON_DEMAND


def labelled(name, kind):
    labels = {"spotvortex.io/pool": "web", "spotvortex.io/capacity-type": kind}
    return node(name, labels, spec={"providerID": f"aws:///us-east-1a/i-{name}"})


def scaling(kind, **changes):
    values = {
        "name": f"asg-{kind}",
        "node_group": f"labels/web/{kind}",
        "pool": "web",
        "capacity_type": CapacityType(kind),
        "largest": 5,
        "smallest": 1,
        "desired": 3,
    }
    return ScalingGroup(**(values | changes))


def scene_with(*groups, use=AutoscalerUse.WHERE_IT_RUNS):
    scene = GroupScene(use).put("nodes", labelled("0a1", "spot"))
    scene.store.node_pools.autoscaled.take_scaling(groups)
    return scene


def test_nodes_of_a_tagged_group_are_moved_and_released_by_their_instance():
    pool = scene_with(scaling("spot"), scaling("on-demand")).pool()
    (only,) = pool.nodes
    assert is_driven(only)
    assert (only.node_group, only.claim) == ("labels/web/spot", "instance/i-0a1")
    # The twin has no node, and is known all the same.
    assert receiving_sides(only, pool.node_groups, ON_DEMAND) == ("labels/web/on-demand",)
    sizes = [(g.name, g.capacity_types, g.nodes_left, g.nodes_spare) for g in pool.node_groups]
    assert sizes == [
        ("labels/web/on-demand", (ON_DEMAND,), 2, 2),
        ("labels/web/spot", (SPOT,), 2, 2),
    ]


def test_what_speaks_against_a_group_goes_with_it_and_a_full_one_says_what_is_short():
    held = scaling("spot", protects=True)
    full = scaling("on-demand", room_nodes=0, room_words="0 free addresses in its subnets")
    other, own = scene_with(held, full).pool().node_groups
    assert own.words.no_release.startswith("asg-spot: what it launches is protected")
    assert (own.words.no_growth, other.words.no_release) == ("", "")
    assert other.words.no_growth == (
        "asg-on-demand: no node more may be added: 0 free addresses in its subnets"
    )


def test_a_group_that_buys_both_ways_is_no_twin_of_its_own():
    both = scaling("spot", capacity_type=CapacityType.UNKNOWN)
    (group,) = scene_with(both).pool().node_groups
    assert group.capacity_types == ()
    assert "use two groups" in group.words.no_growth


def test_a_managed_group_is_of_the_pool_that_its_name_or_its_label_says():
    scene = twins(GroupScene(AutoscalerUse.NEVER))
    groups = [
        scaling("spot", node_group="nodegroup/web-spot", managed="web-spot", pool=""),
        scaling("on-demand", node_group="nodegroup/web-od", managed="web-od", pool=""),
    ]
    scene.store.node_pools.autoscaled.take_scaling(groups)
    assert [g.pool for g in scene.pool().node_groups] == ["web", "web"]


def test_an_empty_managed_twin_makes_a_pair_of_the_two():
    scene = GroupScene(AutoscalerUse.NEVER).put("nodes", of_group("n1", "web-spot", "SPOT"))
    assert scene.pool("web-spot").nodes
    groups = [
        scaling("spot", node_group="nodegroup/web-spot", managed="web-spot", pool=""),
        scaling("on-demand", node_group="nodegroup/web-od", managed="web-od", pool=""),
    ]
    scene.store.node_pools.autoscaled.take_scaling(groups)
    pool = scene.pool()
    assert receiving_sides(pool.nodes[0], pool.node_groups, ON_DEMAND) == ("nodegroup/web-od",)


def test_where_cluster_autoscaler_runs_its_groups_are_its_own():
    scene = scene_with(scaling("spot"), scaling("on-demand")).told(RUNS)
    assert scene.pool().nodes[0].claim == "node/uid-0a1"


def test_a_node_without_an_instance_is_released_by_nobody():
    scene = scene_with(scaling("spot"))
    bare = labelled("0b2", "spot")
    scene.put("nodes", replace_spec(bare))
    found = {n.name: n.claim for n in scene.pool().nodes}
    assert found == {"0a1": "instance/i-0a1", "0b2": ""}


def replace_spec(made):
    return made | {"spec": {}}


def test_a_group_that_is_told_the_same_again_changes_nothing():
    scene = scene_with(scaling("spot"))
    before = scene.pool()
    scene.store.node_pools.autoscaled.take_scaling([replace(scaling("spot"))])
    assert scene.pool() is before


async def looked(*answers):
    taken = []
    async with serving(FakeApi(list(answers))) as client:
        watch = GrowthWatch(client, "spotvortex", taken.append)
        for _ in answers:
            await watch.look()
    return taken


async def test_the_journal_is_read_by_group_and_plan_and_what_it_cannot_say_is_left_out():
    texts = [growth_text(Growth(group=g, plan=p, before=0, n_nodes=1)) for g, p in ("bq", "ap")]
    read = Answer({"metadata": {}, "data": {"x": texts[0], "y": texts[1], "z": "{"}})
    taken = await looked(read, refused(404), refused(503), Answer({"metadata": {}}))
    assert taken == [(("a", "p"), ("b", "q")), (), ()]
