"""Challengers are asked beside what decides, side by side, and decide nothing."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from spotvortex.core.domain.types import Offering, Predictor
from spotvortex.core.scoring.calibration.live import MAX_ROUND
from spotvortex.core.scoring.features import OfferingScore
from spotvortex.errors import ModelContractError
from spotvortex.pipeline.bounded_run import BoundedRun
from spotvortex.pipeline.challenge import EVERY_S, Challenge
from spotvortex.sim.runtime.virtual_loop import offload_inline
from tests.core.builders import WEB_A, WEB_B, observation
from tests.model.contexts import context
from tests.pipeline.world import MemoryTelemetry, run

CONTEXT = context()
SCORES = {
    CONTEXT.offering: OfferingScore(
        offering=CONTEXT.offering, capacity_score=0.3, runtime_score=0.4, in_scope=True
    )
}


@dataclass
class Rival:
    name: str = "rival"
    predictor: Predictor = Predictor.NETWORK
    says: float = 0.1
    fails: bool = False
    asked: int = 0

    def tensor(self, contexts, _at):
        return np.full((len(contexts), 1), self.says, dtype=np.float32)

    def score(self, tensor):
        self.asked += 1
        if self.fails:
            raise ModelContractError("the graph cannot be run")
        return np.repeat(tensor, 2, axis=1)


def challenge(telemetry, *rivals):
    asked = [(rival, BoundedRun(offload=offload_inline, limit_s=5.0)) for rival in rivals]
    return Challenge(asked=asked, decides=Predictor.MEMORY, telemetry=telemetry)


def asked(rival, *times, beside=()):
    telemetry = MemoryTelemetry()
    made = challenge(telemetry, rival, *beside)

    async def main():
        for at in times:
            made.note((CONTEXT,), SCORES, observation(at=at))
            await made.ask()

    run(main)
    return telemetry


def test_difference_from_the_deciding_score_is_measured():
    telemetry = asked(Rival(), 1000.0)
    ((_, who, difference),) = telemetry.of("challenger_difference_ratio")
    assert who == "network"
    assert abs(difference - 0.2) < 1e-6
    assert telemetry.of("challenger_runs") == [(0.0, "network", "done")]


def test_one_that_fails_keeps_nobody_else_from_being_asked():
    failing = Rival(fails=True, predictor=Predictor.GRAPH)
    telemetry = asked(failing, 1000.0, beside=[Rival()])
    assert sorted(telemetry.of("challenger_runs")) == [
        (0.0, "graph", "failed"),
        (0.0, "network", "done"),
    ]


def test_it_is_asked_every_ten_minutes_and_no_oftener():
    rival = Rival()
    asked(rival, 1000.0, 1000.0 + EVERY_S / 2, 1000.0 + EVERY_S, 1001.0 + EVERY_S)
    assert rival.asked == 2


def test_one_that_cannot_be_run_is_counted_and_dropped():
    telemetry = asked(Rival(fails=True), 1000.0)
    assert telemetry.of("challenger_runs") == [(0.0, "network", "failed")]
    assert telemetry.of("challenger_difference_ratio") == []


def test_one_that_abstains_is_compared_with_nothing():
    assert asked(Rival(says=math.nan), 1000.0).of("challenger_difference_ratio") == []


def test_what_each_said_of_what_is_held_is_kept_to_be_judged():
    rivals = [Rival(predictor=Predictor.MEMORY), Rival(says=0.5)]
    rivals.append(Rival(fails=True, predictor=Predictor.GRAPH))
    made = challenge(MemoryTelemetry(), *rivals)
    aside = replace(CONTEXT, offering=WEB_B, held_hours=0.0)
    held = replace(CONTEXT, offering=WEB_A, held_hours=1.0)

    async def main():
        made.note((held, aside), SCORES, observation(at=1000.0))
        return await made.ask(), await made.ask()

    (only,), again = run(main)
    assert (only.at, only.offering, again) == (1000.0, WEB_A, ())
    assert only.said[Predictor.MEMORY] == pytest.approx((0.1, 0.1))
    assert only.said[Predictor.NETWORK] == pytest.approx((0.5, 0.5))


def test_of_too_many_offerings_each_has_its_turn():
    many = [
        replace(CONTEXT, offering=Offering(instance_type=f"m6i.{n}", zone="z"), held_hours=1.0)
        for n in range(2 * MAX_ROUND)
    ]
    made = challenge(MemoryTelemetry(), Rival(predictor=Predictor.MEMORY))

    async def main():
        rounds = []
        for at in (0.0, EVERY_S):
            made.note(many, SCORES, observation(at=at))
            rounds.append(await made.ask())
        return rounds

    first, second = run(main)
    assert len(first) == len(second) == MAX_ROUND
    assert len({p.offering for p in (*first, *second)}) == 2 * MAX_ROUND


def test_who_decides_is_not_compared_with_itself():
    telemetry = asked(Rival(predictor=Predictor.MEMORY), 1000.0)
    assert telemetry.of("challenger_difference_ratio") == []
    assert telemetry.of("challenger_runs") == [(0.0, "memory", "done")]


def test_without_an_observation_nothing_is_asked():
    rival = Rival()
    run(challenge(MemoryTelemetry(), rival).ask)
    assert rival.asked == 0
