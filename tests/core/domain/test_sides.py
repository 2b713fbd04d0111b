"""Who moves a node at all, and to which groups of its pool its pods may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.sides import MAX_SIDES, allows, is_driven, receiving_sides
from spotvortex.core.domain.types import CapacityType, ProvisionerKind
from tests.core.builders import node

CLUSTER_AUTOSCALER = ProvisionerKind.CLUSTER_AUTOSCALER
ANY, SPOT, ON_DEMAND = CapacityType.UNKNOWN, CapacityType.SPOT, CapacityType.ON_DEMAND


def group(name, *capacity_types, weight=0):
    return NodeGroupFact(name=name, pool="web", capacity_types=capacity_types, weight=weight)


PAIR = (group("web-spot", SPOT), group("web-od", ON_DEMAND))


@pytest.mark.parametrize(
    ("kinds", "allowed"),
    [((), {ANY, SPOT, ON_DEMAND}), ((SPOT,), {SPOT}), ((ON_DEMAND, SPOT), {ANY, SPOT, ON_DEMAND})],
)
def test_a_group_may_buy_either_only_where_it_may_buy_both(kinds, allowed):
    made = group("web", *kinds)
    assert {kind for kind in (ANY, SPOT, ON_DEMAND) if allows(made, kind)} == allowed


@pytest.mark.parametrize("kind", ProvisionerKind)
def test_only_nodes_of_a_nodepool_of_karpenter_are_moved(kind):
    assert is_driven(node(provisioner=kind)) is (kind is ProvisionerKind.KARPENTER)
    assert not is_driven(node(provisioner=kind, node_group=""))
    foreign = node(provisioner=ProvisionerKind.MANAGED_NODE_GROUP)
    assert receiving_sides(foreign, PAIR, ON_DEMAND) == ()


@pytest.mark.parametrize("kind", [ProvisionerKind.MANAGED_NODE_GROUP, CLUSTER_AUTOSCALER])
def test_a_node_is_moved_by_pods_only_where_its_group_is_known_to_be_grown(kind):
    assert is_driven(node(provisioner=kind, node_group="nodegroup/web-spot"))
    for group_name in ("", "web-spot"):
        assert not is_driven(node(provisioner=kind, node_group=group_name))
    karpenters = node(provisioner=ProvisionerKind.KARPENTER, node_group="nodegroup/web-spot")
    assert not is_driven(karpenters)


def test_a_move_never_leaves_for_the_groups_of_another_provisioner():
    twins = (group("nodegroup/web-spot", SPOT), group("nodegroup/web-od", ON_DEMAND))
    ours = node(provisioner=CLUSTER_AUTOSCALER, node_group="nodegroup/web-spot")
    assert receiving_sides(ours, (*PAIR, *twins), ON_DEMAND) == ("nodegroup/web-od",)
    assert set(receiving_sides(ours, (*PAIR, *twins), ANY)) == {t.name for t in twins}
    karpenters = node(node_group="web-spot")
    assert receiving_sides(karpenters, (*PAIR, *twins), ON_DEMAND) == ("web-od",)


@pytest.mark.parametrize(("to", "to_sides"), [(ON_DEMAND, ("web-od",)), (SPOT, ("web-spot",))])
def test_a_pair_moves_to_the_side_that_can_be_bought_as_wanted(to, to_sides):
    for own in ("web-spot", "web-od"):
        assert receiving_sides(node(node_group=own), PAIR, to) == to_sides


def test_a_node_of_a_pair_that_is_lost_may_go_to_either_side():
    found = receiving_sides(node(node_group="web-spot"), PAIR, ANY)
    assert set(found) == {"web-spot", "web-od"}


@pytest.mark.parametrize("to", CapacityType)
def test_a_move_inside_a_mixed_nodepool_keeps_it(to):
    mixed = (group("web"), group("web-2", SPOT, ON_DEMAND), *PAIR)
    assert receiving_sides(node(node_group="web"), mixed, to) == ("web",)


def test_where_no_nodepool_can_be_read_a_node_keeps_its_own():
    assert receiving_sides(node(node_group="web-spot"), (), ON_DEMAND) == ("web-spot",)


def test_the_heavier_sibling_comes_first_and_one_that_cannot_be_bought_never():
    siblings = (*PAIR, group("b", ON_DEMAND, weight=10), group("a", ON_DEMAND, weight=10))
    assert receiving_sides(node(node_group="web-spot"), siblings, ON_DEMAND) == (
        "a",
        "b",
        "web-od",
    )
    assert receiving_sides(node(node_group="web-spot"), PAIR[:1], ON_DEMAND) == ()


@given(
    st.lists(st.sets(st.sampled_from([SPOT, ON_DEMAND])), max_size=20),
    st.sampled_from(CapacityType),
)
def test_the_order_of_groups_never_matters_and_sides_are_bounded(kinds, to):
    groups = [group(f"g{i}", *sorted(kind)) for i, kind in enumerate(kinds)]
    found = receiving_sides(node(node_group="g3"), groups, to)
    assert found == receiving_sides(node(node_group="g3"), reversed(groups), to)
    assert len(found) <= MAX_SIDES
