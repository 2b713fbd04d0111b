"""A family outside the model's scope holds its own nodes; the rest of the pool goes on."""

from dataclasses import replace

import pytest
from hypothesis import given

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.moves import MoveKind
from spotvortex.core.domain.types import Action, CapacityType, Offering
from spotvortex.core.pool.input import MAX_CANDIDATES
from tests.core import odd
from tests.core.builders import (
    WEB_A,
    assessed_with,
    capped,
    market,
    observation,
    on_demand,
    pool,
    quote,
    score,
    spot,
)

STRANGE = Offering(instance_type="x9g.large", zone="us-east-1a")
WIDE = capped(max_pool_disruption_ratio=1.0, max_cluster_disruption_ratio=1.0)
EXITS = replace(WIDE, exit_unsupported=True)


def planned(*nodes, limits=WIDE, risk=0.03):
    """The decision for one pool whose known offerings have one score, and the uids that move."""
    scores = {
        n.offering: score(n.offering, runtime_score=risk, in_scope=n.offering != STRANGE)
        for n in nodes
    }
    quotes = market(*(quote(o) for o in scores))
    observed = replace(observation(pool(nodes=nodes)), market=quotes)
    _, plan = reconcile(ControllerState(), assessed_with(observed, scores, limits), limits)
    (decision,) = plan.decisions
    return decision, {order.node for order in plan.orders}


def mixed(n_spot, n_on_demand):
    """A pool with one strange node of each kind beside the known ones."""
    known = [spot(f"s{i}", WEB_A) for i in range(n_spot)]
    known += [on_demand(f"d{i}", WEB_A) for i in range(n_on_demand)]
    return (*known, spot("odd-s", STRANGE), on_demand("odd-d", STRANGE))


def test_the_rest_of_the_pool_grows_with_undiminished_confidence():
    decision, moved = planned(*mixed(2, 4))
    assert decision.action is Action.INCREASE_30
    assert moved
    assert not moved & {"odd-s", "odd-d"}
    assert decision.input.unsupported == ("x9g",)
    assert decision.input.confidence == planned(*mixed(2, 4)[:-2])[0].input.confidence


@pytest.mark.parametrize(("risk", "n_nodes"), [(0.7, 2), (0.95, 3)])
def test_the_rest_of_the_pool_is_left_for_its_risk(risk, n_nodes):
    decision, moved = planned(*mixed(3, 1), risk=risk)
    assert decision.proposal.kind in (MoveKind.RISK, MoveKind.EMERGENCY)
    assert (len(moved), moved & {"odd-s"}) == (n_nodes, set())
    assert decision.target_ratio >= 1 / 6 - 1e-9


def test_a_pool_of_strange_nodes_alone_has_nothing_to_fall_back_with():
    decision, moved = planned(spot("odd", STRANGE), risk=0.95)
    assert (decision.proposal.kind, decision.refused_by) == (
        MoveKind.UNSUPPORTED,
        ("model_scope",),
    )
    assert not moved


def test_an_exit_that_is_switched_on_takes_its_own_nodes_alone():
    decision, moved = planned(*mixed(4, 2), limits=EXITS)
    assert (decision.action, decision.reason) == (Action.EMERGENCY_EXIT, "unsupported_family")
    assert moved == {"odd-s"}
    assert decision.target_ratio == pytest.approx(4 / 8)
    decision, moved = planned(*mixed(4, 2)[:-2], limits=EXITS)
    assert decision.action is Action.INCREASE_30


def test_more_strange_nodes_than_a_wave_hide_no_node_that_may_move():
    strange = tuple(spot(f"odd{i:02}", STRANGE) for i in range(MAX_CANDIDATES + 3))
    known = tuple(spot(f"s{i}", WEB_A) for i in range(2))
    _, moved = planned(*strange, *known, risk=0.95)
    assert moved == {"s0", "s1"}
    _, moved = planned(*strange, *known, limits=EXITS)
    assert len(moved) == MAX_CANDIDATES
    assert all(name.startswith("odd") for name in moved)
    _, moved = planned(*strange, *known, limits=replace(WIDE, max_spot_ratio=0.0))
    assert moved
    assert moved >= {"s0", "s1"}


@odd.many
@given(odd.scenes(), odd.limits, odd.policies)
def test_only_an_owners_word_or_its_own_exit_moves_a_node_outside_the_scope(scene, limits, policy):
    limits = replace(limits, policy_mode=policy)
    assessed = assessed_with(scene.observation, scene.scores, limits)
    _, plan = reconcile(ControllerState(), assessed, limits)
    outside = {o for o, s in scene.scores.items() if not s.in_scope}
    for decision in plan.decisions:
        for move in decision.moves:
            strange = move.candidate.offering in outside
            assert move.candidate.in_scope is not strange
            if strange:
                assert move.to is CapacityType.ON_DEMAND
                assert decision.proposal.kind in (MoveKind.OWNER, MoveKind.UNSUPPORTED)
            else:
                assert decision.proposal.kind is not MoveKind.UNSUPPORTED
