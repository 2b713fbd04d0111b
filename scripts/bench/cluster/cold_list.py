"""The cold list: our reading of a cluster against a client that decodes nothing.

Usage: python -m scripts.bench.cluster.cold_list plain|ours KUBECONFIG
Prints one JSON line. `plain` reads the same pages with the same client and throws them away; what
it decodes is the token of the next page alone, found by a search in the bytes.
"""

import asyncio
import json
import re
import sys
from random import Random

import psutil

from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.reflector import PAGE_SIZE
from spotvortex.kube.cache.inputs import NODEPOOLS, NODES, OWNERS, PDBS, PODS, Input
from spotvortex.kube.cache.view import KubeClusterView

ALL = (NODES, PODS, PDBS, OWNERS, NODEPOOLS)
_CONTINUE = re.compile(rb'"continue":"([^"]+)"')


async def plain(client: KubeClient) -> dict[str, float]:
    """Read every page of every resource and decode nothing."""
    loop = asyncio.get_running_loop()
    started, n_bytes, n_pages = loop.time(), 0, 0
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_read(client, i)) for i in (NODES, PODS, PDBS, OWNERS, NODEPOOLS)
        ]
    for task in tasks:
        n_bytes += task.result()[0]
        n_pages += task.result()[1]
    return {"seconds": loop.time() - started, "bytes": n_bytes, "pages": n_pages}


async def _read(client: KubeClient, watched: Input) -> tuple[int, int]:
    resource = watched.resource
    n_bytes = n_pages = 0
    query = resource.query(limit=str(PAGE_SIZE))
    while True:  # ends with the last page
        page = await client.get_bytes(
            resource.path, query, accept=resource.accept_list, timeout=120, verb="list"
        )
        n_bytes += len(page)
        n_pages += 1
        token = _CONTINUE.search(page[:4096]) or _CONTINUE.search(page[-4096:])
        if token is None:
            return n_bytes, n_pages
        query["continue"] = token.group(1).decode()


async def ours(client: KubeClient) -> dict[str, float]:
    """List as the daemon does, until the view is synced and the first snapshot is made."""
    loop = asyncio.get_running_loop()
    view = KubeClusterView(client, Random(1), stale_after_s=20.0)
    stop = asyncio.Event()
    before = psutil.Process().memory_info().rss
    started = loop.time()
    async with asyncio.TaskGroup() as group:
        group.create_task(view.run(stop))
        await view.synced()
        synced = loop.time() - started
        facts = view.snapshot(0.0)
        first = loop.time() - started - synced
        stop.set()
    return {
        "seconds": synced,
        "first_snapshot_s": first,
        "pods": facts.n_pods,
        "nodes": sum(len(p.nodes) for p in facts.pools) + len(facts.unpooled),
        "rss_mib": psutil.Process().memory_info().rss / 2**20,
        "grown_mib": (psutil.Process().memory_info().rss - before) / 2**20,
    }


async def main() -> None:
    """Connect and measure one of the two."""
    which, kubeconfig = sys.argv[1:3]
    client = await KubeClient.connect(kubeconfig=kubeconfig)
    try:
        print(json.dumps(await (plain if which == "plain" else ours)(client)))
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
