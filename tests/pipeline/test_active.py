"""The daemon in active mode over a small live cluster: waves, notices, crashes and standbys."""

import asyncio
from dataclasses import replace

import pytest

from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import Mode
from spotvortex.core.drain.messages import DrainEnd
from tests.core.builders import capped, cluster, pool
from tests.core.in_flight import notice, on_instances
from tests.pipeline.live import Live, guarded
from tests.pipeline.world import MemoryNotices, MemoryState, Scene, SetAuthority, run

MOVE_TO_SPOT = [
    "CreatePlaceholder",
    "MarkNode",
    "EvictPod",
    "ReleaseNode",
    "DeletePlaceholders",
]


def live():
    return Live(facts=cluster(on_instances(pool())))


def daemon(world, *, mode=Mode.ACTIVE, **changes):
    """A fresh process before a cluster that may have seen others."""
    limits = capped(mode=mode)
    guard = guarded(world, limits=limits)
    authority = changes.pop("authority", SetAuthority())
    guard.authority = authority
    return Scene(
        cluster=guard.cluster,
        limits=limits,
        writing=guard,
        authority=authority,
        **({"state": MemoryState()} | changes),
    )


def kinds(world):
    return [kind for _, kind in world.log]


def ends(scene):
    return [(r.order.node, r.end) for _, r in scene.telemetry.of("drained")]


def bind(world, node):
    """Let a node come for the placeholders that wait."""
    pods = tuple(replace(p, node=p.node or node) for p in world.facts.own_pods)
    world.facts, world.receiver = replace(world.facts, own_pods=pods), node


def test_a_wave_is_written_and_nothing_of_ours_is_left_behind():
    world = live()
    scene = daemon(world)
    run(scene.daemon_for, 29.0)
    assert ends(scene) == [("web-d0", DrainEnd.DONE)]
    assert kinds(world) == MOVE_TO_SPOT
    assert world.facts.own_pods == ()
    assert scene.telemetry.of("shadow_calls") == []
    assert scene.announcer.said[0][1] == "SpotVortexDrainDone"


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.ADVISE])
def test_a_mode_that_does_not_write_writes_nothing(mode):
    world = live()
    scene = daemon(world, mode=mode)
    run(scene.daemon_for, 29.0)
    assert world.log == []
    assert scene.telemetry.of("shadow_calls") != []


def test_a_standby_observes_and_decides_and_never_writes():
    world = live()
    scene = daemon(world, authority=SetAuthority(WriteAuthority()))
    run(scene.daemon_for, 95.0)
    assert (world.log, scene.state.noted) == ([], [])
    assert len(scene.journal.plans) == 4
    assert scene.journal.plans[-1].decisions[0].refused_by == ("lease",)


def killed_at(scene, second):
    """Run a daemon and end it without any stop in order."""

    async def main():
        task = asyncio.ensure_future(scene.daemon())
        await asyncio.sleep(second)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main)


def test_a_killed_daemons_move_is_gone_on_with_by_the_next_one():
    world, state = live(), MemoryState()
    world.receiver = ""
    killed_at(daemon(world, state=state), 10.0)
    assert kinds(world) == ["CreatePlaceholder"]
    bind(world, "web-d7")
    scene = daemon(world, state=state)
    run(scene.daemon_for, 29.0)
    assert ends(scene) == [("web-d0", DrainEnd.DONE)]
    assert kinds(world).count("EvictPod") == 1
    assert world.facts.own_pods == ()


def test_a_killed_daemons_move_is_undone_where_the_next_one_may_not_write():
    """Its rights are still there; what is ours must not stay for good."""
    world = live()
    world.receiver = ""
    killed_at(daemon(world), 10.0)
    scene = daemon(world, mode=Mode.SHADOW)
    run(scene.daemon_for, 29.0)
    assert kinds(world) == ["CreatePlaceholder", "DeletePlaceholders"]
    assert world.facts.own_pods == ()


def test_a_stop_in_mid_move_undoes_it():
    world = live()
    world.receiver = ""
    scene = daemon(world)
    assert run(scene.daemon_for, 10.0) == 10.0
    assert ends(scene) == [("web-d0", DrainEnd.ABORTED)]
    assert world.facts.own_pods == ()


def test_a_notice_is_acted_on_at_once_and_settled_once_its_node_is_marked():
    world, notices = live(), MemoryNotices()
    scene = daemon(world, notices=notices, state=MemoryState())
    scene.limits = replace(scene.limits, max_spot_ratio=0.2)

    async def main():
        asyncio.get_running_loop().call_later(10.0, notices.bring, notice("web-s0"))
        await scene.daemon_for(95.0)

    run(main)
    marks = [at for at, kind in world.log if kind == "MarkNode"]
    assert marks[0] == pytest.approx(10.0)
    assert ("web-s0", DrainEnd.DONE) in ends(scene)
    assert notices.settled == {"notice-web-s0"}


def test_a_lost_node_is_marked_while_the_model_still_runs():
    world, notices = live(), MemoryNotices()
    scene = daemon(world, notices=notices, state=MemoryState())
    scene.limits = replace(scene.limits, max_spot_ratio=0.2)
    n_runs = 0

    async def slow(function, *args):
        nonlocal n_runs
        n_runs += 1
        await asyncio.sleep(3.0 if n_runs > 1 else 0.0)
        return function(*args)

    scene = replace(scene, offload=slow)

    async def main():
        asyncio.get_running_loop().call_later(10.0, notices.bring, notice("web-s0"))
        await scene.daemon_for(40.0)

    run(main)
    assert next(at for at, kind in world.log if kind == "MarkNode") == pytest.approx(10.0)
