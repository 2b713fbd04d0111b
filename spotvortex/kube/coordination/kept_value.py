"""A value in a ConfigMap of its own, kept over restarts in every mode.

Comes in: a client with the right to that one name, and the newest value. Goes out: what was kept
before, once, and now and then a patch of the ConfigMap. Two processes never write it in turns: the
holder of the lease does where there is one, and else who meets another's writing leaves it to that
one for as long as that one goes on. May not make the ConfigMap, nor change anything else, and no
failure of it is one of the daemon.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar, Final, Generic, TypeVar

import msgspec

from spotvortex.aio import Backoff, pause
from spotvortex.core.domain import labels
from spotvortex.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    NotSentError,
    NotServedError,
)
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import MERGE_PATCH, KubeClient
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write.bounded import BoundedRequests

ASIDE: Final = "unreadable"
"""Key of the data for the first text that could not be read."""

MAX_BYTES: Final = 512 * 1024
"""Bound of it and of the text, so that both stay under the 1 MiB of an object."""

ANSWER_S: Final = 5.0
SAVE_EVERY_S: Final = 300.0
"""Least time between two savings, in seconds."""

LOOK_S: Final = 15.0
"""Time between two looks, in seconds. What is urgent is saved at the next one."""

YIELD_S: Final = 900.0
"""Time for which another's writing is left alone: three of its savings."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
MAX_REFUSALS: Final = 4
"""Reads that are refused, or find nothing, before keeping is given up for this process. Rights that
were granted a moment ago take a moment to count."""

log = logging.getLogger(__name__)

Value = TypeVar("Value")


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str
    annotations: dict[str, str] | None = None


class _Stored(msgspec.Struct, frozen=True):
    metadata: _Metadata
    data: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value lies, and who writes it.

    Attributes:
        namespace: the controller's own.
        writer: what this process is called.
    """

    namespace: str
    writer: str


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Value]):
    """A value as text, and the wall time of the last thing in it that is urgent to save."""

    value: Value | None = None
    text: str = ""
    urgent_at: float = -math.inf


@dataclass(slots=True)
class KeptValue(Generic[Value]):
    """A value of one ConfigMap; `run` has to be running. A class below says what the value is.

    Attributes:
        client: reads, and writes in the modes that write nothing else.
        place: where the value lies.
        rng: for the jitter of pauses.
        bounded: in the modes that write, what may be sent before the end of the lease, asked anew
            right before each request; who does not lead sends nothing.
        is_settled: it is known what was kept before, or that nothing can be read.
        keeps: nobody has refused it.
    """

    NAME: ClassVar[str]
    KEY: ClassVar[str]
    """The ConfigMap, and the key of its data that holds the text; the log says it too."""

    client: KubeClient
    place: Place
    rng: Random
    bounded: Callable[[], BoundedRequests] | None = None
    is_settled: bool = False
    keeps: bool = True
    _recalled: Value | None = None
    _newest: _Kept[Value] = field(default_factory=_Kept)
    _saved: _Kept[Value] = field(default_factory=_Kept)
    _version: str = ""
    _aside: str = ""
    _due: float = -math.inf
    _yields_until: float = -math.inf
    _warned: set[str] = field(default_factory=set)

    @classmethod
    def path_in(cls, namespace: str) -> str:
        """Return the path of the ConfigMap."""
        return paths.named(paths.config_maps(namespace), cls.NAME)

    def _read_text(self, text: str) -> Value:
        """Read a text; an empty one is that of nothing kept.

        Raises:
            ValueError: it cannot be read.
        """
        raise NotImplementedError

    def _take(self) -> Value | None:
        """Return what was kept before, once it has been read, and once only."""
        recalled, self._recalled = self._recalled, None
        return recalled

    def _keep(self, value: Value, text: str, urgent_at: float = -math.inf) -> None:
        """Keep the newest value for the next writing; called in a thread."""
        self._newest = _Kept(value, text, urgent_at)

    def _meet(self, text: str) -> None:
        """Take note of what somebody else has written meanwhile."""

    async def run(self, stop: asyncio.Event) -> None:
        """Read, then write now and then where something has changed, and a last time at the stop.

        Nothing is written before all has been read.
        """
        was_read = await self._read_patiently(stop)
        self.is_settled = was_read or not stop.is_set()
        while was_read and not stop.is_set():
            await pause(stop, LOOK_S)
            if self._is_due(asyncio.get_running_loop().time(), last=stop.is_set()):
                await self._write()
        await stop.wait()

    def _is_due(self, now: float, *, last: bool) -> bool:
        newest, saved = self._newest, self._saved
        if not newest.text or newest.text == saved.text:
            return False
        if now < self._yields_until:
            return False
        return last or newest.urgent_at > saved.urgent_at or now >= self._due

    async def _read_patiently(self, stop: asyncio.Event) -> bool:
        """Read until the server has answered; False where it is refused, or nothing is there."""
        backoff, n_refused = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, self.rng), 0
        while not stop.is_set():
            try:
                await self._read()
            except (ForbiddenError, NotServedError) as error:
                n_refused += 1
                if n_refused == MAX_REFUSALS:
                    self.keeps = False
                    self._warn("not_kept", str(error))
                    return False
            except ApiError as error:
                log.debug("%s.unread", self.KEY, extra={"error": str(error)})
            else:
                return True
            await pause(stop, backoff.after_failure())
        return False

    async def _read(self) -> None:
        """Read what was kept; a text that cannot be read is put aside by the next writing."""
        stored = await self._get()
        self._version = stored.metadata.resource_version
        self._put_off(SAVE_EVERY_S)
        text = (stored.data or {}).get(self.KEY, "")
        try:
            self._recalled = self._read_text(text)
        except ValueError as error:
            log.warning("%s.unreadable", self.KEY, extra={"kept_as": ASIDE, "error": str(error)})
            self._recalled = self._read_text("")
            if not (stored.data or {}).get(ASIDE) and len(text.encode()) <= MAX_BYTES:
                self._aside = text

    async def _write(self) -> None:
        """Write the newest, if nobody else has written since."""
        newest = self._newest
        if len(newest.text.encode()) > MAX_BYTES:
            self._warn("not_saved", f"it is longer than {MAX_BYTES} bytes")
            return
        data = {self.KEY: newest.text} | ({ASIDE: self._aside} if self._aside else {})
        written_by = {labels.WRITTEN_BY: self.place.writer}
        metadata = {"resourceVersion": self._version, "annotations": written_by}
        patch = {"metadata": metadata, "data": data}
        try:
            body = await self._send(patch)
        except NotSentError:
            return
        except ConflictError:
            await self._give_way()
        except ApiError as error:
            self._put_off(SAVE_EVERY_S)
            self._warn("not_saved", str(error))
        else:
            self._version = decoded(body, _Stored, "ConfigMap").metadata.resource_version
            self._saved, self._aside = newest, ""
            self._put_off(SAVE_EVERY_S)
            self._warned.discard("not_saved")

    async def _send(self, patch: Mapping[str, object]) -> bytes:
        path = self.path_in(self.place.namespace)
        if self.bounded is not None:
            return await self.bounded().send("PATCH", path, patch, content_type=MERGE_PATCH)
        return await self.client.send(
            "PATCH", path, patch, content_type=MERGE_PATCH, timeout=ANSWER_S
        )

    def _put_off(self, seconds: float) -> None:
        self._due = asyncio.get_running_loop().time() + seconds

    async def _give_way(self) -> None:
        """Look who has written; another process is left alone for as long as it goes on.

        Where there is a lease, its holder writes, whoever wrote before.
        """
        try:
            stored = await self._get()
        except ApiError as error:
            self._warn("not_saved", str(error))
            return
        self._version = stored.metadata.resource_version
        self._meet((stored.data or {}).get(self.KEY, ""))
        writer = (stored.metadata.annotations or {}).get(labels.WRITTEN_BY, "")
        if self.bounded is None and writer not in ("", self.place.writer):
            self._yields_until = asyncio.get_running_loop().time() + YIELD_S
            self._warn("others", f"{writer} writes it")

    async def _get(self) -> _Stored:
        path = self.path_in(self.place.namespace)
        return decoded(await self.client.get_bytes(path, timeout=ANSWER_S), _Stored, "ConfigMap")

    def _warn(self, event: str, error: str) -> None:
        """Warn once; of a failed saving once more after one that has gone well."""
        if event not in self._warned:
            self._warned.add(event)
            name = f"{self.place.namespace}/{self.NAME}"
            log.warning("%s.%s", self.KEY, event, extra={"config_map": name, "error": error})
