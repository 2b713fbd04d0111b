"""Protection outranks doubt: what an owner asks for waits for no price, no score and no scope."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.gates import kinds
from spotvortex.core.decision.messages import UNSURE_S, ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.moves import BINDINGS, Concern, MoveKind, kind_of
from spotvortex.core.domain.observation import ClusterFacts, Observation, WriteAuthority
from spotvortex.core.domain.types import (
    Action,
    CapacityType,
    Mode,
    Offering,
    PolicyMode,
    ProposalReason,
)
from spotvortex.core.record.counterfactual import force
from spotvortex.core.scoring.features import OfferingScore
from tests.core import odd
from tests.core.builders import (
    AT,
    HEALTHY,
    assessed_with,
    capped,
    node,
    on_demand,
    pool,
    quote,
    score,
)

NO_PRICE = SpotQuote(offering=Offering(instance_type="", zone=""))
NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -0.03, 1e300)

FAULTY_QUOTES = (
    None,
    NO_PRICE,
    quote(spot_usd_per_hour=None, age_s=9e5, history_usd_per_hour=()),
    quote(on_demand_usd_per_hour=None),
    quote(age_s=-60.0),
    quote(age_s=math.nan),
    *(quote(spot_usd_per_hour=n, history_usd_per_hour=(n,) * 9) for n in NUMBERS),
    *(quote(on_demand_usd_per_hour=n) for n in NUMBERS),
)
"""What a market can say of an offering that is no price to buy at."""

ANY_QUOTES = (*FAULTY_QUOTES, quote(), quote(last_resort=True), quote(spot_usd_per_hour=0.2))

FAULTY_SCORES = (
    None,
    score(capacity_score=None, runtime_score=None, in_scope=False, n_history=0),
    score(capacity_score=math.nan, runtime_score=2.0, n_history=0),
    score(n_history=0, in_range=False),
    score(from_memory=True, n_history=0),
    score(),
    score(runtime_score=0.5),
    score(runtime_score=0.7, from_memory=True, n_history=0),
    score(capacity_score=0.95, runtime_score=0.95),
)

FAMILIES = ("m6i.large", "m7i-flex.large", "x8g.large", "unheard-of", "")
OFFERINGS = tuple(Offering(instance_type=t, zone=z) for t in FAMILIES for z in ("a", "b"))
PRICES = tuple(
    InputHealth(name=InputName.PRICES, state=state, age_s=age_s, required=False)
    for state in InputState
    for age_s in (2.0, math.inf)
)

KILL = Limits(mode=Mode.ACTIVE, max_spot_ratio=0.0)
MAX_WAVES = 60


@st.composite
def markets(draw, quotes=FAULTY_QUOTES):
    """What is said of each offering: any mixture of faults."""
    drawn = {o: draw(st.sampled_from(quotes)) for o in OFFERINGS}
    return {o: replace(q, offering=o) for o, q in drawn.items() if q is not None}


@st.composite
def scored(draw):
    drawn = {o: draw(st.sampled_from(FAULTY_SCORES)) for o in OFFERINGS}
    return {o: replace(s, offering=o) for o, s in drawn.items() if s is not None}


offered = st.sampled_from(OFFERINGS)


@st.composite
def fleets(draw):
    """The nodes of one pool, of any family and either kind."""
    sides = draw(st.lists(st.tuples(offered, st.booleans()), min_size=1, max_size=14))
    kinds = (CapacityType.ON_DEMAND, CapacityType.SPOT)
    return tuple(
        node(f"n{i}", offering=offering, capacity_type=kinds[is_spot])
        for i, (offering, is_spot) in enumerate(sides)
    )


@st.composite
def worlds(draw, quotes=FAULTY_QUOTES):
    """One pool or two, their market and what is thought of their offerings."""
    names = ("web", "api")[: draw(st.integers(1, 2))]
    pools = tuple(
        pool(name, nodes=tuple(replace(n, name=f"{name}-{n.name}", pool=name) for n in found))
        for name in names
        for found in (tuple(replace(n, uid=f"{name}-{n.uid}") for n in draw(fleets())),)
    )
    observed = Observation(
        cycle=1,
        at=AT,
        cluster=ClusterFacts(pools=pools, inputs=(*HEALTHY, draw(st.sampled_from(PRICES)))),
        market=MarketFacts(quotes=draw(markets(quotes))),
        standing=WriteAuthority(leader=True),
    )
    return observed, draw(scored())


def n_spot(observed):
    nodes = observed.cluster.nodes
    return sum(1 for n in nodes if n.capacity_type is CapacityType.SPOT)


def carried_out(observed, plan, after_s):
    """The world after a wave: each node that it moved has become what it was to become."""
    to = {o.uid: o.to for o in plan.orders}
    pools = tuple(
        replace(
            p,
            nodes=tuple(replace(n, capacity_type=to.get(n.uid, n.capacity_type)) for n in p.nodes),
        )
        for p in observed.cluster.pools
    )
    cluster = replace(observed.cluster, pools=pools)
    return replace(observed, cluster=cluster, at=observed.at + after_s, cycle=observed.cycle + 1)


@odd.many
@given(worlds(ANY_QUOTES), st.sampled_from(PolicyMode), st.booleans(), st.booleans())
def test_a_cap_of_zero_takes_every_pool_off_spot_whatever_the_market_says(
    world, policy, exits, is_lost
):
    """Through every gate of active mode, and with no wave in the other direction.

    What was remembered may be lost: once a wave that was made before has settled, it goes on.
    """
    observed, scores = world
    limits = replace(KILL, policy_mode=policy, exit_unsupported=exits)
    state, n_waves = ControllerState(), 0
    if is_lost:
        state = ControllerState(unsure_until=AT - limits.settle_s + UNSURE_S)
    while n_spot(observed):
        before = n_spot(observed)
        state, plan = reconcile(state, assessed_with(observed, scores), limits)
        assert all(o.to is CapacityType.ON_DEMAND for o in plan.orders)
        assert all(d.action.away_from_spot for d in plan.decisions if d.input.n_spot and d.moves)
        observed = carried_out(observed, plan, limits.settle_s)
        n_waves += 1
        assert n_spot(observed) < before, [d.reason for d in plan.decisions]
        assert n_waves <= MAX_WAVES


@odd.many
@given(worlds(), st.sampled_from(Mode), st.sampled_from((Action.INCREASE_10, Action.INCREASE_30)))
def test_nothing_grows_on_such_a_market_whoever_asks(world, mode, growth):
    observed, scores = world
    limits = Limits(mode=mode, max_pool_disruption_ratio=1.0, max_cluster_disruption_ratio=1.0)
    _, plan = reconcile(ControllerState(), assessed_with(observed, scores), limits)
    assert all(o.to is CapacityType.ON_DEMAND for o in plan.orders)
    for decision in plan.decisions:
        assert force(decision.basis, growth).n_nodes == 0


@odd.many
@given(worlds(), st.sampled_from((0.4, 0.65)))
def test_a_risk_that_is_known_is_left_without_any_price(world, risk):
    observed, _ = world
    known = {o: score(o, runtime_score=risk, from_memory=True, n_history=0) for o in OFFERINGS}
    _, plan = reconcile(ControllerState(), assessed_with(observed, known), capped(mode=Mode.ACTIVE))
    holding = [d for d in plan.decisions if d.input.n_spot and not d.moves]
    assert all("budgets" in d.refused_by for d in holding)
    assert bool(plan.orders) is bool(n_spot(observed))


def test_every_action_with_every_reason_is_of_one_kind_that_the_table_knows():
    found = {kind_of(a, r) for a in Action for r in ProposalReason}
    assert found == set(MoveKind) - {MoveKind.INTERRUPTION}
    assert set(BINDINGS) == set(MoveKind)


@pytest.mark.parametrize("kind", MoveKind)
def test_protection_never_waits_for_what_only_growth_may_doubt(kind):
    bound = BINDINGS[kind].concerns
    assert Concern.AUTHORITY in bound
    protects = kind not in (MoveKind.NONE, MoveKind.PRICE)
    assert (Concern.MARKET in bound) is not protects
    assert (Concern.CONFIDENCE in bound) is (not protects or kind is MoveKind.RISK)
    assert f"| `{kind}` |" in kinds()


def test_a_node_more_of_a_family_that_nobody_knows_holds_no_kill_switch():
    """The plain case: nine nodes, one of them m7i-flex, not one price."""
    strange = Offering(instance_type="m7i-flex.large", zone="a")
    nodes = (node("odd", offering=strange), *(node(f"s{i}") for i in range(8)), on_demand("d"))
    observed = Observation(
        cycle=1,
        at=AT,
        cluster=ClusterFacts(pools=(pool(nodes=nodes),), inputs=HEALTHY),
        market=MarketFacts(),
        standing=WriteAuthority(leader=True),
    )
    scores = {
        strange: OfferingScore(
            offering=strange, capacity_score=None, runtime_score=None, in_scope=False
        )
    }
    _, plan = reconcile(ControllerState(), assessed_with(observed, scores), KILL)
    (decision,) = plan.decisions
    assert (decision.action, decision.reason) == (Action.DECREASE_30, "above_max_spot_ratio")
    assert (decision.n_nodes, decision.refused_by) == (1, ())
