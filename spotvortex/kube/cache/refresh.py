"""One node as it is now, where the watch may be a moment behind.

Comes in: the name of a node. Goes out: the node, its pods and the budgets of their namespaces, read
anew and put into the tables as if the watch had brought them. Between the answer and its taking,
the watch may bring something newer: what it touches meanwhile is told apart by resource version.
An older event that comes later is followed by the newer ones, so its harm is short.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Final, Generic

from msgspec import Raw

from spotvortex.errors import NotServedError, ServerError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.reflector import ObjectSink
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import Codec, Obj, ordinal
from spotvortex.kube.cache.inputs import NODES, PODS
from spotvortex.kube.cache.store import Store

ANSWER_S: Final = 10.0
PAGE_SIZE: Final = 500
MAX_PAGES: Final = 10

_REMOVED: Final = math.inf
"""Stands for the version of an object that the watch has removed."""

Touched = dict[str, float]


class RecordingSink(Generic[Obj]):
    """A sink before another sink; it can be asked what came through for a while."""

    def __init__(self, sink: ObjectSink[Obj]) -> None:
        self.sink = sink
        self._listeners: list[Touched] = []

    def put(self, key: str, obj: Obj) -> None:
        """Pass an object on."""
        for touched in self._listeners:
            touched[key] = ordinal(obj.metadata.resource_version)
        self.sink.put(key, obj)

    def remove(self, key: str) -> None:
        """Pass a removal on."""
        for touched in self._listeners:
            touched[key] = _REMOVED
        self.sink.remove(key)

    def keys(self) -> AbstractSet[str]:
        """Return the keys held."""
        return self.sink.keys()

    @contextmanager
    def listen(self) -> Iterator[Touched]:
        """Keep what comes through from now on: each key with its last version."""
        touched: Touched = {}
        self._listeners.append(touched)
        try:
            yield touched
        finally:
            self._listeners[:] = [other for other in self._listeners if other is not touched]


class NodeRefresher:
    """Reads single nodes anew; the watches of nodes, pods and budgets run through its taps."""

    def __init__(self, client: KubeClient, store: Store) -> None:
        self._client = client
        self._store = store
        self.nodes: RecordingSink[wire.Node] = RecordingSink(store.nodes)
        self.pods: RecordingSink[wire.Pod] = RecordingSink(store.pods)
        self.budgets: RecordingSink[wire.Pdb] = RecordingSink(store.budgets)

    async def refresh(self, name: str) -> None:
        """Read a node, its pods and their budgets anew.

        Raises:
            ApiError: something could not be read; what was read before that is kept.
        """
        await self._node(name)
        known = {pod.key for pod in self._store.pods.on(name)}
        query = {"fieldSelector": f"spec.nodeName={name},{PODS.resource.field_selector}"}
        seen = await self._list(self.pods, Codec(wire.Pod), PODS.resource.path, query, known)
        for namespace in sorted({key.partition("/")[0] for key in seen}):
            mine = f"{namespace}/"
            held = self.budgets.keys()
            known = {key for key in held if key.startswith(mine)}
            path = paths.budgets(namespace)
            await self._list(self.budgets, Codec(wire.Pdb), path, {}, known)

    async def _node(self, name: str) -> None:
        with self.nodes.listen() as touched:
            try:
                body = await self._client.get_bytes(
                    paths.named(NODES.resource.path, name), timeout=ANSWER_S
                )
            except NotServedError:
                if name not in touched:
                    self.nodes.sink.remove(name)
                return
        node = Codec(wire.Node).object(Raw(body))
        if node is None:
            raise ServerError(f"node {name} could not be read", reason="Unreadable")
        _take(self.nodes, name, node, touched)

    async def _list(
        self,
        tap: RecordingSink[Obj],
        codec: Codec[Obj],
        path: str,
        query: dict[str, str],
        known: set[str],
    ) -> set[str]:
        """Put what a list holds, forget the known objects that it lacks; return its keys."""
        with tap.listen() as touched:
            version, objects = await self._pages(codec, path, query)
        for key, obj in objects.items():
            _take(tap, key, obj, touched)
        for key in known - objects.keys():
            if touched.get(key, -1.0) <= version:
                tap.sink.remove(key)
        return set(objects)

    async def _pages(
        self, codec: Codec[Obj], path: str, query: dict[str, str]
    ) -> tuple[float, dict[str, Obj]]:
        objects: dict[str, Obj] = {}
        more = {"limit": str(PAGE_SIZE)}
        for _ in range(MAX_PAGES):
            body = await self._client.get_bytes(path, query | more, timeout=ANSWER_S, verb="list")
            page = codec.page(body)
            if page.skipped:
                raise ServerError(f"{page.skipped[0]} could not be read", reason="Unreadable")
            objects |= {obj.metadata.key: obj for obj in page.objects}
            if not page.token:
                return ordinal(page.version), objects
            more["continue"] = page.token
        raise ServerError(f"{path}: more than {MAX_PAGES} pages", reason="TooMany")


def _take(tap: RecordingSink[Obj], key: str, obj: Obj, touched: Touched) -> None:
    """Put an object, unless the watch has brought something newer meanwhile."""
    if touched.get(key, -1.0) > ordinal(obj.metadata.resource_version):
        return
    try:
        tap.sink.put(key, obj)
    except ValueError as error:
        raise ServerError(f"{key} could not be read: {error}", reason="Unreadable") from error
