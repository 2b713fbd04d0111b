"""A stage on a real control plane: KWOK plays the kubelets, and where it is asked for Karpenter.

Each stage has a NodePool, a namespace of ours and one of its workloads to itself, so that several
can be on one control plane, even at once.
"""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from spotvortex.app.kubernetes import LeaseAuthority
from spotvortex.app.prices import SystemClock
from spotvortex.core.domain import labels
from spotvortex.core.domain.observation import NodeFact, WriteAuthority
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import Answer, Call
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.cache.view import KubeClusterView
from spotvortex.kube.coordination.freeze import FreezeWatch
from spotvortex.kube.coordination.lease import LeaseKeeper, LeaseOptions
from spotvortex.kube.write.manifests import PlaceholderOptions
from spotvortex.kube.write.provisioners import KarpenterProvisioner
from spotvortex.kube.write.writer import KubeWriter
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.sim.market.instance_types import MACHINES
from tests.contract.stage import SPOT, TYPE, ZONES, Load, Pod, Pool, node_of, truth
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_class_manifest,
    node_manifest,
    nodepool_manifest,
    pdb_manifest,
)
from tests.controlplane.proxy import LoopbackProxy
from tests.kube.scenes import connected, priority_class, restricted

TIMING: Final = LeaseTiming.scaled_to(8.0)
"""Short, so that its end can be awaited."""

HELD: Final = {"test.spotvortex.io/hold": "true"}
PATIENT: Final = {"test.spotvortex.io/use-grace-period": "true"}
_numbers = itertools.count(1)


@dataclass
class RealCandidate:
    """A keeper of the lease and a watch on the freeze, behind a network of its own."""

    authority: LeaseAuthority
    proxy: LoopbackProxy
    keeping: asyncio.Task[None]
    watching: asyncio.Task[None]
    stopping: asyncio.Event
    ends: AsyncExitStack

    def standing(self) -> WriteAuthority:
        return self.authority.standing()

    def writes_until(self) -> float:
        return self.authority.writes_until()

    async def stop(self) -> None:
        self.stopping.set()
        await self.keeping
        await self.kill()

    async def kill(self) -> None:
        # As a process that dies: it cannot give the lease back.
        self.authority.lease.valid_until = -math.inf
        self.keeping.cancel()
        self.watching.cancel()
        await asyncio.wait([self.keeping, self.watching])
        await self.ends.aclose()

    def cut(self) -> None:
        self.proxy.partition()

    def heal(self) -> None:
        self.proxy.heal()


@dataclass
class RealStage:
    """Implements `Stage` on a control plane."""

    plane: ControlPlane
    pool: str
    sides: tuple[str, ...]
    foreign: str
    home: str
    shop: str
    writer: KubeWriter
    view: KubeClusterView
    proxy: LoopbackProxy
    patience_s: float
    while_s: float
    lease_s: float = TIMING.lease_s
    clock: SystemClock = field(default_factory=SystemClock)
    candidates: list[RealCandidate] = field(default_factory=list)

    async def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a blocking look or change of the scene beside the loop."""
        return await asyncio.to_thread(function, *arguments)

    async def apply(self, call: Call) -> Answer:
        return await self.writer.apply(call, asyncio.get_running_loop().time() + 60.0)

    # -- what is there ------------------------------------------------------

    async def add_node(
        self, capacity_type: CapacityType = SPOT, zone: str = ZONES[0], group: str = ""
    ) -> NodeFact:
        machine = MACHINES[TYPE]
        shape = NodeShape(
            pool=group or self.sides[0],
            capacity_type=capacity_type.value,
            instance_type=TYPE,
            zone=zone,
            cpu=f"{machine.cpu_milli}m",
            memory=str(machine.memory_bytes),
            annotations=HELD,
        )
        name = f"{self.pool}-{next(_numbers)}"
        await self.do(self.plane.api().create, node_manifest(name, shape))

        async def at_rest() -> bool:
            node = await self.do(self.plane.api().get, f"/api/v1/nodes/{name}")
            seen = self.view.node(name)
            version = node["metadata"]["resourceVersion"]
            is_open = not node["spec"].get("taints")
            return is_open and seen is not None and seen.resource_version == version

        await self.until(at_rest)
        return node_of(self, name)

    async def add_load(self, load: Load) -> None:
        groups = (*self.sides, self.foreign) if load.elsewhere else self.sides
        terms = [{"matchExpressions": [_is_in("karpenter.sh/nodepool", *groups)]}]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        selector = {}
        if load.capacity_type is not None:
            selector["karpenter.sh/capacity-type"] = load.capacity_type.value
        shape = PodShape(
            app=load.name,
            namespace=self.shop,
            cpu=f"{load.cpu_milli}m",
            memory="1Gi",
            grace_s=load.grace_s,
            annotations=PATIENT if load.starts else PATIENT | HELD,
            spec={"nodeSelector": selector, "affinity": {"nodeAffinity": required}},
        )
        manifests: list[Manifest] = [deployment_manifest(shape, replicas=load.replicas)]
        if load.after_loss:
            manifests[0]["metadata"]["annotations"] = {
                labels.MIN_AVAILABLE_AFTER_LOSS: load.after_loss
            }
        if load.max_unavailable is not None:
            budget = pdb_manifest(load.name, self.shop, max_unavailable=load.max_unavailable)
            manifests.append(budget)
        await self.do(self.plane.apply, manifests)

    async def pods(self, load: str) -> tuple[Pod, ...]:
        path = f"/api/v1/namespaces/{self.shop}/pods?labelSelector=app%3D{load}"
        items = await self.do(self.plane.api().items, path)
        return tuple(sorted(map(_pod, items), key=lambda pod: pod.name))

    # -- what others do -----------------------------------------------------

    async def scale(self, load: str, replicas: int) -> None:
        path = f"/apis/apps/v1/namespaces/{self.shop}/deployments/{load}"
        await self.do(self.plane.api().patch, path, {"spec": {"replicas": replicas}})

    async def lose_readiness(self, pod: Pod) -> None:
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        status = (await self.do(self.plane.api().get, path))["status"]
        for condition in status["conditions"]:
            if condition["type"] in ("Ready", "ContainersReady"):
                condition["status"] = "False"
        change = {"status": {"conditions": status["conditions"]}}
        await self.do(self.plane.api().patch, f"{path}/status", change)

    async def touch(self, node: str) -> None:
        await self._write(node, {"labels": {"changed": f"{next(_numbers)}"}})

    async def take_over_cordon(self, node: str) -> None:
        await self._write(node, {"labels": {labels.CORDONED: None}})

    async def _write(self, node: str, metadata: Manifest) -> None:
        await self.do(self.plane.api().patch, f"/api/v1/nodes/{node}", {"metadata": metadata})

    async def delete_node(self, node: str) -> None:
        await self.do(self.plane.api().delete, f"/api/v1/nodes/{node}")

    async def allow_own_pods(self, n: int) -> None:
        metadata = {"name": "bound", "namespace": self.home}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
        await self.do(self.plane.apply, [quota | {"spec": {"hard": {"pods": f"{n}"}}}])
        path = f"/api/v1/namespaces/{self.home}/resourcequotas/bound"

        async def counted() -> bool:
            status = (await self.do(self.plane.api().get, path)).get("status", {})
            return "used" in status and status.get("hard") == {"pods": f"{n}"}

        await self.until(counted)

    async def freeze(self, *, frozen: bool) -> None:
        path = f"/api/v1/namespaces/{self.home}/configmaps"
        if not frozen:
            await self.do(self.plane.api().delete, f"{path}/{labels.FREEZE}")
            return
        metadata = {"name": labels.FREEZE, "namespace": self.home}
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        await self.do(self.plane.api().create, manifest)

    async def candidate(self, name: str) -> RealCandidate:
        ends = AsyncExitStack()
        proxy = ends.enter_context(LoopbackProxy(self.plane.url))
        client = await ends.enter_async_context(connected(self.plane, server=proxy.url))
        options = LeaseOptions(identity=name, timing=TIMING)
        keeper = LeaseKeeper(client, self.home, options, self.clock, Random(name))
        freeze = FreezeWatch(client, self.home, Random(name), 20.0)
        stopping = asyncio.Event()
        made = RealCandidate(
            authority=LeaseAuthority(lease=keeper, freeze=freeze, own_node=""),
            proxy=proxy,
            keeping=asyncio.ensure_future(keeper.run(stopping)),
            watching=asyncio.ensure_future(freeze.run(asyncio.Event())),
            stopping=stopping,
            ends=ends,
        )
        self.candidates.append(made)
        return made

    # -- the network and time -----------------------------------------------

    def cut(self) -> None:
        self.proxy.partition()

    async def heal(self, *, forgotten: bool = False) -> None:
        if forgotten:
            await self.do(self._forget)
        self.proxy.cut()
        self.proxy.heal()

    def _forget(self) -> None:
        """As `expire_watches`, but at once: in order the server waits for open watches."""
        self.plane.kill_apiserver()
        self.plane.compact_etcd()
        self.plane.start_apiserver()

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(self.patience_s):
            while not await truth(holds):
                await asyncio.sleep(0.1)

    async def lasts(self, holds: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.while_s
        while loop.time() < until:
            assert await truth(holds)
            await asyncio.sleep(0.1)


def _pod(item: Manifest) -> Pod:
    metadata, conditions = item["metadata"], item["status"].get("conditions", [])
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        node=item["spec"].get("nodeName", ""),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in conditions),
        terminating="deletionTimestamp" in metadata,
    )


@asynccontextmanager
async def real_stage(
    plane: ControlPlane, pool: Pool | None = None, *, buys: bool = False
) -> AsyncIterator[RealStage]:
    """Open a stage on a control plane, and clear it away at the end.

    Args:
        plane: with KWOK and Karpenter's CRDs; with Karpenter where somebody `buys`.
        pool: what the provisioner may do.
        buys: whether there is a provisioner.
    """
    number = next(_numbers)
    name, home, shop = f"stage-{number}", f"ours-{number}", f"shop-{number}"
    manifests = [restricted(home), priority_class(), namespace_manifest(shop)]
    groups = (pool or Pool()).groups(name)
    manifests += [node_class_manifest(), *(_node_pool(*g, pool or Pool()) for g in groups)]
    await asyncio.to_thread(plane.apply, manifests)
    async with AsyncExitStack() as stack:
        proxy = stack.enter_context(LoopbackProxy(plane.url))
        near = await stack.enter_async_context(connected(plane))
        far = await stack.enter_async_context(connected(plane, server=proxy.url))
        view = await stack.enter_async_context(_viewing(far, home))
        stage = RealStage(
            plane=plane,
            pool=name,
            sides=tuple(side for side, _, _ in groups),
            foreign=f"{name}-else",
            home=home,
            shop=shop,
            writer=_writer(near, home),
            view=view,
            proxy=proxy,
            patience_s=200.0 if buys else 60.0,
            while_s=26.0 if buys else 1.0,
        )
        try:
            yield stage
        finally:
            for candidate in stage.candidates:
                await candidate.kill()
            await asyncio.to_thread(_clear, plane, stage)


def _writer(client: KubeClient, home: str) -> KubeWriter:
    options, timing = PlaceholderOptions(namespace=home), LeaseTiming()
    provisioner = KarpenterProvisioner(client, timing)
    return KubeWriter(client, options, provisioner, Random(home), timing)


@asynccontextmanager
async def _viewing(client: KubeClient, home: str) -> AsyncIterator[KubeClusterView]:
    view, stop = KubeClusterView(client, Random(home), 20.0, home), asyncio.Event()
    running = asyncio.ensure_future(view.run(stop))
    try:
        await view.synced()
        yield view
    finally:
        stop.set()
        await running


def _node_pool(name: str, kinds: tuple[CapacityType, ...], weight: int, pool: Pool) -> Manifest:
    manifest = nodepool_manifest(
        name, capacity_types=tuple(t.value for t in kinds), spec={"weight": weight}
    )
    requirements = manifest["spec"]["template"]["spec"]["requirements"]
    requirements.append(_is_in("node.kubernetes.io/instance-type", TYPE))
    requirements.append(_is_in("topology.kubernetes.io/zone", *ZONES))
    manifest["spec"]["disruption"] = {
        "consolidationPolicy": pool.consolidation,
        "consolidateAfter": "Never" if pool.after_s is None else f"{pool.after_s}s",
        "budgets": [{"nodes": "100%"}],
    }
    return manifest


def _is_in(key: str, *values: str) -> Manifest:
    return {"key": key, "operator": "In", "values": list(values)}


def _clear(plane: ControlPlane, stage: RealStage) -> None:
    """Take everything away; what provisioner and controllers have to do for that is not awaited."""
    api, at_once = plane.api(), {"gracePeriodSeconds": 0}
    for namespace in (stage.shop, stage.home):
        api.request("DELETE", f"/api/v1/namespaces/{namespace}")
        api.request("DELETE", f"/api/v1/namespaces/{namespace}/pods", at_once)
    for group in (*stage.sides, stage.foreign):
        api.request("DELETE", f"/apis/karpenter.sh/v1/nodepools/{group}")
        selector = f"labelSelector=karpenter.sh%2Fnodepool%3D{group}"
        api.request("DELETE", f"/api/v1/nodes?{selector}")
