"""One cycle of decisions: what must hold for every plan, however odd the observation."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.decision.reconcile import decide, reconcile, reconcile_steps
from spotvortex.core.decision.rule_policy import max_ratio
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.labels import MAX_SPOT_RATIO
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.moves import MoveKind
from spotvortex.core.domain.observation import ClusterFacts, NodeGroupFact, WriteAuthority
from spotvortex.core.domain.types import Action, CapacityType, GateName, Mode, Outcome
from spotvortex.core.record.record import record_of
from tests.core import odd
from tests.core.builders import (
    AT,
    WEB_A,
    WEB_B,
    assessed_with,
    assessment,
    capped,
    cluster,
    health,
    market,
    observation,
    on_demand,
    plan_for,
    pool,
    quote,
    score,
    spot,
)

NO_STATE = ControllerState()
EAGER = capped(max_pool_disruption_ratio=1.0, max_cluster_disruption_ratio=1.0)


def decided(assessed, limits=None, state=NO_STATE):
    return reconcile(state, assessed, limits or capped())[1]


def by_pool(plan):
    return {d.pool: d for d in plan.decisions}


def check_decision(decision, limits):
    assert tuple(v.gate for v in decision.verdicts) == tuple(GateName)
    assert decision.n_nodes == len(decision.moves) <= limits.max_wave_nodes
    assert (decision.action is Action.HOLD) == (decision.n_nodes == 0)
    assert decision.action in (Action.HOLD, decision.proposal.action)
    assert all(decision.n_nodes <= v.limit for v in decision.verdicts if v.limit is not None)
    if decision.refused_by:
        assert decision.action is Action.HOLD
    pool = decision.input
    towards = decision.action.towards_spot
    candidates = set(pool.to_spot if towards else pool.to_on_demand)
    assert {m.candidate for m in decision.moves} <= candidates
    if towards:
        ratio = (pool.n_spot + decision.n_nodes) / pool.n_counted
        assert ratio <= max_ratio(pool, limits) + 1e-9
        left = pool.n_on_demand + pool.n_reserved - pool.n_moving - decision.n_nodes
        assert limits.on_demand_floor_nodes == 0 or left >= limits.on_demand_floor_nodes


def check_plan(plan, limits):
    assert [d.pool for d in plan.decisions] == sorted(d.pool for d in plan.decisions)
    for decision in plan.decisions:
        check_decision(decision, limits)
    n_nodes = sum(d.input.n_counted for d in plan.decisions)
    n_moving = sum(d.input.n_moving for d in plan.decisions)
    n_moves = sum(d.n_nodes for d in plan.decisions)
    share = max(1, int(n_nodes * limits.max_cluster_disruption_ratio + 1e-9))
    assert n_moves == len(plan.orders) <= max(0, share - n_moving)
    assert len({o.uid for o in plan.orders}) == n_moves


@odd.many
@given(odd.assessments, odd.limits)
def test_every_plan_obeys_gates_budgets_cap_and_floor(assessed, limits):
    check_plan(decided(assessed, limits), limits)


@odd.few
@given(odd.scenes(), odd.limits)
def test_a_pool_without_scores_never_moves(scene, limits):
    """A model failure alone causes no eviction, however it is told; an owner's word needs none."""
    abstained = {
        o: replace(s, capacity_score=float("nan"), runtime_score=None, in_scope=True)
        for o, s in scene.scores.items()
    }
    for scores in ({}, abstained):
        plan = decided(replace(scene, scores=scores).assessed(), limits)
        assert {d.proposal.kind for d in plan.decisions if d.moves} <= {MoveKind.OWNER}


@odd.few
@given(odd.scenes(), odd.limits)
def test_without_inputs_nothing_moves(scene, limits):
    observed = scene.observation
    blind = replace(observed, cluster=replace(observed.cluster, inputs=()))
    assert decided(replace(scene, observation=blind).assessed(), limits).orders == ()


@odd.few
@given(odd.scenes(), odd.limits)
def test_without_prices_nothing_moves_towards_spot(scene, limits):
    bare = replace(scene.observation, market=MarketFacts())
    plan = decided(replace(scene, observation=bare).assessed(), limits)
    assert all(o.to is CapacityType.ON_DEMAND for o in plan.orders)


@odd.few
@given(odd.assessments, odd.limits)
def test_a_mode_that_writes_moves_nothing_without_the_lease(assessed, limits):
    plan = decided(assessed, replace(limits, mode=Mode.ACTIVE))
    assert plan.orders == ()


@odd.many
@given(odd.assessments, odd.limits, st.sampled_from([Mode.CANARY, Mode.ACTIVE]))
def test_every_plan_of_a_mode_that_writes_obeys_the_same_bounds(assessed, limits, mode):
    leading = replace(assessed.observation, standing=WriteAuthority(leader=True))
    limits = replace(limits, mode=mode)
    plan = decided(replace(assessed, observation=leading), limits)
    check_plan(plan, limits)
    assert all(o.mode is mode for o in plan.orders)
    if mode is Mode.CANARY:
        assert all(d.n_nodes <= limits.canary_nodes for d in plan.decisions)


def shuffled(scene, rng):
    observed = scene.observation
    pools = [
        replace(
            p,
            nodes=tuple(rng.sample(p.nodes, len(p.nodes))),
            pdbs=tuple(rng.sample(p.pdbs, len(p.pdbs))),
        )
        for p in rng.sample(observed.cluster.pools, len(observed.cluster.pools))
    ]
    inputs = observed.cluster.inputs
    quotes = list(observed.market.quotes.items())
    said = observed.market.commitments
    scores = list(scene.scores.items())
    return replace(
        scene,
        observation=replace(
            observed,
            cluster=ClusterFacts(pools=tuple(pools), inputs=tuple(rng.sample(inputs, len(inputs)))),
            market=replace(
                observed.market,
                quotes=dict(rng.sample(quotes, len(quotes))),
                commitments=replace(said, items=tuple(rng.sample(said.items, len(said.items)))),
            ),
        ),
        scores=dict(rng.sample(scores, len(scores))),
    )


@odd.few
@given(odd.scenes(), odd.limits, st.randoms(use_true_random=False))
def test_the_order_of_inputs_never_matters(scene, limits, rng):
    plain, mixed = (decided(s.assessed(), limits) for s in (scene, shuffled(scene, rng)))
    assert mixed.decisions == plain.decisions
    assert mixed.orders == plain.orders
    assert [record_of(d, "", "1").line for d in mixed.decisions] == [
        record_of(d, "", "1").line for d in plain.decisions
    ]


@odd.few
@given(odd.assessments, odd.limits)
def test_the_same_input_gives_the_same_plan(assessed, limits):
    assert repr(decided(assessed, limits)) == repr(decided(assessed, limits))


DIGEST = """
import hashlib
from tests.core.decision.test_reconcile import mixed_scene
print(hashlib.sha256(repr(mixed_scene()).encode()).hexdigest())
"""


def mixed_scene():
    """Three cycles over pools that leave, enter and hold, with the state carried on."""
    pools = [pool("calm"), pool("full", n_spot=8, n_on_demand=0), pool("none", n_spot=0)]
    state, plans = NO_STATE, []
    for cycle, risk in enumerate((0.03, 0.95, 0.4)):
        observed = replace(observation(*pools), cycle=cycle, at=AT + 300.0 * cycle)
        state, plan = reconcile(state, assessment(observed, runtime_score=risk), EAGER)
        plans.append(plan)
    return plans


@pytest.mark.program
def test_the_same_input_gives_the_same_plan_under_two_hash_seeds():
    digests = {hashlib.sha256(repr(mixed_scene()).encode()).hexdigest()}
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, check=True
        )
        digests.add(done.stdout.decode().strip())
    assert len(digests) == 1


def test_a_calm_cheap_pool_grows_by_one_node_at_a_time():
    plan, _ = plan_for(pool())
    (decision,) = plan.decisions
    assert (decision.action, decision.n_nodes) == (Action.INCREASE_30, 1)
    assert decision.target_ratio == pytest.approx(0.5)
    assert decision.savings_usd_per_hour == pytest.approx(0.07)
    assert decision.economics.discount_ratio == pytest.approx(0.7)


def test_a_fall_back_is_valued_by_what_it_gives_up():
    plan, _ = plan_for(pool(n_spot=8, n_on_demand=2), runtime_score=0.5)
    (decision,) = plan.decisions
    assert decision.action is Action.DECREASE_10
    assert decision.savings_usd_per_hour == pytest.approx(-0.07)


def test_a_fall_back_without_prices_has_no_figure():
    quotes = market(quote(WEB_A, on_demand_usd_per_hour=None), quote(WEB_B, spot_usd_per_hour=None))
    observed = replace(observation(pool(n_spot=8)), market=quotes)
    (decision,) = decided(assessment(observed, runtime_score=0.95)).decisions
    assert (decision.action, decision.n_nodes) == (Action.EMERGENCY_EXIT, 1)
    assert decision.savings_usd_per_hour is None


def test_emergencies_take_from_the_budget_first_then_the_riskiest_then_by_name():
    pools = (pool("a"), pool("b", n_spot=8, n_on_demand=2), pool("c", n_spot=8, n_on_demand=2))
    observed = observation(*pools)
    limits = capped(max_cluster_disruption_ratio=0.01)

    def movers(risk_of_b, risk_of_c):
        own = {"b": risk_of_b, "c": risk_of_c}
        scored = {}
        renamed = []
        for p in observed.cluster.pools:
            nodes = tuple(
                replace(n, offering=n.offering._replace(zone=f"{p.name}1")) for n in p.nodes
            )
            offering = nodes[0].offering
            scored[offering] = score(offering, runtime_score=own.get(p.name, 0.03))
            renamed.append(replace(p, nodes=nodes))
        scene = replace(
            observed,
            cluster=cluster(*renamed),
            market=market(*(quote(o) for o in scored)),
        )
        plan = decided(assessed_with(scene, scored), limits)
        return [d.pool for d in plan.decisions if d.n_nodes]

    assert movers(0.03, 0.9) == ["c"]
    assert movers(0.5, 0.9) == ["c"]
    assert movers(0.7, 0.5) == ["b"]
    assert movers(0.5, 0.7) == ["c"]
    assert movers(0.95, 0.95) == ["b"]
    assert movers(0.03, 0.03) == ["a"]


def test_a_price_that_is_rounded_to_nothing_is_unknown_and_ends_no_cycle():
    tiny = market(quote(WEB_A, on_demand_usd_per_hour=4e-7), quote(WEB_B, spot_usd_per_hour=4e-7))
    (decision,) = decided(assessment(observation(pool(), market=tiny))).decisions
    assert (decision.proposal.reason, decision.economics.discount_ratio) == ("price_unknown", None)


def test_nodes_that_others_move_use_up_the_budget():
    busy = pool("busy", nodes=(spot("x1", moving=True), spot("x2", cordoned=True)))
    plan, _ = plan_for(pool(), busy)
    assert by_pool(plan)["web"].refused_by == ("budgets",)
    assert plan.orders == ()


def test_orders_name_node_claim_and_deadline():
    plan, _ = plan_for(pool())
    (order,) = plan.orders
    assert (order.node, order.uid, order.claim) == ("web-d0", "uid-web-d0", "claim-web-d0")
    assert (order.to, order.deadline) == (CapacityType.SPOT, AT + 1800.0)
    assert order.plan_id == plan.decisions[0].decision_id
    assert order.reason == "INCREASE_30 economic_increase"


def test_ids_differ_by_pool_cycle_and_time_and_by_nothing_else():
    plan, _ = plan_for(pool("a"), pool("b"))
    again, _ = plan_for(pool("a"), pool("b"), runtime_score=0.9)
    assert len({d.decision_id for d in plan.decisions}) == 2
    assert [d.decision_id for d in again.decisions] == [d.decision_id for d in plan.decisions]


def test_a_wave_is_remembered_and_the_pool_settles_and_dwells():
    _, state = plan_for(pool(n_spot=8, n_on_demand=2), runtime_score=0.95)
    remembered = state.pools["web"]
    assert remembered == PoolState(
        target_ratio=0.0,
        last_wave_at=AT,
        last_decrease_at=AT,
        last_action=Action.EMERGENCY_EXIT,
        fell_from=0.8,
    )
    for after_s, holds in ((299.0, True), (599.0, True), (600.0, False)):
        observed = replace(observation(pool()), at=AT + after_s)
        plan = decided(assessment(observed), state=state)
        assert (plan.orders == ()) is holds


def test_growth_keeps_the_time_of_the_last_fall_back():
    state = ControllerState(pools={"web": PoolState(last_decrease_at=AT - 900.0)})
    _, after = plan_for(pool(), state=state)
    assert after.pools["web"].last_decrease_at == AT - 900.0
    assert after.pools["web"].last_wave_at == AT


def test_hold_keeps_the_times_and_a_pool_that_is_gone_is_forgotten():
    state = ControllerState(pools={"web": PoolState(last_wave_at=1.0), "old": PoolState()})
    _, after = plan_for(pool(n_on_demand=0), state=state)
    assert set(after.pools) == {"web"}
    assert after.pools["web"].last_wave_at == 1.0
    assert after.pools["web"].last_action is Action.HOLD


def test_an_unsupported_family_is_recorded_and_leaves_only_when_switched_on():
    facts = pool(n_spot=8)
    plan, _ = plan_for(facts, in_scope=False, runtime_score=None, capacity_score=None)
    (decision,) = plan.decisions
    assert decision.proposal.action is Action.EMERGENCY_EXIT
    assert (decision.action, decision.refused_by) == (Action.HOLD, ("model_scope",))
    plan, _ = plan_for(
        facts,
        limits=capped(exit_unsupported=True),
        in_scope=False,
        runtime_score=None,
        capacity_score=None,
    )
    assert plan.decisions[0].action is Action.EMERGENCY_EXIT


@pytest.mark.parametrize("name", ["confidence", "cooldown", "model_scope", "out_of_distribution"])
def test_an_exit_goes_on_where_another_action_would_wait(name):
    wrong = {
        "confidence": {"n_history": 0, "in_range": False},
        "model_scope": {},
        "out_of_distribution": {"in_range": False},
        "cooldown": {},
    }[name]
    nodes = tuple(spot(f"s{i}") for i in range(8))
    if name == "model_scope":
        nodes = (*nodes, on_demand("d1", WEB_A._replace(instance_type="x9.large")))
    state = ControllerState(pools={"web": PoolState(last_wave_at=AT - 20.0)})
    observed = observation(pool(nodes=nodes))
    scores = {
        n.offering: score(
            n.offering, runtime_score=0.95, in_scope=n.offering.family == "m6i", **wrong
        )
        for n in nodes
    }
    scored = assessed_with(observed, scores)
    plan = decided(scored, state=state if name == "cooldown" else NO_STATE)
    (decision,) = plan.decisions
    assert decision.action is Action.EMERGENCY_EXIT
    verdict = next(v for v in decision.verdicts if v.gate == name)
    assert verdict.outcome is Outcome.ALLOW


@pytest.mark.parametrize("inputs", [(health("nodes", state=InputState.STALE),), ()])
def test_an_exit_waits_for_fresh_inputs(inputs):
    stale = cluster(pool(n_spot=8), inputs=inputs)
    observed = replace(observation(), cluster=stale)
    (decision,) = decided(assessment(observed, runtime_score=0.95)).decisions
    assert (decision.action, decision.refused_by) == (Action.HOLD, ("input_freshness",))


def test_an_empty_cluster_gives_an_empty_plan():
    plan, state = plan_for()
    assert (plan.decisions, plan.orders, state.pools) == ((), (), {})


def test_steps_pause_once_the_pools_are_in_order_and_after_each_decision():
    steps = reconcile_steps(NO_STATE, assessment(observation(pool("b"), pool("a"))), capped())
    assert next(steps) is None
    assert [decision.pool for decision in steps] == ["a", "b"]


def test_what_put_pools_in_order_is_decided_on_unless_a_pool_has_rules_of_its_own():
    said = NodeGroupFact(name="c", pool="c", rules=((MAX_SPOT_RATIO, "0.25"),))
    bound = pool("c", n_spot=8, node_groups=(said,))
    observed = assessment(observation(pool("a"), pool("b", n_spot=8), bound))
    _, plan = reconcile(NO_STATE, observed, capped())
    assert [decide(d.basis) for d in plan.decisions] == list(plan.decisions)
    assert len({d.basis.limits.max_spot_ratio for d in plan.decisions}) == 2


def test_a_cap_is_reached_and_then_kept():
    """Wave after wave, the ratio neither passes its cap nor swings around it."""
    limits = capped(max_spot_ratio=0.85, max_pool_disruption_ratio=1.0, max_wave_nodes=8)
    facts, state, sizes = pool(n_spot=0, n_on_demand=10), NO_STATE, []
    for cycle in range(6):
        observed = replace(observation(facts), at=AT + 600.0 * cycle)
        state, plan = reconcile(state, assessment(observed), replace(limits, **WHOLE_CLUSTER))
        moved = {o.node for o in plan.orders}
        nodes = tuple(
            replace(n, capacity_type=CapacityType.SPOT) if n.name in moved else n
            for n in facts.nodes
        )
        facts = replace(facts, nodes=nodes)
        sizes.append(sum(n.capacity_type is CapacityType.SPOT for n in nodes))
    assert sizes == [3, 6, 8, 8, 8, 8]


WHOLE_CLUSTER = {"max_cluster_disruption_ratio": 1.0}
