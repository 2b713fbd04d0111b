"""Scenes that mostly wait, played at the same time on one control plane.

Comes in: bodies of tests. Goes out: how each ended. Real Karpenter looks every ten seconds and
validates for fifteen more; scenes have a NodePool each, so that one can wait beside the other. In
the simulator each has a world of its own.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pytest

from tests.contract.real_stage import real_stage
from tests.contract.sim_stage import simulate
from tests.contract.stage import Body, Pool
from tests.controlplane.cluster import ControlPlane

REAL: Final = [pytest.mark.controlplane, pytest.mark.filterwarnings("ignore::ResourceWarning")]
AT_ONCE: Final = 16
"""Scenes at once; each has a view of its own, and they share two cores."""

KARPENTER: Final = [pytest.mark.karpenter, REAL[1]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A body, and what the provisioner may do in its pool."""

    body: Body
    pool: Pool

    @property
    def name(self) -> str:
        return self.body.__name__

    def simulate(self) -> None:
        simulate(self.body, self.pool, buys=True)


def play_together(
    plane: ControlPlane, scenes: Iterable[Scene], *, buys: bool
) -> dict[str, Exception | None]:
    """Play scenes at once on a control plane; return how each ended, by name.

    Args:
        plane: with Karpenter where somebody `buys`.
        scenes: of different names.
        buys: whether there is a provisioner.
    """

    at_once = asyncio.Semaphore(AT_ONCE)

    async def outcome(scene: Scene) -> Exception | None:
        async with at_once:
            return await ended(scene)

    async def ended(scene: Scene) -> Exception | None:
        begun = asyncio.get_running_loop().time()
        try:
            async with real_stage(plane, scene.pool, buys=buys) as stage:
                await scene.body(stage)
                seconds = asyncio.get_running_loop().time() - begun
                print(f"{scene.name}: {seconds:.0f} s", flush=True)
        except Exception as error:  # noqa: BLE001 - told by the test that it belongs to
            return error
        return None

    async def main() -> dict[str, Exception | None]:
        async with asyncio.TaskGroup() as group:
            tasks = {scene.name: group.create_task(outcome(scene)) for scene in scenes}
        return {name: task.result() for name, task in tasks.items()}

    return asyncio.run(main())


def tell(error: Exception | None) -> None:
    """Raise how a scene ended, where that was badly."""
    if error is not None:
        raise error
