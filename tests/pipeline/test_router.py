"""Decisions are journalled, shown, and handed on once a node."""

import asyncio
from dataclasses import replace

import pytest

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.decision.steering import GivenUp, Steered
from spotvortex.core.decision.weights import Steering, WeightRules
from spotvortex.core.domain.group_state import GroupState, GroupValues
from spotvortex.core.domain.observation import NodeGroupFact, WriteAuthority
from spotvortex.core.domain.types import CapacityType, Mode
from spotvortex.core.drain.orders import in_flight
from spotvortex.pipeline.channels import ClosedError, Lane, Latest
from spotvortex.pipeline.health import Heartbeats, Readiness
from spotvortex.pipeline.router import Router
from spotvortex.ports.null import NullStateStore
from spotvortex.ports.series import WEIGHTS_GIVEN_UP
from tests.core.builders import AT, assessment, capped, observation, on_demand, pool
from tests.core.in_flight import marked, notice, on_instances, with_nodes
from tests.pipeline.world import (
    MemoryAnnouncer,
    MemoryJournal,
    MemoryState,
    MemoryTelemetry,
    StillCluster,
    run,
)


def router(store=None, **limits):
    return Router(
        limits=capped(**limits),
        journal=MemoryJournal(),
        status=Readiness(cluster=StillCluster(), max_input_age_s=60.0),
        telemetry=MemoryTelemetry(),
        heartbeats=Heartbeats({"router": 60.0}),
        announcer=MemoryAnnouncer(),
        store=store or NullStateStore(),
    )


def route(subject, *assessments):
    """Route one after the other; returns the lane after its close."""

    async def main():
        source, lane = Latest("assessments"), Lane("drains", 9)
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run(source, lane))
            for one in assessments:
                source.put(one)
                await asyncio.sleep(1.0)
            source.close()
        return lane

    return run(main)


def test_only_an_order_that_the_lane_has_no_room_for_is_logged(caplog):
    seen = assessment(observation(pool()))
    lane = route(router(), seen)
    assert len(lane) == 1
    assert "order_not_queued" not in caplog.text
    full = Lane("drains", 0)
    run(router()._hand_on, reconcile(ControllerState(), seen, capped())[1], full)
    assert caplog.text.count("order_not_queued") == 1


def test_a_plan_goes_to_the_journal_to_the_board_and_down_the_lane():
    subject = router()
    lane = route(subject, assessment(observation(pool())))
    (plan,) = subject.journal.plans
    assert subject.status.last_plan() is plan
    assert run(lane.take) == ("uid-web-d0", plan.orders[0])
    with pytest.raises(ClosedError):
        run(lane.take)
    assert subject.telemetry.of("planned") == [(0.0, 7, 0.0)]


def test_state_is_carried_from_cycle_to_cycle():
    subject = router()
    first, second = (assessment(observation(pool(), at=AT + s)) for s in (0.0, 30.0))
    route(subject, first, second)
    assert [len(p.orders) for p in subject.journal.plans] == [1, 0]
    assert subject.state.pools["web"].last_wave_at == AT


def test_a_node_that_is_on_its_way_already_is_not_queued_twice(caplog):
    subject = router(settle_s=0.0)
    lane = route(subject, *(assessment(observation(pool(), at=AT + s)) for s in (0.0, 30.0)))
    assert (len(lane), lane.refused) == (1, 1)
    assert [(r.message, r.node) for r in caplog.records] == [("router.order_not_queued", "web-d0")]


def test_the_loop_breathes_after_each_pool():
    async def main():
        subject, turns = router(), 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        await subject.decide(assessment(observation(*(pool(f"p{i}") for i in range(5)))))
        counting.cancel()
        return turns

    assert run(main) >= 5


ACTIVE = {"mode": Mode.ACTIVE, "on_demand_floor_nodes": 1}


def led(*, at=AT, leader=True, facts=None):
    """What a replica sees: an order in flight, and another that may be made."""
    flying = facts or with_nodes(pool(), marked(pool().nodes[0]))
    seen = observation(flying, at=at, standing=WriteAuthority(leader=leader))
    return replace(assessment(seen), in_flight=in_flight(seen.cluster))


def keys(lane):
    return list(lane._entries)


def test_orders_in_flight_and_chores_go_down_the_lane_too():
    lane = route(router(MemoryState(), **ACTIVE), led())
    assert keys(lane) == ["uid-web-s0", "anchor/uid-web-d0"]


def test_the_state_is_saved_before_anything_that_writes_is_handed_on():
    noted, lane_sizes = [], []
    store = MemoryState(noted=noted)
    subject = router(store, mode=Mode.ACTIVE)

    class Watching(Lane):
        def offer(self, key, value):
            noted.append(key)
            return Lane.offer(self, key, value)

    async def main():
        source, lane = Latest("assessments"), Watching("drains", 9)
        source.put(led(facts=pool()))
        source.close()
        await subject.run(source, lane)
        lane_sizes.append(len(lane))

    run(main)
    assert noted == ["load", "save", "uid-web-d0"]
    assert store.state.pools["web"].last_wave_at == AT


def test_what_writes_is_not_handed_on_where_the_state_cannot_be_saved(caplog):
    subject = router(MemoryState(fails=True), **ACTIVE)
    lane = route(subject, led(facts=pool()))
    assert keys(lane) == []
    assert "router.state_not_saved" in [r.message for r in caplog.records]
    subject.store.fails = False
    assert keys(route(subject, led(facts=pool(), at=AT + 300.0))) != []


def test_a_wave_that_could_not_be_saved_is_not_remembered_and_made_as_soon_as_it_can_be():
    subject = router(MemoryState(fails=True), **ACTIVE)
    route(subject, led(facts=pool()))
    assert subject.state.pools["web"].last_wave_at is None
    subject.store.fails = False
    assert "uid-web-d0" in keys(route(subject, led(facts=pool(), at=AT + 30.0)))
    assert subject.state.pools["web"].last_wave_at == AT + 30.0


def test_what_is_in_flight_comes_to_its_end_whatever_can_be_saved():
    lane = route(router(MemoryState(fails=True), **ACTIVE), led(at=AT + 300.0))
    assert keys(lane) == ["uid-web-s0"]
    strange = with_nodes(pool(), replace(pool().nodes[0], mark="{", cordoned=True))
    lane = route(router(MemoryState(fails=True), **ACTIVE), led(facts=strange))
    assert keys(lane) == ["unread/uid-web-s0"]


def test_what_only_records_is_handed_on_all_the_same():
    lane = route(router(MemoryState(fails=True)), led(facts=pool()))
    assert keys(lane) == ["uid-web-d0"]


def test_a_state_that_says_nothing_new_is_not_saved_again():
    store = MemoryState()
    route(router(store, mode=Mode.ACTIVE), *(led(at=AT + s) for s in (0.0, 30.0, 60.0)))
    assert store.noted == ["load", "save"]


def test_a_standby_saves_nothing_and_hands_on_nothing_that_writes():
    store = MemoryState()
    lane = route(router(store, **ACTIVE), led(leader=False))
    assert (keys(lane), store.noted) == ([], [])


def test_the_state_is_loaded_whenever_we_come_to_lead():
    """The last leader wrote it; what we remember ourselves is older."""
    store = MemoryState()
    subject = router(store, mode=Mode.ACTIVE)
    route(subject, led(), led(leader=False, at=AT + 30.0))
    store.state = ControllerState(pools={"web": PoolState(last_wave_at=AT + 50.0)})
    route(subject, led(at=AT + 60.0, facts=pool()))
    assert store.noted.count("load") == 2
    assert subject.state.pools["web"].last_wave_at == AT + 50.0


def test_advice_is_said_at_the_nodes_and_only_where_the_mode_is_to_advise():
    for mode, said in (
        (Mode.SHADOW, []),
        (
            Mode.ADVISE,
            [
                (
                    "web-d0",
                    "SpotVortexAdvice",
                    "would move this node to spot: INCREASE_30 economic_increase",
                    False,
                )
            ],
        ),
    ):
        subject = router(mode=mode)
        route(subject, assessment(observation(pool())))
        assert subject.announcer.said == said


def lost(subject, *, led_before=True, leader=True):
    """What is handed on of a notice that no plan has taken up yet."""
    seen = observation(
        on_instances(pool()), standing=WriteAuthority(leader=leader), notices=(notice(),)
    )

    async def main():
        losses, lane = Latest("losses"), Lane("drains", 9)
        if led_before:
            await subject.decide(led())
        losses.put(seen)
        losses.close()
        await subject.run_losses(losses, lane)
        return lane

    return keys(run(main))


def test_what_is_lost_is_handed_on_before_there_is_a_plan_and_whatever_can_be_saved():
    assert lost(router(MemoryState(), **ACTIVE)) == ["uid-web-s0"]
    assert lost(router(MemoryState(fails=True), **ACTIVE)) == ["uid-web-s0"]


def test_what_is_lost_waits_for_a_plan_until_the_last_leaders_state_is_read():
    assert lost(router(MemoryState(), **ACTIVE), led_before=False) == []
    assert lost(router(MemoryState(), **ACTIVE), leader=False) == []


def paired(**changes):
    """A calm pool that wants one node more on Spot, of two NodePools of which on-demand leads."""
    kinds = {"web-od": (CapacityType.ON_DEMAND, 50), "web-spot": (CapacityType.SPOT, 10)}
    groups = tuple(
        NodeGroupFact(
            name=name,
            pool="web",
            capacity_types=(kind,),
            weight=weight,
            state=GroupState(
                uid=f"uid-{name}", generation=1, values=GroupValues(weight=weight), **changes
            ),
        )
        for name, (kind, weight) in kinds.items()
    )
    made = [on_demand(f"web-d{i}", node_group="web-od") for i in range(8)]
    return pool(nodes=tuple(made), node_groups=groups)


def test_pairs_are_steered_by_calls_down_the_lane_and_shadow_records_them():
    subject = router()
    subject.weights = WeightRules(steering=Steering.APPLY)
    lane = route(subject, assessment(observation(paired())))
    calls = [c.call for c in subject.journal.plans[0].maintenance_calls]
    assert [(c.group, c.weight) for c in calls] == [("web-spot", 100), ("web-od", 10)]
    assert len(lane) == 1 + len(calls)
    assert {c.mode for c in subject.journal.plans[0].maintenance_calls} == {Mode.SHADOW}


def test_where_patches_are_exported_they_are_told_and_nothing_is_handed_on(caplog):
    caplog.set_level("INFO")
    subject = router()
    subject.weights = WeightRules(steering=Steering.EXPORT)
    route(subject, assessment(observation(paired())), assessment(observation(paired())))
    told = [(r.nodepool, r.patch) for r in caplog.records if r.message == "weights.patch"]
    assert told == [
        ("web-spot", '{"spec": {"weight": 100}}'),
        ("web-od", '{"spec": {"weight": 10}}'),
    ]
    assert all(plan.maintenance_calls == () for plan in subject.journal.plans)


def test_a_group_that_is_given_up_is_logged_counted_and_told_at_the_nodepool(caplog):
    subject = router()
    gone = GivenUp(group="web-od", uid="uid-web-od", pool="web", reason="taken back")
    subject._steered = Steered(given_up=(gone,))

    async def tell():
        subject._tell_given_up()

    run(tell)
    said = ("web-od", "SpotVortexWeightsGivenUp", "taken back", True)
    assert subject.announcer.said == [said]
    assert len(subject.telemetry.of(WEIGHTS_GIVEN_UP.name)) == 1
    assert "weights.given_up" in caplog.text
