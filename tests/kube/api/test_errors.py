"""Each answer of the API server to an eviction or another write, and what it means."""

import asyncio
import json
from random import Random

import pytest

from spotvortex.core.drain.calls import (
    Again,
    BlockedByBudget,
    ClearRisk,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    Refused,
    ReleaseNode,
    UnmarkNode,
)
from spotvortex.errors import NotSentError, UnreachableError
from spotvortex.kube.api.errors import NO_LEASE, api_error, of_write
from spotvortex.kube.write.manifests import PlaceholderOptions
from spotvortex.kube.write.provisioners import KarpenterProvisioner
from spotvortex.kube.write.writer import KubeWriter
from spotvortex.ports.lease_timing import LeaseTiming
from tests.kube.fake_api import Answer, FakeApi, client_for, refused, serving, watched
from tests.kube.scenes import anchor_call, placeholder_call

EVICT = EvictPod(namespace="web", name="a", uid="u", node_uid="n", plan_id="p")
PATH = "/api/v1/namespaces/web/pods/a/eviction"
POD = {"metadata": {"namespace": "web", "name": "a", "uid": "u"}, "spec": {}}
NODE = {"metadata": {"name": "n", "uid": "u"}}
ALREADY = refused(409, 'pods "x" already exists', "AlreadyExists")
JOB = Answer({"metadata": {"name": "t", "uid": "j"}}, status=201)


def writer(client, lease_s=15.0):
    timing = LeaseTiming.scaled_to(lease_s)
    home, provisioner = PlaceholderOptions(namespace="ours"), KarpenterProvisioner(client, timing)
    return KubeWriter(client, home, provisioner, Random(1), timing)


def far():
    """A time that no answer reaches."""
    return asyncio.get_running_loop().time() + 60.0


async def answer_of(call, *answers):
    api = FakeApi(list(answers))
    async with serving(api) as client:
        return await writer(client).apply(call, far()), api


@pytest.mark.parametrize(
    ("told", "meaning"),
    [
        (Answer({}, status=201), Done()),
        (Answer({}, status=200), Done()),
        (refused(404, "not found"), Gone()),
        (refused(409, "Precondition failed: UID in precondition: a, UID in object: b"), Gone()),
        (refused(409, "the UID in the precondition (a) does not match the UID"), Gone()),
        (refused(409, "the object has been modified"), Again("the object has been modified")),
        (refused(429, "budget", causes=["DisruptionBudget"]), BlockedByBudget(0.0)),
        (
            refused(429, "budget", headers={"Retry-After": "10"}, causes=["DisruptionBudget"]),
            BlockedByBudget(10.0),
        ),
        (refused(429, "busy"), Again("busy")),
        (refused(429, "busy", headers={"Retry-After": "4"}), Again("busy", 4.0)),
        (
            refused(500, "This pod has more than one PodDisruptionBudget, which"),
            Refused("This pod has more than one PodDisruptionBudget, which"),
        ),
        (refused(500, "etcd"), Again("etcd")),
        (refused(503, "down", headers={"Retry-After": "1"}), Again("down", 1.0)),
        (refused(504, "timed out"), Again("timed out")),
        (refused(403, f"denied: {NO_LEASE}"), Again(f"denied: {NO_LEASE}")),
        (refused(403, "admission says no"), Refused("admission says no")),
        (refused(403, "ends", causes=["NamespaceTerminating"]), Again("ends")),
        (refused(401, "token expired"), Again("token expired")),
        (refused(400, "bad"), Refused("bad")),
        (refused(422, "spec is invalid"), Refused("spec is invalid")),
    ],
)
async def test_each_answer_to_an_eviction_has_one_meaning(told, meaning):
    found, api = await answer_of(EVICT, told)
    assert found == meaning
    assert api.methods == ["POST"]
    assert api.posted[0]["deleteOptions"] == {"preconditions": {"uid": "u"}}


@pytest.mark.parametrize(("error", "is_sent"), [(NotSentError, False), (UnreachableError, True)])
def test_what_was_not_sent_is_told_from_silence(error, is_sent):
    found = of_write(error("words"))
    assert (found, found.is_sent) == (Again("words"), is_sent)


async def test_silence_is_no_refusal():
    async with serving(FakeApi([watched(3600.0)])) as client:
        found = await writer(client, lease_s=0.2).apply(EVICT, far())
    assert isinstance(found, Again)
    assert "timed out" in found.reason


async def test_no_server_is_no_refusal():
    client = client_for("http://127.0.0.1:9")
    try:
        found = await writer(client).apply(EVICT, far())
    finally:
        await client.close()
    assert isinstance(found, Again)


async def test_a_busy_server_is_left_alone_by_every_call():
    api = FakeApi([refused(429, "busy", headers={"Retry-After": "4"}), Answer({})])
    async with serving(api) as client:
        levers = writer(client)
        await levers.apply(EVICT, far())
        answer = await levers.apply(DeletePlaceholders(plan_id="p", for_uid="n"), far())
        assert isinstance(answer, Again)
        assert 3.0 < answer.retry_s <= 4.0
        assert len(api.methods) == 1


async def test_what_cannot_be_read_is_asked_again():
    for call in (
        placeholder_call(POD),
        anchor_call(NODE),
        UnmarkNode(node="n", uid="u", plan_id="p"),
        ClearRisk(node="n", uid="u"),
        ReleaseNode(claim="c", node="n", plan_id="p"),
    ):
        found, _ = await answer_of(call, Answer({"metadata": 7}))
        assert isinstance(found, Again), call
        assert "unreadable" in found.reason


async def test_an_unreadable_quantity_refuses_a_placeholder():
    spec = {"containers": [{"resources": {"requests": {"example.test/device": "many"}}}]}
    found, _ = await answer_of(placeholder_call(POD), Answer(POD | {"spec": spec}))
    assert isinstance(found, Refused)
    assert "web/a: not a quantity" in found.reason


async def test_a_tether_that_is_refused_refuses_the_pod():
    for told in (refused(403, "no jobs here"), refused(404, "no namespace")):
        found, _ = await answer_of(placeholder_call(POD), Answer(POD), told)
        assert isinstance(found, Refused)
        found, _ = await answer_of(anchor_call(NODE), told)
        assert isinstance(found, Refused)


@pytest.mark.parametrize(
    "second",
    [
        refused(404),
        Answer(
            {
                "metadata": {
                    "labels": {"spotvortex.io/plan": "0123456789abcdef"},
                    "deletionTimestamp": "2026-01-01T00:00:00Z",
                }
            }
        ),
    ],
)
async def test_a_pod_of_ours_that_is_just_going_is_made_anew_later(second):
    found, _ = await answer_of(anchor_call(NODE), JOB, ALREADY, second)
    assert found == Again('pods "x" already exists')


async def test_a_quota_that_several_count_on_at_once_is_tried_again():
    found, _ = await answer_of(anchor_call(NODE), JOB, refused(409, "quota modified", "Conflict"))
    assert found == Again("quota modified")


@pytest.mark.parametrize("mark", ["", "{", "[]", '{"plan": 7}', "[" * 100_000])
async def test_a_mark_that_cannot_be_read_is_not_ours_to_take_away(mark):
    node = {"metadata": {"name": "n", "uid": "u", "annotations": {"spotvortex.io/drain": mark}}}
    found, api = await answer_of(UnmarkNode(node="n", uid="u", plan_id="p"), Answer(node))
    assert (found, api.methods) == (Done(), ["GET"])


def test_a_patch_of_another_node_is_told_by_its_uid():
    body = {"kind": "Status", "message": "metadata.uid: Invalid value: field is immutable"}
    assert of_write(api_error(422, {}, json.dumps(body).encode())) == Gone()
