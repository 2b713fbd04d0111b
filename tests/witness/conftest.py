"""A control plane for hand-driven scenes, and a small stage on it that each test has anew."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    NodeShape,
    PodShape,
    namespace_manifest,
    node_manifest,
    nodepool_manifest,
    pod_manifest,
)
from tests.witness.hand import Hand
from tests.witness.home import prepare_home
from tests.witness.judge.names import NAMESPACE

_numbers = itertools.count(1)


@dataclass
class Stage:
    """Spot nodes with two pods each, and on-demand nodes without any."""

    plane: ControlPlane
    namespace: str
    spot: list[dict[str, Any]]
    on_demand: list[dict[str, Any]]
    pods: dict[str, list[dict[str, Any]]]  # by name of the node

    def hand(self, user: str = "replica-a") -> Hand:
        return Hand(self.plane, user)

    def pods_on(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        return self.pods[node["metadata"]["name"]]

    def add_pod(self, node: dict[str, Any], **shape: Any) -> dict[str, Any]:
        name = node["metadata"]["name"]
        bound = PodShape(namespace=self.namespace, node_name=name, grace_s=1, **shape)
        pod = self.plane.api().create(pod_manifest(f"pod-{next(_numbers)}", bound))
        self.pods[name].append(pod)
        return pod


@pytest.fixture(scope="package")
def hand_plane() -> Iterator[ControlPlane]:
    """A control plane that only hand-driven scenes write to."""
    with ControlPlane(with_kwok=True, karpenter_crds=True) as plane:
        prepare_home(plane)
        plane.grant("replica-a", "cluster-admin")
        plane.apply([nodepool_manifest("web")])
        yield plane


@pytest.fixture
def stage(hand_plane: ControlPlane) -> Iterator[Stage]:
    """Three Spot and two on-demand nodes of the pool `web`."""
    number = next(_numbers)
    api, namespace = hand_plane.api(), f"stage-{number}"
    api.apply([namespace_manifest(namespace)])
    spot = [api.create(_node(f"spot-{number}-{i}", "spot")) for i in range(3)]
    on_demand = [api.create(_node(f"od-{number}-{i}", "on-demand")) for i in range(2)]
    pods = {node["metadata"]["name"]: [] for node in (*spot, *on_demand)}
    built = Stage(hand_plane, namespace, spot, on_demand, pods)
    for node in (*spot, *spot):
        built.add_pod(node)
    yield built
    at_once = {"gracePeriodSeconds": 0}
    for place in (namespace, NAMESPACE):
        api.delete(f"/api/v1/namespaces/{place}/pods", at_once)
    for node in (*spot, *on_demand):
        api.request("DELETE", f"/api/v1/nodes/{node['metadata']['name']}")
    api.request("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/spotvortex")


def _node(name: str, capacity_type: str) -> dict[str, Any]:
    return node_manifest(name, NodeShape(pool="web", capacity_type=capacity_type))
