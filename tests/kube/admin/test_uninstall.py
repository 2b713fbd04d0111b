"""Leaving meets a cluster that changes under its hands, refuses, or goes away."""

import asyncio
import datetime as dt
from dataclasses import replace
from random import Random

import pytest

from spotvortex.core.domain import labels as label_names
from spotvortex.core.uninstall import Leftover, ObjectKind, UninstallResult
from spotvortex.errors import ServerError, UnreachableError
from spotvortex.kube.admin.inventory import collections, take
from spotvortex.kube.admin.uninstall import MAX_TRIES, Uninstaller, unmarking
from tests.kube.fake_api import CUT, Answer, FakeApi, FakeCluster, listed, refused, serving, watched

NAMESPACE = "ours"
PATHS = collections(NAMESPACE)
NOW = 1_800_000_000.0
BOTH = {"labels": {label_names.CORDONED: "true"}, "annotations": {label_names.DRAIN: "{}"}}
FREEZE = f"{PATHS[ObjectKind.FREEZE]}/{label_names.FREEZE}"


class Clock:
    def now(self):
        return NOW


def node(version, *, cordoned=True, **meta):
    metadata = {"name": "n", "uid": "u", "resourceVersion": version} | (meta or BOTH)
    return {"metadata": metadata, "spec": {"unschedulable": cordoned}}


def cluster(*answers, nodes=(), **changes):
    """One node whose own path gives these answers; the rest of the cluster is empty."""
    empty = {path: FakeApi([listed()]) for path in PATHS.values()}
    lists = {PATHS[ObjectKind.NODE]: FakeApi([*nodes, listed()])}
    one = {f"{PATHS[ObjectKind.NODE]}/n": FakeApi(list(answers)), FREEZE: FakeApi([Answer({})])}
    return FakeCluster(empty | lists | one | changes)


async def left_of(served, told=None):
    async with serving(served) as client:
        departure = Uninstaller(client, NAMESPACE, Clock(), (told or []).append, Random(1))
        return await departure.leave(0.0)


def patches(served):
    return served.apis[f"{PATHS[ObjectKind.NODE]}/n"].posted


def test_what_keeps_a_node_goes_with_our_note_of_it_and_an_owners_stays():
    kept, disabled = label_names.KEPT, label_names.SCALE_DOWN_DISABLED
    left = Leftover(thing=ObjectKind.NODE, name="n", version="7", marks=frozenset({kept}))
    patch = unmarking(left)
    assert patch["metadata"]["annotations"] == {kept: None, disabled: None}
    assert "spec" not in patch
    patch = unmarking(replace(left, marks=frozenset({label_names.AT_RISK})))
    assert patch["metadata"]["annotations"] == {label_names.AT_RISK: None}


async def test_where_nothing_is_left_nothing_is_written():
    served = cluster()
    assert await left_of(served) == UninstallResult(found=(), left=(), applied=True)
    assert {method for api in served.apis.values() for method in api.methods} == {"GET"}


async def test_a_look_names_all_that_is_left_and_writes_nothing():
    served = cluster(Answer(node("1")), nodes=[listed(node("1"))])
    async with serving(served) as client:
        uninstaller = Uninstaller(client, NAMESPACE, Clock(), print, Random(1))
        looked = await uninstaller.look()
    assert not looked.applied
    assert [left.name for left in looked.found] == ["n"]
    assert [left.leftover for left in looked.left] == list(looked.found)
    assert {method for api in served.apis.values() for method in api.methods} <= {"GET"}


async def test_a_daemon_that_undoes_nothing_is_waited_for_no_longer_than_was_said():
    daemon = {"app.kubernetes.io/name": "spotvortex"}
    working = {
        "metadata": {"name": "daemon", "namespace": NAMESPACE, "uid": "d", "labels": daemon},
        "status": {"phase": "Running"},
    }
    served = cluster(
        Answer(node("1")),
        nodes=[listed(node("1"))] * 9,
        **{PATHS[ObjectKind.POD]: FakeApi([listed(working)])},
    )
    told = []
    loop = asyncio.get_running_loop()
    async with serving(served) as client:
        uninstaller = Uninstaller(client, NAMESPACE, Clock(), told.append, Random(1))
        begun = loop.time()
        await uninstaller._undone(0.3)
        assert 0.3 <= loop.time() - begun < 1.5
    assert told == ["waiting for pod daemon to undo 1 things, 0 of at most 0 s"]


async def test_a_node_that_changed_is_read_again_and_what_is_no_longer_ours_stays():
    changed = node("2", labels={label_names.CORDONED: "true"})
    answers = [Answer(node("1")), Answer(node("1")), refused(409), Answer(changed), Answer({})]
    found = [listed(node("1")), listed(node("1"))]
    served = cluster(*answers, nodes=found)
    leaving = await left_of(served)
    assert leaving.left == ()
    first, second = patches(served)
    assert first == {
        "metadata": {
            "resourceVersion": "1",
            "labels": {label_names.CORDONED: None},
            "annotations": {label_names.DRAIN: None},
        },
        "spec": {"unschedulable": None},
    }
    # The journal has gone meanwhile, so that the cordon can no longer be told for ours.
    assert second == {
        "metadata": {
            "resourceVersion": "2",
            "labels": {label_names.CORDONED: None},
            "annotations": {},
        }
    }


@pytest.mark.parametrize("then", [refused(404), Answer(node("2", labels={"a": "b"}))])
async def test_a_node_that_is_gone_or_cleared_meanwhile_is_let_be(then):
    answers = [Answer(node("1")), Answer(node("1")), refused(409), then]
    served = cluster(*answers, nodes=[listed(node("1")), listed(node("1"))])
    assert (await left_of(served)).left == ()
    assert len(patches(served)) == 1


async def test_a_node_that_never_holds_still_is_given_up_and_named():
    tries = [answer for _ in range(MAX_TRIES) for answer in (refused(409), Answer(node("1")))]
    served = cluster(Answer(node("1")), Answer(node("1")), *tries, nodes=[listed(node("1"))] * 3)
    (left,) = (await left_of(served)).left
    assert (left.leftover.name, left.reason) == (
        "n",
        "it was changed 5 times by somebody else meanwhile",
    )
    assert len(patches(served)) == MAX_TRIES


async def test_a_refusal_is_the_reason_and_the_freeze_stays_with_what_is_left():
    frozen = listed({"metadata": {"name": label_names.FREEZE, "uid": "f"}})
    served = cluster(
        Answer(node("1")),
        Answer(node("1")),
        refused(403, "you may not"),
        Answer(node("1")),
        nodes=[listed(node("1"))] * 3,
        **{PATHS[ObjectKind.FREEZE]: FakeApi([listed(), frozen])},
    )
    reasons = {left.leftover.name: left.reason for left in (await left_of(served)).left}
    assert reasons == {
        "n": "you may not",
        label_names.FREEZE: "it goes when nothing else is left",
    }
    assert served.apis[FREEZE].methods == ["PATCH"]
    assert served.apis[FREEZE].posted[0]["data"] == {label_names.LEAVE: "true"}


async def test_a_server_out_of_reach_ends_it():
    served = cluster(
        Answer(node("1")), Answer(node("1")), watched(CUT), nodes=[listed(node("1"))] * 3
    )
    with pytest.raises(UnreachableError):
        await left_of(served)


async def test_all_pages_of_nodes_are_read():
    pages = [listed(node("1"), token="t"), listed({"metadata": {"name": "other"}})]
    served = cluster(Answer(node("1")), nodes=pages)
    async with serving(served) as client:
        found = await take(client, NAMESPACE, NOW)
    assert [left.name for left in found.leftovers] == ["n"]
    asked = served.apis[PATHS[ObjectKind.NODE]].asked
    assert [query.get("continue") for query in asked] == [None, "t"]


async def test_what_cannot_be_read_is_an_error_and_never_an_empty_inventory():
    served = cluster(**{PATHS[ObjectKind.POD]: FakeApi([Answer({"items": [{"metadata": {}}]})])})
    async with serving(served) as client:
        with pytest.raises(ServerError, match="unreadable"):
            await take(client, NAMESPACE, NOW)


@pytest.mark.parametrize(
    ("spec", "runs"),
    [
        ({"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": NOW - 14}, True),
        ({"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": NOW - 15}, False),
        ({"holderIdentity": "", "leaseDurationSeconds": 15, "renewTime": NOW}, False),
        ({"holderIdentity": "a", "leaseDurationSeconds": 15}, False),
        (None, False),
    ],
)
async def test_a_lease_tells_a_running_daemon_while_it_is_held(spec, runs):
    if spec and "renewTime" in spec:
        spec = spec | {"renewTime": rfc3339(spec["renewTime"])}
    lease = {"metadata": {"name": label_names.LEASE}, "spec": spec}
    foreign = {"metadata": {"name": "other"}, "spec": spec}
    served = cluster(**{PATHS[ObjectKind.LEASE]: FakeApi([listed(lease, foreign)])})
    async with serving(served) as client:
        found = await take(client, NAMESPACE, NOW)
    assert found.daemons == (("lease of a",) if runs else ())
    assert [left.thing for left in found.leftovers] == [ObjectKind.LEASE]


def rfc3339(seconds):
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize(
    ("labels", "phase", "leftovers", "daemons"),
    [
        ({label_names.APP: "spotvortex"}, "Running", 0, 1),
        ({label_names.APP: "spotvortex"}, "Succeeded", 0, 0),
        ({label_names.MANAGED_BY: "spotvortex", label_names.KIND: "anchor"}, "Succeeded", 1, 0),
        ({label_names.MANAGED_BY: "spotvortex", label_names.KIND: "other"}, "Running", 0, 0),
        ({label_names.MANAGED_BY: "another", label_names.KIND: "anchor"}, "Running", 0, 0),
    ],
)
async def test_pods_are_told_apart_by_their_labels(labels, phase, leftovers, daemons):
    pod = {"metadata": {"name": "p", "labels": labels}, "status": {"phase": phase}}
    served = cluster(**{PATHS[ObjectKind.POD]: FakeApi([listed(pod)])})
    async with serving(served) as client:
        found = await take(client, NAMESPACE, NOW)
    assert (len(found.leftovers), len(found.daemons)) == (leftovers, daemons)


@pytest.mark.parametrize(
    ("data", "n_in_flight", "detail"),
    [
        ({"a": "{}", "b": "{}"}, 1, "state: 2 of the groups that SpotVortex has grown have not"),
        ({}, 0, "state"),
        (None, 0, "state"),
    ],
)
async def test_a_group_that_has_given_nothing_back_is_in_flight(data, n_in_flight, detail):
    journal = {"metadata": {"name": label_names.GROWTHS}, "data": data}
    path = PATHS[ObjectKind.STATE]
    named = {f"{path}/{label_names.GROWTHS}": FakeApi([Answer(journal)])}
    served = cluster(**{path: FakeApi([listed(journal)])}, **named)
    async with serving(served) as client:
        found = await take(client, NAMESPACE, NOW)
    assert found.n_in_flight == n_in_flight
    (left,) = found.leftovers
    assert (left.thing, left.detail.startswith(detail)) == (ObjectKind.STATE, True)


@pytest.mark.parametrize(("kind", "n_in_flight"), [("placeholder", 1), ("anchor", 0)])
async def test_a_placeholder_is_in_flight_and_an_anchor_is_not(kind, n_in_flight):
    labels = {label_names.MANAGED_BY: "spotvortex", label_names.KIND: kind}
    pod = {"metadata": {"name": "p", "labels": labels}}
    served = cluster(**{PATHS[ObjectKind.POD]: FakeApi([listed(pod)])})
    async with serving(served) as client:
        found = await take(client, NAMESPACE, NOW)
    assert found.n_in_flight == n_in_flight
    assert [(left.detail, left.pod) for left in found.leftovers] == [(kind, kind)]
