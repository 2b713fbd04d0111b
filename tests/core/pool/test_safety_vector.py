"""The safety vector: each figure against a count by hand, and the agent's tables at their steps."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.core.domain.workloads import SURVIVAL_DEFAULT
from spotvortex.core.pool.survival.safety_vector import judged, vector_of
from spotvortex.core.pool.survival.zone_loss import NO_MARGINS, workload_margins
from tests.core.builders import WEB_A, WEB_B, load, on_demand, pdb, pool, spot, vector, work


def of(facts, requested=0.5):
    return vector_of(facts, workload_margins(facts, SURVIVAL_DEFAULT), requested)


def test_each_figure_is_counted_over_the_pods_that_a_drain_would_move():
    facts = pool(
        nodes=(
            spot("s1", load=load(n_workload_pods=6, n_critical_pods=3, startup_s=400.0)),
            on_demand("d1", WEB_B, load=load(n_workload_pods=4, n_critical_pods=1)),
            on_demand("d2", load=load(n_workload_pods=10, n_stateful_pods=5)),
        ),
        pdbs=(
            pdb(disruptions_allowed=0, healthy_by_node=(("s1", 3), ("elsewhere", 9))),
            pdb("free", healthy_by_node=(("d1", 4),)),
        ),
        workloads=(work(healthy_by_node=(("d1", 4), ("d2", 2), ("s1", 3))),),
    )
    found = of(facts, 0.75)
    assert (found.critical_spot_ratio, found.stateful_ratio) == (0.75, 0.25)
    assert found.evictable_ratio == 0.85
    # 9 replicas, 5 must stay: 4 to spare, 4 on one node, 7 on two.
    assert (found.slack_one_pods, found.slack_two_pods) == (0, -3)
    assert (found.restart_p95_s, found.spare_on_demand_nodes) == (400.0, 0.5)
    assert found.zone_score == 0.5
    assert (found.recovery_risk, found.safe_spot_ratio) == (0.85, 0.25)


def test_a_pool_without_budgets_is_not_one_without_slack():
    facts = pool(n_spot=3, n_on_demand=3)
    found = vector_of(facts, NO_MARGINS, 0.5)
    assert (found.slack_one_pods, found.slack_two_pods, found.evictable_ratio) == (None, None, 1.0)
    assert (found.recovery_risk, found.safe_spot_ratio) == (0.3, 1.0)


def test_a_pool_without_pods_has_no_vector_and_unknown_requests_leave_no_room():
    assert of(pool(nodes=())) is None
    assert of(pool(nodes=(spot("s1", load=load(n_workload_pods=0)),))) is None
    assert of(pool(nodes=(on_demand("d1", WEB_A),)), None).spare_on_demand_nodes == 0.0


@pytest.mark.parametrize(
    ("changes", "risk", "ratio"),
    [
        ({}, 0.0, 1.0),
        ({"slack_one_pods": -1}, 0.95, 0.10),
        ({"slack_one_pods": 0}, 0.70, 0.35),
        ({"slack_one_pods": 1}, 0.0, 1.0),
        ({"slack_two_pods": 1}, 0.0, 1.0),
        ({"slack_two_pods": -1}, 0.85, 0.25),
        ({"slack_two_pods": 0}, 0.55, 0.50),
        ({"critical_spot_ratio": 0.8}, 0.84, 0.10),
        ({"critical_spot_ratio": 0.5}, 0.60, 0.25),
        ({"critical_spot_ratio": 0.25}, 0.40, 0.50),
        ({"critical_spot_ratio": 0.24}, 0.392, 1.0),
        ({"critical_spot_ratio": 0.79}, 0.832, 0.25),
        ({"critical_spot_ratio": 0.49}, 0.592, 0.50),
        ({"critical_spot_ratio": 0.01}, 0.208, 1.0),
        ({"stateful_ratio": 0.49}, 0.4685, 0.70),
        ({"stateful_ratio": 0.24}, 0.306, 1.0),
        ({"stateful_ratio": 0.01}, 0.1565, 1.0),
        ({"restart_p95_s": 599.0}, 0.50, 0.50),
        ({"restart_p95_s": 299.0}, 0.30, 1.0),
        ({"restart_p95_s": 119.0}, 0.0, 1.0),
        ({"spare_on_demand_nodes": 1.0}, 0.0, 1.0),
        ({"zone_score": 0.49}, 0.306, 0.60),
        ({"evictable_ratio": 0.5}, 0.425, 1.0),
        ({"evictable_ratio": 0.25}, 0.6375, 0.40),
        ({"evictable_ratio": 0.24}, 0.646, 0.20),
        ({"stateful_ratio": 0.5}, 0.475, 0.50),
        ({"stateful_ratio": 0.25}, 0.3125, 0.70),
        ({"stateful_ratio": 1.0}, 0.80, 0.25),
        ({"restart_p95_s": 600.0}, 0.75, 0.25),
        ({"restart_p95_s": 300.0}, 0.50, 0.50),
        ({"restart_p95_s": 120.0}, 0.30, 1.0),
        ({"spare_on_demand_nodes": 0.99}, 0.55, 0.60),
        ({"zone_score": 0.5}, 0.30, 1.0),
        ({"zone_score": 0.0}, 0.60, 0.40),
        ({"evictable_ratio": 0.49}, 0.4335, 0.40),
        ({"evictable_ratio": 0.0}, 0.85, 0.20),
    ],
)
def test_risk_and_share_are_those_of_the_agents_tables(changes, risk, ratio):
    found = judged(vector(**changes))
    assert (found.recovery_risk, found.safe_spot_ratio) == (risk, ratio)
    assert replace(found, recovery_risk=0.0, safe_spot_ratio=1.0) == vector(**changes)


@pytest.mark.parametrize(("zones", "score"), [("a", 0.0), ("ab", 0.5), ("abc", 1.0), ("abcd", 1.0)])
def test_three_zones_or_more_are_the_best(zones, score):
    nodes = tuple(
        on_demand(f"d{z}", Offering(instance_type="m6i.large", zone=f"us-east-1{z}")) for z in zones
    )
    assert of(pool(nodes=nodes)).zone_score == score


@pytest.mark.parametrize(("n_slow", "p95_s"), [(1, 60.0), (2, 400.0)])
def test_the_slowest_twentieth_of_the_pods_does_not_count(n_slow, p95_s):
    quick = spot("s1", load=load(n_workload_pods=20 - n_slow, startup_s=60.0))
    slow = spot("s2", load=load(n_workload_pods=n_slow, startup_s=400.0))
    assert of(pool(nodes=(slow, quick))).restart_p95_s == p95_s


@pytest.mark.parametrize(("requested", "spare"), [(None, 0.0), (0.75, 0.5), (1.0, 0.0), (1.5, 0.0)])
def test_room_that_is_not_requested_counts_in_on_demand_nodes(requested, spare):
    facts = pool(nodes=(on_demand("d1"), on_demand("d2"), spot("s1")))
    assert of(facts, requested).spare_on_demand_nodes == spare
