"""A control plane for each module that asks for a scene of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane


@pytest.fixture(scope="module")
def starting() -> Iterator[Callable[..., ControlPlane]]:
    """A maker of control planes that last for the module; takes the fields of `Options`."""
    started: list[ControlPlane] = []

    def start(**options: Any) -> ControlPlane:
        plane = ControlPlane(**options)
        started.append(plane)
        return plane.start()

    yield start
    for plane in started:
        plane.stop()
