"""A run is waited for no longer than a limit, and never runs beside one that was given up."""

import asyncio
import threading

import numpy as np
import pytest

from spotvortex.errors import ModelContractError
from spotvortex.pipeline.assessor import Assessor
from spotvortex.pipeline.bounded_run import BoundedRun
from spotvortex.pipeline.health import Heartbeats
from spotvortex.pipeline.scorer import Scorer
from spotvortex.sim.runtime.virtual_loop import offload_inline
from tests.core.builders import observation, pool
from tests.pipeline.world import FlatForecaster, MemoryTelemetry, run

ROWS = np.ones((2, 2), dtype=np.float32)


def same(rows):
    return rows


def broken(_rows):
    raise ModelContractError("the graph cannot be run")


def test_what_the_run_gives_is_handed_on():
    bounded = BoundedRun(offload=offload_inline, limit_s=5.0)
    assert run(bounded.run, same, ROWS) is ROWS


def test_a_run_that_fails_leaves_the_next_one_free():
    bounded = BoundedRun(offload=offload_inline, limit_s=5.0)

    async def main():
        with pytest.raises(ModelContractError, match="cannot be run"):
            await bounded.run(broken, ROWS)
        return await bounded.run(same, ROWS)

    assert run(main) is ROWS


def test_the_loop_goes_on_during_a_slow_run():
    bounded = BoundedRun(offload=asyncio.to_thread, limit_s=60.0)

    async def main():
        release = threading.Event()

        def slow(rows):
            assert release.wait(60.0)
            return rows

        async with asyncio.TaskGroup() as group:
            running = group.create_task(bounded.run(slow, ROWS))
            for _ in range(10):
                await asyncio.sleep(0.001)
            assert not running.done()
            release.set()
        return running.result()

    assert asyncio.run(main()) is ROWS


def test_a_late_run_is_given_up_and_no_other_one_starts_until_it_has_ended():
    bounded = BoundedRun(offload=asyncio.to_thread, limit_s=0.05)
    ended = threading.Event()

    async def main():
        release = threading.Event()

        def stuck(rows):
            assert release.wait(60.0)
            ended.set()
            return rows

        with pytest.raises(ModelContractError, match=r"no answer within 0\.05 s"):
            await bounded.run(stuck, ROWS)
        with pytest.raises(ModelContractError, match="still busy"):
            await bounded.run(same, ROWS)
        release.set()
        assert ended.wait(60.0)
        while bounded.busy:
            await asyncio.sleep(0.001)
        bounded.limit_s = 60.0
        return await bounded.run(same, ROWS)

    assert asyncio.run(main()) is ROWS


class StuckForecaster(FlatForecaster):
    """Gives no answer until it is let go."""

    release = threading.Event()

    def score(self, features):
        assert self.release.wait(60.0)
        return super().score(features)


def test_a_model_that_hangs_gives_no_scores_and_the_cycle_goes_on(caplog):
    forecaster = StuckForecaster()
    subject = Assessor(
        scorer=Scorer(forecaster=forecaster, offload=asyncio.to_thread, run_limit_s=0.05),
        telemetry=MemoryTelemetry(),
        heartbeats=Heartbeats({"inference": 60.0}),
    )

    async def main():
        found = [await subject.assess(observation(pool())) for _ in range(2)]
        forecaster.release.set()
        return found

    for assessed in asyncio.run(main()):
        assert [p.spot_risk.runtime for p in assessed.pools] == [None]
    reasons = [r.reason for r in caplog.records if r.message == "inference.failed"]
    assert ["no answer" in reason for reason in reasons] == [True, False]
    assert "still busy" in reasons[1]
