"""The market of protocol 2: a shortage of some types, and launches fulfilled in part."""

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.evaluation.matrix.market import PartialSupply, with_shortage
from spotvortex.evaluation.matrix.worlds import MatrixWorld, counts_of, supply_of
from spotvortex.evaluation.worlds import START_AT
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.supply import ANNOUNCED
from tests.evaluation.matrix.small import OF

HERE = Offering(instance_type="m5.large", zone="us-east-1a")


def supply(counts, seed=1):
    return PartialSupply(seed=seed, counts=counts, announced=ANNOUNCED, delivery=OF.delivery)


def n_given(one, at, n_asked=16):
    return sum(not one.launch_fails(HERE, 0, at) for _ in range(n_asked))


def test_an_offering_that_is_there_in_full_gives_all():
    full = {HERE: CapacityCounts(times=(0.0,), values=(100,))}
    assert [n_given(supply(full), 600.0 * k) for k in range(20)] == [16] * 20


def test_a_short_offering_gives_a_third_of_the_launches_in_part():
    counts = {HERE: CapacityCounts(times=(0.0, 1.0), values=(200, 100))}
    found = [n_given(supply(counts), 3600.0 * 24 + 600.0 * k) for k in range(600)]
    in_part = [n for n in found if n < 16]
    assert len(in_part) / 600 == pytest.approx(OF.delivery.partial_ratio, abs=0.06)
    assert {*in_part} == set(range(1, 16))


def test_what_is_given_in_part_is_the_same_however_it_is_asked_for():
    counts = {HERE: CapacityCounts(times=(0.0, 1.0), values=(200, 100))}
    at = next(t for t in range(0, 10**6, 600) if n_given(supply(counts), float(t)) < 16)
    one = supply(counts)
    spread = sum(not one.launch_fails(HERE, 0, float(at + k)) for k in range(100))
    assert spread == n_given(supply(counts), float(at), 100)


def test_a_shortage_takes_two_types_of_each_pool_in_all_zones_for_hours():
    world = MatrixWorld(constants=OF, family="regional", mix="bursty", seed=3)
    usual = counts_of(MatrixWorld(constants=OF, family="normal", mix="bursty", seed=3))
    short = counts_of(world)
    changed = {o for o in short if short[o] != usual[o]}
    for one in OF.classes:
        types = {o.instance_type for o in changed} & set(one.instance_types)
        assert len(types) == OF.shortage.n_types
    zones = {(o.instance_type, o.zone) for o in changed}
    assert len(zones) == len(OF.classes) * OF.shortage.n_types * len(OF.world.zones)
    for offering in changed:
        lost = usual[offering].node_hours(START_AT, START_AT + 7 * 86_400.0) - short[
            offering
        ].node_hours(START_AT, START_AT + 7 * 86_400.0)
        most = OF.shortage.max_hours * OF.world.nodes_per_pool
        assert 0.0 < lost <= most


def test_without_the_shortage_nothing_is_changed_before_and_after():
    counts = {HERE: CapacityCounts(times=(0.0, 10.0), values=(5, 6))}
    found = with_shortage(counts, [["m5.large", "c5.large"]], OF.shortage, 1)
    assert found[HERE].at(0.0) == 5
    assert found[HERE].at(1e9) == 6


def test_a_pool_by_itself_meets_the_same_market():
    one = MatrixWorld(constants=OF, family="stressed", mix="bursty", seed=2, pool="web")
    every = MatrixWorld(constants=OF, family="stressed", mix="bursty", seed=2)
    assert counts_of(one) == counts_of(every)
    assert [c.name for c in one.classes] == ["web"]


def test_a_lost_notice_is_missing_and_never_late():
    world = MatrixWorld(constants=OF, family="calm", mix="bursty", seed=2)
    notices = supply_of(world, counts_of(world))._announced.notices
    assert (notices.flawed_ratio, notices.missing_ratio) == (0.05, 1.0)
