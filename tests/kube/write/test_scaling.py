"""Groups are grown once, shrunk one by one, and given back, whatever gets in between."""

import asyncio
import itertools
import math
import re
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from spotvortex.core.domain.cloud.scaling_groups import ScalingInstance
from spotvortex.core.domain.labels import MANAGED_BY, MANAGER
from spotvortex.core.drain.calls import Again, Done, Refused, ReleaseNode
from spotvortex.core.drain.group_calls import GrowGroup, RestoreGroup, SettleGroup
from spotvortex.core.drain.growth import Growth, growth_text
from spotvortex.errors import ScalingError
from spotvortex.kube.write.autoscaler.provisioner import AutoscalerProvisioner
from spotvortex.kube.write.provisioners import EachByItsOwn, KarpenterProvisioner
from spotvortex.kube.write.scaling.journal import key_of
from spotvortex.kube.write.scaling.provisioner import ScalingProvisioner
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.provisioner import Unable
from tests.kube.api.test_errors import far
from tests.kube.fake_api import serving
from tests.kube.scenes import placeholder_call
from tests.kube.write.memory_groups import ON_DEMAND, SPOT, DiedError, MemoryGroups, group_of

GROW = GrowGroup(group=ON_DEMAND, plan_id="p", n_nodes=2)
SETTLE = SettleGroup(group=ON_DEMAND, plan_id="p", in_use=())
NODES = ("spot-0", "spot-1")


def release(instance, **changes):
    claim = f"instance/{instance}"
    return ReleaseNode(**({"claim": claim, "node": "n", "plan_id": "p"} | changes))


def groups(**changes):
    return MemoryGroups({SPOT: group_of(SPOT, 3), ON_DEMAND: group_of(ON_DEMAND, 1)}, **changes)


@asynccontextmanager
async def driving(memory):
    async with serving(memory) as client:
        yield driver_of(client, memory)


def driver_of(client, memory):
    return ScalingProvisioner(
        client=client, timing=LeaseTiming(), namespace="spotvortex", service=memory
    )


def sizes(memory):
    return memory.groups[SPOT].desired, memory.groups[ON_DEMAND].desired


async def test_all_orders_of_a_wave_make_one_write_and_the_journal_comes_first():
    memory = groups()
    async with driving(memory) as driver:
        answers = await asyncio.gather(*(driver.grow(GROW, far()) for _ in range(3)))
    assert answers == [Done()] * 3
    assert memory.writes == ["journal", f"{ON_DEMAND}=3"]


async def test_a_whole_wave_swaps_node_for_node_and_leaves_no_journal():
    memory = groups()
    async with driving(memory) as driver:
        await driver.grow(GROW, far())
        for instance in NODES:
            assert await driver.release(release(instance), far()) == Done()
        assert await driver.grow(SETTLE, far()) == Done()
    assert sizes(memory) == (1, 3)
    assert memory.journal() == {}


async def test_an_aborted_wave_leaves_every_size_as_it_was():
    memory = groups()
    async with driving(memory) as driver:
        await driver.grow(GROW, far())
        await driver.grow(SETTLE, far())
        assert await driver.grow(SETTLE, far()) == Done()
    assert sizes(memory) == (3, 1)
    assert [i.id for i in memory.groups[ON_DEMAND].instances] == ["on-demand-0"]
    assert memory.journal() == {}


async def test_after_two_waves_that_moved_nothing_the_next_waits_and_one_that_moves_ends_that():
    memory = groups()
    async with driving(memory) as driver:
        for plan in ("a", "b"):
            assert await driver.grow(replace(GROW, plan_id=plan), far()) == Done()
            assert await driver.grow(replace(SETTLE, plan_id=plan), far()) == Done()
        answer = await driver.grow(replace(GROW, plan_id="c"), far())
        assert isinstance(answer, Refused)
        assert answer.reason.startswith(f"2 waves in a row found no place on what {ON_DEMAND}")
        assert re.search(r"may begin in 1[12]\d s", answer.reason)
        # What this process alone knows ends with it; a wave that moves nodes ends it too.
        other = driver_of(driver.client, memory)
        await other.grow(GROW, far())
        await other.release(release("spot-0"), far())
        await other.grow(SETTLE, far())
        assert await other.grow(replace(GROW, plan_id="d"), far()) == Done()
    assert memory.groups[ON_DEMAND].desired == 4


async def test_what_is_not_delivered_is_asked_for_no_more():
    memory = groups(delivers=False)
    async with driving(memory) as driver:
        await driver.grow(GROW, far())
        await driver.grow(SETTLE, far())
    assert memory.writes[1:3] == [f"{ON_DEMAND}=3", f"{ON_DEMAND}=1"]


async def test_a_managed_group_that_has_not_taken_its_size_yet_is_settled_once_it_has():
    memory = groups()
    async with driving(memory) as driver:
        await driver.grow(GROW, far())
        grown = memory.groups[ON_DEMAND]
        before = group_of(ON_DEMAND, 1, managed="web-od", status="UPDATING")
        memory.groups[ON_DEMAND] = before
        answer = await driver.grow(SETTLE, far())
        assert isinstance(answer, Again)
        assert "has not taken its size yet: it is UPDATING" in answer.reason
        assert memory.journal() != {}
        memory.groups[ON_DEMAND] = replace(grown, managed="web-od")
        assert await driver.grow(SETTLE, far()) == Done()
    assert (sizes(memory), memory.journal()) == ((3, 1), {})


async def test_the_last_look_before_a_size_is_set_is_at_the_size_alone():
    memory = groups(delivers=False)
    async with driving(memory) as driver:
        await driver.grow(GROW, far())
        assert memory.reads == ["group, looking ahead", "group"]
        memory.reads.clear()
        await driver.grow(SETTLE, far())
    assert memory.reads == ["gone", "group"]
    assert memory.writes[-2:] == [f"{ON_DEMAND}=1", "journal"]


def a_pod(**meta):
    return {"metadata": {"namespace": "shop", "name": "a", "uid": "u"} | meta, "spec": {}}


@pytest.mark.parametrize(
    ("pods", "stays"),
    [
        ([], False),
        ([a_pod()], True),
        ([a_pod(ownerReferences=[{"kind": "DaemonSet", "name": "d", "controller": True}])], False),
        ([a_pod(namespace="spotvortex", labels={MANAGED_BY: MANAGER})], False),
        ([a_pod(labels={MANAGED_BY: MANAGER})], True),
    ],
)
async def test_a_new_node_on_which_a_pod_has_just_come_up_stays(pods, stays):
    memory = groups()
    settle = replace(SETTLE, idle=(("new-101", "node-1"), ("new-102", "node-2")))
    memory.pods["node-1"] = pods
    async with driving(memory) as driver:
        await driver.grow(GROW, far())
        assert [i.id for i in memory.groups[ON_DEMAND].instances[1:]] == ["new-101", "new-102"]
        assert await driver.grow(settle, far()) == Done()
    left = [i.id for i in memory.groups[ON_DEMAND].instances]
    assert left == (["on-demand-0", "new-101"] if stays else ["on-demand-0"])
    assert memory.journal() == {}


async def play(memory, *, moved):
    """A wave from its growth to its end, by one process after the other until it is over."""
    calls = [GROW, *(release(instance) for instance in NODES[:moved]), SETTLE]
    async with serving(memory) as client:
        for call in calls:
            try:
                await made_by(driver_of(client, memory), call)
            except DiedError:
                memory.dies_at = 0
                await made_by(driver_of(client, memory), call)


async def made_by(driver, call):
    make = driver.release if isinstance(call, ReleaseNode) else driver.grow
    assert await make(call, far()) == Done()


@pytest.mark.parametrize("moved", [0, 1, 2])
async def test_a_crash_before_or_after_any_write_to_aws_loses_and_doubles_nothing(moved):
    crashed = 0
    for before, at in itertools.product((True, False), range(1, 7)):
        memory = groups(dies_at=at, dies_before=before)
        await play(memory, moved=moved)
        assert sizes(memory) == (3 - moved, 1 + moved), (before, at)
        assert memory.journal() == {}
        crashed += memory.dies_at == 0
    assert crashed >= 6


async def test_a_size_that_changes_right_before_the_write_is_read_anew():
    memory = groups()
    memory.meanwhile = lambda: memory.resize(ON_DEMAND, 2)
    async with driving(memory) as driver:
        assert await driver.grow(GROW, far()) == Done()
        assert memory.groups[ON_DEMAND].desired == 4
        await driver.grow(SETTLE, far())
    assert memory.groups[ON_DEMAND].desired == 2


async def test_a_size_that_somebody_else_sets_after_a_crash_ends_the_wave_and_stays():
    memory = groups(dies_at=1)
    async with driving(memory) as driver:
        with pytest.raises(DiedError):
            await driver.grow(GROW, far())
    memory.resize(ON_DEMAND, 2)
    async with driving(memory) as driver:
        answer = await driver.grow(GROW, far())
        assert "was to go from 1 to 3, and somebody set 2" in answer.reason
    assert sizes(memory) == (3, 2)


async def test_a_wave_waits_until_the_one_before_has_given_back():
    memory = groups()
    async with driving(memory) as driver:
        await driver.grow(GROW, far())
        answer = await driver.grow(replace(GROW, plan_id="q"), far())
        assert answer == Again(f"{ON_DEMAND} has not given back what plan p left")
        await driver.grow(SETTLE, far())
        assert await driver.grow(replace(GROW, plan_id="q"), far()) == Done()
        # What is said of the first wave again does nothing to the second.
        await driver.grow(SETTLE, far())
    assert memory.groups[ON_DEMAND].desired == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"largest": 2}, "2 nodes more are wanted, 1 may be: largest size 2"),
        ({"suspended": ("Launch",)}, "its process Launch is suspended"),
        ({"status": "UPDATING"}, "it is UPDATING"),
        ({"room_nodes": 0, "room_words": "0 free addresses"}, "0 may be: 0 free addresses"),
        ({"desired": 2000, "largest": 9000}, "more than 1000 instances"),
    ],
)
async def test_a_group_that_must_not_grow_is_not_written_to(changes, words):
    desired = changes.pop("desired", 1)
    memory = groups()
    memory.groups[ON_DEMAND] = group_of(ON_DEMAND, desired, **changes)
    async with driving(memory) as driver:
        answer = await driver.grow(GROW, far())
    assert isinstance(answer, Refused)
    assert words in answer.reason
    assert memory.writes == []


async def test_a_group_that_is_not_there_is_not_grown_and_needs_no_settling():
    memory = groups()
    del memory.groups[ON_DEMAND]
    memory.scribble({key_of(ON_DEMAND): growth_text(_growth())})
    async with driving(memory) as driver:
        assert isinstance(await driver.grow(replace(GROW, group=SPOT + "x"), far()), Refused)
        assert await driver.grow(SETTLE, far()) == Done()
    assert memory.journal() == {}


def _growth():
    return Growth(group=ON_DEMAND, plan="p", before=1, n_nodes=2)


async def test_a_journal_that_cannot_be_read_is_left_and_its_group_alone():
    memory = groups()
    memory.scribble({key_of(ON_DEMAND): '{"v":99}'})
    async with driving(memory) as driver:
        answer = await driver.grow(GROW, far())
        assert "cannot be read" in answer.reason
        assert await driver.grow(SETTLE, far()) == Done()
    assert memory.journal() == {key_of(ON_DEMAND): '{"v":99}'}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"smallest": 3}, "it is at its smallest size, 3"),
        ({"protects": True}, "is protected from scale-in"),
        ({"suspended": ("Terminate",)}, "its process Terminate is suspended"),
    ],
)
async def test_a_node_that_must_not_end_is_not_ended(changes, words):
    memory = groups()
    memory.groups[SPOT] = group_of(SPOT, 3, **changes)
    async with driving(memory) as driver:
        answer = await driver.release(release("spot-0"), far())
    assert isinstance(answer, Refused)
    assert words in answer.reason
    assert memory.writes == []


async def test_what_is_gone_or_going_needs_no_end_and_what_is_lost_is_left_to_its_group():
    memory = groups()
    going = (ScalingInstance(id="spot-0", leaving=True), ScalingInstance(id="spot-1"))
    memory.groups[SPOT] = group_of(SPOT, 2, instances=going)
    async with driving(memory) as driver:
        assert await driver.release(release("spot-0"), far()) == Done()
        assert await driver.release(release("spot-9"), far()) == Done()
        assert await driver.release(release("spot-1", urgent=True), far()) == Done()
        assert isinstance(await driver.release(release("", claim="node/u"), far()), Refused)
    assert memory.writes == []


@pytest.mark.parametrize(("is_passing", "kind"), [(True, Again), (False, Refused)])
async def test_what_aws_says_is_an_answer(is_passing, kind):
    memory = groups(fault=ScalingError("told so", is_passing=is_passing))
    async with driving(memory) as driver:
        assert await driver.grow(GROW, far()) == kind("told so")
        assert await driver.release(release("spot-0"), far()) == kind("told so")
    assert sizes(memory) == (3, 1)


async def test_without_time_before_the_leases_end_nothing_is_asked():
    memory = groups()
    async with driving(memory) as driver:
        soon = asyncio.get_running_loop().time() + 0.1
        with pytest.raises(Exception, match="not sent"):
            await driver.grow(GROW, soon)
        assert await driver.release(release("spot-0"), soon) == Again(
            "not sent, the lease ends too soon"
        )
    assert memory.writes == []


async def test_calls_go_to_whoever_grows_the_group():
    memory = groups()
    async with driving(memory) as driver:
        client, timing = driver.client, driver.timing
        autoscaler = AutoscalerProvisioner(client=client, timing=timing, namespace="spotvortex")
        karpenter = KarpenterProvisioner(client, timing)
        both = EachByItsOwn(karpenter=karpenter, autoscaler=autoscaler, scaling=driver)
        none = replace(both, scaling=None)
        assert await both.grow(GROW, far()) == Done()
        assert await both.release(release("spot-0"), far()) == Done()
        for alone in (none, autoscaler, karpenter):
            assert isinstance(await alone.grow(GROW, far()), Refused)
        assert isinstance(await none.release(release("spot-1"), far()), Refused)
        restored = RestoreGroup(group=SPOT, uid="", owners=None)
        assert isinstance(await driver.steer(restored, math.inf), Refused)
        asked = placeholder_call({"metadata": {"namespace": "a", "name": "b", "uid": "u"}})
        assert isinstance(driver.wanted_nodes(replace(asked, sides=())), Unable)
        assert driver.cannot_move == ""
    assert sizes(memory) == (2, 3)
