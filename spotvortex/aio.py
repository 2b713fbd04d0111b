"""A pause that a stop cuts short.

Comes in: seconds, and the event of the stop. Goes out: nothing, once either is there.
"""

import asyncio


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for so long, but not beyond the stop; not at all where `seconds` is not positive."""
    if seconds <= 0.0:
        return
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
