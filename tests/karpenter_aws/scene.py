"""The standard scene on Karpenter's AWS provider, and the daemon beside it in two modes.

Comes in: what the scene looks like. Goes out: the scene with Karpenter, its cloud and its queue,
and daemons under exactly the rights that ship: one that watches (shadow, in a namespace of its own)
and one that moves (active). Neither has any right in AWS. Shares no code with the product but the
settings' names.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.active.scene.play import install
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import Manifest, namespace_manifest
from tests.core.events import event
from tests.deploy.manifests import ACTIVE, SHADOW, render, roles_of
from tests.e2e.equipment.daemon import Daemon
from tests.karpenter_aws.bridge import CLAIMS
from tests.karpenter_aws.provider import AwsProvider
from tests.witness.scene import ActiveScene, Shape

WATCHER, MOVER = "spotvortex-shadow", "spotvortex-active"
"""The users of the control plane whose tokens the daemons have."""
WATCHING = "watching"
LOSSES = "spotvortex_losses_learned_total"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
READY_S = 60


@dataclass(frozen=True, slots=True)
class AwsScene:
    """The scene, and Karpenter with its cloud."""

    scene: ActiveScene
    karpenter: AwsProvider

    @property
    def plane(self) -> ControlPlane:
        """The control plane."""
        return self.scene.plane

    def nodes(self, kind: str = "spot") -> list[Manifest]:
        """Return the nodes of a capacity type."""
        return [n for n in self.scene.nodes() if n["metadata"]["labels"][CAPACITY_TYPE] == kind]

    def claims(self) -> dict[str, Manifest]:
        """Return the NodeClaims by the name of their node."""
        listed = self.plane.api().items(CLAIMS)
        return {claim.get("status", {}).get("nodeName", ""): claim for claim in listed}

    def uids(self) -> set[str]:
        """Return the uids of all nodes of the pool."""
        return {node["metadata"]["uid"] for node in self.scene.nodes()}

    def await_gone(self, *nodes: Manifest, timeout_s: float = 120) -> None:
        """Wait until nodes are gone and every pod runs again."""
        gone = {node["metadata"]["uid"] for node in nodes}
        wait_until(lambda: not gone & self.uids(), timeout_s, every_s=0.3)
        wait_until(self.scene.all_running, timeout_s, every_s=0.3)

    # -- daemons -------------------------------------------------------------

    def watcher(self, folder: Path, **changes: str) -> Daemon:
        """Return a daemon in shadow, as it ships."""
        return self._daemon(folder, WATCHER, changes | {"SPOTVORTEX_NAMESPACE": WATCHING})

    def reader(self, folder: Path) -> Daemon:
        """Return a daemon in the active mode that reads Karpenter's queue in its place.

        No score is that sure: it moves nothing for prices or risk.
        """
        return self.mover(
            folder,
            SPOTVORTEX_NOTICE_SOURCE="queue",
            SPOTVORTEX_INTERRUPTION_QUEUE=self.karpenter.account.queue_url,
            SPOTVORTEX_MIN_CONFIDENCE="1",
        )

    def mover(self, folder: Path, **changes: str) -> Daemon:
        """Return a daemon in the active mode."""
        return self._daemon(folder, MOVER, changes | {"SPOTVORTEX_MODE": "active"})

    def _daemon(self, folder: Path, user: str, changes: dict[str, str]) -> Daemon:
        folder.mkdir(exist_ok=True)
        variables = {
            "KUBECONFIG": str(self.plane.kubeconfig(user)),
            "SPOTVORTEX_KARPENTER_METRICS_URL": self.karpenter.metrics_url,
        }
        # It could reach the cloud: whether it asks anything there is seen by its key.
        return Daemon(folder, variables | self.karpenter.cloud.variables("daemon") | changes)


@contextmanager
def aws_scene(shape: Shape, **changes: Any) -> Iterator[AwsScene]:
    """Build the scene on a control plane of its own, with what ships for both modes.

    Args:
        shape: of the scene.
        changes: fields of `AwsProvider`.
    """
    with ControlPlane(with_kwok=True) as plane, AwsProvider(plane=plane, **changes) as provider:
        install(plane, MOVER)
        plane.apply([m for m in render(ACTIVE) if m["kind"] == "ConfigMap"])
        watching(plane)
        node_class = provider.account.node_class()
        await_node_class(plane, node_class)
        yield AwsScene(ActiveScene(plane, replace(shape, node_class=node_class)), provider)


@contextmanager
def played_on_aws(shape: Shape) -> Iterator[ActiveScene]:
    """Build the standard scene as `played_scene` does, on Karpenter's AWS provider."""
    with ControlPlane(with_kwok=True) as plane, AwsProvider(plane=plane) as provider:
        install(plane)
        node_class = provider.account.node_class()
        await_node_class(plane, node_class)
        yield ActiveScene(plane, replace(shape, node_class=node_class))


def watching(plane: ControlPlane) -> None:
    """Install what ships for shadow in a namespace of its own, but for what would run."""
    plane.apply([namespace_manifest(WATCHING)])
    maps = [m for m in render(SHADOW) if m["kind"] == "ConfigMap"]
    for made in maps:
        made["metadata"]["namespace"] = WATCHING
    plane.apply([*maps, *roles_of(SHADOW, plane.username(WATCHER), WATCHING)])


def await_node_class(plane: ControlPlane, node_class: Manifest) -> None:
    """Make the node class, and wait until Karpenter has found everything that it names."""
    (made,) = plane.apply([node_class])
    path = plane.api().path_of(made)

    def is_ready() -> bool:
        told: list[dict[str, Any]] = plane.api().get(path).get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in told)

    wait_until(is_ready, READY_S)


def instance_of(node: Manifest) -> str:
    """Return the instance of a node."""
    return str(node["spec"]["providerID"]).rpartition("/")[2]


def told(detail_type: str, node: Manifest, *, ago_s: float = 0.0, **detail: str) -> Manifest:
    """Make an event of EC2 about a node's instance, as of now or some time ago."""
    instance, now = instance_of(node), time.time() - ago_s
    made: Manifest = event(
        detail_type,
        {"instance-id": instance} | detail,
        event_id=f"{instance}-{now:.3f}",
        at=now,
        region="us-west-2",
    )
    return made


def losses(daemon: Daemon) -> dict[str, float]:
    """Return the losses that a daemon has learned, by evidence."""
    _, text = daemon.get("/metrics")
    found: dict[str, float] = {}
    for line in str(text).splitlines():
        if line.startswith(f"{LOSSES}{{"):
            series, _, value = line.rpartition(" ")
            if float(value):
                found[series.partition('"')[2].partition('"')[0]] = float(value)
    return found
