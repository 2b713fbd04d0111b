"""Launches that failed, by Karpenter's Events as its provider for AWS words them.

The words of the cloud are those of EC2's CreateFleet, as reports of Karpenter's users quote them.
"""

import asyncio
import datetime as dt
import random

import pytest

from spotvortex.core.domain.cloud.launches import LaunchFacts
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY, update
from spotvortex.kube.cache import launch_events
from spotvortex.kube.cache.view import KubeClusterView
from tests.controlplane.manifests import nodepool_manifest
from tests.kube.cache.test_store import Scene
from tests.kube.scenes import await_true, connected, fresh

AT = 1_800_000_000.0
M5 = Offering(instance_type="m5.large", zone="us-west-2a")
C5 = Offering(instance_type="c5.xlarge", zone="us-west-2b")
NO_SPOT = (
    "InsufficientInstanceCapacity: There is no Spot capacity available that matches your request."
)
UNFULFILLED = (
    "UnfulfillableCapacity: Unable to fulfill capacity due to your request configuration. "
    "Please adjust your request and try again."
)
QUOTA = "MaxSpotInstanceCountExceeded: Max spot instance count exceeded"
ASKED_NOBODY = "all requested instance types were unavailable during launch"


def short_of(offering):
    """What EC2 says of one type in one zone."""
    kind, zone = offering.instance_type, offering.zone
    return (
        f"InsufficientInstanceCapacity: We currently do not have sufficient {kind} capacity in the "
        f"Availability Zone you requested ({zone}). Our system will be working on provisioning "
        f"additional capacity. You can currently get {kind} capacity by not specifying an "
        "Availability Zone in your request or choosing us-west-2c, us-west-2d."
    )


def failed(*answers, claim="web-spot-7qmtr", at=AT, **changes):
    """The Event that Karpenter publishes at a NodeClaim before it deletes it."""
    said = f"with fleet error(s), {'; '.join(answers)}" if answers else ASKED_NOBODY
    when = dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": claim, "uid": claim}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{claim}.18a1", "namespace": "default", "creationTimestamp": when},
        "involvedObject": about,
        "reason": "InsufficientCapacityError",
        "message": f"NodeClaim {claim} event: creating instance, insufficient capacity, {said}",
        "source": {"component": "karpenter"},
        "firstTimestamp": when,
        "lastTimestamp": when,
        "eventTime": None,
        "count": 1,
        "type": "Warning",
        "reportingComponent": "karpenter",
        "reportingInstance": "",
    } | changes


def pool(name="web-spot", kinds=("spot",), types=(), zones=()):
    made = nodepool_manifest(name, capacity_types=kinds)
    rules = made["spec"]["template"]["spec"]["requirements"]
    for key, values in (
        ("node.kubernetes.io/instance-type", types),
        ("topology.kubernetes.io/zone", zones),
    ):
        if values:
            rules.append({"key": key, "operator": "In", "values": list(values)})
    return made


MIXED = pool("web-spot", ("spot", "on-demand"))
ONE = pool(types=("m5.large",), zones=("us-west-2a",))


def told(event, *pools):
    scene = Scene().put("node_pools", *pools).put("launches", event)
    return {r.offering: r.at for r in scene.snapshot().refusals}


@pytest.mark.parametrize(
    ("answers", "node_pool", "named"),
    [
        ((short_of(M5), short_of(C5)), pool(), {M5, C5}),
        ((UNFULFILLED, short_of(M5)), pool(), {M5}),
        # Of Spot or of on-demand: a mixed pool may have been refused either.
        ((short_of(M5),), MIXED, set()),
        # A launch is of one capacity type, so that both speak of Spot.
        ((NO_SPOT, short_of(M5)), MIXED, {M5}),
        ((short_of(M5),), pool(kinds=("on-demand",)), set()),
        # It names nothing, and the pool has more than one offering.
        ((NO_SPOT,), pool(types=("m5.large",)), set()),
        ((NO_SPOT,), pool(types=("m5.large", "c5.large"), zones=("us-west-2a",)), set()),
        ((NO_SPOT,), ONE, {M5}),
        ((UNFULFILLED,), ONE, {M5}),
        # A quota is no lack of capacity.
        ((QUOTA,), ONE, set()),
        # Karpenter asked nobody: it remembers what it did not get.
        ((), ONE, set()),
    ],
)
def test_an_offering_is_named_where_the_event_or_its_nodepool_leaves_no_doubt(
    answers, node_pool, named
):
    assert told(failed(*answers), node_pool) == dict.fromkeys(named, AT)


def test_an_event_that_comes_before_its_nodepool_counts_once_that_is_known():
    event = failed(short_of(M5))
    scene = Scene().put("launches", event)
    assert scene.snapshot().refusals == ()
    scene.put("node_pools", pool())
    assert [r.offering for r in scene.snapshot().refusals] == [M5]
    scene.remove("launches", f"default/{event['metadata']['name']}")
    assert scene.snapshot().refusals == ()


def test_of_several_events_the_latest_time_counts_and_the_latest_offerings_stay(monkeypatch):
    monkeypatch.setattr(launch_events, "MAX_REFUSALS", 1)
    first = failed(short_of(M5), claim="web-spot-aaaaa", at=AT)
    second = failed(short_of(M5), claim="web-spot-bbbbb", at=AT + 60.0)
    third = failed(short_of(C5), claim="web-spot-ccccc", at=AT + 30.0)
    scene = Scene().put("node_pools", pool()).put("launches", second, third, first)
    assert [(r.offering, r.at) for r in scene.snapshot().refusals] == [(M5, AT + 60.0)]


@pytest.mark.parametrize(
    "changes",
    [
        {"involvedObject": None},
        {"involvedObject": {"kind": "NodeClaim"}},
        {"involvedObject": {"kind": "NodeClaim", "name": "odd"}},
        {"message": None},
        {"message": f"with fleet error(s), {short_of(M5)[:110]}..."},
        {"lastTimestamp": "yesterday", "metadata": {"name": "e", "namespace": "default"}},
    ],
)
def test_what_cannot_be_read_tells_nothing(changes):
    assert told(failed(short_of(M5), **changes), pool()) == {}


def learned(*seen, step_s=60.0):
    """Take a row of refusals, and of falls of the gauge, into an empty memory."""
    memory = EMPTY_MEMORY
    for number, (event, fell_at) in enumerate(seen):
        scene = Scene().put("node_pools", pool())
        if event is not None:
            scene.put("launches", event)
        falls = {} if fell_at is None else {M5: fell_at}
        inputs = (InputHealth(name=InputName.NODES, state=InputState.OK, age_s=0.0),)
        facts = scene.cluster.snapshot(inputs)
        memory = update(
            memory, facts, AT + 60.0 + number * step_s, launches=LaunchFacts(falls=falls)
        )
    return memory.offerings[M5]


def test_a_failure_that_is_told_again_and_again_and_shown_by_a_gauge_is_one():
    event = failed(short_of(M5))
    known = learned((event, None), (event, AT + 90.0), (None, AT + 90.0))
    assert known.refusals == pytest.approx(1.0, rel=0.01)
    assert known.last_refused_at == AT
    again = failed(short_of(M5), claim="web-spot-bbbbb", at=AT + 300.0)
    known = learned((event, None), (event, AT + 90.0), (again, None), step_s=200.0)
    assert known.refusals == pytest.approx(2.0, rel=0.01)
    assert known.losses == 0.0


def test_a_clock_that_is_ahead_tells_of_now():
    known = learned((failed(short_of(M5), at=AT + 100.0), None))
    assert known.last_refused_at == AT + 60.0


@pytest.mark.controlplane
async def test_on_a_real_server_karpenters_event_at_a_claim_tells_and_others_do_not(control_plane):
    """Karpenter says the same at the pods that wait, and other reasons at the claim."""
    admin, name = control_plane.api(), fresh("short")
    admin.create(pool(name))
    about = {"kind": "Pod", "namespace": "default"}
    events = (
        failed(short_of(M5), claim=f"{name}-aaaaa", at=AT),
        failed(short_of(C5), claim=f"{name}-bbbbb", reason="NodeClassNotReady"),
        failed(short_of(C5), claim=f"{name}-ccccc"),
    )
    events[2]["involvedObject"] |= about
    for event in events:
        admin.must("POST", "/api/v1/namespaces/default/events", event)
    try:
        async with connected(control_plane) as client:
            view, stop = KubeClusterView(client, random.Random(1), 30.0), asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(view.run(stop))
                await view.synced()

                async def is_told():
                    return M5 in {r.offering for r in view.snapshot(AT).refusals}

                await await_true(is_told)
                found = {r.offering for r in view.snapshot(AT).refusals}
                stop.set()
        assert found == {M5}
    finally:
        admin.delete(f"/apis/karpenter.sh/v1/nodepools/{name}")
