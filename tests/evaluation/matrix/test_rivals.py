"""Each rival of protocol 2 does what its source says, in a world of one pool."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.types import CapacityType
from spotvortex.evaluation.matrix import rivals
from spotvortex.evaluation.matrix.constants import MatrixFamily
from spotvortex.evaluation.matrix.rivals import SplitDemand, plan_usd_per_hour, trial_of
from spotvortex.evaluation.matrix.worlds import MatrixWorld
from spotvortex.evaluation.worlds import START_AT, STEP_S
from spotvortex.sim.cluster.demand import Demand
from spotvortex.sim.market.count_supply import CountSupply
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.runtime.world import World
from tests.evaluation.matrix.small import OF

WEB = MatrixWorld(constants=OF, family="calm", mix="bursty", seed=1, pool="web")
(CLASS,) = WEB.classes
SPOT = WEB.offerings(CLASS)
MINUTE = 60.0


class Clock:
    def now(self):
        return START_AT


def no_model(policy):
    raise AssertionError(policy)


def always(n):
    """Return a market that has so many of everything."""
    return {o: CapacityCounts(times=(START_AT,), values=(n,)) for o in SPOT}


def from_to(n, since, until):
    """Return a market that has so many of everything, and none for a time in between."""
    times = (START_AT, START_AT + since, START_AT + until)
    return {o: CapacityCounts(times=times, values=(n, 0, n)) for o in SPOT}


class Stage:
    """A world of one pool under a rival, stepped by hand; it may start on Spot."""

    def __init__(self, policy, counts, *, on_spot=False):
        trial = trial_of(WEB, policy, "", no_model)
        scenario = trial.scenario
        if on_spot:
            kind = CapacityType.SPOT
            fleets = tuple(
                replace(f, capacity_type=kind, group=f.group.replace("-od", "-spot"))
                for f in scenario.fleets
            )
            scenario = replace(scenario, fleets=fleets)
        supply = CountSupply(seed=1, counts=counts)
        self.world = World(
            scenario=scenario, seed=1, clock=Clock(), market=trial.market, supply=supply
        )
        self.cluster = self.world.cluster

    def minutes(self, n):
        for _ in range(int(n * MINUTE / STEP_S)):
            self.world.step()
        return self

    def want(self, factor):
        for key, workload in list(self.cluster.workloads.items()):
            self.world.want(key, round(workload.replicas * factor))
        return self

    def nodes(self, kind):
        return [n for n in self.cluster.nodes.values() if n.capacity_type is kind]

    @property
    def n_spot(self):
        return len(self.nodes(CapacityType.SPOT))

    @property
    def n_on_demand(self):
        return len(self.nodes(CapacityType.ON_DEMAND))


def test_karpenter_asks_for_on_demand_ten_seconds_after_spot_has_failed():
    stage = Stage("K-under-10min-10pct", always(0)).want(1.5).minutes(1)
    late = [n for n in stage.nodes(CapacityType.ON_DEMAND) if n.created_at > START_AT]
    assert late
    first = min(n.created_at for n in late)
    assert first == START_AT + STEP_S + OF.rivals.second_attempt_s


def test_karpenter_is_blind_for_three_minutes_after_a_famine():
    """Capacity is back within the minute; what is asked for meanwhile falls back."""
    stage = Stage("K-under-10min-10pct", from_to(50, 10.0, 50.0), on_spot=False)
    stage.want(1.25).minutes(0.5)
    assert stage.n_spot == 0
    stage.want(1.2).minutes(2)
    assert stage.n_spot == 0
    stage.minutes(1.5).want(1.3).minutes(1)
    assert stage.n_spot > 0


def test_karpenter_leaves_an_offering_alone_of_whose_interruption_it_has_heard():
    stage = Stage("K-under-0min-100pct", always(50), on_spot=True).minutes(5)
    node = stage.nodes(CapacityType.SPOT)[0]
    stage.world.interrupt(node, stage.world.at + 120.0)
    before = set(stage.cluster.nodes)
    stage.minutes(2.5)
    new = [n for name, n in stage.cluster.nodes.items() if name not in before]
    assert new
    assert node.offering not in {n.offering for n in new}


def test_karpenter_evicts_at_the_notice_before_a_replacement_is_there():
    stage = Stage("K-under-10min-10pct", always(50), on_spot=True).minutes(5)
    node = max(stage.nodes(CapacityType.SPOT), key=lambda n: len(n.movable))
    stage.world.interrupt(node, stage.world.at + 120.0)
    stage.minutes(0.5)
    assert any(pod.terminating for pod in node.movable) or not node.movable
    assert all(n.ready for n in stage.cluster.nodes.values() if n.created_at < stage.world.at - 60)


def test_karpenter_that_consolidates_moves_on_demand_to_spot():
    stage = Stage("K-under-0min-100pct", always(50)).minutes(60)
    assert stage.n_on_demand == 0


def test_karpenter_of_empty_nodes_alone_leaves_on_demand_where_it_is():
    stage = Stage("K-empty", always(50)).minutes(120)
    assert stage.n_spot == 0
    assert stage.n_on_demand == OF.world.nodes_per_pool


def test_a_node_fallen_back_to_on_demand_stays_until_it_is_empty():
    stage = Stage("K-empty", from_to(50, 600.0, 1200.0), on_spot=True).minutes(60)
    fallen = stage.n_on_demand
    assert fallen > 0
    assert stage.minutes(60).n_on_demand == fallen
    assert stage.want(0.1).minutes(30).n_on_demand < fallen


def test_cluster_autoscaler_waits_a_quarter_of_an_hour_for_spot_before_on_demand():
    stage = Stage(rivals.CA, always(0)).want(1.5).minutes(15)
    assert stage.n_on_demand == OF.world.nodes_per_pool
    assert stage.cluster.pending
    stage.minutes(3)
    assert stage.n_on_demand > OF.world.nodes_per_pool
    assert not stage.cluster.pending


def test_cluster_autoscaler_gets_spot_first_and_as_soon_as_it_comes():
    stage = Stage(rivals.CA, from_to(50, 1.0, 600.0)).want(1.5).minutes(9)
    assert (stage.n_spot, len(stage.cluster.pending) > 0) == (0, True)
    stage.minutes(3)
    assert stage.n_spot > 0
    assert stage.n_on_demand == OF.world.nodes_per_pool


def test_cluster_autoscaler_never_goes_back_and_removes_what_nobody_needs_after_ten_minutes():
    stage = Stage(rivals.CA, always(50)).minutes(180)
    assert (stage.n_spot, stage.n_on_demand) == (0, OF.world.nodes_per_pool)
    stage.want(1.5).minutes(10)
    grown = stage.n_spot
    assert grown > 0
    stage.want(2.0 / 3.0).minutes(5)
    assert stage.n_spot + stage.n_on_demand == grown + OF.world.nodes_per_pool
    stage.minutes(30)
    assert stage.n_spot + stage.n_on_demand < grown + OF.world.nodes_per_pool


@pytest.mark.parametrize("ratio", OF.rivals.static_on_demand_ratio)
def test_static_keeps_a_share_of_each_workload_on_demand(ratio):
    stage = Stage(rivals.static_name(ratio), always(50)).minutes(60)
    kinds = {n.name: n.capacity_type for n in stage.cluster.nodes.values()}
    pods = [p for p in stage.cluster.pods.values() if p.node]
    pinned = [p for p in pods if p.workload.capacity_type is CapacityType.ON_DEMAND]
    assert len(pinned) == pytest.approx(ratio * len(pods), abs=1)
    assert all(kinds[p.node] is CapacityType.ON_DEMAND for p in pinned)


@pytest.mark.parametrize("mix", OF.mixes)
@pytest.mark.parametrize("ratio", OF.rivals.static_on_demand_ratio)
def test_the_parts_of_a_pinned_workload_add_up_to_its_demand(mix, ratio):
    trial = trial_of(replace(WEB, mix=mix), rivals.static_name(ratio), "", no_model)
    plain = Demand(mix, WEB.seed)
    for at in range(0, 86_400, 300):
        parts = [
            trial.demand.replicas(w.key, w.replicas, float(at)) for w in trial.scenario.workloads
        ]
        assert sum(parts) == 4 * plain.replicas("any", 12, float(at))
    assert isinstance(trial.demand, SplitDemand) is (0.0 < ratio < 1.0)


def test_spothedge_keeps_spare_pods_and_asks_first_where_nothing_was_lost():
    trial = trial_of(WEB, "SpotHedge-2", "", no_model)
    assert {w.replicas for w in trial.scenario.workloads} == {14}
    assert set(trial.spare_pods.values()) == {2}
    stage = Stage("SpotHedge-2", always(50), on_spot=True).minutes(5)
    node = stage.nodes(CapacityType.SPOT)[0]
    stage.world.interrupt(node, stage.world.at + 120.0)
    before = set(stage.cluster.nodes)
    stage.minutes(30)
    new = {n.offering for name, n in stage.cluster.nodes.items() if name not in before}
    assert node.offering not in new


def test_an_interruption_costs_what_the_class_says_whether_it_is_told_or_not():
    odd, even = replace(WEB, pool="", seed=1), replace(WEB, pool="", seed=2)
    api = {w.seed: trial_of(w, rivals.OD, "", no_model).outage_minutes for w in (odd, even)}
    assert api[1]["api/Deployment/app-0"] == 720.0
    assert api[2]["api/Deployment/app-0"] == 240.0
    assert api[1]["batch/Deployment/app-0"] == 15.0
    told = trial_of(WEB, rivals.OD, "", no_model).scenario.workloads
    assert {w.outage_hours for w in told} == {1.0}


def test_spotvortex_is_told_of_a_plan_and_the_ablation_is_not():
    def market(policy):
        trial = trial_of(WEB, policy, "sp30", lambda _: None)
        return trial.market.facts(SPOT[:1], START_AT).commitments

    (plan,) = market("spotvortex").items
    usd = plan_usd_per_hour(OF, "bursty", "sp30")
    assert plan.amount == pytest.approx(usd * (1.0 - OF.plan_discount_ratio))
    assert market(rivals.UNCOMMITTED).state is CommitmentState.UNSTATED


def test_every_family_of_the_protocol_has_a_world():
    for family in (f for f in OF.families if not f.replays):
        assert isinstance(family, MatrixFamily)
        trial = trial_of(replace(WEB, family=family.name), rivals.OD, "", no_model)
        assert len(trial.scenario.groups) == 1
