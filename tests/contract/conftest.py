"""The two worlds of the contract: each test plays its body in the simulator and on the real one."""

import asyncio
from collections.abc import Callable

import pytest

from tests.contract.real_stage import real_stage, short_lease
from tests.contract.sim_stage import simulate
from tests.contract.stage import Body, Play
from tests.contract.troupe import REAL
from tests.controlplane.cluster import ControlPlane


def on_plane(plane: ControlPlane) -> Play:
    """Return what plays a body on a control plane."""

    def play(body: Body) -> None:
        async def main() -> None:
            async with real_stage(plane) as stage:
                await body(stage)

        with short_lease():
            asyncio.run(main())

    return play


@pytest.fixture(params=["simulated", pytest.param("real", marks=REAL)])
def stage(request: pytest.FixtureRequest) -> Play:
    """Plays a body on a stage without a provisioner; all such share one control plane."""
    if request.param == "simulated":
        return simulate
    return on_plane(request.getfixturevalue("control_plane"))


@pytest.fixture(params=["simulated", pytest.param("real", marks=REAL)])
def lone_stage(request: pytest.FixtureRequest) -> Play:
    """Plays the same on a control plane of its own, which may be restarted."""
    if request.param == "simulated":
        return simulate
    start: Callable[..., ControlPlane] = request.getfixturevalue("fresh_control_plane")
    return on_plane(start(with_kwok=True, karpenter_crds=True))
