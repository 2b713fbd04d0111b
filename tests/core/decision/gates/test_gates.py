"""Every gate answers, can say no, and can only reduce."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.gates.base import Gate, Reply
from spotvortex.core.decision.gates.disruption import (
    SHOWS_S,
    cooldown,
    dwell_s,
    utilisation_headroom,
)
from spotvortex.core.decision.gates.fit import fit
from spotvortex.core.decision.gates.table import ask, combine, evaluate, told
from spotvortex.core.decision.messages import ClusterBudget, Economics, PoolState, Verdict
from spotvortex.core.decision.planning import plan_wave
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import Concern
from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import Action, Freeze, GateName, Mode, Outcome, ProvisionerKind
from spotvortex.core.domain.usage import UsageSource
from spotvortex.core.pool.input import GroupFit, Risk
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.pool.usage import PoolUsage
from tests.core import odd
from tests.core.builders import (
    AT,
    CHEAP,
    GIB,
    GOOD,
    candidate,
    capped,
    case,
    pool_input,
    proposal,
    risk_of,
    room,
    safety,
)

ACTIVE = Limits(mode=Mode.ACTIVE)
UP, DOWN, EXIT, HOLD = (
    Action.INCREASE_10,
    Action.DECREASE_10,
    Action.EMERGENCY_EXIT,
    Action.HOLD,
)
SPENT = ClusterBudget(n_nodes=20, n_moving=1, left=0)
WARM = pool_input(entry_risk=risk_of(0.3))
HOT = PoolUsage(source=UsageSource.METRICS_API, cpu_ratio=0.97, memory_ratio=0.5, n_nodes=20)
UNSCORED = pool_input(entry_risk=Risk(capacity=None, runtime=None))
VCPU_FLOOR = Limits(on_demand_floor_vcpu=10)
OLD = replace(CHEAP, spot_usd_per_hour=None, too_old_s=9e5)
UNSUPPORTED = pool_input(unsupported=("x9",), to_spot=(), to_on_demand=(candidate(in_scope=False),))
PARTLY = pool_input(unsupported=("x9",))
SWITCHED_ON = Limits(exit_unsupported=True)


UNSERVED = {"room_on_demand": GroupFit(), "room_spot": GroupFit(launch_cpu_milli=4000)}


def to_on_demand(**changes):
    return pool_input(room_on_demand=room(**changes))


def after(wave_s, decrease_s=None):
    decreased = None if decrease_s is None else AT - decrease_s
    return PoolState(last_wave_at=AT - wave_s, last_decrease_at=decreased)


def standing(**changes):
    """A case of a mode that writes, where we lead and nothing stops us but what is given."""
    return case(limits=ACTIVE, standing=WriteAuthority(**({"leader": True} | changes)))


def unsafe(above_floor_nodes=None, **changes):
    """A pool that could not stand the loss of its worst zone."""
    losses = safety(least_pods=-2, safe_by_word_nodes=0, above_floor_nodes=above_floor_nodes)
    return pool_input(safety=losses, **changes)


def bound(state=None, n_anchored=0, **changes):
    """A case where PodDisruptionBudgets bind a loss, too."""
    data = pool_input(safety=safety(**changes), n_anchored=n_anchored)
    return case(pool=data, limits=Limits(budgets_bind=True), state=state or PoolState())


LOSES_ALL = safety(least_pods=-1, least_loss="", safe_by_word_nodes=0)
UNREAD = safety(unread="Deployment shop/web: give pods", safe_by_word_nodes=0)


FELL, FELL_LESS = PoolState(fell_from=0.9), PoolState(fell_from=0.5)
RETURNED = PoolState(last_wave_at=AT - 301.0, last_increase_at=AT - 301.0)
LONG_AGO = PoolState(last_wave_at=AT - 330.0, last_increase_at=AT - 330.0)
RELEASED = {"consolidates": True, "n_anchored": 8}

REFUSING = [
    ("input_freshness", case(pool=pool_input(bad_inputs=("nodes",))), "nodes missing"),
    ("input_freshness", case(pool=pool_input(oldest_input_s=float("inf"))), "every input"),
    ("input_freshness", case(pool=pool_input(oldest_input_s=float("nan"))), "every input"),
    ("model_scope", case(pool=UNSUPPORTED), "x9 not in the model's scope"),
    ("model_scope", case(EXIT, "unsupported_family", pool=UNSUPPORTED), "their nodes hold"),
    ("model_scope", case(EXIT, "unsupported_family", pool=PARTLY), "their nodes hold"),
    ("confidence", case(pool=pool_input(confidence_terms=(("scores", 0.1),))), "by scores"),
    ("confidence", case(pool=pool_input(confidence_terms=(("x", float("nan")),))), "by x"),
    ("market", case(economics=Economics()), "no price"),
    ("market", case(economics=Economics(), pool=pool_input(entry_money=OLD)), "too old to use"),
    ("market", case(economics=replace(GOOD, payback_hours=None)), "no expected gain"),
    (
        "market",
        case(
            economics=replace(GOOD, payback_hours=None),
            pool=pool_input(entry_money=replace(CHEAP, marginal_usd_per_hour=0.0)),
        ),
        "a commitment pays for these nodes already",
    ),
    ("market", case(economics=replace(GOOD, discount_ratio=0.1)), "discount too small"),
    ("market", case(economics=replace(GOOD, discount_ratio=float("nan"))), "too small"),
    ("market", case(economics=replace(GOOD, payback_hours=7.0)), "too late"),
    ("market", case(pool=pool_input(entry_money=replace(CHEAP, last_resort=True))), "last resort"),
    (
        "market",
        case(limits=ACTIVE, pool=pool_input(entry_money=replace(CHEAP, last_resort=True))),
        "last resort",
    ),
    ("out_of_distribution", case(pool=pool_input(out_of_range=("m6i.large/a",))), "m6i.large/a"),
    ("out_of_distribution", case(pool=pool_input(out_of_range=("a", "b", "c"))), "a and 2 more"),
    ("pool_safety", case(pool=pool_input(safety=safety(known=False))), "cannot be read"),
    ("pool_safety", case(pool=pool_input(safety=safety(words_known=False))), "cannot be read"),
    (
        "pool_safety",
        case(pool=unsafe()),
        "the loss of zone us-east-1a leaves shop/Deployment/api 2",
    ),
    ("pool_safety", case(pool=pool_input(safety=LOSES_ALL)), "what is Ready now leaves"),
    ("pool_safety", case(pool=pool_input(safety=safety(safe_by_word_nodes=0))), "can spare 3"),
    ("pool_safety", case(pool=pool_input(safety=UNREAD)), "Deployment shop/web: give"),
    ("pool_safety", case(pool=unsafe(n_anchored=4)), "leaves shop/Deployment/api 2"),
    ("pool_safety", case(pool=unsafe(n_anchored=0), state=FELL), "leaves shop/Deployment/api 2"),
    ("pool_safety", case(pool=unsafe(n_anchored=4), state=FELL_LESS), "leaves shop/Deployment"),
    (
        "pool_safety",
        case(pool=unsafe(n_anchored=4, above_floor_nodes=0), state=FELL),
        "leaves shop/Deployment",
    ),
    ("pool_safety", case(pool=pool_input(safety=LOSES_ALL, n_anchored=4), state=FELL), "Ready now"),
    ("pool_safety", bound(margin_pods=-2), "leaves shop/api 2"),
    ("pool_safety", bound(margin_pods=-1, margin_zone=""), "as it is now"),
    ("pool_safety", bound(safe_to_spot_nodes=0), "shop/api can spare 3"),
    ("pool_safety", bound(safe_by_word_nodes=1, margin_pods=-1), "leaves shop/api 1"),
    ("pool_safety", bound(known=False), "cannot be read"),
    ("pool_safety", bound(least_pods=-2, safe_by_word_nodes=0), "leaves shop/Deployment/api 2"),
    ("pool_safety", case(DOWN, "unsafe_loss"), "whose leaving helps"),
    ("on_demand_floor", case(limits=Limits(on_demand_floor_nodes=10)), "floor is 10"),
    (
        "on_demand_floor",
        case(pool=pool_input(n_moving=2), limits=Limits(on_demand_floor_nodes=8)),
        "floor is 8",
    ),
    ("fit", case(DOWN, pool=pool_input(allows_on_demand=False)), "allows on-demand"),
    ("fit", case(DOWN, pool=to_on_demand(no_driver="managed-nodegroup")), "EKS node group"),
    ("fit", case(EXIT, pool=to_on_demand(no_driver="unknown")), "unknown origin"),
    ("fit", case(DOWN, pool=to_on_demand(no_driver="asg: it is full")), "asg: it is full"),
    ("fit", case(UP, pool=pool_input(room_spot=room(no_driver="karpenter"))), "without a NodePool"),
    ("fit", case(UP, pool=pool_input(room_spot=room(no_driver="cluster-autoscaler"))), "no driver"),
    ("fit", case(UP, pool=pool_input(allows_spot=False)), "allows Spot"),
    ("fit", case(DOWN, pool=to_on_demand(cpu_left_milli=899)), "cpu_milli limit of web"),
    ("fit", case(DOWN, pool=to_on_demand(memory_left_mib=3071)), "memory_mib limit of web"),
    ("fit", case(EXIT, pool=to_on_demand(nodes_left=0)), "nodes limit of web"),
    (
        "fit",
        case(DOWN, pool=to_on_demand(n_placed=0, misfit="zone-a")),
        "no place for pods of zone",
    ),
    ("fit", case(UP, pool=pool_input(room_spot=room(cpu_left_milli=0))), "cpu_milli limit"),
    ("budgets", case(DOWN, pool=pool_input(n_moving=2)), "may move now"),
    ("budgets", case(UP, budget=SPENT), "may move now"),
    ("cooldown", case(DOWN, state=after(299.0)), "settling"),
    ("cooldown", case(DOWN, state=after(-5.0)), "settling"),
    ("budgets", case(DOWN, pool=pool_input(n_in_flight=2)), "still under way"),
    ("budgets", case(EXIT, pool=pool_input(n_in_flight=1)), "still under way"),
    ("budgets", case(EXIT, state=after(SHOWS_S - 0.1)), "may not show"),
    ("cooldown", case(UP, state=RETURNED, pool=pool_input(**RELEASED)), "still bringing back"),
    ("cooldown", case(UP, state=after(301.0, 301.0), limits=capped()), "dwelling"),
    (
        "cooldown",
        case(UP, state=replace(after(999.0, 999.0), n_failed_returns=1), limits=capped()),
        "dwelling",
    ),
    (
        "cooldown",
        case(UP, state=after(700.0, 700.0), pool=WARM, limits=capped()),
        "not clearly low again",
    ),
    (
        "cooldown",
        case(UP, state=after(700.0, 700.0), pool=UNSCORED, limits=capped()),
        "not clearly low again",
    ),
    ("lease", case(limits=ACTIVE), "another replica holds the lease, or nobody"),
    ("freeze", standing(freeze=Freeze.SOFT), "spotvortex-freeze exists (soft)"),
    ("freeze", standing(freeze=Freeze.LEAVE), "spotvortex-freeze exists (leave)"),
    ("freeze", standing(freeze=Freeze.HARD), "spotvortex-freeze exists (hard)"),
    ("freeze", standing(freeze=Freeze.UNKNOWN), "cannot be read"),
    ("mode", case(pool=pool_input(rules=PoolRules(problem="x=1: give 2"))), "x=1: give 2"),
    ("mode", standing(unsure=True), "for a day only what protects is done"),
    ("do_not_disrupt", case(UP, pool=pool_input(n_on_demand_movable=0)), "on-demand nodes"),
    ("do_not_disrupt", case(DOWN, pool=pool_input(n_spot_movable=0)), "Spot nodes"),
]

LETTING = [
    ("input_freshness", case()),
    ("model_scope", case()),
    ("model_scope", case(EXIT, "unsupported_family", pool=UNSUPPORTED, limits=SWITCHED_ON)),
    ("model_scope", case(pool=PARTLY)),
    ("model_scope", case(DOWN, "expected_loss", pool=PARTLY)),
    ("model_scope", case(HOLD, "nothing_movable", pool=UNSUPPORTED)),
    ("confidence", case()),
    ("market", case()),
    ("market", case(pool=pool_input(entry_money=replace(CHEAP, marginal_usd_per_hour=0.09)))),
    ("market", case(economics=replace(GOOD, discount_ratio=0.15, payback_hours=6.0))),
    ("market", case(DOWN, economics=Economics())),
    ("out_of_distribution", case()),
    ("out_of_distribution", case(DOWN, pool=pool_input(out_of_range=("m6i.large/a",)))),
    ("pool_safety", case(DOWN, pool=unsafe())),
    ("pool_safety", case(pool=pool_input(safety=safety(n_workloads=0, least_pods=None)))),
    ("pool_safety", case(pool=unsafe(n_on_demand=0))),
    ("pool_safety", bound(n_pdbs=0, margin_pods=None, least_pods=None)),
    ("on_demand_floor", case()),
    ("on_demand_floor", case(DOWN, limits=Limits(on_demand_floor_nodes=10))),
    ("fit", case(HOLD, pool=to_on_demand(nodes_left=0))),
    ("fit", case(DOWN)),
    ("fit", case(DOWN, pool=to_on_demand(sizes_known=False))),
    ("fit", case(DOWN, pool=to_on_demand(cpu_left_milli=22_900, memory_left_mib=93_184))),
    ("fit", case(DOWN, pool=pool_input(room_spot=room(nodes_left=0)))),
    ("fit", case(DOWN, pool=pool_input(room_spot=room(no_driver="unknown")))),
    ("fit", case(HOLD, pool=to_on_demand(no_driver="unknown"))),
    ("fit", case(DOWN, pool=pool_input(n_spot=0, room_on_demand=room(nodes_left=0)))),
    ("fit", case(UP, pool=pool_input(**UNSERVED))),
    ("fit", case(DOWN, pool=pool_input(n_spot=0, **UNSERVED))),
    ("budgets", case(HOLD, budget=SPENT)),
    ("utilisation_headroom", case(DOWN)),
    ("utilisation_headroom", case(DOWN, pool=pool_input(usage=replace(HOT, cpu_ratio=0.1)))),
    ("utilisation_headroom", case(UP, pool=pool_input(cpu_requested_ratio=0.99))),
    ("utilisation_headroom", case(DOWN, pool=pool_input(cpu_requested_ratio=0.95))),
    ("cooldown", case(HOLD, state=after(1.0))),
    ("cooldown", case(DOWN, state=RETURNED, pool=pool_input(**RELEASED))),
    ("cooldown", case(UP, state=RETURNED, pool=pool_input(**RELEASED | {"consolidates": False}))),
    ("cooldown", case(UP, state=RETURNED, pool=pool_input(**RELEASED | {"n_anchored": 10}))),
    ("cooldown", case(UP, state=LONG_AGO, pool=pool_input(**RELEASED))),
    ("cooldown", case(DOWN, state=after(300.0, 300.0))),
    ("cooldown", case(UP, state=after(86_401.0, 86_401.0), pool=WARM)),
    ("lease", standing()),
    ("freeze", standing()),
    ("fit", standing()),
    ("mode", standing()),
    ("mode", case(limits=Limits(mode=Mode.ADVISE))),
    ("cooldown", case()),
    ("do_not_disrupt", case(HOLD, pool=pool_input(n_spot_movable=0, n_on_demand_movable=0))),
    ("mode", case()),
    ("mode", case(limits=ACTIVE)),
]

BOUNDING = [
    ("pool_safety", case(pool=pool_input(safety=safety(safe_by_word_nodes=3))), 3),
    ("pool_safety", case(pool=pool_input(safety=safety(margin_pods=-2))), 8),
    ("pool_safety", case(pool=unsafe(n_anchored=4), state=FELL), 4),
    ("pool_safety", case(pool=unsafe(n_anchored=1), state=FELL), 1),
    ("pool_safety", case(pool=unsafe(n_anchored=9), state=FELL), 8),
    ("pool_safety", case(pool=unsafe(n_anchored=9, above_floor_nodes=2), state=FELL), 2),
    (
        "pool_safety",
        case(pool=pool_input(safety=safety(safe_by_word_nodes=1), n_anchored=4), state=FELL),
        4,
    ),
    (
        "pool_safety",
        case(pool=pool_input(safety=safety(safe_by_word_nodes=6), n_anchored=4), state=FELL),
        6,
    ),
    ("pool_safety", bound(safe_to_spot_nodes=3), 3),
    ("pool_safety", bound(safe_by_word_nodes=3), 3),
    ("pool_safety", bound(margin_pods=0, safe_to_spot_nodes=5), 5),
    ("pool_safety", bound(margin_pods=0, safe_to_spot_nodes=5, n_anchored=4, state=FELL), 5),
    ("pool_safety", bound(margin_pods=0, safe_to_spot_nodes=3, n_anchored=4, state=FELL), 4),
    ("pool_safety", bound(n_pdbs=0, margin_pods=None, safe_by_word_nodes=3), 3),
    ("pool_safety", bound(least_pods=None, safe_to_spot_nodes=3), 3),
    ("pool_safety", bound(margin_pods=-1, n_anchored=4, state=FELL), 4),
    (
        "pool_safety",
        case(DOWN, "unsafe_loss", pool=pool_input(safety=safety(n_breaking=1, n_relieving=2))),
        2,
    ),
    ("on_demand_floor", case(limits=Limits(on_demand_floor_nodes=1)), 9),
    ("on_demand_floor", case(limits=Limits(on_demand_floor_nodes=6)), 4),
    (
        "on_demand_floor",
        case(pool=pool_input(n_reserved=2), limits=Limits(on_demand_floor_nodes=6)),
        6,
    ),
    ("fit", case(DOWN, pool=to_on_demand(cpu_left_milli=900)), 1),
    ("fit", case(DOWN, pool=to_on_demand(cpu_left_milli=2899)), 1),
    ("fit", case(DOWN, pool=to_on_demand(cpu_left_milli=2900)), 2),
    ("fit", case(DOWN, pool=to_on_demand(cpu_left_milli=8899)), 4),
    ("fit", case(DOWN, pool=to_on_demand(memory_left_mib=8192 + 3072)), 2),
    ("fit", case(DOWN, pool=to_on_demand(nodes_left=3)), 3),
    ("fit", case(EXIT, pool=to_on_demand(n_placed=2, misfit="us-east-1a")), 2),
    ("fit", case(DOWN, pool=to_on_demand(n_placed=2, misfit="us-east-1a", nodes_left=1)), 1),
    ("budgets", case(DOWN), 1),
    ("budgets", case(EXIT, state=after(SHOWS_S)), 1),
    (
        "budgets",
        case(DOWN, limits=Limits(max_pool_disruption_ratio=0.5), budget=replace(SPENT, left=4)),
        4,
    ),
    (
        "budgets",
        case(DOWN, limits=Limits(max_pool_disruption_ratio=0.5), budget=replace(SPENT, left=9)),
        9,
    ),
    (
        "budgets",
        case(
            DOWN,
            limits=Limits(max_pool_disruption_ratio=0.5, max_wave_nodes=5),
            budget=replace(SPENT, left=9),
        ),
        5,
    ),
    ("utilisation_headroom", case(DOWN, pool=pool_input(memory_requested_ratio=0.96)), 1),
    ("utilisation_headroom", case(DOWN, pool=pool_input(usage=HOT)), 1),
    ("do_not_disrupt", case(UP, pool=pool_input(n_on_demand_movable=3)), 3),
    ("cooldown", case(UP, state=after(600.0, 600.0)), 1),
    ("cooldown", case(UP, state=replace(after(700.0, 700.0), n_probation=4)), 4),
    ("cooldown", case(UP, state=replace(after(1200.0, 1200.0), n_failed_returns=1)), 1),
    ("mode", case(limits=Limits(mode=Mode.CANARY, canary_nodes=2)), 2),
    ("on_demand_floor", case(limits=VCPU_FLOOR, pool=pool_input(node_vcpu=4)), 7),
    ("do_not_disrupt", case(EXIT, pool=pool_input(n_spot_movable=2)), 2),
]


@pytest.mark.parametrize(("gate", "subject", "reason"), REFUSING)
def test_gate_says_no(gate, subject, reason):
    verdict = ask(gate, subject)
    assert verdict.outcome is Outcome.REFUSE
    assert reason in verdict.reason
    assert verdict.limit is None


@pytest.mark.parametrize(("gate", "subject"), LETTING)
def test_gate_says_yes(gate, subject):
    assert ask(gate, subject).outcome is Outcome.ALLOW


@pytest.mark.parametrize(("gate", "subject", "limit"), BOUNDING)
def test_gate_lets_some_nodes_through(gate, subject, limit):
    verdict = ask(gate, subject)
    assert (verdict.outcome, verdict.limit) == (Outcome.AT_MOST, limit)


@pytest.mark.parametrize("gate", ["lease", "freeze"])
def test_gate_of_writing_is_not_evaluated_where_the_mode_writes_nothing(gate):
    for mode in Mode:
        verdict = ask(gate, case(limits=Limits(mode=mode)))
        assert (verdict.outcome is Outcome.NOT_EVALUATED) is not mode.writes


def test_a_verdict_tells_its_numbers_to_six_decimals():
    assert Reply(GateName.FIT).allow("yes", share=1.0 / 3.0).numbers == (("share", 0.333333),)


@pytest.mark.parametrize(
    ("least_loss", "reason"),
    [
        (
            "zone us-east-1a",
            "shop/Deployment/api can spare 3 pods beyond the loss of zone us-east-1a",
        ),
        ("", "shop/Deployment/api can spare 3 pods"),
    ],
)
@pytest.mark.parametrize("n_safe", [0, 3])
def test_the_gate_of_safety_says_what_can_be_spared_beyond_which_loss(least_loss, reason, n_safe):
    losses = safety(least_loss=least_loss, safe_by_word_nodes=n_safe)
    assert ask("pool_safety", case(pool=pool_input(safety=losses))).reason == reason


def test_what_was_not_evaluated_refuses_only_where_the_mode_writes():
    verdict = Reply(GateName.FIT).not_evaluated("no input")
    for mode in Mode:
        assert combine([verdict], mode).refused is mode.writes


def test_fit_is_not_evaluated_only_where_nobody_is_known_to_make_nodes():
    unknown = pool_input(provisioner=ProvisionerKind.UNKNOWN, **UNSERVED)
    assert fit(case(DOWN, pool=unknown)).outcome is Outcome.NOT_EVALUATED
    for provisioner in (ProvisionerKind.CLUSTER_AUTOSCALER, ProvisionerKind.MANAGED_NODE_GROUP):
        known = replace(unknown, provisioner=provisioner)
        verdict = fit(case(DOWN, pool=known))
        assert verdict.outcome is Outcome.ALLOW
        assert "placeholders prove it before any eviction" in verdict.reason


@pytest.mark.parametrize(
    ("name", "proposed", "fix"),
    [
        ("web-spot", DOWN, "on-demand: add a twin that does, named web-od"),
        ("web-od", UP, "Spot: add a twin that does, named web-spot"),
        (
            "web",
            DOWN,
            "on-demand: add one that does, and label the nodes of both spotvortex.io/pool=web",
        ),
    ],
)
def test_fit_names_the_twin_that_a_node_group_lacks(name, proposed, fix):
    alone = pool_input(
        pool=name,
        provisioner=ProvisionerKind.MANAGED_NODE_GROUP,
        allows_spot=proposed is DOWN,
        allows_on_demand=proposed is UP,
    )
    verdict = fit(case(proposed, pool=alone))
    assert verdict.outcome is Outcome.REFUSE
    assert verdict.reason == f"no node group of this pool buys {fix}"


def test_fit_tells_the_numbers_that_it_compared():
    short = fit(case(DOWN, pool=to_on_demand(cpu_left_milli=899)))
    assert short.numbers == (("left", 899), ("asked", 900))
    unserved = fit(case(UP, pool=pool_input(**UNSERVED)))
    assert dict(unserved.numbers) == {
        "largest_cpu_milli": 4000,
        "cpu_milli": 900,
        "memory_mib": 3072,
    }
    assert "sizes unknown" in fit(case(DOWN, pool=to_on_demand(sizes_known=False))).reason


@pytest.mark.parametrize(
    ("gate", "subject", "left_s"),
    [
        ("cooldown", case(DOWN, state=after(299.87654)), 0.123),
        ("cooldown", case(UP, state=after(301.0, 599.87654)), 0.123),
        ("budgets", case(DOWN, state=after(SHOWS_S - 0.12346)), 0.123),
    ],
)
def test_a_gate_that_waits_tells_to_the_millisecond_how_long(gate, subject, left_s):
    assert dict(ask(gate, subject).numbers)["left_s"] == left_s


rooms = st.builds(
    room,
    n_placed=st.integers(1, 10),
    cpu_left_milli=st.none() | st.integers(0, 20_000),
    memory_left_mib=st.none() | st.integers(0, 80_000),
    nodes_left=st.none() | st.integers(0, 6),
)
sizes = st.tuples(st.integers(0, 4000), st.integers(0, 16 * GIB))


@odd.many
@given(rooms, st.lists(sizes, max_size=5), st.integers(0, 5000))
def test_more_room_never_lets_fewer_nodes_through_and_never_more_than_fit(found, needs, more):
    wave = tuple(
        candidate(f"s{i}", workload_cpu_milli=cpu, workload_memory_bytes=memory)
        for i, (cpu, memory) in enumerate(needs)
    )

    def n_let(seen):
        data = pool_input(room_on_demand=seen, to_on_demand=wave)
        ruling = combine([fit(case(DOWN, pool=data))], Mode.ACTIVE)
        return 0 if ruling.refused else len(wave) if ruling.limit is None else ruling.limit

    n = n_let(found)
    assert n <= min(len(wave), found.n_placed)
    assert found.nodes_left is None or n <= found.nodes_left
    assert found.cpu_left_milli is None or sum(cpu for cpu, _ in needs[:n]) <= found.cpu_left_milli
    if found.cpu_left_milli is not None:
        assert n_let(replace(found, cpu_left_milli=found.cpu_left_milli + more)) >= n
        assert n_let(replace(found, cpu_left_milli=None)) >= n


@pytest.mark.parametrize(
    ("n_failed", "seconds"), [(0, 600.0), (1, 1200.0), (4, 9600.0), (5, 14_400.0), (99, 14_400.0)]
)
def test_the_dwell_doubles_with_each_failed_return_up_to_its_bound(n_failed, seconds):
    assert dwell_s(PoolState(n_failed_returns=n_failed), capped(), None) == seconds


@pytest.mark.parametrize(
    ("payback_hours", "least_s", "seconds"),
    [(0.1, 0.0, 360.0), (0.1, 600.0, 600.0), (2.0, 600.0, 7200.0), (9.0, 0.0, 14_400.0)],
)
def test_a_return_waits_as_long_as_it_takes_to_pay_back(payback_hours, least_s, seconds):
    assert dwell_s(PoolState(), Limits(dwell_s=least_s), payback_hours) == pytest.approx(seconds)


def test_without_a_cap_no_risk_speaks_against_a_return():
    pool = pool_input(entry_risk=risk_of(0.99))
    returning = case(UP, state=after(700.0, 700.0), pool=pool, limits=Limits())
    assert cooldown(returning).outcome is Outcome.AT_MOST


def test_a_bound_below_the_dwell_itself_does_not_shorten_it():
    short = Limits(dwell_s=600.0, max_dwell_s=60.0)
    assert dwell_s(PoolState(n_failed_returns=3), short, None) == 600.0


def test_the_risk_of_a_return_must_be_below_a_share_of_the_threshold():
    """0.8 of 0.35: exactly that is not yet clearly low."""
    for risk, outcome in ((0.28, Outcome.REFUSE), (0.2799, Outcome.AT_MOST)):
        pool = pool_input(entry_risk=risk_of(risk))
        returning = case(UP, state=after(700.0, 700.0), pool=pool, limits=capped())
        assert cooldown(returning).outcome is outcome


def test_headroom_without_allocatable_figures_is_not_evaluated():
    full = pool_input(cpu_requested_ratio=None, memory_requested_ratio=None)
    assert utilisation_headroom(case(DOWN, pool=full)).outcome is Outcome.NOT_EVALUATED


def test_all_gates_answer_in_order_whatever_the_others_say():
    worst = case(pool=pool_input(bad_inputs=("nodes",), unsupported=("x9",)))
    assert tuple(v.gate for v in evaluate(worst)) == tuple(GateName)


EVERYTHING_WRONG = pool_input(
    bad_inputs=("nodes",),
    unsupported=("x9",),
    confidence_terms=(("scores", 0.0),),
    out_of_range=("m6i.large/a",),
    safety=safety(known=False),
    allows_on_demand=False,
    to_on_demand=(),
    to_spot=(),
    n_spot_movable=0,
    n_moving=9,
    cpu_requested_ratio=1.0,
)


def refused(action, reason="emergency_risk", **changes):
    subject = case(action, reason, pool=EVERYTHING_WRONG, state=after(1.0), **changes)
    return {v.gate for v in evaluate(subject) if v.outcome is Outcome.REFUSE}


BODY = {"input_freshness", "fit", "budgets", "do_not_disrupt"}


@pytest.mark.parametrize(
    ("action", "reason", "obeyed"),
    [
        (EXIT, "emergency_risk", set()),
        (EXIT, "best_q_value", {"confidence", "cooldown"}),
        (EXIT, "unsupported_family", {"model_scope"}),
        (DOWN, "above_max_spot_ratio", {"cooldown"}),
        (DOWN, "unsafe_loss", {"cooldown", "pool_safety"}),
        (DOWN, "medium_risk", {"confidence", "cooldown"}),
        (DOWN, "best_q_value", {"confidence", "cooldown"}),
        (DOWN, "expected_loss", {"model_scope", "confidence", "cooldown"}),
    ],
)
def test_a_move_waits_only_for_the_concerns_that_bind_its_kind(action, reason, obeyed):
    assert refused(action, reason) == BODY | obeyed


def test_growth_waits_for_everything():
    subject = case(UP, pool=replace(EVERYTHING_WRONG, n_on_demand_movable=0, allows_spot=False))
    found = {v.gate for v in evaluate(replace(subject, economics=Economics())) if v.limit is None}
    doubts = {"model_scope", "confidence", "market", "out_of_distribution", "pool_safety"}
    assert found >= BODY | doubts


def test_a_decrease_for_risk_is_as_sure_as_its_scores_whatever_the_prices():
    """`history` is of prices, `prices` is theirs, `freshness` has a gate of its own."""
    blind = (("freshness", 0.5), ("history", 0.5), ("prices", 0.0), ("scores", 0.75))
    for action, reason, outcome in (
        (DOWN, "high_risk", Outcome.ALLOW),
        (DOWN, "expected_loss", Outcome.REFUSE),
        (UP, "economic_increase", Outcome.REFUSE),
    ):
        verdict = ask("confidence", case(action, reason, pool=pool_input(confidence_terms=blind)))
        assert verdict.outcome is outcome
    unsure = pool_input(confidence_terms=(("prices", 1.0), ("scores", 0.4)))
    verdict = ask("confidence", case(DOWN, "high_risk", pool=unsure))
    assert (verdict.outcome, dict(verdict.numbers)["confidence"]) == (Outcome.REFUSE, 0.4)


def test_what_does_not_bind_a_move_cannot_refuse_it_by_silence_either():
    silent = Gate(GateName.MARKET, lambda _, reply: reply.not_evaluated("?"), Concern.MARKET)
    for reason, outcome in (("high_risk", Outcome.ALLOW), ("expected_loss", Outcome.NOT_EVALUATED)):
        assert told(silent, case(DOWN, reason)).outcome is outcome


def test_exit_for_an_unsupported_family_waits_until_it_is_switched_on():
    assert "model_scope" in refused(EXIT, "unsupported_family")
    assert "model_scope" not in refused(EXIT, "unsupported_family", limits=SWITCHED_ON)


def test_a_skipped_refusal_still_says_what_it_was():
    skipped = case(EXIT, "emergency_risk", state=after(1.0))
    verdict = next(v for v in evaluate(skipped) if v.gate == "cooldown")
    assert verdict.outcome is Outcome.ALLOW
    assert verdict.reason.startswith("EMERGENCY_EXIT does not wait for this: the last wave")


verdicts = st.builds(
    Verdict,
    gate=st.sampled_from(GateName),
    outcome=st.sampled_from(Outcome),
    reason=st.just("because"),
    limit=st.one_of(st.none(), st.integers(-1, 9)),
)
moving_actions = st.sampled_from([a for a in Action if a is not HOLD])


def wave_size(given_verdicts, action, mode=Mode.SHADOW):
    ruling = combine(given_verdicts, mode)
    wave = plan_wave(pool_input(), proposal(action, "high_risk"), ruling, Limits())
    return len(wave.moves)


@odd.many
@given(st.lists(verdicts, max_size=6), verdicts, moving_actions, st.sampled_from(Mode))
def test_one_more_verdict_never_enlarges_the_wave(some, another, action, mode):
    assert wave_size([*some, another], action, mode) <= wave_size(some, action, mode)


def stricter(verdict, by):
    if by == "refuse":
        return replace(verdict, outcome=Outcome.REFUSE)
    return replace(verdict, limit=0 if verdict.limit is None else verdict.limit - 1)


@odd.many
@given(
    st.lists(verdicts, min_size=1, max_size=6),
    moving_actions,
    st.sampled_from(["refuse", "less"]),
    st.data(),
)
def test_a_stricter_verdict_never_enlarges_the_wave(some, action, by, data):
    i = data.draw(st.integers(0, len(some) - 1))
    changed = [*some[:i], stricter(some[i], by), *some[i + 1 :]]
    assert wave_size(changed, action) <= wave_size(some, action)


@odd.many
@given(st.lists(verdicts, max_size=6), moving_actions)
def test_a_wave_obeys_every_limit_and_a_refusal_gives_hold(some, action):
    ruling = combine(some, Mode.SHADOW)
    wave = plan_wave(pool_input(), proposal(action, "high_risk"), ruling, Limits())
    assert all(len(wave.moves) <= max(0, v.limit) for v in some if v.limit is not None)
    if any(v.outcome is Outcome.REFUSE for v in some):
        assert (wave.action, wave.moves) == (Action.HOLD, ())


def test_the_first_refusal_is_named():
    allowed = Reply(GateName.LEASE).allow("")
    refused_by = [Reply(name).refuse("") for name in (GateName.MARKET, GateName.FIT)]
    ruling = combine([allowed, *refused_by], Mode.ACTIVE)
    assert (ruling.refused, ruling.first_refusal) == (True, GateName.MARKET)
