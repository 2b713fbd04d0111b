"""One control plane for all scenes on nodes that are made beforehand."""

from collections.abc import Iterator

import pytest

from tests.active.bench import Provisioner, prepare
from tests.controlplane.cluster import ControlPlane


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane with KWOK, Karpenter's CRDs and nobody but us who moves nodes."""
    with ControlPlane(with_kwok=True, karpenter_crds=True) as started:
        prepare(started)
        with Provisioner(started):
            yield started
