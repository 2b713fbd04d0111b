"""What a watch shows: the cluster a moment ago, or as it was when the connection was cut."""

import asyncio

import pytest

from spotvortex.core.domain.inputs import InputState
from spotvortex.errors import UnreachableError
from spotvortex.faultsearch.episode import START_AT
from spotvortex.sim.cluster.watch import KEPT_S, Watch
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from tests.sim.small import Clock, anchor, mark, node_of, world_of

STALE_AFTER_S = 20.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def world(clock):
    return world_of(clock)


def watch_of(world, clock, lag_s=3.0):
    return Watch(world.frames, clock.now, lag_s, STALE_AFTER_S)


def test_a_change_is_seen_after_the_lag_and_not_before(world, clock):
    node, watch = node_of(world), watch_of(world, clock)
    clock.at += 10.0
    world.apply(mark(node))
    clock.at += 2.9
    assert not watch.node(node.name).cordoned
    clock.at += 0.1
    assert watch.node(node.name).cordoned
    facts = {n.name: n for p in watch.snapshot(clock.at).pools for n in p.nodes}
    assert facts[node.name].cordoned


def test_our_own_pods_are_seen_late_as_well(world, clock):
    node, watch = node_of(world), watch_of(world, clock)
    clock.at += 10.0
    world.apply(anchor(node))
    assert watch.own_pods(node.uid) == ()
    clock.at += 3.0
    assert [pod.name for pod in watch.own_pods(node.uid)] == [f"anchor-{node.name}"]
    assert watch.own_pods("other") == ()
    assert len(watch.pods_on(node.name)) == len(node.pods)
    assert len(watch.standings_on(node.name)) == len(node.pods)


def test_a_watch_that_is_cut_shows_what_it_had_and_says_how_old_it_is(world, clock):
    node, watch = node_of(world), watch_of(world, clock, lag_s=0.0)
    watch.cut()
    clock.at += STALE_AFTER_S
    watch.cut()
    world.apply(mark(node))
    assert not watch.node(node.name).cordoned
    assert {(h.state, h.age_s) for h in watch.health(clock.at)} == {(InputState.OK, 20.0)}
    clock.at += 1.0
    assert {(h.state, h.age_s) for h in watch.health(clock.at)} == {(InputState.STALE, 21.0)}
    assert watch.snapshot(clock.at).inputs == watch.health(clock.at)


def test_a_watch_that_is_healed_shows_everything(world, clock):
    node, watch = node_of(world), watch_of(world, clock, lag_s=0.0)
    watch.cut()
    clock.at += 30.0
    world.apply(mark(node))
    watch.heal()
    assert watch.node(node.name).cordoned
    assert {h.age_s for h in watch.health(clock.at)} == {0.0}


def test_a_watch_never_goes_back(world, clock):
    node, watch = node_of(world), watch_of(world, clock, lag_s=0.0)
    clock.at += 10.0
    world.apply(mark(node))
    assert watch.node(node.name).cordoned
    watch.lag_s = 18.0
    clock.at += 1.0
    assert watch.node(node.name).cordoned


async def test_one_node_read_anew_is_seen_at_once_and_alone(world, clock):
    nodes = list(world.cluster.nodes.values())[:2]
    watch = watch_of(world, clock)
    clock.at += 10.0
    for node in nodes:
        world.apply(mark(node))
    await watch.refresh(nodes[0].name)
    assert [watch.node(n.name).cordoned for n in nodes] == [True, False]
    clock.at += 5.0
    assert [watch.node(n.name).cordoned for n in nodes] == [True, True]
    await watch.synced()


def test_what_is_cut_from_its_start_is_synced_when_it_heals():
    async def main():
        clock = SimClock(START_AT, asyncio.get_running_loop())
        watch = watch_of(world_of(clock), clock)
        watch.cut()
        async with asyncio.TaskGroup() as group:
            synced = group.create_task(watch.synced())
            await asyncio.sleep(30.5)
            waited = not synced.done()
            watch.heal()
        return waited, clock.now() - START_AT

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == (True, 31.0)


async def test_nothing_can_be_read_through_a_cut_connection(world, clock):
    watch = watch_of(world, clock)
    watch.cut()
    with pytest.raises(UnreachableError, match="cut"):
        await watch.refresh("any")


def test_what_is_not_there_is_not_shown(world, clock):
    watch = watch_of(world, clock)
    assert watch.node("nowhere") is None
    assert watch.pods_on("nowhere") == watch.standings_on("nowhere") == ()
    node = node_of(world)
    clock.at += 10.0
    world.cluster.remove_node(node, clock.at)
    world.frames.capture(clock.at)
    clock.at += 3.0
    assert watch.node(node.name) is None


def test_frames_are_kept_for_some_minutes_only(world):
    for _ in range(200):
        world.step()
    oldest = world.frames.as_of(START_AT)
    assert world.at - KEPT_S <= oldest.at < world.at - KEPT_S + 10.0
    assert world.frames.latest().at == world.at
    assert world.frames.as_of(world.at - 7.0).at == world.at - 10.0
