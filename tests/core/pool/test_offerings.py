"""Which Spot offerings a pool may use, and what is known of those that it does not hold."""

from dataclasses import replace

from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.pool.input import MAX_OTHERS
from spotvortex.core.pool.offerings import MAX_SIBLINGS, usable_by, usable_in
from tests.core.builders import (
    WEB_A,
    WEB_B,
    assessed_with,
    cluster,
    market,
    observation,
    pool,
    quote,
    score,
)

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
