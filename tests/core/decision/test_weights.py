"""Where new capacity of a pair goes: never both sides closed, never below use, and back exactly."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.messages import Decision, Economics, Proposal
from spotvortex.core.decision.steering import (
    AGAIN_S,
    GIVEN_UP_S,
    MAX_REVERTS,
    PAUSE_S,
    REVERTS_S,
    AskedSide,
    GroupMemory,
    seen,
    steer,
)
from spotvortex.core.decision.weights import (
    Stance,
    Steering,
    WeightRules,
    cpu_text,
    pair_of,
    patch_text,
    used_cpu_milli,
    wanted_values,
)
from spotvortex.core.domain.group_state import GroupState, GroupValues
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import NodeGroupFact, WriteAuthority
from spotvortex.core.domain.types import Action, CapacityType, Freeze, Mode, ProposalReason
from spotvortex.core.drain.group_calls import RestoreGroup, SteerGroup
from tests.core.builders import AT, basis, cluster, observation, on_demand, pool, spot

APPLY = WeightRules(steering=Steering.APPLY)
EXPORT = WeightRules(steering=Steering.EXPORT)
LEADER = WriteAuthority(leader=True)
SPOT, OTHER = "web-spot", "web-od"
TICK_S = 30.0
SPOT_FIRST, OTHER_LAST = GroupValues(weight=50), GroupValues(weight=10)


def decision(action, *, mode=Mode.ACTIVE, max_spot_ratio=1.0, reason=ProposalReason.HIGH_RISK):
    limits = Limits(mode=mode, max_spot_ratio=max_spot_ratio)
    proposal = Proposal(action=action, reason=reason)
    return Decision(
        decision_id="d-1",
        basis=basis(limits=limits),
        proposal=proposal,
        other=proposal,
        action=action,
        reason="high_risk",
        verdicts=(),
        economics=Economics(),
        target_ratio=0.5,
        moves=(),
        savings_usd_per_hour=None,
    )


def group(name, kind, **state):
    values = {"uid": f"uid-{name}", "generation": 1, "values": GroupValues()}
    return NodeGroupFact(
        name=name,
        pool="web",
        capacity_types=(kind,),
        weight=0,
        state=GroupState(**(values | state)),
    )


class Pools:
    """Two NodePools whose writes are carried out, as the API server and an owner would."""

    def __init__(self, spot=SPOT_FIRST, other=OTHER_LAST):
        self.owned = {SPOT: spot, OTHER: other}
        self.state = {
            name: GroupState(uid=f"uid-{name}", generation=1, values=values)
            for name, values in self.owned.items()
        }
        self.memory = {}
        self.at = AT
        self.reason = ProposalReason.HIGH_RISK
        self.used = {SPOT: 8000, OTHER: 4000}

    def facts(self):
        kinds = {SPOT: CapacityType.SPOT, OTHER: CapacityType.ON_DEMAND}
        groups = tuple(
            NodeGroupFact(
                name=name,
                pool="web",
                capacity_types=(kinds[name],),
                weight=state.values.weight,
                state=replace(state, used_cpu_milli=self.used[name]),
            )
            for name, state in sorted(self.state.items())
        )
        return replace(pool(n_spot=0, n_on_demand=0), node_groups=groups)

    def cycle(self, action, rules=APPLY, *, mode=Mode.ACTIVE, standing=LEADER, works=True, cap=1.0):
        """One cycle; return the calls, which are carried out where `works`."""
        look = observation(cluster=cluster(self.facts()), standing=standing, at=self.at)
        made = decision(action, mode=mode, max_spot_ratio=cap, reason=self.reason)
        steered = steer(self.memory, look, [made], rules)
        self.memory = steered.groups
        self.given_up = steered.given_up
        self.told = steered.calls
        for call in steered.calls:
            if works and call.mode.writes and rules.steering is not Steering.EXPORT:
                self.carry_out(call.call)
        self.at += TICK_S
        return [call.call for call in steered.calls]

    def carry_out(self, call):
        state = self.state[call.group]
        own = state.owners or state.values
        if isinstance(call, RestoreGroup):
            self.change(call.group, own, owners=None)
            return
        limit = own.cpu_limit_milli if call.cpu_limit_milli is None else call.cpu_limit_milli
        self.change(call.group, GroupValues(weight=call.weight, cpu_limit_milli=limit), owners=own)

    def change(self, name, values, **changes):
        state = self.state[name]
        self.state[name] = replace(state, values=values, generation=state.generation + 1, **changes)

    def values(self, name):
        return self.state[name].values

    def is_as_owned(self):
        return all(
            s.values == self.owned[name] and s.owners is None for name, s in self.state.items()
        )


def test_a_fall_back_makes_the_on_demand_side_heavier_and_closes_the_spot_side_at_its_use():
    pools = Pools()
    assert pools.cycle(Action.DECREASE_30) == [
        SteerGroup(group=OTHER, uid=f"uid-{OTHER}", weight=100, cpu_limit_milli=None),
        SteerGroup(group=SPOT, uid=f"uid-{SPOT}", weight=10, cpu_limit_milli=8000),
    ]
    assert pools.cycle(Action.HOLD) == []


def test_the_closed_side_follows_what_is_used_less_and_more():
    pools = Pools()
    pools.cycle(Action.EMERGENCY_EXIT)
    pools.used[SPOT] = 3500
    pools.at += AGAIN_S
    (call,) = pools.cycle(Action.HOLD)
    assert (call.weight, call.cpu_limit_milli) == (10, 4000)
    pools.used[SPOT] = 6000
    pools.at += AGAIN_S
    (call,) = pools.cycle(Action.HOLD)
    assert call.cpu_limit_milli == 6000


def test_a_growth_after_a_fall_back_brings_the_owners_values_back_where_they_say_spot():
    pools = Pools()
    pools.cycle(Action.DECREASE_10)
    first, second = pools.cycle(Action.INCREASE_10)
    assert (first.group, second.group) == (SPOT, OTHER)
    assert isinstance(first, RestoreGroup)
    assert pools.is_as_owned()
    assert pools.cycle(Action.HOLD) == []


def test_a_growth_makes_the_spot_side_heavier_where_its_owner_prefers_on_demand():
    pools = Pools(spot=GroupValues(weight=10), other=GroupValues(weight=50))
    calls = pools.cycle(Action.INCREASE_30, WeightRules(steering=Steering.APPLY, spot=90))
    said = [(c.group, c.weight, c.cpu_limit_milli) for c in calls]
    assert said == [(SPOT, 90, None), (OTHER, 10, None)]


def test_the_kill_switch_closes_the_spot_side_whatever_is_decided():
    pools = Pools()
    pools.cycle(Action.HOLD, cap=0.0)
    assert pools.values(SPOT).cpu_limit_milli == 8000
    assert pools.values(OTHER).weight > pools.values(SPOT).weight


def test_a_floor_or_a_cap_above_zero_leaves_what_stands_whatever_it_moves():
    pools = Pools()
    pools.reason = ProposalReason.ABOVE_MAX_SPOT_RATIO
    assert pools.cycle(Action.DECREASE_30, cap=0.5) == []
    pools.reason = ProposalReason.UNSAFE_LOSS
    assert pools.cycle(Action.DECREASE_10) == []
    pools.reason = ProposalReason.HIGH_RISK
    pools.cycle(Action.DECREASE_30)
    pools.reason = ProposalReason.ABOVE_MAX_SPOT_RATIO
    assert pools.cycle(Action.DECREASE_30, cap=0.5) == []


def test_a_pool_on_which_nothing_was_decided_is_left_as_its_owner_has_it():
    assert Pools().cycle(Action.HOLD) == []


def test_a_pair_whose_owner_prefers_on_demand_is_left_so_while_nothing_is_decided():
    pools = Pools(spot=GroupValues(weight=10), other=GroupValues(weight=50))
    assert pools.cycle(Action.HOLD) == []
    assert pools.is_as_owned()


def test_after_a_restart_a_pair_of_which_one_side_was_taken_back_is_steered_as_it_stands():
    for name, lighter in ((SPOT, GroupValues(weight=50)), (OTHER, GroupValues(weight=10))):
        pools = Pools()
        pools.cycle(Action.DECREASE_30)
        pools.memory = {}
        pools.change(name, lighter)
        (call,) = pools.cycle(Action.HOLD)
        assert (type(call), call.group) == (SteerGroup, name)


def test_the_spot_side_stays_open_where_the_on_demand_side_is_full():
    full = GroupValues(weight=10, cpu_limit_milli=4000)
    pools = Pools(other=full)
    pools.cycle(Action.EMERGENCY_EXIT)
    assert pools.values(SPOT).cpu_limit_milli is None
    assert pools.values(OTHER).cpu_limit_milli == 4000


@pytest.mark.parametrize(
    ("rules", "changes"),
    [
        (WeightRules(), {}),
        (APPLY, {"mode": Mode.SHADOW}),
        (APPLY, {"mode": Mode.ADVISE}),
        (APPLY, {"standing": WriteAuthority(leader=True, freeze=Freeze.SOFT)}),
        (APPLY, {"standing": WriteAuthority(leader=True, freeze=Freeze.LEAVE)}),
    ],
    ids=["driver off", "pool in shadow", "pool in advise", "frozen", "uninstalled"],
)
def test_what_is_not_to_be_steered_any_more_is_given_back_even_by_a_weaker_mode(rules, changes):
    pools = Pools()
    pools.cycle(Action.DECREASE_30)
    calls = pools.cycle(Action.DECREASE_30, rules, **changes)
    assert {type(call) for call in calls} == {RestoreGroup}
    assert pools.is_as_owned()


def test_a_pool_that_is_no_pair_any_more_is_given_back():
    pools = Pools()
    pools.cycle(Action.DECREASE_30)
    del pools.state[SPOT]
    (call,) = pools.cycle(Action.HOLD)
    assert call == RestoreGroup(group=OTHER, uid=f"uid-{OTHER}", owners=pools.owned[OTHER])


def test_shadow_records_each_call_once_and_nothing_is_asked_of_the_cluster():
    pools = Pools()
    pools.cycle(Action.DECREASE_30, mode=Mode.SHADOW, standing=WriteAuthority())
    assert {call.mode for call in pools.told} == {Mode.SHADOW}
    assert pools.cycle(Action.HOLD, mode=Mode.SHADOW, standing=WriteAuthority()) == []
    assert pools.is_as_owned()


def test_export_tells_each_patch_once_and_then_what_brings_the_owners_values_back():
    pools = Pools(spot=GroupValues(weight=50, cpu_limit_milli=64_000))
    first = [patch_text(call) for call in pools.cycle(Action.DECREASE_30, EXPORT)]
    assert [json.loads(text)["spec"] for text in first] == [
        {"weight": 100},
        {"weight": 10, "limits": {"cpu": "8"}},
    ]
    assert pools.cycle(Action.HOLD, EXPORT) == []
    for name, values in (
        (OTHER, GroupValues(weight=100)),
        (SPOT, GroupValues(weight=10, cpu_limit_milli=8000)),
    ):
        pools.change(name, values)
    back = [patch_text(call) for call in pools.cycle(Action.INCREASE_10, EXPORT)]
    assert [json.loads(text)["spec"] for text in back] == [
        {"weight": 50, "limits": {"cpu": "64"}},
        {"weight": 10, "limits": {"cpu": None}},
    ]


def test_a_call_that_failed_is_made_again_after_a_minute_and_is_no_revert():
    pools = Pools()
    n_calls = [len(pools.cycle(Action.DECREASE_30, works=False)) for _ in range(20)]
    assert n_calls == [2, 0] * 10
    assert pools.given_up == ()


@pytest.mark.parametrize("is_seen", [True, False], ids=["slowly", "before it is seen"])
def test_a_group_that_another_writer_takes_back_three_times_is_given_up_with_its_pair(is_seen):
    pools, n_writes, told = Pools(), 0, []
    for _ in range(30):
        n_writes += len(pools.cycle(Action.HOLD, cap=0.0))
        told += pools.given_up
        if is_seen:
            n_writes += len(pools.cycle(Action.HOLD, cap=0.0))
            told += pools.given_up
        if pools.values(SPOT) != pools.owned[SPOT]:
            pools.change(SPOT, pools.owned[SPOT])
    assert [(g.group, g.pool) for g in told] == [(SPOT, "web")]
    assert told[0].reason == (
        f"another writer took weight or limit of {SPOT} back 3 times in 10 minutes: "
        "both sides of pool web are left alone for 6 hours"
    )
    assert n_writes <= MAX_REVERTS + 3
    assert pools.values(OTHER) == pools.owned[OTHER]
    pools.at += GIVEN_UP_S
    assert pools.cycle(Action.HOLD, cap=0.0) != []


def test_reverts_that_are_far_apart_give_nothing_up():
    pools = Pools()
    for _ in range(8):
        pools.cycle(Action.HOLD, cap=0.0)
        pools.cycle(Action.HOLD, cap=0.0)
        pools.change(SPOT, pools.owned[SPOT])
        pools.at += REVERTS_S
        assert pools.given_up == ()


def test_what_its_owner_changes_after_it_was_given_back_is_no_revert():
    pools = Pools()
    pools.cycle(Action.DECREASE_30)
    pools.cycle(Action.INCREASE_30)
    for weight in range(20, 30):
        pools.cycle(Action.HOLD)
        pools.change(SPOT, GroupValues(weight=weight))
    assert all(not memory.reverted_at for memory in pools.memory.values())


def test_a_pool_of_one_mixed_group_or_of_three_is_no_pair():
    mixed = group("web", CapacityType.SPOT)
    mixed = replace(mixed, capacity_types=(CapacityType.SPOT, CapacityType.ON_DEMAND))
    one, two = group(SPOT, CapacityType.SPOT), group(OTHER, CapacityType.ON_DEMAND)
    assert pair_of([mixed]) is None
    assert pair_of([one, two, mixed]) is None
    assert pair_of([one, replace(two, capacity_types=())]) is None
    assert pair_of([two, one]).spot is one
    assert pair_of([two, replace(one, state=GroupState())]) is None


def test_nodes_that_the_provisioner_has_not_counted_yet_count_as_used():
    nodes = (
        spot("a", node_group=SPOT, allocatable_cpu_milli=3000),
        on_demand("b", node_group=OTHER, allocatable_cpu_milli=9000),
    )
    facts = pool(nodes=nodes)
    assert used_cpu_milli(facts, group(SPOT, CapacityType.SPOT, used_cpu_milli=1000)) == 3000
    assert used_cpu_milli(facts, group(SPOT, CapacityType.SPOT, used_cpu_milli=4000)) == 4000


def test_cpu_is_written_as_kubernetes_does():
    assert [cpu_text(m) for m in (None, 0, 2000, 1500)] == [None, "0", "2", "1500m"]


LIMITS = st.none() | st.integers(min_value=0, max_value=64_000)
VALUES = st.builds(
    GroupValues, weight=st.integers(min_value=0, max_value=100), cpu_limit_milli=LIMITS
)
USED = st.integers(min_value=0, max_value=64_000)


def limit_of(values):
    return float("inf") if values.cpu_limit_milli is None else values.cpu_limit_milli


@given(st.sampled_from(list(Stance)), VALUES, VALUES, USED, USED)
def test_no_stance_sets_a_limit_below_use_or_above_the_owners_nor_closes_both(
    stance, one, two, used_spot, used_other
):
    pools = Pools(one, two)
    pools.used = {SPOT: used_spot, OTHER: used_other}
    facts, owners = pools.facts(), pools.owned
    wanted = wanted_values(stance, facts, pair_of(facts.node_groups), owners, APPLY)
    for name, values in wanted.items():
        if values.cpu_limit_milli != owners[name].cpu_limit_milli:
            assert pools.used[name] <= limit_of(values) <= limit_of(owners[name])
    assert wanted[OTHER].cpu_limit_milli == owners[OTHER].cpu_limit_milli
    if wanted[SPOT].cpu_limit_milli != owners[SPOT].cpu_limit_milli:
        assert limit_of(wanted[OTHER]) > used_other
    if stance is not Stance.AS_OWNED:
        heavier = SPOT if stance is Stance.SPOT else OTHER
        lighter = OTHER if stance is Stance.SPOT else SPOT
        assert wanted[heavier].weight > wanted[lighter].weight
    else:
        assert wanted == owners


STEPS = st.lists(
    st.tuples(
        st.sampled_from(list(Action)),
        st.sampled_from([Mode.ACTIVE, Mode.CANARY, Mode.SHADOW]),
        st.booleans(),
        USED,
    ),
    max_size=12,
)


@given(STEPS, VALUES, VALUES)
def test_whatever_was_decided_the_owners_values_come_back_exactly_and_a_quiet_cycle_asks_nothing(
    steps, one, two
):
    pools = Pools(one, two)
    for action, mode, works, used in steps:
        pools.used[SPOT] = used
        pools.cycle(action, mode=mode, works=works)
        pools.at += AGAIN_S
        for name, state in pools.state.items():
            assert (state.owners or state.values) == pools.owned[name]
    for _ in range(3):
        pools.cycle(Action.HOLD, WeightRules())
        pools.at += AGAIN_S
    assert pools.is_as_owned()
    assert pools.cycle(Action.HOLD, WeightRules()) == []


def test_a_group_is_asked_for_something_else_only_once_the_last_request_is_over():
    pools = Pools()
    pools.cycle(Action.DECREASE_30)
    pools.at += 1.0 - TICK_S
    assert pools.cycle(Action.INCREASE_10) == []
    pools.at += PAUSE_S
    assert len(pools.cycle(Action.INCREASE_10)) == 2


@pytest.mark.parametrize(("waited_s", "n_calls"), [(PAUSE_S - 1.0, 0), (PAUSE_S, 2)])
def test_another_side_is_asked_for_a_pause_after_the_last_request(waited_s, n_calls):
    pools = Pools()
    pools.cycle(Action.DECREASE_30)
    pools.at += waited_s - TICK_S
    assert len(pools.cycle(Action.INCREASE_10)) == n_calls


@pytest.mark.parametrize(("waited_s", "n_calls"), [(AGAIN_S - 1.0, 0), (AGAIN_S, 1)])
def test_the_closed_side_follows_its_use_a_minute_after_the_last_request(waited_s, n_calls):
    pools = Pools()
    pools.cycle(Action.DECREASE_30)
    pools.used[SPOT] = 3000
    pools.at += waited_s - TICK_S
    assert len(pools.cycle(Action.HOLD)) == n_calls


@pytest.mark.parametrize(("waited_s", "n_calls"), [(PAUSE_S - 1.0, 0), (PAUSE_S, 2)])
def test_what_another_writer_took_back_is_asked_for_again_after_a_pause_while_it_is_wanted(
    waited_s, n_calls
):
    pools = Pools()
    pools.cycle(Action.DECREASE_30)
    pools.cycle(Action.HOLD)
    for name in (SPOT, OTHER):
        pools.change(name, pools.owned[name])
    assert pools.cycle(Action.HOLD) == []
    pools.at += waited_s - TICK_S
    calls = pools.cycle(Action.HOLD)
    assert [type(call) for call in calls] == [SteerGroup] * n_calls


def test_the_kill_switch_closes_a_spot_side_that_was_made_heavier_before():
    pools = Pools(spot=GroupValues(weight=10), other=GroupValues(weight=50))
    pools.cycle(Action.INCREASE_30)
    pools.at += PAUSE_S
    pools.cycle(Action.HOLD, cap=0.0)
    assert pools.values(SPOT) == GroupValues(weight=10, cpu_limit_milli=8000)


def test_a_pair_that_was_given_up_is_steered_again_once_its_time_is_over():
    pools = Pools()
    until = GroupMemory(given_up_until=AT + 1.0)
    pools.memory = {SPOT: until, OTHER: GroupMemory()}
    assert pools.cycle(Action.DECREASE_30) == []
    pools.at = AT + 1.0
    assert len(pools.cycle(Action.DECREASE_30)) == 2


def asked(**changes):
    """A request for more weight of the Spot side, sent when it had its fifth generation."""
    call = SteerGroup(group=SPOT, uid=f"uid-{SPOT}", weight=100, cpu_limit_milli=None)
    values = {"at": AT, "call": call, "values": GroupValues(weight=100), "generation": 5}
    return AskedSide(**(values | {"was_sent": True} | changes))


@pytest.mark.parametrize(
    ("changes", "generation", "is_reverted"),
    [
        ({"was_seen": True}, 5, False),
        ({"was_seen": True}, 6, True),
        ({}, 6, False),
        ({}, 7, True),
        ({"was_sent": False}, 9, False),
    ],
)
def test_one_change_more_than_the_request_made_is_another_writers(changes, generation, is_reverted):
    memory = GroupMemory(asked=asked(**changes))
    found = seen(memory, group(SPOT, CapacityType.SPOT, generation=generation), AT + 60.0)
    assert bool(found.reverted_at) is is_reverted
    assert (found.asked is None) is is_reverted


@pytest.mark.parametrize(("ago_s", "is_given_up"), [(REVERTS_S, False), (REVERTS_S - 1.0, True)])
def test_only_what_was_taken_back_lately_counts_towards_giving_up(ago_s, is_given_up):
    before = (AT - ago_s, *(AT - 1.0 for _ in range(MAX_REVERTS - 2)))
    memory = GroupMemory(asked=asked(was_seen=True), reverted_at=before)
    found = seen(memory, group(SPOT, CapacityType.SPOT, generation=6), AT)
    assert found.given_up_until == (AT + GIVEN_UP_S if is_given_up else 0.0)


def test_a_request_to_restore_is_over_once_no_owners_values_are_kept_in_the_cluster():
    back = RestoreGroup(group=SPOT, uid=f"uid-{SPOT}", owners=SPOT_FIRST)
    memory = GroupMemory(asked=asked(call=back, values=SPOT_FIRST))
    kept = group(SPOT, CapacityType.SPOT, owners=SPOT_FIRST)
    assert seen(memory, kept, AT) == memory
    assert seen(memory, group(SPOT, CapacityType.SPOT), AT).asked is None


def test_equal_weights_prefer_no_side_and_the_wanted_one_is_made_heavier():
    even = GroupValues(weight=50)
    for action, heavier, lighter in (
        (Action.INCREASE_10, SPOT, OTHER),
        (Action.DECREASE_10, OTHER, SPOT),
    ):
        pools = Pools(even, even)
        pools.cycle(action)
        assert pools.values(heavier).weight > pools.values(lighter).weight
