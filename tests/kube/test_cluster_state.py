"""What we remember is lost only where it had been saved."""

import pytest

from spotvortex.core.messages import ControllerState
from spotvortex.kube.cluster_state import VERSION, ClusterState
from spotvortex.kube.config_maps import StateStore
from tests.kube.fake_api import Answer, FakeApi, refused, serving


class Clock:
    def now(self):
        return 1_000.0


def remembering(client, kept):
    return ClusterState(
        store=StateStore(client, "ours", VERSION),
        clock=Clock(),
        leads=lambda: True,
        was_kept=lambda: bool(kept),
        keep=lambda: kept.append("now"),
    )


@pytest.mark.parametrize(("kept", "unsure_until"), [([], 0.0), (["before"], 87_400.0)])
async def test_only_a_state_that_had_been_saved_is_lost(kept, unsure_until):
    async with serving(FakeApi([refused(404)])) as client:
        state = await remembering(client, kept).load()
    assert state == ControllerState(unsure_until=unsure_until)


async def test_a_first_saving_is_said():
    stored = {"metadata": {"name": "spotvortex-state", "uid": "u", "resourceVersion": "1"}}
    kept = []
    async with serving(FakeApi([refused(404), Answer(stored)])) as client:
        state = remembering(client, kept)
        await state.load()
        assert kept == []
        assert await state.save(ControllerState())
    assert kept == ["now"]
