"""Fill a control plane quickly: many requests at once over kept connections.

Small scenes run on KWOK: nodes and Deployments are created, and the scheduler
and the controllers do the rest. Large scenes are written as they shall be, pods
bound and running; that needs a control plane whose controllers do not mend them
(`with_controllers=False`, or `controllers=STATIC_CONTROLLERS`).
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import aiohttp
import msgspec

from tests.controlplane.api import JSON, MERGE_PATCH, Api, RequestError
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.direct import PUTS_A_TRANSACTION, put_pods, sibling
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_manifest,
    nodepool_manifest,
    owner_reference,
    pdb_manifest,
    pod_manifest,
    pod_status,
    replica_set_manifest,
)

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
INSTANCE_TYPES = ("m5.xlarge", "m6i.xlarge", "c5.xlarge", "r5.xlarge")
BUSY = 429
TOO_EARLY = 504  # answered after some seconds while the watch cache lags behind
CATCH_UP_S = 300
N_ATTEMPTS = 8

# A Deployment's shape, its number of replicas, and how its pods name their ReplicaSet.
Owned = tuple[PodShape, int, Manifest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A cluster to be made: nodes of some pools, Deployments with pods, a PDB for each."""

    n_nodes: int = 20
    n_pods: int = 100
    n_pools: int = 2
    n_namespaces: int = 2
    pods_per_deployment: int = 20
    spot_ratio: float = 0.7
    style: str = "karpenter"
    ballast: bool = False
    direct: bool = False  # static scenes: all but one pod of a Deployment are written into etcd
    prefix: str = "scene"


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReport:
    """What was made, and how long it took."""

    n_nodes: int
    n_pods: int
    n_other: int
    nodes_s: float
    pods_s: float


class Filler:
    """Sends many requests at once as admin; use it as an asynchronous context manager."""

    def __init__(self, plane: ControlPlane, *, n_connections: int = 32) -> None:
        self._plane = plane
        self._n_connections = n_connections
        self._api: Api = plane.api()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            base_url=self._plane.url,
            headers={"Authorization": f"Bearer {self._plane.token('admin')}"},
            connector=aiohttp.TCPConnector(
                limit=self._n_connections, ssl=self._plane.ssl_context()
            ),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            # Closing a TLS connection takes a turn or two of the loop more than aiohttp awaits.
            await asyncio.sleep(0.05)

    async def create(self, manifests: Iterable[Manifest], *, status: bool = False) -> int:
        """Create objects of any kind; return how many.

        Args:
            manifests: the objects; taken one by one, so that a generator may make millions.
            status: write the field `status` through the status subresource, too. Nodes do not
                need that, the server takes their status with them.
        """
        turn = iter(manifests)
        counts = [0] * self._n_connections
        async with asyncio.TaskGroup() as group:
            for worker in range(self._n_connections):
                group.create_task(self._work(turn, counts, worker, status=status))
        return sum(counts)

    async def create_and_return(self, manifests: Iterable[Manifest]) -> list[Manifest]:
        """Create objects of any kind; return them as stored, in the same order."""
        turn = enumerate(manifests)
        stored: dict[int, Manifest] = {}

        async def work() -> None:
            for number, manifest in turn:
                body = await self.send("POST", self._api.collection_of(manifest), manifest)
                stored[number] = msgspec.json.decode(body)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._n_connections):
                group.create_task(work())
        return [stored[number] for number in sorted(stored)]

    async def send(self, method: str, path: str, body: Any, *, content_type: str = JSON) -> bytes:
        """Send one request and return the body of its answer; wait and repeat when it is busy.

        Raises:
            RequestError: the server refused it.
        """
        assert self._session is not None, "use `async with Filler(...)`"
        payload = None if body is None else msgspec.json.encode(body)
        for attempt in range(N_ATTEMPTS):
            async with self._session.request(
                method, path, data=payload, headers={"Content-Type": content_type}
            ) as response:
                answer = await response.read()
                if response.status < 300:
                    return answer
                if response.status != BUSY or attempt == N_ATTEMPTS - 1:
                    break
                await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
        raise RequestError(f"{method} {path}", response.status, answer.decode(errors="replace"))

    async def _work(
        self, turn: Iterator[Manifest], counts: list[int], worker: int, *, status: bool
    ) -> None:
        for manifest in turn:
            await self.send("POST", self._api.collection_of(manifest), manifest)
            if status and "status" in manifest:
                await self._write_status(manifest)
            counts[worker] += 1

    async def _write_status(self, manifest: Manifest) -> None:
        path = f"{self._api.path_of(manifest)}/status"
        change = {"status": manifest["status"]}
        await self.send("PATCH", path, change, content_type=MERGE_PATCH)


def fill(plane: ControlPlane, scene: Scene) -> FillReport:
    """Make a scene from a test that is not asynchronous; see `fill_scene`."""
    return asyncio.run(fill_scene(plane, scene))


async def fill_scene(plane: ControlPlane, scene: Scene) -> FillReport:
    """Make a scene.

    Where the controllers of Deployments run, pods are left to them, the scheduler and KWOK;
    elsewhere all pods are written bound and running.
    """
    clock = asyncio.get_running_loop().time
    async with Filler(plane) as filler:
        n_other = await filler.create(_surroundings(plane, scene))
        began = clock()
        n_nodes = await filler.create(scene_nodes(scene))
        nodes_s = clock() - began
        began = clock()
        if makes_pods_itself(plane):
            n_other += await filler.create(_with_pdbs(scene, running=False))
            n_other += await filler.create(
                deployment_manifest(shape, replicas=n) for shape, n in _apps(scene)
            )
            n_pods = 0
        else:
            n_other += await filler.create(_with_pdbs(scene, running=True), status=True)
            owners = await _static_owners(filler, scene)
            n_other += 2 * len(owners)
            n_pods = await _write_pods(plane, filler, scene, owners)
        pods_s = clock() - began
    return FillReport(
        n_nodes=n_nodes, n_pods=n_pods, n_other=n_other, nodes_s=nodes_s, pods_s=pods_s
    )


def makes_pods_itself(plane: ControlPlane) -> bool:
    """Say whether this control plane turns Deployments into pods."""
    options = plane.options
    return options.with_controllers and "-replicaset-controller" not in options.controllers


def scene_nodes(scene: Scene) -> Iterator[Manifest]:
    """Yield the nodes of a scene: pools, zones and instance types in turn."""
    n_spot = round(10 * scene.spot_ratio)
    for number in range(scene.n_nodes):
        shape = NodeShape(
            pool=f"{scene.prefix}-{number % scene.n_pools}",
            style=scene.style,
            capacity_type="spot" if number // scene.n_pools % 10 < n_spot else "on-demand",
            instance_type=INSTANCE_TYPES[number // 3 % len(INSTANCE_TYPES)],
            zone=ZONES[number % len(ZONES)],
        )
        yield node_manifest(_node_name(scene, number), shape)


def _node_name(scene: Scene, number: int) -> str:
    return f"{scene.prefix}-node-{number:05}"


def _surroundings(plane: ControlPlane, scene: Scene) -> Iterator[Manifest]:
    for number in range(scene.n_namespaces):
        yield namespace_manifest(f"{scene.prefix}-{number}")
    if plane.options.needs_karpenter_crds and scene.style == "karpenter":
        for number in range(scene.n_pools):
            yield nodepool_manifest(f"{scene.prefix}-{number}")


def _apps(scene: Scene) -> Iterator[tuple[PodShape, int]]:
    """Yield each Deployment's shape with its number of replicas."""
    for number, first in enumerate(range(0, scene.n_pods, scene.pods_per_deployment)):
        shape = PodShape(
            app=f"{scene.prefix}-app-{number:05}",
            namespace=f"{scene.prefix}-{number % scene.n_namespaces}",
            cpu="100m",
            memory="128Mi",
            ballast=scene.ballast,
        )
        yield shape, min(scene.pods_per_deployment, scene.n_pods - first)


def _with_pdbs(scene: Scene, *, running: bool) -> Iterator[Manifest]:
    for shape, n_replicas in _apps(scene):
        pdb = pdb_manifest(shape.app, shape.namespace)
        if running:
            pdb["status"] = {
                "observedGeneration": 1,
                "expectedPods": n_replicas,
                "currentHealthy": n_replicas,
                "desiredHealthy": n_replicas - 1,
                "disruptionsAllowed": 1,
            }
        yield pdb


async def _static_owners(filler: Filler, scene: Scene) -> list[Owned]:
    apps = list(_apps(scene))
    deployments = await filler.create_and_return(
        deployment_manifest(shape, replicas=n) for shape, n in apps
    )
    replica_sets = await filler.create_and_return(
        replica_set_manifest(shape, replicas=n, owner=owner_reference(deployment))
        for (shape, n), deployment in zip(apps, deployments, strict=True)
    )
    return [
        (shape, n, owner_reference(replica_set))
        for (shape, n), replica_set in zip(apps, replica_sets, strict=True)
    ]


async def _write_pods(
    plane: ControlPlane, filler: Filler, scene: Scene, owners: list[Owned]
) -> int:
    if not scene.direct:
        return await filler.create(_bound_pods(scene, owners), status=True)
    n_firsts = await filler.create(_bound_pods(scene, owners, only_firsts=True), status=True)
    firsts = {}
    for number in range(scene.n_namespaces):
        listed = await filler.send("GET", f"/api/v1/namespaces/{scene.prefix}-{number}/pods", None)
        for pod in msgspec.json.decode(listed)["items"]:
            firsts[pod["metadata"]["labels"]["app"]] = pod
    watched = plane.options.with_controllers
    n_siblings = await put_pods(
        plane.layout.etcd_url,
        _siblings(scene, owners, firsts),
        a_transaction=1 if watched else PUTS_A_TRANSACTION,
    )
    await _await_watch_cache(filler)
    return n_firsts + n_siblings


async def _await_watch_cache(filler: Filler) -> None:
    """Wait until the API server has seen all that was written past it."""
    listed = msgspec.json.decode(await filler.send("GET", "/api/v1/pods?limit=1", None))
    version = listed["metadata"]["resourceVersion"]
    path = f"/api/v1/pods?limit=1&resourceVersionMatch=NotOlderThan&resourceVersion={version}"
    async with asyncio.timeout(CATCH_UP_S):
        while True:  # ends with the time-out at the latest
            try:
                await filler.send("GET", path, None)
            except RequestError as error:
                if error.status != TOO_EARLY:
                    raise
            else:
                return


def _siblings(scene: Scene, owners: list[Owned], firsts: dict[str, Manifest]) -> Iterator[Manifest]:
    for place in _places(scene, owners):
        if place.number > 0:
            first = firsts[place.shape.app]
            yield sibling(first, place.name, node_name=place.node_name, pod_ip=place.pod_ip)


def _bound_pods(
    scene: Scene, owners: list[Owned], *, only_firsts: bool = False
) -> Iterator[Manifest]:
    for place in _places(scene, owners):
        if place.number > 0 and only_firsts:
            continue
        bound = replace(place.shape, node_name=place.node_name, owner=place.owner)
        pod = pod_manifest(place.name, bound)
        yield pod | {"status": pod_status(pod, pod_ip=place.pod_ip)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where one pod of a static scene runs, and as whose."""

    shape: PodShape
    owner: Manifest
    number: int  # among the pods of its owner
    name: str
    node_name: str
    pod_ip: str


def _places(scene: Scene, owners: list[Owned]) -> Iterator[_Place]:
    """Put the pods of each Deployment on the nodes of one pool, as workloads do."""
    total = 0
    used = [0] * scene.n_pools
    for position, (shape, n_replicas, owner) in enumerate(owners):
        pool = position % scene.n_pools
        n_nodes = len(range(pool, scene.n_nodes, scene.n_pools))
        for number in range(n_replicas):
            node = pool + scene.n_pools * (used[pool] % n_nodes)
            used[pool] += 1
            yield _Place(
                shape=shape,
                owner=owner,
                number=number,
                name=f"{shape.app}-1-{number:04}",
                node_name=_node_name(scene, node),
                pod_ip=f"10.{64 + (total >> 16)}.{total >> 8 & 255}.{total & 255}",
            )
            total += 1
