"""Control planes for the scenes: one for a module, and one with nodes that are made beforehand."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.active.scene.bench import prepare
from tests.active.scene.claims import Provisioner
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


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane with KWOK, Karpenter's CRDs and nobody but us who moves nodes."""
    with ControlPlane(with_kwok=True, karpenter_crds=True) as started:
        prepare(started)
        with Provisioner(started):
            yield started
