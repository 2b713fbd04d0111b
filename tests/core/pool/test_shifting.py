"""Which Spot nodes may move to other Spot, in which order, and whom that could harm."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import CapacityType, Offering, ProvisionerKind
from spotvortex.core.domain.workloads import SURVIVAL_DEFAULT, Need, need_of
from spotvortex.core.pool.context import CycleContext
from spotvortex.core.pool.shifting import NO_AVOIDING, OLD_S, age_s
from spotvortex.core.pool.survival.shift_safety import loss_counts, pick_shiftable, shift_room
from spotvortex.core.pool.survival.zone_loss import losses_of, pods_on, workload_margins
from spotvortex.core.scoring.features import OfferingContext
from tests.core import odd
from tests.core.builders import (
    AT,
    HEALTHY,
    WEB_A,
    WEB_B,
    health,
    load,
    on_demand,
    pdb,
    placed,
    pool,
    quote,
    reduce_pool,
    score,
    spot,
    work,
)

STALE = InputState.STALE
WEB_C = Offering(instance_type="m6i.large", zone="us-east-1c")
ALL = (WEB_A, WEB_B, WEB_C)


def known(offering, **changes):
    values = {"quote": quote(offering), "hours_since_loss": 1.0, "hazard_per_hour": 0.01}
    return OfferingContext(offering=offering, **(values | changes))


def sight(**changes):
    values = {
        "at": AT,
        "quotes": {o: quote(o) for o in ALL},
        "scores": {o: score(o) for o in ALL},
        "inputs": HEALTHY,
        "max_input_age_s": 60.0,
    }
    return CycleContext(**(values | changes))


def reduced(*nodes, seen=None, **changes):
    return reduce_pool(pool(nodes=nodes, **changes), seen or sight())


def names(found):
    return [c.node for c in found.to_shift]


def test_survivors_come_first_and_of_the_rest_two_of_each_offering_in_turn():
    nodes = [spot(f"{z}{i}", o) for z, o in zip("abc", ALL, strict=True) for i in range(3)]
    spared = {WEB_C: known(WEB_C, is_survivor=True, lost_hours=0.5)}
    seen = sight(
        known=spared, scores={o: score(o) for o in ALL} | {WEB_B: score(WEB_B, runtime_score=0.5)}
    )
    assert names(reduced(*nodes, seen=seen)) == ["c0", "c1", "c2", "b0", "b1"]
    over = sight(known={WEB_C: known(WEB_C, is_survivor=True, lost_hours=3.5)}, scores=seen.scores)
    assert names(reduced(*nodes, seen=over)) == ["b0", "b1", "a0", "a1", "c0"]


def test_old_nodes_come_first_and_their_age_is_told():
    found = reduced(
        spot("young", created_at=AT - 60.0), spot("old"), spot("odd", created_at=AT + 9)
    )
    assert [(c.node, c.age_s) for c in found.to_shift] == [("old", 7200), ("young", 60), ("odd", 0)]


def test_no_node_of_a_node_group_shifts_and_a_pool_without_spot_is_not_asked():
    managed = spot("s1", provisioner=ProvisionerKind.MANAGED_NODE_GROUP)
    found = reduced(managed)
    assert (names(found), found.room_shift.no_driver) == ([], NO_AVOIDING)
    assert reduced(on_demand("d1")).room_shift is None


def test_of_a_pair_the_spot_side_gives_the_room_and_of_a_mixed_pool_its_own_group():
    sides = (
        NodeGroupFact(name="web-spot", pool="web", capacity_types=(CapacityType.SPOT,)),
        NodeGroupFact(name="web-od", pool="web", capacity_types=(CapacityType.ON_DEMAND,)),
    )
    found = reduced(spot("s1", node_group="web-spot"), node_groups=sides)
    assert [c.sides for c in found.to_shift] == [("web-spot",)]
    assert (found.room_shift.node_group, found.n_shift_safe) == ("web-spot", 1)
    mixed = (NodeGroupFact(name="web", pool="web", capacity_types=tuple(CapacityType)[:2]),)
    assert [c.sides for c in reduced(spot("s1"), node_groups=mixed).to_shift] == [("web",)]


def test_a_node_whose_pods_would_be_lost_with_their_last_sibling_is_not_safe():
    pair = work("api", healthy_by_node=(("a1", 1), ("b1", 1)))
    found = reduced(spot("a1", WEB_A), spot("b1", WEB_B), workloads=(pair,))
    assert found.n_shift_safe == 0
    together = work("api", healthy_by_node=(("a1", 1), ("a2", 1)))
    found = reduced(spot("a1", WEB_A), spot("a2", WEB_A), workloads=(together,))
    assert found.n_shift_safe == 2


def test_a_budget_bounds_what_moves_only_where_budgets_bind():
    tight = pdb("api", desired_healthy=1, healthy_by_node=(("a1", 1), ("d1", 1)))
    nodes = (spot("a1", WEB_A), on_demand("d1"), on_demand("d2"))
    free = reduced(*nodes, pdbs=(tight,))
    assert [c.node for c in free.to_spot] == ["d1", "d2"]
    bound = reduced(*nodes, seen=sight(budgets_bind=True), pdbs=(tight,))
    assert [c.node for c in bound.to_spot] == ["d2", "d1"]


@pytest.mark.parametrize(
    ("inputs", "is_known"),
    [
        ((), True),
        ((health("owners"), health("namespaces"), health("nodes", state=STALE)), True),
        ((health("owners"), health("namespaces", state=STALE)), False),
        ((health("owners", state=STALE),), False),
        ((health("statefulsets", state=STALE),), False),
    ],
)
def test_owners_words_are_known_where_every_input_that_carries_them_is_read(inputs, is_known):
    assert reduced(spot("s1"), seen=sight(inputs=inputs)).safety.words_known is is_known


@pytest.mark.parametrize(
    ("inputs", "is_known"),
    [((), False), ((health("pdbs"),), True), ((health("pdbs", state=STALE),), False)],
)
def test_budgets_are_known_where_they_are_read(inputs, is_known):
    assert reduced(spot("s1"), seen=sight(inputs=inputs)).safety.known is is_known


def test_of_survivors_the_last_loss_comes_first_to_the_hundredth_of_an_hour():
    nodes = [spot(f"{z}1", o) for z, o in zip("abc", ALL, strict=True)]
    spared = {
        o: known(o, is_survivor=True, lost_hours=h)
        for o, h in zip(ALL, (0.504, 0.502, 0.49), strict=True)
    }
    assert names(reduced(*nodes, seen=sight(known=spared))) == ["c1", "a1", "b1"]


def test_survivors_count_as_such_for_three_hours():
    nodes = [spot("a1", WEB_A), spot("c1", WEB_C)]
    for hours, first in ((3.0, "c1"), (3.01, "a1")):
        spared = {WEB_C: known(WEB_C, is_survivor=True, lost_hours=hours)}
        assert names(reduced(*nodes, seen=sight(known=spared)))[0] == first


def test_what_looks_dearer_by_price_or_by_risk_moves_first():
    nodes = [spot("a1", WEB_A), spot("b1", WEB_B)]
    dear = sight(quotes={o: quote(o) for o in ALL} | {WEB_B: quote(WEB_B, spot_usd_per_hour=0.05)})
    assert names(reduced(*nodes, seen=dear)) == ["b1", "a1"]
    risky = sight(scores={WEB_A: score(WEB_A), WEB_B: score(WEB_B, runtime_score=0.9)})
    assert names(reduced(*nodes, seen=risky)) == ["b1", "a1"]
    unknown = sight(quotes={WEB_A: quote(WEB_A)})
    assert names(reduced(*nodes, seen=unknown)) == ["b1", "a1"]


@pytest.mark.parametrize(("spot_usd", "first"), [(0.0555, "b1"), (0.057, "a1")])
def test_a_node_that_may_be_lost_is_paid_for_half_of_that_time_less(spot_usd, first):
    """0.5 x (1 - 0.5 / 2) + 0.5 x (0.25 / 2 + 0.25) = 0.5625 of the on-demand price."""
    dear = quote(WEB_A, spot_usd_per_hour=spot_usd), quote(WEB_B, spot_usd_per_hour=0.05)
    seen = sight(
        quotes=dict(zip(ALL, dear, strict=False)),
        scores={WEB_A: score(WEB_A, runtime_score=0.0), WEB_B: score(WEB_B, runtime_score=0.5)},
    )
    assert names(reduced(spot("a1", WEB_A), spot("b1", WEB_B), seen=seen))[0] == first


@pytest.mark.parametrize(("hours", "first"), [((1.0, 3.0), "a1"), ((3.0, 5.0), "b1")])
def test_how_dear_a_risk_is_follows_from_the_mean_of_what_owners_say(hours, first):
    dear = quote(WEB_A, spot_usd_per_hour=0.09), quote(WEB_B, spot_usd_per_hour=0.05)
    seen = sight(
        quotes=dict(zip(ALL, dear, strict=False)),
        scores={WEB_A: score(WEB_A, runtime_score=0.0), WEB_B: score(WEB_B, runtime_score=0.3)},
    )
    one, other = (load(outage_hours=said) for said in hours)
    nodes = [spot("a1", WEB_A, load=one), spot("b1", WEB_B, load=other)]
    assert names(reduced(*nodes, seen=seen))[0] == first


def test_the_node_that_this_process_runs_on_moves_last():
    found = reduced(spot("a1"), spot("a2"), seen=sight(own_node="a1"))
    assert names(found) == ["a2", "a1"]


def test_what_an_order_is_about_or_the_model_does_not_cover_does_not_shift():
    seen = sight(
        in_flight_uids=frozenset({"uid-a1"}),
        scores={WEB_A: score(WEB_A), WEB_B: score(WEB_B, in_scope=False)},
    )
    assert names(reduced(spot("a1"), spot("a2"), spot("b1", WEB_B), seen=seen)) == ["a2"]


def test_a_node_of_two_hours_is_old_and_one_a_second_younger_is_not():
    young = spot("a", created_at=AT - OLD_S + 1.0, load=load(n_workload_pods=1))
    for made_at in (AT - OLD_S, AT - OLD_S - 1.0):
        old = spot("b", created_at=made_at, load=load(n_workload_pods=9))
        assert names(reduced(young, old)) == ["b", "a"]


def test_an_age_is_told_in_whole_seconds_from_the_first_on():
    for ago_s, age in ((1.0, 1), (1.9, 1), (0.5, 0), (0.0, 0), (math.nan, 0), (math.inf, 0)):
        assert age_s(spot("s", created_at=AT - ago_s), AT) == age


def test_of_old_nodes_the_one_with_fewest_pods_and_then_least_cpu_moves_first():
    nodes = (
        spot("s1", load=load(n_workload_pods=2, workload_cpu_milli=900)),
        spot("s2", load=load(n_workload_pods=1, workload_cpu_milli=900)),
        spot("s3", load=load(n_workload_pods=1, workload_cpu_milli=800)),
    )
    assert names(reduced(*nodes)) == ["s3", "s2", "s1"]


def test_of_a_workload_whose_word_cannot_be_read_no_pod_shifts():
    fact = placed(work("api", healthy_by_node=(("a1", 9),), said="odd"), spot("a1", WEB_A))
    assert shift_room(loss_counts(fact), need_of(fact, SURVIVAL_DEFAULT), WEB_A, "web") == 0


LARGER_A = Offering(instance_type="m6i.xlarge", zone="us-east-1a")


@pytest.mark.parametrize(
    ("by_offering", "n_more", "need", "left", "n_pods"),
    [
        # Half of 6 stay: the loss of 3 is just borne, of 1 there are 2 to spare.
        ({WEB_A: 3, WEB_B: 1}, 2, Need(after_offering=3, after_zone=2), WEB_A, 2),
        ({WEB_A: 3, WEB_B: 1}, 2, Need(after_offering=3, after_zone=2), WEB_B, 0),
        # A zone is lost as a whole, and so is what it leaves.
        ({WEB_A: 2, LARGER_A: 2, WEB_B: 1}, 1, Need(after_offering=1, after_zone=2), WEB_A, 3),
        ({WEB_A: 2, LARGER_A: 2, WEB_B: 1}, 1, Need(after_offering=1, after_zone=2), WEB_B, 0),
        ({WEB_A: 2, LARGER_A: 2, WEB_B: 1}, 1, Need(after_offering=3, after_zone=1), WEB_A, 1),
        # A loss that takes too much already may go on taking as much.
        ({WEB_A: 4, WEB_B: 1}, 0, Need(after_offering=3, after_zone=0), WEB_A, 3),
        ({WEB_A: 4}, 0, Need(after_offering=4, after_zone=0), WEB_A, 4),
    ],
)
def test_as_many_pods_may_move_as_no_other_loss_hits_harder_for(
    by_offering, n_more, need, left, n_pods
):
    nodes = [spot(f"s{i}", o) for i, o in enumerate(by_offering)] + [on_demand("d")]
    healthy = [*((f"s{i}", n) for i, n in enumerate(by_offering.values())), ("d", n_more)]
    fact = placed(work("api", healthy_by_node=tuple(healthy)), *nodes)
    assert shift_room(loss_counts(fact), need, left, "web") == n_pods


def test_pods_on_the_move_are_lost_with_what_hits_most_and_not_where_they_are():
    nodes = (spot("s1", WEB_A, moving=True), spot("s2", WEB_B), on_demand("d"))
    fact = placed(work("api", healthy_by_node=(("s1", 1), ("s2", 2), ("d", 3))), *nodes)
    need = Need(after_offering=2, after_zone=0)
    assert shift_room(loss_counts(fact), need, WEB_B, "web") == 3
    assert shift_room(loss_counts(fact), need, WEB_A, "web") == 1


counts = st.lists(st.integers(0, 4), min_size=6, max_size=6)


@odd.many
@given(counts, st.integers(0, 8), st.sampled_from(ALL), st.sampled_from(ALL), st.integers(0, 9))
def test_wherever_the_pods_land_the_worst_loss_takes_no_more_than_before(
    n_pods, n_kept, left, landed, n_moved
):
    """Nodes of one offering move, and all of their pods land together in another one."""
    nodes = [spot(f"s{i}", ALL[i % 3]) for i in range(5)] + [on_demand("d")]
    healthy = tuple((n.name, c) for n, c in zip(nodes, n_pods, strict=True) if c)
    fact = placed(work("api", healthy_by_node=healthy, n_replicas=n_kept), *nodes)
    facts = pool(nodes=tuple(nodes), workloads=(fact,))
    order = [n for n in nodes if n.offering == left and n.name != "d"]
    margins = workload_margins(facts, SURVIVAL_DEFAULT)
    on_node = pods_on(facts.workloads, {n.name for n in nodes})
    moved = pick_shiftable(order, on_node, margins, "web", n_moved)
    assert len(moved) <= n_moved
    gone = {n.name for n in moved}
    after = [replace(n, offering=landed) if n.name in gone else n for n in nodes]
    need = need_of(fact, SURVIVAL_DEFAULT)
    assert worst(placed(fact, *after), need) <= max(0, worst(fact, need))


def worst(fact, need):
    return max((loss.short for loss in losses_of(fact, need) if loss.what != "all Spot"), default=0)
