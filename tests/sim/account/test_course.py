"""A course sums up what a world cost, lost and lacked, and two worlds of a seed begin alike."""

import pytest

from spotvortex.core.domain.types import CapacityType
from spotvortex.sim.account.course import Course
from spotvortex.sim.market.hazard_supply import CALM
from spotvortex.sim.market.prices import SimulatedMarket
from tests.sim.runtime.test_world import HARSH, step, world_of


def followed(*regimes, seed=1):
    world = world_of(seed, *regimes)
    market = SimulatedMarket(seed=seed, start_at=world.at)
    course = Course(cluster=world.cluster, market=market, at=world.at)
    world.ledger = course
    return world, course


def test_in_calm_it_costs_what_its_nodes_cost_and_lacks_nothing():
    world, course = followed(CALM)
    start = course.point()
    nodes = world.cluster.nodes.values()
    n_spot = sum(n.capacity_type is CapacityType.SPOT for n in nodes)
    assert start.spot_ratio == pytest.approx(n_spot / len(nodes))
    assert (start.usd, start.n_lost, start.missing_pod_minutes) == (0.0, 0, 0.0)
    step(world, 0.5)
    end = course.point()
    assert end.at == pytest.approx(start.at + 1800.0)
    assert end.usd == pytest.approx(0.5 * start.usd_per_hour, rel=0.05)
    assert end.n_lost == world.tally.n_lost


def test_losses_leave_pods_missing():
    world, course = followed(HARSH)
    step(world, 0.5)
    end = course.point()
    assert end.n_lost >= world.tally.n_lost > 0
    assert end.missing_pod_minutes > 0.0


def test_two_worlds_of_one_seed_fare_alike_while_nobody_moves_a_node():
    (one, first), (other, second) = followed(HARSH, seed=3), followed(HARSH, seed=3)
    step(one, 0.3)
    step(other, 0.3)
    assert first.point() == second.point()
