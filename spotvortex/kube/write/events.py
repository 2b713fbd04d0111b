"""Kubernetes Events on nodes and NodePools: what was done and refused, for `kubectl describe`.

Comes in: a node and a few words. Goes out: Events, when there is time for them. Best effort in all
things: a full queue drops the newest, a failed request is not repeated, and nothing here is ever
an error for the caller. The same words on the same node are one Event with a count.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec

from spotvortex.core.domain import labels
from spotvortex.core.record.codec import rfc3339
from spotvortex.errors import ApiError, ForbiddenError, NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import MERGE_PATCH, KubeClient
from spotvortex.ports.cluster import WallClock

NAMESPACE: Final = "default"
"""The namespace of Events about cluster-scoped objects, where `kubectl describe` looks."""

NODE: Final = ("v1", "Node")
NODE_POOL: Final = ("karpenter.sh/v1", "NodePool")

MAX_WAITING: Final = 256
MAX_KNOWN: Final = 1024
"""Events that are remembered, so that the same words again only count."""

KNOWN_S: Final = 600.0
"""The server forgets Events after an hour; one that is this old is written anew."""

EVERY_S: Final = 0.2
"""Time between two requests, in seconds."""

ANSWER_S: Final = 5.0
MAX_NOTE: Final = 1024
"""The server's own bound for the message of an Event."""

MAX_REASON: Final = 128

log = logging.getLogger(__name__)


class _Metadata(msgspec.Struct, frozen=True):
    name: str


class _Created(msgspec.Struct, frozen=True):
    metadata: _Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class _What:
    """Everything by which two Events are the same."""

    node_name: str
    node_uid: str
    type_: str
    reason: str
    note: str
    kind: tuple[str, str] = NODE


@dataclass(slots=True, kw_only=True)
class _Known:
    name: str
    count: int
    until: float


class EventRecorder:
    """Writes Events beside everything else; `run` has to be running.

    Attributes:
        n_dropped: Events that were never written: the queue was full, or the request failed.
    """

    def __init__(self, client: KubeClient, instance: str, clock: WallClock, rng: Random) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._rng = rng
        self._waiting: OrderedDict[_What, int] = OrderedDict()
        self._known: OrderedDict[_What, _Known] = OrderedDict()
        self._wake = asyncio.Event()
        self._was_told = False
        self.n_dropped = 0

    def emit(self, node_name: str, node_uid: str, type_: str, reason: str, note: str) -> None:
        """Tell of something on a node.

        Args:
            node_name: its name.
            node_uid: its uid, by which `kubectl describe` finds the Event.
            type_: `Normal` or `Warning`.
            reason: one word in camel case.
            note: a sentence for people.
        """
        what = _What(
            node_name=node_name,
            node_uid=node_uid,
            type_=type_ if type_ == "Warning" else "Normal",
            reason=reason[:MAX_REASON] or "Unknown",
            note=note[:MAX_NOTE],
        )
        self._emit(what)

    def warn_of_node_pool(self, name: str, uid: str, reason: str, note: str) -> None:
        """Warn of something on a NodePool, as `emit` tells of something on a node."""
        what = _What(
            node_name=name,
            node_uid=uid,
            type_="Warning",
            reason=reason[:MAX_REASON],
            note=note[:MAX_NOTE],
            kind=NODE_POOL,
        )
        self._emit(what)

    def _emit(self, what: _What) -> None:
        if what not in self._waiting and len(self._waiting) >= MAX_WAITING:
            self.n_dropped += 1
            return
        self._waiting[what] = self._waiting.get(what, 0) + 1
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Write what waits, one request at a time, until told to stop."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._write_all())
            await stop.wait()
            task.cancel()

    async def _write_all(self) -> None:
        while True:  # ends by cancellation
            await self._wake.wait()
            if not self._waiting:
                self._wake.clear()
                continue
            what, n_times = self._waiting.popitem(last=False)
            try:
                await self._write(what, n_times)
            except (ApiError, msgspec.DecodeError) as error:
                self.n_dropped += n_times
                self._tell(what, error)
            await asyncio.sleep(EVERY_S)

    def _tell(self, what: _What, error: Exception) -> None:
        """Warn once of a right that is missing; whatever else fails once is not worth a warning."""
        fields = {"reason": what.reason, "error": str(error)}
        if isinstance(error, ForbiddenError) and not self._was_told:
            self._was_told = True
            fix = "grant create and patch on events, as deploy/kustomize/events does"
            log.warning("events.forbidden", extra={**fields, "fix": fix})
        else:
            log.debug("event.dropped", extra=fields)

    async def _write(self, what: _What, n_times: int) -> None:
        known = self._known.get(what)
        if known is not None and _loop_time() < known.until:
            try:
                await self._count(known, n_times)
            except NotServedError:
                del self._known[what]
            else:
                return
        await self._create(what, n_times)

    async def _count(self, known: _Known, n_times: int) -> None:
        patch = {"count": known.count + n_times, "lastTimestamp": self._now()}
        path = paths.named(paths.events(NAMESPACE), known.name)
        await self._client.send("PATCH", path, patch, content_type=MERGE_PATCH, timeout=ANSWER_S)
        known.count += n_times

    async def _create(self, what: _What, n_times: int) -> None:
        path = paths.events(NAMESPACE)
        body = await self._client.send(
            "POST", path, self._manifest(what, n_times), timeout=ANSWER_S
        )
        name = msgspec.json.decode(body, type=_Created).metadata.name
        self._known.pop(what, None)
        self._known[what] = _Known(name=name, count=n_times, until=_loop_time() + KNOWN_S)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _manifest(self, what: _What, n_times: int) -> dict[str, object]:
        now = self._now()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{what.node_name[:200]}.{self._rng.getrandbits(64):016x}",
                "namespace": NAMESPACE,
                "labels": {labels.MANAGED_BY: labels.MANAGER},
            },
            "involvedObject": {
                "apiVersion": what.kind[0],
                "kind": what.kind[1],
                "name": what.node_name,
                "uid": what.node_uid,
            },
            "type": what.type_,
            "reason": what.reason,
            "message": what.note,
            "count": n_times,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": labels.MANAGER},
            "reportingComponent": labels.MANAGER,
            "reportingInstance": self._instance[:128],
        }

    def _now(self) -> str:
        return rfc3339(self._clock.now(), "seconds")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
