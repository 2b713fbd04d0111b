"""One process of the daemon: it works, dies at a write, is cut off, crashes, and starts again."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from spotvortex.core.drain.calls import EvictPod, MarkNode
from spotvortex.faultsearch.episode import START_AT
from spotvortex.sim.cluster.scenario import STEP_S
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.runtime.coordination import CoordinationObjects
from spotvortex.sim.runtime.crashing_tasks import brittle
from spotvortex.sim.runtime.external_actors import ExternalActors
from spotvortex.sim.runtime.faults import Fault, FaultKind, Schedule
from spotvortex.sim.runtime.forecasters import ScriptedForecaster
from spotvortex.sim.runtime.journal import EpisodeJournal
from spotvortex.sim.runtime.replica import RESTART_S, Replica, SharedWorld
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from tests.sim.small import episode, world_of

HIGH = ((0.0, 0.97),)
"""A model that wants to leave Spot at once."""


@pytest.fixture(autouse=True)
def _no_log():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@dataclass
class Witness:
    """Remembers what reached the server, when, and from whom."""

    clock: object
    seen: list = field(default_factory=list)

    def asked(self, process, call, _sent_at):
        self.seen.append((self.clock() - START_AT, process.name, process.n_lives, call))

    def answered(self, process, call, answer):
        pass


@dataclass
class Scene:
    processes: list
    witness: Witness
    shelf: CoordinationObjects
    world: object
    records: EpisodeJournal


def lived(seconds, *faults, n_processes=1, script=HIGH, **changes):
    """Let processes live for some virtual time."""

    async def main():
        clock = SimClock(START_AT, asyncio.get_running_loop())
        drawn = episode(script=script, **changes)
        world, shelf = world_of(clock, script=script, **changes), CoordinationObjects()
        witness, records, ended = Witness(clock.now), EpisodeJournal(), asyncio.Event()
        schedule = Schedule(faults)
        place = SharedWorld(
            world=world,
            shelf=shelf,
            market=SimulatedMarket(seed=1, start_at=START_AT),
            forecaster=ScriptedForecaster(script=script, start_at=START_AT),
            schedule=schedule,
            witness=witness,
            clock=clock.now,
            zero_at=START_AT,
        )
        people = ExternalActors(
            world=world,
            shelf=shelf,
            schedule=schedule,
            chance=stream(1, "people"),
            clock=clock.now,
            zero_at=START_AT,
        )
        processes = [
            Replica(
                place=place,
                number=number,
                limits=drawn.limits,
                tick_s=drawn.tick_s,
                lag_s=drawn.lag_s,
                chance=stream(1, "process", number),
                journal_of=records.chain,
                hears_notices=drawn.hears_notices,
            )
            for number in range(n_processes)
        ]
        async with asyncio.TaskGroup() as group:
            for process in processes:
                group.create_task(process.run(ended))
            while clock.now() < START_AT + seconds:
                await asyncio.sleep(STEP_S)
                world.step()
                people.act()
            ended.set()
        return Scene(processes, witness, shelf, world, records)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.get_loop().set_task_factory(brittle)
        return runner.run(main())


def test_a_process_works_writes_and_ends_in_order():
    scene = lived(600.0)
    (process,) = scene.processes
    assert (process.n_lives, process.n_crashes, process.alive) == (1, 0, False)
    assert any(isinstance(call, EvictPod) for *_, call in scene.witness.seen)
    assert scene.records.n_records > 0
    assert scene.shelf.holder == ""


def test_only_one_of_two_processes_writes():
    scene = lived(600.0, n_processes=2)
    assert {name for _, name, *_ in scene.witness.seen} == {"replica-0"}
    assert [name for _, name in scene.shelf.terms] == ["replica-0"]


@pytest.mark.parametrize(
    ("kind", "n_before"), [(FaultKind.KILL_BEFORE, 2), (FaultKind.KILL_AFTER, 3)]
)
def test_nothing_of_a_dead_process_reaches_the_server(kind, n_before):
    scene = lived(300.0, Fault(kind=kind, at_s=0.0, size=3.0))
    (process,) = scene.processes
    first = [at_s for at_s, _, life, _ in scene.witness.seen if life == 1]
    second = [at_s for at_s, _, life, _ in scene.witness.seen if life == 2]
    assert (process.n_lives, process.n_crashes) == (2, 1)
    assert len(first) == n_before
    assert second
    assert min(second) - max(first) >= RESTART_S - 1.0


@pytest.mark.trial
def test_another_takes_over_from_one_that_dies():
    kill = Fault(kind=FaultKind.KILL_AFTER, at_s=0.0, size=3.0)
    partition = Fault(kind=FaultKind.PARTITION, at_s=1.0, lasts_s=600.0)
    scene = lived(600.0, kill, partition, n_processes=2)
    assert [name for _, name in scene.shelf.terms] == ["replica-0", "replica-1"]
    assert any(
        name == "replica-1" and isinstance(c, MarkNode) for _, name, _, c in scene.witness.seen
    )


def test_a_task_that_crashes_ends_the_life_and_the_next_begins():
    scene = lived(300.0, Fault(kind=FaultKind.TASK_CRASH, at_s=5.0, size=20.0))
    (process,) = scene.processes
    assert (process.n_lives, process.n_crashes) == (2, 1)
    assert {life for *_, life, _ in scene.witness.seen} <= {1, 2}


def test_a_task_that_ends_by_itself_is_no_accident(monkeypatch):
    async def ends(*_args):
        return None

    monkeypatch.setattr("spotvortex.pipeline.router.Router.run", ends)
    with pytest.raises(ExceptionGroup) as failed:
        lived(60.0)
    assert failed.group_contains(AssertionError, match="by itself")


def test_a_process_that_is_cut_off_sends_nothing_that_arrives():
    scene = lived(300.0, Fault(kind=FaultKind.PARTITION, at_s=0.0, lasts_s=200.0))
    assert min(at_s for at_s, *_ in scene.witness.seen) >= 200.0


def test_a_process_that_sees_nothing_marks_nothing():
    cut = Fault(kind=FaultKind.WATCH_CUT, at_s=1.0, lasts_s=250.0)
    scene = lived(400.0, cut)
    marks = [at_s for at_s, *_, call in scene.witness.seen if isinstance(call, MarkNode)]
    assert marks
    assert not any(22.0 <= at_s < 251.0 for at_s in marks)
    assert scene.processes[0].blind_s(START_AT + 101.0) == 100.0
    assert scene.processes[0].blind_s(START_AT + 300.0) == 0.0


def test_a_process_that_starts_blind_does_nothing_until_it_sees():
    cut = Fault(kind=FaultKind.WATCH_CUT, at_s=1.0, lasts_s=250.0)
    kill = Fault(kind=FaultKind.KILL_BEFORE, at_s=2.0, size=1.0)
    scene = lived(400.0, cut, kill)
    assert scene.processes[0].n_lives == 2
    assert min(at_s for at_s, _, life, _ in scene.witness.seen if life == 2) >= 251.0


def test_a_watch_lags_as_long_as_the_schedule_says():
    lag = Fault(kind=FaultKind.WATCH_LAG, at_s=0.0, lasts_s=100.0, size=18.0)
    assert lived(50.0, lag).processes[0].lag_now_s == 18.0
    assert lived(150.0, lag).processes[0].lag_now_s == 0.3


def test_one_write_is_held_up_on_its_way():
    late = Fault(kind=FaultKind.LATE_WRITE, at_s=0.0, size=16.0)
    first = lived(60.0).witness.seen
    held = lived(60.0, late).witness.seen
    assert len({call for *_, call in held}) > 0
    assert max(at_s for at_s, *_ in held) >= 16.0 > first[0][0]


def test_who_hears_notices_drains_nodes_that_are_lost():
    notice = Fault(kind=FaultKind.INTERRUPTION, at_s=30.0, size=1.0)
    calm = ((0.0, 0.03),)
    scene = lived(300.0, notice, script=calm, hears_notices=True)
    assert any(isinstance(c, MarkNode) and c.urgent for *_, c in scene.witness.seen)
