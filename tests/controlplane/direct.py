"""Write pods into etcd directly, past the API server, for the largest scenes.

The API server spends some milliseconds on each pod that it is asked to create.
Here one pod of each Deployment takes that way, and its siblings are copies of
what was stored, managedFields included. The API server sees them appear as if
another API server had written them, and serves, watches, evicts and deletes
them like any other.
"""

import asyncio
import copy
import hashlib
import uuid
from base64 import b64encode
from collections.abc import Iterable, Iterator

import aiohttp
import msgspec

from tests.controlplane.manifests import Manifest

PUTS_A_TRANSACTION = 32
N_CONNECTIONS = 4


def sibling(stored: Manifest, name: str, *, node_name: str, pod_ip: str) -> Manifest:
    """Return a copy of a stored pod under another name, on another node."""
    pod = copy.copy(stored)
    digest = hashlib.md5(f"{stored['metadata']['uid']}/{name}".encode(), usedforsecurity=False)
    pod["metadata"] = stored["metadata"] | {"name": name, "uid": str(uuid.UUID(digest.hexdigest()))}
    # The version is etcd's own revision and never part of what is stored.
    pod["metadata"].pop("resourceVersion", None)
    pod["spec"] = stored["spec"] | {"nodeName": node_name}
    pod["status"] = stored["status"] | {"podIP": pod_ip, "podIPs": [{"ip": pod_ip}]}
    return pod


async def put_pods(
    etcd_url: str, pods: Iterable[Manifest], *, a_transaction: int = PUTS_A_TRANSACTION
) -> int:
    """Write pods into etcd; return how many.

    IMPORTANT: the pods of a transaction share one revision, as no objects do that an API server
    wrote. Who lists between two events of one revision, or goes on from it after its watch was
    closed, never hears of the others. Where anybody watches, give one pod a transaction.

    Args:
        etcd_url: where etcd serves its clients.
        pods: whole objects, as the API server would store them; taken one by one.
        a_transaction: how many pods are written at once.
    """
    batches = _batches(pods, a_transaction)
    counts = [0] * N_CONNECTIONS
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        asyncio.TaskGroup() as group,
    ):
        for worker in range(N_CONNECTIONS):
            group.create_task(_put(session, f"{etcd_url}/v3/kv/txn", batches, (counts, worker)))
    return sum(counts)


async def _put(
    session: aiohttp.ClientSession,
    url: str,
    batches: Iterator[list[Manifest]],
    counted: tuple[list[int], int],
) -> None:
    counts, worker = counted
    for batch in batches:
        body = msgspec.json.encode({"success": [{"request_put": _entry(pod)} for pod in batch]})
        async with session.post(url, data=body) as response:
            answer = await response.read()
            if response.status != 200:
                raise ConnectionError(f"etcd answered {response.status}: {answer[:500]!r}")
        counts[worker] += len(batch)


def _entry(pod: Manifest) -> dict[str, str]:
    metadata = pod["metadata"]
    key = f"/registry/pods/{metadata['namespace']}/{metadata['name']}"
    value = msgspec.json.encode({"apiVersion": "v1", "kind": "Pod"} | pod)
    return {"key": b64encode(key.encode()).decode(), "value": b64encode(value).decode()}


def _batches(pods: Iterable[Manifest], n_most: int) -> Iterator[list[Manifest]]:
    batch = []
    for pod in pods:
        batch.append(pod)
        if len(batch) == n_most:
            yield batch
            batch = []
    if batch:
        yield batch
