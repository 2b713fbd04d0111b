"""What people and the cloud do to a cluster, and when."""

from collections import Counter
from dataclasses import replace

import pytest

from spotvortex.core.domain.cloud.notices import NoticeKind
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.types import CapacityType, Freeze
from spotvortex.faultsearch.episode import START_AT
from spotvortex.sim.cluster.scenario import WorkloadKind
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.runtime.coordination import CoordinationObjects
from spotvortex.sim.runtime.external_actors import OF_PEOPLE, OF_PROCESSES, ExternalActors
from spotvortex.sim.runtime.faults import ONCE, Fault, FaultKind, Schedule
from tests.sim.small import Clock, anchor, app, node_of, placeholder, pool, world_of


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def world(clock):
    return world_of(clock, pools=(pool(n_spot=4, n_on_demand=2),))


def people(world, clock, *faults):
    return ExternalActors(
        world=world,
        shelf=CoordinationObjects(),
        schedule=Schedule(faults),
        chance=stream(1, "people"),
        clock=clock.now,
        zero_at=START_AT,
    )


def once(kind, size=0.0):
    return Fault(kind=kind, at_s=10.0, size=size)


def act(world, clock, kind, size=0.0):
    """Let a fault come, not before its time and only once."""
    who = people(world, clock, once(kind, size))
    clock.at = START_AT + 9.0
    who.act()
    before = len(world.cluster.nodes), len(who.shelf.notices), who.shelf.version
    clock.at = START_AT + 10.0
    who.act()
    who.act()
    return who, before


def test_every_fault_that_happens_at_an_instant_has_somebody_who_does_it(world, clock):
    assert OF_PEOPLE | OF_PROCESSES | {FaultKind.DEATH} == ONCE
    for kind in sorted(OF_PEOPLE):
        act(world, clock, kind, 1.0)


def test_a_person_cordons_some_nodes_and_uncordons_all(world, clock):
    act(world, clock, FaultKind.PERSON_CORDON, 2.0)
    assert sum(n.cordoned for n in world.cluster.nodes.values()) == 2
    assert world.frames.latest().at == clock.at
    act(world, clock, FaultKind.UNCORDON)
    assert not any(n.cordoned for n in world.cluster.nodes.values())


def test_a_person_deletes_nodes(world, clock):
    act(world, clock, FaultKind.NODE_DELETED, 2.0)
    assert sum(n.deleting for n in world.cluster.nodes.values()) == 2


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (FaultKind.PLACEHOLDERS_DELETED, PodKind.ANCHOR),
        (FaultKind.ANCHORS_DELETED, PodKind.PLACEHOLDER),
    ],
)
def test_somebody_deletes_our_pods_of_one_kind(world, clock, kind, left):
    node = node_of(world)
    world.apply(anchor(node))
    world.apply(placeholder(node.movable[0], node))
    act(world, clock, kind)
    assert [pod.own.kind for pod in world.cluster.own.values()] == [left]


def test_spot_nodes_are_interrupted_with_two_minutes_notice(world, clock):
    act(world, clock, FaultKind.INTERRUPTION, 3.0)
    going = [n for n in world.cluster.nodes.values() if n.leaves_at is not None]
    assert len(going) == 3
    assert {n.capacity_type for n in going} == {CapacityType.SPOT}
    assert {n.leaves_at - clock.at for n in going} == {120.0}


def test_more_interruptions_than_spot_nodes_take_them_all(world, clock):
    act(world, clock, FaultKind.INTERRUPTION, 30.0)
    assert sum(n.leaves_at is not None for n in world.cluster.nodes.values()) == 4


def test_who_hears_notices_finds_one_a_node_in_the_queue(clock):
    world = world_of(clock, hears_notices=True)
    who, _ = act(world, clock, FaultKind.INTERRUPTION, 2.0)
    going = {n.instance_id for n in world.cluster.nodes.values() if n.leaves_at is not None}
    assert {n.instance_id for n in who.shelf.notices.values()} == going
    assert not any(n.moving for n in world.cluster.nodes.values())
    assert {n.deadline for n in who.shelf.notices.values()} == {clock.at + 120.0}


def test_a_storm_is_mostly_about_machines_of_others(world, clock):
    who, before = act(world, clock, FaultKind.NOTICE_STORM, 200.0)
    ours = {n.instance_id for n in world.cluster.nodes.values()}
    kinds = Counter((n.kind, n.instance_id in ours) for n in who.shelf.notices.values())
    assert before[1] == 0
    assert sum(kinds.values()) == 200
    assert kinds[(NoticeKind.INTERRUPTION, False)] > kinds[(NoticeKind.REBALANCE, True)] > 0
    assert len(kinds) == 2


@pytest.mark.parametrize(
    ("kind", "text"), [(FaultKind.STATE_LOST, None), (FaultKind.STATE_UNREADABLE, '{"v":99}')]
)
def test_somebody_takes_away_or_scribbles_on_what_we_remember(world, clock, kind, text):
    who, before = act(world, clock, kind)
    assert (who.shelf.state, who.shelf.version) == (text, before[2] + 1)


@pytest.mark.parametrize(("factor", "n_pods"), [(0.5, 3), (1.5, 9), (0.01, 1)])
def test_deployments_are_scaled_to_one_replica_at_least(clock, factor, n_pods):
    store = app(name="store", kind=WorkloadKind.STATEFUL_SET, replicas=2)
    world = world_of(clock, workloads=(app(replicas=6), store))
    act(world, clock, FaultKind.SCALED, factor)
    assert len(world.cluster.pods_of["web/Deployment/app"]) == n_pods
    assert len(world.cluster.pods_of["web/StatefulSet/store"]) == 2


@pytest.mark.parametrize(
    ("kind", "freeze"),
    [
        (FaultKind.FREEZE_SOFT, Freeze.SOFT),
        (FaultKind.FREEZE_LEAVE, Freeze.LEAVE),
        (FaultKind.FREEZE_HARD, Freeze.HARD),
    ],
)
@pytest.mark.parametrize("who", [0, 1])
def test_a_person_freezes_us_and_takes_the_freeze_away(world, clock, kind, freeze, who):
    person = people(world, clock, Fault(kind=kind, at_s=10.0, lasts_s=20.0, who=who))
    seen = []
    for at_s in (9.0, 10.0, 29.0, 30.0):
        clock.at = START_AT + at_s
        person.act()
        seen.append(person.shelf.freeze_at(clock.at))
    assert seen == [Freeze.NONE, freeze, freeze, Freeze.NONE]
    assert len(person.shelf.freezes) == 2


def test_a_hard_freeze_counts_over_a_soft_one(world, clock):
    faults = (
        Fault(kind=FaultKind.FREEZE_HARD, at_s=0.0, lasts_s=60.0),
        Fault(kind=FaultKind.FREEZE_SOFT, at_s=0.0, lasts_s=60.0),
    )
    person = people(world, clock, *faults)
    person.act()
    assert person.shelf.freeze_at(clock.at) is Freeze.HARD


def test_nobody_does_what_only_befalls_a_process(world, clock):
    who = people(world, clock)
    with pytest.raises(AssertionError, match="nobody does slow"):
        who._befall(once(FaultKind.SLOW), 1)


def test_a_schedule_knows_what_is_at_work_and_gives_each_instant_once():
    lasting = Fault(kind=FaultKind.SLOW, at_s=10.0, lasts_s=5.0, size=1.0, who=1)
    instant = replace(once(FaultKind.KILL_AFTER), who=1)
    schedule = Schedule((lasting, instant))
    at_work = [schedule.at_work(FaultKind.SLOW, s, 1) for s in (9.9, 10.0, 14.9, 15.0)]
    assert at_work == [None, lasting, lasting, None]
    assert schedule.at_work(FaultKind.SLOW, 12.0, 0) is None
    kinds = frozenset({FaultKind.KILL_AFTER})
    assert schedule.due(9.0, kinds) == []
    assert schedule.due(10.0, kinds, who=0) == []
    assert schedule.due(10.0, kinds, who=1) == [instant]
    assert schedule.due(11.0, kinds) == []
    assert str(lasting) == "slow of process 1 at 10 s for 5 s, size 1"
    assert str(instant) == "kill-after of process 1 at 10 s, size 0"
