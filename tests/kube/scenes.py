"""Scenes for tests that write: a namespace of ours on the real control plane, and calls."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import Answer, Call, CreateAnchor, CreatePlaceholder
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.write.manifests import PlaceholderOptions
from spotvortex.kube.write.provisioners import KarpenterProvisioner
from spotvortex.kube.write.writer import KubeWriter
from spotvortex.ports.lease_timing import LeaseTiming
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import NodeShape, PodShape, node_manifest, pod_manifest

PLAN = "0123456789abcdef"
_numbers = itertools.count(1)


def fresh(prefix: str) -> str:
    """Return a name that no other test has."""
    return f"{prefix}-{next(_numbers)}"


async def await_true(holds: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until a coroutine function returns something true."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.1)


@dataclass
class Site:
    """A namespace of ours, and who looks at and acts in it."""

    plane: ControlPlane
    namespace: str
    client: KubeClient
    levers: KubeWriter
    nodes: list[str] = field(default_factory=list)

    async def apply(self, call: Call) -> Answer:
        """Carry a call out as somebody who has the lease for long."""
        return await self.levers.apply(call, asyncio.get_running_loop().time() + 60.0)

    async def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a blocking look or change of the scene beside the loop."""
        return await asyncio.to_thread(function, *arguments)

    async def node(self, shape: NodeShape | None = None) -> dict[str, Any]:
        self.nodes.append(fresh("node"))
        return await self.do(self.plane.api().create, node_manifest(self.nodes[-1], shape))

    async def pod(self, shape: PodShape, name: str = "") -> dict[str, Any]:
        return await self.do(self.plane.api().create, pod_manifest(name or fresh("pod"), shape))

    async def get(self, path: str) -> Any:
        return await self.do(self.plane.api().get, path)

    async def seen_node(self, name: str) -> Any:
        return await self.get(f"/api/v1/nodes/{name}")

    async def own(self, name: str = "") -> Any:
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        return await self.get(f"{path}/{name}" if name else path)

    async def own_names(self) -> list[str]:
        pods = (await self.own())["items"]
        return sorted(
            p["metadata"]["name"] for p in pods if "deletionTimestamp" not in p["metadata"]
        )

    async def await_true(self, holds: Callable[[], Any], seconds: float = 60.0) -> None:
        await await_true(holds, seconds)


@asynccontextmanager
async def connected(
    plane: ControlPlane, user: str = "admin", server: str | None = None
) -> AsyncIterator[KubeClient]:
    config = plane.kubeconfig(user, server=server)
    client = await KubeClient.connect(kubeconfig=str(config), context=user)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def site(plane: ControlPlane, **home: Any) -> AsyncIterator[Site]:
    """Make a namespace with restricted pod security, and levers for it."""
    namespace = fresh("ours")
    await asyncio.to_thread(plane.apply, [restricted(namespace), priority_class()])
    async with connected(plane) as client:
        levers = KubeWriter(
            client,
            PlaceholderOptions(**{"namespace": namespace, "reads_durations": yes} | home),
            KarpenterProvisioner(client, LeaseTiming()),
            Random(namespace),
            LeaseTiming(),
        )
        here = Site(plane, namespace, client, levers)
        try:
            yield here
        finally:
            await asyncio.to_thread(_clear, here)


def yes() -> bool:
    """What a Karpenter that reads durations is asked for."""
    return True


def _clear(here: Site) -> None:
    """Take away what others on the same control plane would count: nodes and their marks too."""
    api, options = here.plane.api(), {"gracePeriodSeconds": 0}
    api.request("DELETE", f"/api/v1/namespaces/{here.namespace}/pods", options)
    api.request("DELETE", f"/api/v1/namespaces/{here.namespace}", options)
    for name in here.nodes:
        api.request("DELETE", f"/api/v1/nodes/{name}")


def restricted(namespace: str) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": labels},
    }


def priority_class() -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": label_names.PRIORITY_CLASS},
        "value": -10,
        "preemptionPolicy": "Never",
    }


def order(plan_id: str = PLAN) -> str:
    return json.dumps({"v": 1, "plan": plan_id})


def placeholder_call(pod: dict[str, Any], **changes: Any) -> CreatePlaceholder:
    meta = pod["metadata"]
    fields = {
        "name": fresh("placeholder"),
        "plan_id": PLAN,
        "for_uid": "node-uid",
        "pool": "web",
        "capacity_type": CapacityType.ON_DEMAND,
        "sides": ("web",),
        "for_pod": f"{meta['namespace']}/{meta['name']}",
        "pod_uid": meta["uid"],
        "cpu_milli": 100,
        "memory_bytes": 2**27,
        "zone": "",
        "avoid": (),
        "order": order(),
        "expires_s": 1800,
    }
    return CreatePlaceholder(**(fields | changes))


def anchor_call(node: dict[str, Any], **changes: Any) -> CreateAnchor:
    fields = {
        "name": fresh("anchor"),
        "node": node["metadata"]["name"],
        "node_uid": node["metadata"]["uid"],
        "pool": "web",
        "plan_id": PLAN,
        "expires_s": 1800,
    }
    return CreateAnchor(**(fields | changes))
