"""Challengers are asked beside what decides, side by side, and decide nothing."""

import math
from dataclasses import dataclass

import numpy as np

from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.features import OfferingScore
from spotvortex.errors import ModelContractError
from spotvortex.pipeline.bounded_run import BoundedRun
from spotvortex.pipeline.challenge import EVERY_S, Challenge
from spotvortex.sim.runtime.virtual_loop import offload_inline
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
    return Challenge(asked=asked, telemetry=telemetry)


def asked(rival, *times, beside=()):
    telemetry = MemoryTelemetry()
    made = challenge(telemetry, rival, *beside)

    async def main():
        for at in times:
            made.note((CONTEXT,), SCORES, at)
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


def test_without_an_observation_nothing_is_asked():
    rival = Rival()
    run(challenge(MemoryTelemetry(), rival).ask)
    assert rival.asked == 0
