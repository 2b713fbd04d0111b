"""The daemon in virtual time: cycles on exact seconds, a stop in order, no task that just ends."""

import asyncio

import pytest

from spotvortex.core.domain.types import Action
from spotvortex.core.drain.calls import CreatePlaceholder
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.pipeline.collector import Collector
from spotvortex.pipeline.drains.actuators import RecordingActuator
from spotvortex.pipeline.supervisor import TaskEndedError
from tests.core.builders import AT, cluster, pool
from tests.pipeline.world import FlatForecaster, Scene, StillCluster, now, run


def scene(*pools, **changes):
    return Scene(cluster=StillCluster(cluster(*pools or (pool(),))), **changes)


def test_cycles_run_on_exact_seconds():
    daemon = scene()
    assert run(daemon.daemon_for, 100.0) == 100.0
    expected = [(0.0, 1), (30.0, 2), (60.0, 3), (90.0, 4)]
    assert [entry[:2] for entry in daemon.telemetry.of("observed")] == expected
    assert daemon.telemetry.of("assessed") == expected
    assert [entry[:2] for entry in daemon.telemetry.of("planned")] == expected
    assert [p.at for p in daemon.journal.plans] == [AT, AT + 30.0, AT + 60.0, AT + 90.0]


def test_one_wave_a_settle_window_is_carried_out_in_shadow():
    daemon = scene()
    run(daemon.daemon_for, 650.0)
    drains = daemon.telemetry.of("drained")
    assert [(at, r.end) for at, r in drains] == [(s, DrainEnd.DONE) for s in (0.0, 300.0, 600.0)]
    assert [kind for _, kind in daemon.telemetry.of("shadow_calls")][:7] == [
        "CreatePlaceholder",
        "CreatePlaceholder",
        "MarkNode",
        "EvictPod",
        "EvictPod",
        "ReleaseNode",
        "DeletePlaceholders",
    ]
    assert daemon.views.status.reasons(AT) == []


def test_a_model_that_fails_gives_hold_and_the_daemon_goes_on():
    daemon = scene(pool(n_spot=8), forecaster=FlatForecaster(fails=True))
    run(daemon.daemon_for, 65.0)
    actions = [d.action for p in daemon.journal.plans for d in p.decisions]
    assert actions == [Action.HOLD] * 3
    assert daemon.telemetry.of("shadow_calls") == []


def test_the_daemon_is_healthy_while_it_works_and_while_it_waits_for_its_first_sync():
    async def main(daemon):
        async with asyncio.TaskGroup() as group:
            group.create_task(daemon.daemon_for(500.0))
            await asyncio.sleep(400.0)
            return daemon.views.heartbeats.failing()

    assert run(main, scene()) == []
    assert run(main, Scene(cluster=StillCluster(sync_s=450.0))) == []


class NeverBinds(RecordingActuator):
    """Asks for room that never comes."""

    async def apply(self, call):
        answer = await RecordingActuator.apply(self, call)
        if isinstance(call, CreatePlaceholder):
            self.forget_room(call.for_uid)
        return answer

    def forget_room(self, uid):
        self._effects.pop(uid)


def test_a_stop_goes_down_the_road_and_the_background_ends_last():
    daemon, ended = scene(), []

    async def watches(stop):
        await stop.wait()
        ended.append("watches")

    daemon.background = [("watches", watches)]
    daemon.actuator = NeverBinds(cluster=daemon.cluster, telemetry=daemon.telemetry)

    async def main():
        async with asyncio.TaskGroup() as group:
            running = group.create_task(daemon.daemon())
            await asyncio.sleep(10.0)
            alive = {t.get_name(): t for t in asyncio.all_tasks()}
            for name in ("collector", "inference", "router", "drainer"):
                alive[name].add_done_callback(lambda t: ended.append(t.get_name()))
            daemon.stop.set()
            await running
        return now()

    assert run(main) == 10.0
    assert ended == ["collector", "inference", "router", "drainer", "watches"]
    ((_, result),) = daemon.telemetry.of("drained")
    assert result.end is DrainEnd.ABORTED
    assert daemon.telemetry.of("shadow_calls")[-1][1] == "DeletePlaceholders"


def failures(group):
    return [
        e
        for sub in group.exceptions
        for e in (failures(sub) if isinstance(sub, BaseExceptionGroup) else [sub])
    ]


def test_a_background_task_that_ends_early_ends_the_daemon():
    async def ends(_stop):
        await asyncio.sleep(5.0)

    async def main():
        daemon = scene(background=[("watches", ends)])
        with pytest.raises(ExceptionGroup) as caught:
            await daemon.daemon()
        return caught.value, now()

    group, at = run(main)
    (failure,) = failures(group)
    assert isinstance(failure, TaskEndedError)
    assert (str(failure), at) == ("task watches ended by itself", 5.0)


def test_a_task_of_the_road_that_ends_early_ends_the_daemon(monkeypatch):
    """Nothing of ours ends by itself, so the test has to take its place."""

    async def ends(_self, out, _stop):
        await asyncio.sleep(5.0)
        out.close()

    async def main():
        monkeypatch.setattr(Collector, "run", ends)
        with pytest.raises(ExceptionGroup) as caught:
            await scene().daemon()
        return caught.value, now()

    group, at = run(main)
    assert "task collector ended by itself" in {str(e) for e in failures(group)}
    assert {type(e) for e in failures(group)} == {TaskEndedError}
    assert at == 5.0


def test_a_failing_port_ends_the_daemon_and_takes_the_background_with_it():
    ended = []

    class Broken(StillCluster):
        def snapshot(self, _now):
            raise ValueError("a fault of ours")

    async def watches(stop):
        try:
            await stop.wait()
        finally:
            ended.append("watches")

    async def main():
        daemon = Scene(cluster=Broken(), background=[("watches", watches)])
        with pytest.raises(ExceptionGroup) as caught:
            await daemon.daemon()
        return caught.value

    assert "a fault of ours" in {str(e) for e in failures(run(main))}
    assert ended == ["watches"]
