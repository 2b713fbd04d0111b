"""The scene of losses: Spot nodes full of pods in several pools, spare nodes, a queue.

Comes in: a control plane, and how many nodes and pools. Goes out: the nodes, in a cluster with the
roles, quotas, priority and fence of the active overlay, and an SQS in memory as its own process.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.active.scene.notices import SHOP, prepare
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.direct import put_pods, sibling
from tests.controlplane.fill import Filler
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_manifest,
    owner_reference,
    pod_manifest,
    pod_status,
    replica_set_manifest,
)
from tests.witness.scene import PATIENT

PODS_PER_NODE = 10
SPARE_PER_POOL = 3
GRACE_S = 30
BARE = "bare"


@contextmanager
def queue_server() -> Iterator[str]:
    """Run an SQS in memory; gives its URL."""
    command = [sys.executable, "-m", "tests.aws.memory_sqs"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


async def fill(plane: ControlPlane, n_nodes: int, n_pools: int) -> list[Manifest]:
    """Make Spot nodes with running pods, and spare on-demand nodes; return the first ones."""
    prepare(plane)
    pools = [f"pool-{i}" for i in range(n_pools)]
    spare = NodeShape(capacity_type="on-demand", cpu="256", memory="1Ti", n_pods=2000)
    started = time.perf_counter()
    async with Filler(plane) as filler:
        nodes = await filler.create_and_return(
            node_manifest(f"node-{i:04}", NodeShape(pool=pools[i % n_pools]))
            for i in range(n_nodes)
        )
        owners = [await _owner(filler, pool) for pool in pools]
        await _write_pods(plane, filler, nodes, owners)
        await filler.create(
            node_manifest(f"spare-{pool}-{i}", replace(spare, pool=pool))
            for pool in pools
            for i in range(SPARE_PER_POOL)
        )
    print(
        f"  {n_nodes} nodes and {n_nodes * PODS_PER_NODE} pods in {n_pools} pools, filled in "
        f"{time.perf_counter() - started:.0f} s"
    )
    return nodes


async def fill_bare(plane: ControlPlane, nodes: list[Manifest]) -> list[str]:
    """Give nodes of no pool as many pods, of nobody, for the rival; return the pods' paths."""
    plane.apply([namespace_manifest(BARE)])
    shape = replace(_shape("bare"), namespace=BARE, spec={})
    bound = replace(shape, node_name=nodes[0]["metadata"]["name"])
    first = pod_manifest("bare-0000-0", bound)
    async with Filler(plane) as filler:
        await filler.create([first | {"status": pod_status(first)}], status=True)
    stored = plane.api().get(plane.api().path_of(first))
    siblings = list(_siblings(nodes, [stored], "bare"))
    await put_pods(plane.layout.etcd_url, siblings, a_transaction=1)
    return [plane.api().path_of(pod) for pod in (first, *siblings)]


def _shape(pool: str) -> PodShape:
    spec = {"nodeSelector": {"karpenter.sh/nodepool": pool}}
    return PodShape(
        app=pool,
        namespace=SHOP,
        cpu="100m",
        memory="64Mi",
        grace_s=GRACE_S,
        annotations=dict(PATIENT),
        spec=spec,
    )


async def _owner(filler: Filler, pool: str) -> Manifest:
    shape = _shape(pool)
    (deployment,) = await filler.create_and_return([deployment_manifest(shape, replicas=1)])
    owner = owner_reference(deployment)
    (owned,) = await filler.create_and_return(
        [replica_set_manifest(shape, replicas=1, owner=owner)]
    )
    return owner_reference(owned)


async def _write_pods(
    plane: ControlPlane, filler: Filler, nodes: list[Manifest], owners: list[Manifest]
) -> None:
    """Create one running pod of each pool, and write its siblings into etcd."""
    firsts = [_first(pool, nodes[pool], owner) for pool, owner in enumerate(owners)]
    await filler.create(firsts, status=True)
    api = plane.api()
    stored = [api.get(api.path_of(first)) for first in firsts]
    # Controllers watch: each pod needs a revision of its own.
    await put_pods(plane.layout.etcd_url, _siblings(nodes, stored), a_transaction=1)


def _first(pool: int, node: Manifest, owner: Manifest) -> Manifest:
    bound = replace(_shape(f"pool-{pool}"), node_name=node["metadata"]["name"], owner=owner)
    pod = pod_manifest(f"pod-{pool:04}-0", bound)
    return pod | {"status": pod_status(pod)}


def _siblings(
    nodes: list[Manifest], firsts: list[Manifest], stem: str = "pod"
) -> Iterator[Manifest]:
    for number, node in enumerate(nodes):
        first = firsts[number % len(firsts)]
        for i in range(PODS_PER_NODE):
            name = f"{stem}-{number:04}-{i}"
            if name != first["metadata"]["name"]:
                ip = f"10.{64 + number // 250}.{number % 250}.{i + 1}"
                yield sibling(first, name, node_name=node["metadata"]["name"], pod_ip=ip)
