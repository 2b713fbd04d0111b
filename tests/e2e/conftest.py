"""The shop's scene on the shared control plane, with the rights that the overlay gives."""

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.deploy.manifests import shadow_cluster_role
from tests.e2e.equipment import scene

USER = "spotvortex-shadow"


def prepare(plane: ControlPlane) -> ControlPlane:
    """Build the scene and grant our account the shadow ClusterRole as it is shipped."""
    scene.build(plane)
    role = shadow_cluster_role()
    plane.apply([role])
    plane.grant(USER, role["metadata"]["name"])
    return plane


@pytest.fixture(scope="session")
def shop(control_plane: ControlPlane) -> ControlPlane:
    """The scene on the control plane that all tests share; only read it."""
    return prepare(control_plane)
