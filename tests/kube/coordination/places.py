"""A namespace with ConfigMaps: on the real control plane, and in memory by the same rules.

Comes in: a request of ours, or a look of the test's own. Goes out: what is stored. A write names
the version that it was made of, and meets a conflict where another came before. Both are put
through the same tests, which is what makes the one in memory worth asking.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from spotvortex.kube.coordination.state_store import VersionedConfigMap
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.ports.lease_timing import LeaseTiming
from tests.kube.fake_api import serving
from tests.kube.scenes import connected, fresh, restricted

REAL = [pytest.mark.controlplane, pytest.mark.filterwarnings("ignore::ResourceWarning")]
BOTH = ["memory", pytest.param("real", marks=REAL)]


def config_map(name, data, namespace, **meta):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace} | meta,
        "data": data,
    }


def long(client):
    """Requests of somebody who has the lease for long."""

    def bounded():
        until = asyncio.get_running_loop().time() + 60.0
        return BoundedRequests(client=client, until=until, timing=LeaseTiming())

    return bounded


class Place:
    """A namespace of its own with ConfigMaps."""

    def __init__(self, plane, client):
        self.plane, self.client, self.namespace = plane, client, fresh("maps")
        self.path = f"/api/v1/namespaces/{self.namespace}/configmaps"

    async def put(self, name, data):
        await asyncio.to_thread(self.plane.apply, [config_map(name, data, self.namespace)])

    async def get(self, name):
        return await asyncio.to_thread(self.plane.api().get, f"{self.path}/{name}")

    async def names(self):
        items = await asyncio.to_thread(self.plane.api().items, self.path)
        found = {item["metadata"]["name"] for item in items}
        return found - {"kube-root-ca.crt"}

    async def delete(self, name):
        await asyncio.to_thread(self.plane.api().delete, f"{self.path}/{name}")

    def state(self, version=1):
        return VersionedConfigMap(self.client, self.namespace, version, long(self.client))


class MemoryApi:
    """Keeps ConfigMaps by path."""

    def __init__(self):
        self.stored, self.version = {}, 0

    def keep(self, path, body):
        self.version += 1
        metadata = body["metadata"] | {"resourceVersion": str(self.version)}
        self.stored[path] = body | {"metadata": metadata}
        return self.stored[path]

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else {}
        path = request.path if request.method != "POST" else f"{request.path}/{_name(body)}"
        there = self.stored.get(path)
        match request.method:
            case "POST" if there is not None:
                return _refused(409, "AlreadyExists")
            case "POST":
                return web.json_response(self.keep(path, body), status=201)
            case _ if there is None:
                return _refused(404, "NotFound")
            case "GET":
                return web.json_response(there)
            case "PUT" | "PATCH" if body["metadata"]["resourceVersion"] != _version(there):
                return _refused(409, "Conflict")
            case "PUT":
                return web.json_response(self.keep(path, body))
            case "PATCH":
                return web.json_response(self.keep(path, _merged(there, body)))
            case _:
                return _refused(405, "MethodNotAllowed")


def _merged(there, change):
    """What a merge patch makes of an object; it takes nothing away here."""
    if not isinstance(there, dict) or not isinstance(change, dict):
        return change
    return there | {key: _merged(there.get(key), value) for key, value in change.items()}


def _name(body):
    return body["metadata"]["name"]


def _version(body):
    return body["metadata"]["resourceVersion"]


def _refused(status, reason):
    return web.json_response({"kind": "Status", "reason": reason, "message": reason}, status=status)


class MemoryPlace(Place):
    """The same in memory."""

    def __init__(self, api, client):
        super().__init__(None, client)
        self.api = api

    async def put(self, name, data):
        self.api.keep(f"{self.path}/{name}", config_map(name, data, self.namespace))

    async def get(self, name):
        return self.api.stored[f"{self.path}/{name}"]

    async def names(self):
        return {path.rpartition("/")[2] for path in self.api.stored}

    async def delete(self, name):
        del self.api.stored[f"{self.path}/{name}"]


@asynccontextmanager
async def memory_place() -> AsyncIterator[MemoryPlace]:
    api = MemoryApi()
    async with serving(api) as client:
        yield MemoryPlace(api, client)


@asynccontextmanager
async def real_place(plane) -> AsyncIterator[Place]:
    async with connected(plane) as client:
        found = Place(plane, client)
        await asyncio.to_thread(plane.apply, [restricted(found.namespace)])
        yield found


@asynccontextmanager
async def place_of(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """The place that a fixture's parameter names; see `BOTH`."""
    if request.param == "memory":
        async with memory_place() as found:
            yield found
    else:
        async with real_place(request.getfixturevalue("control_plane")) as found:
            yield found
