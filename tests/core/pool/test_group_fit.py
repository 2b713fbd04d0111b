"""Which nodes a NodePool may take, and what its limits leave for them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import Blocker, CapacityType
from spotvortex.core.pool.group_fit import LaunchHeadroom, launches, place, sizes_of, spare_nodes
from spotvortex.core.pool.input import GroupFit
from tests.core import odd
from tests.core.builders import GIB, WEB_A, WEB_B, load, room, spot, with_load_blocker

ON_DEMAND, SPOT = CapacityType.ON_DEMAND, CapacityType.SPOT
MIB_OF_NODE = 8192


def node_pool(name="web", **changes):
    return NodeGroupFact(**({"name": name, "pool": "web"} | changes))


def placed(nodes, *node_pools, wanted=ON_DEMAND):
    return place(node_pools, wanted, nodes, sizes_of(nodes))


def stateful(name, offering):
    return with_load_blocker(spot(name, offering), Blocker.VOLUME)


def with_pod(name, cpu_milli=0, memory_bytes=0):
    pods = load(largest_cpu_milli=cpu_milli, largest_memory_bytes=memory_bytes)
    return spot(name, load=pods)


NODES = (spot("a1"), spot("b1", WEB_B))


def test_a_group_gives_no_more_nodes_than_it_may_lose():
    groups = [node_pool("web", nodes_spare=1), node_pool("other")]
    nodes = (*NODES, spot("c1", node_group="other"), spot("d1", node_group="unknown"))
    assert [n.name for n in spare_nodes(nodes, groups)] == ["a1", "c1", "d1"]
    assert spare_nodes(NODES, [node_pool("web", nodes_spare=0)]) == ()
    assert spare_nodes(NODES, [node_pool("web", nodes_spare=2)]) == NODES
    assert spare_nodes(NODES, ()) == NODES


def test_without_node_pools_only_the_sizes_seen_are_told():
    order, found = placed(NODES)
    assert order == NODES
    assert found == GroupFit(launch_cpu_milli=2000, launch_memory_mib=MIB_OF_NODE)


def test_a_node_pool_that_does_not_allow_what_is_wanted_is_not_asked():
    assert placed(NODES, node_pool(capacity_types=(SPOT,)))[1].node_group == ""
    assert placed(NODES, node_pool(capacity_types=(SPOT,)), wanted=SPOT)[1].node_group == "web"


def test_what_the_limits_leave_is_told():
    limited = node_pool(cpu_left_milli=7000, memory_left_bytes=3 * GIB - 1, nodes_left=4)
    found = placed(NODES, limited)[1]
    assert (found.cpu_left_milli, found.memory_left_mib, found.nodes_left) == (7000, 3071, 4)
    assert (found.n_placed, found.misfit) == (2, "")


def test_a_pod_with_a_volume_needs_its_own_zone():
    nodes = (stateful("b1", WEB_B), stateful("a1", WEB_A), spot("b2", WEB_B))
    order, found = placed(nodes, node_pool(zones=("us-east-1a",)))
    assert [n.name for n in order] == ["a1", "b2", "b1"]
    assert (found.n_placed, found.misfit) == (2, "us-east-1b")
    assert placed(nodes, node_pool(zones=("us-east-1a", "us-east-1b")))[1].misfit == ""
    assert placed(nodes, node_pool())[1].n_placed == 3


def test_a_pod_larger_than_every_type_that_may_be_bought_has_no_place():
    node = replace(with_pod("a1", 3000), allocatable_cpu_milli=4000)
    listed = node_pool(instance_types=("c6i.large",))
    assert placed((node,), listed)[1].misfit == "3000m, 0Mi"
    assert placed((replace(node, load=load(largest_cpu_milli=2000)),), listed)[1].misfit == ""


def test_sizes_seen_count_before_names():
    full = with_pod("a1", 1900, 9 * GIB)
    seen = (full, replace(spot("a2"), allocatable_memory_bytes=9 * GIB))
    listed = node_pool(instance_types=("m6i.large",))
    assert placed(seen, listed)[1].n_placed == 2
    assert placed((full,), listed)[1].misfit == "1900m, 9216Mi"
    assert placed((with_pod("a1", 2000, 8 * GIB),), listed)[1].misfit == ""
    assert placed((with_pod("a1", 2001, 8 * GIB),), listed)[1].misfit == "2001m, 8192Mi"
    assert placed(seen, listed)[1].sizes_known


def test_a_size_is_that_of_the_nodes_that_tell_both_figures():
    def sizes(*allocatable):
        return sizes_of(
            spot("a1", allocatable_cpu_milli=cpu, allocatable_memory_bytes=memory)
            for cpu, memory in allocatable
        )

    assert sizes((0, 8 * GIB), (2000, 0)) == {}
    assert sizes((1, 1)) == {"m6i.large": (1, 1)}
    assert sizes((0, 8 * GIB), (2000, 4 * GIB)) == {"m6i.large": (2000, 4 * GIB)}


def test_what_is_not_known_is_no_misfit_and_is_said():
    large = with_pod("a1", 90_000, 900 * GIB)
    for unsaid in (node_pool(), node_pool(instance_types=("odd",))):
        found = placed((large,), unsaid)[1]
        assert (found.misfit, found.sizes_known) == ("", False)


def test_the_largest_size_that_requirements_leave_bounds_a_pod():
    bounded = node_pool(max_cpu_milli=4000, max_memory_bytes=16 * GIB)
    assert placed((with_pod("a1", 4000, 16 * GIB),), bounded)[1].misfit == ""
    assert placed((with_pod("a1", 4001),), bounded)[1].misfit == "4001m, 0Mi"
    assert placed((with_pod("a1", 1, 16 * GIB + 1),), bounded)[1].misfit == "1m, 16385Mi"
    assert placed((with_pod("a1"),), bounded)[1].sizes_known


def test_a_launch_counts_as_the_largest_type_that_it_may_become():
    def of(**changes):
        found = placed(NODES, node_pool(**changes))[1]
        return found.launch_cpu_milli, found.launch_memory_mib

    assert of() == (2000, MIB_OF_NODE)
    assert of(instance_types=("m6i.large", "m6i.4xlarge")) == (16_000, MIB_OF_NODE)
    assert of(max_cpu_milli=8000, max_memory_bytes=64 * GIB) == (8000, 65_536)
    assert of(instance_types=("odd",)) == (0, 0)


def test_the_node_pool_with_room_is_chosen_then_the_one_for_the_first_node():
    full, free = node_pool("a", nodes_left=0), node_pool("b", nodes_left=1)
    assert placed(NODES, full, free)[1].node_group == "b"
    assert placed(NODES, free, node_pool("c", nodes_left=2))[1].node_group == "c"
    assert placed(NODES, node_pool("z"), node_pool("y"))[1].node_group == "y"
    bound = (stateful("b1", WEB_B), *(stateful(f"a{i}", WEB_A) for i in range(3)))
    zonal = [node_pool(z, zones=(z,)) for z in ("us-east-1a", "us-east-1b")]
    assert placed(bound, *zonal)[1].node_group == "us-east-1b"


def test_a_pair_is_judged_by_the_nodepool_that_would_receive_the_pods():
    pair = (
        node_pool("web-spot", capacity_types=(SPOT,), nodes_left=0),
        node_pool("web-od", capacity_types=(ON_DEMAND,), nodes_left=7),
    )
    nodes = (spot("a1", node_group="web-spot"), spot("b1", WEB_B, node_group="web-spot"))
    found = placed(nodes, *pair)[1]
    assert (found.node_group, found.n_placed, found.nodes_left) == ("web-od", 2, 7)


def test_nodes_of_another_mixed_nodepool_do_not_share_the_wave():
    nodes = (spot("a1", node_group="a"), spot("b1", node_group="b"), spot("a2", node_group="a"))
    order, found = placed(nodes, node_pool("a"), node_pool("b"))
    assert [n.name for n in order] == ["a1", "a2", "b1"]
    assert (found.node_group, found.n_placed, found.misfit) == ("a", 2, "b")


def test_launches_stop_at_the_first_that_would_exceed_a_limit():
    needs = [(900, GIB)] * 3
    assert launches(room(), needs) == LaunchHeadroom(3)
    assert launches(room(nodes_left=1), needs) == LaunchHeadroom(1, "nodes", 2, 1)
    assert launches(room(cpu_left_milli=2899), needs) == LaunchHeadroom(1, "cpu_milli", 2900, 2899)
    assert launches(room(memory_left_mib=9216), needs) == LaunchHeadroom(
        2, "memory_mib", 17_408, 9216
    )
    assert launches(room(nodes_left=0), []) == LaunchHeadroom(0)


@odd.few
@given(odd.pools(), st.sampled_from([ON_DEMAND, SPOT]))
def test_no_node_is_lost_and_the_placed_come_first_in_their_order(facts, wanted):
    nodes = tuple(facts.nodes)
    order, found = place(facts.node_groups, wanted, nodes, sizes_of(nodes))
    assert sorted(n.name for n in order) == sorted(n.name for n in nodes)
    first = order[: found.n_placed]
    assert list(first) == [n for n in nodes if n in first]
    assert (found.n_placed < len(nodes)) == bool(found.misfit) or not found.node_group
