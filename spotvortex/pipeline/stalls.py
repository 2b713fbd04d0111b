"""How long the loop keeps everybody waiting.

Comes in: nothing. Goes out: the lateness of a short sleep, to telemetry. Only meaningful on a loop
that runs in real time.
"""

from __future__ import annotations

import asyncio
from typing import Final

from spotvortex.ports.telemetry import Telemetry

INTERVAL_S: Final = 0.02


async def watch_stalls(telemetry: Telemetry, stop: asyncio.Event) -> None:
    """Measure until told to stop."""
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        due = loop.time() + INTERVAL_S
        await asyncio.sleep(INTERVAL_S)
        telemetry.stalled(max(0.0, loop.time() - due))
