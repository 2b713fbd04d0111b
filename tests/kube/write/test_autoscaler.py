"""Cluster Autoscaler: which nodes are asked for, and what is written on its nodes meanwhile."""

import asyncio

import pytest

from spotvortex.core.domain.labels import PRIORITY
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.calls import Again, Done, Gone, Refused, ReleaseNode
from spotvortex.core.drain.group_calls import RestoreGroup
from spotvortex.core.drain.keeping import FreeNode, KeepNode
from spotvortex.kube.write.autoscaler.provisioner import AutoscalerProvisioner
from spotvortex.kube.write.autoscaler.wanted_nodes import nodes_wanted_of_autoscaler
from spotvortex.kube.write.manifests import PlaceholderOptions, placeholder, room_job
from spotvortex.kube.write.placeholder_spec import OriginalSpec, placeholder_spec
from spotvortex.kube.write.provisioners import EachByItsOwn, KarpenterProvisioner
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.provisioner import RuleOperator, Unable
from tests.kube.api.test_errors import far, writer
from tests.kube.fake_api import Answer, FakeApi, FakeCluster, refused, serving
from tests.kube.scenes import placeholder_call

POD = {"metadata": {"namespace": "web", "name": "a", "uid": "u"}}
SPOT, ON_DEMAND, ANY = CapacityType.SPOT, CapacityType.ON_DEMAND, CapacityType.UNKNOWN
DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
KEPT = "spotvortex.io/kept"
NOTE = '{"v":1,"plan":"p"}'
NODE, PODS = "/api/v1/nodes/n1", "/api/v1/namespaces/spotvortex/pods"
KEEP = KeepNode(node="n1", uid="u1", plan_id="p")
FREE = FreeNode(node="n1", uid="u1", plan_id="p")
RELEASE = ReleaseNode(claim="node/u1", node="n1", plan_id="p")


def managed(*names, **changes):
    return placeholder_call(POD, sides=tuple(f"nodegroup/{name}" for name in names), **changes)


def rules_of(call):
    return [(r.key, r.operator, r.values) for r in nodes_wanted_of_autoscaler(call).all_of]


@pytest.mark.parametrize(("wanted", "other"), [(SPOT, "ON_DEMAND"), (ON_DEMAND, "SPOT")])
def test_a_managed_group_is_asked_by_its_name_and_the_other_capacity_is_ruled_out(wanted, other):
    """An empty group's capacity type is a label that Cluster Autoscaler does not know."""
    name, capacity = rules_of(managed("web-od", capacity_type=wanted))
    assert name == ("eks.amazonaws.com/nodegroup", RuleOperator.IN, ("web-od",))
    assert capacity == (
        "eks.amazonaws.com/capacityType",
        RuleOperator.NOT_IN,
        ("CAPACITY_BLOCK", other),
    )


def test_a_labelled_group_is_asked_by_pool_and_capacity_type():
    call = placeholder_call(POD, sides=("labels/web/on-demand",), capacity_type=ON_DEMAND)
    pool, capacity = rules_of(call)
    assert pool == ("spotvortex.io/pool", RuleOperator.IN, ("web",))
    assert capacity[:2] == ("spotvortex.io/capacity-type", RuleOperator.IN)
    assert {"on-demand", "ON_DEMAND"} <= set(capacity[2])
    assert not {"spot", "SPOT"} & set(capacity[2])


def test_of_any_capacity_the_groups_alone_are_named_and_no_offering_is_avoided():
    offering = Offering(instance_type="m5.large", zone="us-east-1a")
    found = nodes_wanted_of_autoscaler(managed("a", "b", capacity_type=ANY, avoid=(offering,)))
    assert [rule.values for rule in found.all_of] == [("a", "b")]
    assert found.any_of == ()
    both = ("labels/web/spot", "labels/web/on-demand")
    words = rules_of(placeholder_call(POD, sides=both, capacity_type=ANY))[1][2]
    assert {"spot", "on-demand"} <= set(words)


def test_no_room_is_asked_for_where_no_group_is_known():
    assert nodes_wanted_of_autoscaler(placeholder_call(POD, sides=())) == Unable(
        "no node group of pool web is known to ask for room"
    )


def test_a_placeholder_keeps_its_node_and_is_not_expendable():
    call = managed("web-od", capacity_type=ON_DEMAND)
    spec = placeholder_spec(call, nodes_wanted_of_autoscaler(call), OriginalSpec())
    pod = placeholder(call, spec, PlaceholderOptions(namespace="spotvortex"), {})
    note = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    assert pod["metadata"]["annotations"][note] == "false"
    job = room_job("spotvortex-tether-a", pod, 2, 600)
    template = job["spec"]["template"]
    assert template["metadata"]["annotations"][note] == "false"
    assert pod["spec"]["priorityClassName"] == "spotvortex-placeholder"
    terms = pod["spec"]["affinity"]["nodeAffinity"]
    (term,) = terms["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert {rule["key"] for rule in term["matchExpressions"]} == {
        "eks.amazonaws.com/nodegroup",
        "eks.amazonaws.com/capacityType",
    }


def the_node(uid="u1", **notes):
    meta = {"name": "n1", "uid": uid, "resourceVersion": "7", "annotations": notes}
    return Answer({"metadata": meta})


async def applied(call, answer):
    """Apply a call to a node; return the answer, and what was patched, if anything was."""
    api = FakeApi([answer])
    async with serving(FakeCluster({NODE: api, PODS: FakeApi([Answer({})])})) as client:
        found = await writer(client).apply(call, far())
    return found, api.posted


async def test_a_node_is_kept_together_with_our_note_for_the_version_that_was_read():
    answer, (patch,) = await applied(KEEP, the_node())
    assert answer == Done()
    assert patch["metadata"] == {
        "uid": "u1",
        "resourceVersion": "7",
        "annotations": {DISABLED: "true", KEPT: NOTE},
    }


async def test_a_node_that_is_kept_for_the_plan_already_is_left_alone():
    assert await applied(KEEP, the_node(**{DISABLED: "true", KEPT: NOTE})) == (Done(), [])


@pytest.mark.parametrize("value", ["true", "false"])
async def test_a_node_that_its_owner_keeps_or_not_is_never_ours(value):
    for call in (KEEP, FREE):
        assert await applied(call, the_node(**{DISABLED: value})) == (Done(), [])


async def test_a_later_plan_takes_a_kept_node_over_and_the_earlier_one_leaves_it():
    other = the_node(**{DISABLED: "true", KEPT: '{"v":1,"plan":"q"}'})
    _, (patch,) = await applied(KEEP, other)
    assert patch["metadata"]["annotations"][KEPT] == NOTE
    assert await applied(FREE, other) == (Done(), [])


@pytest.mark.parametrize("note", [NOTE, "what nobody can read"])
async def test_a_freed_node_has_neither_annotation_any_more(note):
    call = FREE if note == NOTE else FreeNode(node="n1", uid="u1", plan_id="")
    answer, (patch,) = await applied(call, the_node(**{DISABLED: "true", KEPT: note}))
    assert answer == Done()
    assert patch["metadata"]["annotations"] == {DISABLED: None, KEPT: None}


@pytest.mark.parametrize("call", [KEEP, FREE])
async def test_another_node_of_the_name_or_none_is_gone(call):
    assert await applied(call, the_node(uid="u2")) == (Gone(), [])
    assert await applied(call, refused(404)) == (Gone(), [])


async def test_a_busy_server_is_asked_again():
    answer, _ = await applied(KEEP, refused(500))
    assert isinstance(answer, Again)


def both(client):
    autoscaler = AutoscalerProvisioner(client=client, timing=LeaseTiming(), namespace="spotvortex")
    return EachByItsOwn(
        karpenter=KarpenterProvisioner(client, LeaseTiming()), autoscaler=autoscaler
    )


async def released(call, node):
    nodes, pods = FakeApi([node]), FakeApi([Answer({})])
    async with serving(FakeCluster({NODE: nodes, PODS: pods})) as client:
        answer = await both(client).release(call, asyncio.get_running_loop().time() + 30.0)
    return answer, nodes.posted, pods


async def test_a_drained_node_loses_its_anchors_and_what_keeps_it_and_stays_cordoned():
    answer, (patch,), pods = await released(RELEASE, the_node(**{DISABLED: "true", KEPT: NOTE}))
    assert answer == Done()
    assert patch["metadata"]["annotations"] == {DISABLED: None, KEPT: None}
    assert "spec" not in patch
    (query,) = pods.asked
    assert query["labelSelector"] == "spotvortex.io/kind=anchor,spotvortex.io/for=u1"


async def test_a_node_that_nothing_of_ours_keeps_is_not_written_to():
    answer, patches, _ = await released(RELEASE, the_node())
    assert (answer, patches) == (Done(), [])


async def test_each_call_goes_to_whoever_grows_its_groups():
    async with serving(FakeCluster({})) as client:
        provisioner = both(client)
        of_group = provisioner.wanted_nodes(managed("web-od"))
        of_pool = provisioner.wanted_nodes(placeholder_call(POD, sides=("web",)))
        alone = provisioner.autoscaler
        until = asyncio.get_running_loop().time() + 30.0
        refusals = [
            await alone.release(ReleaseNode(claim="web-1", node="n1", plan_id="p"), until),
            await alone.steer(RestoreGroup(group="g", uid="u", owners=None), until),
        ]
    assert of_group.all_of[0].key == "eks.amazonaws.com/nodegroup"
    assert of_pool.all_of[0].key == "karpenter.sh/nodepool"
    assert of_pool.annotations == {}
    assert provisioner.cannot_move == alone.cannot_move == ""
    assert all(isinstance(answer, Refused) for answer in refusals)


def test_the_priority_is_the_lowest_that_cluster_autoscaler_counts():
    """One below -10 is expendable: no scale-up for it, and no node kept by it."""
    assert PRIORITY == -10
