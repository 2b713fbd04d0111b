"""Single losses and safe moves, against a clone from which the nodes are really taken."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.domain.workloads import SURVIVAL_DEFAULT, SurvivalDefault, need_of
from spotvortex.core.pool.summary import summary_of
from spotvortex.core.pool.survival import zone_loss
from spotvortex.core.pool.survival.zone_loss import Loss, Margin, breaking_losses, need_by_budget
from tests.core import odd
from tests.core.builders import WEB_A, WEB_B, on_demand, pdb, placed, pool, spot, work


def margins_of(facts):
    """What each workload, and each budget where it binds, can spare."""
    works = zone_loss.workload_margins(facts, SURVIVAL_DEFAULT).by_key
    return zone_loss.Margins(by_key={**works, **zone_loss.budget_margins(facts).by_key})


def budget_margin(facts):
    return zone_loss.budget_margins(facts).tightest


def picked(facts, order, most=99):
    on_node = zone_loss.pods_on((*facts.workloads, *facts.pdbs), set(order))
    return zone_loss.pick_safe(order, on_node, margins_of(facts), most)


def safe_moves_to_spot(facts, order):
    on_node = zone_loss.pods_on((*facts.workloads, *facts.pdbs), set(order))
    return zone_loss.n_safe(order, on_node, margins_of(facts))


def guarded(facts):
    return (*facts.workloads, *facts.pdbs)


def must_stay(fact, *, zone):
    """What must stay, by the words of the documentation and no code of the product."""
    if not hasattr(fact, "said"):
        return fact.desired_healthy
    n, word = fact.n_replicas, fact.said
    if word.isdigit():
        return int(word)
    if word.endswith("%") and int(word[:-1]) <= 100:
        return -(-int(word[:-1]) * n // 100)
    if n <= 1:
        return 0
    return max(1, -(-n // 3)) if zone else -(-n // 2)


def healthy_without(fact, gone):
    return sum(n for name, n in fact.healthy_by_node if name not in gone)


def broken_by(facts, gone, *, zone):
    """What holds now and does not once these nodes are gone, by key."""
    return {
        fact.key
        for fact in guarded(facts)
        for least in (must_stay(fact, zone=zone),)
        if healthy_without(fact, ()) >= least > healthy_without(fact, gone)
    }


def n_with_pods(facts, key, names):
    fact = next(one for one in guarded(facts) if one.key == key)
    return sum(1 for name, _ in fact.healthy_by_node if name in names)


def spot_by(facts, group):
    found = {}
    for n in facts.nodes:
        if n.capacity_type is CapacityType.SPOT:
            found.setdefault(group(n.offering), set()).add(n.name)
    return found


def breaking(facts):
    works = [(one, need_of(one, SURVIVAL_DEFAULT)) for one in facts.workloads]
    return breaking_losses([*works, *((b, need_by_budget(b)) for b in facts.pdbs)])


@odd.few
@given(odd.pools())
def test_losses_are_what_taking_the_nodes_from_a_clone_breaks(facts):
    expected = Counter()
    covered = set()
    for what, gone in spot_by(facts, str).items():
        for key in broken_by(facts, gone, zone=False):
            zone = what.partition("/")[2]
            if (zone, key) not in covered:
                expected[zone, key] += 1
            covered.add((zone, key))
    for zone, gone in spot_by(facts, lambda o: o.zone).items():
        for key in broken_by(facts, gone, zone=True):
            if (zone, key) not in covered:
                expected[zone, key] += 1
    found = breaking(facts)
    assert Counter((loss.zone, loss.of) for loss in found) == expected
    for loss in found:
        is_zone = loss.what.startswith("zone ")
        group = (lambda o: f"zone {o.zone}") if is_zone else str
        gone = spot_by(facts, group)[loss.what]
        assert loss.of in broken_by(facts, gone, zone=is_zone)
        assert loss.n_nodes == n_with_pods(facts, loss.of, gone)
        assert loss.healthy >= loss.needed > loss.healthy_left


@odd.few
@given(odd.pools())
def test_a_margin_is_what_the_loss_that_hits_most_leaves(facts):
    leaving = {n.name for n in facts.nodes if n.cordoned or n.moving}
    known = margins_of(facts).by_key
    for fact in guarded(facts):
        offerings, zones = spot_by(facts, str), spot_by(facts, lambda o: o.zone)
        left = [
            healthy_without(fact, gone | leaving) - must_stay(fact, zone=zone)
            for groups, zone in ((offerings, False), (zones, True))
            for gone in [set(), *groups.values()]
        ]
        if fact.key in known:
            assert known[fact.key][1].pods == min(left)
        else:
            nothing = not must_stay(fact, zone=True) and not must_stay(fact, zone=False)
            assert nothing or not fact.healthy_by_node


@odd.few
@given(odd.pools(), st.sampled_from(odd.OFFERINGS), st.data())
def test_moves_said_to_be_safe_stay_safe_wherever_the_pods_land(facts, landing, data):
    """The clone turns the picked nodes into Spot of any one offering; then each loss is tried.

    What a loss breaks already has no pod on a picked node.
    """
    movable = [n.name for n in facts.nodes if n.capacity_type is CapacityType.ON_DEMAND]
    order = data.draw(st.permutations(movable))
    safe = set(picked(facts, order))
    before = {loss.of for loss in breaking(facts)}
    nodes = tuple(
        replace(n, capacity_type=CapacityType.SPOT, offering=landing) if n.name in safe else n
        for n in facts.nodes
    )
    clone = replace(
        facts,
        nodes=nodes,
        pdbs=tuple(placed(b, *nodes) for b in facts.pdbs),
        workloads=tuple(placed(w, *nodes) for w in facts.workloads),
    )
    touched = {f.key for f in guarded(facts) if safe & {name for name, _ in f.healthy_by_node}}
    assert not before & touched
    for groups, zone in ((spot_by(clone, str), False), (spot_by(clone, lambda o: o.zone), True)):
        for gone in groups.values():
            assert not touched & {
                f.key for f in guarded(clone) if healthy_without(f, gone) < must_stay(f, zone=zone)
            }
    assert safe_moves_to_spot(facts, picked(facts, order, 5)) == min(5, len(safe))


@pytest.mark.parametrize("bad", ["half", "-1", "101%", "1.5", "50 %", "1e3", "٣", ""])
def test_a_word_that_cannot_be_read_holds_its_pods_and_names_the_object(bad):
    one = work(
        healthy_by_node=(("d1", 9),), said=bad or "%", said_by="Deployment shop/api", pools=("web",)
    )
    facts = pool(nodes=(on_demand("d1"),), workloads=(one,))
    assert picked(facts, ["d1"]) == []
    assert one.problem.startswith("Deployment shop/api: spotvortex.io/min-available-after-loss=")
    assert one.problem.endswith('give pods as "3", or a share of the replicas as "50%"')
    assert need_of(one, SURVIVAL_DEFAULT) == need_of(replace(one, said=""), SURVIVAL_DEFAULT)


def test_a_word_that_cannot_be_read_holds_even_a_single_pod():
    healthy = (("d1", 1), ("d2", 8))
    facts = pool(
        nodes=(on_demand("d1"), on_demand("d2")),
        workloads=(work(healthy_by_node=healthy, said="half", pools=("web",)),),
    )
    assert picked(facts, ["d1"]) == []
    readable = replace(facts, workloads=(replace(facts.workloads[0], said=""),))
    assert picked(readable, ["d1"]) == ["d1"]


@pytest.mark.parametrize(
    ("n", "said", "offering", "zone"),
    [
        (1, "", 0, 0),
        (1, "1", 1, 1),
        (1, "50%", 1, 1),
        (2, "", 1, 1),
        (3, "", 2, 1),
        (4, "", 2, 2),
        (10, "", 5, 4),
        (10, "0", 0, 0),
        (10, "25%", 3, 3),
        (10, "12", 12, 12),
        (0, "", 0, 0),
    ],
)
def test_half_stays_after_an_offering_and_a_third_never_none_after_a_zone(n, said, offering, zone):
    need = need_of(work(n_replicas=n, said=said), SURVIVAL_DEFAULT)
    assert (need.after_offering, need.after_zone) == (offering, zone)


def test_an_owner_of_the_cluster_may_ask_for_nothing():
    need = need_of(work(n_replicas=9), SurvivalDefault(offering_ratio=0.0, zone_ratio=0.0))
    assert (need.after_offering, need.after_zone) == (0, 0)
    assert math.isclose(SURVIVAL_DEFAULT.zone_ratio, 1 / 3, abs_tol=1e-4)


def test_a_budget_of_one_and_a_few_spot_pods_in_one_zone_hold_nothing_for_ever():
    """`maxUnavailable: 1` is how fast pods may be moved, not how much a loss may take."""
    tight = pdb(desired_healthy=19, healthy_by_node=(("s1", 3), ("d1", 8), ("d2", 9)))
    web = work(healthy_by_node=tight.healthy_by_node)
    facts = pool(
        nodes=(spot("s1"), on_demand("d1"), on_demand("d2")), pdbs=(tight,), workloads=(web,)
    )
    assert budget_margin(facts).pods == -2
    assert zone_loss.workload_margins(facts, SURVIVAL_DEFAULT).tightest.pods == 7


def test_eight_of_eight_pods_on_one_offering_break_without_any_budget():
    data = work("worker", healthy_by_node=(("s1", 4), ("s2", 4)))
    facts = pool(nodes=(spot("s1"), spot("s2")), workloads=(data,))
    (loss,) = breaking(facts)
    assert (loss.what, loss.healthy_left, loss.needed) == (str(WEB_A), 0, 4)
    margins = zone_loss.workload_margins(facts, SURVIVAL_DEFAULT)
    assert zone_loss.relieving_nodes(facts, margins) == {"s1", "s2"}


def test_a_node_that_holds_by_itself_lets_the_others_go():
    pair = work("pair", healthy_by_node=(("s1", 1), ("d1", 1)))
    facts = pool(nodes=(spot("s1"), on_demand("d1"), on_demand("d2")), workloads=(pair,))
    assert picked(facts, ["d1", "d2"]) == ["d2"]
    assert safe_moves_to_spot(facts, ["d1", "d2"]) == 0
    assert safe_moves_to_spot(facts, ["d2", "d1"]) == 1


def test_a_zone_is_not_told_again_where_an_offering_breaks_the_budget():
    api = pdb(desired_healthy=2, healthy_by_node=(("s1", 1), ("s2", 1)))
    facts = pool(nodes=(spot("s1"), spot("s2")), pdbs=(api,))
    assert breaking(facts) == (
        Loss(
            what=str(WEB_A),
            zone="us-east-1a",
            n_nodes=2,
            of="shop/api",
            healthy=2,
            healthy_left=0,
            needed=2,
        ),
    )


def test_a_zone_breaks_what_its_offerings_alone_do_not():
    other = WEB_A._replace(instance_type="m5.large")
    api = pdb(desired_healthy=1, healthy_by_node=(("s1", 1), ("s2", 1)))
    facts = pool(nodes=(spot("s1"), spot("s2", other)), pdbs=(api,))
    (loss,) = breaking(facts)
    assert (loss.what, loss.n_nodes) == ("zone us-east-1a", 2)
    assert (loss.healthy, loss.healthy_left, loss.needed) == (2, 0, 1)


def test_a_budget_that_is_short_already_is_broken_by_nothing_but_has_no_margin():
    api = pdb(desired_healthy=3, healthy_by_node=(("s1", 1), ("d1", 1)))
    facts = pool(nodes=(spot("s1"), on_demand("d1")), pdbs=(api,))
    assert breaking(facts) == ()
    assert budget_margin(facts) == Margin(
        of="shop/api",
        loss=str(WEB_A),
        zone="us-east-1a",
        pods=-2,
        room=-2,
        slack_one_pods=-2,
        slack_two_pods=-3,
        need=need_by_budget(facts.pdbs[0]),
    )
    assert safe_moves_to_spot(facts, ["d1"]) == 0


def test_without_budgets_every_move_is_safe():
    facts = pool(n_spot=1, n_on_demand=3)
    assert budget_margin(facts) is None
    assert safe_moves_to_spot(facts, ["web-d0", "web-d1"]) == 2


def test_safe_moves_end_at_the_first_node_that_breaks_a_budget():
    api = pdb(desired_healthy=2, healthy_by_node=(("d1", 1), ("d2", 1), ("d3", 1), ("s1", 1)))
    facts = pool(
        nodes=(on_demand("d1"), on_demand("d2"), on_demand("d3"), spot("s1", WEB_B)), pdbs=(api,)
    )
    assert safe_moves_to_spot(facts, ["d1", "d2", "d3"]) == 1
    assert safe_moves_to_spot(facts, ["elsewhere", "d2"]) == 2


def test_margins_of_budgets_that_did_not_change_are_taken_over():
    empty, api, web = pdb("empty"), pdb("api", healthy_by_node=(("s1", 3),)), pdb("web")
    web = replace(web, healthy_by_node=(("s1", 2),))
    facts = pool(nodes=(spot("s1"),), pdbs=(empty, api, web))
    empty, api, web = facts.pdbs
    before = zone_loss.budget_margins(facts)
    assert set(before.by_key) == {"shop/api", "shop/web"}
    changed = replace(facts, pdbs=(empty, api, replace(web, desired_healthy=0)))
    after = zone_loss.budget_margins(changed, before)
    assert after.by_key["shop/api"] is before.by_key["shop/api"]
    assert after == zone_loss.budget_margins(changed)


def test_margins_of_workloads_that_did_not_change_are_taken_over():
    api, web = work("api", healthy_by_node=(("s1", 3),)), work("web", healthy_by_node=(("s1", 2),))
    facts = pool(nodes=(spot("s1"),), workloads=(api, web))
    api, web = facts.workloads
    before = zone_loss.workload_margins(facts, SURVIVAL_DEFAULT)
    changed = replace(facts, workloads=(api, replace(web, said="1")))
    after = zone_loss.workload_margins(changed, SURVIVAL_DEFAULT, before)
    assert after.by_key[api.key] is before.by_key[api.key]
    assert after == zone_loss.workload_margins(changed, SURVIVAL_DEFAULT)


def test_a_summary_takes_over_both_kinds_of_margins():
    api = pdb("api", healthy_by_node=(("s1", 3),))
    facts = pool(nodes=(spot("s1"),), pdbs=(api,), workloads=(work(healthy_by_node=(("s1", 3),)),))
    before = summary_of(facts)
    after = summary_of(replace(facts), before)
    for one, other in (
        (before.margins, after.margins),
        (before.budget_margins, after.budget_margins),
    ):
        assert len(one.by_key) == 1
        assert all(other.by_key[key] is known for key, known in one.by_key.items())


@pytest.mark.parametrize(
    ("counts", "slack"), [((9,), (-5, -5)), ((6, 3), (-2, -5)), ((2, 4, 3), (0, -3))]
)
def test_slack_is_what_the_node_and_the_two_with_most_pods_leave_beyond_the_need(counts, slack):
    healthy = tuple((f"d{i}", n) for i, n in enumerate(counts))
    api = pdb(desired_healthy=5, healthy_by_node=healthy)
    margin = budget_margin(pool(nodes=[on_demand(name) for name, _ in healthy], pdbs=(api,)))
    assert (margin.slack_one_pods, margin.slack_two_pods) == slack


def test_pods_on_spot_of_another_pool_count_in_the_same_zone():
    """One pod on the Spot of each of two pools in one zone: together the zone takes both."""
    api = pdb(desired_healthy=1, healthy_by_node=(("db-s", 1), ("web-s", 1)))
    api = placed(api, spot("web-s"), spot("db-s", pool="db"))
    facts = replace(pool(nodes=(spot("web-s"),)), pdbs=(api,))
    assert budget_margin(facts).pods == -1
    assert [loss.n_nodes for loss in breaking(facts)] == [2]


@pytest.mark.parametrize(
    ("spare", "rooms"),
    [(-1, (-1, -1, -1)), (0, (0, 0, 0)), (1, (1, 0, 0)), (2, (1, 1, 0)), (7, (3, 2, 2))],
)
def test_pools_that_share_a_budget_share_what_it_can_spare(spare, rooms):
    shared = pdb(desired_healthy=9 - spare, healthy_by_node=(("n1", 9),), pools=("a", "b", "c"))
    found = []
    for name in shared.pools:
        facts = replace(pool(name, nodes=()), pdbs=(shared,))
        margin = budget_margin(facts)
        assert margin.pods == spare
        found.append(margin.room)
    assert tuple(found) == rooms
    alone = replace(pool("elsewhere", nodes=()), pdbs=(shared,))
    assert budget_margin(alone).room == spare


def test_a_node_moves_only_within_the_room_of_its_pool():
    shared = pdb(desired_healthy=0, healthy_by_node=(("d1", 1), ("d2", 1)), pools=("api", "web"))
    facts = pool(nodes=(on_demand("d1"), on_demand("d2")), pdbs=(shared,))
    assert safe_moves_to_spot(facts, ["d1", "d2"]) == 1
