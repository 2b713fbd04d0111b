"""The interruption memory learns from losses that were losses, and from nothing else."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.cloud.exits import NodeExit
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.types import Offering, Predictor
from spotvortex.core.drain import orders
from spotvortex.core.drain.messages import OrderKind
from spotvortex.core.scoring.calibration.live import (
    JUDGED_AFTER_S,
    Prediction,
    followed,
    noted,
)
from spotvortex.core.scoring.hazard import Age, multiple
from spotvortex.core.scoring.interruption_memory import (
    DECAY_HOURS,
    EMPTY_MEMORY,
    MADE_BEFORE_S,
    MAX_OFFERINGS,
    NEVER_HELD_HOURS,
    PRIOR_HAZARD_PER_HOUR,
    PRIOR_LEVEL_PER_HOUR,
    OfferingMemory,
    context,
    remembered_score,
    update,
)
from spotvortex.core.scoring.loss_evidence import LossEvidence
from spotvortex.core.scoring.node_ends import MAX_GAP_S
from tests.core import odd
from tests.core.builders import AT, WEB_A, WEB_B, cluster, health, market, on_demand, pool, spot
from tests.core.in_flight import order

STEP_S = 60.0


def held(*names, **changes):
    return cluster(pool(nodes=tuple(spot(n, **changes) for n in names)))


def remember(*clusters, step_s=STEP_S, start=EMPTY_MEMORY):
    memory = start
    for i, facts in enumerate(clusters):
        at = AT + i * step_s
        before = clusters[i - 1] if i else facts
        seen = facts if facts.exits else silenced(before, facts, at)
        memory = update(memory, seen, at, orders.in_flight(facts).interrupted)
    return memory


def silenced(before, after, at):
    """What is gone had fallen silent, and was deleted a moment later; what left, left in order."""
    there = {node.uid for node in after.nodes}
    return replace(
        after,
        exits=tuple(
            NodeExit(uid=n.uid, in_order=n.leaving, not_ready_since=at - 40.0)
            for n in before.nodes
            if n.uid not in there
        ),
    )


def losses(memory, offering=WEB_A):
    return memory.offerings[offering].losses


def test_a_node_that_falls_silent_and_is_deleted_is_a_loss_and_is_named_once():
    memory = remember(held("s1", "s2"), held("s1"))
    (lost,) = memory.lost
    assert (lost.node, lost.offering, lost.evidence) == ("s2", WEB_A, LossEvidence.NOT_READY)
    assert update(memory, held("s1"), AT + 2 * STEP_S).lost == ()
    assert losses(memory) == 1.0
    assert memory.offerings[WEB_A].last_loss_at == AT + STEP_S


@pytest.mark.parametrize("orderly", [{"cordoned": True}, {"moving": True}])
def test_a_node_that_goes_in_order_is_no_loss(orderly):
    assert losses(remember(held("s1", "s2", **orderly), held("s1", **orderly))) == 0.0


def test_a_node_that_the_watch_saw_go_in_order_is_no_loss():
    exits = (
        NodeExit(uid=spot("s2").uid, in_order=True),
        NodeExit(uid=spot("s3").uid, not_ready_since=AT),
    )
    memory = remember(held("s1", "s2", "s3"), replace(held("s1"), exits=exits))
    assert [lost.node for lost in memory.lost] == ["s3"]


def test_a_ready_node_that_vanishes_or_of_which_nothing_is_known_is_no_loss():
    """The cloud ends no node that is Ready: a person deletes it, or the view has begun anew."""
    memory = remember(held("s1", "s2"))
    assert losses(update(memory, held("s1"), AT + STEP_S)) == 0.0
    ready = replace(held("s1"), exits=(NodeExit(uid=spot("s2").uid),))
    assert losses(update(memory, ready, AT + STEP_S)) == 0.0


@pytest.mark.parametrize(
    ("kind", "reason", "n_lost"),
    [
        (OrderKind.INTERRUPTION, "notice interruption", 1.0),
        (OrderKind.INTERRUPTION, "notice scheduled-change", 0.0),
        (OrderKind.DRAIN, "DECREASE_10 medium_risk", 0.0),
    ],
)
def test_a_node_that_we_emptied_on_notice_is_a_loss_and_one_that_we_moved_is_not(
    kind, reason, n_lost
):
    going = spot("s2", cordoned=True, ready=False)
    mark = orders.to_text(order("s2", kind=kind, reason=reason, uid=going.uid))
    before = cluster(pool(nodes=(spot("s1"), replace(going, mark=mark))))
    after = replace(held("s1"), exits=(NodeExit(uid=going.uid, in_order=True),))
    assert losses(remember(before, after)) == n_lost


def test_a_node_that_leaves_its_pool_is_no_loss():
    moved = cluster(pool(nodes=(spot("s1"),)), unpooled=(spot("s2"),))
    assert losses(remember(held("s1", "s2"), moved)) == 0.0


def test_a_node_that_is_no_spot_is_not_counted():
    memory = remember(cluster(pool(nodes=(on_demand("d1"),))), cluster(pool(nodes=())))
    assert memory.offerings == {}


def test_a_long_gap_teaches_nothing():
    memory = remember(held("s1", "s2"), held("s1"), step_s=MAX_GAP_S + 1.0)
    assert losses(memory) == 0.0
    assert memory.offerings[WEB_A].exposure_hours == 0.0
    assert memory.at == AT + MAX_GAP_S + 1.0


@pytest.mark.parametrize(("gap_s", "n_lost"), [(MAX_GAP_S, 1.0), (MAX_GAP_S + 1.0, None)])
def test_over_a_long_gap_no_prediction_can_be_judged(gap_s, n_lost):
    there, gone = held("s1", "s2"), held("s1")
    start = remember(there)
    said = Prediction(at=AT, offering=WEB_A, band=None, said={Predictor.MEMORY: (0.1, 0.2)})
    told = replace(start, calibration=noted(start.calibration, [said]))
    after = update(told, silenced(there, gone, AT + gap_s), AT + gap_s)
    later = update(after, held("s1"), AT + gap_s + 1.0)
    judged = followed(later.calibration, AT + JUDGED_AFTER_S, set(), {WEB_A})
    found = judged.pooled(Predictor.MEMORY, 60)
    assert (found.lost if found.n else None) == n_lost


@pytest.mark.parametrize(
    "inputs", [(), (health("nodes", state=InputState.STALE),), (health("pods"),)]
)
def test_nothing_is_learned_while_nodes_cannot_be_seen(inputs):
    before = remember(held("s1", "s2"))
    blind = cluster(pool(nodes=()), inputs=inputs)
    assert update(before, blind, AT + STEP_S) == before


def test_a_short_blindness_is_made_up_for():
    before = remember(held("s1", "s2"))
    blind = cluster(inputs=(health("nodes", state=InputState.STALE),))
    seen = silenced(held("s1", "s2"), held("s1"), AT + 120.0)
    after = update(update(before, blind, AT + 60.0), seen, AT + 120.0)
    assert losses(after) == 1.0


def test_exposure_counts_node_hours():
    memory = remember(*[held("s1", "s2")] * 61)
    decayed = sum(2.0 / 60.0 * math.exp(-m / 60.0 / DECAY_HOURS) for m in range(60))
    assert memory.offerings[WEB_A].exposure_hours == pytest.approx(decayed)


def test_a_clock_that_goes_back_adds_no_exposure():
    memory = update(remember(held("s1")), held("s1"), AT - 3600.0)
    assert memory.offerings[WEB_A].exposure_hours == 0.0


def test_a_clock_that_goes_back_fades_nothing():
    memory = remember(held("s1", "s2"), held("s1"))
    back = update(memory, held("s1"), AT - 3600.0)
    assert losses(back) == losses(memory)


def test_losses_and_exposure_fade():
    memory = remember(held("s1", "s2"), held("s1"))
    later = update(memory, held("s1"), AT + STEP_S + DECAY_HOURS * 3600.0)
    assert losses(later) == pytest.approx(math.exp(-1.0))


def shaped(*ages_min, is_survivor=False):
    """Sum of the shape over whole minutes that begin at these ages, both ages alike."""
    middles = [(m + 0.5) / 60.0 for m in ages_min]
    return sum(
        multiple(Age(held_hours=h, since_loss_hours=h, is_survivor=is_survivor)) / 60.0
        for h in middles
    )


def test_hours_held_count_by_their_age_and_once_however_many_nodes():
    one, four = (
        remember(*[held(*names, created_at=AT)] * 31)
        for names in (("s1",), ("s1", "s2", "s3", "s4"))
    )
    found = one.offerings[WEB_A].shaped_hours
    assert found == four.offerings[WEB_A].shaped_hours
    assert found == pytest.approx(shaped(*range(30)), rel=0.01)
    # By hand: 28 x the old hazard for 5 minutes, then about 22 on the way to 17.
    assert found == pytest.approx(0.5 * 23.4, rel=0.05)


def test_an_old_hold_counts_its_hours_as_they_are():
    memory = remember(*[held("s1", created_at=AT - 86_400.0)] * 61)
    assert memory.offerings[WEB_A].shaped_hours == pytest.approx(1.0, rel=0.01)


def test_a_loss_counts_as_the_share_that_it_took():
    memory = remember(held("s1", "s2", "s3", "s4"), held("s1"))
    assert memory.offerings[WEB_A].loss_shares == 0.75
    assert memory.offerings[WEB_A].left_survivors
    whole = remember(held("s1", "s2"), cluster(pool(nodes=())))
    assert whole.offerings[WEB_A].loss_shares == 1.0
    assert not whole.offerings[WEB_A].left_survivors


def test_the_level_is_the_posterior_by_hand():
    known = OfferingMemory(loss_shares=0.75, shaped_hours=36.0, updated_at=AT)
    # A new node's first day is 68.7 hours: (0.002 x 68.7 + 0.75) / (68.7 + 36)
    assert known.level_per_hour(0.002) == pytest.approx(0.00848, abs=5e-6)
    assert OfferingMemory(updated_at=AT).level_per_hour(0.002) == pytest.approx(0.002)


def test_offerings_share_a_level():
    memory = remember(held("s1", "s2"), held("s1"))
    known = memory.offerings[WEB_A]
    # 2.5 first days of a node: (prior x 171.7 + 0.5) / (171.7 + shaped hours)
    expected = (PRIOR_LEVEL_PER_HOUR * 171.7079 + 0.5) / (171.7079 + known.shaped_hours)
    assert memory.shared_per_hour == pytest.approx(expected)
    other = context(memory, WEB_B, market(), AT + STEP_S)
    assert other.level_per_hour == pytest.approx(expected)
    assert context(EMPTY_MEMORY, WEB_B, market(), AT).level_per_hour == pytest.approx(
        PRIOR_LEVEL_PER_HOUR
    )


def test_what_the_level_is_made_of_fades():
    memory = remember(held("s1", "s2"), held("s1"))
    later = update(memory, held("s1"), AT + STEP_S + DECAY_HOURS * 3600.0)
    assert later.offerings[WEB_A].loss_shares == pytest.approx(0.5 * math.exp(-1.0))
    before = memory.offerings[WEB_A].shaped_hours
    assert later.offerings[WEB_A].shaped_hours == pytest.approx(before * math.exp(-1.0))


def test_a_long_gap_teaches_nothing_of_the_level_either():
    memory = remember(held("s1", "s2"), held("s1"), step_s=MAX_GAP_S + 1.0)
    known = memory.offerings[WEB_A]
    assert (known.loss_shares, known.shaped_hours) == (0.0, 0.0)
    assert not known.left_survivors


def scores(**changes):
    found = context(EMPTY_MEMORY, WEB_A, market(), AT)
    scored = remembered_score(replace(found, **changes))
    return scored.capacity_score, scored.runtime_score


ages = st.floats(0.0, 1e4)


@odd.many
@given(ages, ages, ages, ages, st.floats(1e-6, 1.0), st.booleans())
def test_an_older_offering_is_safer_all_else_equal(held_h, since_h, more, older, level, survivor):
    fixed = {"level_per_hour": level, "is_survivor": survivor}
    young = scores(held_hours=held_h, hours_since_loss=since_h, **fixed)
    old = scores(held_hours=held_h + more, hours_since_loss=since_h + older, **fixed)
    assert all(0.0 <= a <= b + 1e-12 <= 1.0 + 1e-9 for a, b in zip(old, young, strict=True))
    assert young[0] <= young[1]


def test_a_score_is_the_level_times_the_shape_over_the_horizon():
    capacity, runtime = scores(held_hours=100.0, hours_since_loss=100.0, level_per_hour=0.01)
    assert capacity == pytest.approx(1.0 - math.exp(-0.01))
    assert runtime == pytest.approx(1.0 - math.exp(-0.02))


def test_without_a_level_the_prior_answers():
    aged = {"held_hours": 100.0, "hours_since_loss": 100.0}
    assert scores(level_per_hour=None, **aged) == scores(**aged)


def test_survivors_of_a_partial_loss_are_at_risk_and_calm_down():
    old = {"created_at": AT - 86_400.0}
    memory = remember(held("s1", "s2", **old), held("s1", **old))
    calm = remember(held("s1", "s2", **old), held("s1", "s2", **old))

    def runtime(known, minutes):
        found = context(known, WEB_A, market(), AT + STEP_S + minutes * 60.0)
        return remembered_score(found).runtime_score

    at_once, soon, later = (runtime(memory, m) for m in (0.0, 11.0, 200.0))
    assert at_once > 1.5 * soon > 3.0 * later > 6.0 * runtime(calm, 200.0)


counts = st.floats(0.0, 50.0)


@odd.many
@given(counts, st.floats(0.0, 1e5))
def test_the_posterior_lies_between_prior_and_evidence(lost, hours):
    found = OfferingMemory(losses=lost, exposure_hours=hours, updated_at=AT).hazard_per_hour
    evidence = lost / hours if hours else (math.inf if lost else PRIOR_HAZARD_PER_HOUR)
    low, high = sorted((PRIOR_HAZARD_PER_HOUR, evidence))
    assert low * (1 - 1e-9) <= found <= high * (1 + 1e-9)


@odd.many
@given(counts, counts, st.floats(0.0, 1e5))
def test_more_losses_never_lower_the_hazard(one, other, hours):
    low, high = (
        OfferingMemory(losses=n, exposure_hours=hours, updated_at=AT).hazard_per_hour
        for n in sorted((one, other))
    )
    assert low <= high


def hours_since_loss(memory, now, offering=WEB_A):
    return context(memory, offering, market(), now).hours_since_loss


def test_hours_count_from_the_last_loss():
    memory = remember(held("s1", "s2"), held("s1"))
    assert hours_since_loss(memory, AT + STEP_S + 7200.0) == pytest.approx(2.0)


def test_hours_count_from_the_oldest_node_where_none_was_lost():
    facts = cluster(pool(nodes=(spot("s1", created_at=AT - 7200.0), spot("s2", created_at=AT))))
    assert hours_since_loss(remember(facts), AT) == pytest.approx(2.0)


def test_an_offering_that_has_just_come_has_held_no_hours():
    memory = remember(cluster(pool(nodes=())), held("s1"))
    assert memory.offerings[WEB_A].shaped_hours == 0.0


def test_a_start_is_told_however_early_it_was():
    assert remember(held("s1", created_at=0.5)).offerings[WEB_A].held_since == 0.5


@pytest.mark.parametrize("no_time", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_a_start_that_is_no_time_tells_nothing(no_time):
    memory = remember(held("s1", created_at=no_time))
    assert memory.offerings[WEB_A].held_since is None
    assert hours_since_loss(memory, AT) == NEVER_HELD_HOURS


def test_held_since_outlives_the_oldest_node_but_not_a_break():
    old, young = (held(n, created_at=c) for n, c in (("s1", AT - 7200.0), ("s2", AT - 60.0)))
    both = cluster(pool(nodes=(*old.pools[0].nodes, *young.pools[0].nodes)))
    gone = held("s1", "s2", cordoned=True)
    memory = remember(both, gone, young, start=EMPTY_MEMORY)
    assert memory.offerings[WEB_A].held_since == AT - 7200.0
    left = update(memory, cluster(pool(nodes=(spot("x", WEB_B),))), AT + 1000.0)
    assert left.offerings[WEB_A].held_since is None


def test_an_offering_never_held_is_at_the_prior():
    found = context(EMPTY_MEMORY, WEB_A, market(), AT)
    assert found.hours_since_loss == NEVER_HELD_HOURS
    assert found.hazard_per_hour == PRIOR_HAZARD_PER_HOUR


def test_an_offering_no_longer_held_and_never_lost_is_as_if_never_held():
    memory = remember(held("s1", cordoned=True), cluster(pool(nodes=())))
    assert hours_since_loss(memory, AT + STEP_S) == NEVER_HELD_HOURS
    assert context(memory, WEB_A, market(), AT).hazard_per_hour <= PRIOR_HAZARD_PER_HOUR


def test_an_offering_without_a_quote_has_an_empty_one():
    found = context(EMPTY_MEMORY, Offering(instance_type="x9.large", zone="a"), market(), AT)
    assert found.quote.spot_usd_per_hour is None


@pytest.mark.parametrize("after", [held("s1"), held("s1", "s2")], ids=["lost", "held"])
def test_the_memory_is_bounded_and_keeps_what_has_most_evidence(after):
    many = [Offering(instance_type=f"t{i}.large", zone="a") for i in range(MAX_OFFERINGS)]
    first = remember(held("s1", "s2"), after)
    crowd = cluster(pool(nodes=tuple(spot(f"n{i}", o) for i, o in enumerate(many))))
    memory = update(first, crowd, AT + 2 * STEP_S)
    assert len(memory.offerings) == MAX_OFFERINGS
    assert WEB_A in memory.offerings
    assert list(memory.offerings) == sorted(memory.offerings)


@odd.few
@given(st.lists(odd.observations(), max_size=4), st.lists(odd.odd_floats, min_size=4, max_size=4))
def test_no_observation_is_too_odd(observed, ages):
    memory = EMPTY_MEMORY
    for i, one in enumerate(observed):
        memory = update(memory, one.cluster, AT + i * STEP_S)
        for offering in memory.offerings:
            found = context(memory, offering, one.market, AT)
            assert 0.0 < found.hazard_per_hour < 1.0
            assert not found.hours_since_loss < 0.0


@odd.few
@given(odd.observations(), st.randoms(use_true_random=False))
def test_the_order_of_pools_and_nodes_does_not_matter(observed, rng):
    pools = [
        pool(p.name, nodes=tuple(rng.sample(p.nodes, len(p.nodes)))) for p in observed.cluster.pools
    ]
    mixed = cluster(*rng.sample(pools, len(pools)), inputs=observed.cluster.inputs)
    plain = update(EMPTY_MEMORY, observed.cluster, AT).offerings
    assert repr(update(EMPTY_MEMORY, mixed, AT).offerings) == repr(plain)


def test_a_node_that_comes_up_is_a_launch_and_one_that_comes_into_sight_is_none():
    old, new = spot("old", created_at=AT - 1e6), spot("new", created_at=AT + 30.0)
    memory = update(EMPTY_MEMORY, cluster(pool(nodes=(spot("first", created_at=AT),))), AT)
    assert (memory.launched, memory.offerings[WEB_A].launches) == (0, 0.0)
    nodes = (spot("first", created_at=AT), old, new)
    memory = update(memory, cluster(pool(nodes=nodes)), AT + STEP_S)
    assert (memory.launched, memory.offerings[WEB_A].launches) == (1, 1.0)
    memory = update(memory, cluster(pool(nodes=nodes)), AT + 2 * STEP_S)
    assert memory.launched == 0


@pytest.mark.parametrize(("before_s", "n"), [(MADE_BEFORE_S, 0), (MADE_BEFORE_S - 1.0, 1)])
def test_a_new_node_was_launched_unless_it_was_made_long_before_the_last_look(before_s, n):
    memory = update(EMPTY_MEMORY, cluster(pool(nodes=())), AT)
    new = cluster(pool(nodes=(spot("new", created_at=AT - before_s),)))
    assert update(memory, new, AT + STEP_S).launched == n


def test_what_was_told_once_is_not_told_again_while_the_view_is_stale():
    seen = cluster(pool(nodes=(spot("s", created_at=AT),)))
    memory = update(EMPTY_MEMORY, cluster(pool(nodes=())), AT)
    memory = update(memory, seen, AT + STEP_S)
    assert memory.launched == 1
    stale = replace(seen, inputs=(health("nodes", state=InputState.STALE),))
    later = update(memory, stale, AT + 2 * STEP_S)
    assert (later.launched, later.offerings) == (0, memory.offerings)
