"""What the controller has asked of Auto Scaling groups, as its journal in the cluster says.

Comes in: a client. Goes out: each group with the plan that it was grown for. The ConfigMap is read
by name every few seconds. What cannot be read is kept as it was, and what cannot be understood is
left out. May not write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from spotvortex.aio import pause
from spotvortex.core.domain import labels
from spotvortex.core.drain.growth import growth_in
from spotvortex.errors import ApiError, NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.wire.codec import decoded

log = logging.getLogger(__name__)

EVERY_S: Final = 5.0
ANSWER_S: Final = 10.0

Growths = tuple[tuple[str, str], ...]


class _ConfigMap(msgspec.Struct, frozen=True):
    data: dict[str, str] | None = None


class GrowthWatch:
    """Reads the journal again and again; `run` has to be running."""

    def __init__(self, client: KubeClient, namespace: str, take: Callable[[Growths], None]) -> None:
        """Know nothing yet.

        Args:
            client: reads it.
            namespace: the controller's own.
            take: gets what was read.
        """
        self._client = client
        self._path = paths.named(paths.config_maps(namespace), labels.GROWTHS)
        self._take = take

    async def run(self, stop: asyncio.Event) -> None:
        """Read until told to stop."""
        while not stop.is_set():
            await self.look()
            await pause(stop, EVERY_S)

    async def look(self) -> None:
        """Read the journal once; without an answer what was read before is kept."""
        try:
            body = await self._client.get_bytes(self._path, timeout=ANSWER_S)
            texts = (decoded(body, _ConfigMap).data or {}).values()
        except NotServedError:
            texts = {}.values()
        except ApiError as error:
            log.warning("growths.unread", extra={"error": str(error)})
            return
        found = [growth for text in texts if (growth := growth_in(text)) is not None]
        self._take(tuple(sorted((growth.group, growth.plan) for growth in found)))
