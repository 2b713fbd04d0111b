"""Whether a silent watch is still one that has missed nothing.

Comes in: a client and its reflectors. Goes out: confirmation, for as long as the server answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

from spotvortex.errors import ApiError
from spotvortex.kube.client import KubeClient
from spotvortex.kube.reflector import Reflector

PROBE_EVERY_S: Final = 5.0

log = logging.getLogger(__name__)


async def confirm_by_probes(
    client: KubeClient, reflectors: Iterable[Reflector[Any]], what: str, every_s: float
) -> None:
    """Confirm open streams: a silent stream of a server that answers has missed nothing.

    Runs until it is cancelled.

    Args:
        client: the connection that the reflectors watch by.
        reflectors: whose streams; gone through anew after each probe.
        what: how the log calls them.
        every_s: seconds between two probes.
    """
    while True:  # ends by cancellation
        await asyncio.sleep(every_s)
        try:
            await client.probe()
        except ApiError as error:
            log.debug("%s.probe_failed", what, extra={"error": str(error)})
        else:
            for reflector in reflectors:
                reflector.confirm()
