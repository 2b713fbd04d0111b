"""Held Spot nodes become on-demand where a commitment that nothing uses pays for it."""

from dataclasses import replace

import pytest

from spotvortex.core.decision.economics import entry_economics
from spotvortex.core.decision.offerings.idle_commitment import idle_commitment_of
from spotvortex.core.decision.rule_policy import leaving_for, propose
from spotvortex.core.domain.cloud.commitments import Commitment, CommitmentKind
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import BlockedWorkload
from spotvortex.core.domain.types import Blocker, Offering
from spotvortex.core.pool.commitments.coverage import coverage_of
from tests.core.builders import (
    WEB_A,
    WEB_B,
    candidate,
    load,
    offered,
    on_demand,
    pool_input,
    spot,
)

PRICES = {("m6i.large", "us-east-1"): 0.10}


def plan(amount, **changes):
    """A Compute Savings Plan of so many dollars an hour, at half the on-demand price."""
    values = {"name": "plan", "kind": CommitmentKind.COMPUTE_PLAN, "discount_ratio": 0.5}
    return Commitment(amount=amount, **(values | changes))


def test_what_the_nodes_leave_of_a_commitment_would_pay_for_more_of_them():
    nodes = [on_demand("d1"), spot("s1"), spot("s2")]
    found = coverage_of(nodes, PRICES, [plan(0.2)])
    assert found.idle_nodes(WEB_A, 0.10, "web") == pytest.approx(3.0)
    assert found.idle_nodes(WEB_A, 0.10, "other") == 0.0
    assert found.idle_nodes(WEB_A, None, "web") == 0.0


def test_the_first_pool_by_name_with_a_spot_node_to_move_may_use_it():
    bare = load(blocked=(BlockedWorkload(blocker=Blocker.BARE_POD, workload="shop/Pod/x"),))
    held = [spot("a1", pool="a", do_not_disrupt=True), spot("a2", pool="a", load=bare)]
    nodes = [spot("b1", pool="b"), *held, spot("a3", pool="a", ready=False), spot("c1", pool="c")]
    found = coverage_of(nodes, PRICES, [plan(0.2)])
    assert [use.offered_to for use in found.uses] == ["b"]
    assert [u.offered_to for u in coverage_of([on_demand("d")], PRICES, [plan(0.2)]).uses] == [""]


def test_a_reserved_instance_of_another_zone_or_type_pays_for_nothing():
    reserved = plan(2, kind=CommitmentKind.ZONAL_RESERVED, instance_type="m6i.large")
    here = coverage_of([spot("s1")], PRICES, [replace(reserved, zone="us-east-1a")])
    assert here.idle_nodes(WEB_A, 0.10, "web") == pytest.approx(2.0)
    assert here.idle_nodes(WEB_B, 0.10, "web") == 0.0
    large = Offering(instance_type="m6i.xlarge", zone="us-east-1a")
    assert here.idle_nodes(large, 0.20, "web") == 0.0


def test_a_whole_node_paid_for_is_free_and_a_share_costs_the_rest():
    held = offered(WEB_A, n_spot=4, idle_nodes=2.5)
    found = idle_commitment_of(pool_input(offerings=(held,)), Limits())
    assert (found.offering, found.n_nodes, found.on_demand_usd_per_hour) == (WEB_A, 2, 0.0)
    assert found.gain_usd_per_hour == pytest.approx(found.spot.usd_per_hour)
    part = pool_input(offerings=(replace(held, idle_nodes=0.9),))
    found = idle_commitment_of(part, Limits())
    assert (found.n_nodes, found.on_demand_usd_per_hour) == (1, pytest.approx(0.01))


def test_a_commitment_for_a_node_that_cannot_move_holds_nothing_else():
    held = offered(WEB_B, n_spot=1, idle_nodes=1.0)
    rows = (offered(WEB_A, n_spot=9, n_on_demand=10), held)
    for kept in ((), (candidate("b1", offering=WEB_B, in_scope=False),)):
        pool = pool_input(offerings=rows, to_on_demand=(candidate("a1"), *kept))
        wanted = propose(pool, entry_economics(pool, Limits()), Limits())
        assert wanted.reason == "economic_increase"
    pool = pool_input(offerings=rows, to_on_demand=(candidate("b1", offering=WEB_B),))
    assert propose(pool, entry_economics(pool, Limits()), Limits()).reason == "unused_commitment"


def test_a_leave_for_an_unused_commitment_is_about_its_offering_alone():
    rows = (offered(WEB_A, n_spot=4, idle_nodes=2.5), offered(WEB_B, n_spot=4))
    paid = pool_input(offerings=rows)
    assert leaving_for("unused_commitment", paid, Limits()) == {WEB_A}
    assert leaving_for("unused_commitment", pool_input(), Limits()) == frozenset()
    assert leaving_for("high_risk", paid, Limits()) == frozenset()


@pytest.mark.parametrize("n_idle", [0.0, 0.5])
def test_spot_stays_where_too_little_of_a_node_is_paid_for(n_idle):
    held = offered(WEB_A, n_spot=4, idle_nodes=n_idle)
    assert idle_commitment_of(pool_input(offerings=(held,)), Limits()) is None


@pytest.mark.parametrize(("margin_minutes", "is_left"), [(0.75, True), (-0.75, False)])
def test_a_node_leaves_spot_where_it_gains_the_move_and_a_margin_within_two_hours(
    margin_minutes, is_left
):
    """Spot at 30 % of the list price, never lost: the move costs 3 minutes, the margin is 3."""
    minutes = 3.0 + 3.0 + margin_minutes
    held = offered(WEB_A, n_spot=4, runtime_score=0.0, idle_nodes=0.7 + minutes / 120.0)
    found = idle_commitment_of(pool_input(offerings=(held,)), Limits())
    assert (found is not None) is is_left


def test_what_the_move_costs_once_is_told():
    held = offered(WEB_A, n_spot=4, idle_nodes=1.0)
    found = idle_commitment_of(pool_input(offerings=(held,)), Limits(move_minutes=6.0))
    assert found.move_usd == pytest.approx(0.10 * 6.0 / 60.0)


def test_of_several_offerings_the_one_with_most_to_gain_leaves_and_only_one_that_is_held():
    both = tuple(candidate(o.zone, offering=o) for o in (WEB_A, WEB_B))

    def found(*rows):
        return idle_commitment_of(pool_input(offerings=rows, to_on_demand=both), Limits())

    cheap, dear = (offered(o, n_spot=4, idle_nodes=2.0) for o in (WEB_A, WEB_B))
    dear = replace(dear, spot_usd_per_hour=0.05)
    assert found(cheap, dear).offering == WEB_B
    gone = replace(dear, n_spot=0)
    assert found(cheap, gone).offering == WEB_A
    assert found(gone) is None
    even = replace(dear, spot_usd_per_hour=0.03)
    assert found(even, cheap).offering == WEB_A
