"""Who may write: two keepers and one lease, on a real API server."""

import asyncio
import logging
import math
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from spotvortex.core.domain import labels
from spotvortex.kube.coordination import lease as module
from spotvortex.kube.coordination.lease import LeaseKeeper, LeaseOptions
from spotvortex.ports.lease_timing import LeaseTiming
from tests.controlplane.proxy import LoopbackProxy
from tests.kube.fake_api import Answer, FakeApi, refused, serving
from tests.kube.scenes import connected, fresh, restricted

REAL = [pytest.mark.controlplane, pytest.mark.filterwarnings("ignore::ResourceWarning")]


USUAL = LeaseTiming()
SHORT = LeaseTiming.scaled_to(3.0)
"""A lease of three seconds, so that its end can be awaited."""


class Clock:
    """A time of day that jumps with every look."""

    def __init__(self, at=1_800_000_000.0):
        self.at = at

    def now(self):
        self.at -= 86_400.0
        return self.at


class Copy:
    """One copy of us: a keeper that runs until it is stopped or killed."""

    def __init__(self, client, namespace, name, timing, address=""):
        self.client = client
        options = LeaseOptions(identity=name, address=address, timing=timing)
        self.keeper = LeaseKeeper(client, namespace, options, Clock(), Random(name))
        self.stopping = asyncio.Event()
        self.task = asyncio.ensure_future(self.keeper.run(self.stopping))

    @property
    def holds(self):
        return self.keeper.holds()

    async def stop(self):
        self.stopping.set()
        await self.task

    async def kill(self):
        """End it without a last word."""
        self.keeper.valid_until = -math.inf
        self.task.cancel()
        await asyncio.wait([self.task])


@pytest.fixture
async def copies(control_plane):
    namespace, started = fresh("lease"), []
    await asyncio.to_thread(control_plane.apply, [restricted(namespace)])
    async with connected(control_plane) as client:

        def start(name, by=client, timing=SHORT, address=""):
            started.append(Copy(by, namespace, name, timing, address))
            return started[-1]

        start.plane, start.namespace = control_plane, namespace
        yield start
        for copy in started:
            await copy.kill()


async def until(holds, seconds=30.0):
    """Wait until something holds; return how long that took."""
    started = asyncio.get_running_loop().time()
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - started


class Reasons(logging.Handler):
    """Keeps why the lease was lost, each time."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def emit(self, record):
        if record.msg == "lease.lost":
            self.kept.append(record.why)


@pytest.fixture
def losses():
    """Why the lease was lost; whatever a command before has made of the log."""
    reasons, level = Reasons(), module.log.level
    module.log.setLevel(logging.WARNING)
    module.log.addHandler(reasons)
    yield reasons.kept
    module.log.removeHandler(reasons)
    module.log.setLevel(level)


def lease_path(copies):
    return f"/apis/coordination.k8s.io/v1/namespaces/{copies.namespace}/leases/{labels.LEASE}"


async def lease_of(copies):
    return await asyncio.to_thread(copies.plane.api().get, lease_path(copies))


@asynccontextmanager
async def watched(*watched_copies):
    """Count the moments at which more than one copy holds the lease."""
    seen = {"both": 0, "looks": 0}

    async def look():
        while True:
            seen["looks"] += 1
            seen["both"] += sum(copy.holds for copy in watched_copies) > 1
            await asyncio.sleep(0.005)

    task = asyncio.ensure_future(look())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


class TestReal:
    pytestmark = REAL

    async def test_a_clean_stop_hands_over_at_the_next_look(self, copies):
        one = copies("one", timing=USUAL)
        await until(lambda: one.holds)
        async with connected(copies.plane) as apart:
            await self._hands_over(copies, one, copies("two", apart, USUAL), apart)

    async def _hands_over(self, copies, one, two, apart):
        async with watched(one, two) as seen:
            await asyncio.sleep(1.5)
            assert not two.holds
            await until(lambda: two.keeper.holder == "one")
            await one.stop()
            n_looks = apart.n_requests["get"]
            assert not one.holds
            # One look every half a second; how long that takes here is the machine's affair.
            assert await until(lambda: two.holds) < USUAL.lease_s
            assert apart.n_requests["get"] <= n_looks + 1
            assert USUAL.poll_s <= 0.5
        assert seen["both"] == 0
        assert (one.keeper.n_transitions, two.keeper.n_transitions) == (0, 1)
        spec = (await lease_of(copies))["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("two", 15)
        await two.stop()
        assert (await lease_of(copies))["spec"]["holderIdentity"] == ""

    async def test_a_standby_knows_where_the_holder_answers_and_nobody_elses_address(self, copies):
        one = copies("one", address="10.0.0.1")
        await until(lambda: one.holds)
        two = copies("two")
        await until(lambda: two.keeper.leader_address() == "10.0.0.1")
        assert one.keeper.leader_address() == ""
        await one.stop()
        # The holder that follows is of a version that leaves no address.
        await until(lambda: two.holds)
        three = copies("three", address="10.0.0.3")
        await until(lambda: three.keeper.holder == "two")
        notes = (await lease_of(copies))["metadata"]["annotations"]
        assert notes[labels.LEADER_ADDRESS] == "one@10.0.0.1"
        assert two.keeper.leader_address() == three.keeper.leader_address() == ""
        await two.stop()
        await until(lambda: three.holds)
        notes = (await lease_of(copies))["metadata"]["annotations"]
        assert notes[labels.LEADER_ADDRESS] == "three@10.0.0.3"

    async def test_a_killed_copy_is_followed_soon_after_its_lease(self, copies):
        one, two = copies("one"), copies("two")
        await until(lambda: one.holds or two.holds)
        holder, standby = (one, two) if one.holds else (two, one)
        ends_at = holder.keeper.valid_until
        await holder.kill()
        await until(lambda: standby.holds)
        late_s = asyncio.get_running_loop().time() - ends_at
        assert 0.0 <= late_s <= 5.0

    async def test_a_holder_that_is_cut_off_knows_it_before_anybody_follows(self, copies):
        with LoopbackProxy(copies.plane.url) as proxy:
            async with connected(copies.plane, server=proxy.url) as far:
                one = copies("one", far)
                await until(lambda: one.holds)
                two = copies("two")
                async with watched(one, two) as seen:
                    await asyncio.sleep(1.0)
                    proxy.partition()
                    await until(lambda: two.holds)
                    assert not one.holds
                    # What it had on the wire comes through now, and must not take the lease back.
                    proxy.heal()
                    await asyncio.sleep(4.0)
                    assert two.holds
                    assert not one.holds
                    assert one.keeper.holder == "two"
                assert seen["both"] == 0
                assert seen["looks"] > 500
                await one.kill()

    async def test_a_deleted_lease_is_nobodys_until_its_holder_must_know(self, copies):
        one = copies("one")
        await until(lambda: one.holds)
        two = copies("two")
        await until(lambda: two.keeper.holder == "one")
        async with watched(one, two) as seen:
            await asyncio.to_thread(copies.plane.api().delete, lease_path(copies))
            await until(lambda: not one.holds)
            await until(lambda: one.holds or two.holds)
        assert seen["both"] == 0

    async def test_a_lease_that_a_person_takes_is_lost(self, copies, losses):
        one = copies("one")
        await until(lambda: one.holds)
        change = {"spec": {"holderIdentity": "somebody"}}
        await asyncio.to_thread(copies.plane.api().patch, lease_path(copies), change)
        await until(lambda: not one.holds)
        assert one.keeper.holder == "somebody"
        await until(lambda: losses)
        assert losses == ["taken"]
        await until(lambda: one.holds)

    async def test_one_that_starts_again_under_its_old_name_waits_like_anybody(self, copies):
        one = copies("one")
        await until(lambda: one.holds)
        await one.kill()
        again = copies("one")
        assert await until(lambda: again.holds) > 2.0
        assert again.keeper.n_transitions == 0

    async def test_many_candidates_make_one_holder(self, copies):
        everyone = [copies(f"copy-{i}", timing=USUAL) for i in range(5)]
        async with watched(*everyone) as seen:
            await until(lambda: any(copy.holds for copy in everyone))
            await asyncio.sleep(2.0)
            assert sum(copy.holds for copy in everyone) == 1
        assert seen["both"] == 0


# -- answers that a real server cannot be made to give ------------------------


def lease(holder="one", version="1", **spec):
    return Answer(
        {
            "metadata": {"name": "spotvortex", "uid": "u", "resourceVersion": version},
            "spec": {"holderIdentity": holder, "acquireTime": "t"} | spec,
        }
    )


@asynccontextmanager
async def keeping(*answers, timing=SHORT):
    api = FakeApi(list(answers))
    async with serving(api) as client:
        copy = Copy(client, "ours", "one", timing)
        try:
            yield copy, api
        finally:
            await copy.kill()


async def test_a_margin_is_kept_before_the_end():
    async with keeping(refused(404), lease(version="1")) as (copy, _):
        await until(lambda: copy.holds)
        assert copy.keeper.holds(1.0)
        assert not copy.keeper.holds(3.0)
        assert copy.keeper.writes_until() == copy.keeper.valid_until - SHORT.margin_s
        loop_s = asyncio.get_running_loop().time()
        assert loop_s < copy.keeper.valid_until <= loop_s + 3.0


async def test_a_new_lease_names_its_holder_and_has_changed_hands_never():
    async with keeping(refused(404), lease(version="1")) as (copy, api):
        await until(lambda: copy.holds)
    made = api.posted[0]
    assert (made["kind"], made["metadata"]["name"]) == ("Lease", labels.LEASE)
    assert made["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "spotvortex"}
    spec = made["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("one", 0)
    assert (spec["leaseDurationSeconds"], spec["acquireTime"]) == (3, spec["renewTime"])


@pytest.mark.parametrize(("before", "n_transitions"), [("", 5), ("two", 5), ("one", 4)])
async def test_a_lease_that_goes_to_another_holder_is_counted(before, n_transitions):
    timing = replace(LeaseTiming.scaled_to(0.5), longest_s=0.5)
    async with keeping(lease(before, leaseTransitions=4), timing=timing) as (_, api):
        await until(lambda: api.posted)
    assert api.posted[0]["spec"]["leaseTransitions"] == n_transitions


async def test_what_is_left_of_a_lease_is_halved_with_every_try():
    async with serving(FakeApi([Answer({})])) as client:
        options = LeaseOptions(identity="one", timing=SHORT)
        keeper = LeaseKeeper(client, "ours", options, Clock(), Random(1))
        for left_s, pause_s in ((SHORT.lease_s, SHORT.renew_s), (0.4, 0.2), (0.05, 0.1)):
            keeper.valid_until = asyncio.get_running_loop().time() + left_s
            assert keeper._pause_s() == pytest.approx(pause_s, abs=0.02)


async def test_a_renewal_whose_answer_was_lost_is_no_loss():
    answers = [refused(404), lease(version="1"), refused(409), lease(version="2")]
    async with keeping(*answers, lease(version="3")) as (copy, api):
        await until(lambda: len(api.methods) == 4)
        assert api.methods == ["GET", "POST", "PUT", "GET"]
        assert copy.holds
        await until(lambda: len(api.methods) == 5)
        assert api.posted[-1]["metadata"]["resourceVersion"] == "2"
        assert copy.holds


async def test_a_conflict_with_somebody_else_is_a_loss_at_once(losses):
    answers = [refused(404), lease(version="1"), refused(409), lease("two", version="2")]
    async with keeping(*answers) as (copy, api):
        await until(lambda: len(api.methods) == 4)
        await until(lambda: losses)
        assert losses == ["taken"], "not only once its time was over"
        assert not copy.holds
        assert copy.keeper.holder == "two"


async def test_a_candidate_that_is_too_slow_holds_nothing():
    conflicts = [refused(404), refused(409), lease(""), refused(409), lease("two")]
    async with keeping(*conflicts) as (copy, api):
        await until(lambda: len(api.methods) >= 6)
        assert api.methods[:5] == ["GET", "POST", "GET", "PUT", "GET"]
        assert not copy.holds


async def test_an_answer_that_cannot_be_read_makes_no_holder():
    async with keeping(Answer({"metadata": 1})) as (copy, api):
        await until(lambda: len(api.methods) >= 3)
        assert not copy.holds


async def test_a_failed_release_is_no_crash():
    async with keeping(refused(404), lease(), refused(500)) as (copy, api):
        await until(lambda: copy.holds)
        await copy.stop()
        assert not copy.holds
        assert api.posted[-1]["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize("waits", [True, False])
async def test_a_lease_is_given_back_once_what_was_given_up_is_over(waits):
    async with keeping(refused(404), lease()) as (copy, api):
        await until(lambda: copy.holds)
        loop = asyncio.get_running_loop()
        given_up_at = loop.time() if waits else loop.time() - SHORT.margin_s
        copy.client.given_up_at = given_up_at
        await copy.stop()
        waited_s = loop.time() - given_up_at
        assert waited_s >= SHORT.margin_s
        assert api.posted[-1]["spec"]["holderIdentity"] == ""


async def test_a_lease_that_claims_to_last_for_ever_is_not_believed():
    held = lease("two", leaseDurationSeconds=10**9)
    timing = replace(LeaseTiming.scaled_to(1.0), longest_s=1.0)
    async with keeping(held, timing=timing) as (_, api):
        await until(lambda: "PUT" in api.methods)


async def test_a_loop_that_stood_still_has_lost_whatever_answer_it_finds(monkeypatch):
    async with keeping(refused(404), lease(version="1"), lease(version="2")) as (copy, _):
        await until(lambda: copy.holds)
        original = copy.keeper._write

        async def late(*arguments):
            found = await original(*arguments)
            copy.keeper.valid_until = asyncio.get_running_loop().time() - 0.1
            return found

        monkeypatch.setattr(copy.keeper, "_write", late)
        await until(lambda: copy.keeper.valid_until == -math.inf)
        assert not copy.holds


def noted(answer, **notes):
    answer.body["metadata"]["annotations"] = notes
    return answer


async def test_that_a_state_was_saved_is_kept_on_the_lease_beside_other_notes():
    answers = [noted(lease("", version=str(n)), note="a person's") for n in range(3)]
    async with keeping(*answers) as (copy, api):
        await until(lambda: copy.holds)
        assert not copy.keeper.state_kept
        copy.keeper.keep_state()
        await until(lambda: len(api.posted) >= 2)
    taken, renewed = (body["metadata"] for body in api.posted[:2])
    assert taken["annotations"] == {"note": "a person's"}
    assert renewed["annotations"] == {"note": "a person's", labels.STATE_KEPT: "true"}


async def test_a_new_holder_learns_from_the_lease_that_a_state_was_saved():
    known = noted(lease(""), **{labels.STATE_KEPT: "true"})
    async with keeping(known, lease(version="2")) as (copy, _):
        await until(lambda: copy.holds)
        assert copy.keeper.state_kept
