"""What a provisioner says of the nodes that are wanted, and how it releases one."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.calls import Again, Done, Refused, ReleaseNode
from spotvortex.kube.api.node_labels import CAPACITY_TYPE, INSTANCE_TYPE, ZONE
from spotvortex.kube.write.manifests import PlaceholderOptions
from spotvortex.kube.write.provisioners import (
    NOT_MOVED,
    KarpenterProvisioner,
    NoProvisioner,
)
from spotvortex.kube.write.wanted_nodes import nodes_wanted_of_karpenter
from spotvortex.kube.write.writer import KubeWriter
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.provisioner import RuleOperator, Unable
from tests.kube.api.test_errors import far
from tests.kube.fake_api import Answer, FakeApi, serving
from tests.kube.scenes import placeholder_call

POD = {"metadata": {"namespace": "web", "name": "a", "uid": "u"}}
RELEASE = ReleaseNode(claim="web-1", node="n1", plan_id="p")


def test_karpenter_is_asked_by_capacity_type_and_nodepool():
    call = placeholder_call(POD, sides=("a", "b"), capacity_type=CapacityType.ON_DEMAND)
    wanted = nodes_wanted_of_karpenter(call)
    assert wanted.labels == {"karpenter.sh/capacity-type": "on-demand"}
    assert wanted.any_of == ()
    (pool,) = wanted.all_of
    assert (pool.key, pool.values) == ("karpenter.sh/nodepool", ("a", "b"))
    assert pool.operator is RuleOperator.IN


def test_any_capacity_demands_the_nodepools_of_the_pool_alone():
    call = placeholder_call(POD, capacity_type=CapacityType.UNKNOWN)
    wanted = nodes_wanted_of_karpenter(call)
    assert (wanted.labels, len(wanted.all_of)) == ({}, 1)


async def test_no_room_is_asked_for_where_no_nodepool_of_the_pool_is_known():
    api = FakeApi([Answer({})])
    async with serving(api) as client:
        wanted = KarpenterProvisioner(client, LeaseTiming()).wanted_nodes(
            placeholder_call(POD, sides=())
        )
    assert wanted == Unable("no NodePool of pool web is known to ask for room")


def test_an_offering_is_avoided_by_another_type_first():
    call = placeholder_call(POD, avoid=(Offering(instance_type="m5.large", zone="us-east-1a"),))
    ways = nodes_wanted_of_karpenter(call).any_of
    assert [(r.operator, r.values) for (r,) in ways[:2]] == [
        (RuleOperator.NOT_IN, ("m5.large",)),
        (RuleOperator.NOT_IN, ("us-east-1a",)),
    ]


SPOT, ANY = CapacityType.SPOT, CapacityType.UNKNOWN
TYPES, ZONES = ("a.large", "b.large", "c.large"), ("us-east-1a", "us-east-1b", "us-east-1c")
EACH = [Offering(instance_type=t, zone=z) for t in TYPES for z in ZONES]


def takes(way, labels):
    """Tell whether a node with these labels is what one way asks for."""
    return all(
        (labels.get(rule.key, "") in rule.values) is (rule.operator is RuleOperator.IN)
        for rule in way
    )


@given(st.lists(st.sampled_from(EACH), unique=True, min_size=1), st.sampled_from([SPOT, ANY]))
def test_the_ways_to_avoid_offerings_are_together_what_is_not_avoided(avoid, wanted):
    """Each offering on Spot that is not avoided, and any on-demand node; never a wanted type."""
    call = placeholder_call(POD, avoid=tuple(avoid), capacity_type=wanted)
    ways = nodes_wanted_of_karpenter(call).any_of
    for offering in EACH:
        labels = {INSTANCE_TYPE: offering.instance_type, ZONE: offering.zone}
        on_spot = labels | {CAPACITY_TYPE: "spot"}
        assert any(takes(way, on_spot) for way in ways) is (offering not in avoid)
        on_demand = labels | {CAPACITY_TYPE: "on-demand"}
        assert wanted is SPOT or any(takes(way, on_demand) for way in ways)
    assert all(r.operator is RuleOperator.NOT_IN for w in ways for r in w if r.key == INSTANCE_TYPE)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ({"metadata": {"uid": "c"}, "status": {}}, Again),
        ({"metadata": {"uid": "c"}, "status": {"nodeName": "other"}}, Refused),
        ({"metadata": {"uid": "c"}, "status": {"nodeName": "n1"}}, Done),
    ],
)
async def test_a_claim_is_deleted_only_where_it_is_that_of_the_node(claim, expected):
    api = FakeApi([Answer(claim)])
    async with serving(api) as client:
        answer = await KarpenterProvisioner(client, LeaseTiming()).release(RELEASE, far())
    assert isinstance(answer, expected)
    assert api.methods == (["GET", "DELETE"] if expected is Done else ["GET"])
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "c"}}
    assert api.posted == ([options] if expected is Done else [])


async def test_without_a_provisioner_nothing_is_asked_of_the_server():
    api = FakeApi([Answer({})])
    async with serving(api) as client:
        home = PlaceholderOptions(namespace="ours")
        writer = KubeWriter(client, home, NoProvisioner(), Random(1), LeaseTiming())
        placed = await writer.apply(placeholder_call(POD), far())
        released = await writer.apply(RELEASE, far())
    assert api.methods == []
    assert placed == Refused(reason=NOT_MOVED)
    assert isinstance(released, Refused)
    assert "n1 stays" in released.reason


def test_each_says_whether_it_can_move_anything():
    none = NoProvisioner()
    assert isinstance(none.wanted_nodes(placeholder_call(POD)), Unable)
    assert none.cannot_move == NOT_MOVED
