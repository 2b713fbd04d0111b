"""Trials: one world for every policy, accounts that add up, and nothing seen that is hidden."""

import math
import os
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from random import Random

import pytest

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.evaluation import protocol, worlds
from spotvortex.evaluation.run import run
from spotvortex.results.accounting import RunResult, total_of
from spotvortex.results.timeline import EventKind
from spotvortex.sim.account.billing import DAY_S, Billing, pods_per_node
from spotvortex.sim.cluster.demand import Demand
from spotvortex.sim.cluster.state import ClusterChanges, ClusterObjects
from spotvortex.sim.cluster.watch import Watch
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.instance_types import instance_type_of
from spotvortex.sim.runtime.forecasters import ScriptedForecaster
from spotvortex.sim.runtime.world import World

PROTOCOL = protocol.load()
UNCHANGED = PROTOCOL.variants[0]


def world(family="stressed", *, seed=1, mix="steady", n_days=1, variant=UNCHANGED):
    return worlds.EvaluationWorld(family=family, mix=mix, seed=seed, n_days=n_days, variant=variant)


def model(_policy):
    return ScriptedForecaster(
        script=((0.0, 0.03), (4 * 3600.0, 0.7), (8 * 3600.0, 0.03)),
        start_at=worlds.START_AT,
        families=worlds.FAMILIES_HELD,
    )


def calm_model(_policy):
    return ScriptedForecaster(
        script=((0.0, 0.03),), start_at=worlds.START_AT, families=worlds.FAMILIES_HELD
    )


STEP_S, TICK_S = 60.0, 300.0
"""Ours decides every five minutes here, and its world goes on by minutes: what is asked of a run
does not hang on how often."""
HALF_A_DAY = 0.5
"""Enough for what is decided while the scores are high, from the fifth to the eighth hour."""


def named(days, digest):
    return RunResult(family="f", mix="m", seed=1, policy="p", days=days, digest=digest)


def trial(of, policy, forecaster=model, **changes):
    made = replace(worlds.trial_of(of, policy, PROTOCOL, forecaster), **changes)
    if made.controller is None:
        return made
    ours = replace(made.controller, limits=worlds.limits_of(STEP_S), tick_s=TICK_S)
    return replace(made, scenario=replace(made.scenario, step_s=STEP_S), controller=ours)


def account(of, policy):
    return run(trial(of, policy), named)


@pytest.fixture(scope="module")
def ours():
    return account(world(), worlds.OURS)


@pytest.mark.trial
def test_notices_are_handled_by_us_or_by_karpenter():
    """The same losses, told to either: whoever hears of one empties the node before it goes."""
    heard = {}
    for policy in (worlds.OURS, worlds.OURS_BESIDE):
        told = trial(world(), policy, calm_model)
        assert told.controller.hears_notices is (policy == worlds.OURS)
        days = run(told, named).result.days
        heard[policy] = total_of(days)
    for total in heard.values():
        assert total.n_interrupted > 0
    assert heard[worlds.OURS] != heard[worlds.OURS_BESIDE]


@pytest.mark.trial
def test_a_policy_of_ours_moves_nodes_by_itself(ours):
    (day,) = ours.result.days
    assert day.n_moved > 0
    assert 0.0 < day.spot_node_minutes < day.node_minutes
    kinds = {event.kind for event in ours.events}
    assert kinds <= set(EventKind)
    assert day.n_interrupted == sum(e.kind is EventKind.INTERRUPTION for e in ours.events)
    assert day.n_moved == sum(e.kind is EventKind.MOVE for e in ours.events)


@pytest.mark.trial
def test_the_hours_add_up_to_the_day(ours):
    (day,) = ours.result.days
    assert len(ours.hours) == 24
    assert sum(h.cost_usd_per_hour for h in ours.hours) == pytest.approx(day.node_usd, rel=1e-9)


def test_money_is_node_seconds_times_price(monkeypatch):
    """Sum the price of every node over every step, by a second account that shares no code."""
    spent, step = [], World.step

    def counted(self):
        before = {n.name: (n, n.created_at) for n in self.cluster.nodes.values()}
        since = self.at
        step(self)
        seconds = self.at - since
        market = self._placement._market
        for node, created_at in before.values():
            paid = min(seconds, self.at - created_at)
            if node.capacity_type is CapacityType.SPOT:
                price = market.spot_usd_per_hour(node.offering, since + seconds / 2)
            else:
                price = instance_type_of(node.offering.instance_type).on_demand_usd_per_hour
            spent.append(price * paid / 3600.0)

    monkeypatch.setattr(World, "step", counted)
    again = account(world("calm"), worlds.B0)
    assert math.fsum(spent) == pytest.approx(again.result.days[0].node_usd, rel=1e-4)
    spent.clear()
    mixed = account(
        world("calm"),
        "B3-10min-10pct",
    )
    launched = [e for e in mixed.events if e.kind is EventKind.MOVE]
    # Nodes that come and go within a step are billed to the second by one of the two only.
    slack = (len(launched) + 25) * 30.0 / 3600.0 * 0.26
    assert math.fsum(spent) == pytest.approx(mixed.result.days[0].node_usd, abs=slack)


@pytest.mark.trial
def test_every_policy_meets_the_same_demand():
    wanted = {
        policy: account(world(mix="bursty"), policy).result.days[0].demanded_od_usd
        for policy in (worlds.B0, worlds.B1, "B2-0.7", "B3-0min-100pct", "B4-1")
    }
    assert max(wanted.values()) == pytest.approx(min(wanted.values()), rel=1e-9)


def test_all_on_demand_is_never_interrupted_and_all_spot_is():
    on_demand = account(world(), worlds.B0).result.days[0]
    spot = account(world(), worlds.B1).result.days[0]
    assert (on_demand.n_interrupted, on_demand.spot_node_minutes) == (0, 0.0)
    assert on_demand.unserved_node_minutes == 0.0
    assert spot.n_interrupted > 0
    assert spot.unserved_node_minutes > 0.0
    assert spot.node_usd < 0.6 * on_demand.node_usd


@pytest.mark.trial
def test_a_spare_node_costs_money_and_saves_minutes():
    plain = account(world(seed=3), "B3-0min-10pct").result.days[0]
    hedged = account(world(seed=3), "B4-2").result.days[0]
    assert hedged.node_usd > plain.node_usd
    assert hedged.unserved_node_minutes < plain.unserved_node_minutes


@pytest.mark.trial
def test_slower_boots_leave_more_unserved():
    slow = next(v for v in PROTOCOL.variants if v.boot_factor == 2.0)
    usual = account(world(), "B3-0min-10pct").result.days[0]
    slower = account(world(variant=slow), "B3-0min-10pct").result.days[0]
    assert slower.unserved_node_minutes > usual.unserved_node_minutes


def decisions(supply):
    made = trial(world("calm"), worlds.OURS, supply=supply, n_days=HALF_A_DAY)
    return run(made, named).result.digest


@pytest.mark.trial
def test_what_is_hidden_changes_no_decision_until_it_can_be_seen():
    """Two worlds differ only in how much there is of what nobody holds or tries to get."""
    counts = {o: CapacityCounts(times=(0.0,), values=(40,)) for o in worlds.offerings()}
    known = trial(world("calm"), worlds.OURS)
    market = known.market
    dearest = max(counts, key=lambda o: market.spot_usd_per_hour(o, worlds.START_AT))
    other = counts | {dearest: CapacityCounts(times=(0.0,), values=(1000,))}
    supply = type(known.supply)
    decided = decisions(supply(seed=1, counts=counts))
    assert decisions(supply(seed=1, counts=other)) == decided
    scarce = {o: CapacityCounts(times=(0.0,), values=(1,)) for o in worlds.offerings()}
    assert decisions(supply(seed=1, counts=scarce)) != decided


class Reached:
    """The types of what was reached, and what was, so that no object is gone through twice."""

    def __init__(self):
        self.kinds, self.known = set(), {}


def reached(value, found):
    """Collect the type of everything that can be reached from a value by its fields."""
    kind = type(value)
    found.kinds.add(kind)
    if kind in (str, float, int, bool) or id(value) in found.known:
        return
    found.known[id(value)] = value
    if is_dataclass(value):
        inner = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    else:
        inner = list(value) if isinstance(value, tuple | list | set | frozenset) else []
    for one in inner:
        reached(one, found)


@pytest.mark.trial
def test_what_the_controller_sees_leads_to_no_object_of_the_world():
    seen, snapshot = Reached(), Watch.snapshot

    class Spy(Watch):
        def snapshot(self, now):
            facts = snapshot(self, now)
            reached(facts, seen)
            for node in facts.nodes:
                reached((self.pods_on(node.name), self.standings_on(node.name)), seen)
            return facts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spotvortex.sim.runtime.replica.Watch", Spy)
        run(trial(world(), worlds.OURS, n_days=HALF_A_DAY), named)
        market = trial(world(), worlds.OURS).market
        reached(market.facts(worlds.offerings(), worlds.START_AT), seen)
    rooms = {kind.__module__ for kind in seen.kinds}
    assert "spotvortex.core.domain.observation" in rooms
    assert not [room for room in rooms if room.startswith("spotvortex.sim")]


def test_what_workloads_lack_is_the_same_sum_in_whatever_order_they_changed():
    """A set's order hangs on the hash seed, and 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1."""
    made = trial(world(), worlds.B0)
    since, rng, days = made.scenario.start_at, Random(1), set()
    shares = (replace(w, cpu_milli=200 + 170 * n) for n, w in enumerate(made.scenario.workloads))
    cluster = ClusterObjects(Random(1), tuple(shares))
    for _ in range(20):
        order = rng.sample(list(cluster.workloads), len(cluster.workloads))
        cluster.news = ClusterChanges(workloads=order)
        ledger = Billing(cluster=cluster, prices=made.market, since=since, unit_of=made.unit_of)
        ledger.step(since + DAY_S, DAY_S)
        days.add(ledger.days[0])
    assert len(days) == 1


DIGEST = """
import logging
logging.disable(logging.CRITICAL)
from tests.evaluation.test_run import account, world
from spotvortex.evaluation import worlds
print(account(world(), worlds.OURS).result.digest)
"""


@pytest.mark.program
def test_a_trial_is_the_same_under_two_hash_seeds(ours):
    """Under that of this process, which is drawn unless it is given, and under another."""
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env=os.environ | {"PYTHONHASHSEED": other},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ours.result.digest


def test_demand_falls_at_night_and_bursts_for_ten_minutes():
    night = Demand("diurnal", 1)
    assert night.factor(0.0) == 0.5
    assert night.factor(43_200.0) == 1.0
    bursts = Demand("bursty", 1)
    factors = [bursts.factor(t) for t in range(0, 10 * 86_400, 60)]
    share = sum(f > 1.0 for f in factors) / len(factors)
    assert 0.04 < share < 0.14
    assert Demand("bursty", 1).factor(86_400.0) == bursts.factor(86_400.0)
    assert Demand("steady", 1).replicas("x", 3, 5.0) == 3


def test_pods_fill_a_node_by_what_is_scarcer():
    workload = trial(world(), worlds.B0).scenario.workloads[0]
    assert pods_per_node("m6i.xlarge", workload) == 4
    assert pods_per_node("m6i.xlarge", replace(workload, memory_bytes=8 << 30)) == 1
    assert pods_per_node("m6i.xlarge", replace(workload, cpu_milli=10**6)) == 1


def test_an_unknown_type_names_what_is_missing():
    with pytest.raises(Exception, match="on-demand price"):
        instance_type_of("q9z.4xlarge")
    assert instance_type_of("m5.4xlarge").cpu_milli == 15_920
    assert Offering(instance_type="m5.4xlarge", zone="a").family == "m5"
