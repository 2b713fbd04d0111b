"""The two worlds of the contract: each test plays its body in the simulator and on the real one."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.contract.real_stage import real_stage
from tests.contract.sim_stage import simulate
from tests.contract.stage import Body, Play, Pool
from tests.contract.troupe import REAL, Scene, play_together, tell
from tests.controlplane.cluster import ControlPlane


def on_plane(plane: ControlPlane) -> Play:
    """Return what plays a body on a control plane."""

    def play(body: Body) -> None:
        async def main() -> None:
            async with real_stage(plane) as stage:
                await body(stage)

        asyncio.run(main())

    return play


@pytest.fixture(scope="module")
def played(
    control_plane: ControlPlane, request: pytest.FixtureRequest
) -> Mapping[str, Exception | None]:
    """How each test of the module ended on the control plane, by name."""
    items = [item for item in request.session.items if item.path == request.path]
    asked = [item.function.body for item in items if item.callspec.id == "real"]
    return play_together(control_plane, [Scene(body, Pool()) for body in asked], buys=False)


@pytest.fixture(params=["simulated", pytest.param("real", marks=REAL)])
def stage(request: pytest.FixtureRequest) -> Play:
    """Plays a body on a stage without a provisioner; all such share one control plane.

    The real ones of a module that says `TOGETHER` are all played with the first.
    """
    if request.param == "simulated":
        return simulate
    if getattr(request.module, "TOGETHER", False):
        return lambda body: tell(request.getfixturevalue("played")[body.__name__])
    return on_plane(request.getfixturevalue("control_plane"))


@pytest.fixture(params=["simulated", pytest.param("real", marks=REAL)])
def lone_stage(request: pytest.FixtureRequest) -> Play:
    """Plays the same on a control plane of its own, which may be restarted."""
    if request.param == "simulated":
        return simulate
    start: Callable[..., ControlPlane] = request.getfixturevalue("fresh_control_plane")
    return on_plane(start(with_kwok=True, karpenter_crds=True))
