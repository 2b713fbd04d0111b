"""Which Spot offerings a pool may use, and what is known of those that it does not hold."""

from dataclasses import replace

from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.pool.commitments.coverage import CommitmentUse, Coverage
from spotvortex.core.pool.context import CycleContext
from spotvortex.core.pool.input import MAX_IDLE_NODES, MAX_OTHERS
from spotvortex.core.pool.offerings import (
    LATELY_HOURS,
    MAX_LISTED_TYPES,
    MAX_SIBLINGS,
    offerings_of,
    others_of,
    usable_by,
    usable_in,
)
from spotvortex.core.scoring.features import OfferingContext
from tests.core.builders import (
    AT,
    WEB_A,
    WEB_B,
    assessed_with,
    cluster,
    market,
    observation,
    on_demand,
    plan_of,
    pool,
    quote,
    score,
    spot,
)

WEB_C = Offering(instance_type="m6i.large", zone="us-east-1c")
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


def group(**changes):
    return NodeGroupFact(**({"name": "web", "pool": "web", "zones": ZONES} | changes))


def names(offerings):
    return {str(o) for o in offerings}


def test_what_is_held_is_usable_without_any_group():
    assert usable_by(pool()) == (WEB_A, WEB_B)
    assert usable_by(replace(pool(), nodes=())) == ()


def test_the_types_held_are_usable_in_every_zone_of_a_group():
    facts = pool(node_groups=(group(),))
    assert names(usable_by(facts)) == {f"m6i.large/{zone}" for zone in ZONES}


def test_a_few_types_that_a_group_lists_are_usable_and_of_many_those_held():
    few = pool(node_groups=(group(instance_types=("m6i.large", "c6i.large")),))
    assert len(usable_by(few)) == 6
    many = tuple(f"c{n}i.large" for n in range(9))
    wide = pool(node_groups=(group(instance_types=many),))
    assert usable_by(wide) == (WEB_A, WEB_B)


def test_a_group_of_on_demand_alone_adds_nothing():
    kinds = (CapacityType.ON_DEMAND,)
    assert usable_by(pool(node_groups=(group(capacity_types=kinds),))) == (WEB_A, WEB_B)


def test_the_offerings_looked_at_are_bounded_and_none_that_is_held_is_cut():
    wide = tuple(f"us-east-1{chr(97 + n)}" for n in range(20))
    types = tuple(f"c{n}i.large" for n in range(8))
    found = usable_by(pool(node_groups=(group(zones=wide, instance_types=types),)))
    assert len(found) == MAX_SIBLINGS
    assert {WEB_A, WEB_B} <= set(found)
    assert set(usable_in(cluster(pool()))) == {WEB_A, WEB_B}


def test_others_are_those_lost_lately_then_the_cheap_ones_with_a_score():
    facts = pool(node_groups=(group(instance_types=("m6i.large", "c6i.large", "r6i.large")),))
    usable = usable_by(facts)
    quotes = [quote(o, spot_usd_per_hour=0.02 + 0.001 * n) for n, o in enumerate(usable)]
    seen = observation(facts, market=market(*quotes))
    found = assessed_with(seen, {o: score(o) for o in usable}).pools[0]
    assert len(found.others) == MAX_OTHERS
    assert not {o.offering for o in found.others} & {WEB_A, WEB_B}
    prices = [o.spot_usd_per_hour for o in found.others]
    assert prices == sorted(prices)
    unscored = Offering(instance_type="c6i.large", zone="us-east-1a")
    scores = {o: score(o) for o in usable if o != unscored}
    again = assessed_with(seen, scores).pools[0]
    assert unscored not in {o.offering for o in again.others}


def context(offering, **changes):
    values = {"quote": quote(offering), "hours_since_loss": 1.0, "hazard_per_hour": 0.01}
    return OfferingContext(offering=offering, **(values | changes))


def sight(**changes):
    values = {
        "at": AT,
        "quotes": {o: quote(o) for o in (WEB_A, WEB_B, WEB_C)},
        "scores": {o: score(o) for o in (WEB_A, WEB_B, WEB_C)},
        "inputs": (),
        "max_input_age_s": 60.0,
    }
    return CycleContext(**(values | changes))


def test_the_largest_offering_comes_first_by_spot_nodes_then_by_the_others():
    nodes = [spot("s1", WEB_B), on_demand("d1", WEB_A), on_demand("d2", WEB_C), spot("s2", WEB_C)]
    found = offerings_of([*nodes, spot("s3", WEB_B), on_demand("d3", WEB_A)], sight())
    counts = [(o.offering, o.n_spot, o.n_on_demand) for o in found]
    assert counts == [(WEB_B, 2, 0), (WEB_C, 1, 1), (WEB_A, 0, 2)]
    assert [o.offering for o in offerings_of(nodes, sight())] == [WEB_C, WEB_B, WEB_A]
    assert offerings_of([], sight()) == ()


def test_what_the_memory_knows_of_an_offering_is_told_to_the_hundredth_of_an_hour():
    known = context(
        WEB_A, held_hours=2.3471, lost_hours=1.0061, refused_hours=0.3333, is_survivor=True
    )
    seen = sight(known={WEB_A: known})
    (found,) = offerings_of([spot("s1")], seen)
    assert (found.held_hours, found.lost_hours, found.refused_hours) == (2.35, 1.01, 0.33)
    assert found.is_survivor
    (unknown,) = offerings_of([spot("s1")], sight())
    assert (unknown.held_hours, unknown.lost_hours, unknown.refused_hours) == (None, None, None)


def test_the_source_of_a_price_is_cut_and_who_gave_the_score_is_told():
    seen = sight(
        quotes={WEB_A: quote(WEB_A, source="x" * 99)},
        scores={WEB_A: score(WEB_A, from_memory=True, risk_factor=2.0)},
    )
    (found,) = offerings_of([spot("s1")], seen)
    assert (found.price_source, found.from_memory, found.risk_factor) == ("x" * 64, True, 2.0)
    (bare,) = offerings_of([spot("s1")], sight(scores={}))
    assert (bare.from_memory, bare.risk_factor, bare.runtime_score) == (False, 1.0, None)


def test_of_others_a_loss_of_the_last_day_comes_first_and_then_the_share_of_the_list_price():
    usable = (WEB_A, WEB_B, WEB_C)
    cheap_c = {o: quote(o) for o in usable} | {WEB_C: quote(WEB_C, spot_usd_per_hour=0.02)}
    unpriced = cheap_c | {WEB_A: quote(WEB_A, spot_usd_per_hour=None)}

    def order(quotes, lost_hours=None):
        known = {WEB_B: context(WEB_B, lost_hours=lost_hours)}
        seen = sight(quotes=quotes, known=known)
        return [o.offering for o in others_of([], usable, seen)]

    assert order(cheap_c) == [WEB_C, WEB_A, WEB_B]
    large_c = cheap_c | {WEB_C: quote(WEB_C, spot_usd_per_hour=0.05, on_demand_usd_per_hour=0.3)}
    assert order(large_c) == [WEB_C, WEB_A, WEB_B]
    assert order(unpriced) == [WEB_C, WEB_B, WEB_A]
    assert order(cheap_c, LATELY_HOURS) == [WEB_B, WEB_C, WEB_A]
    assert order(cheap_c, LATELY_HOURS + 0.01) == [WEB_C, WEB_A, WEB_B]


def test_what_a_commitment_that_nothing_uses_would_pay_for_is_told_within_a_bound():
    use = CommitmentUse(commitment=plan_of(usd_per_hour=0.15), used=0.0, unused_usd_per_hour=0.15)
    mine = replace(use, offered_to="web")
    (found,) = offerings_of([spot("s1")], sight(coverage=Coverage(uses=(mine,))))
    assert found.idle_nodes == 2.0
    (other,) = offerings_of([spot("s1")], sight(coverage=Coverage(uses=(use,))))
    assert other.idle_nodes == 0.0
    large = replace(mine, commitment=plan_of(usd_per_hour=1e9))
    (most,) = offerings_of([spot("s1")], sight(coverage=Coverage(uses=(large,))))
    assert most.idle_nodes == MAX_IDLE_NODES


def test_a_group_that_lists_one_type_has_it():
    found = usable_by(pool(node_groups=(group(instance_types=("c6i.large",)),)))
    assert "c6i.large/us-east-1a" in names(found)


def test_a_group_that_lists_as_many_types_as_are_looked_at_has_them_all():
    types = tuple(f"c{n}i.large" for n in range(MAX_LISTED_TYPES))
    found = usable_by(pool(node_groups=(group(instance_types=types, zones=("us-east-1c",)),)))
    assert len(found) == 2 + MAX_LISTED_TYPES
    more = (*types, "m6i.large")
    found = usable_by(pool(node_groups=(group(instance_types=more, zones=("us-east-1c",)),)))
    assert names(found) == {"m6i.large/us-east-1a", "m6i.large/us-east-1b", "m6i.large/us-east-1c"}
