"""Scores come for every offering; a model that fails gives none, and none moves nothing."""

import math

import pytest

from spotvortex.core.limits import Limits
from spotvortex.core.messages import ControllerState
from spotvortex.core.reconcile import reconcile
from spotvortex.core.types import Action
from spotvortex.pipeline.channels import ClosedError, Latest
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.pipeline.inference import Inference
from spotvortex.sim.loop import offload_inline
from tests.core.builders import AT, WEB_A, WEB_B, cluster, observation, on_demand, pool, quote, spot
from tests.core.builders import market as market_of
from tests.pipeline.world import FlatForecaster, MemoryTelemetry, run


def inference(forecaster, telemetry=None):
    return Inference(
        forecaster=forecaster,
        offload=offload_inline,
        telemetry=telemetry or MemoryTelemetry(),
        heartbeats=Heartbeats({"inference": 60.0}),
    )


def assess(observed, **of_forecaster):
    forecaster = FlatForecaster(**of_forecaster)
    return run(inference(forecaster).assess, observed), forecaster


def test_every_offering_has_a_score_rounded_to_six_places():
    assessed, forecaster = assess(observation(pool()), runtime=0.123456789)
    assert set(assessed.scores) == {WEB_A, WEB_B}
    assert assessed.scores[WEB_A].runtime_score == 0.123457
    assert assessed.scores[WEB_A].n_history == 1009
    assert assessed.model_digest == "digest"
    assert forecaster.asked[0].tolist() == [[2.0, pytest.approx(0.3)]] * 2


def test_the_ends_of_the_training_range_are_in_it():
    """0.3 as float32 lies a little above 0.3."""
    assessed, _ = assess(observation(pool()))
    assert assessed.scores[WEB_A].in_range


@pytest.mark.parametrize("bad", [{"spot_usd_per_hour": None}, {"spot_usd_per_hour": 0.031}])
def test_what_lies_outside_the_training_range_is_told(bad):
    observed = observation(pool(), market=market_of(quote(WEB_A, **bad), quote(WEB_B)))
    assessed, _ = assess(observed)
    assert not assessed.scores[WEB_A].in_range
    assert assessed.scores[WEB_B].in_range


def test_a_family_out_of_scope_is_not_asked_about():
    other = spot("x", WEB_A.__class__(instance_type="x9.large", zone="us-east-1a"))
    assessed, forecaster = assess(observation(pool(nodes=(other, spot("s1")))))
    assert len(forecaster.asked[0]) == 1
    assert not assessed.scores[other.offering].in_scope
    assert assessed.scores[other.offering].runtime_score is None


@pytest.mark.parametrize(
    "broken", [{"fails": True}, {"runtime": math.nan}, {"capacity": math.inf, "runtime": math.nan}]
)
def test_a_model_that_fails_makes_every_pool_hold(broken):
    observed = observation(pool(n_spot=8), pool("calm"))
    assessed, _ = assess(observed, **broken)
    assert all(s.runtime_score is None and s.in_scope for s in assessed.scores.values())
    _, plan = reconcile(ControllerState(), assessed, Limits(exit_unsupported=True))
    assert {d.action for d in plan.decisions} == {Action.HOLD}


def test_a_cluster_without_offerings_is_assessed_too():
    assessed, _ = assess(observation(pool(nodes=())))
    assert assessed.scores == {}


def test_the_memory_lives_from_cycle_to_cycle_and_feeds_the_next():
    forecaster = FlatForecaster()
    subject = inference(forecaster)
    lost = cluster(pool(nodes=(spot("s1"), on_demand("d1"))))

    async def main():
        await subject.assess(observation(pool(nodes=(spot("s1"), spot("s2")))))
        await subject.assess(observation(at=AT + 60.0, cluster=lost))

    run(main)
    assert subject.memory.offerings[WEB_A].losses == 1.0
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
    assert telemetry.of("replaced") == [(0.0, "assessments", 1)]
    assert telemetry.of("assessed") == [(0.0, 7)]
    assert [(s.name, s.parent) for s in telemetry.spans] == [("assess", "")]
