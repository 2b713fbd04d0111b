"""What a report says of the nodes: what is free, what is held and by what, what it costs."""

from dataclasses import replace

import pytest

from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import Action, Blocker, CapacityType, GateName, Outcome
from spotvortex.report.assess.assessment import gates_in_words
from tests.core.builders import (
    AT,
    HEALTHY,
    WEB_A,
    WEB_B,
    cluster,
    health,
    market,
    node,
    observation,
    on_demand,
    pdb,
    pool,
    quote,
    spot,
    with_load_blocker,
)
from tests.report.reports import report


def test_totals_count_every_node_once():
    nodes = (
        spot("s1"),
        on_demand("d1"),
        node("r1", capacity_type=CapacityType.RESERVED),
        node("u1", capacity_type=CapacityType.UNKNOWN),
    )
    facts = cluster(pool(nodes=nodes), unpooled=(on_demand("lost", pool=""),), n_pods=9, n_pdbs=2)
    made = report(observed=replace(observation(), cluster=facts))
    t = made.totals
    assert (t.n_nodes, t.n_spot, t.n_on_demand, t.n_reserved, t.n_unknown) == (5, 1, 2, 1, 1)
    assert (t.n_unpooled, t.n_pods, t.n_pdbs, t.n_pools, t.n_mixed_pools) == (1, 9, 2, 1, 1)
    assert (t.priced_nodes, t.cost_usd_per_hour) == (4, pytest.approx(0.03 + 3 * 0.10))
    assert sum(g.n_nodes for g in made.groups) == t.n_nodes


def test_a_pool_of_one_kind_is_not_mixed():
    made = report(pool("a", n_spot=0), pool("b", n_on_demand=0), pool("c"))
    assert (made.totals.n_pools, made.totals.n_mixed_pools) == (3, 1)


def test_free_on_demand_nodes_save_the_difference_of_their_prices():
    quotes = market(quote(WEB_A), quote(WEB_B, spot_usd_per_hour=None))
    nodes = (
        on_demand("d1", created_at=AT - 50.0),
        on_demand("d2", created_at=AT - 90_000.0),
        on_demand("d3", WEB_B),
    )
    made = report(observed=observation(pool(nodes=nodes), market=quotes))
    (found,) = made.on_demand
    assert (found.n_nodes, found.n_free, found.n_priced) == (3, 3, 2)
    assert found.oldest_at == AT - 90_000.0
    assert made.saving_usd_per_hour == found.saving_usd_per_hour == pytest.approx(0.14)


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf"), None])
def test_a_price_that_is_none_promises_nothing(price):
    quotes = market(quote(WEB_A, spot_usd_per_hour=price))
    made = report(observed=observation(pool(nodes=(on_demand("d1"),)), market=quotes))
    assert (made.on_demand[0].n_priced, made.saving_usd_per_hour) == (0, 0.0)


def test_spot_that_costs_more_is_no_saving_and_no_loss():
    quotes = market(quote(WEB_A, spot_usd_per_hour=0.2))
    made = report(observed=observation(pool(nodes=(on_demand("d1"),)), market=quotes))
    assert (made.on_demand[0].n_priced, made.saving_usd_per_hour) == (1, 0.0)


def test_a_node_is_held_for_its_first_reason_only():
    both = with_load_blocker(on_demand("d1", do_not_disrupt=True), Blocker.SINGLE_REPLICA)
    made = report(pool(nodes=(both, on_demand("d2"))))
    (found,) = made.on_demand
    assert (found.held, found.n_free) == (((Blocker.SINGLE_REPLICA, 1),), 1)


def test_pods_that_ask_for_on_demand_pin_their_node():
    pinned = with_load_blocker(on_demand("d1"), Blocker.PINNED_ON_DEMAND)
    (found,) = report(pool(nodes=(pinned, on_demand("d2")))).on_demand
    assert (found.n_pinned, found.n_free) == (1, 1)
    assert found.pinned == "pods that ask for on-demand"


def test_a_node_pool_of_on_demand_only_pins_all_its_nodes():
    only = NodeGroupFact(name="np", pool="web", capacity_types=(CapacityType.ON_DEMAND,))
    (found,) = report(pool(n_spot=0, node_groups=(only,))).on_demand
    assert (found.n_pinned, found.n_free, found.held) == (8, 0, ())
    assert found.pinned == "its NodePool allows on-demand only"


def test_a_budget_without_room_is_named_with_its_nodes():
    tight = pdb(disruptions_allowed=0, healthy_by_node=(("web-d0", 1), ("web-d1", 1)))
    (blocked,) = report(pool(pdbs=(tight,))).blocked
    assert (blocked.workload, blocked.blocker) == (
        "shop/Deployment/api",
        Blocker.PDB_ALLOWS_ZERO,
    )
    assert blocked.n_nodes == 2


def test_a_missing_input_is_told_with_its_mend():
    bad = health("pdbs", state=InputState.DENIED, detail="grant list on poddisruptionbudgets")
    facts = cluster(pool(), inputs=(*HEALTHY, bad))
    (missing,) = report(observed=replace(observation(), cluster=facts)).missing
    assert (missing.name, missing.state, missing.required) == ("pdbs", InputState.DENIED, True)
    assert missing.detail == "grant list on poddisruptionbudgets"


def test_words_name_the_first_refusal_and_count_the_others():
    (decision,) = report(pool(), n_history=0, in_range=False).decisions
    assert decision.action is Action.HOLD
    n_more = len(decision.refused_by) - 1
    first = next(v for v in decision.verdicts if v.gate == decision.refused_by[0])
    words = f"{first.gate.replace('_', ' ')}: {first.reason} (and {n_more} more)"
    assert n_more > 0
    assert gates_in_words(decision) == words


def test_the_lease_is_named_where_nothing_else_refuses():
    (decision,) = report(pool(), n_history=0, in_range=False).decisions
    others = [v for v in decision.verdicts if v.outcome is Outcome.REFUSE]
    lease = Verdict(gate=GateName.LEASE, outcome=Outcome.REFUSE, reason="nobody leads")
    both = replace(decision, verdicts=(lease, *others))
    words = f"{others[0].gate.replace('_', ' ')}: {others[0].reason} (and {len(others)} more)"
    assert gates_in_words(both) == words
    assert gates_in_words(replace(decision, verdicts=(lease,))) == "lease: nobody leads"


def test_words_of_a_decision_that_goes_its_way_are_its_reason():
    (decision,) = report(pool()).decisions
    assert gates_in_words(decision) == "economic increase"
