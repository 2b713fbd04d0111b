"""The status of Cluster Autoscaler: the ConfigMap that it writes about itself every ten seconds.

Comes in: a client. Goes out: an `AutoscalerStatus`, whenever it was read. It is read by name twice
a minute and not watched, since it changes all the time. A status that does not change any more is
of one that runs no more. May not write, and needs no right: without one nothing is known of it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Final

import msgspec

from spotvortex.errors import ApiError, ForbiddenError, NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.cache.groups.node_groups import AutoscalerStatus, GroupSize, Taker

log = logging.getLogger(__name__)

PATH: Final = paths.named(paths.config_maps("kube-system"), "cluster-autoscaler-status")
"""Where it is unless Cluster Autoscaler is told otherwise (`--status-config-map-name`)."""

EVERY_S: Final = 30.0
ANSWER_S: Final = 10.0

SILENT_S: Final = 300.0
"""A status that has not changed for so long is of one that runs no more."""

MAX_TEXT: Final = 1 << 20
"""Bytes of a status that are looked at; the server keeps no larger ConfigMap."""

_WORDS: Final = re.compile(
    r'^ *(?:- name|Name): *"?([^\s"]+)"? *$'
    r"|\b(minSize|maxSize|cloudProviderTarget)(?:: |=)(\d{1,9})\b",
    re.MULTILINE,
)


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class _ConfigMap(msgspec.Struct, frozen=True):
    metadata: _Meta
    data: dict[str, str] | None = None


def sizes_in(text: str) -> dict[str, GroupSize]:
    """Read the groups and their sizes out of a status, in YAML or in the text before 1.30."""
    found: dict[str, dict[str, int]] = {}
    sizes: dict[str, int] = {}
    for name, key, number in _WORDS.findall(text[:MAX_TEXT]):
        if name:
            sizes = found.setdefault(name, {})
        else:
            sizes.setdefault(key, int(number))
    return {
        name: GroupSize(
            smallest=sizes.get("minSize", 0),
            largest=sizes["maxSize"],
            target=sizes.get("cloudProviderTarget", 0),
        )
        for name, sizes in found.items()
        if "maxSize" in sizes
    }


class AutoscalerWatch:
    """Reads the status again and again; `run` has to be running."""

    def __init__(self, client: KubeClient, take: Taker) -> None:
        """Know nothing yet.

        Args:
            client: reads it.
            take: gets what was read.
        """
        self._client = client
        self._take = take
        self._version = ""
        self._changed_at = 0.0
        self._told = ""
        self.first = asyncio.Event()

    @property
    def found(self) -> str:
        """How the status was found: seen, silent, unseen, denied or unread; "" before a look."""
        return self._told

    async def run(self) -> None:
        """Read until cancelled."""
        while True:  # ends when it is cancelled
            await self.look()
            self.first.set()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Read the status once; without an answer what was read before is kept."""
        try:
            body = await self._client.get_bytes(PATH, timeout=ANSWER_S)
            status = self._read(decoded(body, _ConfigMap))
        except (NotServedError, ForbiddenError) as error:
            self._say("unseen" if isinstance(error, NotServedError) else "denied", str(error))
            self._take(AutoscalerStatus())
            return
        except ApiError as error:
            self._say("unread", str(error))
            return
        self._say("seen" if status.runs else "silent", f"{len(status.sizes)} groups")
        self._take(status)

    def _read(self, found: _ConfigMap) -> AutoscalerStatus:
        now = asyncio.get_running_loop().time()
        if found.metadata.resource_version != self._version:
            self._version, self._changed_at = found.metadata.resource_version, now
        sizes = sizes_in((found.data or {}).get("status", ""))
        return AutoscalerStatus(runs=now - self._changed_at < SILENT_S, sizes=sizes)

    def _say(self, how: str, detail: str) -> None:
        if how != self._told:
            self._told = how
            log.info("autoscaler.status", extra={"found": how, "detail": detail})
