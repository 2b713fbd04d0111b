"""A pool of which one loss would take too much leaves Spot as far as that helps, if switched on."""

from dataclasses import replace

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import MoveKind
from spotvortex.core.domain.observation import BlockedWorkload, NodeGroupFact
from spotvortex.core.domain.types import Action, Blocker, CapacityType, Mode, PolicyMode
from tests.core.builders import (
    AT,
    WEB_A,
    WEB_B,
    assessed_with,
    load,
    observation,
    on_demand,
    placed,
    pool,
    score,
    spot,
    work,
)

ON = Limits(mode=Mode.ADVISE, reduce_unsafe=True, settle_s=0.0, max_pool_disruption_ratio=0.5)
NODES = (
    *(spot(f"a{i}", WEB_A) for i in range(4)),
    *(spot(f"b{i}", WEB_B) for i in range(4)),
    *(on_demand(f"d{i}", WEB_B) for i in range(2)),
)
WEB = work(healthy_by_node=(("a2", 3), ("a3", 3), ("b0", 1), ("d0", 1)))


def plan_for(
    nodes=NODES, web=WEB, limits=ON, at=AT, state=None, prices=True, scored=True, groups=()
):
    facts = pool(nodes=nodes, workloads=(web,), node_groups=groups)
    observed = replace(observation(facts), at=at)
    if not prices:
        observed = replace(observed, market=replace(observed.market, quotes={}))
    known = {o: score(o) for o in (WEB_A, WEB_B)} if scored else {}
    after, plan = reconcile(
        state or ControllerState(), assessed_with(observed, known, limits), limits
    )
    return plan.decisions[0], after


def moved(decision):
    return {move.candidate.node for move in decision.moves}


def test_only_nodes_whose_leaving_helps_are_moved_without_any_price_or_score():
    decision, _ = plan_for(prices=False, scored=False)
    assert (decision.action, decision.reason) == (Action.DECREASE_10, "unsafe_loss")
    assert decision.proposal.kind is MoveKind.SAFETY
    assert moved(decision) <= {"a2", "a3"}
    assert moved(decision)


def test_a_node_that_no_node_pool_can_take_stands_behind_those_that_one_can():
    bound = load(blocked=(BlockedWorkload(blocker=Blocker.VOLUME, workload="shop/Deployment/api"),))
    nodes = tuple(replace(n, load=bound) if n.name in {"a2", "a3"} else n for n in NODES)
    elsewhere = NodeGroupFact(name="web", pool="web", zones=(WEB_B.zone,))
    decision, _ = plan_for(nodes=nodes, groups=(elsewhere,))
    assert decision.proposal.reason != "unsafe_loss"
    assert decision.input.safety.n_relieving == 0
    assert {c.node for c in decision.input.to_on_demand[:5]}.isdisjoint({"a2", "a3"})


def test_switched_off_it_is_told_and_nothing_moves():
    decision, _ = plan_for(limits=replace(ON, reduce_unsafe=False))
    assert decision.action.away_from_spot is False
    assert decision.input.safety.n_breaking == 1


def test_it_counts_under_the_learned_policy_too():
    decision, _ = plan_for(limits=replace(ON, policy_mode=PolicyMode.RL))
    assert decision.proposal.kind is MoveKind.SAFETY


def test_it_ends_where_no_loss_takes_too_much_and_is_not_undone():
    """Waves are carried out in a clone until there is none; then growth brings nothing back."""
    nodes, state, at = NODES, ControllerState(), AT
    for _ in range(8):
        decision, state = plan_for(nodes=nodes, web=placed(WEB, *nodes), state=state, at=at)
        if decision.proposal.kind is not MoveKind.SAFETY:
            break
        gone = moved(decision)
        nodes = tuple(
            replace(n, capacity_type=CapacityType.ON_DEMAND) if n.name in gone else n for n in nodes
        )
        at += 3600.0
    assert decision.input.safety.n_breaking == 0
    assert {n.name for n in nodes if n.capacity_type is CapacityType.ON_DEMAND} <= {
        *("a2", "a3"),
        *("d0", "d1"),
    }
    assert state.pools["web"].fell_from is None
    for i in range(5):
        later, state = plan_for(nodes=nodes, web=placed(WEB, *nodes), state=state, at=at + i * 1e5)
        assert not moved(later) & {"a2", "a3"}
