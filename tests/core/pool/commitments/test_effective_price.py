"""A node that a commitment pays for stays on-demand; all others cost what they cost today."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.economics import entry_economics, held_economics
from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import decide, reconcile
from spotvortex.core.domain.cloud.commitments import Commitments, CommitmentState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import (
    Action,
    CapacityType,
    GateName,
    Outcome,
    PolicyMode,
    ProposalReason,
)
from spotvortex.core.pool.commitments.coverage import Coverage
from spotvortex.core.pool.commitments.effective_price import (
    MAX_NAME,
    least_covered,
    marginal_usd_per_hour,
)
from spotvortex.core.pool.input import MAX_COMMITMENTS_NAMED, NO_COVER
from tests.core import odd
from tests.core.builders import (
    AT,
    CAPS,
    WEB_A,
    WEB_B,
    assessment,
    basis,
    market,
    observation,
    on_demand,
    plan_of,
    pool,
    quote,
    reserved,
    spot,
    stated,
)

RATE = 0.075
"""What one node of the tests draws from a Savings Plan of 25 %."""

WIDE = Limits(max_pool_disruption_ratio=1.0, max_cluster_disruption_ratio=1.0, min_confidence=0.0)


def assessed(*items, facts=None, **changes):
    found = market(commitments=stated(*items), **changes)
    return assessment(observation(facts or pool(n_spot=0, n_on_demand=4), market=found))


def plan_with(*items, limits=WIDE, **changes):
    _, plan = reconcile(ControllerState(), assessed(*items, **changes), limits)
    return plan


def decided(*items, **changes):
    (decision,) = plan_with(*items, **changes).decisions
    return decision


def test_only_nodes_that_no_commitment_pays_for_are_moved():
    decision = decided(plan_of(usd_per_hour=2 * RATE), facts=pool(n_spot=0, n_on_demand=5))
    assert decision.action.towards_spot
    assert decision.moves
    free = {"uid-web-d2", "uid-web-d3", "uid-web-d4"}
    assert {c.uid for c in decision.input.to_spot} == free
    assert {move.candidate.uid for move in decision.moves} <= free
    assert decision.input.commitments.n_covered == 2.0
    assert decision.input.commitments.n_kept == 2
    assert decision.input.commitments.by == ("sp",)


def test_where_a_commitment_pays_for_all_of_them_none_is_moved_and_the_reason_says_so():
    decision = decided(plan_of(usd_per_hour=10.0))
    assert decision.action is Action.HOLD
    assert decision.proposal.reason is ProposalReason.COVERED_BY_COMMITMENT
    assert decision.input.entry_money.marginal_usd_per_hour == 0.0
    assert decision.economics.saving_usd_per_hour == -0.03
    assert decision.economics.discount_ratio == pytest.approx(-0.3)
    assert decision.input.commitments.unused_usd_per_hour == 9.7


def test_the_price_at_the_margin_is_the_mean_of_what_nothing_pays_for():
    nodes = [on_demand("a"), on_demand("b"), on_demand("c")]
    shares = Coverage(shares={"uid-a": 1.0, "uid-b": 0.5})
    priced = [(node, quote()) for node in nodes]
    assert marginal_usd_per_hour(priced, shares) == 0.05
    assert marginal_usd_per_hour(priced[2:], shares) is None
    assert least_covered([], shares) == ()


def test_a_node_that_is_paid_for_in_part_moves_only_if_the_rest_is_worth_it():
    one = pool(nodes=(on_demand("d0"),))
    nearly = decided(plan_of(usd_per_hour=0.9 * RATE), facts=one)
    assert nearly.proposal.reason is ProposalReason.COVERED_BY_COMMITMENT
    hardly = decided(plan_of(usd_per_hour=0.1 * RATE), facts=one)
    assert hardly.action.towards_spot
    assert hardly.economics.saving_usd_per_hour == pytest.approx(0.06)


def test_an_interruption_costs_what_the_list_says_even_of_a_node_that_is_paid_for():
    (data,) = assessed(plan_of(usd_per_hour=10.0)).pools
    free = replace(data, entry_money=replace(data.entry_money, marginal_usd_per_hour=None))
    covered, listed = (entry_economics(d, Limits()) for d in (data, free))
    assert covered.risk_cost_usd_per_hour == listed.risk_cost_usd_per_hour
    assert covered.migration_usd == listed.migration_usd


def test_the_spot_that_is_held_is_valued_by_the_list():
    facts = pool(n_spot=2, n_on_demand=2)
    (data,) = assessed(plan_of(usd_per_hour=10.0), facts=facts).pools
    (before,) = assessed(facts=facts).pools
    assert held_economics(data, Limits()) == held_economics(before, Limits())


def test_protection_never_waits_for_commitments():
    facts = pool(n_spot=4, n_on_demand=4)
    for commitments in (Commitments(), Commitments(state=CommitmentState.UNREADABLE)):
        seen = observation(facts, market=market(commitments=commitments))
        scored = assessment(seen, runtime_score=0.95, capacity_score=0.95)
        limits = replace(WIDE, hold_unstated=True, **CAPS)
        _, plan = reconcile(ControllerState(), scored, limits)
        assert plan.decisions[0].action is Action.EMERGENCY_EXIT
        assert plan.decisions[0].moves


@pytest.mark.parametrize(
    ("state", "hold", "grows"),
    [
        (CommitmentState.UNSTATED, False, True),
        (CommitmentState.UNSTATED, True, False),
        (CommitmentState.UNREADABLE, False, False),
        (CommitmentState.UNREADABLE, True, False),
        (CommitmentState.STATED, False, True),
        (CommitmentState.STATED, True, True),
    ],
)
def test_growth_waits_for_a_statement_that_is_missing_or_broken(state, hold, grows):
    found = market(commitments=Commitments(state=state))
    limits = replace(WIDE, hold_unstated=hold)
    scored = assessment(observation(pool(n_spot=0, n_on_demand=4), market=found))
    _, plan = reconcile(ControllerState(), scored, limits)
    (decision,) = plan.decisions
    assert bool(decision.moves) is grows
    (verdict,) = [v for v in decision.verdicts if v.gate is GateName.MARKET]
    assert (verdict.outcome is Outcome.ALLOW) is grows
    if not grows:
        assert "commitments are" in verdict.reason


def test_a_network_cannot_grow_over_a_commitment_either():
    made = basis(assessed(plan_of(usd_per_hour=10.0)).pools[0])
    for_spot = (0.0, 0.0, 0.0, 0.0, 9.0, 0.0)
    limits = replace(WIDE, policy_mode=PolicyMode.RL)
    decision = decide(replace(made, pool=replace(made.pool, q_values=for_spot), limits=limits))
    assert decision.proposal.action.towards_spot
    assert decision.action is Action.HOLD
    (verdict,) = [v for v in decision.verdicts if v.gate is GateName.MARKET]
    assert verdict.reason == "a commitment pays for these nodes already"


def test_names_of_commitments_in_a_record_are_few_and_short():
    many = [plan_of(f"{'x' * 90}{i}", RATE / 10) for i in range(9)]
    (data,) = assessed(*many).pools
    assert len(data.commitments.by) == MAX_COMMITMENTS_NAMED
    assert {len(name) for name in data.commitments.by} == {MAX_NAME}


def test_no_commitment_is_today():
    """Stated to be none, or to apply to nothing here: every figure but that is the same."""
    for items in ((), (reserved(amount=9.0, region="eu-west-1"),)):
        (data,) = assessed(*items).pools
        (today,) = assessment(observation(pool(n_spot=0, n_on_demand=4))).pools
        assert replace(data, commitments=NO_COVER) == today


@odd.many
@given(odd.scenes())
def test_where_nothing_is_covered_every_figure_is_todays(scene):
    market_now = scene.observation.market
    none = replace(scene.observation, market=replace(market_now, commitments=Commitments()))
    far = stated(plan_of(usd_per_hour=9.0, family="m6i", region="nowhere"))
    over = replace(none, market=replace(market_now, commitments=far))
    now, then = (replace(scene, observation=o).assessed().pools for o in (none, over))
    assert repr([replace(p, commitments=NO_COVER) for p in then]) == repr(list(now))


fleets = st.lists(
    st.tuples(
        st.sampled_from([WEB_A, WEB_B]),
        st.sampled_from([CapacityType.ON_DEMAND, CapacityType.ON_DEMAND, CapacityType.SPOT]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)
plans = st.builds(
    plan_of,
    st.sampled_from(["a", "b", "c"]),
    st.floats(0.0, 1.0),
    discount_ratio=st.floats(0.0, 0.9),
)


@odd.many
@given(fleets, st.lists(plans, max_size=2, unique_by=lambda p: p.name), plans, st.floats(0.01, 0.2))
def test_one_commitment_more_never_makes_a_move_to_spot_more_attractive(fleet, items, more, price):
    """Of a pool of one type, so that it is nodes and not their mean that are compared."""
    nodes = tuple(
        (spot if kind is CapacityType.SPOT else on_demand)(f"n{i}", where, created_at=AT - age)
        for i, (where, kind, age) in enumerate(fleet)
    )
    facts = pool(nodes=nodes)
    quotes = {o: quote(o, spot_usd_per_hour=price) for o in (WEB_A, WEB_B)}
    added = [item for item in items if item.name != more.name]
    found = [
        plan_with(*all_items, facts=facts, quotes=quotes).decisions[0]
        for all_items in (added, [*added, more])
    ]
    before, after = (decision.economics for decision in found)
    if found[0].proposal.action.away_from_spot or after.net_usd_per_hour is None:
        return
    assert after.saving_usd_per_hour <= before.saving_usd_per_hour + 1e-6
    assert after.net_usd_per_hour <= before.net_usd_per_hour + 1e-6
    assert after.discount_ratio <= before.discount_ratio + 1e-5
    moved = [d.n_nodes if d.action.towards_spot else 0 for d in found]
    assert moved[1] <= moved[0]


@odd.many
@given(odd.scenes(), st.lists(plans, max_size=2, unique_by=lambda p: p.name), plans)
def test_no_node_costs_more_at_the_margin_for_one_commitment_more(scene, items, more):
    added = [item for item in items if item.name != more.name]
    seen = [
        replace(
            scene.observation,
            market=replace(scene.observation.market, commitments=stated(*all_items)),
        )
        for all_items in (added, [*added, more])
    ]
    before, after = (assessment_of(scene, observed) for observed in seen)
    for one, two in zip(before, after, strict=True):
        assert two.commitments.n_covered >= one.commitments.n_covered - 1e-4
        assert two.commitments.n_kept >= one.commitments.n_kept


def assessment_of(scene, observed):
    return replace(scene, observation=observed).assessed().pools
