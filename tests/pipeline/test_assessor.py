"""Scores come for every offering; a model that fails gives none, and none moves nothing."""

import asyncio
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.cloud.exits import NodeExit
from spotvortex.core.domain.labels import MAX_SPOT_RATIO, MODE
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import Action, Mode, Predictor
from spotvortex.core.pool.assess import AssessmentMemory
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.pool.reduction import MEMORY_CONFIDENCE
from spotvortex.core.scoring.calibration.live import Calibration, CalibrationTally, TallyKey
from spotvortex.core.scoring.hazard import Age, integral
from spotvortex.core.scoring.interruption_memory import (
    EMPTY_MEMORY,
    PRIOR_LEVEL_PER_HOUR,
    OfferingMemory,
    memory_of,
)
from spotvortex.pipeline.assessor import Assessor
from spotvortex.pipeline.bounded_run import BoundedRun
from spotvortex.pipeline.challenge import Challenge
from spotvortex.pipeline.channels import ClosedError, Latest
from spotvortex.pipeline.health import Heartbeats
from spotvortex.pipeline.scorer import Scorer
from spotvortex.sim.runtime.virtual_loop import offload_inline
from tests.core.builders import (
    AT,
    WEB_A,
    WEB_B,
    capped,
    cluster,
    observation,
    on_demand,
    pool,
    quote,
    spot,
)
from tests.core.builders import market as market_of
from tests.core.in_flight import marked, order, placeholder, with_nodes
from tests.pipeline.world import FlatForecaster, MemoryTelemetry, run


def inference(forecaster, telemetry=None):
    return Assessor(
        scorer=Scorer(forecaster=forecaster, offload=offload_inline),
        telemetry=telemetry or MemoryTelemetry(),
        limits=capped(max_input_age_s=60.0),
        heartbeats=Heartbeats({"inference": 60.0}),
    )


def assess(observed, **of_forecaster):
    forecaster = FlatForecaster(**of_forecaster)
    return run(inference(forecaster).assess, observed), forecaster


def offerings_of(assessed):
    return {o.offering: o for pool in assessed.pools for o in pool.offerings}


def term(assessed, name):
    (only,) = assessed.pools
    return dict(only.confidence_terms)[name]


def test_every_offering_has_a_score_rounded_to_six_places():
    assessed, forecaster = assess(observation(pool()), runtime=0.123456789)
    assert set(offerings_of(assessed)) == {WEB_A, WEB_B}
    assert offerings_of(assessed)[WEB_A].runtime_score == 0.123457
    assert assessed.model_digest == "digest"
    assert forecaster.asked[0].tolist() == [[2.0, pytest.approx(0.3)]] * 2


def test_a_history_shorter_than_a_day_lowers_confidence():
    short = quote(WEB_A, history_usd_per_hour=(0.03,) * 72)
    facts = pool(nodes=(spot("s1"),))
    assert term(assess(observation(facts))[0], "history") == 1.0
    young = observation(facts, market=market_of(short))
    assert term(assess(young)[0], "history") == 0.75


def test_pools_come_sorted_and_reduced_by_the_limit_of_age():
    assessed, _ = assess(observation(pool("web"), pool("api")))
    assert [p.pool for p in assessed.pools] == ["api", "web"]
    assert dict(assessed.pools[0].confidence_terms)["freshness"] == pytest.approx(
        1.0 - 0.5 * 2.0 / 60.0, abs=1e-6
    )


def test_the_ends_of_the_training_range_are_in_it():
    """0.3 as float32 lies a little above 0.3."""
    assessed, _ = assess(observation(pool()))
    assert assessed.pools[0].out_of_range == ()
    assert term(assessed, "model_range") == 1.0


@pytest.mark.parametrize("bad", [{"spot_usd_per_hour": None}, {"spot_usd_per_hour": 0.031}])
def test_what_lies_outside_the_training_range_is_told(bad):
    observed = observation(pool(), market=market_of(quote(WEB_A, **bad), quote(WEB_B)))
    assessed, _ = assess(observed)
    assert assessed.pools[0].out_of_range == (str(WEB_A),)


def test_a_family_out_of_scope_is_not_asked_about():
    other = spot("x", WEB_A.__class__(instance_type="x9.large", zone="us-east-1a"))
    assessed, forecaster = assess(observation(pool(nodes=(other, spot("s1")))))
    assert len(forecaster.asked[0]) == 1
    assert not offerings_of(assessed)[other.offering].in_scope
    assert offerings_of(assessed)[other.offering].runtime_score is None


def test_a_model_that_cannot_be_run_makes_every_pool_hold():
    observed = observation(pool(n_spot=8), pool("calm"))
    assessed, _ = assess(observed, fails=True)
    found = [o for p in assessed.pools for o in p.offerings]
    assert found
    assert all(o.runtime_score is None and o.in_scope for o in found)
    _, plan = reconcile(ControllerState(), assessed, capped(exit_unsupported=True))
    assert {d.action for d in plan.decisions} == {Action.HOLD}


@pytest.mark.parametrize("broken", [{"runtime": math.nan}, {"capacity": math.inf}])
def test_where_the_model_abstains_the_memory_answers_with_less_confidence(broken):
    observed = observation(pool(n_spot=8))
    assessed, _ = assess(observed, **broken)
    held_two_hours = Age(held_hours=2.0, since_loss_hours=2.0)
    expected = -math.expm1(-PRIOR_LEVEL_PER_HOUR * integral(held_two_hours, 2.0))
    found = [o.runtime_score for o in offerings_of(assessed).values()]
    assert found == [pytest.approx(expected, abs=1e-6)] * len(found)
    assert found
    assert term(assessed, "scores") == MEMORY_CONFIDENCE


@pytest.mark.parametrize(
    "broken", [{}, {"runtime": math.nan}, {"capacity": 1.0, "runtime": 1.0}, {"fails": True}]
)
def test_where_the_memory_decides_nothing_of_the_model_matters(broken):
    """Not that it gives no figures, saturates, or cannot be run: it is not asked."""
    observed = observation(pool(n_spot=8))
    assessed, forecaster = assess(observed, decides=Predictor.MEMORY, **broken)
    held_two_hours = Age(held_hours=2.0, since_loss_hours=2.0)
    expected = -math.expm1(-PRIOR_LEVEL_PER_HOUR * integral(held_two_hours, 2.0))
    for found in offerings_of(assessed).values():
        assert found.runtime_score == pytest.approx(expected, abs=1e-6)
        assert found.from_memory
    assert term(assessed, "scores") == 1.0
    assert forecaster.asked == []


def test_where_the_memory_decides_a_family_out_of_scope_has_no_score():
    other = spot("x", WEB_A.__class__(instance_type="x9.large", zone="us-east-1a"))
    observed = observation(pool(nodes=(other, spot("s1"))))
    assessed, _ = assess(observed, decides=Predictor.MEMORY)
    assert not offerings_of(assessed)[other.offering].in_scope
    assert offerings_of(assessed)[other.offering].runtime_score is None


def test_where_the_graph_has_drifted_the_memory_stands_in_and_the_record_says_so():
    observed = observation(pool(n_spot=8))
    sums = CalibrationTally(n=700.0, predicted=40.0, lost=40.0, squared=20.0, squared_memory=10.0)
    key = TallyKey(Predictor.GRAPH, None, 60)
    judged = Calibration(tallies={key: sums}, at=AT, drifted=True)
    subject = inference(FlatForecaster(runtime=0.9))
    subject.memory = AssessmentMemory(interruptions=replace(EMPTY_MEMORY, calibration=judged))
    assessed = run(subject.assess, observed)
    assert all(o.from_memory and o.runtime_score < 0.9 for o in offerings_of(assessed).values())
    assert term(assessed, "calibration") == MEMORY_CONFIDENCE
    assert term(assessed, "scores") == 1.0
    assert assessed.calibration.drifted
    assert "calibration" not in dict(assess(observed)[0].pools[0].confidence_terms)


@dataclass
class Says:
    """A predictor that says the same of everything."""

    predictor: Predictor
    says: float
    name: str = "says"

    def tensor(self, contexts, _at):
        return np.full((len(contexts), 2), self.says, dtype=np.float32)

    def score(self, tensor):
        return tensor


def test_predictions_of_the_daemon_are_judged_by_the_losses_that_it_sees(caplog):
    """Ten minutes at a time, over three days in which a node of each is lost every hour."""
    telemetry = MemoryTelemetry()
    subject = inference(FlatForecaster(), telemetry)
    subject.scorer.challenge = Challenge(
        asked=[
            (Says(who, says), BoundedRun(offload=offload_inline, limit_s=5.0))
            for who, says in ((Predictor.MEMORY, 0.9), (Predictor.GRAPH, 0.0001))
        ],
        decides=Predictor.GRAPH,
        telemetry=telemetry,
    )
    both = WEB_A, WEB_B
    kept = [spot(f"kept-{o.zone}", o) for o in both]

    async def main():
        source, out = Latest("observations"), Latest("assessments")
        task = asyncio.ensure_future(subject.run(source, out))
        for tick in range(6 * 72):
            at, hour = AT + 600.0 * tick, tick // 6
            lost = [spot(f"{hour}-{o.zone}", o) for o in both]
            is_over = tick % 6 == 5
            exits = tuple(NodeExit(uid=n.uid, not_ready_since=at) for n in lost if is_over)
            nodes = (*kept, *(() if is_over else lost))
            source.put(observation(at=at, cluster=cluster(pool(nodes=nodes), exits=exits)))
            await asyncio.sleep(1.0)
        source.close()
        await task

    with caplog.at_level("WARNING", logger="spotvortex.pipeline.assessor"):
        run(main)
    calibration = subject.memory.interruptions.calibration
    graph = calibration.pooled(Predictor.GRAPH, 60)
    memory = calibration.pooled(Predictor.MEMORY, 60)
    assert graph.lost == memory.lost > 0.99 * graph.n
    assert memory.brier == pytest.approx(0.01, rel=0.01)
    assert calibration.drifted
    assert [r.message for r in caplog.records] == ["model.drifted"]


class ValuingForecaster(FlatForecaster):
    """Gives every pool the same q-values."""

    def q_values(self, states):
        if self.fails:
            return super().q_values(states)
        return np.tile(np.float32([0.0, 0.1, 0.2, 0.3, 0.4, 0.5]), (len(states), 1))


def test_a_policy_network_values_every_pool():
    observed = observation(pool("web"), pool("api"))
    assessed = run(inference(ValuingForecaster(has_policy=True)).assess, observed)
    assert [p.q_values for p in assessed.pools] == [(0.0, 0.1, 0.2, 0.3, 0.4, 0.5)] * 2


def test_a_policy_network_that_cannot_be_run_gives_no_values():
    assessed = run(
        inference(ValuingForecaster(has_policy=True, fails=True)).assess, observation(pool())
    )
    assert [p.q_values for p in assessed.pools] == [None]


def test_a_cluster_without_offerings_is_assessed_too():
    assessed, _ = assess(observation(pool(nodes=())))
    assert offerings_of(assessed) == {}


def test_the_loop_breathes_after_each_pool():
    async def main():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        subject = inference(FlatForecaster())
        await subject.assess(observation(*(pool(f"p{i}") for i in range(5))))
        counting.cancel()
        return turns

    assert run(main) >= 5


def test_the_memory_lives_from_cycle_to_cycle_and_feeds_the_next():
    forecaster = FlatForecaster()
    subject = inference(forecaster)
    silent = NodeExit(uid=spot("s2").uid, not_ready_since=AT)
    lost = cluster(pool(nodes=(spot("s1"), on_demand("d1"))), exits=(silent,))

    async def main():
        await subject.assess(observation(pool(nodes=(spot("s1"), spot("s2")))))
        await subject.assess(observation(at=AT + 60.0, cluster=lost))

    run(main)
    assert subject.memory.interruptions.offerings[WEB_A].losses == 1.0
    assert forecaster.asked[1][0][0] == 0.0


def test_it_runs_until_its_source_is_closed_and_closes_what_it_feeds():
    telemetry = MemoryTelemetry()
    subject = inference(FlatForecaster(), telemetry)

    async def main():
        source, out = Latest("observations"), Latest("assessments")
        out.put("unread")
        source.put(observation(pool()))
        source.close()
        await subject.run(source, out)
        assessed = await out.get()
        with pytest.raises(ClosedError):
            await out.get()
        return assessed

    assert run(main).observation.cycle == 7
    assert telemetry.of("channel_replaced") == [(0.0, "assessments")]
    assert telemetry.of("assessed") == [(0.0, 7)]
    assert [(s.name, s.parent) for s in telemetry.spans] == [("assess", "")]


def test_the_time_that_it_took_does_not_grow_with_the_age_of_the_process():
    async def main():
        await asyncio.sleep(1000.0)
        return await inference(FlatForecaster()).assess(observation(pool()))

    assert 0.0 <= run(main).seconds < 100.0


class Saved:
    """A store that holds every memory that was saved."""

    def __init__(self):
        self.memories = []

    def load(self):
        return EMPTY_MEMORY

    def save(self, memory):
        self.memories.append(memory)


def test_the_memory_is_saved_once_a_minute_and_at_the_end():
    subject = inference(FlatForecaster())
    subject.store = Saved()

    async def main():
        source, out = Latest("observations"), Latest("assessments")
        task = asyncio.ensure_future(subject.run(source, out))
        for after_s in (0.0, 30.0, 59.0, 60.0, 119.0):
            source.put(observation(pool(), at=AT + after_s))
            await asyncio.sleep(1.0)
        source.close()
        await task

    run(main)
    assert [m.at - AT for m in subject.store.memories] == [0.0, 60.0, 119.0]


class Late:
    """A place that gives what was remembered from its third question on."""

    def __init__(self):
        self.n_asked = 0

    @property
    def is_settled(self):
        return self.n_asked >= 3

    def recall(self, memory):  # noqa: ARG002 - as the port
        self.n_asked += 1
        known = OfferingMemory(losses=1.0, last_loss_at=AT, updated_at=AT)
        return memory_of({WEB_A: known}, {}) if self.n_asked == 3 else None


def test_what_was_remembered_before_is_joined_when_it_comes_and_nothing_is_saved_over_it():
    subject = inference(FlatForecaster())
    subject.store, subject.recall = Saved(), Late()

    async def main():
        source, out = Latest("observations"), Latest("assessments")
        task = asyncio.ensure_future(subject.run(source, out))
        for after_s in (0.0, 60.0, 120.0):
            source.put(observation(pool(), at=AT + after_s))
            await asyncio.sleep(1.0)
        source.close()
        await task

    run(main)
    (first, *_) = subject.store.memories
    assert first.at == AT + 120.0
    assert first.offerings[WEB_A].losses == pytest.approx(1.0, rel=0.01)
    assert first.offerings[WEB_B].exposure_hours > 0.0


def test_of_settings_and_annotations_the_more_careful_rule_counts():
    said = NodeGroupFact(name="web", pool="web", rules=((MAX_SPOT_RATIO, "0.5"),))
    observed = observation(pool(node_groups=(said,)), pool("api"))
    subject = inference(FlatForecaster())
    subject.pool_rules = {"web": PoolRules(mode=Mode.CANARY, max_spot_ratio=0.7)}
    api, web = run(subject.assess, observed).pools
    assert web.rules == PoolRules(mode=Mode.CANARY, max_spot_ratio=0.5)
    assert api.rules == PoolRules()


def test_a_rule_of_every_other_pool_counts_where_nobody_says_anything_of_one():
    said = NodeGroupFact(name="web", pool="web", rules=((MODE, "canary"),))
    capped = NodeGroupFact(name="etl", pool="etl", rules=((MAX_SPOT_RATIO, "0.5"),))
    observed = observation(
        pool(node_groups=(said,)), pool("etl", node_groups=(capped,)), pool("api"), pool("jobs")
    )
    subject = inference(FlatForecaster())
    subject.pool_rules = {
        "*": PoolRules(mode=Mode.SHADOW),
        "jobs": PoolRules(mode=Mode.ACTIVE),
    }
    found = {p.pool: p.rules for p in run(subject.assess, observed).pools}
    assert found == {
        "web": PoolRules(mode=Mode.CANARY),
        "etl": PoolRules(mode=Mode.SHADOW, max_spot_ratio=0.5),
        "api": PoolRules(mode=Mode.SHADOW),
        "jobs": PoolRules(mode=Mode.ACTIVE),
    }


def test_what_is_in_flight_is_no_candidate_and_counts_as_moving():
    """Also before its node is marked: its placeholders tell of it."""
    facts = pool(n_spot=3, n_on_demand=0)
    facts = with_nodes(facts, marked(facts.nodes[0]))
    seen = cluster(facts, own_pods=(placeholder(order("web-s1")),))
    assessed, _ = assess(replace(observation(), cluster=seen))
    (only,) = assessed.pools
    assert assessed.in_flight.uids == {"uid-web-s0", "uid-web-s1"}
    assert [c.node for c in only.to_on_demand] == ["web-s2"]
    assert (only.n_moving, only.n_spot_movable) == (2, 1)


def test_what_is_in_hand_counts_as_under_way_before_the_cluster_shows_any_of_it():
    seen = replace(observation(pool(n_spot=3, n_on_demand=0)), in_hand=frozenset({"uid-web-s0"}))
    assessed, _ = assess(seen)
    (only,) = assessed.pools
    assert (only.n_in_flight, only.n_moving) == (1, 1)
    assert {c.node for c in only.to_on_demand} == {"web-s1", "web-s2"}
    # There is no journal of it to go on with.
    assert assessed.in_flight.uids == set()
