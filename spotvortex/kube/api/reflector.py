"""Keeps one resource up to date: list, then watch, for as long as it runs.

Comes in: pages and watch lines of one resource. Goes out: `put` and `remove` on a sink, in the
server's order, also for what vanished between two lists. Whatever the server answers, it tries
again, with the pauses below; only cancellation ends it. May not know what the objects mean.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, Generic, Protocol, TypeVar

from spotvortex.aio import Backoff
from spotvortex.errors import (
    ApiError,
    ExpiredError,
    ForbiddenError,
    NotServedError,
    ServerError,
    UnreachableError,
)
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.errors import api_error
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import (
    Codec,
    Obj,
    Page,
    read_event,
    read_key,
    read_status,
    read_version,
)

PAGE_SIZE: Final = 500
PAGE_ATTEMPTS: Final = 5
"""Tries for one page in mid-list; starting again would cost every page before it."""

LIST_TIMEOUT_S: Final = 60.0
SLICE: Final = 100
"""Objects taken into the sink before the loop is let go: about 2 ms."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
LONGEST_PAUSE_UNREACHED_S: Final = 5.0
"""The same while there is no answer at all: knocking costs nothing, and being late does."""

SLOW_RETRY_S: Final = 60.0
"""Pause after 403 and 404: a right or a resource that may come some day."""

INACTIVITY_S: Final = 90.0
"""Bookmarks come about once a minute, so this silence is a dead stream."""

SHORTEST_WATCH_S: Final = 5.0
"""A watch that ends sooner and brought nothing counts as a failure."""

WATCH_S: Final = (240, 480)
"""How long a watch may last, drawn anew each time so that reconnects spread out."""

log = logging.getLogger(__name__)

Obj_contra = TypeVar("Obj_contra", contravariant=True)


class ObjectSink(Protocol[Obj_contra]):
    """Where the objects of one resource go, by key."""

    def put(self, key: str, obj: Obj_contra) -> None:
        """Take an object as it is now; ValueError where it cannot be understood."""
        ...

    def remove(self, key: str) -> None:
        """Forget an object, if it is known."""
        ...

    def keys(self) -> AbstractSet[str]:
        """Return the keys held."""
        ...


class ReflectorState(StrEnum):
    """Where a reflector stands."""

    LISTING = "listing"
    WATCHING = "watching"
    DOWN = "down"
    DENIED = "denied"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What to list and watch.

    Attributes:
        name: by what name its input is known.
        path: the path of the collection on the API server.
        field_selector: which objects are wanted, "" for all.
        accept_list: media type of the list where less than whole objects is wanted, None for JSON.
        accept_watch: the same of the watch.
        inactivity_s: silence after which a watch counts as dead, in seconds.
    """

    name: str
    path: str
    field_selector: str = ""
    accept_list: str | None = None
    accept_watch: str | None = None
    inactivity_s: float = INACTIVITY_S

    def query(self, **more: str) -> dict[str, str]:
        """Return query parameters with the selector added."""
        return more | ({"fieldSelector": self.field_selector} if self.field_selector else {})


class Reflector(Generic[Obj]):
    """Lists and watches one resource into a sink.

    Attributes:
        state: where it stands.
        last_confirmed: loop time at which what the sink holds was last known to be current.
        last_error: the latest failure in words, "" since the last success.
        listed: set once the first list is complete.
        settled: set then, or once it is clear that there is no right or no such resource.
        unread: keys of objects that are there and whose latest form could not be read.
        n_lists, n_relists, n_reconnects, n_events, n_skipped: counters since start.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        codec: Codec[Obj],
        sink: ObjectSink[Obj],
        rng: Random,
    ) -> None:
        self._client = client
        self._codec = codec
        self._sink = sink
        self._rng = rng
        self._version = ""
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, rng)
        self._backoff_unreached = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_UNREACHED_S, rng)
        self._last_kind: type[ApiError | None] = type(None)
        self._open = False
        self.resource = resource
        self.state = ReflectorState.LISTING
        self.last_confirmed = -math.inf
        self.last_error = ""
        self.listed = asyncio.Event()
        self.settled = asyncio.Event()
        self.unread: set[str] = set()
        self.n_lists = 0
        self.n_relists = 0
        self.n_reconnects = 0
        self.n_events = 0
        self.n_skipped = 0

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ApiError as error:
                self._note(error)
                await asyncio.sleep(self._pause(error))

    def confirm(self) -> None:
        """Take note that the server answers: while the stream is open, nothing was missed."""
        if self._open:
            self._succeeded()

    def _note(self, error: ApiError) -> None:
        """Move to the state that an error leads to."""
        before = self.state
        match error:
            case ForbiddenError():
                self.state, self._version = ReflectorState.DENIED, ""
                self.settled.set()
            case NotServedError():
                self.state, self._version = ReflectorState.ABSENT, ""
                self._forget_all_but(set())
                self.settled.set()
            case ExpiredError() | ServerError(reason="Unreadable"):
                # Asking from the same version again would bring the same answer.
                self.state, self._version = ReflectorState.LISTING, ""
                self.n_relists += 1
            case _:
                self.state = ReflectorState.DOWN
        self.last_error = str(error)
        level = logging.DEBUG if self.state is before else logging.WARNING
        log.log(level, "reflector.%s", self.state, extra=self._fields(error))

    def _fields(self, error: ApiError) -> dict[str, object]:
        return {
            "resource": self.resource.name,
            "status": error.status,
            "reason": error.reason,
            "error": str(error),
        }

    def _pause(self, error: ApiError | None = None) -> float:
        """Return how long to wait after one more failure, in seconds, jittered.

        It doubles with each failure of the same kind; none at all is a watch that brought nothing.
        """
        if isinstance(error, NotServedError) or (error is not None and error.status == 403):
            return SLOW_RETRY_S * self._rng.uniform(0.75, 1.0)
        if type(error) is not self._last_kind:
            self._last_kind = type(error)
            self._begin_anew()
        unreached = isinstance(error, UnreachableError)
        backoff = self._backoff_unreached if unreached else self._backoff
        asked = (error.retry_after_s if error is not None else None) or 0.0
        return max(backoff.after_failure(), min(asked, SLOW_RETRY_S))

    def _begin_anew(self) -> None:
        self._backoff.reset()
        self._backoff_unreached.reset()

    async def _list(self) -> None:
        """Read every page, then forget what no page held."""
        self.n_lists += 1
        started = _loop_time()
        seen: set[str] = set()
        version = await self._read_pages(seen)
        n_vanished = self._forget_all_but(seen)
        self.unread &= seen
        self._version, self.state = version, ReflectorState.LISTING
        self._succeeded()
        self.listed.set()
        self.settled.set()
        log.info(
            "reflector.listed",
            extra={
                "resource": self.resource.name,
                "n_objects": len(seen),
                "n_vanished": n_vanished,
                "n_skipped": self.n_skipped,
                "seconds": round(_loop_time() - started, 3),
            },
        )

    async def _read_pages(self, seen: set[str]) -> str:
        """Take all pages into the sink, each while the next one is on its way.

        Returns:
            The version of the whole list; every page shows the cluster as of that version.
        """
        page = await self._page("")
        version, failure = page.version, None
        async with asyncio.TaskGroup() as group:
            while True:  # ends with the page that names no further one
                token = page.token
                following = group.create_task(self._patient_page(token)) if token else None
                await self._take(page, seen)
                if following is None:
                    break
                outcome = await following
                if isinstance(outcome, ApiError):
                    failure = outcome
                    break
                page = outcome
        if failure is not None:
            raise failure
        if not version:
            raise ServerError("a list without a resource version", reason="Unreadable")
        return version

    async def _patient_page(self, token: str) -> Page[Obj] | ApiError:
        """Read a page in mid-list; its failure is a value, since it ends the list, not the task."""
        failure: ApiError | None = None
        for _ in range(PAGE_ATTEMPTS):
            try:
                return await self._page(token)
            except (ExpiredError, ForbiddenError, NotServedError) as error:
                return error
            except ApiError as error:
                failure = error
                await asyncio.sleep(self._pause(error))
        assert failure is not None
        return failure

    async def _page(self, token: str) -> Page[Obj]:
        query = self.resource.query(limit=str(PAGE_SIZE))
        if token:
            query["continue"] = token
        body = await self._client.get_bytes(
            self.resource.path,
            query,
            accept=self.resource.accept_list,
            timeout=LIST_TIMEOUT_S,
            verb="list",
        )
        return self._codec.page(body)

    async def _take(self, page: Page[Obj], seen: set[str]) -> None:
        seen.update(page.skipped)
        for key in page.skipped:
            self._skip(key, "not as expected")
        for start in range(0, len(page.objects), SLICE):
            for obj in page.objects[start : start + SLICE]:
                key = obj.metadata.key
                seen.add(key)
                self._put(key, obj)
            await asyncio.sleep(0)

    def _put(self, key: str, obj: Obj) -> None:
        try:
            self._sink.put(key, obj)
        except ValueError as error:
            self._skip(key, str(error))
        else:
            self.unread.discard(key)

    def _skip(self, key: str, error: str) -> None:
        """Leave an object as it was last understood, if ever."""
        self.n_skipped += 1
        self.unread.add(key)
        log.debug("reflector.skipped", extra={"key": key, "error": error})

    def _forget_all_but(self, seen: set[str]) -> int:
        vanished = self._sink.keys() - seen
        for key in vanished:
            self._sink.remove(key)
        return len(vanished)

    async def _watch(self) -> None:
        """Apply events until the server ends the stream, which it does in good order."""
        started, n_before = _loop_time(), self.n_events
        query = self.resource.query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=self._version,
            timeoutSeconds=str(self._rng.randint(*WATCH_S)),
        )
        async with self._client.stream_lines(
            self.resource.path,
            query,
            accept=self.resource.accept_watch,
            inactivity_s=self.resource.inactivity_s,
        ) as lines:
            self.state, self._open = ReflectorState.WATCHING, True
            try:
                async for line in lines:
                    self._apply(line)
            finally:
                self._open = False
                if _loop_time() - started >= SHORTEST_WATCH_S:
                    self._begin_anew()
        self.n_reconnects += 1
        if self.n_events == n_before and _loop_time() - started < SHORTEST_WATCH_S:
            await asyncio.sleep(self._pause())

    def _apply(self, line: bytes) -> None:
        event = read_event(line)
        match event.type:
            case "ADDED" | "MODIFIED" | "DELETED":
                self._change(event)
            case "BOOKMARK":
                self._version = read_version(event.object) or self._version
            case "ERROR":
                status = read_status(event.object)
                raise api_error(status.code or 500, {}, bytes(event.object))
            case unknown:
                raise ServerError(f"unknown watch event {unknown[:40]!r}", reason="Unreadable")
        self.n_events += 1
        self._begin_anew()
        self._succeeded()

    def _change(self, event: wire.WatchEvent) -> None:
        obj = self._codec.object(event.object)
        key = read_key(event.object) if obj is None else obj.metadata.key
        if event.type == "DELETED":
            self._sink.remove(key)
            self.unread.discard(key)
        elif obj is None:
            self._skip(key, "not as expected")
        else:
            self._put(key, obj)
        version = read_version(event.object) if obj is None else obj.metadata.resource_version
        self._version = version or self._version

    def _succeeded(self) -> None:
        self.last_confirmed = _loop_time()
        self.last_error = ""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
