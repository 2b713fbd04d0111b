"""The ConfigMap in which the controller's state survives a restart.

Comes in: a client, and texts by key. Goes out: the same texts. Written by compare-and-set, bounded
in size; a content that cannot be read is kept aside, never lost. May not know what the texts say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from spotvortex.core.domain import labels
from spotvortex.errors import ConflictError, NotServedError, SpotVortexError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write.bounded import BoundedRequests

ANSWER_S: Final = 10.0
MAX_BYTES: Final = 256 * 1024
"""Bound of what is remembered: a quarter of what the API server takes in one object."""

VERSION_KEY: Final = "version"
ASIDE: Final = f"{labels.STATE}-aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The saved texts by key; empty where none was saved."""

    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Aside:
    """The saved texts cannot be used, and lie in a ConfigMap of their own now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The texts are saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Somebody else has written meanwhile; `data` is what they wrote, and nothing was saved."""

    data: Mapping[str, str]


class TooLargeError(SpotVortexError):
    """The state is larger than one ConfigMap may hold."""


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str


class _Stored(msgspec.Struct, frozen=True):
    metadata: _Metadata
    data: dict[str, str] = {}


class VersionedConfigMap:
    """One ConfigMap of texts by key, with the version of their format.

    `version` is the format that the caller writes; what is of a later one is kept aside. What
    changes it goes through `bounded`, asked anew right before each request.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        version: int,
        bounded: Callable[[], BoundedRequests],
    ) -> None:
        self._client = client
        self._bounded = bounded
        self._version = version
        self._collection = paths.config_maps(namespace)
        self._path = paths.named(self._collection, labels.STATE)
        self._known = ""

    async def load(self) -> Loaded | Aside:
        """Read what was saved last.

        Raises:
            ApiError: it could not be read, or not be kept aside.
        """
        stored = await self._get(self._path)
        if stored is None:
            self._known = ""
            return Loaded()
        self._known = stored.metadata.resource_version
        reason = self._reason_against(stored.data)
        return await self.put_aside(reason) if reason else Loaded(data=_texts(stored.data))

    async def put_aside(self, reason: str) -> Aside:
        """Copy what is there to a ConfigMap of its own, once; the first one put there stays.

        For callers who cannot read one of the texts. What is saved next takes its place.

        Raises:
            ApiError: it could not be copied.
        """
        stored = await self._get(self._path)
        if stored is not None:
            body = _manifest(ASIDE, dict(stored.data), {"spotvortex.io/reason": reason[:256]})
            with suppress(ConflictError):
                await self._bounded().send("POST", self._collection, body)
        return Aside(reason)

    async def save(self, data: Mapping[str, str]) -> Saved | Changed:
        """Save, if nobody else has written since this process last read or wrote.

        Args:
            data: texts by key; a key is made of letters, digits, `-`, `_` and `.`.

        Raises:
            TooLargeError: it is more than `MAX_BYTES`; nothing was saved.
            ApiError: it could not be saved.
        """
        content = dict(data) | {VERSION_KEY: str(self._version)}
        size = sum(len(key.encode()) + len(text.encode()) for key, text in content.items())
        if size > MAX_BYTES:
            raise TooLargeError(
                f"{size} bytes are to be kept in ConfigMap {labels.STATE}, at most {MAX_BYTES} may"
            )
        try:
            self._known = (await self._write(content)).metadata.resource_version
        except (ConflictError, NotServedError):
            # Written, made or deleted by somebody else: what is there now is theirs to tell.
            stored = await self._get(self._path)
            self._known = stored.metadata.resource_version if stored else ""
            return Changed(data=_texts(stored.data) if stored else {})
        return Saved()

    async def _write(self, content: dict[str, str]) -> _Stored:
        body = _manifest(labels.STATE, content, {})
        if not self._known:
            return _decoded(await self._bounded().send("POST", self._collection, body))
        metadata = body["metadata"]
        assert isinstance(metadata, dict)
        metadata["resourceVersion"] = self._known
        return _decoded(await self._bounded().send("PUT", self._path, body))

    async def _get(self, path: str) -> _Stored | None:
        try:
            return _decoded(await self._client.get_bytes(path, timeout=ANSWER_S))
        except NotServedError:
            return None

    def _reason_against(self, data: Mapping[str, str]) -> str:
        text = data.get(VERSION_KEY, "")
        if not data:
            return ""
        if not text.isdecimal():
            return f"its version is {text[:40]!r}"
        if int(text) > self._version:
            return f"it is of version {int(text)}, and this is {self._version}"
        return ""


def _texts(data: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in data.items() if key != VERSION_KEY}


def _manifest(name: str, data: dict[str, str], notes: dict[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": {labels.MANAGED_BY: labels.MANAGER},
            "annotations": notes,
        },
        "data": data,
    }


def _decoded(body: bytes) -> _Stored:
    return decoded(body, _Stored, "ConfigMap")
