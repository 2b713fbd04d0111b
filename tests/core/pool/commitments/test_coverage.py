"""Commitments cover on-demand nodes in AWS's order, never more than they hold, whatever the order.

The order is that of the AWS documentation: Savings Plans User Guide, "Understanding how Savings
Plans apply to your AWS usage", and EC2 User Guide, "How Reserved Instance discounts are applied".
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.cloud.commitments import (
    Commitment,
    CommitmentKind,
    Commitments,
    CommitmentState,
    units_of,
)
from spotvortex.core.domain.types import Blocker, CapacityType, Offering
from spotvortex.core.pool.commitments.coverage import (
    NOTHING_COVERED,
    coverage_of,
    covered_at,
    prices_of,
)
from tests.core import odd
from tests.core.builders import (
    AT,
    WEB_A,
    WEB_B,
    market,
    observation,
    on_demand,
    plan_of,
    pool,
    quote,
    reserved,
    spot,
    stated,
    with_load_blocker,
)

LARGE, XLARGE, C6 = "m6i.large", "m6i.xlarge", "c6i.large"
RATE = 0.075
"""What a large node draws from a Savings Plan of 25 %."""

PRICES = {(LARGE, "us-east-1"): 0.1, (XLARGE, "us-east-1"): 0.2, (C6, "us-east-1"): 0.1}


def at(instance_type, zone="us-east-1a"):
    return Offering(instance_type=instance_type, zone=zone)


def shares(nodes, *commitments, prices=PRICES):
    return dict(coverage_of(nodes, prices, commitments).shares)


def test_a_savings_plan_is_drawn_at_its_own_rate():
    two = [on_demand("n1"), on_demand("n2")]
    assert shares(two, plan_of(usd_per_hour=0.075)) == {"uid-n1": 1.0}
    assert shares(two, plan_of(usd_per_hour=0.15)) == {"uid-n1": 1.0, "uid-n2": 1.0}
    assert shares(two, plan_of(usd_per_hour=0.1)) == {"uid-n1": 1.0, "uid-n2": 0.333333}


def test_the_highest_discount_comes_first_and_of_equal_ones_the_lowest_rate():
    nodes = [on_demand("dear", at(XLARGE)), on_demand("cheap", at(LARGE)), on_demand("c", at(C6))]
    best = plan_of(usd_per_hour=0.05, discount_by_type={"c6i": 0.5})
    assert shares(nodes, best) == {"uid-c": 1.0}
    equal = plan_of(usd_per_hour=0.15)
    assert shares(nodes[:2], equal) == {"uid-cheap": 1.0, "uid-dear": 0.5}


def test_a_discount_of_a_type_counts_before_that_of_its_family():
    plan = plan_of(discount_by_type={"m6i": 0.4, LARGE: 0.6})
    assert [plan.discount_of(t) for t in (LARGE, XLARGE, C6)] == [0.6, 0.4, 0.25]


def test_zonal_instances_come_before_regional_ones_and_these_before_savings_plans():
    one = [on_demand("n1")]
    all_kinds = (
        plan_of("compute", 9.0, discount_ratio=0.9),
        plan_of("instance", 9.0, family="m6i", region="us-east-1"),
        reserved("regional", 4.0),
        reserved("zonal", 1.0, zone="us-east-1a"),
    )
    order = [c.name for c in sorted(all_kinds, key=lambda c: list(CommitmentKind).index(c.kind))]
    for _ in range(len(order)):
        left = [c for c in all_kinds if c.name in order]
        assert coverage_of(one, PRICES, left).by == {"uid-n1": (order[0],)}
        order.pop(0)


def test_zonal_instances_cover_their_zone_alone_and_their_type_alone():
    nodes = [on_demand("a", WEB_A), on_demand("b", WEB_B), on_demand("x", at(XLARGE))]
    assert shares(nodes, reserved(amount=5.0, zone="us-east-1b")) == {"uid-b": 1.0}


def test_regional_instances_cover_any_size_of_their_family_the_smallest_first():
    nodes = [on_demand("x", at(XLARGE)), on_demand("l", at(LARGE)), on_demand("c", at(C6))]
    assert units_of(LARGE) == 4.0
    assert units_of(XLARGE) == 8.0
    assert shares(nodes, reserved(amount=8.0)) == {"uid-l": 1.0, "uid-x": 0.5}
    assert shares(nodes, reserved(amount=8.0), prices={}) == {"uid-l": 1.0, "uid-x": 0.5}


@pytest.mark.parametrize(
    ("family", "units", "running", "covered"),
    [
        ("t2", 2.0, ["t2.small"] * 2, 2.0),
        ("t2", 2.0, ["t2.large"], 0.5),
        ("c4", 64.0, ["c4.8xlarge"], 1.0),
        ("c4", 64.0, ["c4.4xlarge"] * 2, 2.0),
        ("c4", 64.0, ["c4.2xlarge"] * 4, 4.0),
        ("c4", 64.0, ["c4.large"] * 17, 16.0),
        ("m4", 8.0, ["m4.large"] * 2, 2.0),
        ("m4", 8.0, ["m4.xlarge"], 1.0),
    ],
)
def test_the_examples_of_size_flexibility_that_aws_gives(family, units, running, covered):
    """Of "Amazon EC2 Reserved Instances and Other AWS Reservation Models", and Region RI items."""
    nodes = [on_demand(f"n{i}", at(name)) for i, name in enumerate(running)]
    assert sum(shares(nodes, reserved(amount=units, family=family)).values()) == covered


def test_the_example_of_savings_percentages_that_aws_gives():
    """c5.9xlarge at 4.00 on-demand: 2.00 by a Compute plan (50 %), 1.00 by its own (75 %)."""
    nine = on_demand("nine", at("c5.9xlarge"))
    prices = {("c5.9xlarge", "us-east-1"): 4.0}
    compute = plan_of("compute", 25.0, discount_ratio=0.5)
    own = plan_of("own", 25.0, family="c5", region="us-east-1", discount_ratio=0.75)
    found = coverage_of([nine], prices, [compute, own])
    assert found.by == {"uid-nine": ("own",)}
    assert [use.used for use in found.uses] == [0.0, 1.0]
    assert coverage_of([nine], prices, [compute]).uses[0].used == 2.0


def test_one_node_may_be_covered_by_two_commitments():
    found = coverage_of(
        [on_demand("n1")], PRICES, (plan_of(usd_per_hour=1.0), reserved(amount=1.0))
    )
    assert found.shares == {"uid-n1": 1.0}
    assert found.by == {"uid-n1": ("ri", "sp")}
    assert [use.used for use in found.uses] == [0.05625, 1.0]


def test_each_node_names_only_what_covers_it():
    three = [on_demand(f"n{i}") for i in range(3)]
    plans = [plan_of(name, RATE) for name in ("a", "b", "c")]
    empty = plan_of("0", 0.0)
    free = plan_of("free", 1.0, discount_ratio=1.0)
    found = coverage_of(three, PRICES, [free, empty, *plans[:2]])
    assert found.by == {"uid-n0": ("a",), "uid-n1": ("b",)}
    assert [use.unused_usd_per_hour for use in found.uses] == [1.0, 0.0, 0.0, 0.0]
    assert len(coverage_of(three, PRICES, plans).by) == 3


def test_less_than_a_millionth_of_a_node_is_nothing():
    assert shares([on_demand("n1")], reserved(amount=1e-9)) == {}


@pytest.mark.parametrize(
    "commitment",
    [
        plan_of(family="c6i"),
        plan_of(family="m6i", region="eu-west-1"),
        reserved(region="eu-west-1"),
        reserved(zone="us-east-1b"),
        plan_of(usd_per_hour=0.0),
    ],
)
def test_what_does_not_apply_covers_nothing_and_is_unused(commitment):
    found = coverage_of([on_demand("n1")], PRICES, [commitment])
    assert not found.shares
    assert found.uses[0].used == 0.0


def test_spot_and_nodes_without_a_price_draw_nothing_from_a_savings_plan():
    nodes = [spot("s1"), on_demand("odd", at("z9.large"))]
    assert shares(nodes, plan_of(usd_per_hour=9.0)) == {}


def test_of_nodes_that_are_alike_those_that_stay_anyhow_are_covered_first_then_the_oldest():
    young, old = on_demand("young", created_at=AT), on_demand("zold", created_at=AT - 9e6)
    assert shares([young, old], plan_of(usd_per_hour=0.075)) == {"uid-zold": 1.0}
    bare = with_load_blocker(on_demand("zzz", created_at=AT), Blocker.BARE_POD)
    unpooled = on_demand("zzz", created_at=AT, pool="")
    kept = replace(bare, load=old.load, capacity_type=CapacityType.RESERVED)
    for stays in (bare, unpooled, kept):
        assert shares([young, old, stays], plan_of(usd_per_hour=0.075)) == {"uid-zzz": 1.0}


def test_a_node_that_leaves_is_covered_last_so_that_its_replacement_is_not_one_too_many():
    old, new = on_demand("a", created_at=AT - 9e6), on_demand("b", created_at=AT)
    for leaves in ({"cordoned": True}, {"moving": True}):
        leaving = replace(old, do_not_disrupt=True, **leaves)
        assert shares([leaving, new], plan_of(usd_per_hour=0.075)) == {"uid-b": 1.0}


def test_what_is_left_is_told_in_money():
    nodes = [on_demand("n1")]
    plan = coverage_of(nodes, PRICES, [plan_of(usd_per_hour=1.0)])
    assert plan.uses[0].unused_usd_per_hour == 0.925
    units = coverage_of(nodes, PRICES, [reserved(amount=12.0, discount_ratio=0.5)])
    assert units.uses[0].unused_usd_per_hour == 0.1
    assert plan.unused_usd_per_hour == 0.925
    unknown = coverage_of(nodes, {}, [reserved(amount=12.0)])
    assert unknown.uses[0].unused_usd_per_hour is None
    assert unknown.unused_usd_per_hour == 0.0
    whole = coverage_of(nodes, {}, [reserved(amount=4.0)])
    assert whole.uses[0].unused_usd_per_hour == 0.0
    almost = coverage_of(nodes, {}, [reserved(amount=4.0 + 2e-9)])
    assert almost.uses[0].unused_usd_per_hour == 0.0


def test_of_two_prices_of_a_type_in_a_region_the_lower_one_counts():
    quotes = [
        quote(WEB_A, on_demand_usd_per_hour=0.2),
        quote(WEB_B, on_demand_usd_per_hour=0.1),
        quote(at(C6), on_demand_usd_per_hour=float("nan")),
        quote(at(XLARGE), on_demand_usd_per_hour=None),
    ]
    assert prices_of(quotes) == prices_of(quotes[::-1]) == {(LARGE, "us-east-1"): 0.1}


def web(*names):
    return pool("web", nodes=tuple(on_demand(name) for name in names))


def seen_with(*items, **changes):
    found = market(commitments=stated(*items))
    return replace(observation(web("n1"), market=found), **changes)


def test_a_commitment_that_has_ended_covers_nothing():
    ends = plan_of(usd_per_hour=9.0, ends_at=AT + 10.0)
    assert covered_at(seen_with(ends, at=AT)).coverage.shares == {"uid-n1": 1.0}
    assert covered_at(seen_with(ends, at=AT + 10.0)).coverage.shares == {}


def test_unstated_commitments_cover_nothing_and_say_so():
    for state in CommitmentState:
        seen = observation(pool("web"), market=market(commitments=Commitments(state=state)))
        assert covered_at(seen).coverage.state is state


def test_nothing_is_worked_out_anew_while_nothing_has_changed():
    seen = seen_with(plan_of())
    first = covered_at(seen)
    assert covered_at(replace(seen, at=AT + 30.0, cycle=2), first) is first
    changed = (
        replace(seen, cluster=replace(seen.cluster, pools=(web("n2"),))),
        replace(seen, cluster=replace(seen.cluster, unpooled=(on_demand("u", pool=""),))),
        replace(seen, market=replace(seen.market, commitments=stated(plan_of("other")))),
        replace(seen, market=market(quote(on_demand_usd_per_hour=0.3), commitments=stated())),
    )
    for other in changed:
        again = covered_at(other, first)
        assert again is not first
        assert again == covered_at(other, NOTHING_COVERED)


offerings = st.builds(
    Offering,
    instance_type=st.sampled_from([LARGE, XLARGE, C6, "m6i.metal", "odd"]),
    zone=st.sampled_from(["us-east-1a", "us-east-1b", "eu-west-1a", ""]),
)


@st.composite
def fleets(draw):
    made = draw(st.lists(st.tuples(offerings, st.sampled_from(CapacityType)), max_size=12))
    return [
        on_demand(f"n{i}", offering, created_at=AT - draw(st.integers(0, 2)))
        if kind is not CapacityType.SPOT
        else spot(f"n{i}", offering)
        for i, (offering, kind) in enumerate(made)
    ]


prices = st.dictionaries(
    st.tuples(st.sampled_from([LARGE, XLARGE, C6]), st.sampled_from(["us-east-1", "eu-west-1"])),
    st.floats(0.01, 5.0),
)
ratios = st.floats(0.0, 0.95)


@st.composite
def commitments(draw, name="c"):
    kind = draw(st.sampled_from(CommitmentKind))
    region = draw(st.sampled_from(["us-east-1", "eu-west-1"]))
    values = {
        CommitmentKind.ZONAL_RESERVED: {"instance_type": LARGE, "zone": f"{region}a"},
        CommitmentKind.REGIONAL_RESERVED: {"family": "m6i"},
        CommitmentKind.INSTANCE_PLAN: {"family": draw(st.sampled_from(["m6i", "c6i"]))},
        CommitmentKind.COMPUTE_PLAN: {},
    }[kind]
    return Commitment(
        name=name,
        kind=kind,
        amount=draw(st.floats(0.0, 20.0)),
        region="" if kind is CommitmentKind.COMPUTE_PLAN else region,
        discount_ratio=draw(ratios),
        discount_by_type=draw(st.dictionaries(st.sampled_from([LARGE, "c6i"]), ratios)),
        **values,
    )


@st.composite
def statements(draw):
    n = draw(st.integers(0, 4))
    return [draw(commitments(f"c{i}")) for i in range(n)]


def drawn_from(commitment, nodes, given_prices, found):
    """What the nodes that only one commitment covers draw from it, worked out anew."""
    total = 0.0
    for node in nodes:
        if found.by.get(node.uid) == (commitment.name,):
            key = node.offering.instance_type, node.offering.zone[:-1]
            drawn = commitment.drawn_by(node.offering.instance_type, given_prices.get(key))
            total += found.shares[node.uid] * drawn
    return total


@odd.many
@given(fleets(), prices, statements())
def test_coverage_never_exceeds_what_is_committed(nodes, given_prices, items):
    found = coverage_of(nodes, given_prices, items)
    assert all(0.0 < share <= 1.0 for share in found.shares.values())
    assert found.shares.keys() == found.by.keys()
    for use in found.uses:
        assert use.used <= use.commitment.amount + 1e-6
        drawn = drawn_from(use.commitment, nodes, given_prices, found)
        assert drawn <= use.used + 1e-4 * (1 + len(nodes))
    kept = {n.uid for n in nodes if n.capacity_type is not CapacityType.SPOT}
    assert found.shares.keys() <= kept


@odd.many
@given(fleets(), prices, statements(), st.randoms(use_true_random=False))
def test_the_order_of_nodes_and_of_commitments_does_not_matter(nodes, given_prices, items, rng):
    found = coverage_of(nodes, given_prices, items)
    rng.shuffle(nodes)
    turned = coverage_of(nodes, given_prices, items[::-1])
    assert (turned.shares, turned.by) == (found.shares, found.by)
    assert turned.uses[::-1] == found.uses


@odd.many
@given(fleets(), prices, statements(), commitments("more"))
def test_one_commitment_more_never_covers_less_of_any_node(nodes, given_prices, items, more):
    before = coverage_of(nodes, given_prices, items).shares
    after = coverage_of(nodes, given_prices, [*items, more]).shares
    assert all(after.get(uid, 0.0) >= share - 2e-6 for uid, share in before.items())
