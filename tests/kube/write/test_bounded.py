"""Requests that end with the lease: each has what is left of it, and none is sent without time."""

import asyncio

import pytest
from aiohttp import web

from spotvortex.core.drain.calls import Again, Done, ReleaseNode, UnmarkNode
from spotvortex.errors import NotSentError, UnreachableError
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.ports.lease_timing import LeaseTiming
from tests.kube.api.test_errors import JOB, POD, writer
from tests.kube.fake_api import Answer, FakeApi, serving, watched
from tests.kube.scenes import PLAN, anchor_call, order, placeholder_call

TIMING = LeaseTiming.scaled_to(1.5)
"""A write has 0.8 s, and is not sent with less than 0.05 s."""

NODE = {"metadata": {"name": "n", "uid": "u", "annotations": {"spotvortex.io/drain": order()}}}
CLAIM = {"metadata": {"uid": "c"}, "status": {"nodeName": "n"}}


def now():
    return asyncio.get_running_loop().time()


def requests(client, left_s):
    return BoundedRequests(client=client, until=now() + left_s, timing=TIMING)


@pytest.mark.parametrize(("left_s", "at_most_s"), [(60.0, 0.8), (0.3, 0.3)])
async def test_a_silent_server_is_given_up_before_the_lease_ends(left_s, at_most_s):
    async with serving(FakeApi([watched(3600.0)])) as client:
        begun = now()
        with pytest.raises(UnreachableError):
            await requests(client, left_s).send("PATCH", "/x", {})
        assert at_most_s <= now() - begun < at_most_s + 0.25


async def test_the_server_is_told_when_it_will_be_given_up():
    api = FakeApi([Answer({})])
    async with serving(api) as client:
        await requests(client, 60.0).send("DELETE", "/x", {}, query={"labelSelector": "a"})
        await requests(client, 0.3).send("POST", "/x", {})
        await requests(client, 0.3).get("/x")
    told = [asked.get("timeout", "") for asked in api.asked]
    assert told[0] == "0.800s"
    assert 0.25 < float(told[1].removesuffix("s")) <= 0.3
    assert told[2] == "", "what is read changes nothing"
    assert api.asked[0]["labelSelector"] == "a"


@pytest.mark.parametrize("left_s", [0.04, 0.0, -1.0, float("-inf")])
async def test_with_too_little_time_left_nothing_is_sent(left_s):
    api = FakeApi([Answer({})])
    async with serving(api) as client:
        for sent in (
            requests(client, left_s).send("POST", "/x", {}),
            requests(client, left_s).get("/x"),
        ):
            with pytest.raises(NotSentError, match="not sent"):
                await sent
    assert api.methods == []


SEVERAL = {
    "place": (placeholder_call(POD), [Answer(POD), JOB, Answer({}, status=201)], "GET POST POST"),
    "anchor": (anchor_call(NODE), [JOB, Answer({}, status=201)], "POST POST"),
    "unmark": (UnmarkNode(node="n", uid="u", plan_id=PLAN), [Answer(NODE)] * 2, "GET PATCH"),
    "claim": (
        ReleaseNode(claim="c", node="n", plan_id=PLAN),
        [Answer(CLAIM), Answer({})],
        "GET DELETE",
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
async def test_a_call_of_several_requests_is_checked_before_each(name):
    """One of the answers comes so late that too little time is left for the next request."""
    call, answers, methods = SEVERAL[name]
    n = len(answers)
    for n_answered in range(n):
        api = SlowApi(list(answers), slow_at=n_answered)
        async with serving(api) as client:
            api.slow_until = now() + 0.5
            found = await writer(client, lease_s=6.0).apply(call, api.slow_until + 0.15)
        is_late = n_answered < n - 1
        assert api.methods == methods.split()[: n_answered + 1 if is_late else n]
        assert isinstance(found, Again) if is_late else found == Done()
        assert not is_late or "not sent" in found.reason


class SlowApi(FakeApi):
    """Gives one of its answers at a time, by the loop's clock."""

    def __init__(self, answers, slow_at):
        super().__init__(answers)
        self.left, self.slow_until = slow_at, 0.0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = await super().handle(request)
        self.left -= 1
        if self.left == -1:
            await asyncio.sleep(self.slow_until - now())
        return answer
