"""The levers and real Karpenter: it launches what a placeholder asks for, and ends what we name."""

import asyncio

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.core.drain.calls import DeleteAnchors, DeletePlaceholders, Done, ReleaseNode
from tests.controlplane.manifests import PodShape, node_class_manifest, nodepool_manifest
from tests.kube.scenes import PLAN, anchor_call, fresh, placeholder_call, site

# Karpenter looks every ten seconds and validates for fifteen more; one test waits for it twice.
pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(600)]
EVERYTHING = {"tolerations": [{"operator": "Exists"}]}


async def pool_of_one_type(here, instance_type, after="Never"):
    name = fresh("pool")
    manifest = nodepool_manifest(name)
    requirements = manifest["spec"]["template"]["spec"]["requirements"]
    requirements.append(
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [instance_type]}
    )
    manifest["spec"]["disruption"] = {
        "consolidationPolicy": "WhenEmptyOrUnderutilized",
        "consolidateAfter": after,
        "budgets": [{"nodes": "100%"}],
    }
    await here.do(here.plane.apply, [node_class_manifest(), manifest])
    return name


async def node_under(here, call):
    """Wait until a placeholder is bound; return its node.

    The taint of a node that has just come may delete one; it is asked for again, as a drain does.
    """
    nodes = []

    async def bound():
        there = [p for p in (await here.own())["items"] if p["metadata"]["name"] == call.name]
        if not there:
            assert await here.apply(call) == Done()
        nodes[:] = [p["spec"]["nodeName"] for p in there if p["spec"].get("nodeName")]
        return nodes

    await here.await_true(bound, 120.0)
    return await here.seen_node(nodes[0])


async def test_an_offering_to_avoid_is_not_launched_even_if_only_its_zone_can_differ(
    karpenter_control_plane,
):
    async with site(karpenter_control_plane) as here:
        pool = await pool_of_one_type(here, "m5.large")
        pod = await here.pod(PodShape(spec=EVERYTHING))
        asked = {"sides": (pool,), "cpu_milli": 1500}
        first = placeholder_call(pod, **asked)
        assert await here.apply(first) == Done()
        labels = (await node_under(here, first))["metadata"]["labels"]
        assert labels["karpenter.sh/capacity-type"] == "on-demand"
        zone = labels["topology.kubernetes.io/zone"]
        second = placeholder_call(
            pod, avoid=(Offering(instance_type="m5.large", zone=zone),), **asked
        )
        assert await here.apply(second) == Done()
        labels = (await node_under(here, second))["metadata"]["labels"]
        assert labels["karpenter.sh/nodepool"] == pool
        assert labels["karpenter.sh/capacity-type"] == "on-demand"
        assert labels["node.kubernetes.io/instance-type"] == "m5.large"
        assert labels["topology.kubernetes.io/zone"] != zone
        third = placeholder_call(pod, zone=zone, **asked)
        assert await here.apply(third) == Done()
        labels = (await node_under(here, third))["metadata"]["labels"]
        assert labels["topology.kubernetes.io/zone"] == zone


async def test_a_claim_that_we_delete_takes_its_node_away_and_an_anchor_holds_nothing_up(
    karpenter_control_plane,
):
    async with site(karpenter_control_plane) as here:
        pool = await pool_of_one_type(here, "c5.large")
        pod = await here.pod(PodShape())
        call = placeholder_call(pod, sides=(pool,), cpu_milli=500)
        assert await here.apply(call) == Done()
        node = await node_under(here, call)
        name = node["metadata"]["name"]
        assert await here.apply(anchor_call(node)) == Done()
        deletion = DeletePlaceholders(plan_id=PLAN, for_uid="node-uid")
        assert await here.apply(deletion) == Done()
        claim = next(o for o in node["metadata"]["ownerReferences"] if o["kind"] == "NodeClaim")
        end = ReleaseNode(claim=claim["name"], node=name, plan_id=PLAN)

        async def deleted():
            return await here.apply(end) == Done()

        # The claim names its node a moment after that has come.
        await here.await_true(deleted, 120.0)

        async def gone():
            items = (await here.get("/api/v1/nodes"))["items"]
            return name not in {item["metadata"]["name"] for item in items}

        await here.await_true(gone, 120.0)


async def test_an_anchor_keeps_a_node_that_karpenter_would_remove(karpenter_control_plane):
    async with site(karpenter_control_plane) as here:
        pool = await pool_of_one_type(here, "r5.large", after="3s")
        pod = await here.pod(PodShape())
        calls = [placeholder_call(pod, sides=(pool,), cpu_milli=1500) for _ in range(2)]
        for call in calls:
            assert await here.apply(call) == Done()
        kept, other = [await node_under(here, call) for call in calls]
        assert await here.apply(anchor_call(kept)) == Done()
        deletion = DeletePlaceholders(plan_id=PLAN, for_uid="node-uid")
        assert await here.apply(deletion) == Done()

        async def names():
            query = f"labelSelector=karpenter.sh/nodepool%3D{pool}"
            items = (await here.get(f"/api/v1/nodes?{query}"))["items"]
            return {item["metadata"]["name"] for item in items}

        async def other_is_gone():
            return other["metadata"]["name"] not in await names()

        async def all_are_gone():
            return not await names()

        await here.await_true(other_is_gone, 120.0)
        await asyncio.sleep(10.0)
        assert await names() == {kept["metadata"]["name"]}
        release = DeleteAnchors(node=kept["metadata"]["name"], node_uid=kept["metadata"]["uid"])
        assert await here.apply(release) == Done()
        await here.await_true(all_are_gone, 120.0)
