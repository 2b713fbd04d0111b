"""What a decision reads of a pool: sums, candidates in order, and nothing that is no figure."""

import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.group_state import GroupWords
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import (
    Blocker,
    CapacityType,
    Fallback,
    Offering,
    ProvisionerKind,
)
from spotvortex.core.pool.context import CycleContext, trusted
from spotvortex.core.pool.input import MAX_CANDIDATES, MAX_OFFERINGS, Money, Risk
from spotvortex.core.pool.reduction import MEMORY_CONFIDENCE, reduce_summary
from spotvortex.core.pool.summary import LastAnswers, summary_of
from tests.core import odd
from tests.core.builders import (
    AT,
    HEALTHY,
    WEB_A,
    WEB_B,
    health,
    load,
    node,
    on_demand,
    pdb,
    pool,
    quote,
    reduce_pool,
    score,
    spot,
    with_load_blocker,
    work,
)

BOTH = (WEB_A, WEB_B)


def sight(**changes):
    values = {
        "at": AT,
        "quotes": {o: quote(o) for o in BOTH},
        "scores": {o: score(o) for o in BOTH},
        "inputs": HEALTHY,
        "max_input_age_s": 60.0,
    }
    return CycleContext(**(values | changes))


def reduced(*nodes, seen=None, **changes):
    facts = pool(nodes=nodes, **changes)
    return reduce_pool(facts, seen or sight())


def test_nodes_are_counted_by_capacity_type():
    found = reduced(
        spot("s1"),
        spot("s2", moving=True),
        on_demand("d1", cordoned=True),
        node("r1", capacity_type=CapacityType.RESERVED),
        node("u1", capacity_type=CapacityType.UNKNOWN, ready=False),
    )
    assert (found.n_spot, found.n_on_demand, found.n_reserved, found.n_unknown) == (2, 1, 1, 1)
    assert (found.n_moving, found.n_not_ready, found.n_counted) == (2, 1, 4)
    assert found.spot_ratio == 0.5


def test_an_empty_pool_has_no_ratio_and_no_confidence():
    found = reduced()
    assert (found.n_counted, found.spot_ratio, found.confidence) == (0, 0.0, 0.0)
    assert found.limiting_term == "nodes"
    assert found.spot_risk == Risk(capacity=None, runtime=None)


def test_a_reduced_input_without_terms_has_no_limiting_one():
    assert replace(reduced(), confidence_terms=()).limiting_term == ""


def test_of_two_terms_alike_the_first_by_name_limits():
    for terms in ((("b", 0.5), ("a", 0.5)), (("a", 0.5), ("b", 0.5), ("c", 0.9))):
        assert replace(reduced(), confidence_terms=terms).limiting_term == "a"


@pytest.mark.parametrize(
    "held",
    [
        {"cordoned": True},
        {"moving": True},
        {"ready": False},
        {"do_not_disrupt": True},
    ],
)
def test_a_node_that_is_held_in_place_is_no_candidate(held):
    found = reduced(spot("s1", **held), spot("s2"), on_demand("d1", **held))
    assert [c.node for c in found.to_on_demand] == ["s2"]
    assert found.to_spot == ()


@pytest.mark.parametrize(
    ("blocker", "to_on_demand", "to_spot"),
    [
        (Blocker.BARE_POD, 0, 0),
        (Blocker.LOCAL_STORAGE, 0, 0),
        (Blocker.SINGLE_REPLICA, 0, 0),
        (Blocker.TWO_PDBS, 0, 0),
        (Blocker.VOLUME, 1, 1),
        (Blocker.PINNED_ON_DEMAND, 1, 0),
        (Blocker.PINNED_SPOT, 0, 1),
    ],
)
def test_a_blocked_workload_holds_its_node(blocker, to_on_demand, to_spot):
    found = reduced(
        with_load_blocker(spot("s1"), blocker), with_load_blocker(on_demand("d1"), blocker)
    )
    assert (found.n_spot_movable, found.n_on_demand_movable) == (to_on_demand, to_spot)
    assert found.blocked == ((blocker, 2),)


@pytest.mark.parametrize("kind", [k for k in ProvisionerKind if k is not ProvisionerKind.KARPENTER])
def test_nodes_that_no_driver_moves_are_decided_on_and_said_to_be_such(kind):
    nodes = [spot("s1", provisioner=kind), on_demand("d1", provisioner=kind)]
    found = reduced(*nodes)
    assert [(c.node, c.sides) for c in (*found.to_on_demand, *found.to_spot)] == [
        ("s1", ()),
        ("d1", ()),
    ]
    assert found.room_on_demand.no_driver == found.room_spot.no_driver == kind.value
    full = replace(nodes[0], cordoned=True)
    assert reduced(full).room_on_demand.no_driver == kind.value


def by_groups(*nodes, **words):
    groups = (
        NodeGroupFact(
            name="labels/web/spot",
            pool="web",
            capacity_types=(CapacityType.SPOT,),
            words=GroupWords(no_release=words.get("no_release", "")),
        ),
        NodeGroupFact(
            name="labels/web/on-demand",
            pool="web",
            capacity_types=(CapacityType.ON_DEMAND,),
            words=GroupWords(no_growth=words.get("no_growth", "")),
        ),
    )
    return reduced(*nodes, node_groups=groups)


@pytest.mark.parametrize("words", [{"no_release": "it is protected"}, {"no_growth": "it is full"}])
def test_what_speaks_against_moving_nodes_by_their_groups_is_said(words):
    kind = ProvisionerKind.CLUSTER_AUTOSCALER
    moved = spot("s1", provisioner=kind, node_group="labels/web/spot")
    assert by_groups(moved).room_on_demand.no_driver == ""
    assert by_groups(moved, **words).room_on_demand.no_driver == next(iter(words.values()))


def test_a_node_that_must_not_end_stays_and_the_others_move():
    kind = ProvisionerKind.CLUSTER_AUTOSCALER
    held = spot("s1", provisioner=kind, node_group="labels/web/spot")
    free = spot("s2", provisioner=kind, node_group="labels/web/spot-b")
    found = by_groups(held, free, no_release="it is protected")
    assert [c.node for c in found.to_on_demand] == ["s2"]
    assert found.room_on_demand.no_driver == ""


def test_of_a_pool_with_sides_of_both_kinds_only_the_driven_nodes_move():
    group = ProvisionerKind.MANAGED_NODE_GROUP
    found = reduced(spot("s1", provisioner=group, node_group=""), spot("s2"))
    assert [(c.node, c.sides) for c in found.to_on_demand] == [("s2", ("web",))]
    assert (found.n_spot, found.n_spot_movable, found.room_on_demand.no_driver) == (2, 1, "")


def test_candidates_of_a_pair_name_the_other_side():
    kinds = (("web-spot", CapacityType.SPOT), ("web-od", CapacityType.ON_DEMAND))
    policy = {"pool": "web", "consolidation": "WhenEmptyOrUnderutilized"}
    groups = tuple(NodeGroupFact(name=n, capacity_types=(k,), **policy) for n, k in kinds)
    nodes = spot("s1", node_group="web-spot"), on_demand("d1", node_group="web-od")
    found = reduced(*nodes, node_groups=groups)
    assert not found.consolidates
    assert [c.sides for c in (*found.to_on_demand, *found.to_spot)] == [("web-od",), ("web-spot",)]
    assert (found.room_on_demand.node_group, found.room_spot.node_group) == ("web-od", "web-spot")


def test_a_budget_without_room_holds_the_nodes_of_its_pods():
    budget = pdb(disruptions_allowed=0, healthy_by_node=(("s1", 1),))
    found = reduced(spot("s1", do_not_disrupt=True), spot("s2"), pdbs=(budget,))
    assert [c.node for c in found.to_on_demand] == ["s2"]
    assert found.blocked == ((Blocker.DO_NOT_DISRUPT, 1), (Blocker.PDB_ALLOWS_ZERO, 1))


def test_riskier_offerings_are_left_first_and_in_turn_with_the_smallest_node_first():
    seen = sight(scores={WEB_A: score(WEB_A), WEB_B: score(WEB_B, runtime_score=0.5)})
    small = load(n_workload_pods=1)
    found = reduced(
        spot("a1"), spot("a2", load=small), spot("b1", WEB_B), spot("b2", WEB_B), seen=seen
    )
    assert [c.node for c in found.to_on_demand] == ["b1", "a2", "b2", "a1"]


def test_an_offering_without_a_score_is_left_before_all_others():
    found = reduced(spot("a1"), spot("b1", WEB_B), seen=sight(scores={WEB_A: score(WEB_A)}))
    assert [c.node for c in found.to_on_demand] == ["b1", "a1"]


def test_cheaper_offerings_are_entered_first_and_unpriced_ones_last():
    seen = sight(quotes={WEB_B: quote(WEB_B)})
    found = reduced(on_demand("a1"), on_demand("b1", WEB_B), seen=seen)
    assert [c.node for c in found.to_spot] == ["b1", "a1"]


@pytest.mark.parametrize(("moving", "named"), [(0.1, 5), (0.18, 6), (0.5, 15), (1.0, 20)])
def test_lists_are_cut_to_what_may_move_at_once_but_sums_are_not(moving, named):
    types = [Offering(instance_type=f"m6i.{i}xlarge", zone="a") for i in range(30)]
    seen = sight(scores={}, max_moving_ratio=moving)
    found = reduced(*(spot(f"s{i:02}", o) for i, o in enumerate(types)), seen=seen)
    assert len(found.offerings) == MAX_OFFERINGS
    assert len(found.to_on_demand) == named <= MAX_CANDIDATES
    assert (found.n_offerings, found.n_spot_movable) == (30, 30)


def test_risk_is_weighted_by_nodes_and_names_the_worst():
    scores = {WEB_A: score(WEB_A, runtime_score=0.1), WEB_B: score(WEB_B, runtime_score=0.4)}
    found = reduced(spot("a1"), spot("a2"), spot("b1", WEB_B), seen=sight(scores=scores))
    assert found.spot_risk.runtime == pytest.approx(0.2)
    assert (found.spot_risk.worst, found.spot_risk.worst_runtime) == (str(WEB_B), 0.4)
    assert found.entry_risk == Risk(capacity=None, runtime=None)


def test_an_offering_without_any_risk_is_not_the_worst():
    scores = {WEB_A: score(WEB_A, runtime_score=0.4), WEB_B: score(WEB_B, runtime_score=0.0)}
    found = reduced(spot("a1"), spot("b1", WEB_B), seen=sight(scores=scores))
    assert (found.spot_risk.worst, found.spot_risk.worst_runtime) == (str(WEB_A), 0.4)


def test_nodes_of_an_offering_are_counted_on_either_side():
    found = reduced(spot("s1"), spot("s2"), on_demand("d1"), on_demand("d2", WEB_B))
    counts = [(o.offering, o.n_spot, o.n_on_demand) for o in found.offerings]
    assert counts == [(WEB_A, 2, 1), (WEB_B, 0, 1)]


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_probability_is_no_score(bad):
    good = score(WEB_B, capacity_score=0.1, runtime_score=0.4)
    scores = {WEB_A: score(WEB_A, capacity_score=bad, runtime_score=bad), WEB_B: good}
    found = reduced(spot("a1"), spot("b1", WEB_B), seen=sight(scores=scores))
    assert (found.spot_risk.runtime, found.spot_risk.worst) == (0.4, str(WEB_B))
    assert found.spot_risk.capacity == 0.1
    assert {o.offering: o.runtime_score for o in found.offerings} == {WEB_A: None, WEB_B: 0.4}
    assert dict(found.confidence_terms)["scores"] == 0.5


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, 0.0, 4e-7, -1.0, 1e9])
def test_what_is_no_price_is_no_price(bad):
    quotes = {WEB_A: quote(WEB_A, spot_usd_per_hour=bad, age_s=math.inf), WEB_B: quote(WEB_B)}
    found = reduced(spot("a1"), spot("b1", WEB_B), seen=sight(quotes=quotes))
    assert found.spot_money == Money(
        spot_usd_per_hour=0.03, on_demand_usd_per_hour=0.10, covered_ratio=0.5, last_resort=False
    )
    assert found.offerings[0].spot_usd_per_hour is None
    assert dict(found.confidence_terms)["prices"] == 0.5


def test_a_price_left_out_for_its_age_is_unknown_and_its_age_kept():
    quotes = {
        WEB_A: quote(WEB_A, spot_usd_per_hour=None, age_s=90_000.0),
        WEB_B: quote(WEB_B, spot_usd_per_hour=None, age_s=200_000.0),
    }
    found = reduced(spot("a1"), spot("b1", WEB_B), on_demand("a2"), seen=sight(quotes=quotes))
    assert (found.spot_money.too_old_s, found.entry_money.too_old_s) == (200_000.0, 90_000.0)
    assert (found.spot_money.spot_usd_per_hour, found.spot_money.covered_ratio) == (None, 0.0)
    young = {WEB_A: quote(WEB_A, spot_usd_per_hour=None, age_s=0.5)}
    assert reduced(spot("a1"), seen=sight(quotes=young)).spot_money.too_old_s == 0.5


@pytest.mark.parametrize("age_s", [-600.0, -math.inf, math.nan])
def test_a_price_of_an_impossible_age_is_no_price(age_s):
    found = reduced(spot("a1"), seen=sight(quotes={WEB_A: quote(WEB_A, age_s=age_s)}))
    assert (found.spot_money.spot_usd_per_hour, found.spot_money.too_old_s) == (None, None)


def test_a_price_of_this_very_moment_is_one():
    found = reduced(spot("a1"), seen=sight(quotes={WEB_A: quote(WEB_A, age_s=0.0)}))
    assert found.spot_money.spot_usd_per_hour == 0.03


def test_prices_of_last_resort_are_marked():
    seen = sight(quotes={WEB_A: quote(WEB_A, last_resort=True)})
    assert reduced(spot("a1"), seen=seen).spot_money.last_resort


def test_an_offering_out_of_scope_is_told_apart_from_one_without_a_score():
    seen = sight(scores={WEB_A: score(WEB_A, in_scope=False, runtime_score=None)})
    found = reduced(spot("a1"), spot("b1", WEB_B), on_demand("a2"), seen=seen)
    assert (found.n_spot_out_of_scope, found.unsupported) == (1, ("m6i",))
    assert {o.offering: o.in_scope for o in found.offerings} == {WEB_A: False, WEB_B: True}


def test_what_the_model_has_not_seen_is_named():
    seen = sight(scores={WEB_A: score(WEB_A, in_range=False), WEB_B: score(WEB_B)})
    found = reduced(spot("a1"), spot("b1", WEB_B), seen=seen)
    assert found.out_of_range == (str(WEB_A),)
    assert dict(found.confidence_terms)["model_range"] == 0.5
    assert found.limiting_term == "model_range"


@pytest.mark.parametrize(
    ("given_types", "spot_ok", "on_demand_ok"),
    [
        ((), True, True),
        (((),), True, True),
        (((CapacityType.SPOT,),), True, False),
        (((CapacityType.ON_DEMAND,), (CapacityType.SPOT,)), True, True),
        (((CapacityType.ON_DEMAND,),), False, True),
    ],
)
def test_a_pool_allows_what_its_node_pools_say(given_types, spot_ok, on_demand_ok):
    node_groups = tuple(NodeGroupFact(name="np", pool="web", capacity_types=t) for t in given_types)
    found = reduced(node_groups=node_groups)
    assert (found.allows_spot, found.allows_on_demand) == (spot_ok, on_demand_ok)


@pytest.mark.parametrize(
    ("bad", "oldest_s"),
    [
        (health("pods", state=InputState.DENIED), 2.0),
        (health("pods", age_s=60.1), 60.1),
        (health("pods", age_s=math.nan), math.inf),
        (health("pods", age_s=math.inf), math.inf),
    ],
)
def test_a_bad_required_input_is_named(bad, oldest_s):
    for inputs in ((bad, health("nodes")), (health("nodes"), bad)):
        found = reduced(spot("s1"), seen=sight(inputs=inputs))
        assert found.bad_inputs == ("pods",)
        assert found.oldest_input_s == oldest_s
        assert 0.0 <= found.confidence <= 1.0


def test_an_optional_input_may_be_absent():
    absent = health("prices", state=InputState.ABSENT, age_s=math.inf, required=False)
    found = reduced(spot("s1"), seen=sight(inputs=(*HEALTHY, absent)))
    assert (found.bad_inputs, found.oldest_input_s) == ((), 2.0)


def test_without_any_input_nothing_is_fresh():
    found = reduced(spot("s1"), seen=sight(inputs=()))
    assert (found.oldest_input_s, found.confidence, found.limiting_term) == (
        math.inf,
        0.0,
        "freshness",
    )


def test_an_input_from_the_future_is_no_more_than_fresh():
    found = reduced(spot("s1"), seen=sight(inputs=(health(age_s=-100.0),)))
    assert dict(found.confidence_terms)["freshness"] == 1.0


def test_full_nodes_show_in_the_requested_ratios():
    half = load(cpu_milli=1000, memory_bytes=2 << 30)
    found = reduced(spot("s1", load=half), spot("s2", load=half), on_demand("d1", cordoned=True))
    assert (found.cpu_requested_ratio, found.memory_requested_ratio) == (0.5, 0.25)
    third = spot("s1", load=load(cpu_milli=1), allocatable_cpu_milli=3)
    assert reduced(third).cpu_requested_ratio == 0.333333
    blank = spot("s1", allocatable_cpu_milli=0, allocatable_memory_bytes=0)
    assert reduced(blank).cpu_requested_ratio is None
    assert reduced(blank).memory_requested_ratio is None


def test_nodes_that_leave_or_are_kept_are_counted_once_each():
    seen = sight(
        anchored=frozenset({"uid-d1", "uid-s1"}), in_flight_uids=frozenset({"uid-d1", "uid-s2"})
    )
    nodes = (spot("s1", moving=True), spot("s2"), spot("s3"), spot("s4", cordoned=True))
    others = (on_demand("d1"), on_demand("d2"), node("r1", capacity_type=CapacityType.RESERVED))
    found = reduced(*nodes, *others, seen=seen)
    assert (found.n_spot_leaving, found.n_on_demand_leaving) == (3, 1)
    assert (found.n_in_flight, found.n_anchored) == (2, 1)
    kept = sight(anchored=frozenset({"uid-d1"}))
    candidates = reduced(*nodes, *others, seen=kept).to_spot
    assert {c.node: c.anchored for c in candidates} == {"d1": True, "d2": False}


def test_a_pool_starts_as_slowly_as_the_slowest_owner_says_and_in_a_minute_where_none_does():
    slow = [spot(f"s{i}", load=load(startup_s=s)) for i, s in enumerate((None, 90.0, 300.0))]
    assert reduced(*slow).startup_s == 300.0
    assert reduced(slow[0]).startup_s == reduced().startup_s == 60.0


def test_an_outage_costs_the_mean_of_what_owners_say_and_their_share_is_told():
    said = [spot(f"s{i}", load=load(outage_hours=h)) for i, h in enumerate((1.0, None, 3.0, None))]
    found = reduced(*said)
    assert (found.outage_hours, found.outage_said_ratio) == (2.0, 0.5)
    assert (reduced().outage_hours, reduced().outage_said_ratio) == (None, 0.0)


def test_safety_knows_budgets_only_when_they_can_be_read():
    budget = pdb(desired_healthy=2, healthy_by_node=(("s1", 1), ("d1", 1), ("d2", 1)))
    facts = (spot("s1"), on_demand("d1"), on_demand("d2"))
    found = reduced(*facts, pdbs=(budget,)).safety
    assert (found.n_pdbs, found.known, found.margin_pods) == (1, True, 0)
    assert (found.margin_pdb, found.margin_zone, found.safe_to_spot_nodes) == (
        "shop/api",
        "us-east-1a",
        0,
    )
    assert not reduced(*facts, seen=sight(inputs=(health("nodes"),))).safety.known
    assert reduced(*facts).safety.margin_pods is None


def test_an_answer_is_given_again_while_the_same_is_asked():
    last, found = LastAnswers(), []

    def asked(question, *about):
        return last.of(question, about, lambda: found.append(question) or len(found))

    assert [asked("where", WEB_A), asked("where", WEB_A), asked("who", WEB_A)] == [1, 1, 2]
    assert [asked("where", WEB_B), asked("where", WEB_A)] == [3, 4]


@st.composite
def sights(draw, facts):
    """What may be seen of one pool from cycle to cycle while nothing changes in it."""
    uids = [n.uid for n in facts.nodes]
    names = ["", *(n.name for n in facts.nodes)]
    held = sorted({n.offering for n in facts.nodes})
    some_uids = st.frozensets(st.sampled_from(uids)) if uids else st.just(frozenset())
    return CycleContext(
        at=AT + draw(st.sampled_from([0.0, 30.0, 7200.0])),
        quotes={o: draw(odd.sound_or_odd_quotes(o)) for o in held},
        scores={o: draw(odd.sound_or_odd_scores(o)) for o in held},
        inputs=draw(odd.inputs),
        max_input_age_s=60.0,
        in_flight_uids=draw(some_uids),
        anchored=draw(some_uids),
        at_risk=draw(some_uids),
        own_node=draw(st.sampled_from(names)),
        outside_first=draw(st.booleans()),
        budgets_bind=draw(st.booleans()),
        relieve_first=draw(st.booleans()),
        max_moving_ratio=draw(st.sampled_from([0.0, 0.5, 1.0])),
    )


@pytest.mark.parametrize("setting", ["budgets_bind", "relieve_first"])
def test_a_kept_summary_follows_the_settings_that_put_nodes_in_order(setting):
    tight = pdb("api", desired_healthy=1, healthy_by_node=(("a0", 1), ("d0", 1)))
    web = work(healthy_by_node=(("a2", 3), ("a3", 3), ("b0", 1), ("b1", 1)))
    nodes = (*(spot(f"a{i}", WEB_A) for i in range(4)), *(spot(f"b{i}", WEB_B) for i in range(4)))
    facts = pool(nodes=(*nodes, on_demand("d0"), on_demand("d1")), pdbs=(tight,), workloads=(web,))
    kept, off, on = summary_of(facts), sight(), sight(**{setting: True})
    found = [reduce_summary(kept, seen) for seen in (off, on, off)]
    assert found == [reduce_pool(facts, seen) for seen in (off, on, off)]
    assert found[0] != found[1]


@odd.many
@given(st.data())
def test_what_a_kept_summary_has_answered_before_changes_nothing(data):
    facts = data.draw(odd.pools())
    kept = summary_of(facts)
    for seen in (trusted(data.draw(sights(facts))) for _ in range(3)):
        assert repr(reduce_summary(kept, seen)) == repr(reduce_summary(summary_of(facts), seen))


@odd.few
@given(odd.scenes(), st.randoms(use_true_random=False))
def test_the_order_of_everything_does_not_matter(scene, rng):
    def seen(inputs):
        return CycleContext(
            at=AT,
            quotes=scene.observation.market.quotes,
            scores=scene.scores,
            inputs=tuple(inputs),
            max_input_age_s=60.0,
        )

    inputs = list(scene.observation.inputs)
    shuffled = rng.sample(inputs, len(inputs))
    for facts in scene.observation.cluster.pools:
        mixed = replace(
            facts,
            nodes=tuple(rng.sample(facts.nodes, len(facts.nodes))),
            pdbs=tuple(rng.sample(facts.pdbs, len(facts.pdbs))),
        )
        assert reduce_pool(mixed, seen(shuffled)) == reduce_pool(facts, seen(inputs))


@pytest.mark.parametrize("odd_price", [1e308, -1e308, 1e7, 0.0, -0.04, math.inf, math.nan])
def test_what_is_no_price_has_no_part_in_the_deviation(odd_price):
    """An overflow here once ended the daemon."""
    history = (0.03, 0.05) * 6
    plain, spoilt = (
        reduced(spot("s1", WEB_A), seen=sight(quotes={WEB_A: quote(WEB_A, history_usd_per_hour=h)}))
        for h in (history, (odd_price, *history[1:]))
    )
    found = spoilt.price_deviation_usd_per_hour
    assert found == pytest.approx(plain.price_deviation_usd_per_hour, rel=0.1)


@pytest.mark.parametrize(("history", "deviation"), [((), 0.0), ((3.0,), 0.0), ((3.0, 5.0), 2**0.5)])
def test_less_than_two_prices_have_no_deviation(history, deviation):
    found = reduced(
        spot("s1", WEB_A), seen=sight(quotes={WEB_A: quote(history_usd_per_hour=history)})
    )
    assert found.price_deviation_usd_per_hour == pytest.approx(deviation, abs=1e-6)


def test_the_deviation_is_that_of_the_last_twelve_prices_of_the_commonest_offering():
    quotes = {
        WEB_A: quote(WEB_A, history_usd_per_hour=(0.09, 0.03, *(0.05,) * 11)),
        WEB_B: quote(WEB_B, history_usd_per_hour=(0.01, 0.09)),
    }
    found = reduced(spot("b1", WEB_B), spot("a1"), spot("a2"), seen=sight(quotes=quotes))
    assert found.price_deviation_usd_per_hour == pytest.approx(
        statistics.stdev((0.03, *(0.05,) * 11)), abs=1e-6
    )


@odd.few
@given(odd.scenes())
def test_no_figure_in_a_reduced_input_is_nan(scene):
    for facts in scene.observation.cluster.pools:
        found = reduce_pool(
            facts,
            CycleContext(
                at=AT,
                quotes=scene.observation.market.quotes,
                scores=scene.scores,
                inputs=scene.observation.inputs,
                max_input_age_s=60.0,
            ),
        )
        assert "nan" not in repr(replace(found, pool="", bad_inputs=()))
        assert 0.0 <= found.confidence <= 1.0


@pytest.mark.parametrize(
    ("cpus", "vcpu"), [((), 0), ((0,), 0), ((1,), 1), ((1930, 3920), 2), ((2000, 0), 2)]
)
def test_a_node_has_the_whole_vcpu_of_the_smallest_on_demand_one_or_else_of_any(cpus, vcpu):
    nodes = [on_demand(f"d{i}", allocatable_cpu_milli=n) for i, n in enumerate(cpus)]
    assert reduced(*nodes, spot("s", allocatable_cpu_milli=7900)).node_vcpu == (vcpu if cpus else 8)
    assert reduced(*nodes).node_vcpu == vcpu


@pytest.mark.parametrize(
    ("ages_s", "steps"),
    [
        ((), 100.0),
        ((600.0,), 1.0),
        ((900.0, 9000.0), 1.5),
        ((-60.0, 900.0), 0.0),
        ((6e4 + 1,), 100),
    ],
)
def test_the_clock_of_a_learned_policy_runs_since_the_youngest_node_came(ages_s, steps):
    nodes = [spot(f"s{i}", created_at=AT - age) for i, age in enumerate(ages_s)]
    assert reduced(*nodes, spot("odd", created_at=math.nan)).steps_since_move == steps


def test_spot_nodes_outside_the_models_scope_are_counted_less_those_that_leave():
    seen = sight(scores={WEB_A: score(WEB_A), WEB_B: score(WEB_B, in_scope=False)})
    nodes = (spot("a"), spot("b1", WEB_B), spot("b2", WEB_B), spot("b3", WEB_B, moving=True))
    found = reduced(*nodes, seen=seen)
    assert (found.n_spot_out_of_scope, found.n_spot_outside) == (3, 2)
    assert found.unsupported == ("m6i",)


def test_orders_that_the_cluster_does_not_show_yet_are_in_flight():
    seen = sight(in_flight_uids=frozenset({"uid-s1", "uid-s2"}))
    found = reduced(spot("s1"), spot("s2", moving=True), spot("s3"), seen=seen)
    assert (found.n_in_flight, found.n_moving, found.n_spot_leaving) == (1, 2, 2)


@pytest.mark.parametrize(
    ("policy", "kinds", "brings_back"),
    [
        ("WhenEmptyOrUnderutilized", (), True),
        ("WhenUnderutilized", (), True),
        ("WhenEmpty", (), False),
        ("WhenEmptyOrUnderutilized", (CapacityType.ON_DEMAND,), False),
    ],
)
def test_a_group_brings_spot_back_where_it_consolidates_and_buys_both(policy, kinds, brings_back):
    group = NodeGroupFact(name="web", pool="web", consolidation=policy, capacity_types=kinds)
    assert reduced(on_demand("d"), node_groups=(group,)).consolidates is brings_back


def terms(**changes):
    made = score(WEB_A, **changes)
    return dict(reduced(spot("s"), seen=sight(scores={WEB_A: made})).confidence_terms)


def test_confidence_falls_with_a_short_history_what_is_out_of_range_and_a_missing_score():
    full = terms()
    assert full["history"] == 1.0
    assert terms(n_history=72)["history"] == 0.75
    assert terms(n_history=0)["history"] == 0.5
    nodes = [spot("a"), spot("b", WEB_B)]
    half = sight(scores={WEB_A: score(WEB_A)})
    found = dict(reduced(*nodes, seen=half).confidence_terms)
    assert found["scores"] == 0.5
    assert found["history"] == 0.75


@pytest.mark.parametrize(
    ("oldest_s", "freshness"), [(0.0, 1.0), (30.0, 0.75), (60.0, 0.5), (120.0, 0.0), (600.0, 0.0)]
)
def test_confidence_falls_with_the_age_of_the_oldest_required_input(oldest_s, freshness):
    seen = sight(inputs=(health("nodes", age_s=oldest_s), health("pods", age_s=0.0)))
    assert dict(reduced(spot("s"), seen=seen).confidence_terms)["freshness"] == freshness


@pytest.mark.parametrize(
    ("fallback", "confidence"),
    [(Fallback.NONE, 1.0), (Fallback.ABSTAINED, 0.75), (Fallback.DRIFTED, 1.0)],
)
def test_a_memory_that_stands_in_for_a_graph_that_abstains_is_trusted_less(fallback, confidence):
    found = terms(fallback=fallback)
    assert found["scores"] == pytest.approx(confidence)
    drifted = fallback is Fallback.DRIFTED
    assert found.get("calibration") == (MEMORY_CONFIDENCE if drifted else None)
